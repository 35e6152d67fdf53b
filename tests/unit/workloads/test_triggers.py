"""When a trigger is due."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.experiment import (
    BeforeTrigger,
    ElapsedTrigger,
    FileTrigger,
    LogTrigger,
    ProgressTrigger,
    RandomTrigger,
)
from chaos_tasks.workloads.triggers import Sight, appeared, due, random_moment_s


def sight(
    elapsed_s: float = 0.0, step: int | None = None, lines: tuple[str, ...] = (), folder: Path | None = None
) -> Sight:
    return Sight(elapsed_s=elapsed_s, step=step, new_lines=lines, folders=(folder,) if folder else ())


@given(st.integers(1, 10**9), st.none() | st.integers(-5, 10**9))
def test_progress_is_due_once_the_step_is_reached_or_passed(wanted: int, step: int | None) -> None:
    assert due(ProgressTrigger(step=wanted), sight(step=step), seed=1) == (step is not None and step >= wanted)


@given(st.integers(), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_random_moment_lies_in_its_range_and_is_the_same_for_the_same_seed(
    seed: int, first: int, second: int
) -> None:
    low, high = sorted((first, second))
    trigger = RandomTrigger(earliest=timedelta(milliseconds=low), latest=timedelta(milliseconds=high))
    moment = random_moment_s(trigger, seed)
    assert low / 1000 <= moment <= high / 1000
    assert moment == random_moment_s(trigger, seed)
    assert due(trigger, sight(elapsed_s=high / 1000), seed=seed)


def test_random_moments_differ_between_seeds() -> None:
    trigger = RandomTrigger(latest=timedelta(seconds=100))
    assert len({random_moment_s(trigger, seed) for seed in range(50)}) == 50


def test_elapsed_and_log() -> None:
    assert not due(ElapsedTrigger(after=timedelta(seconds=2)), sight(1.9), seed=1)
    assert due(ElapsedTrigger(after=timedelta(seconds=2)), sight(2.0), seed=1)
    assert due(LogTrigger(pattern="^epoch 3"), sight(lines=("epoch 2", "epoch 3 begins")), seed=1)
    assert not due(LogTrigger(pattern="^epoch 3"), sight(lines=("an epoch 3",)), seed=1)


def test_a_file_is_due_when_it_appears(tmp_path: Path) -> None:
    trigger = FileTrigger(glob="**/*.ckpt")
    assert not due(trigger, sight(folder=tmp_path), seed=1)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "1.ckpt").touch()
    assert due(trigger, sight(folder=tmp_path), seed=1)


@pytest.mark.parametrize("glob", ["/etc/*", "../*", "a/../../*"])
def test_a_pattern_that_leaves_the_folder_matches_nothing(tmp_path: Path, glob: str) -> None:
    assert not appeared(tmp_path, glob)


def test_what_cannot_fire_during_a_trial_is_an_error() -> None:
    with pytest.raises(WorkloadError):
        due(BeforeTrigger(), sight(), seed=1)
    with pytest.raises(WorkloadError):
        due(LogTrigger(pattern="("), sight(lines=("x",)), seed=1)
