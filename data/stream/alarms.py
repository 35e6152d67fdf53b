"""What the stream's own team would notice: records that come late, and records that do not come."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

WINDOW = 1.0
LAG_LIMIT = 0.2
FOR = 1.0
STALLED_AFTER = 1.0


def quantile(values: list[float], share: float) -> float:
    """The value that `share` of them do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else float("nan")


@dataclass
class Watch:
    """Each alarm fires once per episode; time comes in."""

    recent: deque[tuple[float, float]] = field(default_factory=deque)
    last: float | None = None
    above_since: float | None = None
    lagging: bool = False
    stalled: bool = False

    def record(self, now: float, lag: float) -> None:
        self.recent.append((now, lag))
        self.last, self.stalled = now, False

    def check(self, now: float) -> list[str]:
        """The alarms that begin now."""
        return [*self._lag(now), *self._stall(now)]

    def _lag(self, now: float) -> list[str]:
        while self.recent and self.recent[0][0] < now - WINDOW:
            self.recent.popleft()
        if not self.recent or quantile([lag for _, lag in self.recent], 0.95) <= LAG_LIMIT:
            self.above_since, self.lagging = None, False
            return []
        self.above_since = now if self.above_since is None else self.above_since
        if self.lagging or now - self.above_since < FOR:
            return []
        self.lagging = True
        return ["lag"]

    def _stall(self, now: float) -> list[str]:
        if self.stalled or self.last is None or now - self.last < STALLED_AFTER:
            return []
        self.stalled = True
        return ["stream_stalled"]
