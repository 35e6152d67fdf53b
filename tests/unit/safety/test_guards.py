"""Each guard refuses what it is for, says what to do, and counts as tripped when it cannot be evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.errors import GuardTripped, LedgerError
from chaos_tasks.model.handle import Reversibility
from chaos_tasks.model.target import Target
from chaos_tasks.safety.guards import SWEEPER, Rules, check_own_sweeper, check_request, check_world, own_beat, own_leave
from tests.unit.toy_project import KIND, ToyProject, experiment, register, request

RULES = Rules(
    home=Path("home"),
    environments=("lab",),
    target_environment="lab",
    disposable=True,
    families=("toy", "data", "process", "airflow"),
    require_sweeper=True,
    sweeper_max_age_s=30,
    on_airflow=False,
)
DURING = {"at": "progress", "step": 1}
TARGET: dict[str, Any] = {
    "name": "toy",
    "source": {"type": "dvc", "repo": "r", "data": ["a.csv"]},
    "workload": {"type": "command", "run": "true"},
    "reads": {"progress": {"log": "step (.*)"}},
}


def asked(rules: Rules = RULES, pipeline: dict[str, Any] | None = None, **step: Any) -> None:
    told = {"name": "one", "fault": "data.label_flip", "target": "data", **step}
    check_request(experiment(method=[told]), Target.model_validate(pipeline or TARGET), rules)


SAVES: dict[str, Any] = {
    **TARGET,
    "workload": {"type": "command", "run": "train {checkpoints}", "rungs": {"half": "--epochs 1"}},
    "reads": {"progress": {"log": "step (.*)"}, "checkpoints": "*.pt"},
}
KILL = {"name": "kill", "fault": "process.kill", "target": "workload", "trigger": {"at": "progress", "step": 9}}
FLIP = {"name": "flip", "fault": "data.label_flip", "target": "data"}


def analysed(step: dict[str, Any], analysis: dict[str, Any], pipeline: dict[str, Any] = SAVES, **more: Any) -> None:
    told = experiment(method=[step], analysis=analysis, **more)
    check_request(told, Target.model_validate(pipeline), RULES)


FORK = {"fork": {"at_step": 8}}
DURATION = {"name": "s", "probe": "workload.duration_s", "tolerance": {"type": "non_inferiority", "margin": 1}}


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (lambda: analysed(KILL, FORK, TARGET), "is not told where its checkpoints are"),
        (lambda: analysed(KILL, FORK, {**SAVES, "reads": TARGET["reads"]}), "declares no reads.checkpoints"),
        (lambda: analysed(FLIP, FORK), "changes the data"),
        (lambda: analysed(KILL, FORK, steady_state=[DURATION]), "check s compares durations"),
        (lambda: analysed(FLIP, {"ladder": ["half", "tenth"]}), r"no rung called 'tenth' \(it has: half\)"),
        (lambda: analysed(FLIP, {"ladder": ["half"]}, TARGET), r"no rung called 'half' \(it has: none\)"),
    ],
)
def test_what_a_target_cannot_do_for_a_long_training_is_refused(ask: Callable[[], None], why: str) -> None:
    with pytest.raises(GuardTripped, match=why) as caught:
        ask()
    assert caught.value.remedy


def test_a_fork_before_the_fault_and_a_declared_rung_pass() -> None:
    analysed(KILL, FORK)
    analysed(FLIP, {"ladder": ["half"]})
    analysed(FLIP, FORK, {**SAVES, "workload": {**SAVES["workload"], "fork_changed": "--resume-changed"}})


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (lambda: asked(replace(RULES, target_environment="production")), "is in environment 'production'"),
        (lambda: asked(replace(RULES, families=("process",))), "allows no data faults"),
        (lambda: asked(target="lake"), "has no place called 'lake'"),
        (lambda: asked(trigger=DURING), "reads at its start"),
        (lambda: asked(fault="process.kill", target="workload"), "needs a trigger during"),
        (lambda: asked(fault="airflow.task_kill", target="task", trigger=DURING), "needs a running Airflow task"),
        (
            lambda: asked(pipeline={**TARGET, "reads": {}}, fault="process.kill", trigger=DURING, target="workload"),
            "declares none",
        ),
    ],
)
def test_a_request_that_cannot_be_right_is_refused(ask: Callable[[], None], why: str) -> None:
    with pytest.raises(GuardTripped, match=why) as caught:
        ask()
    assert caught.value.remedy


def test_a_request_that_fits_passes() -> None:
    asked()
    asked(fault="process.kill", target="workload", trigger=DURING)
    asked(replace(RULES, on_airflow=True), fault="airflow.task_kill", target="task", trigger=DURING)


class Deaf:
    """A ledger whose heartbeats cannot be read."""

    def last_beat(self, name: str) -> None:
        """It fails."""
        raise LedgerError("down", remedy="bring it up")


def test_the_world_is_looked_at_anew_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = ToyProject(tmp_path / "home")
    register(monkeypatch, toy.fault)
    plan = toy.engine().arm(request())
    rules = replace(RULES, home=toy.home)
    check_world(plan, rules, toy.ledger)
    toy.clock.advance(31)
    with pytest.raises(GuardTripped, match="last heartbeat: 31 s ago"):
        check_world(plan, rules, toy.ledger)
    check_world(plan, replace(rules, require_sweeper=False), toy.ledger)
    with pytest.raises(GuardTripped, match="heartbeat cannot be read: down"):
        check_world(plan, rules, Deaf())  # type: ignore[arg-type]
    with pytest.raises(GuardTripped, match="MB are needed"):
        check_world(plan, replace(rules, require_sweeper=False, min_free_bytes=2**60), toy.ledger)


def test_a_process_is_hurt_only_where_its_own_hosts_sweeper_watches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host's says nothing: from there the process can be neither seen nor put back."""
    toy = ToyProject(tmp_path / "home")
    register(monkeypatch, toy.fault)
    plan = toy.engine().arm(request())
    steps = experiment(method=[{**KILL, "fault": "process.pause"}]).method
    kills = plan.model_copy(update={"experiment": plan.experiment.model_copy(update={"method": steps})})
    for name in (SWEEPER, own_beat("control")):
        toy.ledger.beat(name)
    with pytest.raises(
        GuardTripped, match=r"process\.pause acts on a process of work-1, which only .* never"
    ) as caught:
        check_own_sweeper(kills, RULES, toy.ledger, "work-1")
    assert caught.value.remedy.startswith("start `squall sweep --watch` on work-1")
    check_own_sweeper(plan, RULES, toy.ledger, "work-1")  # data are seen from everywhere
    check_own_sweeper(kills, replace(RULES, require_sweeper=False), toy.ledger, "work-1")
    toy.ledger.beat(own_beat("work-1"))
    toy.clock.advance(1)
    check_own_sweeper(kills, RULES, toy.ledger, "work-1")
    toy.ledger.beat(own_leave("work-1"))
    with pytest.raises(GuardTripped, match="watching there"):
        check_own_sweeper(kills, RULES, toy.ledger, "work-1")
    with pytest.raises(GuardTripped, match="heartbeat cannot be read: down"):
        check_own_sweeper(kills, RULES, Deaf(), "work-1")  # type: ignore[arg-type]


def test_what_cannot_be_undone_runs_on_disposable_targets_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = ToyProject(tmp_path / "home")
    register(monkeypatch, toy.fault)
    toy.fault.reversibility = Reversibility.IRREVERSIBLE  # type: ignore[misc]
    asked(fault=KIND)
    with pytest.raises(GuardTripped, match="is not disposable"):
        asked(replace(RULES, disposable=False), fault=KIND)
