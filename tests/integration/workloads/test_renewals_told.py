"""However a trial ends, its engine knows until when the supervisor had renewed the run."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer, main_thread

import pytest

from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.trial import TrialStatus
from chaos_tasks.own_leases import OwnLeases
from chaos_tasks.targets.process import ProcessIdentity
from chaos_tasks.workloads.fencing import end_recorded
from chaos_tasks.workloads.journal import Journal
from chaos_tasks.workloads.runner import SupervisedRunner
from tests.integration.workloads.laboratory import make_spec, supervisor_environment
from tests.tiny import until


@pytest.fixture
def heard() -> OwnLeases:
    return OwnLeases()


@pytest.fixture
def runner(tmp_path: Path, heard: OwnLeases) -> Iterator[SupervisedRunner]:
    made = SupervisedRunner(environment=supervisor_environment(tmp_path), renewed=heard.told)
    yield made
    made.close()
    end_recorded(tmp_path)


def test_with_a_trial(tmp_path: Path, heard: OwnLeases, runner: SupervisedRunner) -> None:
    began, spec = heard.now(), make_spec(tmp_path)
    runner.run(spec)
    told = heard.until(spec.run_id)
    assert told is not None
    assert began + spec.lease_s <= told <= heard.now() + spec.lease_s


def test_with_an_error_of_the_supervisor(tmp_path: Path, heard: OwnLeases, runner: SupervisedRunner) -> None:
    """It cannot write its journal at the end of the trial, whose folder is gone: the same as on a full disk."""
    code = f"import shutil, time; time.sleep(1); shutil.rmtree({str(tmp_path / 'out')!r})"
    spec = make_spec(tmp_path, command=(sys.executable, "-I", "-S", "-c", code), progress=None)
    with pytest.raises(WorkloadError):
        runner.run(spec)
    assert heard.until(spec.run_id) is not None


def test_of_a_supervisor_that_was_killed(tmp_path: Path, heard: OwnLeases, runner: SupervisedRunner) -> None:
    spec = make_spec(tmp_path, gate="never")
    killing = Timer(0, _kill_once_it_runs, (runner, Path(spec.out)))
    killing.start()
    trial = runner.run(spec)
    killing.join()
    assert trial.status is TrialStatus.VOID
    assert heard.until(spec.run_id) is not None


def test_after_an_interrupt(tmp_path: Path, heard: OwnLeases, runner: SupervisedRunner) -> None:
    spec = make_spec(tmp_path, gate="never")
    interrupting = Timer(0, _interrupt_once_it_runs, (Path(spec.out),))
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        runner.run(spec)
    interrupting.join()
    runner.close()
    assert heard.until(spec.run_id) is not None


def _runs(out: Path) -> bool:
    return any(ProcessIdentity.of_place(place).is_alive() for place in Journal(out).launched_places())


def _kill_once_it_runs(runner: SupervisedRunner, out: Path) -> None:
    until(lambda: _runs(out), "launch")
    assert runner.pid is not None
    os.kill(runner.pid, signal.SIGKILL)


def _interrupt_once_it_runs(out: Path) -> None:
    until(lambda: _runs(out), "launch")
    signal.pthread_kill(main_thread().ident or 0, signal.SIGINT)
