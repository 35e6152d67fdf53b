"""A run whose DAG run a person has marked is judged by its revert task, since nobody else comes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chaos_tasks.errors import SetupError
from chaos_tasks.runs import Run
from squall_operators.ending import judged_instead
from tests.unit.task_processes import allows
from tests.unit.toy_project import ToyProject, ToyWorkspaces, request

PAUSE = {
    "name": "stop",
    "fault": "process.pause",
    "target": "workload",
    "trigger": {"at": "elapsed", "after": "1s"},
    "hold": "1s",
}
"""A fault that has no handle before the workload runs."""


def asked() -> Any:
    return request(method=[PAUSE])


def marked(toy: ToyProject) -> str:
    """What the revert task says of a run whose task `judge` is skipped."""
    ti = SimpleNamespace(dag_id="d", run_id="m", get_task_states=lambda **_: {"m": {"judge": "skipped"}})
    squall: Any = SimpleNamespace(ledger=toy.ledger, engine=toy.engine(targets=allows("process")))
    squall.engine.revert("run-1", by="revert task")
    context: Any = {"ti": ti}
    return judged_instead(squall, "run-1", context)


@pytest.mark.parametrize("first_is_refused", [False, True])
def test_a_run_that_went_on_is_judged_whatever_its_first_try_met(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch, first_is_refused: bool
) -> None:
    def away(self: ToyWorkspaces, target: object) -> None:
        raise SetupError("the repository is away")

    if first_is_refused:
        with monkeypatch.context() as patch:
            patch.setattr(ToyWorkspaces, "resolve", away)
            with pytest.raises(SetupError):
                toy.engine(targets=allows("process")).arm(asked())
    engine = toy.engine(targets=allows("process"))
    engine.arm(asked())
    engine.baseline("run-1")
    assert "toy is" in marked(toy)
    assert Run(toy.ledger, "run-1").verdict() is not None
    assert toy.ledger.locked_runs() == frozenset()


def test_a_run_that_stayed_refused_has_no_verdict(toy: ToyProject) -> None:
    toy.fault.trouble["snapshot"] = SetupError("gone")
    with pytest.raises(SetupError):
        toy.engine().arm(request())
    assert marked(toy) == ""
    assert Run(toy.ledger, "run-1").verdict() is None
