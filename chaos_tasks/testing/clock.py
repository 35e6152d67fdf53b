"""A clock that a test moves by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Starts at a fixed moment; ``sleep`` and ``advance`` move it and return at once."""

    def __init__(self, start: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed_s = 0.0

    def now(self) -> datetime:
        """Timezone-aware UTC."""
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed_s

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass without waiting."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move forwards; raises ValueError for a step back."""
        if seconds < 0:
            raise ValueError(f"a clock never runs backwards: {seconds} s")
        self._elapsed_s += seconds
