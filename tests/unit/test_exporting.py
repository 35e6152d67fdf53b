"""A night's report adjusts and ends it once it is over, never before, whatever MLflow does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pytest

from chaos_tasks.errors import LedgerError, SetupError
from chaos_tasks.exporting import Exports
from chaos_tasks.model.record import RecordKind
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.unit.reports import nights
from tests.unit.test_campaign import NIGHT, TEXT, campaigns, judged
from tests.unit.toy_project import ToyProject

ENDS = (RecordKind.CAMPAIGN_ADJUSTED, RecordKind.CAMPAIGN_ENDED)


@dataclass
class Shown:
    """Where a night's numbers are shown; ``trouble`` is raised instead."""

    nights: list[tuple[str, Mapping[str, float]]] = field(default_factory=list)
    trouble: SetupError | None = None

    def end_night(self, campaign_id: str, at: datetime, numbers: Mapping[str, float]) -> str:
        """Remember them."""
        if self.trouble is not None:
            raise self.trouble
        self.nights.append((campaign_id, numbers))
        return "shown"


@pytest.fixture
def toy(tmp_path: Path) -> ToyProject:
    project = ToyProject(tmp_path / "home")
    (project.home / "experiments").mkdir(exist_ok=True)
    for name in ("quick", "long"):
        (project.home / "experiments" / f"{name}.yaml").write_text(TEXT.replace("name: tidy", f"name: {name}"))
    return project


def kinds(toy: ToyProject) -> list[RecordKind]:
    """Records of the night itself that end it."""
    return [stored.record.kind for stored in toy.ledger.records(kinds=ENDS)]


def test_a_report_on_a_night_that_still_runs_neither_adjusts_nor_ends_it(toy: ToyProject) -> None:
    part = campaigns(toy)
    plan = part.plan(NIGHT)
    judged(toy, plan, "quick", 30, (1, 2))
    exported = Exports(part, toy.clock).night(plan.campaign_id)
    assert kinds(toy) == []
    assert "planned, never started" in exported.screen


def test_a_night_that_is_over_is_adjusted_before_its_report_and_ends_once(toy: ToyProject) -> None:
    part, shown = campaigns(toy), Shown()
    plan = part.plan(NIGHT)
    judged(toy, plan, "quick", 30, (1, 2))
    judged(toy, plan, "long", 0.5, (1, 2))
    exports = Exports(part, toy.clock, shown.end_night)
    exported = exports.night(plan.campaign_id)
    assert exported.report.among_many is not None
    assert exported.report.among_many.questions == 2
    exports.night(plan.campaign_id, over=True)
    assert kinds(toy) == list(ENDS)
    assert len(shown.nights) == 1


@pytest.mark.parametrize("stood_in_line", [False, True])
def test_a_run_is_compared_with_the_one_before_it_also_where_it_was_registered_before_that_was_judged(
    toy: ToyProject, stood_in_line: bool
) -> None:
    older, before, run = (
        nights.run("x", nights.SAME, seq=0, nights_ago=2),
        nights.run("x", nights.BAD, seq=100, nights_ago=1),
        nights.run("x", nights.BAD, seq=200),
    )
    if stood_in_line:
        at = before[-1].seq
        before = [*before[:-1], before[-1].model_copy(update={"seq": at + 1})]
        run = [run[0].model_copy(update={"seq": at}), *run[1:]]
    log = sorted([*older, *before, *run], key=lambda one: one.seq)
    part = replace(campaigns(toy), ledger=MemoryLedger(toy.clock, _log=log))
    exported = Exports(part, FakeClock(nights.NOW)).run(run[0].record.run_id)
    assert exported.report.changed == ()
    assert [row.since for row in exported.report.act_on] == [before[0].record.occurred_at]


def test_the_numbers_of_a_night_are_shown(toy: ToyProject) -> None:
    part, shown = campaigns(toy), Shown()
    plan = part.plan(NIGHT)
    judged(toy, plan, "quick", 30, (1, 2))
    report = Exports(part, toy.clock, shown.end_night).night(plan.campaign_id, over=True).report
    ((campaign_id, numbers),) = shown.nights
    assert campaign_id == plan.campaign_id
    assert (numbers["night.deviated"], numbers["night.held"], numbers["night.stand"]) == (1, 0, 1)
    (score,) = report.scores
    assert numbers[f"score.{score.name}"] == score.value
    assert numbers[f"score.{score.name}.coverage"] == score.coverage


def test_a_night_stands_where_its_numbers_cannot_be_shown(toy: ToyProject) -> None:
    part = campaigns(toy)
    plan = part.plan(NIGHT)
    shown = Shown(trouble=SetupError("MLflow cannot be reached"))
    assert Exports(part, toy.clock, shown.end_night).night(plan.campaign_id, over=True).html.exists()
    assert kinds(toy) == list(ENDS)


def test_an_unknown_night_is_said_to_be_unknown(toy: ToyProject) -> None:
    with pytest.raises(LedgerError, match="no campaign"):
        Exports(campaigns(toy), toy.clock).night("night-2020-01-01")
