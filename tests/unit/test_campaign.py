"""A night plans what is to run, names what it could not read, and is found again in the ledger."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from chaos_tasks.campaign import CampaignPlan, Campaigns, longest_first
from chaos_tasks.loading import load_experiments
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Note, RecordKind
from tests.unit.toy_project import ToyProject

NIGHT = date(2026, 11, 23)
TEXT = (Path(__file__).parent / "broken_files" / "name-twice-in-a-folder" / "first.yaml").read_text()


@pytest.fixture
def toy(tmp_path: Path) -> ToyProject:
    project = ToyProject(tmp_path / "home")
    for name, more in {
        "quick": "analysis: {seeds: 1}\n",
        "long": "analysis: {seeds: 9}\n",
        "by-hand": "nightly: false\n",
        "own-time": "schedule: '0 3 * * *'\n",
    }.items():
        (project.home / "experiments" / f"{name}.yaml").parent.mkdir(exist_ok=True)
        (project.home / "experiments" / f"{name}.yaml").write_text(TEXT.replace("name: tidy", f"name: {name}") + more)
    (project.home / "experiments" / "broken.yaml").write_text("name: [")
    return project


def campaigns(toy: ToyProject) -> Campaigns:
    settings = toy.settings(experiments_dir=toy.home / "experiments")
    return Campaigns(settings, toy.ledger, toy.clock, Recorder())


def names(plan: CampaignPlan) -> list[str]:
    return [entry.experiment for entry in plan.entries]


def test_a_night_runs_the_nightly_ones_longest_first_and_names_the_broken(toy: ToyProject) -> None:
    plan = campaigns(toy).plan(NIGHT)
    assert names(plan) == ["long", "quick"]
    assert [Path(path).name for path in plan.broken] == ["broken.yaml"]
    (stored,) = toy.ledger.records(kinds=[RecordKind.CAMPAIGN_PLANNED])
    assert isinstance(stored.record.payload, Note)
    assert stored.record.payload.facts["experiments"] == ["long", "quick"]
    assert stored.record.payload.facts["broken"] == list(plan.broken)


def test_a_second_campaign_of_one_date_gets_a_number(toy: ToyProject) -> None:
    ids = [campaigns(toy).plan(NIGHT).campaign_id for _ in range(3)]
    assert ids == ["night-2026-11-23", "night-2026-11-23-2", "night-2026-11-23-3"]


def test_a_request_carries_the_file_that_it_came_from(toy: ToyProject) -> None:
    part = campaigns(toy)
    plan = part.plan(NIGHT)
    requests = list(part.requests(plan))
    assert [one.run_id for one in requests] == ["night-2026-11-23.long", "night-2026-11-23.quick"]
    loaded = load_experiments(toy.home / "experiments").named("long")
    assert loaded is not None
    assert requests[0].experiment_file_sha256 == loaded.sha256
    assert {one.campaign_id for one in requests} == {plan.campaign_id}


def test_an_experiment_that_is_gone_since_planning_is_left_out(toy: ToyProject) -> None:
    part = campaigns(toy)
    plan = part.plan(NIGHT)
    (toy.home / "experiments" / "long.yaml").unlink()
    assert [one.experiment.name for one in part.requests(plan)] == ["quick"]


def test_the_order_does_not_depend_on_the_files_order(toy: ToyProject) -> None:
    loaded = load_experiments(toy.home / "experiments").experiments
    assert longest_first(loaded) == longest_first(reversed(loaded))


def test_an_ended_campaign_says_so_once(toy: ToyProject) -> None:
    part = campaigns(toy)
    plan = part.plan(NIGHT)
    part.end(plan.campaign_id, "all held")
    part.end(plan.campaign_id, "all held")
    assert len(list(toy.ledger.records(kinds=[RecordKind.CAMPAIGN_ENDED]))) == 1
