"""Many questions at once: which answers stand, with the share of false ones among them held down.

Evidence comes as e-values, by their natural logs: non-negative numbers whose mean is at most 1 where nothing is wrong.
FDR is the mean of (false rejections / rejections), 0 without any.  What each procedure needs:

| procedure | controls | valid under |
| --- | --- | --- |
| `e_bh`, `closed_e_bh` | FDR of one night | any dependence |
| `e_lond` | FDR over the whole stream | any dependence |
| `nights_e_lond` | FDR over all nights so far, at each night | any dependence |
| `bh` | FDR of one night | independent p-values, or positive dependence (PRDS) |
| `lord` | FDR over the whole stream | independent p-values; under dependence within a night it errs |

The last two stand beside ours for comparison.  `restarted` collects the evidence of one question over nights.
Procedures over nights are pure steps: (state, evidence of a night) -> (state, decisions).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from pydantic import Field

from chaos_tasks.model.adjustment import NightsState
from chaos_tasks.model.base import Value

Decisions = tuple[bool, ...]

LARGEST_LOG_E = 600.0
"""More evidence than this counts as this much, so that sums of e-values stay finite; less is always allowed."""

GAMMA_POWER = 1.25
_ZETA = 4.59512  # Riemann's zeta at GAMMA_POWER, rounded up

CARRIED = 0.9
"""Share of a night's starting evidence that comes from the nights before; the rest starts anew."""


class LondState(Value):
    """How far e-LOND is: hypotheses asked and rejected."""

    asked: int = Field(0, ge=0)
    rejected: int = Field(0, ge=0)


class LordState(Value):
    """How far LORD++ is: hypotheses asked, and the numbers (1-based) of those that were rejected."""

    asked: int = Field(0, ge=0)
    rejected_at: tuple[int, ...] = ()
    horizon: int = Field(0, ge=0, description="All that will ever be asked, where that is known; 0: without end.")


def gamma(n: int) -> float:
    """Share of the error that the n-th question (n >= 1) may spend: n^-1.25, scaled; all shares together are below 1.

    The thinner the tail, the more the first questions get.  Found rejections buy back about n, so a power close to 1
    is best for a stream that goes on; 1.25 loses least over 30 to 365 nights (benchmarks/nights.py).
    """
    return math.exp(-GAMMA_POWER * math.log(n)) / _ZETA


def e_bh(log_e: Sequence[float], alpha: float) -> Decisions:
    """The base e-BH procedure: reject the k largest e-values for the largest k with e_(k) >= m / (alpha k).

    Wang, Ramdas: False discovery rate control with e-values, JRSS-B 84 (2022).
    """
    _check(log_e, alpha)
    m = len(log_e)
    ordered = sorted(log_e, reverse=True)
    k = max((k for k in range(1, m + 1) if ordered[k - 1] >= math.log(m / (alpha * k))), default=0)
    return _largest(log_e, k)


def closed_e_bh(log_e: Sequence[float], alpha: float, *, testable: Sequence[bool] | None = None) -> Decisions:
    """The closed e-BH procedure: never rejects less than `e_bh`, and is valid wherever that is.

    A set R may be rejected when for every set S of hypotheses the mean of S's e-values is at least
    |S & R| / (alpha |R|): whichever S the true nulls are, the false share of R is then at most alpha times a mean of
    e-values.  The largest such R is rejected.  That holds for every such R at once, so R may be looked for among the
    ``testable`` only, however those were chosen.  Xu, Solari, Fischer, de Heide, Ramdas, Goeman: Bringing closure to
    FDR control, arXiv:2509.02517 (2025).
    """
    _check(log_e, alpha)
    return _closed(log_e, alpha, already=0, testable=_flags(testable, len(log_e)))


def e_lond(state: LondState, log_e: Sequence[float], alpha: float) -> tuple[LondState, Decisions]:
    """One question after the other, the t-th at alpha gamma(t) (rejections so far + 1).

    Xu, Ramdas: Online multiple testing with e-values, AISTATS (2024).
    """
    _check(log_e, alpha)
    asked, rejected, decisions = state.asked, state.rejected, []
    for one in log_e:
        asked += 1
        decisions.append(one >= -math.log(alpha * gamma(asked) * (rejected + 1)))
        rejected += decisions[-1]
    return LondState(asked=asked, rejected=rejected), tuple(decisions)


def nights_e_lond(
    state: NightsState, log_e: Sequence[float], alpha: float, *, testable: Sequence[bool] | None = None
) -> tuple[NightsState, Decisions]:
    """e-LOND by whole nights, closed within the night: what a night rejects counts for its own decisions too.

    Night b spends alpha gamma(b).  With K the rejections of all nights so far, tonight's included, R may be rejected
    when for every set S of tonight's hypotheses the mean of S's e-values is at least |S & R| / (alpha gamma(b) K).
    Whichever the nulls, the false share after any night is then at most the sum of alpha gamma(b) times a mean of
    e-values, and its mean at most alpha, however everything depends on everything.  ``testable`` leaves out hypotheses
    that are known already: they still count among tonight's, so the choice may depend on anything.
    """
    _check(log_e, alpha)
    night, flags = state.nights + 1, _flags(testable, len(log_e))
    decisions = _closed(log_e, alpha * gamma(night), already=state.rejected, testable=flags)
    return NightsState(nights=night, rejected=state.rejected + sum(decisions)), decisions


def bh(p: Sequence[float], alpha: float) -> Decisions:
    """Reject the k smallest p-values for the largest k with p_(k) <= alpha k / m (Benjamini, Hochberg 1995)."""
    _check(p, alpha)
    m, ordered = len(p), sorted(p)
    k = max((k for k in range(1, m + 1) if ordered[k - 1] <= alpha * k / m), default=0)
    return tuple(one <= ordered[k - 1] if k else False for one in p)


def lord(state: LordState, p: Sequence[float], alpha: float) -> tuple[LordState, Decisions]:
    """LORD++ with half of alpha as the first wealth.

    Ramdas, Yang, Wainwright, Jordan: Online control of the false discovery rate with decaying memory, NeurIPS (2017);
    spending by Javanmard, Montanari, Ann. Stat. 46 (2018).
    """
    _check(p, alpha)
    asked, rejected, decisions = state.asked, list(state.rejected_at), []
    scale = alpha / (_lord_total(state.horizon) if state.horizon else 1.0)
    for one in p:
        asked += 1
        shares = [_lord_gamma(asked - at) for at in rejected]
        earned = sum(shares) - sum(shares[:1]) / 2  # the first rejection earns half, since half was there at first
        decisions.append(one <= scale * (_lord_gamma(asked) / 2 + earned))
        if decisions[-1]:
            rejected.append(asked)
    return state.model_copy(update={"asked": asked, "rejected_at": tuple(rejected)}), tuple(decisions)


def restarted(log_before: float, log_e: float, *, carried: float = CARRIED) -> float:
    """Log evidence over nights: tonight's e-value times (carried x the evidence before + the rest anew).

    A weighted mean, over every night on which the trouble may have begun, of the product of the e-values from then on;
    the weights are geometric into the past and sum to 1.  Starts with 0 (no evidence).  An e-value after each night
    when each night's e-value is one given the nights before it: fresh seeds each night, and the same question.
    """
    if not 0 <= carried < 1:
        raise ValueError(f"the carried share must lie within [0, 1), not {carried}")
    _check((log_before, log_e), 0.5)
    anew = math.log1p(-carried)
    old = log_before + math.log(carried) if carried else -math.inf
    return max(-LARGEST_LOG_E, min(LARGEST_LOG_E, _capped(log_e) + _log_sum((old, anew))))


def mean_log(log_e: Sequence[float]) -> float:
    """Log of the mean of e-values: an e-value again, however they depend on each other.  Raises ValueError for none."""
    if not log_e:
        raise ValueError("the mean of no e-values is no e-value")
    return _log_sum([_capped(one) for one in log_e]) - math.log(len(log_e))


def _closed(log_e: Sequence[float], alpha: float, *, already: int, testable: Sequence[bool]) -> Decisions:
    """Largest set of testable hypotheses that every S supports; the candidates for size r are the r largest."""
    values = [math.exp(_capped(one)) for one in log_e]
    inside = sorted(value for value, wanted in zip(values, testable, strict=True) if wanted)
    known = sorted(value for value, wanted in zip(values, testable, strict=True) if not wanted)
    for r in range(len(inside), 0, -1):
        step = 1 / (alpha * (r + already))  # evidence that each rejected member of S must bring
        if inside[-r] >= step and _supported(inside[-r:], sorted(inside[:-r] + known) if known else inside[:-r], step):
            return _at_least(values, testable, inside[-r], r)
    return (False,) * len(log_e)


def _flags(testable: Sequence[bool] | None, count: int) -> Sequence[bool]:
    flags = [True] * count if testable is None else testable
    if len(flags) != count:
        raise ValueError(f"{len(flags)} flags for {count} e-values")
    return flags


def _supported(chosen: Sequence[float], others: Sequence[float], step: float) -> bool:
    """Whether the mean of each S is at least step x |S & chosen|; both sequences ascend.

    The worst S with j of the chosen holds the j smallest, and of the others those below its mean; that mean grows with
    j, so both are walked once.
    """
    total, k = 0.0, 0
    for j, value in enumerate(chosen, start=1):
        total += value
        while k < len(others) and others[k] * (j + k) < total:
            total += others[k]
            k += 1
        if total < step * j * (j + k):
            return False
    return True


def _at_least(values: Sequence[float], testable: Sequence[bool], least: float, r: int) -> Decisions:
    """Exactly r of the testable, the largest; of equal ones the first."""
    above = sum(wanted and value > least for value, wanted in zip(values, testable, strict=True))
    ties = r - above
    decisions = []
    for value, wanted in zip(values, testable, strict=True):
        tied = wanted and value == least and ties > 0
        ties -= tied
        decisions.append(wanted and (value > least or tied))
    return tuple(decisions)


def _largest(log_e: Sequence[float], k: int) -> Decisions:
    if not k:
        return (False,) * len(log_e)
    least = sorted(log_e, reverse=True)[k - 1]
    return tuple(one >= least for one in log_e)


@lru_cache(maxsize=16384)
def _lord_gamma(n: int) -> float:
    """Javanmard and Montanari's spending; the sum over all n is 1, and is reached very slowly."""
    return 0.07720838 * math.log(max(n, 2)) / (n * math.exp(math.sqrt(math.log(n))))


@lru_cache(maxsize=16)
def _lord_total(horizon: int) -> float:
    return math.fsum(_lord_gamma(n) for n in range(1, horizon + 1))


def _capped(log_e: float) -> float:
    return min(log_e, LARGEST_LOG_E)


def _log_sum(logs: Sequence[float]) -> float:
    """log of a sum, by its largest part."""
    top = max(logs)
    return top if math.isinf(top) else top + math.log(math.fsum(math.exp(one - top) for one in logs))


def _check(values: Sequence[float], alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie within (0, 1), not {alpha}")
    if any(math.isnan(value) for value in values):
        raise ValueError("NaN is no evidence")
