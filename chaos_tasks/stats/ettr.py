"""Effective training time ratio under failures: what to expect of it, and how often to save for the most of it.

The ratio is useful time over elapsed time.  Three results, each checked against simulation in the tests:

* Young, A first order approximation to the optimum checkpoint interval, CACM 17 (1974): the interval that loses least.
* Saxena, Hukerikar, Blaz, Raj, Optimal checkpoint interval with availability as an objective function,
  arXiv:2410.18124: the period that makes the most of the time.
* Kokolis, Kuchnik, Hoffman et al., Revisiting reliability in large-scale machine learning research clusters, HPCA 2025,
  arXiv:2410.21680: the expected ratio in closed form.

All times are seconds.  An *interval* is work between two saves; a *period* is an interval and the save that ends it.
"""

from __future__ import annotations

import math

TOLERANCE = 0.03
"""Relative difference of measured and expected ratio beyond which the two are said to disagree."""


def young_interval(mtbf_s: float, write_s: float) -> float:
    """Work between two saves that loses the least time, sqrt(2 M w); 0 where saving costs nothing.

    Raises ValueError unless ``mtbf_s`` > 0 and ``write_s`` >= 0, both finite.
    """
    _require(mtbf_s=mtbf_s)
    _require_not_negative(write_s=write_s)
    return math.sqrt(2 * mtbf_s * write_s)


def availability_period(uptime_s: float, recovery_s: float, write_s: float) -> float:
    """Time from save to save, the save included, that maximises availability: Ts + sqrt(2 (Tf + Tr) Ts + Ts^2).

    ``uptime_s`` is Tf, the mean running time between failures; ``recovery_s`` is Tr, from a failure until work goes on.
    Raises ValueError unless ``uptime_s`` > 0 and the others are >= 0, all finite.
    """
    _require(uptime_s=uptime_s)
    _require_not_negative(recovery_s=recovery_s, write_s=write_s)
    return write_s + math.sqrt(2 * (uptime_s + recovery_s) * write_s + write_s**2)


def expected_ratio(mtbf_s: float, restart_s: float, interval_s: float, write_s: float) -> float:
    """Expected ratio (0..1): (1 - (u0 + dt/2) / M) / (1 + w/dt), where 1/M is the published N r_f.

    ``mtbf_s`` is elapsed time per failure (infinite: none), ``restart_s`` u0 from a failure until work goes on,
    ``interval_s`` dt the work between two saves, ``write_s`` w the cost of one.  First order in dt/M: where failures
    leave no time at all, it is 0.  Raises ValueError unless M and dt are > 0 and the others >= 0.
    """
    if not mtbf_s > 0:
        raise ValueError(f"mtbf_s must be positive, not {mtbf_s}")
    _require(interval_s=interval_s)
    _require_not_negative(restart_s=restart_s, write_s=write_s)
    kept = 1 - (restart_s + interval_s / 2) / mtbf_s
    return max(0.0, kept) / (1 + write_s / interval_s)


def disagree(measured: float, expected: float, tolerance: float = TOLERANCE) -> bool:
    """Whether the two differ by more than this share of the measured one; NaN disagrees with anything."""
    return not abs(measured - expected) <= tolerance * abs(measured)


def _require(**amounts: float) -> None:
    for name, amount in amounts.items():
        if not (math.isfinite(amount) and amount > 0):
            raise ValueError(f"{name} must be positive and finite, not {amount}")


def _require_not_negative(**amounts: float) -> None:
    for name, amount in amounts.items():
        if not (math.isfinite(amount) and amount >= 0):
            raise ValueError(f"{name} must be finite and not negative, not {amount}")
