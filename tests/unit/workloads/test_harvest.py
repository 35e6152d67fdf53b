"""What a trial left behind: signals at the time when their owners would have had them, and where the time went."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chaos_tasks.model.target import AlarmFileSignal, ExitCodeSignal, Progress, Signal
from chaos_tasks.model.trial import Arm, Launch, SignalEvent, Trial, TrialStatus
from chaos_tasks.workloads.harvest import noticed, once_labelled, with_progress

T0 = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
DAY_S = 86_400.0
DIED = Launch(pid=1, started_at=T0, ended_at=T0 + timedelta(seconds=5), exit_code=-9)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "alarms.jsonl").write_text(json.dumps({"t": T0.timestamp() + 3, "alarm": "auc_low"}) + "\n")
    return tmp_path


def heard(out: Path, *signals: Signal) -> dict[str, timedelta]:
    return {event.name: event.at - T0 for event in noticed(signals, out, [DIED], label_delay_s=DAY_S)}


def test_a_signal_that_needs_labels_is_had_once_they_are_known(out: Path) -> None:
    alarms = AlarmFileSignal(path="alarms.jsonl", needs_labels=True)
    assert heard(out, alarms, ExitCodeSignal()) == {
        "auc_low": timedelta(days=1, seconds=3),
        "exit_code": timedelta(seconds=5),
    }


def test_a_signal_that_needs_none_is_had_at_once(out: Path) -> None:
    assert heard(out, AlarmFileSignal(path="alarms.jsonl")) == {"auc_low": timedelta(seconds=3)}


def test_signals_come_in_the_order_in_which_they_are_had(out: Path) -> None:
    alarms = AlarmFileSignal(path="alarms.jsonl", needs_labels=True)
    names = [event.name for event in noticed((alarms, ExitCodeSignal()), out, [DIED], label_delay_s=DAY_S)]
    assert names == ["exit_code", "auc_low"]


def test_what_is_not_declared_is_not_heard(out: Path) -> None:
    assert heard(out) == {}


def test_labels_that_come_after_the_end_of_time_are_never_early() -> None:
    late = SignalEvent(name="x", at=datetime.max.replace(tzinfo=UTC))
    assert once_labelled(late, DAY_S).at >= late.at


def test_where_the_time_went_is_told_with_its_lost_steps(tmp_path: Path) -> None:
    reports = [(1, 0, "start"), (2, 10, "step"), (6, 5, "resume"), (7, 15, "step")]
    lines = (json.dumps({"t": T0.timestamp() + at, "step": step, "event": kind}) for at, step, kind in reports)
    (tmp_path / "progress.jsonl").write_text("\n".join(lines) + "\n")
    end = T0 + timedelta(seconds=9)
    trial = Trial(
        id="t",
        run_id="r",
        arm=Arm.TREATMENT,
        seed=1,
        status=TrialStatus.COMPLETED,
        started_at=T0,
        ended_at=end,
        wall_s=9,
        out=str(tmp_path),
        lost_steps=6,
    )
    told = with_progress(trial, Progress(file="progress.jsonl"))
    assert told.progress is not None
    assert (told.lost_steps, told.progress.span_s) == (5, 6)
    assert with_progress(trial, None) == trial
