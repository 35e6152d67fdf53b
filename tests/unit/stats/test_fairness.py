"""Group gaps: the numbers that everyone means, intervals that err as seldom as they say, nobody left out silently."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_tasks.stats.contingency import Table, tabulate
from chaos_tasks.stats.fairness import IDENTICAL, Amplification, Form, Gap, Rate, amplification, gap, gaps, rates
from chaos_tasks.stats.unknown import Unknown

SINGLE = [rate for rate in Rate if rate is not Rate.EQUALISED_ODDS]


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def rows(n: int = 4000, seed: int = 3, groups: int = 4) -> tuple[np.ndarray, ...]:
    draw = rng(seed)
    codes, labels = draw.integers(0, groups, n), (draw.random(n) < 0.3).astype(int)
    control = (draw.random(n) < 0.2 + 0.05 * codes + 0.3 * labels).astype(int)
    flip = draw.random(n) < 0.05
    return codes, labels, control, np.where(flip, 1 - control, control)


def table(**changes: int) -> Table:
    codes, *rest = rows(**changes)
    return tabulate(codes, [f"g{place}" for place in range(codes.max() + 1)], *rest)


def known(found: Gap | Unknown) -> Gap:
    assert isinstance(found, Gap)
    return found


def judged(found: Amplification | Unknown) -> Amplification:
    assert isinstance(found, Amplification)
    return found


def test_rates_are_what_rows_say() -> None:
    codes, labels, decisions, _ = rows()
    of = tabulate(codes, ["a", "b", "c", "d"], labels, decisions).counts
    here = codes == 2
    assert rates(of, Rate.SELECTION)[2] == pytest.approx(decisions[here].mean())
    assert rates(of, Rate.TPR)[2] == pytest.approx(decisions[here & (labels == 1)].mean())
    assert rates(of, Rate.FPR)[2] == pytest.approx(decisions[here & (labels == 0)].mean())
    assert rates(of, Rate.ACCURACY)[2] == pytest.approx((decisions == labels)[here].mean())


@pytest.mark.parametrize("rate", SINGLE)
def test_a_gap_is_highest_against_lowest(rate: Rate) -> None:
    one = table().control()
    values = rates(one.counts, rate)
    assert known(gap(one, rate)).value == pytest.approx(values.max() - values.min())
    assert known(gap(one, rate, form=Form.RATIO)).value == pytest.approx(1 - values.min() / values.max())
    assert known(gap(one, rate)).lowest == f"g{values.argmin()}"


def test_equalised_odds_is_the_larger_of_two_gaps() -> None:
    one = table().control()
    parts = [known(gap(one, rate)) for rate in (Rate.TPR, Rate.FPR)]
    both = known(gap(one, Rate.EQUALISED_ODDS))
    assert both.value == max(part.value for part in parts)
    assert (both.lowest, both.highest) == next((p.lowest, p.highest) for p in parts if p.value == both.value)


def test_a_small_group_is_left_out_by_name() -> None:
    codes, labels, decisions, _ = rows()
    codes = np.where(np.arange(len(codes)) < 20, 4, codes)
    found = known(gap(tabulate(codes, ["a", "b", "c", "d", "tiny"], labels, decisions), Rate.SELECTION, min_group=30))
    assert found.left_out == ("tiny",)
    assert found.groups == ("a", "b", "c", "d")


def test_a_group_without_the_label_has_no_rate_of_it() -> None:
    codes, labels, decisions, _ = rows()
    labels = np.where(codes == 1, 0, labels)
    one = tabulate(codes, ["a", "b", "c", "d"], labels, decisions)
    assert known(gap(one, Rate.TPR)).left_out == ("b",)
    assert known(gap(one, Rate.FPR)).left_out == ()


@pytest.mark.parametrize("groups", [0, 1])
def test_fewer_than_two_groups_have_no_gap(groups: int) -> None:
    empty = Table(tuple("ab"[:groups]), np.full((groups, 2, 2), 1000))
    assert isinstance(gap(empty, Rate.TPR), Unknown)
    pair = Table(tuple("ab"[:groups]), np.full((groups, 2, 2, 2), 1000))
    assert isinstance(amplification(pair, Rate.TPR, 0.1, rng=rng()), Unknown)


def test_no_rows_have_no_gap() -> None:
    assert isinstance(gap(Table(("a", "b"), np.zeros((2, 2, 2), int)), Rate.ACCURACY), Unknown)


def test_the_percentile_interval_is_that_of_resampled_rows() -> None:
    codes, labels, decisions, _ = rows(n=2000)
    names = ["a", "b", "c", "d"]
    found = known(
        gap(tabulate(codes, names, labels, decisions), Rate.SELECTION, rng=rng(), replicates=20_000)
    ).percentile
    draw, gaps = rng(2), []
    for _ in range(1500):
        pick = draw.integers(0, len(codes), len(codes))
        gaps.append(known(gap(tabulate(codes[pick], names, labels[pick], decisions[pick]), Rate.SELECTION)).value)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(np.quantile(gaps, [0.05, 0.95]), abs=0.006)


def test_several_gaps_from_the_same_resamples_are_those_asked_one_by_one() -> None:
    """One by one fewer cells are drawn; the distribution is the same."""
    one = table().control()
    together = gaps(one, list(Rate), rng=rng(), replicates=20_000)
    for rate in Rate:
        alone, among = known(gap(one, rate, rng=rng(5), replicates=20_000)), known(together[rate])
        assert alone.value == among.value
        for mine, other in ((alone.interval, among.interval), (alone.percentile, among.percentile)):
            assert mine is not None
            assert other is not None
            assert (mine.low, mine.high) == pytest.approx((other.low, other.high), abs=0.003)


def test_identical_decisions_have_the_same_gap() -> None:
    codes, labels, control, _ = rows()
    found = judged(
        amplification(tabulate(codes, ["a", "b", "c", "d"], labels, control, control), Rate.TPR, 0.02, rng=rng())
    )
    assert (found.worsening.low, found.worsening.high, found.worsening.method) == (0, 0, IDENTICAL)
    assert (found.p_pass, found.p_fail) == (0, 1)


def test_a_treatment_that_refuses_one_group_is_shown_to_be_less_fair() -> None:
    codes, labels, control, treatment = rows()
    treatment = np.where(codes == 0, 0, treatment)
    found = judged(
        amplification(tabulate(codes, ["a", "b", "c", "d"], labels, control, treatment), Rate.TPR, 0.05, rng=rng())
    )
    assert found.worsening.low > 0.05
    assert found.p_fail < 0.01
    assert found.lowest == "a"


def test_the_order_of_rows_and_the_machine_do_not_matter() -> None:
    """Same counts, same seed: the same verdict to the last bit."""
    once, again = (judged(amplification(table(), Rate.EQUALISED_ODDS, 0.02, rng=rng())) for _ in range(2))
    assert once == again


def test_a_relative_margin_scales_the_controls_gap() -> None:
    found = judged(amplification(table(), Rate.TPR, 0.0, rng=rng(), scale=1.5))
    assert found.worsening.estimate == pytest.approx(found.treatment - 1.5 * found.control)


def test_one_model_cannot_be_compared_with_itself() -> None:
    with pytest.raises(ValueError, match="two models"):
        amplification(table().control(), Rate.TPR, 0.1, rng=rng())


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 40), min_size=16, max_size=16), st.sampled_from(list(Rate)), st.sampled_from(list(Form)))
def test_any_counts_give_ordered_finite_intervals_or_a_reason(cells: list[int], rate: Rate, form: Form) -> None:
    of = Table(("a", "b"), np.array(cells).reshape(2, 2, 2, 2))
    found = amplification(of, rate, 0.1, rng=rng(), form=form, min_group=5, replicates=50)
    single = gap(of.treatment(), rate, rng=rng(), form=form, min_group=5, replicates=50)
    if isinstance(found, Unknown):
        assert isinstance(single, Unknown)
        assert found.reason
        return
    assert -np.inf < found.worsening.low <= found.worsening.estimate <= found.worsening.high < np.inf
    assert not (found.p_pass < 0.05 and found.p_fail < 0.05)
    interval = known(single).interval
    assert interval is not None
    assert 0 <= interval.low <= interval.high <= 1


@pytest.mark.parametrize(
    ("control", "treatment"),
    [
        ([0.3] * 6, [0.3] * 6),  # all alike: the plain bootstrap passes harm here nearly half of the time
        ([0.3] * 6, [0.3] * 5 + [0.4]),
        ([0.3, 0.32, 0.4], [0.3, 0.32, 0.45]),
    ],
)
def test_errs_no_more_often_than_it_says_at_the_margin(control: list[float], treatment: list[float]) -> None:
    """False passes and false failures at a true change that equals the margin: at most 5 % and Monte Carlo error."""
    draw, low, high = rng(11), np.array(control), np.array(treatment)
    change = float(np.ptp(high) - np.ptp(low))
    wrong = np.zeros(2)
    for _ in range(200):
        codes, chance = draw.integers(0, len(low), 2000), draw.random(2000)
        other = np.where(draw.random(2000) < 0.1, draw.random(2000), chance)
        decisions = (chance < low[codes]).astype(int), (other < high[codes]).astype(int)
        of = tabulate(codes, [str(g) for g in range(len(low))], np.ones(2000, int), *decisions)
        found = judged(amplification(of, Rate.SELECTION, change, rng=draw, replicates=400))
        wrong += [found.worsening.high < change, found.worsening.low > change]
    assert (wrong / 200 <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5).all()
