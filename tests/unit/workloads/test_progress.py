"""Progress is read as it is written: in pieces, torn, truncated, or not at all."""

from __future__ import annotations

import json
import math
import tempfile
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.target import Progress
from chaos_tasks.workloads import progress as progress_module
from chaos_tasks.workloads.progress import (
    ProgressWatch,
    Tail,
    compile_step_pattern,
    event_of_json,
    highest_step,
    lost_steps,
    read_events,
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


NOW = datetime(2026, 11, 23, tzinfo=UTC)
FILE = Progress(file="progress.jsonl")


def test_a_dated_report_keeps_what_it_says() -> None:
    said = {
        "t": 5.5,
        "event": "checkpoint",
        "step": 20,
        "samples": 2560,
        "device": "cuda",
        "devices": 8,
        "write_s": 0.25,
    }
    event = event_of_json(json.dumps(said))
    assert event is not None
    assert (event.at, event.step, event.kind, event.samples) == (5.5, 20, "checkpoint", 2560)
    assert (event.device, event.devices, event.write_s) == ("cuda", 8, 0.25)


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 3}',
        '{"t": 5}',
        '{"t": "5", "step": 3}',
        '{"t": NaN, "step": 3}',
        '{"t": Infinity, "step": 3}',
        '{"t": 5, "step": 3.5}',
        '{"t": true, "step": 3}',
        '{"t": 1e999, "step": 3}',
        "[1, 2]",
        "no json",
    ],
)
def test_what_is_no_dated_report_is_none(line: str) -> None:
    assert event_of_json(line) is None


@pytest.mark.parametrize("odd", ["samples", "devices", "write_s"])
@pytest.mark.parametrize("value", [-1, "8", None, True, [], math.nan])
def test_odd_extras_of_a_report_are_left_out(odd: str, value: object) -> None:
    assert event_of_json(json.dumps({"t": 5, "step": 3, odd: value})) == event_of_json('{"t": 5, "step": 3}')


def test_undated_steps_are_dated_by_who_sees_them(tmp_path: Path) -> None:
    watch = ProgressWatch(FILE, tmp_path, lambda: NOW)
    (tmp_path / "progress.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n')
    watch.look([])
    watch.look([])
    assert [(event.at, event.step) for event in read_events(FILE, tmp_path)] == [
        (NOW.timestamp(), 1),
        (NOW.timestamp(), 3),
    ]


def test_an_undated_report_keeps_what_else_it_says(tmp_path: Path) -> None:
    watch = ProgressWatch(FILE, tmp_path, lambda: NOW)
    said = [{"step": 3}, {"step": 4}, {"step": 5}, {"event": "checkpoint", "step": 5, "samples": 640}, {"step": 6}]
    (tmp_path / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said))
    watch.look([])
    events = read_events(FILE, tmp_path)
    assert [(event.step, event.kind) for event in events] == [(3, "step"), (5, "checkpoint"), (6, "step")]
    assert [event.samples for event in events] == [None, 640, None]


def test_steps_in_the_output_are_dated_by_who_sees_them(tmp_path: Path) -> None:
    progress = Progress(log=r"step (\d+)")
    ProgressWatch(progress, tmp_path, lambda: NOW).look(["step 7"])
    assert [event.step for event in read_events(progress, tmp_path)] == [7]


def test_dated_steps_are_not_dated_again(tmp_path: Path) -> None:
    watch = ProgressWatch(FILE, tmp_path, lambda: NOW)
    (tmp_path / "progress.jsonl").write_text('{"t": 5, "step": 1}\n')
    assert watch.look([]).last == 1
    assert [event.at for event in read_events(FILE, tmp_path)] == [5]


def test_a_trial_without_declared_progress_has_no_reports(tmp_path: Path) -> None:
    assert read_events(None, tmp_path) == []
    assert read_events(FILE, tmp_path) == []


def test_too_many_reports_are_thinned_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "MOST_EVENTS", 100)
    lines = "".join(f'{{"t": {step}, "step": {step}}}\n' for step in range(10_000))
    (tmp_path / "progress.jsonl").write_text(lines)
    steps = [event.step for event in read_events(FILE, tmp_path)]
    assert 50 <= len(steps) <= 100
    gaps = {later - earlier for earlier, later in pairwise(steps)}
    assert len(gaps) == 1
