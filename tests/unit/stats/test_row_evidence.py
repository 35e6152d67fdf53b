"""Evidence from rows: what the mixture of bets says, errors held, few rows, and an answer for degenerate input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.stats import row_evidence as module
from chaos_tasks.stats.evidence import Decision, Evidence
from chaos_tasks.stats.row_evidence import row_evidence

ROWS = st.lists(st.floats(-1, 1), min_size=1, max_size=60)


def flips(rng: np.random.Generator, rows: int, drop: float, noise: float) -> np.ndarray:
    """Paired correctness: +1 lost, -1 won; ``noise`` rows differ by chance, ``drop`` more are lost."""
    drawn = rng.random(rows)
    return np.where(drawn < noise / 2 + drop, 1.0, np.where(drawn < noise + drop, -1.0, 0.0))


def by_definition(values: list[float], margin: float, side: int) -> float:
    """One product per share, in plain arithmetic."""
    factors = [(1 + side * value) / (1 + side * margin) for value in values]
    return math.log(
        sum(
            weight * math.prod(1 - share + share * factor for factor in factors)
            for share, weight in zip(module._SHARES, module._WEIGHTS, strict=True)
        )
    )


def test_the_weights_are_a_mixture() -> None:
    assert math.fsum(module._WEIGHTS) == pytest.approx(1.0, abs=1e-12)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40), st.sampled_from([-0.3, 0.0, 0.02, 0.5]))
def test_is_the_wealth_of_the_mixture(values: list[float], margin: float) -> None:
    found = row_evidence(values, margin, alpha=0.05)
    assert found is not None
    assert found.last_log_e_fail == pytest.approx(by_definition(values, margin, 1), abs=1e-9)
    assert found.last_log_e_pass == pytest.approx(by_definition(values, margin, -1), abs=1e-9)


def test_chunks_join_without_a_seam() -> None:
    values = flips(np.random.default_rng(1), 1_000, 0.02, 0.1)
    whole = module._log_wealth((1 + values) / 1.02)
    for n in (1, 127, 128, 129, 255, 256, 257, 1000):
        assert whole[n - 1] == pytest.approx(by_definition(values[:n].tolist(), 0.02, 1), abs=1e-8)


@pytest.mark.parametrize("value", [-1.0, 1.0])
@pytest.mark.parametrize("margin", [-0.999999, 0.999999])
def test_neither_overflows_nor_vanishes_at_the_bounds(value: float, margin: float) -> None:
    found = row_evidence(np.full(5_000, value), margin, alpha=0.05)
    assert found is not None
    assert math.isfinite(found.log_e_pass)
    assert math.isfinite(found.log_e_fail)
    far = abs(value - margin) > 1  # what lies within a millionth of the margin takes millions of rows to tell
    assert found.decision() is (Decision.OPEN if not far else Decision.PASS if value < margin else Decision.FAIL)


@given(ROWS, st.sampled_from([-0.5, 0.0, 0.02, 0.9]), st.sampled_from([0.01, 0.05, 0.3]))
def test_the_interval_leaves_the_margin_out_exactly_when_decided(
    values: list[float], margin: float, alpha: float
) -> None:
    found = row_evidence(values, margin, alpha=alpha, looks=range(len(values)))
    assert found is not None
    for count in range(1, len(found.looks) + 1):
        part = Evidence(found.looks[:count], alpha, margin, "", "row")
        assert (part.low <= margin <= part.high) == (part.decision() is Decision.OPEN)
        assert -1 <= part.low <= part.high <= 1


@given(ROWS)
def test_the_decision_does_not_depend_on_which_looks_are_kept(values: list[float]) -> None:
    few, all_of_them = (row_evidence(values, 0.1, alpha=0.2, looks=kept) for kept in ((), range(100)))
    assert few is not None
    assert all_of_them is not None
    assert (few.decision(), few.decided_at) == (all_of_them.decision(), all_of_them.decided_at)
    assert (few.log_e_pass, few.log_e_fail) == (all_of_them.log_e_pass, all_of_them.log_e_fail)


@given(st.lists(st.integers(-8, 8), min_size=1, max_size=40), st.sampled_from([2.0, 0.25, 64.0]))
def test_the_metrics_unit_does_not_matter(eighths: list[int], bound: float) -> None:
    one = row_evidence([value / 8 for value in eighths], 0.125, alpha=0.05)
    other = row_evidence([value / 8 * bound for value in eighths], 0.125 * bound, bound=bound, alpha=0.05)
    assert one is not None
    assert other is not None
    assert (one.log_e_pass, one.decided_at) == (other.log_e_pass, other.decided_at)
    assert (other.low, other.high) == pytest.approx((one.low * bound, one.high * bound))


def test_the_interval_on_a_grid_is_hardly_wider_than_the_exact_one() -> None:
    values = np.clip(np.random.default_rng(2).normal(0.01, 0.1, 20_000), -1, 1)
    found = row_evidence(values, 0.02, alpha=0.05, looks=())
    assert found is not None
    z = 1 + values  # the exact lower end: halve until the wealth against it is 20
    out, inside = 0.0, float(z.mean())
    for _ in range(40):
        middle = (out + inside) / 2
        enough = module._log_wealth(z / middle)[-1] >= math.log(20)
        out, inside = (middle, inside) if enough else (out, middle)
    assert found.looks[-1].low <= out - 1 + 1e-9
    assert found.low == pytest.approx(out - 1, abs=2e-5)


@pytest.mark.parametrize("values", [[], [0.1, math.nan], [math.inf], [[0.1, 0.2]]])
def test_says_nothing_of_what_is_no_row(values: list[float]) -> None:
    assert row_evidence(values, 0.02, alpha=0.05) is None


@pytest.mark.parametrize("margin", [1.0, -1.0, math.nan, 7.0])
def test_refuses_a_margin_that_nothing_could_reach(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        row_evidence([0.1], margin, alpha=0.05)


def test_refuses_rows_beyond_the_bound() -> None:
    with pytest.raises(ValueError, match="beyond"):
        row_evidence([0.1, 1.1], 0.02, alpha=0.05)


@pytest.mark.parametrize("alpha", [0.0, 0.5, math.nan])
def test_refuses_an_error_rate_that_is_none(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        row_evidence([0.1], 0.02, alpha=alpha)


def test_one_row_leaves_everything_open() -> None:
    found = row_evidence([1.0], 0.02, alpha=0.05)
    assert found is not None
    assert (found.n, found.decision(), found.estimate) == (1, Decision.OPEN, 1.0)


def test_rows_that_never_differ_pass_once_there_are_enough() -> None:
    few, many = (row_evidence(np.zeros(rows), 0.02, alpha=0.05) for rows in (100, 1_000))
    assert few is not None
    assert many is not None
    assert (few.decision(), many.decision()) == (Decision.OPEN, Decision.PASS)
    assert many.decided_at is not None
    assert many.decided_at < 260
    assert many.low <= 0.0 <= many.high


def test_rows_exactly_on_the_margin_never_decide() -> None:
    found = row_evidence(np.full(2_000, 0.02), 0.02, alpha=0.05)
    assert found is not None
    assert found.decision() is Decision.OPEN


def test_errors_at_the_margin_are_at_most_nominal_looking_at_every_row() -> None:
    rng = np.random.default_rng(5)
    found = [row_evidence(flips(rng, 1_500, 0.02, 0.02), 0.02, alpha=0.05, looks=()) for _ in range(400)]
    shares = [np.mean([one is not None and one.decision() is way for one in found]) for way in Decision]
    assert max(shares[:2]) < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(("drop", "way", "most"), [(0.0, Decision.PASS, 340), (0.1, Decision.FAIL, 110)])
def test_few_rows_decide(drop: float, way: Decision, most: int) -> None:
    rng = np.random.default_rng(6)
    found = [row_evidence(flips(rng, 3_000, drop, 0.01), 0.02, alpha=0.05, looks=()) for _ in range(200)]
    assert all(one is not None and one.decision() is way for one in found)
    assert np.mean([one.decided_at for one in found if one is not None and one.decided_at]) < most
