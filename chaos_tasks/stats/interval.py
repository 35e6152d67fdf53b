"""An estimate with its interval, and where that interval lies against a margin."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Position(StrEnum):
    """Where an interval lies against a margin."""

    BELOW = "below"  # all of it
    ABOVE = "above"
    STRADDLES = "straddles"


@dataclass(frozen=True)
class Interval:
    """A two-sided interval; ``level`` is its coverage (0..1), ``n`` the number of independent units behind it."""

    estimate: float
    low: float
    high: float
    level: float
    n: int
    method: str

    def shifted(self, by: float) -> Interval:
        """The same interval, moved."""
        return Interval(self.estimate + by, self.low + by, self.high + by, self.level, self.n, self.method)

    def against(self, margin: float) -> Position:
        """BELOW when all of it is under the margin, ABOVE when all of it is over; touching the margin straddles."""
        if self.high < margin:
            return Position.BELOW
        return Position.ABOVE if self.low > margin else Position.STRADDLES
