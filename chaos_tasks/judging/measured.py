"""What a margin check measured: estimate and interval against the margin, the evidence behind it, and where it lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaos_tasks.judging import wording
from chaos_tasks.model.verdict import EvidencePoint
from chaos_tasks.stats.evidence import Decision, Evidence
from chaos_tasks.stats.interval import Interval, Position

_POSITIONS = {Decision.PASS: Position.BELOW, Decision.FAIL: Position.ABOVE, Decision.OPEN: Position.STRADDLES}


@dataclass(frozen=True)
class Measured:
    """Worsenings in the metric's own unit, positive is worse; ``position`` is where the truth lies by this evidence."""

    interval: Interval
    position: Position
    method: str
    log_e_pass: float | None = None
    log_e_fail: float | None = None
    decided_at: int | None = None
    points: tuple[EvidencePoint, ...] = ()
    seeds: tuple[int, ...] = field(default=())

    @property
    def bounded(self) -> bool:
        """Whether the interval has two ends."""
        return math.isfinite(self.interval.low) and math.isfinite(self.interval.high)


def of_interval(interval: Interval, margin: float, seeds: Sequence[int]) -> Measured:
    """From one look at a planned number of pairs."""
    method = f"{interval.method}, {wording.percent(interval.level)} interval"
    return Measured(interval, interval.against(margin), method, seeds=tuple(seeds))


def of_evidence(evidence: Evidence, seeds: Sequence[int], *, shift: float = 0.0) -> Measured:
    """From an e-process; ``shift`` moves its scale, where it was asked about an excess over the margin."""
    level = 1 - 2 * evidence.alpha
    raw = Interval(evidence.estimate, evidence.low, evidence.high, level, evidence.n, evidence.method)
    return Measured(
        interval=raw.shifted(shift),
        position=_POSITIONS[evidence.decision()],
        method=f"{evidence.method}, {wording.percent(level)} confidence sequence",
        log_e_pass=evidence.stopped_log_e_pass,
        log_e_fail=evidence.stopped_log_e_fail,
        decided_at=evidence.decided_at,
        points=tuple(
            EvidencePoint(
                n=look.n,
                log_e_pass=look.log_e_pass,
                log_e_fail=look.log_e_fail,
                estimate=finite(look.estimate + shift),
                low=finite(look.low + shift),
                high=finite(look.high + shift),
            )
            for look in evidence.looks
        ),
        seeds=tuple(seeds),
    )


def finite(number: float | None) -> float | None:
    """The number, or None where there is no finite one."""
    return number if number is not None and math.isfinite(number) else None
