"""E-values made of p-values: never more than one in the mean, and growing as p shrinks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.stats.p_to_e import log_e_of_p


def test_has_a_mean_of_one_under_the_null() -> None:
    from scipy import integrate

    found, _ = integrate.quad(lambda x: math.exp(log_e_of_p(math.exp(-x)) - x), 0, 400, limit=500)
    assert found == pytest.approx(1 - 1 / 400, abs=1e-3)  # what lies beyond e^-400 holds 1/400


@given(st.floats(1e-300, 1), st.floats(1e-300, 1))
def test_a_smaller_p_is_never_less_evidence(one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert log_e_of_p(small) >= log_e_of_p(large) - 1e-6


def test_the_series_around_one_meets_the_formula() -> None:
    assert log_e_of_p(np.nextafter(0.99, 1)) == pytest.approx(log_e_of_p(0.99), abs=1e-4)
    assert log_e_of_p(1.0) == pytest.approx(math.log(0.5))


@pytest.mark.parametrize("p", [0.0, -0.1, 1.1, math.nan])
def test_refuses_what_is_no_p_value(p: float) -> None:
    with pytest.raises(ValueError, match="p-value"):
        log_e_of_p(p)
