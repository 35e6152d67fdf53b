"""The order of an experiment, and what can never happen, whatever ends it and wherever."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chaos_tasks import acts
from chaos_tasks.acts import ActParts
from chaos_tasks.auditing.redeciding import redecide
from chaos_tasks.engine import QUEUED_LEASE_S, Engine
from chaos_tasks.errors import (
    Fenced,
    GuardTripped,
    IdempotencyConflict,
    InLine,
    LedgerError,
    RevertError,
    SetupError,
    SquallError,
    TargetBusy,
)
from chaos_tasks.model.actor import Actor
from chaos_tasks.model.calendar import ChangeCalendar
from chaos_tasks.model.handle import OPEN_PHASES, HandleState, Phase, Receipt
from chaos_tasks.model.limits import BlastLimits
from chaos_tasks.model.plan import Overrides
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.model.target import Target
from chaos_tasks.model.trial import Arm, TrialStatus
from chaos_tasks.model.verdict import Outcome, Reason
from chaos_tasks.runs import Run
from chaos_tasks.safety import guards, lever
from chaos_tasks.targets.dvc import SourceVersion
from chaos_tasks.targets.process import host
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.unit.auditing.records import row_of
from tests.unit.task_processes import KILL, RUN, allows, of_process
from tests.unit.toy_project import HEALTHY, HURT, ToyProject, ToyWorkspaces, experiment, register, request

ALLOWS_KILLS = allows("process")


def phases(toy: ToyProject) -> list[Phase]:
    return [state.phase for state in toy.ledger.handles(run_id=RUN)]


def when(arm: Arm, act: Callable[[], object]) -> Callable[[TrialSpec], None]:
    """Do something during the trials of one arm."""
    return lambda spec: act() and None if spec.arm is arm else None


def raising(error: BaseException) -> Callable[[], object]:
    def act() -> object:
        raise error

    return act


# --- the order ----------------------------------------------------------------------------------------------------


def test_a_run_goes_through_its_steps_in_order_and_holds(toy: ToyProject) -> None:
    verdict = toy.engine().run(request())
    assert verdict.outcome is Outcome.HELD
    once = list(dict.fromkeys(toy.kinds()))
    assert once == [
        RecordKind.EXPERIMENT_REGISTERED,
        RecordKind.LOCKS_TAKEN,
        RecordKind.IDENTITIES_PROVED,
        RecordKind.FAULT_ARMED,
        RecordKind.TRIAL_STARTED,
        RecordKind.TRIAL_ENDED,
        RecordKind.INJECT_INTENT,
        RecordKind.INJECT_APPLIED,
        RecordKind.REVERT_INTENT,
        RecordKind.REVERT_VERIFIED,
        RecordKind.RECOVERY_MEASURED,
        RecordKind.LOCKS_RELEASED,
        RecordKind.EVALUATE_VERDICT,
    ]
    assert toy.words_seen == [(Arm.CONTROL, HEALTHY)] * 2 + [(Arm.TREATMENT, HURT)] * 2
    assert toy.word() == HEALTHY
    assert toy.closed_runners == 2


def test_recovery_trials_see_the_healed_target(toy: ToyProject) -> None:
    toy.engine().run(request(analysis={"seeds": 2, "base_seed": 1, "recovery_trials": 1}))
    assert toy.words_seen[-1] == (Arm.RECOVERY, HEALTHY)


@pytest.mark.parametrize("measured", [True, False])
def test_a_recovery_that_was_asked_for_and_never_measured_rules_out_held(toy: ToyProject, measured: bool) -> None:
    """Its task was killed, or marked: the judge's task runs all the same, and no check asks about afterwards."""
    told = request(analysis={"seeds": 2, "base_seed": 1, "recovery_trials": 1})
    for step in (lambda: toy.engine().arm(told), lambda: toy.engine().baseline(RUN), lambda: toy.engine().inject(RUN)):
        step()
    toy.engine().exercise(RUN)
    toy.engine().revert(RUN)
    if measured:
        toy.engine().recovery(RUN)
    verdict = toy.engine().judge(RUN)
    assert verdict.outcome is (Outcome.HELD if measured else Outcome.INCONCLUSIVE)
    assert measured or (verdict.reasons == (Reason.TOO_FEW_TRIALS,) and "was not measured" in verdict.sentence)
    (redone,) = redecide(row_of(stored) for stored in toy.ledger.records())
    assert (redone.outcome, redone.differences, redone.not_shown) == (verdict.outcome, (), "")


def test_each_step_may_be_called_twice_by_other_processes(toy: ToyProject) -> None:
    for _ in range(2):
        toy.engine().arm(request())
        assert toy.engine().baseline(RUN) == 2
    for _ in range(2):
        toy.engine().inject(RUN)
        assert toy.engine().exercise(RUN) == 2
    for _ in range(2):
        toy.engine().revert(RUN)
        toy.engine().recovery(RUN)
        toy.engine().judge(RUN)
    kinds = toy.kinds()
    assert toy.fault.injections == 1
    assert kinds.count(RecordKind.TRIAL_ENDED) == 4
    for once in (RecordKind.FAULT_ARMED, RecordKind.INJECT_APPLIED, RecordKind.REVERT_VERIFIED):
        assert kinds.count(once) == 1
    assert kinds.count(RecordKind.EVALUATE_VERDICT) == 1
    assert toy.engine().verdict(RUN).outcome is Outcome.HELD


def test_a_retry_goes_on_at_the_first_trial_that_did_not_end(toy: ToyProject) -> None:
    engine = toy.engine()
    engine.arm(request())
    toy.during = lambda spec: raising(SetupError("gone"))() and None if spec.seed == 2 else None
    with pytest.raises(SetupError):
        engine.baseline(RUN)
    toy.during = lambda spec: None
    toy.words_seen.clear()
    assert engine.baseline(RUN) == 2
    assert len(toy.words_seen) == 1


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"environments": ("dev",)}, "faults are allowed in: dev"),
        ({"sweeper_max_age_s": -1.0}, "no sweeper is watching"),
        ({"targets": {}}, "is not in the inventory"),
    ],
)
def test_a_refusal_by_the_settings_is_recorded_with_its_reason(
    toy: ToyProject, changes: dict[str, object], why: str
) -> None:
    with pytest.raises(SquallError, match=why) as caught:
        toy.engine(**changes).run(request())
    assert caught.value.remedy
    assert_refused(toy, why)


@pytest.mark.parametrize("name", ["../../elsewhere", "/etc", "..", "", "a b", "x" * 201, "\udcff", "a\n"])
def test_a_name_that_leads_elsewhere_is_no_name_of_a_run(toy: ToyProject, name: str) -> None:
    with pytest.raises(GuardTripped, match="is no name for a run"):
        toy.engine().run(request(name))
    assert toy.fault.injections == 0
    assert not list((toy.home / "runs").glob("*"))


@pytest.mark.parametrize("arm", [Arm.CONTROL, Arm.TREATMENT, Arm.RECOVERY])
def test_a_full_disk_in_mid_trial_is_reverted_and_said_in_words(
    toy: ToyProject, arm: Arm, caplog: pytest.LogCaptureFixture
) -> None:
    toy.during = when(arm, raising(OSError(28, "No space left on device", "/home/x")))
    verdict = toy.engine().run(request(analysis={"seeds": 2, "base_seed": 1, "recovery_trials": 1}))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert toy.word() == HEALTHY
    assert toy.notes(RecordKind.STOP_TRIGGERED) == ["the disk is full at /home/x (No space left on device)"]
    assert not caplog.text, "no traceback"


def test_a_ledger_whose_server_goes_away_leaves_nothing_in(toy: ToyProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is gone is a SetupError, from reads too: the run's own stop note must not keep the undo away."""

    def gone(*_: object, **__: object) -> object:
        raise SetupError("no ledger server answers", remedy="start it")

    def leave() -> None:
        for name in ("append", "records", "handle", "handles", "renew", "transition", "release"):
            monkeypatch.setattr(toy.ledger, name, gone)

    toy.during = when(Arm.TREATMENT, leave)
    with pytest.raises(LedgerError, match="has been undone, without a record") as lost:
        toy.engine().run(request())
    assert "bring the ledger back" in lost.value.remedy
    assert toy.word() == HEALTHY


def test_the_lever_refuses(toy: ToyProject) -> None:
    lever.pull(toy.home, "audit today", toy.clock.now())
    with pytest.raises(GuardTripped, match="audit today"):
        toy.engine().run(request())
    assert_refused(toy, "the safety lever is pulled")


def test_a_blast_radius_above_the_guard_refuses(toy: ToyProject) -> None:
    with pytest.raises(GuardTripped, match=r"50% of data, above guards.blast_radius = 10%"):
        toy.engine().run(request(guards={"blast_radius": 0.1}))
    assert_refused(toy, "blast_radius")


def test_a_full_disk_refuses(toy: ToyProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards.shutil, "disk_usage", lambda path: SimpleNamespace(free=5 * 2**20))
    with pytest.raises(GuardTripped, match="only 5 MB are free"):
        toy.engine().run(request())
    assert_refused(toy, "200 MB are needed")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left"), SetupError("no such tool")])
def test_whatever_ends_the_arming_leaves_nothing_armed_or_locked(toy: ToyProject, error: BaseException) -> None:
    toy.fault.trouble["snapshot"] = error
    with pytest.raises(type(error)):
        toy.engine().run(request())
    assert_refused(toy, "")
    toy.fault.trouble.clear()
    assert toy.engine().run(request("run-2")).outcome is Outcome.HELD


def assert_refused(toy: ToyProject, why: str) -> None:
    assert why in toy.notes(RecordKind.RUN_REFUSED)[0]
    assert toy.fault.injections == 0
    assert not toy.ledger.handles(phases=OPEN_PHASES)
    assert not toy.ledger._locks


def test_two_runs_of_one_experiment_never_meet(toy: ToyProject) -> None:
    toy.engine().arm(request())
    with pytest.raises(TargetBusy, match="run-1") as caught:
        toy.engine().arm(request("run-2"))
    assert caught.value.remedy
    assert phases(toy) == [Phase.ARMED]
    assert "is held by run-1" in toy.notes(RecordKind.RUN_REFUSED, "run-2")[0]


def test_a_run_waits_in_line_and_leaves_it_when_its_patience_is_over(toy: ToyProject) -> None:
    toy.engine().arm(request())
    patient = toy.engine()
    patient = replace(patient, parts=replace(patient.parts, lock_wait_s=2.0))
    with pytest.raises(TargetBusy, match="run-1"):
        patient.arm(request("run-2"))
    assert toy.ledger.waiting() == []
    assert "is held by run-1" in toy.notes(RecordKind.RUN_REFUSED, "run-2")[0]


def test_a_run_that_a_person_ends_has_its_verdict_and_stays_so(toy: ToyProject) -> None:
    toy.engine().arm(request())
    toy.engine().inject(RUN)
    toy.engine().revert(RUN)
    verdict = toy.engine().end(RUN, "the DAG run was marked")
    assert (verdict.outcome, verdict.reasons[0]) == (Outcome.ABORTED, Reason.STOPPED_BY_PERSON)
    assert "the DAG run was marked" in verdict.sentence
    assert toy.engine().end(RUN, "again") == verdict
    assert toy.ledger.locked_runs() == frozenset()


def test_a_run_that_was_handed_over_waits_for_its_next_task_and_still_holds(toy: ToyProject) -> None:
    toy.engine().arm(request())
    toy.engine().baseline(RUN)
    toy.engine().hand_over(RUN)
    pass_by(toy, QUEUED_LEASE_S - 1)
    toy.engine().inject(RUN)
    toy.engine().hand_over(RUN)
    pass_by(toy, 599)
    assert toy.word() == HURT
    toy.engine().exercise(RUN)
    assert lease_s(toy) <= 60  # short again, now that somebody renews it
    toy.engine().revert(RUN)
    assert toy.engine().judge(RUN).outcome is Outcome.HELD


def test_a_fault_waits_for_its_next_task_no_longer_than_is_allowed(toy: ToyProject) -> None:
    engine = toy.engine(between_tasks="5m")
    engine.arm(request())
    engine.inject(RUN)
    engine.hand_over(RUN)
    pass_by(toy, 301)
    assert phases(toy) == [Phase.REVERTED]
    assert toy.word() == HEALTHY
    with pytest.raises(Fenced):
        toy.engine().exercise(RUN)


WATCH = {"name": "alive", "probe": "live.file", "params": {"path": "alive"}, "tolerance": {"type": "range", "min": 0}}


@pytest.mark.parametrize(
    ("guards", "longest_s"),
    [({"lease": "60s", "longest": "90s"}, 90), ({"lease": "60s", "watch": [WATCH]}, 60), ({"lease": "20m"}, 1200)],
    ids=["longest", "watched", "lease"],
)
def test_the_guards_of_an_experiment_bound_the_wait_for_its_next_task(
    toy: ToyProject, guards: dict[str, object], longest_s: float
) -> None:
    toy.engine().arm(request(guards=guards))
    toy.engine().inject(RUN)
    toy.engine().hand_over(RUN)
    assert lease_s(toy) == longest_s


def pass_by(toy: ToyProject, seconds: float) -> None:
    """Time passes, and a sweep looks."""
    toy.clock.advance(seconds)
    toy.ledger.beat(guards.SWEEPER)
    toy.sweeper().sweep()


def lease_s(toy: ToyProject) -> float:
    """What is left of the lease of the run's first handle."""
    return (toy.ledger.handles(run_id=RUN)[0].lease_until - toy.ledger.now()).total_seconds()


def test_a_run_that_is_to_wait_elsewhere_leaves_with_its_place_kept(toy: ToyProject) -> None:
    toy.engine().arm(request())
    leaving = toy.engine()
    leaving = replace(leaving, parts=replace(leaving.parts, lock_wait_s=3600.0, leaves_to_wait=True))
    with pytest.raises(InLine, match="run-1") as caught:
        leaving.arm(request("run-2"))
    assert caught.value.run_id == "run-2"
    assert [place.run_id for place in toy.ledger.waiting()] == ["run-2"]
    assert toy.notes(RecordKind.RUN_REFUSED, "run-2") == []
    toy.engine().revert(RUN)
    toy.ledger.release(RUN)
    assert leaving.arm(request("run-2")).run_id == "run-2"
    assert toy.ledger.waiting() == []


def test_a_run_that_waits_elsewhere_is_refused_once_its_patience_is_over(toy: ToyProject) -> None:
    toy.engine().arm(request())
    leaving = toy.engine()
    leaving = replace(leaving, parts=replace(leaving.parts, lock_wait_s=60.0, leaves_to_wait=True))
    with pytest.raises(InLine):
        leaving.arm(request("run-2"))
    toy.clock.advance(61)
    toy.engine()._renew(Run(toy.ledger, RUN).plan())
    with pytest.raises(TargetBusy, match="run-1"):
        leaving.arm(request("run-2"))
    assert toy.ledger.waiting() == []
    assert "is held by run-1" in toy.notes(RecordKind.RUN_REFUSED, "run-2")[0]


def test_a_judged_run_is_not_run_again(toy: ToyProject) -> None:
    toy.engine().run(request())
    for again in (lambda: toy.engine().arm(request()), lambda: toy.engine().exercise(RUN)):
        with pytest.raises(GuardTripped, match="has its verdict already"):
            again()
    assert toy.fault.injections == 1


def test_a_late_try_of_arm_leaves_the_run_of_a_later_one_alone(toy: ToyProject) -> None:
    """Airflow took it for dead, and its second try has gone on: the first must not take back what is that one's."""
    of_process(toy, try_number=2).arm(request())
    of_process(toy).inject(RUN)
    before = toy.kinds()
    with pytest.raises(Fenced, match="try 1 of arm"):
        of_process(toy, try_number=1).arm(request())
    assert toy.word() == HURT
    assert toy.ledger.locked_runs() == {RUN}
    assert toy.kinds() == before
    of_process(toy).exercise(RUN)
    of_process(toy).revert(RUN)
    assert of_process(toy).judge(RUN).outcome is not Outcome.ABORTED


def test_a_late_try_of_revert_ends_no_trial_of_its_successors_recovery(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is to fence what runs, before it takes the run: what runs now is the later try's recovery."""
    of_process(toy).arm(request(analysis={"seeds": 2, "base_seed": 1, "recovery_trials": 1}))
    for step in ("baseline", "inject", "exercise"):
        getattr(of_process(toy), step)(RUN)
    of_process(toy, try_number=2).revert(RUN)
    ended: list[str] = []
    monkeypatch.setattr(ToyWorkspaces, "end_workloads", lambda self, plan: ended.append(plan.run_id) or 0)

    def late() -> None:
        with pytest.raises(Fenced, match="try 1 of revert"):
            of_process(toy, try_number=1).revert(RUN)

    toy.during = when(Arm.RECOVERY, late)
    assert of_process(toy).recovery(RUN).healthy
    assert toy.words_seen[-1][0] is Arm.RECOVERY
    assert ended == []
    assert of_process(toy).judge(RUN).outcome is Outcome.HELD


@pytest.mark.parametrize("injected", [True, False])
def test_a_late_try_of_approve_takes_nothing_back_of_the_run_that_went_on(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch, injected: bool
) -> None:
    """It stood still before it registered its plan; meanwhile its second try did, and the tasks after it went on."""
    resolve = ToyWorkspaces.resolve

    def slow(self: ToyWorkspaces, target: Target) -> SourceVersion:
        monkeypatch.setattr(ToyWorkspaces, "resolve", resolve)
        of_process(toy, try_number=2).propose(request())
        of_process(toy).arm(request())
        if injected:
            of_process(toy).inject(RUN)
        return resolve(self, target)

    monkeypatch.setattr(ToyWorkspaces, "resolve", slow)
    with pytest.raises(SquallError):
        of_process(toy, try_number=1).propose(request())
    assert RecordKind.RUN_REFUSED not in toy.kinds()
    assert (toy.word(), toy.ledger.locked_runs()) == (HURT if injected else HEALTHY, {RUN})
    if injected:
        of_process(toy).exercise(RUN)
        assert toy.words_seen[-1] == (Arm.TREATMENT, HURT)


def test_what_a_task_does_beside_its_own_step_is_no_try_of_that_step(toy: ToyProject) -> None:
    """The second try of exercise reverts, since a guard tripped; the revert task after it begins at its first try."""
    of_process(toy).arm(request())
    of_process(toy).inject(RUN)
    toy.during = when(Arm.TREATMENT, raising(GuardTripped("a guard")))
    toy.fault.trouble["revert"] = RevertError("not now", handle_id=f"{RUN}/write")
    with pytest.raises(GuardTripped, match="a guard"):
        of_process(toy, try_number=2).exercise(RUN)
    with pytest.raises(Fenced, match="try 1 of exercise"):
        of_process(toy, try_number=1).exercise(RUN)
    toy.fault.trouble.clear()
    of_process(toy, try_number=1).revert(RUN)
    assert toy.word() == HEALTHY


def test_a_dag_run_made_anew_under_its_id_reverts_at_its_first_try(toy: ToyProject) -> None:
    """Somebody deletes one whose revert was killed twice at its start, and triggers it again with the same id."""
    of_process(toy).arm(request())
    of_process(toy).inject(RUN)
    toy.ledger.of_another_process().enter(Actor(run_id=RUN, step="revert", pid=7, try_number=2))
    of_process(toy).arm(request())
    of_process(toy).revert(RUN)
    assert toy.word() == HEALTHY
    of_process(toy, try_number=2).arm(request())  # a task that is cleared counts on: its late first try stays refused
    of_process(toy, try_number=2).revert(RUN)
    with pytest.raises(Fenced, match="try 1 of revert"):
        of_process(toy, try_number=1).revert(RUN)


def test_a_run_in_line_whose_arm_task_is_marked_success_hurts_nobody(toy: ToyProject) -> None:
    """Its faults fire during the workload, so no handle of its own is missed: nothing else would hold it back."""
    toy.engine(targets=ALLOWS_KILLS).arm(request(method=[KILL]))
    leaving = toy.engine(targets=ALLOWS_KILLS)
    leaving = replace(leaving, parts=replace(leaving.parts, lock_wait_s=3600.0, leaves_to_wait=True))
    with pytest.raises(InLine):
        leaving.arm(request("run-2", method=[KILL]))
    for step in ("baseline", "inject", "exercise"):
        with pytest.raises(GuardTripped, match="run-2 is not armed"):
            getattr(toy.engine(targets=ALLOWS_KILLS), step)("run-2")
    assert toy.words_seen == []


def test_a_run_whose_inject_task_is_marked_success_counts_in_its_night_all_the_same(toy: ToyProject) -> None:
    allowed = {"targets": ALLOWS_KILLS, "limits": BlastLimits(experiments_per_night=1)}
    toy.engine(**allowed).arm(request(method=[KILL]))
    toy.engine(**allowed).exercise(RUN)
    counted = list(toy.ledger.records(kinds=[RecordKind.NIGHT_COUNTED]))
    assert len(counted) == 1
    toy.engine(**allowed).exercise(RUN)  # cleared
    assert list(toy.ledger.records(kinds=[RecordKind.NIGHT_COUNTED])) == counted


def test_a_process_is_not_hurt_on_a_machine_without_a_sweeper_of_its_own(toy: ToyProject) -> None:
    """Another machine's sweeper let the run arm, and could do nothing for a process here."""
    toy.engine(targets=ALLOWS_KILLS).arm(request(method=[KILL]))
    toy.ledger.beat(guards.own_leave(host()))
    toy.clock.advance(1)
    toy.ledger.beat(guards.SWEEPER)
    with pytest.raises(GuardTripped, match=f"only a sweeper on {host()} can put back"):
        toy.engine(targets=ALLOWS_KILLS).exercise(RUN)
    assert toy.words_seen == []
    assert "acts on a process of" in toy.notes(RecordKind.STOP_TRIGGERED)[0]


def test_a_refused_run_whose_arm_task_is_marked_success_hurts_nobody(toy: ToyProject) -> None:
    toy.engine().arm(request())
    lever.pull(toy.home, "not now", toy.clock.now())
    with pytest.raises(GuardTripped, match="not now"):
        toy.engine().arm(request())  # its task was cleared
    lever.release(toy.home)
    with pytest.raises(GuardTripped, match="run-1 is not armed"):
        toy.engine().exercise(RUN)
    toy.engine().arm(request())
    assert toy.engine().baseline(RUN) == 2


def test_a_run_whose_arm_task_was_lost_is_judged_with_nothing_armed_and_its_target_free(toy: ToyProject) -> None:
    """Airflow runs no teardown where every setup failed: the fault was never in, so the run is not unreverted."""
    of_process(toy).arm(request())
    verdict = of_process(toy).judge(RUN)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert phases(toy) == [Phase.REVERTED]
    assert toy.ledger.locked_runs() == frozenset()


def test_a_revert_task_that_is_marked_success_leaves_nothing_in_and_proves_nothing(toy: ToyProject) -> None:
    of_process(toy).arm(request())
    of_process(toy).inject(RUN)
    of_process(toy).exercise(RUN)
    with pytest.raises(RevertError, match="is still injected"):
        of_process(toy).recovery(RUN)
    assert RecordKind.RECOVERY_MEASURED not in toy.kinds()
    verdict = of_process(toy).judge(RUN)
    assert verdict.outcome is not Outcome.UNREVERTED
    assert toy.word() == HEALTHY
    assert toy.ledger.locked_runs() == frozenset()


def test_whoever_still_runs_trials_when_a_run_is_judged_goes_no_further(toy: ToyProject) -> None:
    """The task before the judge was marked: the verdict must not be followed by another act."""
    of_process(toy).arm(request())
    of_process(toy).inject(RUN)
    toy.during = when(Arm.TREATMENT, lambda: of_process(toy).judge(RUN))
    with pytest.raises(Fenced):
        of_process(toy).exercise(RUN)
    assert toy.word() == HEALTHY
    assert toy.ledger.locked_runs() == frozenset()
    assert [seen for seen, _ in toy.words_seen].count(Arm.TREATMENT) == 1


def test_a_judge_that_dies_right_after_its_verdict_gives_the_locks_back_when_tried_again(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_process(toy).arm(request())
    of_process(toy).inject(RUN)
    of_process(toy).exercise(RUN)
    of_process(toy).revert(RUN)
    with monkeypatch.context() as killed:
        killed.setattr(Engine, "_unlock", lambda *_: raising(KeyboardInterrupt())())
        with pytest.raises(KeyboardInterrupt):
            of_process(toy).judge(RUN)
    assert toy.ledger.locked_runs() == {RUN}
    of_process(toy).judge(RUN)
    assert toy.ledger.locked_runs() == frozenset()


# --- whatever happens under the fault ------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", [Arm.CONTROL, Arm.TREATMENT, Arm.RECOVERY])
def test_a_person_who_stops_it_gets_everything_back(toy: ToyProject, arm: Arm) -> None:
    toy.during = when(arm, raising(KeyboardInterrupt()))
    verdict = toy.engine().run(request(analysis={"seeds": 2, "base_seed": 1, "recovery_trials": 1}))
    assert verdict.outcome is Outcome.ABORTED
    assert Reason.STOPPED_BY_PERSON in verdict.reasons
    assert toy.word() == HEALTHY
    assert phases(toy) == [Phase.REVERTED]
    assert not toy.ledger._locks


@pytest.mark.parametrize("arm", [Arm.CONTROL, Arm.TREATMENT, Arm.RECOVERY])
def test_an_error_of_our_own_is_reverted_and_never_held(
    toy: ToyProject, arm: Arm, caplog: pytest.LogCaptureFixture
) -> None:
    toy.during = when(arm, raising(ZeroDivisionError("row 17: secret")))
    verdict = toy.engine().run(request(analysis={"seeds": 2, "base_seed": 1, "recovery_trials": 1}))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert Reason.INTERNAL_ERROR in verdict.reasons
    assert toy.word() == HEALTHY
    assert toy.notes(RecordKind.STOP_TRIGGERED) == ["an error of Squall's own: ZeroDivisionError"]
    assert "ended by an error of Squall's own" in caplog.text


@pytest.mark.parametrize("arm", [Arm.CONTROL, Arm.TREATMENT, Arm.RECOVERY])
def test_the_lever_stops_between_trials(toy: ToyProject, arm: Arm) -> None:
    toy.during = when(arm, lambda: lever.pull(toy.home, "halt", toy.clock.now()))
    verdict = toy.engine().run(request(analysis={"seeds": 3, "base_seed": 1, "recovery_trials": 2}))
    assert verdict.outcome is Outcome.ABORTED
    assert [seen for seen, _ in toy.words_seen].count(arm) == 1
    assert toy.word() == HEALTHY


def test_a_stop_condition_ends_the_trials(toy: ToyProject) -> None:
    toy.metrics = lambda spec: {"auc": 0.1 if spec.arm is Arm.TREATMENT else 0.9}
    verdict = toy.engine().run(request(guards={"stop_when": ["auc"]}))
    assert verdict.outcome is Outcome.ABORTED
    assert Reason.STOP_CONDITION in verdict.reasons
    assert [seen for seen, _ in toy.words_seen].count(Arm.TREATMENT) == 1
    assert toy.word() == HEALTHY


def test_a_stop_check_that_cannot_be_measured_ends_the_trials(toy: ToyProject) -> None:
    toy.metrics = lambda spec: {} if spec.arm is Arm.TREATMENT else {"auc": 0.9}
    verdict = toy.engine().run(request(guards={"stop_when": ["auc"]}))
    assert verdict.outcome is Outcome.ABORTED
    assert "auc could not be measured" in verdict.sentence
    assert toy.word() == HEALTHY


@pytest.mark.parametrize("step", ["baseline", "inject", "recovery"])
def test_what_a_guard_refuses_between_two_tasks_is_the_verdicts_reason(toy: ToyProject, step: str) -> None:
    """Each task of Airflow's is a process of its own, and the tasks after a failed one know nothing of its error."""
    before = {"baseline": (), "inject": ("baseline",), "recovery": ("baseline", "inject", "exercise", "revert")}
    toy.engine().arm(request(analysis={"seeds": 2, "base_seed": 1, "recovery_trials": 1}))
    for done in before[step]:
        getattr(toy.engine(), done)("run-1")
    lever.pull(toy.home, "halt", toy.clock.now())
    with pytest.raises(GuardTripped, match="lever is pulled"):
        getattr(toy.engine(), step)("run-1")
    toy.engine().revert("run-1")
    verdict = toy.engine().judge("run-1")
    assert verdict.outcome is Outcome.ABORTED
    assert "the safety lever is pulled" in verdict.sentence
    assert toy.kinds().count(RecordKind.STOP_TRIGGERED) == 1


@pytest.mark.parametrize(
    ("taken_back", "why"),
    [({"families": ()}, "no toy faults"), ({"environment": "production"}, "'production' by now")],
)
@pytest.mark.parametrize("step", ["arm", "inject"])
def test_what_the_owner_of_the_inventory_has_taken_back_meanwhile_is_not_done(
    toy: ToyProject, step: str, taken_back: dict[str, object], why: str
) -> None:
    """A run may wait for hours for somebody's yes, for its turn or for its controls."""
    toy.engine().propose(request())
    if step == "inject":
        toy.engine().arm(request())
    entry = toy.settings().targets["toy"].model_copy(update=taken_back)
    engine = toy.engine(targets={"toy": entry})
    with pytest.raises(GuardTripped, match=why):
        engine.arm(request()) if step == "arm" else engine.inject(RUN)
    assert toy.fault.injections == 0


def test_a_window_that_closed_between_two_tasks_is_seen_before_the_next_trial(toy: ToyProject) -> None:
    """A fault that fires at the trial's start would be in before a thread has looked."""
    engine = toy.engine()
    engine.arm(request())
    engine.baseline(RUN)
    engine.inject(RUN)

    def closed(*_: object) -> None:
        raise GuardTripped("the change window closes")

    later = Engine(replace(engine.parts, loop=replace(engine.parts.loop, allowed=closed)))
    with pytest.raises(GuardTripped, match="window closes"):
        later.exercise(RUN)
    assert Arm.TREATMENT not in [arm for arm, _ in toy.words_seen]
    assert toy.word() == HEALTHY
    assert later.judge(RUN).outcome is Outcome.ABORTED


@pytest.mark.parametrize("stops", ["a stop check", "the lever"])
def test_the_faults_are_out_before_the_exercise_step_ends_and_a_retry_goes_no_further(
    toy: ToyProject, stops: str
) -> None:
    if stops == "the lever":
        toy.during = when(Arm.TREATMENT, lambda: lever.pull(toy.home, "halt", toy.clock.now()))
    else:
        toy.metrics = lambda spec: {"auc": 0.1}
    asked = request(guards={"stop_when": ["auc"]} if stops == "a stop check" else {})
    toy.engine().arm(asked)
    toy.engine().baseline(RUN)
    toy.engine().inject(RUN)
    with suppress(GuardTripped):
        toy.engine().exercise(RUN)
    assert phases(toy) == [Phase.REVERTED]
    assert toy.word() == HEALTHY
    assert len(toy.notes(RecordKind.STOP_TRIGGERED)) == 1
    lever.release(toy.home)
    with suppress(GuardTripped):
        toy.engine().exercise(RUN)  # a task that was cleared
    assert [seen for seen, _ in toy.words_seen].count(Arm.TREATMENT) == 1
    toy.engine().revert(RUN)
    assert toy.engine().judge(RUN).outcome is Outcome.ABORTED


@pytest.mark.parametrize("who", ["schedule", "campaign", ""])
def test_only_a_person_is_let_through_the_calendar(toy: ToyProject, who: str) -> None:
    asked = request().model_copy(update={"requested_by": who, "overrides": Overrides(outside_window="we need it")})
    with pytest.raises(GuardTripped, match="asks to be let through the change calendar"):
        toy.engine().run(asked)


def test_a_window_that_closes_before_the_fault_is_in_refuses_the_injection(toy: ToyProject) -> None:
    """Asked again right before the fault, since a run may have waited long for its lane."""
    clock = toy.clock.now()
    window = {"opens": "00:00", "closes": f"{clock.hour + 2:02}:00"}
    changes = {"calendar": ChangeCalendar.model_validate({"windows": [window]}), "require_sweeper": False}
    toy.engine(**changes).arm(request(guards={"longest": "1m"}))
    toy.clock.advance(113 * 60)
    with pytest.raises(GuardTripped, match="the change window closes in"):
        toy.engine(**changes).inject(RUN)
    assert toy.fault.injections == 0


@pytest.mark.parametrize("trips", [False, True], ids=["a trial", "a guard that cannot ask"])
def test_a_task_that_loses_the_ledger_undoes_what_is_in_without_a_record(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch, trips: bool
) -> None:
    """Under a scheduler nobody comes after it who could: its retries, the revert task and the sweep need the ledger."""
    of_process(toy).arm(request())
    of_process(toy).inject(RUN)

    def lose_it() -> None:
        for name in ("append", "records", "handle", "handles", "renew", "transition", "release", "acting"):
            gone.setattr(MemoryLedger, name, lambda *_, **__: raising(SetupError("no ledger server answers"))())
        if trips:
            raise GuardTripped("the lever could not be looked at for 60 s")

    toy.during = when(Arm.TREATMENT, lose_it)
    engine = of_process(toy)
    with monkeypatch.context() as gone, pytest.raises(LedgerError, match="has been undone, without a record"):
        engine.exercise(RUN)
    assert toy.word() == HEALTHY
    with pytest.raises(Fenced, match="is not in"):
        of_process(toy).exercise(RUN)  # the next try, once the ledger is back
    of_process(toy).revert(RUN)
    assert phases(toy) == [Phase.REVERTED]


def test_a_second_fault_that_loses_the_ledger_takes_the_first_out_with_it(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [{"name": name, "fault": "toy.word", "target": "data"} for name in ("one", "two")]
    of_process(toy).arm(request(method=steps))
    engine, inject = of_process(toy), acts.inject

    def lose_it_at_the_second(parts: ActParts, state: HandleState, *, by: str = "") -> Receipt:
        if state.handle.step == "two":
            monkeypatch.setattr(engine.parts.ledger, "broken", "gone")
        return inject(parts, state, by=by)

    monkeypatch.setattr(acts, "inject", lose_it_at_the_second)
    with pytest.raises(LedgerError, match="has been undone, without a record"):
        engine.inject(RUN)
    assert toy.word() == HEALTHY


def test_an_injection_that_stops_half_way_is_reverted(toy: ToyProject) -> None:
    toy.fault.trouble["inject"] = OSError("half-way")
    verdict = toy.engine().run(request())
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert Reason.NO_RECEIPT in verdict.reasons
    assert RecordKind.INJECT_FAILED in toy.kinds()
    assert toy.word() == HEALTHY
    assert phases(toy) == [Phase.REVERTED]


def test_without_a_ledger_nothing_is_injected(toy: ToyProject) -> None:
    toy.ledger.broken = "disk full"
    with pytest.raises(LedgerError, match="disk full"):
        toy.engine().run(request())
    assert toy.fault.injections == 0
    assert toy.word() == HEALTHY


def test_a_ledger_that_dies_under_the_fault_leaves_nothing_in(toy: ToyProject) -> None:
    toy.during = when(Arm.TREATMENT, lambda: setattr(toy.ledger, "broken", "gone"))
    with pytest.raises(LedgerError, match="gone"):
        toy.engine().run(request())
    assert toy.word() == HEALTHY
    toy.ledger.broken = ""
    toy.clock.advance(120)
    (swept,) = toy.sweeper().sweep()
    assert swept.reverted
    assert phases(toy) == [Phase.REVERTED]


def test_who_stood_still_past_its_lease_and_then_finds_no_ledger_leaves_the_place_to_whoever_has_it_now(
    toy: ToyProject,
) -> None:
    """A sweep has put it back, and another run has hurt it, while this one slept."""

    def sleep() -> None:
        toy.clock.advance(300)
        assert [one.reverted for one in toy.sweeper().sweep()] == [True]
        (toy.home / "runs" / RUN / "clone" / "word.csv").write_text("of another run")
        toy.ledger.broken = "gone"

    toy.during = when(Arm.TREATMENT, sleep)
    with pytest.raises(LedgerError, match=r"not undone: .* has been over for \d+ s"):
        toy.engine().run(request())
    assert toy.word() == "of another run"


def test_a_fault_swept_mid_way_voids_the_trial_and_ends_the_run(toy: ToyProject) -> None:
    def sweep() -> object:
        toy.clock.advance(120)
        return toy.sweeper().sweep()

    toy.during = when(Arm.TREATMENT, sweep)
    verdict = toy.engine().run(request(analysis={"seeds": 2, "base_seed": 1, "recovery_trials": 1}))
    statuses = [end.trial.status for end in Run(toy.ledger, RUN).ended_trials(Arm.TREATMENT)]
    assert statuses == [TrialStatus.VOID]
    assert verdict.outcome is not Outcome.HELD
    assert toy.word() == HEALTHY


def test_a_fault_undone_behind_our_back_voids_the_trial(toy: ToyProject) -> None:
    path = toy.home / "runs" / RUN / "clone" / "word.csv"
    toy.during = when(Arm.TREATMENT, lambda: path.write_text(HEALTHY))
    verdict = toy.engine().run(request())
    assert [end.trial.status for end in Run(toy.ledger, RUN).ended_trials(Arm.TREATMENT)] == [TrialStatus.VOID]
    assert verdict.outcome is not Outcome.HELD


# --- what could not be reverted ------------------------------------------------------------------------------------


def test_what_is_not_reverted_is_said_pages_and_blocks(toy: ToyProject) -> None:
    toy.fault.trouble["revert"] = OSError("no way back")
    verdict = toy.engine().run(request())
    assert verdict.outcome is Outcome.UNREVERTED
    assert toy.word() == HURT
    with pytest.raises(RevertError, match="unreverted") as caught:
        toy.engine().verdict(RUN)
    assert caught.value.remedy == "squall revert run-1/write"
    with pytest.raises(GuardTripped, match="run-1"):
        toy.engine().run(request("run-2"))
    toy.fault.trouble.clear()
    assert toy.sweeper().one("run-1/write", by="person").reverted
    assert toy.word() == HEALTHY
    toy.ledger.release(RUN)
    assert toy.engine().run(request("run-3")).outcome is Outcome.HELD


def test_one_handle_that_cannot_be_reverted_keeps_no_other_in(toy: ToyProject) -> None:
    second = {"name": "again", "fault": "toy.word", "target": "data"}
    method = [{"name": "write", "fault": "toy.word", "target": "data"}, second]
    engine = toy.engine()
    plan = engine.arm(request(method=method))
    engine.inject(RUN)
    real, tried = toy.fault.revert, []

    def revert(handle, params, ctx):  # type: ignore[no-untyped-def]
        tried.append(handle.step)
        if handle.step == "again":
            raise Fenced("not yours")
        return real(handle, params, ctx)

    toy.fault.revert = revert  # type: ignore[method-assign]
    with pytest.raises(RevertError):
        engine.revert(plan.run_id)
    assert tried == ["again", "write", "again"]  # once more, since the other one was in on the same place


def test_an_undo_that_could_not_be_proved_beside_another_fault_is_proved_once_that_is_out(toy: ToyProject) -> None:
    """A key that is active again is still refused while a denial is in: nothing is wrong, and nobody is to be paged."""
    second = {"name": "again", "fault": "toy.word", "target": "data"}
    engine = toy.engine()
    engine.arm(request(method=[{"name": "write", "fault": "toy.word", "target": "data"}, second]))
    engine.inject(RUN)
    real = toy.fault.revert

    def revert(handle, params, ctx):  # type: ignore[no-untyped-def]
        other = toy.ledger.handle(f"{RUN}/write")
        if handle.step == "again" and other is not None and other.phase is Phase.INJECTED:
            raise RevertError("still refused")
        return real(handle, params, ctx)

    toy.fault.revert = revert  # type: ignore[method-assign]
    engine.revert(RUN)
    assert phases(toy) == [Phase.REVERTED, Phase.REVERTED]
    assert engine.judge(RUN).outcome is not Outcome.UNREVERTED


# --- any order -----------------------------------------------------------------------------------------------------


class AnyOrder(RuleBasedStateMachine):
    """Steps of two runs of one experiment, sweeps, passing time and stumbling faults, in any order."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.patch = pytest.MonkeyPatch()
        self.toy = ToyProject(Path(self.folder.name))
        register(self.patch, self.toy.fault)

    runs = st.sampled_from(["run-1", "run-2"])

    @rule(run=runs)
    def arm(self, run: str) -> None:
        self.step(lambda engine: engine.arm(request(run)))

    @rule(run=runs, name=st.sampled_from(["baseline", "inject", "exercise", "revert", "recovery", "judge"]))
    def act(self, run: str, name: str) -> None:
        self.step(lambda engine: getattr(engine, name)(run))

    @rule(act=st.sampled_from(["inject", "revert"]))
    def stumble(self, act: str) -> None:
        self.toy.fault.trouble[act] = OSError("stumbled")

    @rule()
    def stand_up(self) -> None:
        self.toy.fault.trouble.clear()

    @rule(seconds=st.sampled_from([10, 61]))
    def wait(self, seconds: int) -> None:
        self.toy.clock.advance(seconds)
        self.toy.ledger.beat(guards.SWEEPER)

    @rule()
    def sweep(self) -> None:
        self.toy.sweeper().sweep()

    def step(self, act: Callable[..., object]) -> None:
        with suppress(SquallError):
            try:
                act(self.toy.engine())
            except IdempotencyConflict as error:
                raise AssertionError("a step that is called again must not contradict the log") from error

    @invariant()
    def what_is_hurt_is_on_record_and_open(self) -> None:
        if not hasattr(self, "toy"):
            return
        for run in ("run-1", "run-2"):
            if self.toy.word(run) == HURT:
                assert RecordKind.INJECT_INTENT in self.toy.kinds(run)
                assert [one for one in self.toy.ledger.handles(run_id=run) if one.phase in OPEN_PHASES]

    @invariant()
    def never_two_at_once(self) -> None:
        if hasattr(self, "toy"):
            assert len({one.handle.run_id for one in self.toy.ledger.handles(phases=[Phase.INJECTED])}) <= 1

    def teardown(self) -> None:
        if hasattr(self, "toy"):
            self.toy.fault.trouble.clear()
            self.toy.clock.advance(2 * QUEUED_LEASE_S)
            self.toy.sweeper().sweep()
            assert not self.toy.ledger.handles(phases=OPEN_PHASES)
            assert {self.toy.word("run-1"), self.toy.word("run-2")} == {HEALTHY}
            self.patch.undo()
            self.folder.cleanup()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = hypothesis_settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_the_toy_experiment_is_a_valid_one() -> None:
    assert experiment().content_sha256 == experiment().content_sha256
