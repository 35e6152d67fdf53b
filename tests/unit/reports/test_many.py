"""What a reader learns about a night's findings among all its questions, and about each target's resilience."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_tasks.judging.adjustment import adjust
from chaos_tasks.judging.dossier import Dossier, read_dossiers
from chaos_tasks.judging.score import Attempt, Score, score
from chaos_tasks.model.adjustment import Adjusted, AskedExperiment, Memory, Standing
from chaos_tasks.model.record import RecordKind, Stored
from chaos_tasks.model.verdict import Outcome, Response
from chaos_tasks.reports.html import render_html
from chaos_tasks.reports.markdown import render_markdown
from chaos_tasks.reports.night import NightReport, build_report
from chaos_tasks.reports.screen import first_screen
from tests.unit.judging import cases
from tests.unit.reports.nights import KINDS, NOW, TONIGHT, two_nights

ALONE = "sure alone, not yet among tonight's 12 questions: another night tells"


def with_standing(name: str, standing: Standing) -> list[Stored]:
    """The two nights, and an adjustment in which one experiment has this standing."""
    records = two_nights()
    tonight = [one for one in read_dossiers(records) if TONIGHT.covers(one) and one.plan is not None]
    adjusted = adjust(tonight, Memory(), alpha=0.05).model_copy(update={"questions": 12})
    experiments = tuple(_changed(one, name, standing) for one in adjusted.experiments)
    payload = adjusted.model_copy(update={"experiments": experiments})
    night = cases.plan().model_copy(update={"run_id": TONIGHT.campaign_id})
    return [*records, cases.stored(night, 600, RecordKind.CAMPAIGN_ADJUSTED, payload)]


def _changed(one: AskedExperiment, name: str, standing: Standing) -> AskedExperiment:
    """Whatever else failed stands: how much evidence that takes is tested where it is calculated."""
    if one.experiment == name:
        return one.model_copy(update={"standing": standing})
    return one.model_copy(update={"standing": Standing.STANDS}) if one.standing is Standing.ALONE else one


def reported(records: list[Stored], scores: tuple[Score, ...] = ()) -> NightReport:
    """The report of the second night."""
    return build_report(records, TONIGHT, registered=KINDS, scores=scores)


def dossiers(records: list[Stored]) -> list[Dossier]:
    """Of the second night."""
    return [one for one in read_dossiers(records) if TONIGHT.covers(one)]


def a_score(name: str = "flights", *, untested: int = 1) -> Score:
    """One silent deviation, and kinds that nobody tested."""
    silent = Attempt(
        run_id="r",
        experiment="flip",
        target=name,
        kinds=("data.label_flip",),
        at=NOW - timedelta(days=1),
        version="v",
        outcome=Outcome.DEVIATED,
        response=Response.SILENT,
    )
    return score(name, [silent], ["data.label_flip", *(f"stream.kind_{n}" for n in range(untested))], "v", NOW)


def test_an_adjusted_night_changes_no_row_but_says_what_is_left_of_it() -> None:
    before, after = reported(two_nights()), reported(with_standing("label-flip", Standing.ALONE))
    assert [row.experiment for row in after.act_on] == [row.experiment for row in before.act_on]
    assert after.verdicts == before.verdicts
    assert after.held == before.held


def test_what_is_sure_alone_is_marked_in_every_rendering() -> None:
    records = with_standing("label-flip", Standing.ALONE)
    report = reported(records)
    (row,) = [row for row in report.act_on if row.experiment == "label-flip"]
    assert row.among_many == ALONE
    assert ALONE in render_html(report, dossiers(records)).replace("&#39;", "'")
    assert ALONE in render_markdown(report).replace("\\", "")
    screen = first_screen(report)
    assert "margin 0.010; sure alone" in screen
    assert "1 is sure alone" in screen


def test_the_screen_says_it_in_full_where_it_fits() -> None:
    assert ALONE in first_screen(reported(with_standing("label-flip", Standing.ALONE)), width=140)


def test_what_is_sure_alone_comes_after_what_stands() -> None:
    """Among findings of one urgency."""
    records = with_standing("unit-change", Standing.ALONE)
    late = with_standing("stale-version", Standing.ALONE)
    for log in (records, late):
        same = [row for row in reported(log).act_on if row.urgency is reported(log).act_on[-1].urgency]
        assert [row.standing is Standing.ALONE for row in same] == sorted(
            row.standing is Standing.ALONE for row in same
        )


def test_the_heading_counts_what_deviated_and_what_stands() -> None:
    report = reported(with_standing("label-flip", Standing.OBSERVED))
    assert report.among_many is not None
    counts = report.among_many
    assert counts.deviated == counts.observed + counts.stand + counts.confirmed + counts.alone == 4
    assert "ACT ON  4  deviated 4: 1 seen, 3 stand among tonight's 12 questions" in first_screen(report)


def test_what_several_nights_confirm_is_said_where_one_night_could_not_tell() -> None:
    report = reported(with_standing("late-data", Standing.CONFIRMED))
    (row,) = [row for row in report.not_known if row.experiment == "late-data"]
    assert row.among_many.startswith("confirmed over nights")
    assert "confirmed over nights" in first_screen(report)


def test_a_night_that_is_not_adjusted_says_nothing_about_many_questions() -> None:
    report = reported(two_nights())
    assert report.among_many is None
    assert {row.among_many for row in (*report.act_on, *report.not_known)} == {""}
    assert "question" not in first_screen(report)


def test_each_target_has_a_line_with_its_score_and_what_pulls_it_down() -> None:
    report = reported(two_nights(), (a_score(), a_score("stream")))
    lines = [line for line in first_screen(report).splitlines() if " of 2 fresh " in line]
    assert [line.split()[:3] for line in lines] == [["SCORE", "flights", "0.00"], ["stream", "0.00", "[0.00,"]]
    assert all("silent: data.label_flip; untested: stream.kind_0" in line for line in lines)


def test_scores_are_in_the_page_and_the_markdown() -> None:
    records = two_nights()
    report = reported(records, (a_score(untested=6),))
    page, text = render_html(report, dossiers(records)), render_markdown(report).replace("\\", "")
    for said in (page, text):
        assert "Resilience" in said
        assert "flip deviated and nothing noticed" in said
    assert "squall score flights" in page
    assert NightReport.model_validate_json(report.canonical()) == report


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 30), st.integers(0, 12), st.sampled_from([(100, 30), (80, 24), (120, 50)]))
def test_the_first_screen_fits_with_scores_and_standings(acts: int, targets: int, size: tuple[int, int]) -> None:
    report = REPORT.model_copy(
        update={
            "act_on": (REPORT.act_on[0],) * acts,
            "scores": tuple(a_score("t" * 50 + str(n)) for n in range(targets)),
        }
    )
    screen = first_screen(report, *size).splitlines()
    assert len(screen) <= size[1]
    assert max(len(line) for line in screen) <= size[0]
    assert screen[-1].startswith("COST")
    assert sum("SCORE" in line for line in screen) == bool(targets)
    if targets > 6:
        assert any("`squall score`" in line for line in screen)


REPORT = reported(with_standing("label-flip", Standing.ALONE))


@pytest.mark.parametrize("count", [0, 1])
def test_one_question_is_not_many(count: int) -> None:
    night = [one for one in dossiers(two_nights()) if one.experiment == "label-flip"][:count]
    adjusted = adjust(night, Memory(), alpha=0.05)
    assert isinstance(adjusted, Adjusted)
    assert adjusted.questions == count
