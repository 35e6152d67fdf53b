"""Whether data may be copied at all, and to where a copy would go; a guard like the others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chaos_tasks.errors import GuardTripped
from chaos_tasks.model.data import DataDeclaration, DataPlace, DataPolicy


@dataclass(frozen=True)
class Copying:
    """What is declared of a target's data, what is allowed, and where copies would lie."""

    target: str
    declared: DataDeclaration
    policy: DataPolicy
    home: Path
    store_region: str = ""
    """Region of the store; empty without one."""

    def check(self) -> None:
        """Raise GuardTripped for data that may not be copied, or not to here."""
        if self.declared.classification.above(self.policy.highest) and not self.declared.masked_repo:
            raise GuardTripped(
                f"the data of target {self.target} are {self.declared.classification}, and copies are made of "
                f"{self.policy.highest} data at most",
                remedy=f"name masked or synthetic data as `masked_repo` in [targets.{self.target}.data]",
            )
        if self.declared.residency:
            self._home()
            self._store()

    def _home(self) -> None:
        home = self.home.resolve()
        folders = [folder for place in self._places() for folder in place.folders]
        if not any(home.is_relative_to(Path(folder).resolve()) for folder in folders):
            raise GuardTripped(
                f"copies of the data of target {self.target} may lie in {self._named()} only, and Squall's home {home} "
                "is in none of the folders of those places",
                remedy="set SQUALL_HOME to a folder there, or have the owner of squall.toml add it to [data.places]",
            )

    def _store(self) -> None:
        regions = [region for place in self._places() for region in place.regions]
        if self.store_region and self.store_region not in regions:
            raise GuardTripped(
                f"copies of the data of target {self.target} may lie in {self._named()} only, and the store is in "
                f"region {self.store_region}",
                remedy=f"use a store in one of {', '.join(regions) or 'no region (none is declared)'}",
            )

    def _places(self) -> list[DataPlace]:
        return [self.policy.places[name] for name in self.declared.residency]

    def _named(self) -> str:
        return ", ".join(self.declared.residency)
