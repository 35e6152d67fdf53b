"""All searches of one engine: ramps, reductions, repetitions."""

from __future__ import annotations

from dataclasses import dataclass

from chaos_tasks.engine import Engine
from chaos_tasks.model.record import SearchEnded
from chaos_tasks.searching.log import require_ended
from chaos_tasks.searching.ramping import Ramps
from chaos_tasks.searching.repeating import Repeats
from chaos_tasks.searching.shrinking import Shrinks


@dataclass(frozen=True)
class Searches:
    """What the command line and the operators ask for."""

    engine: Engine

    @property
    def ramps(self) -> Ramps:
        """Finds breaking points."""
        return Ramps(self.engine)

    @property
    def shrinks(self) -> Shrinks:
        """Finds smaller reproducers."""
        return Shrinks(self.engine)

    @property
    def repeats(self) -> Repeats:
        """Runs again what the log has."""
        return Repeats(self.engine)

    def found(self, search_id: str) -> SearchEnded:
        """What a search found; raises LedgerError where it has not ended."""
        return require_ended(self.engine.parts.ledger, search_id)
