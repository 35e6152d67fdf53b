"""The only place that knows the order of an experiment.

arm (guards, plan registered, locks, guards again, snapshot) -> baseline -> inject -> exercise -> revert -> recovery
-> judge -> publish.  Every step takes an id, reads the rest from the ledger, and may be called again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from chaos_tasks import acts, neighbours, registry
from chaos_tasks.acts import ActParts
from chaos_tasks.approving import incidents
from chaos_tasks.approving.desk import Answer, ApprovalDesk
from chaos_tasks.carrying import carried
from chaos_tasks.controls import packages_digest
from chaos_tasks.disposing import Disposal
from chaos_tasks.errors import (
    Fenced,
    GuardTripped,
    IdempotencyConflict,
    InLine,
    LedgerError,
    NotPermitted,
    Queued,
    RevertError,
    SquallError,
    TargetBusy,
    WorkloadError,
    of_system,
    own_words,
)
from chaos_tasks.exercising import Exercise, TrialLoop
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.inventory import read_target
from chaos_tasks.leasing import kept
from chaos_tasks.model.actor import Actor
from chaos_tasks.model.experiment import Step
from chaos_tasks.model.handle import CLOSED_PHASES, OPEN_PHASES, UNTRIED, Handle, HandleState, Phase, Receipt
from chaos_tasks.model.identity import Proof
from chaos_tasks.model.notice import Notice
from chaos_tasks.model.place import TaskPlace
from chaos_tasks.model.plan import Plan, Recorder
from chaos_tasks.model.record import Judged, Note, RecordKind, Recovery, Registered, Stored, Subject
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.trial import Arm, TrialStatus
from chaos_tasks.model.verdict import Verdict
from chaos_tasks.notifying.notices import of_verdict, stopped, unreverted
from chaos_tasks.planning import Source, at_pin, check_pin, controls_ahead, fault_seed, make_plan, overridden
from chaos_tasks.ports import Clients, Clock, Ledger, Notifier, Publisher
from chaos_tasks.renewing import renew_faults
from chaos_tasks.runs import Run, RunWriter, evidence_of, judged_runs
from chaos_tasks.safety import guards, limits
from chaos_tasks.safety.guards import Rules
from chaos_tasks.safety.identities import Ground, Prover
from chaos_tasks.safety.lever import Lever
from chaos_tasks.settings import Settings
from chaos_tasks.targets.process import actor, host, identity
from chaos_tasks.without_ledger import WithoutLedger
from chaos_tasks.workspaces import Workspaces

REVERT_TASK = "revert task"
LOCK_POLL_S = 0.5
PLACE_S = 30.0
"""How long a waiting run keeps its place in line unheard of: many looks, since a slow machine must not cost it."""

LEFT_PLACE_S = 120.0
"""The same for a run that waits elsewhere: while a triggerer restarts, and from its turn until it has a slot."""

LONGEST_PAST = timedelta(days=400)
"""Undecided evidence may be carried over from 60 nights, which need not be the last 60 days."""

QUEUED_LEASE_S = 3600.0
"""Nothing is in yet while an armed run waits for a lane; its lease gets short once something is."""

SLICES = 4
"""So often a lease is renewed while one is waited for."""

ARMED_SAYS = (
    RecordKind.LOCKS_TAKEN,
    RecordKind.IDENTITIES_PROVED,
    RecordKind.LOCKS_RELEASED,
    RecordKind.RUN_REFUSED,
)
"""The last of these tells whether a run is armed: its guards were asked under its locks, and nothing gave them back."""

RUNS_TRIALS = frozenset({"baseline", "exercise", "recovery"})
"""Steps of which two at the same time would measure each other."""

AT_ITS_END = frozenset({"revert", "recovery", "judge"})
"""Steps after which no fault goes in and no control is trained."""

log = logging.getLogger(__name__)


def never() -> bool:
    """A stop predicate that never stops."""
    return False


@dataclass(frozen=True)
class EngineParts:
    """What the engine is built from."""

    settings: Settings
    ledger: Ledger
    clock: Clock
    clients: Clients
    workspaces: Workspaces
    publisher: Publisher
    recorder: Recorder
    loop: TrialLoop
    notifier: Notifier | None = None
    lock_wait_s: float = 0.0
    leaves_to_wait: bool = False
    """Whether a run whose turn has not come leaves ``arm`` with InLine, so that no process is held while it waits."""
    lever: Lever | None = None
    disposal: Disposal | None = None
    begun: set[str] = field(default_factory=set)
    """Handles whose injection this process has announced."""


@dataclass(frozen=True)
class Engine:
    """Runs experiments step by step; a step that is called again goes on where it was."""

    parts: EngineParts

    # --- before -----------------------------------------------------------------------------------------------

    def propose(self, request: RunRequest) -> Plan:
        """Guards, plan recorded, approval asked for where one is needed; nothing is held.  Errors as for ``arm``.

        What fails here is no refusal of a run that has gone on: that one is its later steps' own.
        """
        known = self._known(request)
        try:
            plan = known or self._register(request)
            self.approvals.ask(plan)
        except BaseException as error:
            beaten = known is None and isinstance(error, IdempotencyConflict)  # a later try has registered it meanwhile
            if not beaten and not self._has_gone_on(request.run_id):
                self._say_refused(request, error)  # nothing to take back: nothing is held yet
            raise
        return plan

    def _has_gone_on(self, run_id: str) -> bool:
        """Whether it holds locks, stands in line for them, or has anything armed or in."""
        with suppress(*acts.NO_LEDGER):  # then a refusal cannot be written either
            locked = run_id in self.parts.ledger.locked_runs()
            return locked or bool(self.parts.ledger.handles(run_id=run_id, phases=OPEN_PHASES))
        return False

    def arm(self, request: RunRequest, *, queued: bool = True) -> Plan:
        """Guards, plan recorded, locks, guards again, snapshot, ARMED.  Raises GuardTripped (recorded), SetupError.

        Raises InLine, with its place kept and nothing recorded as refused, where the run is to wait elsewhere.
        ``queued``: its next step waits for a lane.  Else the same process goes on, and dies with its short lease.
        """
        known = self._known(request)
        # Not a refusal where a later try has the run: what is in and locked is that one's, and must not be taken back.
        self.parts.ledger.enter(self._actor(request.run_id, "arm"))
        try:
            plan = known or self._register(request)
            self.approvals.ask(plan)
            self._same_as_approved(plan, request)
            self.approvals.early(plan)
            lease_s = QUEUED_LEASE_S if queued else _lease_s(plan)
            self._lock(plan, lease_s)
            renew = partial(self.parts.ledger.renew, plan.run_id, lease_s=lease_s)
            with kept(renew, lease_s=lease_s, longest_s=QUEUED_LEASE_S):  # a clone of much data takes long
                self._guard_again(plan)
                self._record_proofs(plan)
                self._snapshot(plan, lease_s)
        except InLine:
            raise
        except BaseException as error:  # Ctrl-C and a full disk too: nothing may stay armed or locked
            self._refuse(request, error)
            raise
        return plan

    def answer(self, request: RunRequest, said: Answer) -> Stored:
        """Record what a person said about a proposed run; a yes to one that was edited since does not count.

        Where it does not count (NotPermitted), the run is over.
        """
        plan = self._plan(request.run_id)
        asked = overridden(request.experiment, request.overrides)
        same = asked.content_sha256 == plan.experiment_digest
        try:
            return self.approvals.answer(plan.run_id, said, plan_sha256=plan.content_sha256 if same else "edited")
        except NotPermitted:
            self.approvals.end(plan.run_id)
            raise

    def _known(self, request: RunRequest) -> Plan | None:
        known = Run(self.parts.ledger, request.run_id).registered()
        if known is not None and self._judged(request.run_id):
            raise GuardTripped(
                f"run {request.run_id} has its verdict already",
                remedy="trigger a new run; a re-run under the same id would add no evidence",
            )
        return known

    def _same_as_approved(self, plan: Plan, request: RunRequest) -> None:
        """Where somebody had to agree, what is asked for now must be what was shown; raises NotPermitted."""
        asked = overridden(request.experiment, request.overrides)
        if self.approvals.asks_a_person(plan.run_id) and asked.content_sha256 != plan.experiment_digest:
            raise NotPermitted(
                f"experiment {plan.experiment.name} was edited after run {plan.run_id} had asked for its approval",
                remedy="start a new run, so that somebody looks at what it says now",
            )

    def plan(self, request: RunRequest) -> Plan:
        """What arming would register now; nothing is written.  Raises GuardTripped, SetupError, InvalidFile."""
        guards.check_name(request.run_id)
        settings = self.parts.settings
        entry = settings.entry(request.experiment.target)
        target = read_target(settings, request.experiment.target)
        guards.check_override(request.overrides.outside_window, request.requested_by)
        guards.check_request(request.experiment, target, self._rules(request.experiment.target))
        version = self.parts.workspaces.resolve(at_pin(target, request.pin))
        source = Source(version.commit, version.data_digest)
        check_pin(request, target, source)
        plan = make_plan(
            request,
            target,
            source,
            environment=entry.environment,
            home=settings.home,
            now=self.parts.clock.now(),
            identities=entry.identities,
        )
        slots = limits.slots(settings.limits, environments_of(settings), target.name)
        locks = tuple(sorted((*plan.locks, *slots), key=lambda lock: lock.key))
        plan = self._with_the_past(plan.model_copy(update={"locks": locks}), pinned=request.pin is not None)
        guards.check_world(plan, self._rules(plan.experiment.target), self.parts.ledger)
        self._prove(plan)
        return plan

    def _prove(self, plan: Plan) -> tuple[Proof, ...]:
        """That three identities are three, and the reverter out of the fault's reach; raises GuardTripped."""
        settings = self.parts.settings
        policy = settings.entry(plan.target.name).identities
        return Prover(policy, Ground.of(settings), self.parts.clients).prove(plan)

    def _record_proofs(self, plan: Plan) -> None:
        """Prove again under the locks, and put on record who was who, and what the inventory has waived."""
        proofs = self._prove(plan)
        waived = sum(proof.waived for proof in proofs)
        again = str(len(Run(self.parts.ledger, plan.run_id).stored(RecordKind.IDENTITIES_PROVED)))
        text = f"{len(proofs) - waived} checks of identities proved, {waived} not applicable by the inventory"
        facts: dict[str, JsonValue] = {"proofs": [proof.model_dump(mode="json") for proof in proofs]}
        self._writer(plan).note(RecordKind.IDENTITIES_PROVED, text, key=again, facts=facts)

    def _with_the_past(self, plan: Plan, *, pinned: bool) -> Plan:
        """What the log says that bears on a run: undecided runs of nights before, and how far its rungs are trusted."""
        from chaos_tasks.judging.carrying import carried_over
        from chaos_tasks.judging.ladder import read_comparisons, trust_of

        past: dict[str, object] = {}
        plan = plan.model_copy(update={"packages": packages_digest(self.parts.workspaces.python)})
        if plan.experiment.analysis.nights > 1 and not pinned:  # a pin says itself what counts with it
            earlier = judged_runs(self.parts.ledger, plan.experiment.name, since=plan.planned_at - LONGEST_PAST)
            past["continues"] = carried_over(plan, earlier)
        if plan.experiment.analysis.ladder:
            records = self.parts.ledger.records(kinds=(RecordKind.RUNG_COMPARED,))
            past["rungs"] = trust_of(plan, read_comparisons(records))
        return plan.model_copy(update=past)

    def _register(self, request: RunRequest) -> Plan:
        plan = self.plan(request)
        name = f"dvc:{plan.target.source.repo}"
        subjects = (Subject(name=name, sha256=plan.data_digest, git_commit=plan.source_commit),)
        consent = self.approvals.need(plan).consent
        registered = Registered(plan=plan, plan_sha256=plan.content_sha256, consent=consent)
        self._writer(plan).write(RecordKind.EXPERIMENT_REGISTERED, registered, subjects=subjects)
        return plan

    def _lock(self, plan: Plan, lease_s: float) -> None:
        """Wait in line for the locks as long as the settings allow; all or none."""
        deadline = self.parts.clock.monotonic() + self.parts.lock_wait_s
        place_s = LEFT_PLACE_S if self.parts.leaves_to_wait else PLACE_S
        while True:
            try:
                queue_s = place_s if self.parts.lock_wait_s > 0 else 0.0
                self.parts.ledger.acquire(plan.run_id, plan.locks, lease_s=lease_s, queue_s=queue_s)
                break
            except TargetBusy as busy:
                self._leave_to_wait(plan, busy)
                if not busy.passes or self.parts.clock.monotonic() >= deadline:
                    raise  # the refusal gives the place in line back with everything else
                self.parts.clock.sleep(LOCK_POLL_S)
        keys = [("exclusive " if lock.exclusive else "shared ") + lock.key for lock in plan.locks]
        # Taken again by a retry, or after a refusal gave them back: the count keeps the keys apart.
        again = str(len(Run(self.parts.ledger, plan.run_id).stored(RecordKind.LOCKS_TAKEN)))
        self._writer(plan).note(RecordKind.LOCKS_TAKEN, f"{len(keys)} locks", key=again, facts={"locks": list(keys)})

    def _leave_to_wait(self, plan: Plan, busy: TargetBusy) -> None:
        """Raise InLine for a run that has a place and some patience left, where waiting is not for this process."""
        if not self.parts.leaves_to_wait:
            return
        if isinstance(busy, Queued) and (self.parts.ledger.now() - busy.since).total_seconds() < self.parts.lock_wait_s:
            raise InLine(busy.message, run_id=plan.run_id, since=busy.since) from busy
        raise busy

    def _snapshot(self, plan: Plan, lease_s: float) -> None:
        self.parts.workspaces.open(plan)
        for step in _before_steps(plan):
            if self.parts.ledger.handle(handle_id(plan, step)) is None:
                acts.arm(self._act_parts(plan, step), self._new_handle(plan, step), lease_s=lease_s)

    def _new_handle(self, plan: Plan, step: Step) -> Handle:
        fault = carried(registry.fault(step.fault), self.parts.workspaces.carrier)
        place = plan.places[step.name]
        params = registry.fault_params(step.fault, step.params)
        return Handle(
            id=handle_id(plan, step),
            run_id=plan.run_id,
            step=step.name,
            kind=step.fault,
            place=place,
            params=step.params,
            prior=fault.snapshot(place, params, self._context(plan)),
            seed=fault_seed(plan.seeds[0], step.name),
        )

    def _refuse(self, request: RunRequest, error: BaseException) -> None:
        """Leave nothing armed, give the locks back, and say why in the log; the error itself is what counts."""
        try:
            self._take_back(request.run_id)
        except SquallError as problem:
            error.add_note(f"not taken back either: {problem}")
        self._say_refused(request, error)

    def _say_refused(self, request: RunRequest, error: BaseException) -> None:
        try:
            self._record_refusal(request, error)
        except (*acts.NO_LEDGER, ValueError) as problem:  # a name that is no text has no exact form to record
            error.add_note(f"not recorded either: {problem}")

    def _take_back(self, run_id: str) -> None:
        self.revert(run_id)
        self.parts.ledger.release(run_id)  # not reached while something is in: that must block new experiments

    def _record_refusal(self, request: RunRequest, error: BaseException) -> None:
        run = Run(self.parts.ledger, request.run_id)
        writer = RunWriter(
            self.parts.ledger, self.parts.clock, self.parts.recorder, request.run_id, request.experiment.name
        )
        remedy = error.remedy if isinstance(error, SquallError) else ""
        facts = {"experiment": request.experiment.name, "campaign_id": request.campaign_id, "remedy": remedy}
        # A retried task may be refused again, in other words: the count keeps the keys apart.
        key = str(len(run.stored(RecordKind.RUN_REFUSED)))
        writer.note(RecordKind.RUN_REFUSED, own_words(error), key=key, facts=facts)

    # --- under fault ------------------------------------------------------------------------------------------

    def baseline(self, run_id: str) -> int:
        """Control trials, as many as are needed before the fault is in; returns how many there are."""
        plan = self._live(run_id, "baseline")
        every = controls_ahead(plan)
        seeds = plan.seeds if every else plan.seeds[: plan.experiment.analysis.needed]
        rungs = (*(trust.rung for trust in plan.rungs), "")  # the whole workload comes last
        ended = 0
        with self._recorded_refusal(plan):
            for rung in rungs if every else rungs[:1]:
                ended = self.parts.loop.run(Exercise(plan, Arm.CONTROL, seeds, rung))
        return ended

    def inject(self, run_id: str) -> tuple[Receipt, ...]:
        """Put in every fault that is to be in before the workload.  Raises InjectError, GuardTripped or Fenced."""
        plan = self._live(run_id, "inject")
        receipts = []
        with self._recorded_refusal(plan), self._without_ledger.undone_if_lost(plan):
            self._guard_again(plan, injecting=True)
            self._may_hurt(plan)
            for step in _before_steps(plan):
                self._lever.check()  # between two steps too
                state = self._state(plan, step)
                receipts.append(acts.inject(self._act_parts(plan, step), state, by="inject task"))
        return tuple(receipts)

    def _may_hurt(self, plan: Plan) -> None:
        """Allowed, counted, and on record where it passes by the calendar: right before the first act."""
        self.approvals.ready(plan)
        limits.count(plan, self.parts.settings.limits, self.parts.ledger, self.parts.clock, self.parts.recorder)
        self.approvals.override(plan)

    @contextmanager
    def _recorded_refusal(self, plan: Plan) -> Iterator[None]:
        """What a guard said, or that nobody had allowed it, goes into the verdict, whatever the tasks around it say."""
        try:
            yield
        except GuardTripped as error:
            self._stopped(plan, error)
            raise

    def exercise(self, run_id: str, *, task_place: TaskPlace | None = None, stop: Callable[[], bool] = never) -> int:
        """Treatment trials, each void unless the faults were in all the time; returns how many there are.

        Where a guard or a stop condition ends them, the faults are out before this returns, or raises GuardTripped.
        """
        plan = self._live(run_id, "exercise")
        with self._without_ledger.undone_if_lost(plan):
            try:
                self._ask_again(plan)
            except GuardTripped:
                self._out_at_once(plan)
                raise
            return self._exercise(Exercise(plan, Arm.TREATMENT, plan.seeds, task_place=task_place, stop=stop))

    def _ask_again(self, plan: Plan) -> None:
        """Whether its faults may go in here and now; raises GuardTripped, recorded."""
        with self._recorded_refusal(plan):
            guards.check_own_sweeper(plan, self._rules(plan.experiment.target), self.parts.ledger, host())
            # Where a fault is in already, its own step has asked; else that may have been marked as done.
            self.approvals.ready(plan) if _before_steps(plan) else self._may_hurt(plan)

    def _exercise(self, asked: Exercise) -> int:
        plan = asked.plan
        try:
            ended = self.parts.loop.run(asked)
        except GuardTripped as error:
            if not asked.stop():  # a task that is told to end may be run again: its trials are only void
                self._stopped(plan, error)
                self._out_at_once(plan)
            raise
        if Run(self.parts.ledger, plan.run_id).stored(RecordKind.STOP_TRIGGERED):
            self._out_at_once(plan)
        return ended

    def _out_at_once(self, plan: Plan) -> None:
        """Not only when the scheduler comes to it; what fails here is on record, and the revert step tries again.

        Raises what a lost ledger raises: then there is no record, and nobody could try again.
        """
        try:
            self.revert(plan.run_id)
        except SquallError as error:
            if isinstance(error, acts.NO_LEDGER) and self._without_ledger.is_lost(plan):
                raise
        self._open_incidents(plan.run_id)
        self._tell(lambda: self._stops(plan))

    def _open_incidents(self, run_id: str) -> None:
        """What cannot be written now is opened by whoever comes next: the causes are records."""
        with suppress(SquallError):
            incidents.open_those_of(run_id, self.parts.ledger, self.parts.clock, self.parts.recorder)

    def _stops(self, plan: Plan) -> list[Notice]:
        notes = [one for one in Run(self.parts.ledger, plan.run_id).payloads(RecordKind.STOP_TRIGGERED)]
        texts = [note.text for note in notes if isinstance(note, Note)]
        return [stopped(plan, texts[0], at=self.parts.clock.now())] if texts else []

    def hand_over(self, run_id: str) -> None:
        """Let the run wait for its next task, which a scheduler starts once it has a slot; raises Fenced once swept.

        Until then nobody renews.  What is in waits no longer than the settings and the guards allow, and not at all
        (but for its lease) where stop conditions should be read meanwhile.  The next task makes the lease short again.
        """
        plan = self._plan(run_id)
        armed_only = all(state.phase is Phase.ARMED for state in Run(self.parts.ledger, run_id).handles())
        lease_s = QUEUED_LEASE_S if armed_only else self._waiting_lease_s(plan)
        self.parts.ledger.renew(run_id, lease_s=lease_s)
        renew_faults(self.parts.ledger, run_id, self.parts.clock, lambda: self.parts.clients, lease_s=lease_s)

    def _waiting_lease_s(self, plan: Plan) -> float:
        own = plan.experiment.guards
        if own.watch:
            return _lease_s(plan)
        allowed = min(self.parts.settings.between_tasks, own.longest or self.parts.settings.between_tasks)
        return max(_lease_s(plan), allowed.total_seconds())

    # --- after ------------------------------------------------------------------------------------------------

    def revert(self, run_id: str, *, by: str = REVERT_TASK) -> tuple[Receipt, ...]:
        """Fence what still runs, then bring every place back and prove it.  Raises RevertError after trying all."""
        run = Run(self.parts.ledger, run_id)
        plan = run.registered()
        if plan is None:
            return ()
        # A superseded process, or a late try, must not end what runs under its successor.
        self.parts.ledger.check_enter(self._actor(run_id, "revert"))
        self.parts.workspaces.end_workloads(plan)  # before it is superseded, so that a supervisor reverts its holds
        self._take(plan, "revert")
        receipts, failed = self._revert_all(plan, run, by)
        if failed:
            self._open_incidents(run_id)
            self._tell(lambda: self._unreverted(run))
            failures = list(failed.values())
            raise next((error for error in failures if isinstance(error, RevertError)), failures[0])
        return tuple(receipts)

    def _revert_all(self, plan: Plan, run: Run, by: str) -> tuple[list[Receipt], dict[str, SquallError]]:
        """Latest first; what somebody else has to put back, or is at, after that one has had its time."""
        waiting = _open(run)
        far = {state.handle.id: state for state in waiting if neighbours.is_waited_for(state, self.parts.ledger)}
        receipts, failed = self._revert_each(plan, [one for one in waiting if one.handle.id not in far], by)
        neighbours.await_them(far.values(), self.parts.ledger, self.parts.clock)
        late, still = self._revert_each(plan, [one for one in _open(run) if one.handle.id in far], by)
        receipts, failed = receipts + late, failed | still
        left = [one for one in run.handles() if one.handle.id in failed]
        again = acts.hidden(left, [one for one in waiting if one.handle.id not in failed])
        for state in again:
            del failed[state.handle.id]
        more, still = self._revert_each(plan, again, by)
        return receipts + more, failed | still

    def _revert_each(
        self, plan: Plan, states: Iterable[HandleState], by: str
    ) -> tuple[list[Receipt], dict[str, SquallError]]:
        """All of them, whatever fails; the errors by handle."""
        receipts: list[Receipt] = []
        failed: dict[str, SquallError] = {}
        for state in states:
            try:
                receipts.append(acts.revert(self._act_parts(plan, _step_of(plan, state)), state, by=by))
            except SquallError as error:  # the others must go out all the same
                if not self._is_reverted(state):  # a sweep may have been faster
                    failed[state.handle.id] = error
        return receipts, failed

    def _unreverted(self, run: Run) -> list[Notice]:
        stuck = [state for state in run.handles() if state.phase is Phase.UNREVERTED]
        return [unreverted(self.parts.ledger, state, at=self.parts.clock.now()) for state in stuck]

    def _tell(self, notices: Callable[[], Iterable[Notice]]) -> None:
        """Tell people; that nobody could be told is logged, and changes nothing."""
        if self.parts.notifier is None:
            return
        try:
            for notice in notices():
                self.parts.notifier.tell(notice)
        except SquallError as error:
            log.warning("nobody was told: %s", error.message)

    def _is_reverted(self, state: HandleState) -> bool:
        with suppress(*acts.NO_LEDGER):
            current = self.parts.ledger.handle(state.handle.id)
            return current is not None and current.phase in CLOSED_PHASES
        return False

    def recovery(self, run_id: str) -> Recovery:
        """Run recovery trials and say whether the system was healthy again within its RTO; then give the locks back.

        Raises RevertError while something is in.
        """
        run, plan = Run(self.parts.ledger, run_id), self._plan(run_id)
        known = run.recovery()
        if known is not None:
            return known
        self._take(plan, "recovery")
        _refuse_open(run)  # somebody may have marked the task that was to put it back
        started = self.parts.clock.monotonic()
        seeds = plan.seeds[: plan.experiment.analysis.recovery_trials]
        if seeds:
            self._renew(plan)
            with self._recorded_refusal(plan):
                self.parts.loop.run(Exercise(plan, Arm.RECOVERY, seeds))
        trials = [end.trial for end in run.ended_trials(Arm.RECOVERY)]
        healthy = bool(trials) and trials[-1].status is TrialStatus.COMPLETED
        seconds = self.parts.clock.monotonic() - started
        measured = _recovery(bool(seeds), healthy, seconds, plan.experiment.guards.rto.total_seconds())
        self._writer(plan).write(RecordKind.RECOVERY_MEASURED, measured)
        self._unlock(plan)
        return measured

    def judge(self, run_id: str) -> Verdict:
        """Decide from the records alone; a finding is no error.  The first verdict of a run stands.

        Nobody acts for the run after that, and what nobody has tried to put back is put back first.
        """
        from chaos_tasks.judging.facts import facts_of
        from chaos_tasks.judging.judge import compare_rungs, judge

        run = Run(self.parts.ledger, run_id)
        judged = run.verdict()
        if judged is not None:
            self._unlock(self._plan(run_id))  # an earlier try may have died before either
            self._dispose(run_id)
            return judged
        plan = self._plan(run_id)
        self._settle(plan)
        self._open_incidents(run_id)
        known, facts, now = evidence_of(self.parts.ledger, plan), facts_of(run.stored()), self.parts.clock.now()
        for one in compare_rungs(plan, known.trials, known.observations, facts, pairs=known.pairs):
            text = f"{one.rung}: {one.rung_outcome.value}, the whole workload: {one.whole_outcome.value}"
            self._writer(plan).note(RecordKind.RUNG_COMPARED, text, key=one.rung, facts=one.facts())
        verdict = judge(plan, known.trials, known.observations, run.handles(), facts, now, pairs=known.pairs)
        self._writer(plan).write(RecordKind.EVALUATE_VERDICT, Judged(verdict=verdict), outcome=verdict.outcome)
        self._unlock(plan)
        self._dispose(run_id)
        if verdict.needs_action:
            self._tell(lambda: of_verdict(self.parts.ledger, verdict, plan, at=self.parts.clock.now()))
        return verdict

    def _settle(self, plan: Plan) -> None:
        """For tasks that were lost or marked: a trial may still run, and something be in that nobody else reverts."""
        self._take(plan, "judge")
        if any(state.phase in UNTRIED for state in self.parts.ledger.handles(run_id=plan.run_id)):
            with suppress(SquallError):  # the verdict says what is still in
                self.revert(plan.run_id)

    def _dispose(self, run_id: str) -> None:
        """No copy of the data outlives the verdict; what cannot be deleted now is tried again by the sweep."""
        if self.parts.disposal is None:
            return
        try:
            self.parts.disposal.clones(run_id, by="verdict")
        except (SquallError, OSError) as error:
            log.warning("the clone of run %s is not deleted: %s", run_id, own_words(error))

    def end(self, run_id: str, why: str) -> Verdict:
        """Judge a run that a person has ended and that nobody goes on with; what it lacks makes it no better."""
        plan = self._plan(run_id)
        if not self._judged(run_id):
            self._note_stop(plan, why, {"by": "person"})
        return self.judge(run_id)

    def publish(self, run_id: str) -> str:
        """Publish a judged run to where people look; the outcome stands whether or not this works."""
        plan = self._plan(run_id)
        url = self.parts.publisher.publish(run_id)
        tries = len(Run(self.parts.ledger, run_id).stored(RecordKind.RUN_PUBLISHED))
        self._writer(plan).note(RecordKind.RUN_PUBLISHED, url, key=str(tries))
        return url

    def verdict(self, run_id: str) -> Verdict:
        """The recorded verdict; raises LedgerError when it is missing and RevertError when a handle is open."""
        run = Run(self.parts.ledger, run_id)
        _refuse_open(run)
        verdict = run.verdict()
        if verdict is None:
            raise LedgerError(f"run {run_id} has no verdict", remedy="look at the run's first failed task")
        return verdict

    def run(self, request: RunRequest, *, stop: Callable[[], bool] = never) -> Verdict:
        """The whole order in one process.  Whatever happens after arming, everything is reverted and judged."""
        plan = self.arm(request, queued=False)
        armed = self.parts.ledger.handles(run_id=plan.run_id)
        self._part(plan, lambda: self._under_fault(plan, stop))
        try:
            self.revert(plan.run_id)
        except (RevertError, Fenced):  # recorded, or a sweeper is at it for too long
            return self.judge(plan.run_id)  # the verdict says unreverted and names the command
        except acts.NO_LEDGER as error:
            raise self._without_ledger.undo(plan, armed, error) from error
        self._part(plan, lambda: self.recovery(plan.run_id))
        return self.judge(plan.run_id)

    def _under_fault(self, plan: Plan, stop: Callable[[], bool]) -> None:
        self.baseline(plan.run_id)
        self.inject(plan.run_id)
        self.exercise(plan.run_id, stop=stop)

    def _part(self, plan: Plan, act: Callable[[], object]) -> None:
        """Do a part of the run; whatever ends it goes into the log, and the run goes on to its revert and verdict."""
        try:
            act()
        except (SquallError, KeyboardInterrupt) as error:
            self._stopped(plan, error)
        except OSError as error:  # a full disk, say: no bug
            self._stopped(plan, of_system(error))
        except Exception as error:
            log.exception("run %s was ended by an error of Squall's own", plan.run_id)
            self._stopped(plan, error)

    def _stopped(self, plan: Plan, error: BaseException) -> None:
        with suppress(*acts.NO_LEDGER):  # the faults must go out, written down or not
            self._record_stop(plan, error)

    def _record_stop(self, plan: Plan, error: BaseException) -> None:
        person, text = isinstance(error, KeyboardInterrupt), own_words(error)
        self._note_stop(plan, text, {"by": "person" if person else "engine", "error": type(error).__name__})

    def _note_stop(self, plan: Plan, text: str, facts: dict[str, str]) -> None:
        known = Run(self.parts.ledger, plan.run_id).payloads(RecordKind.STOP_TRIGGERED)
        if any(isinstance(note, Note) and note.text == text for note in known):
            return  # whoever saw it first has said so
        key = str(len(known))
        self._writer(plan).note(RecordKind.STOP_TRIGGERED, text, key=key, facts=dict(facts))

    # --- shared -----------------------------------------------------------------------------------------------

    def _live(self, run_id: str, step: str) -> Plan:
        """The plan of a run that still holds its lease.

        Raises Fenced once it was swept or reverted, GuardTripped once judged, or where it is not armed.
        """
        plan = self._plan(run_id)
        self._refuse_late(run_id, step)
        if self._judged(run_id):
            raise GuardTripped(f"run {run_id} has its verdict already", remedy="trigger a new run")
        if not self._is_armed(run_id):  # somebody may have marked its task as done while it stood in line
            raise GuardTripped(
                f"run {run_id} is not armed: it holds no locks on its target, or its guards were not asked under them",
                remedy="trigger a new run; marking the task `arm` as a success arms nothing",
            )
        self._take(plan, step)
        self._renew(plan)
        return plan

    def _refuse_late(self, run_id: str, step: str) -> None:
        """Raise Fenced where the run has been reverted by others, and this process only comes to its step now.

        It was taken for dead; a run that is to go through its steps anew arms anew.
        """
        ledger = self.parts.ledger
        last = None if ledger.acting(run_id) else ledger.last_actor(run_id)
        if last is not None and last.step in AT_ITS_END:
            raise Fenced(
                f"{step} of run {run_id} comes after its {last.step} has begun", remedy="leave it; trigger a new run"
            )

    def _take(self, plan: Plan, step: str) -> None:
        """From here on no other process acts for the run; one that was at the same step is on record, and ends first.

        Elsewhere it cannot be ended: its supervisor hears of it when it next renews, or gives up after its lease.
        """
        taken = self.parts.ledger.enter(self._actor(plan.run_id, step))
        before = taken.before
        if before is None:
            return
        text = f"{step} is done by another process: until now by pid {before.pid} on {before.host or 'another host'}"
        facts: dict[str, JsonValue] = {"incarnation": taken.incarnation, "before": before.model_dump(mode="json")}
        self._writer(plan).note(RecordKind.RUN_TAKEN_OVER, text, key=str(taken.incarnation), facts=facts)
        if step not in RUNS_TRIALS:
            return
        self.parts.workspaces.end_workloads(plan)
        if not identity(before).is_here():
            self._wait_a_lease(plan)

    def _wait_a_lease(self, plan: Plan) -> None:
        """The earlier process cannot renew any more; this one does, or a sweep would take the run from both."""
        for _ in range(SLICES):
            self.parts.clock.sleep(_lease_s(plan) / SLICES)
            self._renew(plan)

    def _actor(self, run_id: str, step: str) -> Actor:
        return actor(run_id, step, try_number=self.parts.recorder.try_number)

    def _renew(self, plan: Plan) -> None:
        self.parts.ledger.renew(plan.run_id, lease_s=_lease_s(plan))

    def _plan(self, run_id: str) -> Plan:
        return Run(self.parts.ledger, run_id).plan()

    def _judged(self, run_id: str) -> bool:
        return Run(self.parts.ledger, run_id).verdict() is not None

    def _is_armed(self, run_id: str) -> bool:
        told = Run(self.parts.ledger, run_id).stored(*ARMED_SAYS)
        return bool(told) and told[-1].record.kind is RecordKind.IDENTITIES_PROVED

    def _state(self, plan: Plan, step: Step) -> HandleState:
        state = self.parts.ledger.handle(handle_id(plan, step))
        if state is None:
            raise WorkloadError(f"step {step.name} of {plan.run_id} was never armed", remedy="run its arm step first")
        if state.phase in (Phase.REVERTING, Phase.UNREVERTED, *CLOSED_PHASES):
            raise Fenced(f"{state.handle.id} is {state.phase.value} already", remedy="trigger a new run")
        return state

    def _unlock(self, plan: Plan) -> None:
        """Give the locks back unless something is still in: that must block new experiments."""
        run = Run(self.parts.ledger, plan.run_id)
        if any(state.phase in OPEN_PHASES for state in run.handles()):
            return
        if not run.stored(RecordKind.LOCKS_RELEASED):
            self._writer(plan).note(RecordKind.LOCKS_RELEASED, "all locks given back")
        self.parts.ledger.release(plan.run_id)

    def _guard_again(self, plan: Plan, *, injecting: bool = False) -> None:
        """What was allowed and possible when the run was planned still is; raises GuardTripped."""
        rules = self._rules(plan.experiment.target)
        guards.check_again(plan, rules)
        guards.check_world(plan, rules, self.parts.ledger, injecting=injecting)

    def _rules(self, target: str) -> Rules:
        on_airflow = bool(self.parts.recorder.dag_id)
        return guards.rules_for(self.parts.settings, target, on_airflow=on_airflow, lever=self._lever)

    @property
    def approvals(self) -> ApprovalDesk:
        """Who has to agree, and whether somebody has."""
        parts = self.parts
        return ApprovalDesk(parts.ledger, parts.clock, parts.recorder, parts.settings.approvals)

    @property
    def _lever(self) -> Lever:
        parts = self.parts
        return parts.lever or Lever(parts.settings.home, parts.ledger, parts.clock, parts.recorder)

    @property
    def _without_ledger(self) -> WithoutLedger:
        parts = self.parts
        return WithoutLedger(
            parts.ledger, parts.workspaces, parts.recorder, lambda plan, name: self._act_parts(plan, _step(plan, name))
        )

    def _act_parts(self, plan: Plan, step: Step) -> ActParts:
        return ActParts(
            ledger=self.parts.ledger,
            fault=carried(registry.fault(step.fault), self.parts.workspaces.carrier),
            context=self._context(plan),
            recorder=self.parts.recorder,
            experiment=plan.experiment.name,
            environment=plan.environment,
            plan_sha256=plan.content_sha256,
            begun=self.parts.begun,
        )

    def _context(self, plan: Plan) -> FaultContext:
        scratch = Path(plan.workspace) / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        return FaultContext(clock=self.parts.clock, clients=self.parts.clients, scratch=scratch, lease_s=_lease_s(plan))

    def _writer(self, plan: Plan) -> RunWriter:
        return RunWriter.of(plan, self.parts.ledger, self.parts.clock, self.parts.recorder)


def environments_of(settings: Settings) -> dict[str, str]:
    """Environment by target, as the inventory has them."""
    return {name: entry.environment for name, entry in settings.targets.items()}


def handle_id(plan: Plan, step: Step) -> str:
    """Id of a step's handle; firings during the workload add their number."""
    return f"{plan.run_id}/{step.name}"


def _open(run: Run) -> list[HandleState]:
    """What is not put back, latest first."""
    return [state for state in reversed(run.handles()) if state.phase not in CLOSED_PHASES]


def _before_steps(plan: Plan) -> list[Step]:
    return [step for step in plan.experiment.method if not step.fires_during]


def _step(plan: Plan, name: str) -> Step:
    return next(step for step in plan.experiment.method if step.name == name)


def _step_of(plan: Plan, state: HandleState) -> Step:
    """The step that a handle is of; raises RevertError for one whose row is damaged."""
    for step in plan.experiment.method:
        if step.name == state.handle.step:
            return step
    raise RevertError(
        f"{state.handle.id} cannot be read: it names no step of its run",
        handle_id=state.handle.id,
        remedy="`squall audit verify` says what is damaged; look at the place by hand",
    )


def _lease_s(plan: Plan) -> float:
    return plan.experiment.guards.lease.total_seconds()


def _refuse_open(run: Run) -> None:
    for state in run.handles():
        if state.phase in OPEN_PHASES:
            handle = state.handle
            raise RevertError(
                f"{handle.id} is still {state.phase.value}", handle_id=handle.id, remedy=f"squall revert {handle.id}"
            )


def _recovery(asked: bool, healthy: bool, seconds: float, rto_s: float) -> Recovery:
    if not asked:
        return Recovery(healthy=True, detail="the undo was proved; no recovery trial was asked for")
    if not healthy:
        return Recovery(healthy=False, detail="the last recovery trial did not complete")
    late = seconds > rto_s
    detail = f"a trial completed {seconds:.1f} s after the revert" + (
        f", later than the RTO of {rto_s:.0f} s" if late else ""
    )
    return Recovery(healthy=not late, seconds=seconds, detail=detail)
