"""The supervisor as its own process: real children, real signals, a real SQLite ledger."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread

import psutil
import pytest

from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.experiment import LogTrigger, ProgressTrigger
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.spec import Companion, FiringSpec
from chaos_tasks.model.trial import Trial, TrialStatus
from chaos_tasks.targets.process import MARK_VARIABLE, ProcessIdentity
from chaos_tasks.workloads.fencing import end_recorded
from chaos_tasks.workloads.journal import Journal
from chaos_tasks.workloads.runner import SupervisedRunner
from tests.integration.workloads.laboratory import eventually, make_spec, supervisor_environment

PARENT = """
import os, sys
from pathlib import Path
from chaos_tasks.model.place import TaskPlace
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.targets.process import ProcessIdentity
from chaos_tasks.workloads.runner import SupervisedRunner
spec = TrialSpec.model_validate_json(Path(sys.argv[1]).read_text())
me = ProcessIdentity.of(os.getpid()).model_dump()
place = TaskPlace(**me, dag_id="d", run_id="r", task_id="exercise", try_number=1)
firings = tuple(one.model_copy(update={"place": place}) for one in spec.firings)
SupervisedRunner(environment=os.environ).run(spec.model_copy(update={"firings": firings}))
"""
"""Stands for an Airflow task: its firings act on itself."""


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[SupervisedRunner]:
    made = SupervisedRunner(environment=supervisor_environment(tmp_path), log=tmp_path / "supervisor.log")
    yield made
    made.close()
    end_recorded(tmp_path)


def firing(kind: str, **changes: object) -> FiringSpec:
    given: dict[str, object] = {
        "parent_handle_id": "run-1/step",
        "n": 0,
        "step": "step",
        "kind": kind,
        "params": {},
        "trigger": ProgressTrigger(step=7),
        "seed": 3,
    }
    return FiringSpec.model_validate({**given, **changes})


def alive_workloads(out: Path) -> list[int]:
    places = Journal(out).launched_places()
    return [place.pid for place in places if ProcessIdentity.of_place(place).is_alive()]


def test_a_trial_completes_with_its_numbers_and_a_clean_environment(tmp_path: Path, runner: SupervisedRunner) -> None:
    trial = runner.run(make_spec(tmp_path, environment={"GIVEN": "1"}))
    assert trial.status is TrialStatus.COMPLETED, trial.error
    assert trial.metrics["auc"] == 0.9
    assert trial.metrics["loss"] != trial.metrics["loss"]
    assert trial.slices == {"a": {"auc": 0.8}}
    assert set(trial.files) == {"metrics.json"}
    assert (trial.launches[0].first_step, trial.launches[0].last_step) == (1, 12)
    seen = json.loads((tmp_path / "out" / "env.json").read_text())
    assert seen["GIVEN"] == "1"
    assert not [name for name in seen if name.startswith(("AIRFLOW", "SQUALL_LEDGER"))]


def test_one_supervisor_serves_many_trials(tmp_path: Path, runner: SupervisedRunner) -> None:
    pids = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        assert runner.run(make_spec(tmp_path / name, steps=2)).status is TrialStatus.COMPLETED
        pids.add(runner.pid)
    assert len(pids) == 1


def test_a_killed_workload_resumes_from_its_checkpoint(tmp_path: Path, runner: SupervisedRunner) -> None:
    trial = runner.run(make_spec(tmp_path, steps=20, gate="restart", restarts=1, firings=(firing("process.kill"),)))
    assert trial.status is TrialStatus.COMPLETED, trial.error
    first, second = trial.launches
    assert first.exit_code == -9
    assert second.exit_code == 0
    assert second.first_step is not None
    assert second.first_step > 5
    assert first.last_step is not None
    assert trial.lost_steps == first.last_step - second.first_step + 1
    [fired] = trial.firings
    assert fired.error == ""
    assert fired.injected is not None
    assert fired.injected.effective
    assert fired.reverted is not None
    assert [event.name for event in trial.signals] == ["exit_code"]
    ledger = open_ledger(supervisor_environment(tmp_path)["SQUALL_LEDGER_URL"])
    kinds = [stored.record.kind for stored in ledger.records(run_id="run-1")]
    assert kinds == [
        RecordKind.TRIGGER_CLAIMED,
        RecordKind.FAULT_ARMED,
        RecordKind.INJECT_INTENT,
        RecordKind.INJECT_APPLIED,
        RecordKind.REVERT_INTENT,
        RecordKind.REVERT_VERIFIED,
    ]
    ledger.close()


def test_without_restarts_a_killed_workload_is_a_failed_trial(tmp_path: Path, runner: SupervisedRunner) -> None:
    trial = runner.run(make_spec(tmp_path, gate="never", firings=(firing("process.kill"),)))
    assert trial.status is TrialStatus.FAILED
    assert trial.launches[0].exit_code == -9


def test_a_pause_stands_still_for_its_hold_and_goes_on(tmp_path: Path, runner: SupervisedRunner) -> None:
    pause = firing("process.pause", hold="400ms", trigger=LogTrigger(pattern=r"^step 3$"))
    trial = runner.run(make_spec(tmp_path, steps=200, firings=(pause,)))
    assert trial.status is TrialStatus.COMPLETED, trial.error
    [fired] = trial.firings
    assert fired.injected is not None, fired.error
    assert fired.reverted is not None, fired.error
    assert fired.injected.effective
    assert (fired.reverted.at - fired.injected.at) >= timedelta(seconds=0.4)


def test_a_pause_that_begins_within_another_one_is_refused_and_leaves_nothing_unproved(
    tmp_path: Path, runner: SupervisedRunner
) -> None:
    """It would stop nobody, and its end could never look like its beginning."""
    first = firing("process.pause", hold="1s", parent_handle_id="run-1/a", step="a", trigger=ProgressTrigger(step=3))
    late = {"at": "elapsed", "after": "1200ms"}
    second = firing("process.pause", hold="1500ms", parent_handle_id="run-1/b", step="b", trigger=late)
    trial = runner.run(make_spec(tmp_path, steps=200, firings=(first, second)))
    phases = [state.phase for state in open_ledger(f"sqlite:///{tmp_path}/ledger.db").handles()]
    assert set(phases) == {Phase.REVERTED}
    if len(phases) == 1:  # on a slow machine the first one may be over before the second begins
        assert "stand still already" in next(one.error for one in trial.firings if one.step == "b")


def test_a_torn_checkpoint_is_met_by_the_next_launch(tmp_path: Path, runner: SupervisedRunner) -> None:
    torn = firing("process.torn_checkpoint", trigger=ProgressTrigger(step=12), params={"keep_fraction": 0.3})
    trial = runner.run(make_spec(tmp_path, steps=14, gate="restart", restarts=1, firings=(torn,)))
    assert trial.status is TrialStatus.COMPLETED, trial.error
    [fired] = trial.firings
    assert fired.error == ""
    assert fired.injected is not None
    assert fired.injected.effective
    assert "torn checkpoint" in (tmp_path / "out" / "workload.log").read_text()
    assert trial.launches[1].first_step == 6
    assert fired.reverted is not None


def test_a_hanging_workload_times_out_and_is_ended(tmp_path: Path, runner: SupervisedRunner) -> None:
    trial = runner.run(make_spec(tmp_path, gate="never", timeout_s=1.0))
    assert trial.status is TrialStatus.TIMED_OUT
    assert alive_workloads(tmp_path / "out") == []


def test_an_undeclared_write_aborts_the_trial_while_it_runs(tmp_path: Path, runner: SupervisedRunner) -> None:
    """The workload writes a checkpoint, then hangs: it is not waited for."""
    spec = make_spec(tmp_path, gate="never", watched=(str(tmp_path / "checkpoints"),))
    trial = runner.run(spec)
    assert trial.status is TrialStatus.ABORTED
    assert trial.error == f"undeclared writes: {tmp_path}/checkpoints/10.ckpt, {tmp_path}/checkpoints/5.ckpt"
    assert alive_workloads(tmp_path / "out") == []


def test_a_declared_write_is_permitted(tmp_path: Path, runner: SupervisedRunner) -> None:
    (tmp_path / "a" / "out").mkdir(parents=True)
    folder = tmp_path / "a"
    permitted = tuple(str(folder / name) for name in ("out", "checkpoints"))
    trial = runner.run(make_spec(folder, watched=(str(folder),), permitted=permitted))
    assert trial.status is TrialStatus.COMPLETED, trial.error


def test_a_dead_companion_makes_the_trial_void(tmp_path: Path, runner: SupervisedRunner) -> None:
    relay = Companion(name="relay", command=(sys.executable, "-c", "raise SystemExit(3)"))
    trial = runner.run(make_spec(tmp_path, gate="never", companions=(relay,)))
    assert trial.status is TrialStatus.VOID
    assert "relay ended with exit code 3" in trial.error
    assert alive_workloads(tmp_path / "out") == []


def test_a_companion_lives_as_long_as_the_trial(tmp_path: Path, runner: SupervisedRunner) -> None:
    note = f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))"
    code = f"import os, pathlib, time; {note}; time.sleep(99)"
    relay = Companion(name="relay", command=(sys.executable, "-I", "-S", "-c", code))
    trial = runner.run(make_spec(tmp_path, steps=100, companions=(relay,)))
    assert trial.status is TrialStatus.COMPLETED, trial.error
    assert ProcessIdentity.of(int((tmp_path / "pid").read_text())) is None


def test_a_dead_supervisor_makes_the_trial_void_and_leaves_nothing(tmp_path: Path, runner: SupervisedRunner) -> None:
    found: list[Trial] = []
    serving = Thread(target=lambda: found.append(runner.run(make_spec(tmp_path, gate="never"))))
    serving.start()
    eventually(lambda: bool(alive_workloads(tmp_path / "out")), "launch")
    assert runner.pid is not None
    os.kill(runner.pid, signal.SIGKILL)
    serving.join(20)
    assert found[0].status is TrialStatus.VOID
    assert alive_workloads(tmp_path / "out") == []


def test_a_hold_of_a_dead_supervisor_is_not_in_under_the_next_trial(tmp_path: Path, runner: SupervisedRunner) -> None:
    (tmp_path / "second").mkdir()
    pause = firing("process.pause", hold="1h")
    serving = Thread(target=lambda: runner.run(make_spec(tmp_path, gate="never", firings=(pause,))))
    serving.start()
    ledger = open_ledger(supervisor_environment(tmp_path)["SQUALL_LEDGER_URL"])
    eventually(lambda: bool(ledger.handles(phases=(Phase.INJECTED,))), "injection")
    assert runner.pid is not None
    os.kill(runner.pid, signal.SIGKILL)
    serving.join(20)
    again = firing("process.pause", hold="1ms", n=1)
    trial = runner.run(make_spec(tmp_path / "second", steps=40, firings=(again,)))
    assert trial.status is TrialStatus.COMPLETED, trial.error
    assert [one.handle_id for one in trial.firings] == ["run-1/step/1"]
    told = [(one.record.kind, one.record.handle_id) for one in ledger.records(run_id="run-1")]
    first_is_out = told.index((RecordKind.REVERT_VERIFIED, "run-1/step/0"))
    assert first_is_out < told.index((RecordKind.INJECT_INTENT, "run-1/step/1"))
    ledger.close()


def test_close_reverts_the_hold_and_ends_the_workload(tmp_path: Path, runner: SupervisedRunner) -> None:
    found: list[Trial] = []
    pause = firing("process.pause", hold="1h")
    spec = make_spec(tmp_path, gate="never", firings=(pause,))
    serving = Thread(target=lambda: found.append(runner.run(spec)))
    serving.start()
    ledger = open_ledger(supervisor_environment(tmp_path)["SQUALL_LEDGER_URL"])
    eventually(lambda: bool(ledger.handles(phases=(Phase.INJECTED,))), "injection")
    runner.close()
    serving.join(20)
    assert found[0].status is TrialStatus.ABORTED
    assert [state.phase for state in ledger.handles()] == [Phase.REVERTED]
    assert alive_workloads(tmp_path / "out") == []
    ledger.close()


def _start_parent(tmp_path: Path, spec_json: str) -> subprocess.Popen[bytes]:
    (tmp_path / "spec.json").write_text(spec_json)
    environment = {**supervisor_environment(tmp_path), "PYTHONPATH": os.getcwd()}
    return subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "spec.json")], env=environment)


def test_kill_9_of_the_parent_leaves_no_workload_running(tmp_path: Path) -> None:
    parent = _start_parent(tmp_path, make_spec(tmp_path, gate="never").model_dump_json())
    eventually(lambda: bool(alive_workloads(tmp_path / "out")), "launch")
    parent.kill()
    parent.wait()
    eventually(lambda: alive_workloads(tmp_path / "out") == [], "end of the workload")
    [supervisor] = Journal(tmp_path / "out").supervisors()
    eventually(lambda: not supervisor.is_alive(), "end of the supervisor")


DAEMON = """
import os, subprocess, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open(sys.argv[1] + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.rename(sys.argv[1] + ".new", sys.argv[1])
        time.sleep(600)
    os._exit(0)
subprocess.run(["/bin/sh", "-c", "sleep 600 & sleep 600"])
"""


def test_kill_9_of_supervisor_and_task_at_once_ends_daemons_of_the_workload_too(tmp_path: Path) -> None:
    """Double fork and a session of its own: no signal to a group, and no parent, reaches it; the sweep is far away."""
    told = tmp_path / "daemon.pid"
    spec = make_spec(tmp_path, command=(sys.executable, "-I", "-S", "-c", DAEMON, str(told)), lease_s=600.0)
    parent = _start_parent(tmp_path, spec.model_dump_json())
    eventually(lambda: told.exists() and len(marked(spec.trial_id)) >= 5, "launch")
    daemon = ProcessIdentity.of(int(told.read_text()))
    assert daemon is not None
    assert os.getpgid(daemon.pid) not in {os.getpgid(one) for one in alive_workloads(tmp_path / "out")}
    [supervisor] = Journal(tmp_path / "out").supervisors()
    os.killpg(supervisor.pid, signal.SIGKILL)
    parent.kill()
    parent.wait()
    eventually(lambda: marked(spec.trial_id) == [], "end of all that the workload started", timeout_s=30.0)
    assert not daemon.is_alive()


def marked(trial_id: str) -> list[int]:
    """Living processes that bear the trial's mark."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK_VARIABLE, "").startswith(f"{trial_id}#"):
                found.append(process.pid)
    return found


def test_a_trial_that_ends_by_itself_leaves_no_warden(tmp_path: Path, runner: SupervisedRunner) -> None:
    assert runner.run(make_spec(tmp_path)).status is TrialStatus.COMPLETED
    assert runner.pid is not None
    assert psutil.Process(runner.pid).children(recursive=True) == []


def test_a_killed_task_is_recorded_and_its_retry_goes_on_without_firing_again(
    tmp_path: Path, runner: SupervisedRunner
) -> None:
    kill = firing("airflow.task_kill")
    spec = make_spec(tmp_path, steps=20, gate="restart", firings=(kill,))
    task = _start_parent(tmp_path, spec.model_dump_json())
    assert task.wait(30) == -signal.SIGKILL
    ledger = open_ledger(supervisor_environment(tmp_path)["SQUALL_LEDGER_URL"])
    trial = runner.run(spec)
    assert trial.status is TrialStatus.COMPLETED, trial.error
    assert len(trial.launches) == 2
    assert trial.launches[1].first_step is not None
    assert trial.launches[1].first_step > 1
    assert trial.lost_steps > 0
    [fired] = trial.firings
    assert fired.injected is not None
    assert fired.injected.effective
    assert len(list(ledger.records(kinds=(RecordKind.INJECT_INTENT,)))) == 1
    ledger.close()


def test_a_swept_run_ends_its_workload_and_says_nothing(tmp_path: Path, runner: SupervisedRunner) -> None:
    found: list[Trial] = []
    spec = make_spec(tmp_path, gate="never", lease_s=1.0, firings=(firing("process.pause", hold="1h"),))
    serving = Thread(target=lambda: found.append(runner.run(spec)))
    serving.start()
    ledger = open_ledger(supervisor_environment(tmp_path)["SQUALL_LEDGER_URL"])
    eventually(lambda: bool(ledger.handles(phases=(Phase.INJECTED,))), "injection")
    ledger.take_over("run-1/step/0", lease_s=30)
    serving.join(20)
    assert found[0].status is TrialStatus.VOID
    assert "lease lost" in found[0].error
    assert alive_workloads(tmp_path / "out") == []
    ledger.close()
