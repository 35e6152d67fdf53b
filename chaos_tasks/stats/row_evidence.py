"""Sequential evidence from rows: bounded differences of one control and one treatment model, by betting.

A gambler who bets a share c of what can be lost on each row against the mean being m has, after n rows, the wealth

    prod_i (1 - c + c z_i / z(m)),   z_i = bound -+ x_i, z(m) = bound -+ m,

a non-negative martingale where the mean is m, and a supermartingale where it lies on the other side (Waudby-Smith,
Ramdas: Estimating means of bounded random variables by betting, JRSS B 86, 2024).  A mixture over fixed shares needs no
estimate of the spread; its weights lean to bold bets, since paired rows seldom differ (ADR 0013).  Nothing is assumed
of the shape; the rows come in an order that does not depend on what they say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from chaos_tasks.stats.evidence import Evidence, Look, check_alpha, settle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

METHOD = "betting on rows"
UNIT = "row"

_SHARES = (0.9, 0.8, 0.6, 0.4, 0.2, 0.1, 0.05, 0.025, 0.0125, 0.00625)
_WEIGHTS = (0.2, 0.28, 0.19, 0.1, 0.08, 0.06, 0.04, 0.025, 0.015, 0.01)

_BINS = 128  # of the interval's data, see _atoms; an even number, so that -1, 0 and 1 lie on edges
_NEAR = 1e-12  # by which the grid is wider than the data, so that it has cells
_HALVINGS = 36


def row_evidence(
    worsenings: Sequence[float] | Floats,
    margin: float,
    *,
    bound: float = 1.0,
    alpha: float,
    looks: Sequence[int] | None = None,
) -> Evidence | None:
    """Evidence of the mean worsening per row against the margin; None without rows, or where one is not finite.

    ``worsenings``: treatment minus control, positive is worse, within +-bound; |margin| < bound.  Each row is a look
    for the decision at ``alpha``; ``looks`` (row counts, 16, 32, 64, ... unless given) are those kept with an interval
    of their own, beside the rows at which the evidence stood highest between them and at which it first was enough.
    Raises ValueError for an alpha outside (0, 0.5), or numbers beyond the bound.
    """
    import numpy as np

    check_alpha(alpha)
    values = np.asarray(worsenings, dtype=np.float64)
    if not math.isfinite(margin) or not 0 < bound < math.inf or abs(margin) >= bound:
        raise ValueError(f"the margin must lie within +-{bound}, not be {margin}")
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        return None
    if np.abs(values).max() > bound:
        raise ValueError(f"a worsening lies beyond its bound of {bound}")
    schedule = _schedule(len(values), looks)
    found = _looks(values / bound, margin / bound, schedule, alpha, bound)
    return settle(found, alpha=alpha, margin=margin, method=METHOD, unit=UNIT)


def _looks(values: Floats, margin: float, schedule: list[int], alpha: float, bound: float) -> Iterator[Look]:
    """Everything in units of the bound, but what is handed out."""
    import numpy as np

    passed = _log_wealth((1 - values) / (1 - margin))
    failed = _log_wealth((1 + values) / (1 + margin))
    sums = np.cumsum(values)
    masses, atoms = _atoms(values, schedule)
    highs = _reach(masses, 1 - atoms, alpha)
    lows = _reach(masses, 1 + atoms, alpha)
    kept = dict(zip(schedule, zip(lows - 1, 1 - highs, strict=True), strict=True))
    heights = {n for wealth in (passed, failed) for n in _heights(wealth, schedule, -math.log(alpha))}
    for n in sorted({*schedule, *heights}):
        low, high = kept.get(n, (-math.inf, math.inf))
        mean = float(sums[n - 1]) / n
        ends = float(low) * bound, float(high) * bound
        yield Look(n, float(passed[n - 1]), float(failed[n - 1]), mean * bound, *ends)


def _schedule(rows: int, looks: Sequence[int] | None) -> list[int]:
    """Ascending row counts, the last one always among them."""
    wanted = (2**k for k in range(4, 64)) if looks is None else looks
    return sorted({n for n in wanted if 0 < n < rows} | {rows})


def _log_wealth(factors: Floats) -> Floats:
    """Log of the mixture's wealth after each row; ``factors`` are z / z(m), 1 in the mean under the null.

    Products within chunks that cannot overflow, logs between them: one log per row instead of one per row and share.
    """
    import numpy as np

    rows = len(factors)
    largest = max(10.0, float(factors.max()))
    width = max(1, min(128, int(250 / math.log10(largest))))
    padded = np.ones(-(-rows // width) * width)
    padded[:rows] = factors
    chunks = padded.reshape(-1, width)
    products = [np.cumprod((1 - share) + share * chunks, axis=1) for share in _SHARES]
    with np.errstate(under="ignore"):
        starts = np.stack([_starts(product[:, -1], weight) for product, weight in zip(products, _WEIGHTS, strict=True)])
        top = starts.max(axis=0)
        scales = np.exp(starts - top)
        total = np.zeros_like(chunks)
        for scale, product in zip(scales, products, strict=True):
            total += scale[:, None] * product
    wealth: Floats = (top[:, None] + np.log(total)).reshape(-1)[:rows]
    return wealth


def _starts(ends: NDArray[Any], weight: float) -> Floats:
    """Log wealth of one share as each chunk begins, with its weight."""
    import numpy as np

    logs = np.log(ends)
    starts: Floats = math.log(weight) + np.concatenate([[0.0], np.cumsum(logs[:-1])])
    return starts


def _heights(wealth: Floats, schedule: list[int], needed: float) -> list[int]:
    """Row counts at which the evidence stood highest between two looks, and at which it first was enough."""
    starts = [0, *schedule[:-1]]
    found = [start + int(wealth[start:end].argmax()) + 1 for start, end in zip(starts, schedule, strict=True)]
    enough = wealth >= needed
    return [*found, int(enough.argmax()) + 1] if enough.any() else found


def _atoms(values: Floats, schedule: list[int]) -> tuple[Floats, Floats]:
    """Mass on each edge of a grid after each look, as (looks, edges), and the edges.

    Each row is shared between the two edges beside it so that sums stay the same; as log wealth is concave in z, the
    wealth on the grid is at most the real one and the interval from it at least as wide.  0/1 rows lie on edges.
    """
    import numpy as np

    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.asarray(schedule, dtype=np.float64)[:, None], np.array([low])
    if float(values[0]) in (-1.0, 0.0, 1.0) and np.isin(values, (-1.0, 0.0, 1.0)).all():
        low, high, bins = -1.0, 1.0, 2
    else:
        low, high, bins = max(-1.0, low - _NEAR), min(1.0, high + _NEAR), _BINS
    place = (values - low) * (bins / (high - low))
    left = np.minimum(place.astype(np.int64), bins - 1)
    share = place - left
    starts = [0, *schedule[:-1]]
    steps = [
        np.bincount(left[start:end], 1 - share[start:end], bins + 1)
        + np.bincount(left[start:end] + 1, share[start:end], bins + 1)
        for start, end in zip(starts, schedule, strict=True)
    ]
    edges = low + (high - low) * np.arange(bins + 1) / bins
    return np.cumsum(np.stack(steps), axis=0), edges


def _reach(masses: Floats, z: Floats, alpha: float) -> Floats:
    """Per look: the largest mean of z that is excluded from above's point of view, 0 when none is.

    The wealth against a mean falls in that mean: at the sample's own it is at most 1, towards 0 it grows.
    """
    import numpy as np

    counts = masses.sum(axis=1)
    needed = -math.log(alpha)
    out, inside = np.zeros(len(masses)), (masses * z).sum(axis=1) / counts
    for _ in range(_HALVINGS):
        middle = (out + inside) / 2
        excluded = _wealth_against(middle, masses, z) >= needed
        out, inside = np.where(excluded, middle, out), np.where(excluded, inside, middle)
    return out


def _wealth_against(mean: Floats, masses: Floats, z: Floats) -> Floats:
    """Log wealth of the mixture per look, against a candidate mean each; infinite against a mean of 0 that is wrong."""
    import numpy as np

    safe = np.maximum(mean, np.finfo(np.float64).tiny)
    logs: list[Any] = []
    for share, weight in zip(_SHARES, _WEIGHTS, strict=True):
        factors = (1 - share) + share * z[None, :] / safe[:, None]
        logs.append(math.log(weight) + (masses * np.log(factors)).sum(axis=1))
    wealth: Floats = np.logaddexp.reduce(np.stack(logs), axis=0)
    return wealth
