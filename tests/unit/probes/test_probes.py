"""What each probe reads, and where it says that it could not."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from chaos_tasks import registry
from chaos_tasks.errors import ProbeError
from chaos_tasks.model.trial import Arm, Firing, Launch, SignalEvent, Trial, TrialStatus
from tests.unit.judging.cases import T0, trial


def measure(kind: str, of: Trial, **params: Any) -> Any:
    return registry.probe(kind).measure(of, registry.probe_params(kind, params)).value


def a_trial(status: TrialStatus = TrialStatus.COMPLETED, **changes: Any) -> Trial:
    return trial(Arm.TREATMENT, 100, status, **changes)


def launches(*firsts: int | None) -> tuple[Launch, ...]:
    return tuple(
        Launch(
            pid=number,
            started_at=T0 + timedelta(seconds=10 * number),
            first_step=first,
            exit_code=0,
            first_progress_at=T0 + timedelta(seconds=10 * number + 1) if first is not None else None,
        )
        for number, first in enumerate(firsts)
    )


def test_a_metric_that_is_nan_is_measured_and_one_that_is_absent_is_not() -> None:
    assert math.isnan(measure("model.metric", a_trial(metrics={"auc": math.nan}), metric="auc"))
    with pytest.raises(ProbeError, match="it has: loss"):
        measure("model.metric", a_trial(metrics={"loss": 0.1}), metric="auc")


@pytest.mark.parametrize("status", [status for status in TrialStatus if status is not TrialStatus.COMPLETED])
def test_a_trial_that_did_not_complete_has_no_metric(status: TrialStatus) -> None:
    with pytest.raises(ProbeError, match=status.value):
        measure("model.metric", a_trial(status, metrics={"auc": 0.9}), metric="auc")


def test_a_slice_with_too_few_rows_is_not_measured() -> None:
    small = a_trial(slices={"jfk": {"auc": 0.9, "n": 29.0}, "blank": {"auc": 0.9}, "odd": {"auc": 0.9, "n": math.nan}})
    for name, cause in (("jfk", "29 rows"), ("blank", "no 'n'"), ("odd", "nan rows"), ("lga", "no slice")):
        with pytest.raises(ProbeError, match=cause):
            measure("model.slice_metric", small, metric="auc", slice=name, min_n=30)
    assert measure("model.slice_metric", small, metric="auc", slice="jfk", min_n=29) == 0.9


def test_a_gate_refuses_by_status_or_by_signal() -> None:
    assert measure("gate.refused", a_trial(TrialStatus.BLOCKED)) is True
    assert measure("gate.refused", a_trial(signals=(SignalEvent(name="gate", at=T0),))) is True
    assert measure("gate.refused", a_trial()) is False


def test_only_the_named_signal_counts() -> None:
    rung = a_trial(signals=(SignalEvent(name="drift", at=T0),))
    assert measure("signal.fired", rung, name="drift") is True
    assert measure("signal.fired", rung, name="latency") is False
    with pytest.raises(ValidationError):
        registry.probe_params("signal.fired", {})


@pytest.mark.parametrize(
    ("firsts", "resumed"),
    [
        ((5,), False),
        ((5, 15), True),
        ((5, 5), False),
        ((0, 1), True),
        ((None, 5), False),
        ((5, 5, 30), True),
        ((), False),
    ],
)
def test_resumed_means_beyond_where_the_first_launch_began(firsts: tuple[int | None, ...], resumed: bool) -> None:
    assert measure("workload.resumed", a_trial(launches=launches(*firsts))) is resumed


def test_a_completed_restart_without_progress_cannot_be_told() -> None:
    with pytest.raises(ProbeError, match="no progress"):
        measure("workload.resumed", a_trial(launches=launches(5, None)))


def test_recovery_counts_from_the_firing_to_the_next_progress() -> None:
    fired = (Firing(step="kill", handle_id="h/0", fired_at=T0 + timedelta(seconds=7)),)
    assert measure("workload.recover_s", a_trial(launches=launches(5, 15), firings=fired)) == 4.0
    with pytest.raises(ProbeError, match="no progress in a launch after"):
        measure("workload.recover_s", a_trial(launches=launches(5), firings=fired))
    with pytest.raises(ProbeError, match="no fault fired"):
        measure("workload.recover_s", a_trial(launches=launches(5, 15)))


def test_a_run_cut_short_has_no_duration() -> None:
    assert measure("workload.duration_s", a_trial()) == 10.0
    with pytest.raises(ProbeError):
        measure("workload.duration_s", a_trial(TrialStatus.TIMED_OUT))


def test_lost_steps_need_visible_progress() -> None:
    assert measure("workload.lost_steps", a_trial(launches=launches(5, 15), lost_steps=3)) == 3
    with pytest.raises(ProbeError):
        measure("workload.lost_steps", a_trial(launches=launches(None)))


def test_an_exit_code_is_that_of_the_last_launch() -> None:
    ended = a_trial(TrialStatus.FAILED, launches=(Launch(pid=1, started_at=T0, exit_code=-9),))
    assert measure("workload.exit_code", ended) == -9
    with pytest.raises(ProbeError):
        measure("workload.exit_code", a_trial(TrialStatus.BLOCKED))
