"""Progress is read as it is written: in pieces, torn, truncated, or not at all."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.target import Progress
from chaos_tasks.workloads.progress import (
    ProgressWatch,
    Tail,
    compile_step_pattern,
    highest_step,
    lost_steps,
    step_of_json,
    step_of_log,
)


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\r\n", codec="utf-8"))), st.data())
def test_lines_arrive_once_and_whole_however_they_are_cut(lines: list[str], data: st.DataObject) -> None:
    content = "".join(f"{line}\n" for line in lines).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        tail, seen, at = Tail(path), list[str](), 0
        while at < len(content):
            cut = data.draw(st.integers(at + 1, len(content)))
            with path.open("ab") as stream:
                stream.write(content[at:cut])
            seen += tail.lines()
            at = cut
    assert seen == lines


def test_a_file_that_shrank_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("one\ntwo\n")
    tail = Tail(path)
    assert list(tail.lines()) == ["one", "two"]
    path.write_text("new\n")
    assert list(tail.lines()) == ["new"]


@given(st.text())
def test_no_line_breaks_the_reader(line: str) -> None:
    assert step_of_json(line) is None or isinstance(step_of_json(line), int)
    assert step_of_log(compile_step_pattern(r"step (\d+)"), line) is None or "step" in line


@pytest.mark.parametrize(
    "line", ["", "[]", "3", '{"step": true}', '{"step": "3"}', '{"step": 1.5}', '{"step": 3', "[" * 9999]
)
def test_what_is_no_step_is_passed_over(line: str) -> None:
    assert step_of_json(line) is None


def test_a_watch_sees_only_its_own_launch(tmp_path: Path) -> None:
    file = tmp_path / "progress.jsonl"
    file.write_text(json.dumps({"step": 9}) + "\n")
    watch = ProgressWatch(Progress(file="progress.jsonl"), tmp_path)
    with file.open("a") as stream:
        stream.write('{"step": 6}\n{"step": 7}\n')
    steps = watch.look([])
    assert (steps.first, steps.last, steps.highest) == (6, 7, 7)
    assert highest_step(Progress(file="progress.jsonl"), tmp_path) == 9


def test_progress_may_come_from_the_log(tmp_path: Path) -> None:
    watch = ProgressWatch(Progress(log=r"step (\d+)"), tmp_path)
    assert watch.look(["epoch 1", "step 4 done", "step five"]).last == 4


@pytest.mark.parametrize("pattern", ["step (", "step", "(a)(b)"])
def test_a_pattern_without_one_group_is_refused(pattern: str) -> None:
    with pytest.raises(WorkloadError):
        compile_step_pattern(pattern)


def test_lost_steps_are_those_done_again() -> None:
    assert lost_steps([(1, 17), (16, 30)]) == 2
    assert lost_steps([(1, 17), (18, 30)]) == 0
    assert lost_steps([(1, 17), (None, None), (11, 12), (1, 30)]) == 7 + 17
    assert lost_steps([]) == 0


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.data())
def test_lost_steps_equals_work_done_beyond_the_useful(runs: list[int], data: st.DataObject) -> None:
    """Steps reported over all launches, less the distinct ones, when each launch resumes somewhere behind."""
    launches, reached, done = list[tuple[int | None, int | None]](), 0, list[int]()
    for length in runs:
        first = data.draw(st.integers(1, reached + 1))
        last = max(reached, first + length - 1)
        launches.append((first, last))
        done += range(first, last + 1)
        reached = last
    assert lost_steps(launches) == len(done) - len(set(done))
