"""What each finder is: it says whether something is of its kind, and describes it without running anything of it."""

from __future__ import annotations

from typing import ClassVar, Protocol

from chaos_tasks.discovery.found import Pipeline


class Finder(Protocol):
    """One kind of pipeline that `squall init` understands."""

    kind: ClassVar[str]
    summary: ClassVar[str]

    def fits(self, where: str) -> bool:
        """Whether ``where`` (a path, a dag_id, a model URI) names a pipeline of this kind; reads little."""
        ...

    def find(self, where: str) -> Pipeline:
        """What it is; raises SetupError with what it lacks."""
        ...
