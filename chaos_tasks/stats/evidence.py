"""Evidence that grows: log e-values for pass and for fail after each look, and when they decide.

An e-value is a number whose mean is at most 1 under what it speaks against; an e-process is one at every stopping time
of its own.  By Ville's inequality it ever reaches 1/alpha with probability at most alpha, so one may look after every
unit and stop at the first crossing (Ramdas, Grünwald, Vovk, Shafer: Game-theoretic statistics and safe anytime-valid
inference, Statistical Science 38, 2023).  Positive worsenings are bad; the margin is the largest that is accepted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Decision(StrEnum):
    """What the evidence says about the worsening."""

    PASS = "pass"  # below the margin, shown
    FAIL = "fail"  # above the margin, shown
    OPEN = "open"  # neither is shown yet


@dataclass(frozen=True)
class Look:
    """What is known after ``n`` units.

    ``log_e_pass`` speaks against "worsening >= margin", ``log_e_fail`` against "worsening <= margin"; natural logs, as
    they stand at this look.  ``low`` and ``high`` are infinite as long as nothing can be said.
    """

    n: int
    log_e_pass: float
    log_e_fail: float
    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Evidence:
    """All looks, in order; at least one.

    ``low`` to ``high`` is a 1 - 2 alpha confidence sequence: with that probability it covers the truth at every look at
    once.  It leaves the margin out exactly when ``decision(alpha)`` is not OPEN.  ``method`` names the e-process,
    ``unit`` what was counted (``seed``, ``row``, ``block``).
    """

    looks: tuple[Look, ...]
    alpha: float
    margin: float
    method: str
    unit: str

    @property
    def n(self) -> int:
        """Units seen."""
        return self.looks[-1].n

    @property
    def estimate(self) -> float:
        """Mean worsening of all units.  Where the units drift, it may lie outside of the interval."""
        return self.looks[-1].estimate

    @property
    def low(self) -> float:
        """Lower end of the running interval."""
        return self.looks[-1].low

    @property
    def high(self) -> float:
        """Upper end of the running interval."""
        return self.looks[-1].high

    @property
    def log_e_pass(self) -> float:
        """Largest so far: what the decision rests on (Ville).  Not an e-value: ``stopped_log_e_pass`` is one."""
        return max(look.log_e_pass for look in self.looks)

    @property
    def log_e_fail(self) -> float:
        """Largest so far: what the decision rests on (Ville).  Not an e-value: ``stopped_log_e_fail`` is one."""
        return max(look.log_e_fail for look in self.looks)

    @property
    def stopped_log_e_pass(self) -> float:
        """An e-value's log, for averages, products over nights and e-BH: as it stood when this check was decided.

        The last look's where nothing is decided.  What another check does has no part in it.
        """
        return self._stop().log_e_pass

    @property
    def stopped_log_e_fail(self) -> float:
        """As ``stopped_log_e_pass``, for fail."""
        return self._stop().log_e_fail

    @property
    def last_log_e_pass(self) -> float:
        """As it stands at the last look."""
        return self.looks[-1].log_e_pass

    @property
    def last_log_e_fail(self) -> float:
        """As it stands at the last look."""
        return self.looks[-1].log_e_fail

    @property
    def decided_at(self) -> int | None:
        """Units seen when ``decision()`` fell; None while it is open."""
        return next((look.n for look in self.looks if _crossed(look, self.alpha) is not Decision.OPEN), None)

    def decision(self, alpha: float | None = None) -> Decision:
        """The first crossing of 1/alpha at any look: it stands, whatever comes after.

        Raises ValueError for an alpha outside (0, 0.5).
        """
        level = self.alpha if alpha is None else alpha
        check_alpha(level)
        found = (_crossed(look, level) for look in self.looks)
        return next((decision for decision in found if decision is not Decision.OPEN), Decision.OPEN)

    def _stop(self) -> Look:
        decided = (look for look in self.looks if _crossed(look, self.alpha) is not Decision.OPEN)
        return next(decided, self.looks[-1])


def check_alpha(alpha: float) -> None:
    """Raises ValueError unless alpha, the error rate of each side, lies within (0, 0.5)."""
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie within (0, 0.5), not {alpha}")


def settle(looks: Iterable[Look], *, alpha: float, margin: float, method: str, unit: str) -> Evidence:
    """Evidence from looks that carry the interval of their own n: intersects the intervals as they come.

    An interval that no longer meets the earlier ones (the truth has been missed already, or drifts) replaces them as
    long as nothing is decided, and is left aside afterwards; so the interval agrees with the decision at every look.
    """
    settled: list[Look] = []
    low, high, decision = -math.inf, math.inf, Decision.OPEN
    for look in looks:
        if decision is Decision.OPEN:
            decision = _crossed(look, alpha)
            low, high = _meet(low, high, look) or (look.low, look.high)
            low, high = _agree(low, high, margin, decision)
        else:
            low, high = _meet(low, high, look) or (low, high)
        settled.append(Look(look.n, look.log_e_pass, look.log_e_fail, look.estimate, low, high))
    return Evidence(tuple(settled), alpha, margin, method, unit)


def _crossed(look: Look, alpha: float) -> Decision:
    """Both cannot cross at one look: where one of them is above 1, the other is below."""
    needed = -math.log(alpha)
    if look.log_e_pass >= needed:
        return Decision.PASS
    return Decision.FAIL if look.log_e_fail >= needed else Decision.OPEN


def _meet(low: float, high: float, look: Look) -> tuple[float, float] | None:
    left, right = max(low, look.low), min(high, look.high)
    return (left, right) if left <= right else None


def _agree(low: float, high: float, margin: float, decision: Decision) -> tuple[float, float]:
    """Interval and e-value are two ways to one thing; where rounding lets them differ, the e-value wins."""
    if decision is Decision.PASS:
        below = min(high, math.nextafter(margin, -math.inf))
        return min(low, below), below
    if decision is Decision.FAIL:
        above = max(low, math.nextafter(margin, math.inf))
        return above, max(high, above)
    return min(low, margin), max(high, margin)
