"""Which of many answers stand: what each procedure promises, by brute force where possible and by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.model.adjustment import NightsState
from chaos_tasks.stats.multiplicity import (
    CARRIED,
    LARGEST_LOG_E,
    LondState,
    LordState,
    bh,
    closed_e_bh,
    e_bh,
    e_lond,
    gamma,
    lord,
    mean_log,
    nights_e_lond,
    restarted,
)

ALPHA = 0.05
LOGS = st.lists(st.floats(-5, 12), min_size=1, max_size=7)
SCREENS = (e_bh, closed_e_bh)


def by_definition(log_e: list[float], alpha: float, already: int = 0, testable: list[bool] | None = None) -> int:
    """Size of the largest testable set that every set S of hypotheses supports: all sets, all S."""
    e, m = [math.exp(one) for one in log_e], len(log_e)
    sets = [s for size in range(1, m + 1) for s in itertools.combinations(range(m), size)]

    def supported(chosen: tuple[int, ...]) -> bool:
        return all(
            sum(e[i] for i in s) / len(s) >= len({*s} & {*chosen}) / (alpha * (len(chosen) + already)) for s in sets
        )

    allowed = [s for s in sets if testable is None or all(testable[i] for i in s)]
    return max((len(s) for s in allowed if supported(s)), default=0)


@given(LOGS, st.sampled_from([0.05, 0.2, 0.5]))
def test_the_closed_procedure_is_its_definition(log_e: list[float], alpha: float) -> None:
    decisions = closed_e_bh(log_e, alpha)
    assert sum(decisions) == by_definition(log_e, alpha)
    kept = [one for one, rejected in zip(log_e, decisions, strict=True) if not rejected]
    gone = [one for one, rejected in zip(log_e, decisions, strict=True) if rejected]
    assert not gone or not kept or min(gone) >= max(kept) - 1e-9


@given(LOGS, st.sampled_from([0.05, 0.2, 0.5]))
def test_the_closed_procedure_never_rejects_less_than_the_base_one(log_e: list[float], alpha: float) -> None:
    assert sum(closed_e_bh(log_e, alpha)) >= sum(e_bh(log_e, alpha))


def test_the_closed_procedure_rejects_more_where_the_base_one_falls_short() -> None:
    """Five of ten: the base one asks 10 / (.05 x 5) = 40 of each, the closed one (5 e + 5) / 10 >= 1 / .05."""
    log_e = [math.log(39.5)] * 5 + [0.0] * 5
    assert sum(e_bh(log_e, ALPHA)) == 0
    assert sum(closed_e_bh(log_e, ALPHA)) == 5


@given(st.lists(st.floats(-5, 12), min_size=1, max_size=6), st.integers(0, 5), st.data())
def test_a_night_is_decided_by_all_its_sets(log_e: list[float], before: int, data: st.DataObject) -> None:
    testable = data.draw(st.lists(st.booleans(), min_size=len(log_e), max_size=len(log_e)))
    state, decisions = nights_e_lond(NightsState(nights=3, rejected=before), log_e, 0.5, testable=testable)
    assert sum(decisions) == by_definition(log_e, 0.5 * gamma(4), before, testable)
    assert state == NightsState(nights=4, rejected=before + sum(decisions))
    assert not any(rejected and not wanted for rejected, wanted in zip(decisions, testable, strict=True))


@given(LOGS, st.integers(0, 6), st.floats(0, 5))
def test_more_evidence_never_loses_a_rejection(log_e: list[float], index: int, more: float) -> None:
    stronger = [one + (more if number == index else 0) for number, one in enumerate(log_e)]
    for screen in SCREENS:
        assert sum(screen(stronger, 0.2)) >= sum(screen(log_e, 0.2))


def test_all_shares_together_are_below_one() -> None:
    spent = sum(gamma(n) for n in range(1, 100_001))
    rest = 4 / 100_000**0.25 / 4.59512  # the integral of the tail
    assert spent < 1 - rest * 0.99
    assert spent + rest == pytest.approx(1, abs=1e-4)


def test_a_state_stored_and_read_back_goes_on_as_if_nothing_had_been() -> None:
    rng = np.random.default_rng(7)
    nights = [rng.normal(0, 4, 12).tolist() for _ in range(6)]
    through, split = NightsState(), NightsState()
    for night in nights:
        through, expected = nights_e_lond(through, night, ALPHA)
        split, got = nights_e_lond(NightsState.model_validate_json(split.model_dump_json()), night, ALPHA)
        assert (split, got) == (through, expected)
    flat = [one for night in nights for one in night]
    whole, expected = e_lond(LondState(), flat, ALPHA)
    first, head = e_lond(LondState(), flat[:30], ALPHA)
    second, tail = e_lond(LondState.model_validate_json(first.model_dump_json()), flat[30:], ALPHA)
    assert (second, head + tail) == (whole, expected)
    p = rng.uniform(0, 0.02, 72).tolist()
    done, expected = lord(LordState(), p, ALPHA)
    begun, head = lord(LordState(), p[:30], ALPHA)
    ended, tail = lord(LordState.model_validate_json(begun.model_dump_json()), p[30:], ALPHA)
    assert (ended, head + tail) == (done, expected)


def test_e_lond_asks_less_once_something_was_found() -> None:
    asked = -math.log(ALPHA * gamma(2))
    assert e_lond(LondState(asked=1), [asked - 0.5], ALPHA)[1] == (False,)
    assert e_lond(LondState(asked=1, rejected=1), [asked - 0.5], ALPHA)[1] == (True,)


def test_lord_earns_from_what_it_finds() -> None:
    poor, _ = lord(LordState(), [0.9] * 5, ALPHA)
    rich, _ = lord(LordState(), [1e-9] * 5, ALPHA)
    assert lord(poor, [0.002], ALPHA)[1] == (False,)
    assert lord(rich, [0.002], ALPHA)[1] == (True,)


def test_bh_is_what_it_is_in_the_paper() -> None:
    """Table 1 of Benjamini and Hochberg (1995): the first four of fifteen are rejected at .05."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459]
    p += [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    assert bh(p, ALPHA) == (True,) * 4 + (False,) * 11


def test_false_discoveries_stay_below_alpha_when_everything_hangs_together() -> None:
    """200 quarters of 20 nights with 30 questions that share most of their noise; one in ten is true."""
    rng = np.random.default_rng(11)
    shares = {"night": [], "stream": []}  # type: dict[str, list[float]]
    for _ in range(200):
        state, false, found = NightsState(), 0, 0
        for _ in range(20):
            true = rng.random(30) < 0.1
            z = np.sqrt(0.2) * rng.normal(size=30) + np.sqrt(0.8) * rng.normal() + 3.5 * true
            log_e = (3.5 * z - 3.5**2 / 2).tolist()
            state, decisions = nights_e_lond(state, log_e, 0.2)
            false, found = false + int((np.array(decisions) & ~true).sum()), found + sum(decisions)
            tonight = np.array(closed_e_bh(log_e, 0.2))
            shares["night"].append(float((tonight & ~true).sum() / max(1, tonight.sum())))
        shares["stream"].append(false / max(1, found))
    for values in shares.values():
        assert np.mean(values) <= 0.2 + 3 * np.std(values) / math.sqrt(len(values))


@given(st.lists(st.floats(-3, 5), min_size=1, max_size=8), st.floats(0, 0.99))
def test_evidence_over_nights_is_the_mean_over_first_bad_nights(log_e: list[float], carried: float) -> None:
    k, total = len(log_e), 0.0
    for began in range(k):
        weight = carried ** (k - 1 - began) * (1 if began == 0 else 1 - carried)
        total += weight * math.exp(sum(log_e[began:]))
    log_s = 0.0
    for one in log_e:
        log_s = restarted(log_s, one, carried=carried)
    assert log_s == pytest.approx(math.log(total), abs=1e-9)


def test_evidence_over_nights_has_mean_one_where_nothing_is_wrong() -> None:
    """Exactly, over all ways in which six nights with e = 2 or 0.5 (at 1 : 2) can come out."""
    total = 0.0
    for night in itertools.product((2.0, 0.5), repeat=6):
        log_s = 0.0
        for e in night:
            log_s = restarted(log_s, math.log(e))
        total += math.exp(log_s) * math.prod(1 / 3 if e == 2 else 2 / 3 for e in night)
    assert total == pytest.approx(1)


def test_trouble_that_begins_late_is_seen_all_the_same() -> None:
    log_s, product = 0.0, 0.0
    for one in [-1.0] * 40 + [2.0] * 5:
        log_s, product = restarted(log_s, one), product + one
    assert product < -25
    assert log_s > 5 * 2 + math.log(1 - CARRIED)


@pytest.mark.parametrize("screen", SCREENS)
def test_degenerate_nights_have_sensible_answers(screen) -> None:  # type: ignore[no-untyped-def]
    assert screen([], ALPHA) == ()
    assert screen([0.0], ALPHA) == (False,)
    assert screen([math.inf], ALPHA) == (True,)
    assert screen([-math.inf, math.inf, -math.inf], ALPHA) == (False, True, False)
    assert screen([1.0] * 10, ALPHA) == (False,) * 10
    assert screen([3.1] * 10, ALPHA) == (True,) * 10  # all equal, each beyond 1 / alpha
    with pytest.raises(ValueError, match="NaN"):
        screen([math.nan], ALPHA)
    with pytest.raises(ValueError, match="alpha"):
        screen([0.0], 1.0)


def test_degenerate_steps_over_nights_have_sensible_answers() -> None:
    assert nights_e_lond(NightsState(), [], ALPHA) == (NightsState(nights=1), ())
    assert nights_e_lond(NightsState(), [math.inf], ALPHA)[1] == (True,)
    assert e_lond(LondState(), [-math.inf], ALPHA)[1] == (False,)
    assert bh([], ALPHA) == ()
    assert lord(LordState(), [], ALPHA) == (LordState(), ())
    with pytest.raises(ValueError, match="flags"):
        nights_e_lond(NightsState(), [0.0], ALPHA, testable=[])


def test_endless_evidence_stays_a_number() -> None:
    assert restarted(0.0, math.inf) == LARGEST_LOG_E
    assert restarted(LARGEST_LOG_E, math.inf) == LARGEST_LOG_E
    assert restarted(LARGEST_LOG_E, -math.inf) == -LARGEST_LOG_E
    assert restarted(-math.inf, 1.0) == pytest.approx(1 + math.log(1 - CARRIED))
    assert mean_log([math.inf, -math.inf]) == pytest.approx(LARGEST_LOG_E - math.log(2))
    assert mean_log([-math.inf]) == -math.inf
    with pytest.raises(ValueError, match="no e-value"):
        mean_log([])
    with pytest.raises(ValueError, match="carried"):
        restarted(0.0, 0.0, carried=1.0)
