"""The story of a run in moments: what was in when, who noticed, and when it was well again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from chaos_tasks.judging.dossier import Dossier, read_dossier
from chaos_tasks.judging.timeline import moments, within
from chaos_tasks.model.record import RecordKind, Recovery
from chaos_tasks.model.trial import Arm, SignalEvent, Trial
from tests.unit.judging.cases import T0, log_of, plan, stored, trial
from tests.unit.judging.test_response import KILL, at, control, firing, killed, launch, progress, setback, signal

KILLS = plan(steps=(KILL,), name="labels")


def dossier(*trials: Trial, **changes: Any) -> Dossier:
    records = log_of(changes.pop("plan", KILLS), trials, [], None)
    found = read_dossier(records)
    assert found is not None
    return found


def told(of: Dossier) -> list[tuple[str, str]]:
    return [(moment.what, moment.detail) for moment in moments(of)]


def kinds(of: Dossier) -> Sequence[str]:
    return [what for what, _ in told(of)]


def test_a_killed_run_is_hurt_noticed_back_and_caught_up_in_this_order() -> None:
    story = kinds(dossier(killed()))
    wanted = ["injected", "noticed", "back", "caught up"]
    assert [what for what in story if what in wanted[1:]] == wanted[1:]
    assert ("back", "seed 100, 10 steps to do again") in told(dossier(killed()))


def test_a_signal_that_does_not_count_rang_and_says_why() -> None:
    found = told(dossier(control(signals=(signal("noise", 1),)), killed(signals=(signal("noise", 12),))))
    assert ("rang", "noise, seed 100 (rings without a fault too)") in found
    assert not [what for what, _ in found if what == "noticed"]


def test_two_firings_are_two_comebacks() -> None:
    twice = killed(progress=progress(setback(9, 11, 12), setback(20, 24, 26, n=1)), firings=(firing(9), firing(20, 1)))
    story = kinds(dossier(twice))
    assert (story.count("injected"), story.count("back"), story.count("caught up")) == (3, 2, 2)


def test_without_visible_progress_the_next_launch_is_back() -> None:
    found = told(dossier(killed(progress=None, launches=(launch(0, 9, -9), launch(9.2, 60, progress=12)))))
    assert ("back", "seed 100") in found
    assert "caught up" not in [what for what, _ in found]


def test_what_waits_for_labels_is_told_and_left_out_of_pictures() -> None:
    late = SignalEvent(name="auc_low", at=at(12) + timedelta(days=1), label_delay_s=86_400)
    found = dossier(killed(signals=(late,)))
    assert ("noticed", "auc_low, seed 100, once labels were known 24.0 h later") in told(found)
    assert "noticed" not in [moment.what for moment in within(found)]
    assert len(within(found)) == len(moments(found)) - 1


def test_a_measured_recovery_ends_the_story() -> None:
    records = log_of(KILLS, [killed()], [], None)
    measured = Recovery(healthy=True, seconds=1.0, detail="completed again")
    records.append(stored(KILLS, len(records) + 600, RecordKind.RECOVERY_MEASURED, measured))
    found = read_dossier(records)
    assert found is not None
    assert told(found)[-1] == ("healthy", "completed again")


def test_the_moments_of_controls_are_not_told() -> None:
    found = dossier(control(signals=(signal("noise", 1),)))
    assert "noticed" not in kinds(found)
    assert "rang" not in kinds(found)


def test_moments_come_by_time() -> None:
    times = [moment.at for moment in moments(dossier(killed(100), killed(101)))]
    assert times == sorted(times)
    assert times[0] >= T0


def test_a_trial_that_was_run_again_tells_its_signals_once() -> None:
    void = trial(Arm.TREATMENT, 100, signals=(signal("noise", 5),)).model_copy(update={"id": "first"})
    assert kinds(dossier(void, killed())).count("noticed") == 1
