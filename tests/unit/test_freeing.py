"""A person frees a run that holds locks and has nothing in, but not from under a process that lives or may live."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.engine import Engine
from chaos_tasks.errors import Fenced, GuardTripped
from chaos_tasks.freeing import free
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.workspaces import Workspaces
from tests.unit.task_processes import KILL, allows
from tests.unit.toy_project import ToyProject, register, request

RUN = "run-1"
NOBODY = 2**22 + 1
"""No process has it: more than Linux gives."""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyProject:
    """A run is armed for an hour; its fault would fire during the workload, so it has no handle."""
    project = ToyProject(tmp_path / "home")
    register(monkeypatch, project.fault)
    of_process(project).arm(request(method=[KILL]))
    assert project.ledger.handles() == []
    return project


def of_process(toy: ToyProject) -> Engine:
    engine, ledger = toy.engine(targets=allows("process")), toy.ledger.of_another_process()
    loop = replace(engine.parts.loop, ledger=ledger)
    return replace(engine, parts=replace(engine.parts, ledger=ledger, loop=loop))


def held_by(toy: ToyProject, **changes: Any) -> None:
    """Whoever armed the run was another process."""
    line = toy.ledger._actors[RUN]
    line[-1] = line[-1].model_copy(update=changes)


def test_a_run_whose_process_is_gone_gives_its_locks_back_and_has_an_end(toy: ToyProject) -> None:
    held_by(toy, pid=NOBODY)
    verdict = free(of_process(toy), RUN)
    assert verdict is not None
    assert verdict.outcome is Outcome.ABORTED
    assert toy.ledger.held_until(RUN) is None
    assert toy.kinds()[-2:] == [RecordKind.EVALUATE_VERDICT, RecordKind.LOCKS_RELEASED]
    assert "ended by a person" in toy.notes(RecordKind.STOP_TRIGGERED)[0]
    of_process(toy).arm(request("run-2", method=[KILL]))
    assert free(of_process(toy), RUN) is None


def test_its_workload_is_ended_first_and_its_process_fenced_should_it_live_after_all(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []
    monkeypatch.setattr(Workspaces, "end_workloads", lambda self, plan: ended.append(True) or 0)
    monkeypatch.setattr(type(toy.workspaces), "end_workloads", Workspaces.end_workloads)
    arming = of_process(toy)
    arming.arm(request(method=[KILL]))  # its task was tried again
    held_by(toy, pid=NOBODY)
    free(of_process(toy), RUN)
    assert ended
    with pytest.raises(Fenced):
        arming.parts.ledger.renew(RUN, lease_s=60)


def test_a_living_process_keeps_its_run(toy: ToyProject) -> None:
    with pytest.raises(GuardTripped, match=r"is alive: pid \d+ on .* \(arm\) has it, and renews"):
        free(of_process(toy), RUN)
    assert RUN in toy.ledger.locked_runs()


def test_one_of_another_host_is_believed_to_live_until_its_lease_is_over(toy: ToyProject) -> None:
    held_by(toy, host="work-1")
    with pytest.raises(GuardTripped, match=r"may be alive: pid \d+ on work-1") as caught:
        free(of_process(toy), RUN)
    assert caught.value.remedy.startswith(f"run `squall revert {RUN}` on work-1, or wait")
    until = toy.ledger.held_until(RUN)
    assert until is not None
    toy.clock.advance((until - toy.clock.now() + timedelta(seconds=1)).total_seconds())
    assert free(of_process(toy), RUN) is not None


def test_a_machine_that_was_started_again_has_lost_its_processes(toy: ToyProject) -> None:
    held_by(toy, boot_id="the one before")
    assert free(of_process(toy), RUN) is not None


def test_what_is_in_is_put_back_first(toy: ToyProject) -> None:
    toy.ledger.release(RUN)
    toy.engine().arm(request("run-3"))
    with pytest.raises(GuardTripped, match="run-3 keeps its locks: run-3/write is armed"):
        free(toy.engine(), "run-3")
