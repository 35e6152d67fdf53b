"""Makes an e-value of a p-value, for checks whose evidence comes from one look at one interval.

The mixture of all power calibrators (Vovk, Wang: E-values: calibration, combination and applications, Annals of
Statistics 49, 2021, section 2): needs no parameter, and pays for that with some of the evidence.
"""

from __future__ import annotations

import math


def log_e_of_p(p: float) -> float:
    """Natural log of (1 - p + p ln p) / (p ln^2 p); at p = 1 that of its limit, 1/2.

    Raises ValueError outside of (0, 1].
    """
    if not 0 < p <= 1:
        raise ValueError(f"a p-value lies within (0, 1], not {p}")
    if p > 0.99:  # the quotient of two vanishing numbers; its series around 1
        return math.log(0.5 + (1 - p) / 6)
    return math.log(1 - p + p * math.log(p)) - math.log(p) - 2 * math.log(-math.log(p))
