"""Evidence from time series (latencies, lags, rates): blocks long enough to forget each other count as units.

Neighbours in a series are alike, so a thousand values may say no more than fifty.  The integrated autocorrelation time
tau (Sokal: Monte Carlo methods in statistical mechanics, 1997, section 3) says how many make one; means over blocks of
ten tau are nearly independent and nearly normal, and go into the sequential t-test as trainings do, with a mixture for
many small effects instead of few large ones.

Limits: a block length chosen from the whole series is right for a series that is over; to look while it grows, choose
it from the steady state before.  Trends and regimes longer than a block are not forgotten.  A strongly skewed value
needs long blocks: give its logarithm, or ask about its tail.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from chaos_tasks.stats.evidence import Evidence, check_alpha
from chaos_tasks.stats.row_evidence import row_evidence
from chaos_tasks.stats.seed_evidence import MANY, seed_evidence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

UNIT = "block"
FEWEST = 8  # blocks below which their spread is not worth an opinion
_MOST = 64  # blocks; more cost time and say nothing more
_TIMES = 10  # block length in autocorrelation times


def autocorrelation_time(series: Sequence[float] | Floats) -> float:
    """How many values say as much as one independent value: at least 1; 1 where neighbours look independent.

    Sums autocorrelations up to the first window of five times the sum.  A constant or short series (fewer than 8) is 1.
    """
    import numpy as np

    values = np.asarray(series, dtype=np.float64)
    n = len(values)
    if n < 8 or not np.isfinite(values).all():
        return 1.0
    scaled = values / (np.abs(values).max() or 1.0)
    centred = scaled - scaled.mean()
    power = float(np.sum(centred * centred))
    if power == 0 or abs(float(np.sum(centred[1:] * centred[:-1]))) <= 2 / math.sqrt(n) * power:
        return 1.0
    time = 1.0
    for lag in range(1, n // 2):
        time += 2 * float(np.sum(centred[lag:] * centred[:-lag])) / power
        if lag >= 5 * time:
            break
    return max(1.0, time)


def block_length(series: Sequence[float] | Floats) -> int:
    """Values per block: 1 where neighbours look independent, else ten autocorrelation times."""
    time = autocorrelation_time(series)
    return 1 if time == 1 else math.ceil(_TIMES * time)


def series_evidence(
    worsenings: Sequence[float] | Floats,
    margin: float,
    *,
    alpha: float,
    length: int | None = None,
    fewest: int = FEWEST,
) -> Evidence | None:
    """Evidence of the mean worsening against the margin, by block; None where the series is too short for its memory.

    ``worsenings``: in order of time, positive is worse: treatment minus control at the same moment, or treatment minus
    a constant.  ``length``: values per block, from the series itself unless given; the oldest values that fill no
    block are left out.  None with fewer than ``fewest`` blocks, or a value that is not finite.
    Raises ValueError for an alpha outside (0, 0.5) or a length below 1.
    """
    import numpy as np

    check_alpha(alpha)
    if length is not None and length < 1:
        raise ValueError(f"a block needs a value, not {length}")
    values = np.asarray(worsenings, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        return None
    size = max(length or block_length(values), -(-len(values) // _MOST))
    count = len(values) // size
    if count < max(1, fewest):
        return None
    kept = (values[len(values) - count * size :] / size).reshape(count, size)
    means = [math.fsum(block) for block in kept.tolist()]
    found = seed_evidence(means, margin, alpha=alpha, mixture=MANY)
    return None if found is None else replace(found, method=f"sequential t of blocks of {size}", unit=UNIT)


def tail_evidence(
    control: Sequence[float] | Floats,
    treatment: Sequence[float] | Floats,
    *,
    ratio: float,
    alpha: float,
    quantile: float = 0.99,
    baseline: Sequence[float] | Floats | None = None,
) -> Evidence | None:
    """Evidence of how much more often treatment exceeds a high quantile of control than ``ratio`` times as often.

    The worsening is share(treatment beyond) - ratio * share(control beyond), against 0.  The threshold is the quantile
    of ``baseline`` (the steady state before), or else of the control's own past at each moment, so that no value judges
    itself; None where there is less than 1 / (1 - quantile) of it.  The i-th values of both arms form a pair, high is
    bad.  Independent pairs are bet on one by one (unit ``row``), dependent ones go by block.
    Raises ValueError for a ratio below 1, or alpha or quantile out of range.
    """
    import numpy as np

    check_alpha(alpha)
    if not 1 <= ratio < math.inf or not 0 < quantile < 1:
        raise ValueError(f"ratio must be at least 1 and quantile within (0, 1), not {ratio} and {quantile}")
    before, after = np.asarray(control, dtype=np.float64), np.asarray(treatment, dtype=np.float64)
    pairs = min(len(before), len(after))
    before, after = before[:pairs], after[:pairs]
    threshold = _thresholds(before, quantile, baseline)
    if threshold is None or not np.isfinite(before).all() or np.isnan(after).any():
        return None
    start = pairs - len(threshold)
    beyond = (after[start:] > threshold).astype(np.float64), (before[start:] > threshold).astype(np.float64)
    worsenings = beyond[0] - ratio * beyond[1]
    if max(block_length(side) for side in (*beyond, worsenings)) == 1:
        return row_evidence(worsenings, 0.0, bound=ratio, alpha=alpha)
    return series_evidence(worsenings, 0.0, alpha=alpha, length=max(block_length(side) for side in beyond))


def _thresholds(control: Floats, quantile: float, baseline: Sequence[float] | Floats | None) -> Floats | None:
    """One per pair that can be judged, the last ones of all; None without enough to take a quantile of."""
    import numpy as np

    needed = math.ceil(1 / (1 - quantile))
    if baseline is not None:
        known = np.asarray(baseline, dtype=np.float64)
        if len(known) < needed or not np.isfinite(known).all() or not len(control):
            return None
        return np.full(len(control), float(np.quantile(known, quantile)))
    if len(control) <= needed or not np.isfinite(control).all():
        return None
    return _running_quantile(control, quantile, needed)


def _running_quantile(values: Floats, quantile: float, start: int) -> Floats:
    """The quantile of all values before each one, from the ``start``-th on."""
    from bisect import insort

    import numpy as np

    past = sorted(values[:start].tolist())
    found = []
    for value in values[start:].tolist():
        found.append(past[min(len(past) - 1, math.ceil(quantile * len(past)) - 1)])
        insort(past, value)
    return np.asarray(found, dtype=np.float64)
