"""A panel shows what the sentence rests on, to everybody: in words, without colour, without a script, and unclipped."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_tasks.judging.dossier import Dossier, read_dossiers
from chaos_tasks.model.experiment import When
from chaos_tasks.model.verdict import CheckResult, CheckState, EvidencePoint, Reason
from chaos_tasks.reports.effect_chart import effect_chart
from chaos_tasks.reports.evidence_chart import evidence_chart
from chaos_tasks.reports.html import render_html
from chaos_tasks.reports.junit import junit_xml
from chaos_tasks.reports.markdown import render_markdown
from chaos_tasks.reports.night import build_report
from chaos_tasks.reports.panel import checks_page, facts, panel, panels, run_facts, seeds
from chaos_tasks.reports.svg import tick_labels, ticks, width_of
from tests.unit.reports.gallery import gallery
from tests.unit.reports.nights import KINDS, TONIGHT


@pytest.fixture(scope="module")
def dossiers() -> dict[str, Dossier]:
    return {dossier.experiment: dossier for dossier in read_dossiers(gallery())}


def check(**changes: object) -> CheckResult:
    given_fields = {
        "check": "auc",
        "when": When.ALWAYS,
        "state": CheckState.FAILED,
        "reason": Reason.BEYOND_MARGIN,
        "sentence": "AUC fell.",
        "estimate": 0.031,
        "low": 0.029,
        "high": 0.032,
        "margin": 0.01,
        "n_control": 3,
        "n_treatment": 3,
        "seeds": (100, 101, 102),
        "log_e_pass": -5.0,
        "log_e_fail": 3.7,
        "decided_at_n": 3,
        "evidence": tuple(EvidencePoint(n=n, log_e_pass=-1.6 * n, log_e_fail=1.23 * n) for n in (1, 2, 3)),
        **changes,
    }
    return CheckResult.model_validate(given_fields)


def svg(text: str) -> Xml.Element:
    return Xml.fromstring(text)


def texts(chart: Xml.Element) -> list[str]:
    return [element.text or "" for element in chart.iter("text")]


def lines(chart: Xml.Element, kind: str) -> list[Xml.Element]:
    return [element for element in chart.iter("line") if kind in (element.get("class") or "").split()]


def box(element: Xml.Element) -> tuple[float, float, float, float]:
    """Left, right, top, bottom of a text, about."""
    x, y, wide = float(element.get("x", 0)), float(element.get("y", 0)), width_of(element.text or "", 10.0)
    left = {"start": x, "middle": x - wide / 2, "end": x - wide}[element.get("text-anchor", "start")]
    return left, left + wide, y - 8, y


def test_the_effect_stands_beyond_the_margin_where_the_numbers_do() -> None:
    chart = svg(effect_chart(check(), "k"))
    (margin,), (zero,) = lines(chart, "margin"), lines(chart, "zero")
    bar = next(element for element in chart.iter("rect"))
    assert float(zero.get("x1", 0)) < float(margin.get("x1", 0)) < float(bar.get("x", 0))
    assert {"margin 0.010", "allowed", "too much", "0.031 [0.029, 0.032]", "0"} <= set(texts(chart))


def test_an_open_end_is_an_arrow_not_a_cap() -> None:
    open_ends = svg(effect_chart(check(low=None, high=None, state=CheckState.UNKNOWN), "k"))
    assert not lines(open_ends, "cap")
    assert len(list(open_ends.iter("polygon"))) == 2
    assert "0.031, no bound yet" in texts(open_ends)
    assert len(lines(svg(effect_chart(check(high=None), "k")), "cap")) == 1


def test_the_answer_is_told_by_form_and_word_not_by_colour_alone() -> None:
    forms = {}
    for state in CheckState:
        shown = panel(check(state=state), 0.05, "run")
        chart = svg(shown.effect)
        marks = [element for element in chart.iter() if "dot" in (element.get("class") or "").split()]
        forms[state] = (shown.sign, shown.answer, marks[0].tag)
    assert forms == {
        CheckState.PASSED: ("✓", "passed", "circle"),
        CheckState.FAILED: ("✗", "failed", "polygon"),
        CheckState.UNKNOWN: ("?", "not known", "circle"),
    }
    curves = svg(evidence_chart(check(), 0.05, "k"))
    assert [element.tag for element in curves.iter() if "mark" in (element.get("class") or "").split()] == [
        *["circle"] * 3,
        *["rect"] * 3,
    ]


def test_the_evidence_crosses_the_line_where_it_was_decided() -> None:
    chart = svg(evidence_chart(check(), 0.05, "k"))
    (needed,), (decided,) = lines(chart, "margin"), lines(chart, "decided")
    fail = next(element for element in chart.iter("polyline") if "fail" in (element.get("class") or ""))
    points = [tuple(map(float, pair.split(","))) for pair in (fail.get("points") or "").split()]
    above = [x for x, y in points if y < float(needed.get("y1", 0))]  # pixels grow downwards
    assert above == [float(decided.get("x1", 0))]
    assert {
        "decided at 3",
        "log10 e; dashed: 1.3 decides (e = 1/0.05 = 20)",
        "fail 1.6",
        "pass -2.1",
        "paired runs",
    } <= set(texts(chart))


def test_evidence_far_beyond_the_line_does_not_flatten_it() -> None:
    huge = check(evidence=tuple(EvidencePoint(n=n, log_e_pass=-900.0 * n, log_e_fail=math.inf) for n in (1, 2)))
    chart = svg(evidence_chart(huge, 0.05, "k"))
    (needed,), (zero,) = lines(chart, "margin"), lines(chart, "zero")
    assert float(zero.get("y1", 0)) - float(needed.get("y1", 0)) > 15
    assert {"fail inf ↑", "pass -782 ↓"} <= set(texts(chart))


def test_a_chart_says_in_words_what_it_shows() -> None:
    for chart in (svg(effect_chart(check(), "k")), svg(evidence_chart(check(), 0.05, "k"))):
        named = {element.get("id"): element for element in chart if element.tag in ("title", "desc")}
        title, desc = named[chart.get("aria-labelledby")], named[chart.get("aria-describedby")]
        assert (chart.get("role"), title.tag, desc.tag) == ("img", "title", "desc")
        assert title.text
        assert desc.text
        assert len(desc.text) > 60
    assert "worse by 0.031 [0.029, 0.032], margin 0.010" in effect_chart(check(), "k")
    assert "1.3 is needed; decided at 3" in evidence_chart(check(), 0.05, "k")


def test_without_a_number_there_is_a_reason_instead_of_a_chart() -> None:
    unread = check(state=CheckState.UNKNOWN, reason=Reason.PROBE_ERROR, estimate=None, low=None, high=None, evidence=())
    shown = panel(unread, 0.05, "run")
    assert (shown.effect, shown.evidence, shown.nothing) == ("", "", "Nothing to draw: probe error.")


def test_the_facts_are_all_there() -> None:
    whole = check(estimand="mean worsening", method="sequential paired t")
    found = dict(facts(whole, 0.05))
    assert found == {
        "Answer": "failed: beyond margin",
        "Speaks about": "this pipeline (unit: seed)",
        "Estimand": "mean worsening",
        "Estimate": "worse by 0.031",
        "Interval": "0.029 to 0.032 of the worsening",
        "Margin": "0.010",
        "Method": "sequential paired t",
        "n": "3 control, 3 treatment trials",
        "Seeds": "100 to 102",
        "Evidence": "log10 e for pass -2.2, for fail 1.6 when decided; 1.3 decides (e = 20)",
        "Decided": "after 3 paired runs",
    }


def test_neighbouring_seeds_are_a_range() -> None:
    assert seeds((100, 101, 102, 103, 110)) == "100 to 103, 110"
    assert seeds((7, 8, 3)) == "3, 7, 8"
    assert seeds(()) == ""


def test_saved_and_reused_trials_are_said(dossiers: dict[str, Dossier]) -> None:
    verdict = dossiers["silent-loss"].verdict
    assert verdict is not None
    assert run_facts(verdict) == "6 trials; 10 trials of the plan not run."
    reused = verdict.model_copy(update={"trials_reused": 3, "trials_saved": 13})
    assert run_facts(reused) == (
        "6 trials, 3 of them reused from the ledger; 13 trials of the plan not run (reused ones included)."
    )
    longer = verdict.model_copy(update={"steps_saved": 1200, "continues": ("a", "b"), "rung": "rows"})
    assert run_facts(longer) == (
        "6 trials; 10 trials of the plan not run; 1,200 steps not trained again, by forks. Pairs of 2 undecided runs "
        "before count too. Answered on the rung rows of the fidelity ladder."
    )


def test_the_page_of_a_run_unfolds_every_check_and_loads_nothing(dossiers: dict[str, Dossier]) -> None:
    page = checks_page(dossiers["yes-or-no"])
    assert page.count('<details class="check') == page.count("open>") == 2
    assert not re.findall(r"<(script|link|img|iframe|object|form)\b", page)
    assert not re.findall(r"\s(style|on\w+)=", page)
    assert page == checks_page(dossiers["yes-or-no"])


def test_every_sentence_and_compact_line_is_in_every_form(dossiers: dict[str, Dossier]) -> None:
    report = build_report(gallery(), TONIGHT, registered=KINDS)
    page = render_html(report, list(dossiers.values()))
    suites, markdown = junit_xml(report.verdicts), render_markdown(report).replace("\\", "")
    for dossier in dossiers.values():
        assert dossier.verdict is not None
        for result, shown in zip(dossier.verdict.checks, panels(dossier), strict=True):
            assert shown.sentence == result.sentence
            assert result.sentence.replace("'", "&#39;") in page
            assert result.sentence in suites
            assert f"`{result.check}` " in markdown
        assert dossier.verdict.sentence in markdown


def test_no_id_is_there_twice(dossiers: dict[str, Dossier]) -> None:
    report = build_report(gallery(), TONIGHT, registered=KINDS)
    found = re.findall(r'\sid="([^"]+)"', render_html(report, list(dossiers.values())))
    assert len(found) == len(set(found)) > 20


NUMBER = st.none() | st.floats(allow_nan=False)
LOGS = st.floats(-1e9, 1e9) | st.just(math.inf) | st.just(-math.inf)
POINTS = st.lists(st.tuples(LOGS, LOGS), max_size=60).map(
    lambda logs: tuple(EvidencePoint(n=n, log_e_pass=a, log_e_fail=b) for n, (a, b) in enumerate(logs, start=1))
)


@settings(max_examples=150, deadline=None)
@given(
    NUMBER,
    st.floats(0, exclude_min=True, allow_infinity=False) | st.none(),
    NUMBER,
    NUMBER,
    POINTS,
    st.sampled_from(CheckState),
    st.sampled_from(["seed", "row", "trial", "block"]),
)
def test_any_result_gives_a_panel_whose_words_are_in_view(
    estimate: float | None,
    margin: float | None,
    low: float | None,
    high: float | None,
    points: tuple[EvidencePoint, ...],
    state: CheckState,
    unit: str,
) -> None:
    if margin is None:  # a share
        estimate, low, high = (None if value is None else abs(math.tanh(value)) for value in (estimate, low, high))
    result = check(
        estimate=estimate,
        low=low,
        high=high,
        margin=margin,
        evidence=points,
        state=state,
        unit=unit,
        decided_at_n=points[-1].n if points else None,
    )
    shown = panel(result, 0.05, "run")
    for chart in (shown.effect, shown.evidence):
        if not chart:
            continue
        drawn = svg(chart)
        assert "nan" not in "".join(value for element in drawn.iter() for value in element.attrib.values())
        width = float((drawn.get("viewBox") or "").split()[2])
        for element in drawn.iter("text"):
            left, right, _, _ = box(element)
            assert left >= -1, element.text
            assert right <= width + 1, element.text


@settings(max_examples=150, deadline=None)
@given(
    st.floats(-0.2, 0.2), st.floats(1e-4, 0.1), st.floats(1e-4, 0.2), st.floats(1e-4, 0.2), st.booleans(), st.booleans()
)
def test_labels_of_the_effect_do_not_cover_each_other(
    estimate: float, margin: float, below: float, above: float, open_low: bool, open_high: bool
) -> None:
    low, high = None if open_low else estimate - below, None if open_high else estimate + above
    chart = svg(effect_chart(check(estimate=estimate, margin=margin, low=low, high=high), "k"))
    assert overlaps(chart) == []


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.floats(-30, 30), st.floats(-30, 30)), min_size=1, max_size=30), st.booleans())
def test_labels_of_the_evidence_do_not_cover_each_other(logs: list[tuple[float, float]], decided: bool) -> None:
    points = tuple(EvidencePoint(n=n, log_e_pass=a, log_e_fail=b) for n, (a, b) in enumerate(logs, start=1))
    chart = svg(evidence_chart(check(evidence=points, decided_at_n=len(points) if decided else None), 0.05, "k"))
    assert overlaps(chart) == []


def overlaps(chart: Xml.Element) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes meet."""
    boxes = [(element.text or "", box(element)) for element in chart.iter("text")]
    return [
        (first, second)
        for index, (first, a) in enumerate(boxes)
        for second, b in boxes[index + 1 :]
        if a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]
    ]


@given(st.floats(-1e15, 1e15), st.floats(1e-9, 1e15), st.integers(3, 8))
def test_ticks_are_round_few_and_within(low: float, span: float, most: int) -> None:
    high = low + span
    found = ticks(low, high, most)
    assert len(found) <= most + 1
    assert all(low - span * 1e-6 <= tick <= high + span * 1e-6 for tick in found)
    assert len(tick_labels(found)) == len(found)


def test_ticks_carry_the_decimals_that_tell_them_apart() -> None:
    assert tick_labels(ticks(-0.001, 0.03)) == ["0", "0.01", "0.02", "0.03"]
    assert tick_labels(ticks(-4, 4, 5)) == ["-4", "-2", "0", "2", "4"]
    assert ticks(1.0, 1.0) == []
