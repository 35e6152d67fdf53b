"""Fire the `during` triggers of one trial: claimed before the act, held, reverted; never twice, whoever retries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from chaos_tasks import acts, registry
from chaos_tasks.acts import ActParts
from chaos_tasks.errors import SquallError, WorkloadError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.model.handle import CLOSED_PHASES, HARMFUL_PHASES, OPEN_PHASES, Handle, Phase
from chaos_tasks.model.place import Place, ProcessPlace
from chaos_tasks.model.record import Act, Note, Record, RecordKind
from chaos_tasks.model.spec import FiringSpec, TrialSpec
from chaos_tasks.model.trial import Firing
from chaos_tasks.ports import Ledger
from chaos_tasks.workloads import dag_sight
from chaos_tasks.workloads.triggers import Sight, due

SUPERVISOR = "supervisor"


@dataclass
class _Active:
    """A fault that is in, and when it is to be reverted (monotonic seconds)."""

    parts: ActParts
    handle: Handle
    position: int
    until: float
    blocks_restart: bool


class FiringDesk:
    """All firings of one trial, those of an earlier supervisor included."""

    def __init__(
        self,
        spec: TrialSpec,
        ledger: Ledger,
        make_context: Callable[[], FaultContext],
        find_fault: Callable[[str], registry.AnyFault] = registry.fault,
    ) -> None:
        self.firings: list[Firing] = []
        self._spec = spec
        self._ledger = ledger
        self._make_context = make_context
        self._find_fault = find_fault
        self._context: FaultContext | None = None
        self._active: list[_Active] = []
        self._waiting = list(spec.firings)
        self._due: set[str] = set()  # steps whose trigger was seen: a line of output is seen once

    @property
    def active(self) -> tuple[str, ...]:
        """Ids of the handles that are in now."""
        return tuple(one.handle.id for one in self._active)

    def blocks_restart(self) -> bool:
        """Whether a hold lasts that the target's own runtime could not restart under."""
        return any(one.blocks_restart for one in self._active)

    def take_up(self) -> None:
        """Find what an earlier supervisor of this trial fired; what it left in is reverted at once."""
        if not self._waiting:
            return
        claimed = self._claimed()
        for firing in [one for one in self._waiting if (one.parent_handle_id, one.n) in claimed]:
            self._waiting.remove(firing)
            self._remember(firing)
        self.revert_due(now=float("-inf"))
        self._end_others()
        for firing in self._waiting:  # imports and connections now, not between the trigger and the act
            with suppress(Exception):  # said when it fires
                self._parts(firing)

    def tick(self, sight: Sight, workload: ProcessPlace, *, now: float) -> None:
        """Revert what has been in long enough, then fire what is due."""
        self.revert_due(now=now)
        self._due |= {
            one.step for one in self._waiting if one.step in self._due or due(one.trigger, sight, seed=one.seed)
        }
        for firing in [one for one in self._waiting if one.step in self._due]:
            place = self._place(firing, workload)
            if place is not None:
                self._waiting.remove(firing)
                self._fire(firing, place)

    def _place(self, firing: FiringSpec, workload: ProcessPlace) -> Place | None:
        """None: the task that it is to act on does not run yet, so the trigger waits for it."""
        if firing.task is None:
            return firing.place or workload
        try:
            return dag_sight.place_of(dag_sight.read(Path(self._spec.out)), firing.task)
        except WorkloadError as error:
            self._waiting.remove(firing)
            self._failed(firing, error.message)
            return None

    def revert_due(self, *, now: float) -> None:
        """Revert the holds that are over."""
        for one in [one for one in self._active if one.until <= now]:
            self._active.remove(one)
            self._revert(one)

    def revert_all(self) -> None:
        """The trial is over, so is every hold; last in, first out."""
        for one in reversed(self._active):
            self._revert(one)
        self._active.clear()

    # --- one firing ---------------------------------------------------------------------------------------------

    def _fire(self, firing: FiringSpec, place: Place) -> None:
        parts: ActParts | None = None
        try:
            parts = self._parts(firing)
            if not self._ledger.claim(firing.parent_handle_id, firing.n, self._claim_record(firing, parts)):
                self._remember(firing)
                return
            self._note(firing)
            state = acts.arm(parts, self._handle(firing, parts, place), lease_s=self._spec.lease_s)
            hold_s = firing.hold.total_seconds()
            active = self._activate(parts, state.handle, hold_s)
            receipt = acts.inject(parts, state, by=SUPERVISOR)
            active.until = max(active.until, parts.context.clock.monotonic() + hold_s)  # a hold begins once it is in
            self._update(-1, injected=receipt)
        except Exception as error:  # noqa: BLE001  a fault's own bug must not take the supervisor with it
            self._failed(firing, _say(error))

    def _failed(self, firing: FiringSpec, why: str) -> None:
        """Nothing that failed half-way stays in: revert it now."""
        if not self.firings or self.firings[-1].handle_id != _firing_id(firing):
            self._note(firing)
        self._update(-1, error=why)
        for one in [one for one in self._active if one.handle.id == _firing_id(firing)]:
            one.until = float("-inf")
        self.revert_due(now=float("-inf"))

    def _handle(self, firing: FiringSpec, parts: ActParts, place: Place) -> Handle:
        params = parts.fault.params_type.model_validate(dict(firing.params))
        if not isinstance(place, parts.fault.place_types):
            raise WorkloadError(
                f"{firing.kind} cannot act on a {place.type}", remedy=f"choose another target for {firing.step}"
            )
        return Handle(
            id=_firing_id(firing),
            run_id=self._spec.run_id,
            step=firing.step,
            kind=firing.kind,
            place=place,
            params=firing.params,
            prior=parts.fault.snapshot(place, params, parts.context),
            seed=firing.seed,
            epoch=1,
        )

    def _activate(self, parts: ActParts, handle: Handle, hold_s: float) -> _Active:
        """In, as far as anybody can know, from before the act on.

        A fault that only the *next* launch feels (a torn checkpoint) lasts through the restart, to the trial's end.
        """
        lasts = bool(getattr(parts.fault, "lasts_through_restart", False))
        until = float("inf") if lasts else parts.context.clock.monotonic() + hold_s
        self._active.append(_Active(parts, handle, len(self.firings) - 1, until, not lasts))
        return self._active[-1]

    def _revert(self, one: _Active) -> None:
        try:
            state = self._ledger.handle(one.handle.id)
            if state is not None:
                self._update(one.position, reverted=acts.revert(one.parts, state, by=SUPERVISOR))
        except acts.NO_LEDGER as error:
            self._update(one.position, error=f"{error.message}; {self._undo_unrecorded(one)}")
        except Exception as error:  # noqa: BLE001  the record says unreverted; the other holds must still be reverted
            self._update(one.position, error=_say(error))

    def _undo_unrecorded(self, one: _Active) -> str:
        """Without a ledger the sweep will record it later; the target does not have to wait for that."""
        if one.handle.id not in one.parts.begun:  # what is not as it was armed is others' work
            return "nothing was put in"
        try:
            acts.refuse_overdue(self._ledger, one.handle.run_id)
            return f"undone without a record: {acts.undo_unrecorded(one.parts, one.handle).summary}"
        except Exception as error:  # noqa: BLE001  a fault's own bug is said; the other holds must still be reverted
            return f"not undone: {_say(error)}"

    # --- what an earlier supervisor did -------------------------------------------------------------------------

    def _end_others(self) -> None:
        """Another trial's hold, left in by a supervisor that was killed: it shall not be in under this trial.

        One that cannot be put back now is left to the revert task and the sweep.
        """
        ours = {_firing_id(firing) for firing in self._spec.firings}
        for state in self._ledger.handles(run_id=self._spec.run_id, phases=OPEN_PHASES):
            for firing in self._spec.firings:
                if state.handle.id.startswith(f"{firing.parent_handle_id}/") and state.handle.id not in ours:
                    with suppress(Exception):
                        acts.revert(self._parts(firing), state, by=SUPERVISOR)

    def _claimed(self) -> set[tuple[str, object]]:
        found: set[tuple[str, object]] = set()
        for stored in self._ledger.records(run_id=self._spec.run_id, kinds=(RecordKind.TRIGGER_CLAIMED,)):
            payload = stored.record.payload
            if isinstance(payload, Note):
                found.add((stored.record.handle_id, payload.facts.get("n")))
        return found

    def _remember(self, firing: FiringSpec) -> None:
        """The firing as the ledger's records tell it; still open, it is taken over to be reverted."""
        records = [
            stored.record
            for stored in self._ledger.records(run_id=self._spec.run_id)
            if stored.record.handle_id == _firing_id(firing)
        ]
        self.firings.append(_from_records(firing, records, self._claimed_at(firing)))
        state = self._ledger.handle(_firing_id(firing))
        if state is not None and state.phase not in CLOSED_PHASES:
            active = self._activate(self._parts(firing), state.handle, 0.0)
            if state.phase in HARMFUL_PHASES:
                active.parts.begun.add(state.handle.id)
            goes_on = state.phase is Phase.INJECTED and not active.blocks_restart
            active.until = float("inf") if goes_on else float("-inf")

    def _claimed_at(self, firing: FiringSpec) -> Record | None:
        for stored in self._ledger.records(run_id=self._spec.run_id, kinds=(RecordKind.TRIGGER_CLAIMED,)):
            payload = stored.record.payload
            same = stored.record.handle_id == firing.parent_handle_id
            if same and isinstance(payload, Note) and payload.facts.get("n") == firing.n:
                return stored.record
        return None

    # --- small parts --------------------------------------------------------------------------------------------

    def _note(self, firing: FiringSpec) -> None:
        now = self._world().clock.now()
        self.firings.append(Firing(step=firing.step, handle_id=_firing_id(firing), fired_at=now))

    def _update(self, position: int, **changes: object) -> None:
        old = self.firings[position]
        if old.error and changes.get("error"):
            changes["error"] = f"{old.error}; {changes['error']}"
        self.firings[position] = old.model_copy(update=changes)

    def _world(self) -> FaultContext:
        self._context = self._context or self._make_context()
        return self._context

    def _parts(self, firing: FiringSpec) -> ActParts:
        return ActParts(
            ledger=self._ledger,
            fault=self._find_fault(firing.kind),
            context=self._world(),
            recorder=self._spec.recorder,
            experiment=self._spec.experiment,
            environment=firing.environment,
            plan_sha256=self._spec.plan_sha256,
        )

    def _claim_record(self, firing: FiringSpec, parts: ActParts) -> Record:
        facts: dict[str, JsonValue] = {"n": firing.n, "trial_id": self._spec.trial_id, "trigger": firing.trigger.at}
        return Record(
            kind=RecordKind.TRIGGER_CLAIMED,
            idem_key=f"{self._spec.run_id}/{RecordKind.TRIGGER_CLAIMED.value}/{_firing_id(firing)}",
            occurred_at=parts.context.clock.now(),
            run_id=self._spec.run_id,
            experiment=self._spec.experiment,
            fault_kind=firing.kind,
            handle_id=firing.parent_handle_id,
            recorder=self._spec.recorder,
            plan_sha256=self._spec.plan_sha256,
            environment=firing.environment,
            outcome=None,
            payload=Note(text=f"{firing.step} fires in {self._spec.trial_id}", facts=facts),
        )


def _firing_id(firing: FiringSpec) -> str:
    return f"{firing.parent_handle_id}/{firing.n}"


def _from_records(firing: FiringSpec, records: Iterable[Record], claim: Record | None) -> Firing:
    acts_by_kind = {record.kind: record for record in records}
    first = claim or next(iter(acts_by_kind.values()))
    errors = [act.error for kind in acts_by_kind if (act := _act(acts_by_kind, kind)) is not None and act.error]
    injected, reverted = (_act(acts_by_kind, kind) for kind in (RecordKind.INJECT_APPLIED, RecordKind.REVERT_VERIFIED))
    return Firing(
        step=firing.step,
        handle_id=_firing_id(firing),
        fired_at=first.occurred_at,
        injected=injected.receipt if injected else None,
        reverted=reverted.receipt if reverted else None,
        error="; ".join(errors) or ("" if injected else "claimed by a supervisor that died before its receipt"),
    )


def _act(found: dict[RecordKind, Record], kind: RecordKind) -> Act | None:
    payload = found[kind].payload if kind in found else None
    return payload if isinstance(payload, Act) else None


def _say(error: Exception) -> str:
    return error.message if isinstance(error, SquallError) else f"{type(error).__name__}: {error}"
