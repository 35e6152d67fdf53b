"""Kayenta's Mann-Whitney rule as an opponent, on data that its users reported, and on 60 requests per arm.

The rule, re-implemented from its published behaviour: the Hodges-Lehmann shift with a normal-approximation interval (as
R's wilcox.test) at .95 (the class) or .98 (the shipped judge); High when the interval's lower end lies above
.25 x |shift|.  The tolerance is a share of the estimate itself, so it is no margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chaos_tasks.stats.evidence import Decision, Evidence
from chaos_tasks.stats.series_evidence import series_evidence, tail_evidence

Floats = NDArray[np.float64]
ALPHA = 0.05
TOLERANCE = 0.25


@dataclass(frozen=True)
class Shift:
    """Hodges-Lehmann shift of the canary against the control with its interval."""

    estimate: float
    low: float
    high: float


def kayenta(control: Sequence[float], canary: Sequence[float], level: float) -> str:
    """``pass``, ``high`` or ``low``, direction "either"; identical or all equal data pass."""
    x, y = np.asarray(canary, dtype=np.float64), np.asarray(control, dtype=np.float64)
    if np.array_equal(np.sort(x), np.sort(y)) or len(np.unique(np.concatenate([x, y]))) == 1:
        return "pass"
    found = shift(y, x, level)
    bound = TOLERANCE * abs(found.estimate)
    return "high" if found.low > bound else "low" if found.high < -bound else "pass"


def shift(control: Floats, canary: Floats, level: float) -> Shift:
    """Roots of the standardised rank statistic, which falls in the shift that is taken off the canary."""
    from scipy.special import ndtri

    quantile = float(ndtri(1 - (1 - level) / 2))
    return Shift(_root(control, canary, 0.0), _root(control, canary, quantile), _root(control, canary, -quantile))


def _root(control: Floats, canary: Floats, quantile: float) -> float:
    from scipy.optimize import brentq

    least, most = float(canary.min() - control.max()), float(canary.max() - control.min())

    def distance(by: float) -> float:
        return _standardised(control, canary, by) - quantile

    if distance(least) <= 0:
        return least
    if distance(most) >= 0:
        return most
    return float(brentq(distance, least, most, xtol=1e-4))


def _standardised(control: Floats, canary: Floats, by: float) -> float:
    """Continuity and ties corrected, as R does."""
    from scipy.stats import rankdata

    m, n = len(canary), len(control)
    ranks = rankdata(np.concatenate([canary - by, control]))
    ties = np.unique(ranks, return_counts=True)[1].astype(np.float64)
    excess = float(ranks[:m].sum()) - m * (m + 1) / 2 - m * n / 2
    sigma = np.sqrt(m * n / 12 * ((m + n + 1) - float(np.sum(ties**3 - ties)) / ((m + n) * (m + n - 1))))
    return float((excess - 0.5 * np.sign(excess)) / sigma) if sigma else 0.0


@dataclass(frozen=True)
class Case:
    """Data as its reporter gave them; they call the canary bad."""

    source: str
    what: str
    control: tuple[float, ...]
    canary: tuple[float, ...]


CASES = (
    Case(
        "kayenta#780",
        "another spread and level, same median",
        (1, 100, 4, 101, 5, 102, 6, 103, 7, 104, 8, 105, 9, 106, 17),
        (10, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 17, 17.1, 17.2, 17.3, 17.4, 17.5, 17.6, 17.7),
    ),
    Case("spinnaker#6278", "seven values of ten 100 times as high", (1,) * 10, (100,) * 7 + (1,) * 3),
    Case("kayenta#426", "errors where there were none, six points", (0,) * 6, (0, 1, 2, 1, 0, 0)),
)


def ours(case: Case) -> dict[str, Evidence | None]:
    """Level and spread, each either way, at a quarter of alpha; units are points in time.

    The margin is .25 of the control's mean: a share of something that is not itself under test.  0 where that is 0.
    """
    control, canary = np.asarray(case.control, dtype=np.float64), np.asarray(case.canary, dtype=np.float64)
    middle, margin = float(np.median(control)), TOLERANCE * float(abs(control.mean()))
    level, spread = canary - control, np.abs(canary - middle) - np.abs(control - middle)
    asked = {"level up": level, "level down": -level, "spread up": spread, "spread down": -spread}
    return {
        name: series_evidence(values, margin, alpha=ALPHA / len(asked), length=1, fewest=3)
        for name, values in asked.items()
    }


def answer(checks: dict[str, Evidence | None]) -> str:
    """FAIL where one check fails, PASS where all pass, else inconclusive with what is missing."""
    said = {name: Decision.OPEN if one is None else one.decision() for name, one in checks.items()}
    failed = [name for name, way in said.items() if way is Decision.FAIL]
    if failed:
        return f"deviated: {', '.join(failed)}"
    if all(way is Decision.PASS for way in said.values()):
        return "held"
    name, worst = max(
        ((name, one) for name, one in checks.items() if one is not None), key=lambda item: item[1].last_log_e_fail
    )
    return (
        f"inconclusive: {worst.n} points leave {name} by {worst.low:.3g} to {worst.high:.3g} open, margin "
        f"{worst.margin:.3g} (evidence of harm {np.exp(worst.last_log_e_fail):.1f}, needed {1 / worst.alpha:.0f})"
    )


# ---- 60 requests per arm ----------------------------------------------------------------------------------------

REQUESTS, STEADY = 60, 500


def latencies(rng: np.random.Generator, n: int) -> Floats:
    """Log-normal, median 1, as latencies are."""
    return np.asarray(rng.lognormal(0, 0.5, n))


def changed(kind: str, values: Floats, rng: np.random.Generator) -> Floats:
    """The canary's latencies."""
    if kind == "+50 %":
        return np.asarray(values * 1.5)
    if kind == "variance x2":
        centre = float(np.exp(0.125))
        return np.asarray(np.maximum(centre + (values - centre) * np.sqrt(2), 0))
    slow = 0.1 if kind == "10 % x20" else 0.0
    return np.asarray(values * np.where(rng.random(len(values)) < slow, 20, 1))


def notices(kind: str, rng: np.random.Generator) -> dict[str, bool]:
    """Which rule says that something got worse."""
    from scipy.stats import ks_2samp, mannwhitneyu

    control, canary = latencies(rng, REQUESTS), changed(kind, latencies(rng, REQUESTS), rng)
    steady = latencies(rng, STEADY)
    return {
        "Kayenta .95": kayenta(control.tolist(), canary.tolist(), 0.95) == "high",
        "Kayenta .98": kayenta(control.tolist(), canary.tolist(), 0.98) == "high",
        "Mann-Whitney": float(mannwhitneyu(canary, control, alternative="greater").pvalue) < ALPHA,
        "Kolmogorov-Smirnov": float(ks_2samp(canary, control, method="asymp").pvalue) < ALPHA,
        **{f"ours, {name}": one for name, one in _ours_on(control, canary, steady).items()},
    }


def _ours_on(control: Floats, canary: Floats, steady: Floats) -> dict[str, bool]:
    """Level of the logarithm, spread, and tail beyond the steady state's: each alone, and one of all at alpha / 3."""
    middle = float(np.median(steady))
    logs = np.log(np.maximum(canary, 1e-9)) - np.log(control)
    spread = np.abs(canary - middle) - np.abs(control - middle)
    alone = {
        "level": series_evidence(logs, 0.0, alpha=ALPHA, length=1),
        "spread": series_evidence(spread, 0.0, alpha=ALPHA, length=1),
        "tail": tail_evidence(control, canary, ratio=1.0, alpha=ALPHA, quantile=0.99, baseline=steady),
    }
    ways = {name: Decision.OPEN if one is None else one.decision() for name, one in alone.items()}
    third = [one is not None and one.decision(ALPHA / 3) is Decision.FAIL for one in alone.values()]
    return {**{name: way is Decision.FAIL for name, way in ways.items()}, "one of the three": any(third)}
