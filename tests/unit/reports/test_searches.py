"""A ramp is one row with its breaking point; the runs of searches are cost and coverage, and hide nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from chaos_tasks.judging.dossier import read_dossiers
from chaos_tasks.model.record import Stored
from chaos_tasks.model.request import RunRequest
from chaos_tasks.reports.html import render_html
from chaos_tasks.reports.markdown import render_markdown
from chaos_tasks.reports.night import NightReport, Period, Urgency, build_report
from chaos_tasks.reports.screen import first_screen
from chaos_tasks.searching.ramping import Ramps
from chaos_tasks.searching.repeating import Repeats
from chaos_tasks.searching.shrinking import Shrinks
from tests.unit.searching.toys import CHECK, Response, breaking_at, ramp_request
from tests.unit.toy_project import KIND, ToyProject, experiment, register

NIGHT = "night-2026-01-15"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyProject:
    project = ToyProject(tmp_path / "home")
    register(monkeypatch, project.fault)
    project.metrics = Response(project, breaking_at(0.18))
    return project


def ramp(toy: ToyProject, night: str = NIGHT) -> None:
    Ramps(toy.engine()).run(ramp_request(f"{night}.toy").model_copy(update={"campaign_id": night}))


def log_of(toy: ToyProject) -> list[Stored]:
    return list(toy.ledger.records())


def report(toy: ToyProject, night: str = NIGHT) -> NightReport:
    log = log_of(toy)
    first = next(one for one in log if one.record.run_id.startswith(night))
    until = toy.clock.now() + timedelta(seconds=1)
    period = Period(title=night, since=first.record.occurred_at, until=until, campaign_id=night)
    return build_report(log, period, registered=[KIND])


def whole(toy: ToyProject) -> NightReport:
    """Report of everything, whatever it belongs to."""
    log = log_of(toy)
    until = toy.clock.now() + timedelta(seconds=1)
    return build_report(log, Period(title="all", since=log[0].record.occurred_at, until=until), registered=[KIND])


def urgencies(found: NightReport) -> Sequence[tuple[Urgency, str]]:
    return [(row.urgency, row.run_id) for row in (*found.act_on, *found.not_known)]


def test_a_ramp_is_one_row_with_its_breaking_point_and_owner(toy: ToyProject) -> None:
    ramp(toy)
    found = report(toy)
    (row,) = found.act_on
    assert (row.run_id, row.urgency, row.owner) == (f"{NIGHT}.toy", Urgency.SILENT, "tests")
    assert row.effect.startswith("breaks between share 0.15 and 0.2; auc worse by 0.030")
    assert len(found.verdicts) == 1
    assert "breaks between share 0.15 and 0.2" in first_screen(found)
    assert "breaks between share 0.15 and 0.2" in render_markdown(found)


def test_its_runs_are_cost_and_coverage(toy: ToyProject) -> None:
    ramp(toy)
    found = report(toy)
    assert found.cost.experiments == 3
    assert found.cost.trials == sum(bool(trial) for trial in toy.metrics.trainings)  # type: ignore[attr-defined]
    assert found.coverage.exercised == (KIND,)


def test_a_breaking_point_that_moved_is_a_change(toy: ToyProject) -> None:
    ramp(toy)
    toy.metrics = Response(toy, breaking_at(0.12))
    ramp(toy, "night-2026-01-16")
    (change,) = report(toy, "night-2026-01-16").changed
    assert change.before == "deviated, breaks between share 0.15 and 0.2"
    assert change.after == "deviated, breaks between share 0.1 and 0.15"


def test_what_cannot_be_reverted_names_the_run_to_revert(toy: ToyProject) -> None:
    toy.fault.trouble["revert"] = OSError("stuck")
    ramp(toy)
    (row,) = report(toy).act_on
    assert row.urgency is Urgency.UNREVERTED
    assert row.next_command == f"squall revert {NIGHT}.toy.2"


def test_reductions_and_repetitions_are_no_rows_of_their_own(toy: ToyProject) -> None:
    toy.engine().run(RunRequest(run_id="run-1", experiment=experiment(steady_state=[CHECK], analysis={"seeds": 10})))
    before = whole(toy)
    Shrinks(toy.engine()).run("shrink-1", "run-1", max_runs=3)
    Repeats(toy.engine()).run("repro-1", "run-1")
    after = whole(toy)
    assert urgencies(after) == urgencies(before) == [(Urgency.SILENT, "run-1")]
    assert after.cost.experiments == 5
    assert not after.changed


def test_a_part_alone_is_reported_as_itself(toy: ToyProject) -> None:
    ramp(toy)
    log = [one for one in log_of(toy) if one.record.run_id == f"{NIGHT}.toy.3"]
    until = toy.clock.now() + timedelta(seconds=1)
    found = build_report(log, Period(title="one", since=log[0].record.occurred_at, until=until), registered=[KIND])
    assert urgencies(found) == [(Urgency.SILENT, f"{NIGHT}.toy.3")]


def test_a_ramp_under_way_has_no_verdict_yet(toy: ToyProject) -> None:
    ramp(toy)
    log = [one for one in log_of(toy) if one.seq < 20]
    until = toy.clock.now() + timedelta(seconds=1)
    period = Period(title=NIGHT, since=log[0].record.occurred_at, until=until, campaign_id=NIGHT)
    assert urgencies(build_report(log, period, registered=[KIND])) == [(Urgency.UNJUDGED, f"{NIGHT}.toy")]


def test_the_page_lists_the_levels_and_judges_the_evidence_as_the_level_was(toy: ToyProject) -> None:
    ramp(toy)
    page = render_html(report(toy), read_dossiers(log_of(toy)))
    assert "Levels asked, in their order" in page
    for asked in ("share 0.15", "share 0.25", "share 0.2"):
        assert asked in page
    assert "e = 1/0.00833 = 120" in page
    assert "e = 1/0.05" not in page
