"""The binder ends what is registered for an instance that goes down, and nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.lab import instances
from chaos_tasks.lab.instances import EndedNote, register, registrations, step


class FakeEc2:
    """Says what it is told to say."""

    def __init__(self, states: dict[str, str]) -> None:
        self.states = states

    def describe_instances(self) -> dict[str, Any]:
        told = [{"InstanceId": name, "State": {"Name": state}} for name, state in self.states.items()]
        return {"Reservations": [{"Instances": told}]}


@pytest.fixture
def training() -> Iterator[subprocess.Popen[bytes]]:
    code = "import signal; print('up', flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
        process.kill()


def look(folder: Path, **states: str) -> tuple[EndedNote, ...]:
    return step(FakeEc2(states), folder)  # type: ignore[arg-type]


def test_a_stopping_instance_takes_its_training_with_it(tmp_path: Path, training: subprocess.Popen[bytes]) -> None:
    register(tmp_path / "i1.json", training.pid)
    (note,) = look(tmp_path, i1="stopping")
    assert training.wait(timeout=10) == -signal.SIGTERM
    assert (note.instance_id, note.state, note.pids) == ("i1", "stopping", (training.pid,))
    assert not (tmp_path / "i1.json").exists()
    assert EndedNote.model_validate_json((tmp_path / "i1.ended").read_text()) == note


@pytest.mark.parametrize("states", [{"i1": "running"}, {"i1": "pending"}, {}, {"i2": "stopped"}])
def test_a_running_or_unknown_instance_loses_nothing(
    tmp_path: Path, training: subprocess.Popen[bytes], states: dict[str, str]
) -> None:
    register(tmp_path / "i1.json", training.pid)
    assert look(tmp_path, **states) == ()
    assert training.poll() is None


def test_one_instance_may_carry_several_groups(tmp_path: Path, training: subprocess.Popen[bytes]) -> None:
    register(tmp_path / "i1" / "trial-a.json", training.pid)
    assert [found[0] for found in registrations(tmp_path)] == ["i1"]
    assert len(look(tmp_path, i1="terminated")) == 1
    assert training.wait(timeout=10) == -signal.SIGTERM


def test_a_pid_that_was_given_to_another_process_is_spared(tmp_path: Path, training: subprocess.Popen[bytes]) -> None:
    registered = register(tmp_path / "i1.json", training.pid)
    old = registered.model_copy(update={"start_time": registered.start_time - 1000})
    (tmp_path / "i1.json").write_text(old.model_dump_json())
    (note,) = look(tmp_path, i1="stopped")
    assert note.pids == ()
    assert training.poll() is None


def test_the_three_fields_are_enough_and_half_a_file_is_left_for_later(
    tmp_path: Path, training: subprocess.Popen[bytes]
) -> None:
    registered = register(tmp_path / "i1.json", training.pid)
    three = {"pid": registered.pid, "pgid": registered.pgid, "start_time": registered.start_time}
    text = json.dumps(three)
    (tmp_path / "i1.json").write_text(text[:-9])
    assert look(tmp_path, i1="stopped") == ()
    (tmp_path / "i1.json").write_text(text)
    assert look(tmp_path, i1="stopped")[0].pids == (training.pid,)


def test_nobody_asks_the_control_plane_while_nothing_is_bound(tmp_path: Path) -> None:
    assert instances.step(None, tmp_path) == ()  # type: ignore[arg-type]
