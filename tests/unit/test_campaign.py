"""A night plans what is to run, names what it could not read, and is found again in the ledger."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from chaos_tasks.campaign import CampaignPlan, Campaigns, longest_first
from chaos_tasks.loading import load_experiments
from chaos_tasks.model.adjustment import Adjusted
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Judged, Note, Record, RecordKind
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.unit.judging.test_adjustment import margin_run
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
    assert len(stored.record.payload.facts["faults"]) == len(stored.record.payload.facts["targets"]) == 2


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


def judged(toy: ToyProject, plan: CampaignPlan, name: str, e: float, seeds: tuple[int, ...]) -> None:
    """Write the records of a planned run whose one check brought this evidence."""
    entry = next(one for one in plan.entries if one.experiment == name)
    of_night = {"run_id": entry.run_id, "campaign_id": plan.campaign_id, "planned_at": toy.clock.now()}
    for stored in margin_run(name, e, seeds, **of_night).records:
        toy.ledger.append(stored.record)
    toy.clock.advance(60)


def adjustments(toy: ToyProject) -> list[Adjusted]:
    found = [stored.record.payload for stored in toy.ledger.records(kinds=[RecordKind.CAMPAIGN_ADJUSTED])]
    return [one for one in found if isinstance(one, Adjusted)]


def test_a_night_is_over_when_every_planned_run_has_its_answer(toy: ToyProject) -> None:
    part = campaigns(toy)
    plan = part.plan(NIGHT)
    judged(toy, plan, "quick", 30, (1, 2))
    assert not part.is_over(plan.campaign_id)
    run = plan.entries[0].run_id
    toy.ledger.append(
        Record(
            kind=RecordKind.RUN_REFUSED,
            idem_key="r",
            occurred_at=toy.clock.now(),
            run_id=run,
            payload=Note(text="busy"),
        )
    )
    assert part.is_over(plan.campaign_id)


def test_adjusting_a_night_rewrites_no_verdict_and_happens_once(toy: ToyProject) -> None:
    part = campaigns(toy)
    plan = part.plan(NIGHT)
    judged(toy, plan, "quick", 30, (1, 2))
    judged(toy, plan, "long", 0.5, (1, 2))
    verdicts = [stored for stored in toy.ledger.records() if isinstance(stored.record.payload, Judged)]
    first = part.adjust(plan.campaign_id)
    assert part.adjust(plan.campaign_id) == first
    assert adjustments(toy) == [first]
    assert [stored for stored in toy.ledger.records() if isinstance(stored.record.payload, Judged)] == verdicts


def test_adjustments_are_a_chain_in_the_log(toy: ToyProject) -> None:
    part = campaigns(toy)
    for night in range(3):
        plan = part.plan(NIGHT)
        judged(toy, plan, "quick", 12, (10 * night, 10 * night + 1))
        part.adjust(plan.campaign_id)
    first, second, third = adjustments(toy)
    assert (first.previous_seq, first.before.procedure.nights) == (None, 0)
    assert (second.before, third.before) == (first.after, second.after)
    stored = list(toy.ledger.records(kinds=[RecordKind.CAMPAIGN_ADJUSTED]))
    assert (third.previous_seq, third.previous_leaf_sha256) == (stored[1].seq, stored[1].leaf_sha256)
    assert third.after.experiments[0].log_e > first.after.experiments[0].log_e


def test_two_nights_that_end_at_once_do_not_share_a_place_in_the_chain(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = campaigns(toy)
    one, other = part.plan(NIGHT), part.plan(NIGHT)
    write, raced = MemoryLedger.append, []

    def append(ledger: MemoryLedger, record: Record) -> object:
        if record.kind is RecordKind.CAMPAIGN_ADJUSTED and not raced:
            raced.append(True)
            part.adjust(other.campaign_id)
        return write(ledger, record)

    monkeypatch.setattr(MemoryLedger, "append", append)
    part.adjust(one.campaign_id)
    assert [found.after.procedure.nights for found in adjustments(toy)] == [1, 2]
