"""A fork starts from what the control's checkpoint folder held once the last checkpoint before its step was whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from chaos_tasks.model.spec import ForkSpec
from chaos_tasks.model.trial import Launch
from chaos_tasks.workloads import forked
from chaos_tasks.workloads.copying import CHANGED, copy_whole
from chaos_tasks.workloads.keeping import SETTLE_S, CheckpointKeeper, read_kept
from chaos_tasks.workloads.progress import Tail
from tests.unit.judging.cases import T0


class Training:
    """A folder of checkpoints that keeps two, a progress file that announces them, and a keeper that looks."""

    def __init__(self, folder: Path, *, at_step: int = 60, announces: bool = True) -> None:
        self.checkpoints, self.out, self.kept = folder / "ckpt", folder / "out", folder / "kept"
        for path in (self.checkpoints, self.out, self.kept):
            path.mkdir()
        self.now = 100.0
        self.announces = announces
        self.keeper = self.new_keeper(at_step)

    def new_keeper(self, at_step: int = 60) -> CheckpointKeeper:
        """As another supervisor would make it."""
        told = Tail(self.out / "progress.jsonl")
        keeper = CheckpointKeeper(at_step, self.checkpoints, "ckpt-*.pt", self.kept, told)
        keeper._earlier = read_kept(self.kept)
        return keeper

    def save(self, step: int, *, content: bytes | None = None, announced: bool = True) -> None:
        """Save a checkpoint and delete all but the last two."""
        path = self.checkpoints / f"ckpt-{step}.pt"
        path.write_bytes(content or f"weights {step}".encode())
        if announced and self.announces:
            with (self.out / "progress.jsonl").open("a") as file:
                file.write(json.dumps({"event": "checkpoint", "step": step, "file": path.name}) + "\n")
        for old in sorted(self.checkpoints.glob("*.pt"), key=lambda one: int(one.stem[5:]))[:-2]:
            old.unlink()

    def look(self, *, ended: bool = False, after_s: float = 0.02) -> None:
        """One look of the supervisor."""
        self.now += after_s
        self.keeper.look(now=self.now, progressed=True, ended=ended)

    def train(self, steps: Sequence[int]) -> None:
        """Save and be looked at."""
        for step in steps:
            self.save(step)
            self.look()


@pytest.fixture
def training(tmp_path: Path) -> Training:
    return Training(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("ckpt-*"))


def test_the_last_checkpoint_before_the_step_is_kept_with_the_one_before_it(training: Training) -> None:
    training.train(range(20, 161, 20))
    kept = training.keeper.kept()
    assert kept is not None
    assert (kept.step, kept.newest, names(training.kept)) == (60, "ckpt-60.pt", ["ckpt-40.pt", "ckpt-60.pt"])
    assert kept.files["ckpt-60.pt"] == hashlib.sha256(b"weights 60").hexdigest()
    assert kept.after_s == pytest.approx(0.04)
    assert read_kept(training.kept) == kept


def test_between_two_checkpoints_the_earlier_one_is_taken(training: Training) -> None:
    training.keeper.at_step = 79
    training.train(range(20, 161, 20))
    kept = training.keeper.kept()
    assert kept is not None
    assert kept.step == 60


def test_before_the_first_checkpoint_nothing_is_kept(training: Training) -> None:
    training.keeper.at_step = 19
    training.train([20, 40])
    assert training.keeper.kept() is None
    assert training.keeper.done


def test_a_file_that_nobody_announced_has_to_be_still(tmp_path: Path) -> None:
    training = Training(tmp_path, announces=False)
    training.save(20, content=b"half")
    training.look()
    training.save(20, content=b"and the rest")
    training.look(after_s=SETTLE_S)
    assert training.keeper.kept() is None  # it changed at the last look
    training.look(after_s=SETTLE_S)
    kept = training.keeper.kept()
    assert kept is not None
    assert kept.files == {"ckpt-20.pt": hashlib.sha256(b"and the rest").hexdigest()}


def test_an_empty_file_is_never_whole(tmp_path: Path) -> None:
    training = Training(tmp_path, announces=False)
    (training.checkpoints / "ckpt-20.pt").touch()
    for _ in range(3):
        training.look(after_s=SETTLE_S)
    assert training.keeper.kept() is None


def test_what_was_kept_too_early_is_copied_again_once_it_is_announced(training: Training) -> None:
    training.save(20, content=b"half", announced=False)
    training.look()
    training.look(after_s=SETTLE_S)
    training.save(20, content=b"whole, at last")
    training.look()
    kept = training.keeper.kept()
    assert kept is not None
    assert kept.files == {"ckpt-20.pt": hashlib.sha256(b"whole, at last").hexdigest()}


def test_a_file_that_is_not_yet_still_is_waited_for_after_the_step(tmp_path: Path) -> None:
    training = Training(tmp_path, announces=False)
    training.save(60)
    training.save(80)
    training.look()
    assert training.keeper.kept() is None
    training.look(after_s=SETTLE_S)
    kept = training.keeper.kept()
    assert kept is not None
    assert kept.step == 60
    assert training.keeper.done


def test_the_end_of_the_workload_makes_everything_whole(tmp_path: Path) -> None:
    training = Training(tmp_path, announces=False)
    training.save(40)
    training.look(ended=True)
    kept = training.keeper.kept()
    assert kept is not None
    assert kept.step == 40


def test_what_is_missed_leaves_an_earlier_checkpoint(training: Training) -> None:
    training.train([20, 40])
    for step in (60, 80, 100):
        training.save(step)
    training.look()
    kept = training.keeper.kept()
    assert kept is not None
    assert kept.step == 40


def test_a_second_supervisor_knows_what_the_first_one_kept(training: Training) -> None:
    training.train([20, 40, 60, 80])
    training.keeper = training.new_keeper()
    training.train([100])
    kept = training.keeper.kept()
    assert kept is not None
    assert kept.step == 60


def test_files_without_a_step_are_no_checkpoints_to_fork_from(training: Training) -> None:
    (training.checkpoints / "ckpt-last.pt").write_bytes(b"weights")
    training.look(ended=True)
    assert training.keeper.kept() is None


# --- the fork -----------------------------------------------------------------------------------------------------


def fork_of(training: Training) -> ForkSpec:
    kept = training.keeper.kept()
    assert kept is not None
    return ForkSpec(trial_id="run-1/control/7", kept=kept)


def test_a_fork_finds_what_its_control_would_have_found(training: Training, tmp_path: Path) -> None:
    training.train(range(20, 161, 20))
    fork = fork_of(training)
    assert forked.lay_out(fork, tmp_path / "treatment") == ""
    assert names(tmp_path / "treatment") == ["ckpt-40.pt", "ckpt-60.pt"]
    assert (tmp_path / "treatment" / "ckpt-60.pt").read_bytes() == b"weights 60"
    point = forked.point_of(fork)
    assert (point.step, point.sha256) == (60, hashlib.sha256(b"weights 60").hexdigest())


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"other"), lambda path: path.unlink()])
def test_a_checkpoint_that_is_not_what_was_kept_is_no_start(training: Training, tmp_path: Path, spoil) -> None:  # type: ignore[no-untyped-def]
    training.train([20, 40, 60])
    fork = fork_of(training)
    spoil(training.kept / "ckpt-60.pt")
    assert "ckpt-60.pt of run-1/control/7 is not what was kept" in forked.lay_out(fork, tmp_path / "treatment")


@pytest.mark.parametrize(("first", "why"), [(None, "no progress"), (0, "started at step 0"), (60, ""), (61, "")])
def test_a_trial_that_does_not_show_its_start_is_no_fork(training: Training, first: int | None, why: str) -> None:
    training.train([20, 40, 60])
    found = forked.doubt(fork_of(training), [Launch(pid=1, started_at=T0, first_step=first)])
    assert (why in found) if why else not found


def test_a_trial_that_never_started_is_no_fork(training: Training) -> None:
    training.train([20])
    assert forked.doubt(fork_of(training), [])


# --- copying ------------------------------------------------------------------------------------------------------


def test_a_copy_is_whole_or_not_at_all(tmp_path: Path) -> None:
    assert copy_whole(tmp_path / "nothing", tmp_path / "copy") is CHANGED
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "some").write_bytes(b"x" * 3_000_000)
    assert copy_whole(tmp_path / "some", tmp_path / "deep" / "copy") == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    assert (tmp_path / "deep" / "copy").read_bytes() == (tmp_path / "some").read_bytes()


def test_a_file_that_grows_meanwhile_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chaos_tasks.workloads import copying

    path = tmp_path / "some"
    path.write_bytes(b"half")
    real = copying._copy

    def copy(source: Path, destination: Path) -> str:
        digest = real(source, destination)
        source.write_bytes(b"half and the rest")
        return digest

    monkeypatch.setattr(copying, "_copy", copy)
    assert copy_whole(path, tmp_path / "copy") is CHANGED
    assert not (tmp_path / "copy").exists()
