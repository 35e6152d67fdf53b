"""Leases that nobody has renewed for as long as they were to last, by the watcher's own clock, which nobody sets.

The ledger's clock may be set back: by that one the lease of a killed run would go on for the jump.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from chaos_tasks.model.handle import HandleState

MARGIN_S = 1.0
"""So much longer than the ledger gave it: of two clocks that go right the ledger's comes first."""


@dataclass
class Seen:
    """What one process has seen of leases, look by look; each look has all that are open."""

    _due: dict[str, tuple[datetime, float]] = field(default_factory=dict)
    """By handle the end of its lease, and when that is by this process's monotonic clock, in seconds."""

    def unrenewed(self, states: Iterable[HandleState], *, at: datetime, now: float) -> frozenset[str]:
        """Ids of those due; ``at`` is the ledger's time from before they were read, ``now`` monotonic seconds."""
        before, self._due = self._due, {}
        for state in states:
            until, due = state.lease_until, before.get(state.handle.id)
            left_s = max(0.0, (until - at).total_seconds())
            self._due[state.handle.id] = due if due is not None and due[0] == until else (until, now + left_s)
        return frozenset(name for name, (_, due_at) in self._due.items() if now > due_at + MARGIN_S)
