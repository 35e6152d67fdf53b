"""What a reader can rely on in every rendering of a night."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cache
from html.parser import HTMLParser
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_tasks.judging.dossier import read_dossiers
from chaos_tasks.model.plan import Overrides
from chaos_tasks.model.record import Note, RecordKind, Registered, Stored
from chaos_tasks.reports.html import render_html
from chaos_tasks.reports.junit import junit_xml
from chaos_tasks.reports.markdown import render_markdown
from chaos_tasks.reports.night import Coverage, NightReport, Period, Row, Urgency, build_report
from chaos_tasks.reports.screen import first_screen
from tests.unit.judging import cases
from tests.unit.reports import nights
from tests.unit.reports.nights import KINDS, TONIGHT, two_nights


@pytest.fixture(scope="module")
def records() -> list[Stored]:
    return two_nights()


@pytest.fixture(scope="module")
def report(records: list[Stored]) -> NightReport:
    return build_report(records, TONIGHT, registered=KINDS)


def html_of(records: list[Stored], report: NightReport) -> str:
    return render_html(report, [one for one in read_dossiers(records) if TONIGHT.covers(one)])


def test_what_to_act_on_comes_most_urgent_first(report: NightReport) -> None:
    assert [(row.urgency, row.experiment) for row in report.act_on] == [
        (Urgency.UNREVERTED, "deny-access"),
        (Urgency.SILENT, "label-flip"),
        (Urgency.NEWLY_DEVIATED, "unit-change"),
        (Urgency.DEVIATED, "stale-version"),
    ]


def test_the_command_for_an_unreverted_handle_reverts_that_handle(report: NightReport) -> None:
    assert report.act_on[0].next_command == "squall revert 2026-11-23/deny-access/flip"


def test_what_is_not_known_is_said(report: NightReport) -> None:
    assert {row.experiment: row.urgency for row in report.not_known} == {
        "late-data": Urgency.INCONCLUSIVE,
        "drop-records": Urgency.SKIPPED,
        "forgotten": Urgency.STALE,
    }


def test_a_known_finding_is_counted_and_asks_for_nothing(report: NightReport) -> None:
    assert (report.held, report.known) == (1, 1)
    assert "scaling" not in {row.experiment for row in (*report.act_on, *report.not_known)}


def test_changes_are_against_the_night_before(report: NightReport) -> None:
    assert [(one.experiment, one.before, one.after) for one in report.changed] == [
        ("label-flip", "held, masked", "deviated, silent"),
        ("unit-change", "held, masked", "deviated, detected"),
    ]


def test_a_run_that_a_person_asked_at_another_intensity_is_no_run_before(records: list[Stored]) -> None:
    """It held at a tenth of the harm: that the night deviates as ever is no change."""
    by_hand = Overrides(intensity=0.02)
    asked = [_by_hand(one, by_hand) if _is_tonights(one, "label-flip", tonights=False) else one for one in records]
    rebuilt = build_report(asked, TONIGHT, registered=KINDS)
    assert [one.experiment for one in rebuilt.changed] == ["unit-change"]


def _is_tonights(stored: Stored, experiment: str, *, tonights: bool = True) -> bool:
    """Whether it registers a run of an experiment, of tonight or of a night before."""
    plan = stored.record.payload.plan if isinstance(stored.record.payload, Registered) else None
    is_it = plan is not None and plan.experiment.name == experiment
    return plan is not None and is_it and (plan.campaign_id == TONIGHT.campaign_id) is tonights


def _by_hand(stored: Stored, overrides: Overrides) -> Stored:
    payload = stored.record.payload
    assert isinstance(payload, Registered)
    plan = payload.plan.model_copy(update={"overrides": overrides})
    told = payload.model_copy(update={"plan": plan})
    return stored.model_copy(update={"record": stored.record.model_copy(update={"payload": told})})


def test_what_a_person_asked_for_instead_of_the_file_stands_below_the_hypothesis(records: list[Stored]) -> None:
    """Which speaks about another intensity."""
    by_hand = Overrides(intensity=0.02, seeds=4)
    asked = [_by_hand(one, by_hand) if _is_tonights(one, "label-flip") else one for one in records]
    page = render_html(build_report(asked, TONIGHT, registered=KINDS), read_dossiers(asked))
    assert page.count("Asked by hand, instead of what the file says: <strong>intensity 0.02, 4 seeds</strong>") == 1
    assert "Asked by hand" not in render_html(build_report(records, TONIGHT, registered=KINDS), read_dossiers(records))


def test_an_age_counts_from_the_first_night_like_this_one(report: NightReport) -> None:
    ages = {row.experiment: nights.NOW - row.since for row in report.act_on}
    assert ages["stale-version"] > timedelta(hours=24) > ages["label-flip"]


def test_only_faults_with_a_receipt_count_as_exercised(report: NightReport) -> None:
    assert report.coverage.exercised == ("data.label_flip",)
    assert report.coverage.registered == len(KINDS)


def test_a_later_revert_changes_the_command(records: list[Stored]) -> None:
    reverted = nights.run("deny-access", nights.SAME, seq=450)[-2]
    again = build_report([*records, reverted], TONIGHT, registered=KINDS)
    assert again.act_on[0].urgency is Urgency.UNREVERTED
    assert again.act_on[0].next_command.startswith("squall report")


def test_a_refused_rerun_does_not_hide_a_verdict(records: list[Stored]) -> None:
    again = nights.refused("label-flip", "busy", 600)
    record = again.record.model_copy(update={"run_id": "2026-11-23/label-flip-2"})
    rebuilt = build_report([*records, again.model_copy(update={"record": record})], TONIGHT, registered=KINDS)
    assert Urgency.SILENT in {row.urgency for row in rebuilt.act_on}


def test_what_was_planned_and_never_started_is_not_known(records: list[Stored]) -> None:
    made = cases.plan(name="night").model_copy(update={"run_id": "2026-11-23"})
    facts = {"experiments": ["label-flip", "lost"], "runs": ["2026-11-23/label-flip", "2026-11-23/lost"]}
    note = Note(text="2 experiments planned", facts={**facts, "broken": ["typo.yaml"]})
    planned = cases.stored(made, 199, RecordKind.CAMPAIGN_PLANNED, note)
    found = build_report([*records, planned], TONIGHT, registered=KINDS).not_known
    assert {row.experiment: row.next_command for row in found if row.urgency is Urgency.SKIPPED} == {
        "drop-records": "squall run drop-records",
        "lost": "squall run lost",
        "typo.yaml": "squall validate",
    }


def test_a_period_without_runs_says_so() -> None:
    report = build_report([], TONIGHT, registered=KINDS)
    assert (report.cost.trials, report.cost.lanes, report.held) == (0, 0, 0)
    assert "ACT ON  0" in first_screen(report)
    assert "Nothing to act on" in render_html(report, [])


def test_a_period_is_its_days_where_no_campaign_is_named(records: list[Stored]) -> None:
    yesterday = Period(title="x", since=cases.T0 - timedelta(days=1), until=cases.T0)
    report = build_report(records, yesterday, registered=KINDS)
    assert {verdict.experiment for verdict in report.verdicts} == {"label-flip", "stale-version", "unit-change"}


def test_the_same_records_give_the_same_bytes(records: list[Stored], report: NightReport) -> None:
    again = build_report(two_nights(), TONIGHT, registered=KINDS)
    assert again.canonical() == report.canonical()
    assert html_of(two_nights(), again) == html_of(records, report)
    assert first_screen(again) == first_screen(report)


def test_json_reads_back_as_the_same_report(report: NightReport) -> None:
    assert NightReport.model_validate_json(report.canonical()) == report


@cache
def a_night() -> NightReport:
    return build_report(two_nights(), TONIGHT, registered=KINDS)


TEXT = st.text(st.characters(codec="utf-8"), max_size=150)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), TEXT, st.sampled_from([(100, 30), (80, 24), (120, 50)])
)
def test_the_first_screen_always_fits(acts: int, changes: int, unknowns: int, text: str, size: tuple[int, int]) -> None:
    report = a_night()
    row = report.act_on[0].model_copy(update={"effect": text, "owner": text or "nobody", "experiment": "e" * 60})
    grown = report.model_copy(
        update={
            "act_on": (row,) * acts,
            "changed": (report.changed[0],) * changes,
            "not_known": (row,) * unknowns,
            "coverage": Coverage(exercised=(), not_exercised=(text,) * acts),
        }
    )
    screen = first_screen(grown, *size)
    assert len(screen.splitlines()) <= size[1]
    assert max(len(line) for line in screen.splitlines()) <= size[0]
    assert screen.splitlines()[-1].startswith("COST")
    assert f"ACT ON  {acts}" in screen
    if acts:
        assert "squall revert" in screen


def test_every_row_has_owner_age_effect_and_command(report: NightReport) -> None:
    screen = first_screen(report)
    rows: tuple[Row, ...] = (*report.act_on, *report.not_known)
    for row in rows:
        assert row.owner
        assert row.effect
        assert row.next_command in screen
        assert row.next_command.startswith("squall ")


class Page(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def test_the_page_loads_and_runs_nothing(records: list[Stored], report: NightReport) -> None:
    page = Page(html_of(records, report))
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "img", "iframe", "object", "form")]
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on") or name == "style"]
    assert all((attrs["href"] or "").startswith("#") for attrs in page.named("a"))
    policy = next(attrs["content"] for attrs in page.named("meta") if "http-equiv" in attrs)
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")


def test_every_table_has_a_caption_and_every_heading_a_scope(records: list[Stored], report: NightReport) -> None:
    page = Page(html_of(records, report))
    assert len(page.named("table")) == len(page.named("caption")) > 8
    assert all(attrs.get("scope") in ("col", "row") for attrs in page.named("th"))
    assert all(attrs.get("aria-label") or attrs.get("aria-labelledby") for attrs in page.named("svg"))
    targets = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {(attrs["href"] or "")[1:] for attrs in page.named("a")} <= targets


EVIL = "<script>alert(1)</script> | [x](javascript:1) \"'&"


def test_text_of_others_is_never_markup() -> None:
    records = [*nights.run("label-flip", nights.BAD, seq=0, owner=EVIL), nights.refused("x", EVIL, 60)]
    report = build_report(records, TONIGHT, registered=[])
    page = html_of(records, report)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    markdown = render_markdown(report)
    assert "<script" not in re.sub(r"\\<", "", markdown)
    assert "](javascript" not in re.sub(r"\\\]", "", markdown)


def test_junit_says_failure_error_and_skipped(report: NightReport) -> None:
    suites = Xml.fromstring(junit_xml(report.verdicts))
    kinds = {
        suite.get("name"): [child.tag for child in suite.findall("testcase")[0] if child.tag != "system-out"]
        for suite in suites
    }
    assert kinds == {
        "label-flip": ["failure"],
        "stale-version": ["failure"],
        "unit-change": ["failure"],
        "missing-values": [],
        "late-data": ["error"],
        "deny-access": ["error"],
        "scaling": ["skipped"],
    }
    assert suites.get("tests") == str(len(suites.findall(".//testcase")))
    lenient = Xml.fromstring(junit_xml(report.verdicts, strict=False))
    assert len(lenient.findall(".//error")) == 1


def test_junit_survives_characters_that_xml_cannot_hold(report: NightReport) -> None:
    odd = report.verdicts[0].model_copy(update={"sentence": "a\x00b\x1b[31m"})
    assert Xml.fromstring(junit_xml([odd])).find(".//failure") is not None
