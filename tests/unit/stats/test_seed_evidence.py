"""The sequential t-test: exact numbers, errors held, few pairs, and an answer for every degenerate input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.stats import seed_evidence as module
from chaos_tasks.stats.evidence import Decision, Evidence
from chaos_tasks.stats.seed_evidence import FEW, MANY, Mixture, log_e_value, seed_evidence, steepness

NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9)


def by_quadrature(differences: list[float], mixture: Mixture) -> float:
    """The definition: mixture over delta of a ratio of two integrals over u = 1/sigma, on a plain grid."""
    values = np.asarray(differences)
    n, squares, total = len(values), float(np.sum(values**2)), float(np.sum(values))
    log_u = np.linspace(-25, 8, 200_001) - math.log(math.sqrt(squares))
    u = np.exp(log_u)

    def log_integral(delta: float) -> float:
        terms = n * log_u - (u * u * squares - 2 * u * delta * total + n * delta * delta) / 2
        top = terms.max()
        return float(top + np.log(np.exp(terms - top).sum()))

    ratios = [
        weight + log_integral(effect) - log_integral(0.0)
        for weight, effect in zip(mixture.log_weights, mixture.effects, strict=True)
    ]
    return float(np.logaddexp.reduce(ratios))


@pytest.mark.parametrize("effect", [-3.0, -0.4, 0.0, 0.5, 2.0, 12.0])
@pytest.mark.parametrize("n", [1, 2, 3, 6, 25])
@pytest.mark.parametrize("mixture", [FEW, MANY], ids=["few", "many"])
def test_agrees_with_brute_force_quadrature(n: int, effect: float, mixture: Mixture) -> None:
    differences = (np.random.default_rng(n).normal(effect, 1.0, n) * 1e-3).tolist()
    found = seed_evidence(differences, 0.0, alpha=0.05, mixture=mixture)
    assert found is not None
    first = math.fsum(differences[:3]) / math.hypot(*differences[:3])
    for side, told in ((1, found.last_log_e_fail), (-1, found.last_log_e_pass)):
        process = (1 - mixture.look) * math.exp(by_quadrature([side * one for one in differences], mixture))
        plain = n >= 3 and side * first > math.sqrt(3) * (1 - 2 * mixture.look * 0.05)
        assert told == pytest.approx(math.log(process + (20 if plain else 0)), abs=1e-8)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
def test_the_look_at_three_is_students_test_at_its_share_of_alpha(alpha: float) -> None:
    steep = math.sqrt(3) * (1 - 2 * FEW.look * alpha)
    t = steep * math.sqrt(2) / math.sqrt(3 - steep**2)
    assert scipy.stats.t.sf(t, 2) == pytest.approx(FEW.look * alpha, rel=1e-6)


@pytest.mark.parametrize("stop_at", [3, 4, 8])
def test_what_leaves_the_check_is_an_e_value(stop_at: int) -> None:
    """Stopped at its own decision or at the upper bound, its mean under the margin is at most 1."""
    draws = np.random.default_rng(11).normal(0.0, 1.0, (4_000, stop_at))
    found = [seed_evidence(row.tolist(), 0.0, alpha=0.05) for row in draws]
    values = np.array([math.exp(one.stopped_log_e_fail) for one in found if one is not None])
    assert values.mean() < 1 + 3 * values.std() / math.sqrt(len(values))
    assert values.mean() > 0.5  # and no weaker than it could be by much


@pytest.mark.parametrize("mixture", [FEW, MANY], ids=["few", "many"])
def test_the_weights_are_a_mixture(mixture: Mixture) -> None:
    assert math.fsum(math.exp(weight) for weight in mixture.log_weights) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("k", [0, 1, 7, 60, 300])
def test_both_directions_of_the_recurrence_meet(k: int) -> None:
    x = 4 / math.sqrt(k + 1)
    assert module._moment_up(k, -x) == pytest.approx(module._moment_down(k, x), abs=1e-10)


@pytest.mark.parametrize("margin", [0.0, 0.01])
def test_differences_without_spread_decide_after_three_pairs(margin: float) -> None:
    passed = seed_evidence([margin - 0.01] * 3, margin, alpha=0.05)
    failed = seed_evidence([margin + 0.01] * 3, margin, alpha=0.05)
    assert passed is not None
    assert failed is not None
    assert (passed.decision(), passed.decided_at) == (Decision.PASS, 3)
    assert (failed.decision(), failed.decided_at) == (Decision.FAIL, 3)
    assert (passed.low, passed.high) == (margin - 0.01, margin - 0.01)


def test_two_pairs_never_decide_at_the_usual_alpha() -> None:
    """Two equal values by chance are common where a metric has few of them."""
    found = seed_evidence([0.5, 0.5], 0.0, alpha=0.05)
    assert found is not None
    assert found.decision() is Decision.OPEN


def test_differences_exactly_on_the_margin_never_decide() -> None:
    found = seed_evidence([0.01] * 8, 0.01, alpha=0.05)
    assert found is not None
    assert found.decision() is Decision.OPEN
    assert (found.low, found.high) == (0.01, 0.01)


@pytest.mark.parametrize("values", [[], [0.1, math.nan], [math.inf], [-math.inf, 0.0], [1e308, -1e308]])
def test_says_nothing_of_what_is_not_finite(values: list[float]) -> None:
    assert seed_evidence(values, 0.01, alpha=0.05) is None


def test_says_nothing_against_a_margin_that_is_no_number() -> None:
    assert seed_evidence([0.1, 0.2], math.nan, alpha=0.05) is None


def test_one_pair_leaves_everything_open() -> None:
    found = seed_evidence([5.0], 0.01, alpha=0.05)
    assert found is not None
    assert (found.n, found.decision(), found.estimate) == (1, Decision.OPEN, 5.0)
    assert (found.low, found.high) == (-math.inf, math.inf)


@pytest.mark.parametrize("tiny", [5e-324, 1e-300, 1e300])
def test_neither_vanishes_nor_overflows(tiny: float) -> None:
    found = seed_evidence([tiny, 2 * tiny, tiny, 2 * tiny, tiny], 0.0, alpha=0.05)
    assert found is not None
    assert found.decision() is Decision.FAIL


@given(NUMBERS, st.floats(-1e3, 1e3), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_interval_leaves_the_margin_out_exactly_when_decided(
    values: list[float], margin: float, alpha: float
) -> None:
    found = seed_evidence(values, margin, alpha=alpha)
    assert found is not None
    for n in range(1, found.n + 1):
        part = Evidence(found.looks[:n], alpha, margin, "", "seed")
        assert (part.low <= margin <= part.high) == (part.decision() is Decision.OPEN)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=9), st.integers(-3, 3), st.integers(-20, 20))
def test_the_metrics_unit_does_not_matter(values: list[int], margin: int, exponent: int) -> None:
    """Scaled by a power of two, which is exact."""
    one = seed_evidence(values, margin, alpha=0.05)
    factor = 2.0**exponent
    other = seed_evidence([value * factor for value in values], margin * factor, alpha=0.05)
    assert one is not None
    assert other is not None
    assert [look.log_e_fail for look in one.looks] == [look.log_e_fail for look in other.looks]
    assert (other.low, other.high) == pytest.approx((one.low * factor, one.high * factor), rel=1e-9)


@given(NUMBERS)
def test_the_last_look_knows_the_order_only_as_which_three_were_first(values: list[float]) -> None:
    resorted = [*reversed(values[:3]), *sorted(values[3:])]
    one, other = seed_evidence(values, 0.5, alpha=0.05), seed_evidence(resorted, 0.5, alpha=0.05)
    assert one is not None
    assert other is not None
    assert one.last_log_e_pass == pytest.approx(other.last_log_e_pass, abs=1e-12)
    assert one.last_log_e_fail == pytest.approx(other.last_log_e_fail, abs=1e-12)


@given(NUMBERS)
def test_pass_and_fail_are_mirror_images(values: list[float]) -> None:
    one = seed_evidence(values, 0.25, alpha=0.05)
    other = seed_evidence([-value for value in values], -0.25, alpha=0.05)
    assert one is not None
    assert other is not None
    assert one.last_log_e_pass == other.last_log_e_fail
    assert one.low == pytest.approx(-other.high, rel=1e-9, abs=1e-9)


def test_evidence_grows_with_the_effect() -> None:
    n = 5
    at = [log_e_value(n, math.sqrt(n) * step / 50) for step in range(-50, 51)]
    assert at == sorted(at)


@pytest.mark.parametrize(("n", "alpha"), [(4, 0.05), (6, 0.01), (9, 0.05), (40, 0.001)])
def test_the_interval_ends_where_the_evidence_crosses(n: int, alpha: float) -> None:
    steep = steepness(n, alpha)
    r = math.sqrt(n) * steep / math.hypot(1, steep)
    assert log_e_value(n, r) == pytest.approx(-math.log((1 - FEW.look) * alpha), abs=1e-9)


def test_the_interval_of_three_pairs_ends_where_students_does_at_the_looks_share() -> None:
    values = [0.3, 0.5, 0.46]
    found = seed_evidence(values, -5.0, alpha=0.05)
    reach = scipy.stats.t.isf(FEW.look * 0.05, 2) * np.std(values, ddof=1) / math.sqrt(3)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((np.mean(values) - reach, np.mean(values) + reach), rel=1e-9)


def test_no_interval_where_no_data_could_decide() -> None:
    assert steepness(1, 0.05) == math.inf


def _decisions(effect: float, pairs: int, repeats: int, seed: int) -> tuple[float, float, float]:
    """Shares of PASS and FAIL and mean pairs to a decision, from the same thresholds that the interval uses."""
    draws = np.random.default_rng(seed).normal(effect, 1.0, (repeats, pairs))
    n = np.arange(1, pairs + 1)
    mean = np.cumsum(draws, axis=1) / n
    deviation = np.sqrt(np.maximum(np.cumsum(draws**2, axis=1) / n - mean**2, 0))
    needed = np.array([steepness(int(one), 0.05) for one in n])
    with np.errstate(invalid="ignore"):
        fail = (mean > needed * deviation) & np.isfinite(needed)
        passed = (-mean > needed * deviation) & np.isfinite(needed)
    first_fail = np.where(fail.any(1), fail.argmax(1), pairs)
    first_pass = np.where(passed.any(1), passed.argmax(1), pairs)
    used = np.minimum(np.minimum(first_fail, first_pass) + 1, pairs)
    return float(np.mean(first_pass < first_fail)), float(np.mean(first_fail < first_pass)), float(used.mean())


def test_errors_at_the_margin_are_at_most_nominal_however_often_one_looks() -> None:
    passed, failed, _ = _decisions(0.0, 40, 20_000, seed=3)
    assert max(passed, failed) < 0.05
    assert min(passed, failed) > 0.015  # not by never deciding


@pytest.mark.parametrize(("effect", "most"), [(-1.75, 6.0), (-3.5, 3.5), (5.5, 3.1), (10.0, 3.01)])
def test_few_pairs_decide_at_the_design_points(effect: float, most: float) -> None:
    passed, failed, used = _decisions(effect, 20, 5_000, seed=4)
    assert (passed if effect < 0 else failed) > 0.99
    assert used < most


def test_same_input_same_bits() -> None:
    values = [0.011, -0.002, 0.0043, 0.0071]
    one = seed_evidence(values, 0.01, alpha=0.05)
    steepness.cache_clear()
    assert seed_evidence(values, 0.01, alpha=0.05) == one
    assert one is not None
    assert one.last_log_e_pass == pytest.approx(-0.02783203136973811, abs=1e-12)  # whatever the machine
