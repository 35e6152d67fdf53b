"""Sentences name what they are about, and claim exactly what the interval shows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.judging import wording
from chaos_tasks.model.experiment import Check, Exactly, NonInferiority, Range, Unit, When
from chaos_tasks.model.verdict import CheckResult, CheckState, EvidencePoint, Reason
from chaos_tasks.stats.interval import Interval, Position

HIGHER = NonInferiority(margin=0.01)
LOWER = NonInferiority(margin=0.01, better="lower")
AUC = Check(name="auc", probe="model.metric", params={"metric": "auc"}, tolerance=HIGHER)
ROWS = AUC.model_copy(update={"unit": Unit.ROW})
SCOPE = "(about this pipeline: 4 paired runs, 95 % confidence)."


def said(
    estimate: float, low: float, high: float, tolerance: NonInferiority = HIGHER, margin: float = 0.01, n: int = 4
) -> str:
    return wording.effect(AUC, tolerance, Interval(estimate, low, high, 0.9, n, "t"), margin)


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ((0.031, 0.029, 0.032), "AUC fell by 0.031, surely more than the 0.010 allowed"),
        ((0.002, -0.001, 0.005), "AUC fell by 0.002, surely less than the 0.010 allowed"),
        ((-0.02, -0.022, -0.012), "AUC rose by 0.020; any fall is surely less than the 0.010 allowed"),
        ((0.0001, -0.001, 0.001), "AUC hardly moved; any fall is surely less than the 0.010 allowed"),
        (
            (0.008, -0.001, 0.012),
            "AUC fell by 0.008; anything from a rise of 0.001 to a fall of 0.012 is possible, and 0.010 is allowed",
        ),
        ((0.008, -math.inf, math.inf), "AUC fell by 0.008; anything is possible so far, and 0.010 is allowed"),
    ],
    ids=["beyond", "within", "better", "unmoved", "open", "nothing known"],
)
def test_a_margin_sentence_says_what_the_interval_shows(numbers: tuple[float, float, float], sentence: str) -> None:
    assert said(*numbers) == f"{sentence} {SCOPE}"


def test_a_metric_that_is_better_when_lower_rises_when_it_is_worse() -> None:
    assert said(0.031, 0.029, 0.032, LOWER).startswith("AUC rose by 0.031, surely more")
    assert said(-0.02, -0.022, -0.012, LOWER).startswith("AUC fell by 0.020; any rise is surely less")


def test_a_relative_margin_is_said_in_both_units() -> None:
    relative = NonInferiority(margin=0.02, relative=True)
    assert "surely more than the 0.018 (2 % of control) allowed" in said(0.031, 0.029, 0.032, relative, 0.018)


def test_a_number_next_to_the_margin_is_told_apart_from_it() -> None:
    assert said(0.0099, 0.0098, 0.00995).startswith("AUC fell by 0.0099, surely less than the 0.010")


def test_a_decision_that_later_trials_no_longer_show_is_told_as_such() -> None:
    sentence = said(0.009, 0.011, 0.012)
    assert "fell by 0.009 on the whole, but the fall was surely more than the 0.010 allowed when decided" in sentence


def test_each_unit_says_about_what_it_speaks() -> None:
    interval = Interval(0.031, 0.029, 0.032, 0.9, 12034, "t")
    assert "about this model only: 12,034 paired rows" in wording.effect(ROWS, HIGHER, interval, 0.01)
    assert "about this pipeline: 12,034 paired runs" in wording.effect(AUC, HIGHER, interval, 0.01)
    series = wording.effect(AUC, HIGHER, interval, 0.01, unit="block")
    assert "about this pair of runs only: 12,034 paired values" in series
    assert "these trials only" in wording.scope(1, "something new")


@given(
    st.floats(-1e12, 1e12),
    st.floats(0, 1e12),
    st.floats(0, 1e12),
    st.floats(1e-12, 1e12),
    st.sampled_from(["higher", "lower"]),
    st.booleans(),
)
def test_surely_is_said_exactly_where_the_interval_leaves_the_margin_out(
    estimate: float, below: float, above: float, margin: float, better: str, relative: bool
) -> None:
    tolerance = NonInferiority.model_validate({"margin": margin, "better": better, "relative": relative})
    interval = Interval(estimate, estimate - below, estimate + above, 0.9, 4, "t")
    sentence = wording.effect(AUC, tolerance, interval, margin)
    position = interval.against(margin)
    assert ("surely" in sentence) is (position is not Position.STRADDLES)
    assert ("surely more" in sentence) is (position is Position.ABOVE)
    assert "about this pipeline" in sentence
    assert sentence.count("(") == sentence.count(")")
    assert "\n" not in sentence


def test_a_yes_or_no_sentence_prints_the_reliability_that_the_trials_allow() -> None:
    assert wording.within("resumed", "true", 4, 4, 0.473, 0.95) == (
        "resumed was true in 4 of 4 trials, so in at least 47.3 % of such runs of this pipeline (95 % confidence)."
    )
    assert wording.outside("resumed", "false", "true", 1, 4, 0.0127, 0.95) == (
        "resumed was false, not true, in 1 of 4 trials, so in at least 1.27 % of such runs of this pipeline "
        "(95 % confidence)."
    )


def test_a_clause_follows_a_sentence_after_a_comma() -> None:
    assert (
        wording.with_clause("AUC fell by 0.031.", "and nothing noticed.") == "AUC fell by 0.031, and nothing noticed."
    )
    assert wording.with_clause("AUC fell.", "") == "AUC fell."


def result(**changes: object) -> CheckResult:
    given_fields = {
        "check": "auc",
        "when": When.ALWAYS,
        "state": CheckState.FAILED,
        "reason": Reason.BEYOND_MARGIN,
        "sentence": "s",
        "estimate": 0.031,
        "low": 0.029,
        "high": 0.032,
        "margin": 0.01,
        "n_control": 4,
        "n_treatment": 4,
        **changes,
    }
    return CheckResult.model_validate(given_fields)


def test_the_compact_line_has_effect_margin_n_unit_and_evidence() -> None:
    assert wording.compact(result()) == "failed: worse by 0.031 [0.029, 0.032], margin 0.010; n 4 seed"
    points = (EvidencePoint(n=3, log_e_pass=-20.0, log_e_fail=12.9),)
    decided = result(log_e_pass=-20.0, log_e_fail=12.9, decided_at_n=3, evidence=points)
    assert wording.compact(decided).endswith("; n 3 seed, log10 e 5.6")
    later = decided.model_copy(update={"decided_at_n": 2})
    assert wording.compact(later).endswith("; n 3 seed, decided at 2, log10 e 5.6")
    undecided = decided.model_copy(update={"state": CheckState.UNKNOWN, "decided_at_n": None})
    assert wording.compact(undecided).endswith("; n 3 seed, log10 e pass -8.7, fail 5.6")
    assert len(wording.compact(later)) <= 100


def test_the_compact_line_of_a_yes_or_no_check_counts_and_bounds() -> None:
    share = result(estimate=0.5, low=0.098, high=0.902, margin=None, unit="trial", n_treatment=4)
    assert wording.compact(share) == "failed: 2 of 4 as expected [0.098, 0.902]; n 4 trial"


def test_the_compact_line_of_what_was_not_measured_says_why() -> None:
    unread = result(state=CheckState.UNKNOWN, reason=Reason.PROBE_ERROR, estimate=None, low=None, high=None)
    assert wording.compact(unread) == "not known: probe error; n 4 seed"


def test_the_compact_line_shows_the_ends_that_the_evidence_leaves_open() -> None:
    assert wording.compact(result(low=None, high=None)).startswith("failed: worse by 0.031 [-inf, inf], margin 0.010")


def test_the_compact_line_of_unit_row_counts_rows_not_pairs_of_models() -> None:
    points = (EvidencePoint(n=1, log_e_pass=-20.0, log_e_fail=12.9),)
    rows = result(unit="row", n_treatment=12034, log_e_pass=-20.0, log_e_fail=12.9, evidence=points)
    assert "; n 12,034 row, log10 e 5.6" in wording.compact(rows)


@given(
    st.floats() | st.none(),
    st.floats() | st.none(),
    st.floats() | st.none(),
    st.floats(0, exclude_min=True),
    st.floats() | st.none(),
)
def test_the_compact_line_fits_a_terminal_whatever_the_numbers(
    estimate: float | None, low: float | None, high: float | None, margin: float, log_e: float | None
) -> None:
    line = wording.compact(
        result(estimate=estimate, low=low, high=high, margin=margin, log_e_pass=log_e, log_e_fail=log_e, unit="seed")
    )
    assert "\n" not in line
    assert len(line) <= 160


@pytest.mark.parametrize(
    ("amount", "text"), [(0.4, "0.4 s"), (12.0, "12 s"), (210.0, "3.5 min"), (7560.0, "2.1 h")], ids=str
)
def test_a_duration_is_said_in_the_unit_that_people_use(amount: float, text: str) -> None:
    assert wording.seconds(amount) == text


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (Exactly(value=True), "true"),
        (Exactly(value="ok"), "ok"),
        (Range(min=0.9), "at least 0.9"),
        (Range(max=20), "at most 20"),
        (Range(min=1, max=2), "between 1 and 2"),
    ],
    ids=str,
)
def test_a_tolerance_is_said_as_people_would(wanted: Range | Exactly, text: str) -> None:
    assert wording.tolerance(wanted) == text


def test_a_subject_names_metric_and_slice() -> None:
    sliced = AUC.model_copy(update={"params": {"metric": "log_loss", "slice": "carrier=EV"}})
    assert wording.subject(sliced) == "log loss on carrier=EV"
    assert wording.subject(AUC.model_copy(update={"params": {}})) == "auc"
