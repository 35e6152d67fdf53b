"""How long until owners knew and until a run was back, read from one trial."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from chaos_tasks import registry
from chaos_tasks.errors import ProbeError
from chaos_tasks.model.progress import Setback, TrialProgress
from chaos_tasks.model.trial import Arm, Firing, Launch, SignalEvent, Trial, TrialStatus
from tests.unit.judging.cases import T0, trial


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def measure(name: str, of: Trial, **params: Any) -> Any:
    kind = f"response.{name}"
    return registry.probe(kind).measure(of, registry.probe_params(kind, params)).value


def run(*fired: float, status: TrialStatus = TrialStatus.COMPLETED, arm: Arm = Arm.TREATMENT, **changes: Any) -> Trial:
    firings = tuple(Firing(step="kill", handle_id=f"h/{n}", fired_at=at(when)) for n, when in enumerate(fired))
    given = {"started_at": T0, "ended_at": at(30), "firings": firings}
    return trial(arm, 100, status, **{**given, **changes})


def signal(name: str, after_s: float) -> SignalEvent:
    return SignalEvent(name=name, at=at(after_s))


def setback(fired: float, back: float | None = None, caught_up: float | None = None) -> Setback:
    return Setback(
        handle_id="h",
        fired_at=at(fired),
        held_at=at(fired),
        back_at=None if back is None else at(back),
        caught_up_at=None if caught_up is None else at(caught_up),
    )


def progress(*setbacks: Setback, span_s: float = 10.0, useful_s: float = 6.0) -> TrialProgress:
    return TrialProgress(span_s=span_s, useful_s=useful_s, setbacks=setbacks)


def test_the_first_signal_after_the_fault_is_when_it_was_detected() -> None:
    heard = (signal("early", 1), signal("drift", 7.5), signal("exit_code", 6))
    assert measure("detect_s", run(5, signals=heard)) == 1.0
    assert measure("detect_s", run(5, signals=heard), signal="drift") == 2.5


def test_a_restart_by_its_own_runtime_is_a_signal() -> None:
    launches = (Launch(pid=1, started_at=T0), Launch(pid=2, started_at=at(6.5)))
    assert measure("detect_s", run(5, launches=launches)) == 1.5
    assert measure("detect_s", run(5, launches=launches), signal="restart") == 1.5


def test_a_fault_that_was_in_before_the_run_counts_from_its_start() -> None:
    assert measure("detect_s", run(signals=(signal("drift", 4),))) == 4.0
    assert measure("detect_s", run(status=TrialStatus.BLOCKED)) == 30.0


def test_labels_that_come_later_make_detection_late() -> None:
    late = SignalEvent(name="auc_low", at=at(6) + timedelta(days=1), label_delay_s=86_400)
    assert measure("detect_s", run(5, signals=(late,))) == 86_401.0


def test_nothing_noticed_is_measured_as_never() -> None:
    assert measure("detect_s", run(5, signals=(signal("early", 1),))) == math.inf
    assert measure("detect_s", run(5, signals=(signal("drift", 6),)), signal="gate") == math.inf


def test_a_control_has_no_fault_to_detect() -> None:
    with pytest.raises(ProbeError, match="no fault fired"):
        measure("detect_s", run(arm=Arm.CONTROL))
    with pytest.raises(ProbeError, match="no fault fired"):
        measure("recover_s", run(progress=progress()))


def test_recovery_is_the_slowest_of_the_faults() -> None:
    found = run(5, 15, progress=progress(setback(5, 7, 8), setback(15, 18, 20)))
    assert measure("recover_s", found) == 5.0
    assert measure("recover_s", found, until="back") == 3.0


@pytest.mark.parametrize("status", [TrialStatus.FAILED, TrialStatus.TIMED_OUT])
def test_a_run_that_is_never_back_has_not_recovered(status: TrialStatus) -> None:
    assert measure("recover_s", run(5, status=status, progress=progress(setback(5)))) == math.inf
    back_only = run(5, status=status, progress=progress(setback(5, 7)))
    assert measure("recover_s", back_only) == math.inf
    assert measure("recover_s", back_only, until="back") == 2.0


def test_a_run_that_completed_without_a_further_step_was_back_by_its_end() -> None:
    assert measure("recover_s", run(5, progress=progress(setback(5)))) == 25.0


def test_recovery_and_ratio_need_visible_progress() -> None:
    for name in ("recover_s", "ettr"):
        with pytest.raises(ProbeError, match="too little progress"):
            measure(name, run(5))
    with pytest.raises(ProbeError, match="too little progress"):
        measure("ettr", run(5, progress=progress(span_s=0, useful_s=0)))


def test_the_ratio_is_useful_time_over_all_under_control_too() -> None:
    assert measure("ettr", run(5, progress=progress())) == 0.6
    assert measure("ettr", run(arm=Arm.CONTROL, progress=progress(useful_s=10))) == 1.0


def test_only_back_and_caught_up_can_be_asked_for() -> None:
    with pytest.raises(ValidationError):
        registry.probe_params("response.recover_s", {"until": "soon"})
