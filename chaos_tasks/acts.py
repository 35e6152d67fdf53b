"""Arm, inject and revert one handle: intent recorded before the act, receipt after it, epoch checked on both sides.

The engine, the supervisor, the sweep and `squall revert` all act through these functions and no others.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from chaos_tasks import registry
from chaos_tasks.errors import (
    Fenced,
    GuardTripped,
    IdempotencyConflict,
    InjectError,
    LedgerError,
    RevertError,
    SetupError,
    SquallError,
)
from chaos_tasks.faults.base import Fault, FaultContext, FaultParams, touched
from chaos_tasks.leasing import kept
from chaos_tasks.model.handle import (
    HARMFUL_PHASES,
    HELD,
    OPEN_PHASES,
    Finding,
    Fingerprint,
    Handle,
    HandleState,
    Phase,
    Receipt,
    Reversibility,
)
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Act, Armed, Record, RecordKind
from chaos_tasks.ports import Ledger, LedgerReader

INSIDERS = frozenset({"supervisor", "revert task"})
"""Reverters that hold the handle's epoch already; everyone else takes it over and so fences them."""

CLEAN = frozenset({Finding.REVERTED, Finding.ARMED})

FRESH_S = 1.0
"""An intent is believed for so long without asking the ledger again before the act."""

LATE_S = 30.0
"""A ledger that goes away is waited for: an undo without it may come so long after its lease, and no later."""

AGAIN_S = 60.0
LONGEST_AGAIN_S = 3600.0
"""An undo that failed is left alone for its lease, then for twice this, and so on, and for no longer than that."""

NO_LEDGER = (LedgerError, SetupError)
"""What a ledger raises that cannot be reached; a server that is gone is a part of the environment that is missing."""


@dataclass(frozen=True)
class ActParts:
    """What acting on handles of one fault needs; the last three are copied into each record."""

    ledger: Ledger
    fault: Fault[Any]
    context: FaultContext
    recorder: Recorder
    experiment: str = ""
    environment: str = ""
    plan_sha256: str = ""
    begun: set[str] = field(default_factory=set)
    """Handles whose injection this process has announced: what it may undo, should it lose the ledger."""

    def params(self, handle: Handle) -> FaultParams:
        """The typed parameters of a handle."""
        return self.fault.params_type.model_validate(dict(handle.params))


def arm(parts: ActParts, handle: Handle, *, lease_s: float) -> HandleState:
    """Register the handle with the fingerprint of its place; a second time returns what is registered.

    Raises IdempotencyConflict when the id is taken by another handle.
    """
    known = parts.ledger.handle(handle.id)
    if known is not None:
        if _without_epoch(known.handle) != _without_epoch(handle):
            raise IdempotencyConflict(f"{handle.id} is armed already, for something else", remedy="arm under a new id")
        return known
    before = parts.fault.fingerprint(handle.place, parts.context)
    record = _stamped(parts, handle, RecordKind.FAULT_ARMED, Armed(handle=handle, before=before), attempt=1)
    return parts.ledger.arm(handle, record, lease_s=lease_s)


def inject(parts: ActParts, state: HandleState, *, by: str = "") -> Receipt:
    """Hurt the place and prove it; ``effective`` is False where inspection does not find the fault there.

    Injected already: returns the recorded receipt.  Raises InjectError (the handle stays open: revert it), Fenced
    (somebody else holds the handle; what this call did is undone again) and GuardTripped (the place is not as it was
    armed; nothing was done).
    """
    if state.phase is Phase.INJECTED:
        return _recorded_receipt(parts, state.handle, RecordKind.INJECT_APPLIED)
    if state.phase is Phase.ARMED:
        # A look at much data takes long.
        with kept(lambda: _renew_run(parts, state.handle.run_id), lease_s=parts.context.lease_s):
            _refuse_changed(parts, state.handle)
    one = _begin(parts, state.handle, by, RecordKind.INJECT_INTENT)
    # INJECTING: an earlier try died half-way, and inject twice within one arming is once
    _move(one, Phase.INJECTING, {Phase.ARMED, Phase.INJECTING}, RecordKind.INJECT_INTENT)
    parts.begun.add(one.handle.id)
    with kept(lambda: _renew(one), lease_s=parts.context.lease_s):
        receipt = _do_inject(one)
    try:
        _check_epoch(one, Phase.INJECTING)
        _move(one, Phase.INJECTED, {Phase.INJECTING}, RecordKind.INJECT_APPLIED, receipt=receipt)
    except (Fenced, *NO_LEDGER) as error:
        if _goes_on_under_a_successor(one):
            error.add_note(f"left in: the process that took run {one.handle.run_id} over holds it, and puts it back")
        else:
            _undo_own_act(one, error)
        raise
    return receipt


def revert(parts: ActParts, state: HandleState, *, by: str, taken: bool = False) -> Receipt:
    """Bring the prior state back and prove it; from any phase, any number of times.

    ``by`` is "revert task" or "supervisor" for a holder of the epoch in which it was armed; anyone else takes the
    handle over first, unless it has ``taken`` it already.
    Raises RevertError when the prior state is not proved to be back, and Fenced when somebody else reverts it.
    """
    if state.phase is Phase.REVERTED:
        return _recorded_receipt(parts, state.handle, RecordKind.REVERT_VERIFIED)
    if state.phase is Phase.ABANDONED:
        raise LedgerError(
            f"{state.handle.id} was abandoned: a person answers for its place", remedy="look at the place by hand"
        )
    if not taken and (by not in INSIDERS or _is_left_behind(parts, state)):
        state = parts.ledger.take_over(state.handle.id, lease_s=parts.context.lease_s)
        if state.phase is Phase.REVERTED:
            return _recorded_receipt(parts, state.handle, RecordKind.REVERT_VERIFIED)
    one = _begin(parts, state.handle, by, RecordKind.REVERT_INTENT)
    intent = _record(one, RecordKind.REVERT_INTENT)
    _write(one, Phase.REVERTING, OPEN_PHASES, intent)
    with kept(lambda: _renew_revert(one, intent), lease_s=parts.context.lease_s):
        # Asked only now: from REVERTING on nobody can announce an injection any more.
        receipt, after = _do_revert(one) if _may_be_in(one, state.phase) else _leave_alone(one)
    _move(one, Phase.REVERTED, {Phase.REVERTING}, RecordKind.REVERT_VERIFIED, receipt=receipt, after=after)
    return receipt


def undo_unrecorded(parts: ActParts, handle: Handle) -> Receipt:
    """Revert without a record: only for a holder that has lost the ledger; the sweep will revert again and record."""
    return parts.fault.revert(handle, parts.params(handle), parts.context)


def refuse_overdue(ledger: Ledger, run_id: str) -> None:
    """Raise Fenced where the lease of a run that has lost its ledger has been over for more than a moment.

    It stood still: the ledger may have answered others meanwhile, and what is in on its places may be another run's.
    """
    over_s = ledger.own_leases.over_for_s(run_id)
    if over_s > LATE_S:
        raise Fenced(
            f"the lease of {run_id} has been over for {over_s:.0f} s: a sweep may have undone what was in, and another "
            "run have taken its place",
            remedy="leave it to the sweep, once the ledger is back",
        )


def is_taken_over(ledger: LedgerReader, handle: Handle) -> bool:
    """Whether somebody has opened another epoch since it was armed: a sweep, or a person."""
    payload = _latest_of(ledger, handle, RecordKind.FAULT_ARMED)
    return isinstance(payload, Armed) and handle.epoch != payload.handle.epoch


def hidden(failed: Iterable[HandleState], out: Iterable[HandleState]) -> list[HandleState]:
    """Those whose undo another fault on what they touch had hidden, which is out by now: beside it none is proved."""
    freed = frozenset[str]().union(*(touches(state) for state in out))
    return [state for state in failed if freed & touches(state)]


def touches(state: HandleState) -> frozenset[str]:
    """Names of the locks on what its fault writes to; none where that cannot be told."""
    with suppress(Exception):  # a damaged row names no fault that is known, and a stranger's may not load
        return touched(registry.fault(state.handle.kind), state.handle.place)
    return frozenset()


def before_fingerprint(parts: ActParts, handle: Handle) -> Fingerprint | None:
    """State of the place when the handle was armed, or None when its record is gone."""
    payload = _latest_payload(parts, handle, RecordKind.FAULT_ARMED)
    return payload.before if isinstance(payload, Armed) else None


@dataclass(frozen=True)
class _Act:
    """One physical act: on which handle, by whom, and which try within the epoch."""

    parts: ActParts
    handle: Handle
    by: str
    attempt: int
    began: float  # monotonic seconds, from before the intent: the lease lasts at least until then plus its length


def _begin(parts: ActParts, handle: Handle, by: str, intent: RecordKind) -> _Act:
    """The try number is in the log: one more than the intents that are there."""
    earlier = parts.ledger.records(run_id=handle.run_id, kinds=(intent,))
    attempt = 1 + sum(stored.record.handle_id == handle.id for stored in earlier)
    return _Act(parts, handle, by, attempt, parts.context.clock.monotonic())


def _refuse_changed(parts: ActParts, handle: Handle) -> None:
    """Raise GuardTripped where somebody else has changed the place since it was armed: the undo would undo that too.

    Hours may have passed: control trials, an approval.  What heals by itself promises no prior state, and what another
    step of the run did there is no stranger's work.
    """
    if parts.fault.reversibility is not Reversibility.RESTORES or _shares_its_place(parts, handle):
        return
    before = before_fingerprint(parts, handle)
    try:
        now = parts.fault.fingerprint(handle.place, parts.context)
    except Exception as error:
        raise GuardTripped(
            f"{handle.place.key} cannot be looked at any more: {_say(error)}; nothing was done",
            remedy="see what has become of it, then trigger a new run",
        ) from error
    if before is None or before.digest != now.digest:
        raise GuardTripped(
            f"{handle.place.key} was changed since it was armed for {handle.id}: {now.covers}; nothing was done",
            remedy="see who works on it, then trigger a new run, which starts from what is there now",
        )


def _shares_its_place(parts: ActParts, handle: Handle) -> bool:
    """Whether another fault of the run is in on the same place."""
    own = touched(parts.fault, handle.place)
    others = parts.ledger.handles(run_id=handle.run_id, phases=HARMFUL_PHASES)
    return any(own & touches(one) for one in others)


def _may_be_in(one: _Act, phase: Phase) -> bool:
    """Whether an injection was announced, by a record or by the phase: a damaged log does not prove that none was."""
    if phase in HELD:
        return True
    kinds = (RecordKind.INJECT_INTENT, RecordKind.INJECT_APPLIED, RecordKind.INJECT_FAILED)
    return any(_latest_payload(one.parts, one.handle, kind) is not None for kind in kinds)


def _leave_alone(one: _Act) -> tuple[Receipt, Fingerprint | None]:
    """Nothing was put in: what is not as it was armed is somebody else's work, and out of sight it harms nobody."""
    parts, after = one.parts, None
    with suppress(Exception):
        after = parts.fault.fingerprint(one.handle.place, parts.context)
    before, said = before_fingerprint(parts, one.handle), "nothing was put in, so nothing was taken out"
    restores = parts.fault.reversibility is Reversibility.RESTORES
    if restores and before is not None and after is not None and before.digest != after.digest:
        said += f"; somebody else has changed {after.covers}, and that stays"
    return Receipt(at=parts.context.clock.now(), effective=True, summary=said), after


def _renew(one: _Act) -> None:
    _renew_run(one.parts, one.handle.run_id)


def _renew_run(parts: ActParts, run_id: str) -> None:
    """Of the whole run: what else it holds has to wait for this act."""
    parts.ledger.renew(run_id, lease_s=parts.context.lease_s)


def _renew_revert(one: _Act, intent: Record) -> None:
    """Of the handle, by the intent once more: whoever took it over has fenced its run, which cannot renew."""
    if one.by in INSIDERS:
        with suppress(Fenced):
            _renew(one)
    _write(one, Phase.REVERTING, {Phase.REVERTING}, intent)


def _do_inject(one: _Act) -> Receipt:
    fault, handle, context = one.parts.fault, one.handle, one.parts.context
    params = one.parts.params(handle)
    _refuse_late(one, Phase.INJECTING)
    try:
        receipt = fault.inject(handle, params, context)
        finding = fault.inspect(handle, params, context)
    except Exception as error:
        _leave_if_fenced(one, error)
        one.parts.ledger.append(_record(one, RecordKind.INJECT_FAILED, error=_say(error), remedy=_remedy(handle)))
        raise InjectError(
            f"{handle.kind} stopped part-way on {handle.id}: {_say(error)}",
            handle_id=handle.id,
            remedy=f"it is still revertible: `{_remedy(handle)}`",
        ) from error
    effective = receipt.effective and finding is Finding.INJECTED
    evidence = {**receipt.evidence, "finding": finding.value}
    return receipt.model_copy(update={"effective": effective, "evidence": evidence})


def _do_revert(one: _Act) -> tuple[Receipt, Fingerprint]:
    parts, handle = one.parts, one.handle
    _refuse_late(one, Phase.REVERTING)
    try:
        receipt = parts.fault.revert(handle, parts.params(handle), parts.context)
        after = parts.fault.fingerprint(handle.place, parts.context)
        doubt = _doubt(parts, handle, receipt, after)
    except Exception as error:
        _move_to_unreverted(one, _say(error))
        raise _unreverted(handle, _say(error)) from error
    if doubt:
        _move_to_unreverted(one, doubt, receipt, after)
        raise _unreverted(handle, doubt)
    return receipt, after


def _doubt(parts: ActParts, handle: Handle, receipt: Receipt, after: Fingerprint) -> str:
    """Why the undo is not proved; empty when it is."""
    finding = parts.fault.inspect(handle, parts.params(handle), parts.context)
    if parts.fault.reversibility is not Reversibility.RESTORES:
        return _doubt_of_healing(receipt, finding)
    before = before_fingerprint(parts, handle)
    if before is None:
        return "the fingerprint from before the fault is not in the ledger"
    if finding not in CLEAN:
        return f"inspection finds {finding.value} after the revert"
    if before.digest != after.digest:
        return f"{after.covers} is not what it was: {before.digest[:12]} before, {after.digest[:12]} after"
    return ""


def _doubt_of_healing(receipt: Receipt, finding: Finding) -> str:
    """What heals by itself may still look injected (a killed process stays gone): the receipt says nothing acts on.

    Whether the target came back is measured by its next trials, not by the undo (docs/adr/0001).
    """
    if finding in CLEAN or receipt.effective:
        return ""
    return f"inspection finds {finding.value} after the revert: {receipt.summary}"


def _move_to_unreverted(
    one: _Act, error: str, receipt: Receipt | None = None, after: Fingerprint | None = None
) -> None:
    remedy, again_s = _remedy(one.handle), _again_s(one)
    record = _record(one, RecordKind.REVERT_FAILED, receipt=receipt, after=after, error=error, remedy=remedy)
    _write(one, Phase.UNREVERTED, {Phase.REVERTING}, record, lease_s=again_s)


def _again_s(one: _Act) -> float:
    """Seconds until a sweep tries again, as the handle's lease: on the ledger's clock, for whoever sweeps by then.

    By the failures on record, so that a restart does not begin anew; a person's try asks for no lease.
    """
    failed = one.parts.ledger.records(run_id=one.handle.run_id, kinds=(RecordKind.REVERT_FAILED,))
    before = sum(stored.record.handle_id == one.handle.id for stored in failed)
    if not before:
        return one.parts.context.lease_s
    return float(min(LONGEST_AGAIN_S, AGAIN_S * 2 ** min(before, 10)))


def _unreverted(handle: Handle, why: str) -> RevertError:
    return RevertError(
        f"{handle.kind} on {handle.place.key} is not reverted: {why}", handle_id=handle.id, remedy=_remedy(handle)
    )


def _undo_own_act(one: _Act, cause: SquallError) -> None:
    """A fenced holder must not leave its fault behind: whoever fenced it may have reverted before the act."""
    undo_unrecorded(one.parts, one.handle)
    try:
        record = _record(one, RecordKind.INJECT_FAILED, error=f"undone at once, since {cause.message}")
        one.parts.ledger.append(record)
    except NO_LEDGER as error:
        cause.add_note(f"not recorded either: {error.message}")


def _leave_if_fenced(one: _Act, error: Exception) -> None:
    """An act that failed part-way, on a handle that is no longer this process's: nobody else will undo the part."""
    try:
        _check_epoch(one, Phase.INJECTING)
        one.parts.ledger.acting(one.handle.run_id)
    except (Fenced, *NO_LEDGER) as fenced:
        if not _goes_on_under_a_successor(one):
            _undo_own_act(one, fenced)
        fenced.add_note(f"and it had failed part-way: {_say(error)}")
        raise fenced from error


def _goes_on_under_a_successor(one: _Act) -> bool:
    """Whether another process of the same run holds the fault in the same arming, its revert yet to come.

    Then undoing this late act would take out what the successor measures; and since the act is over, the revert that
    is yet to begin undoes it too.
    """
    try:
        current = one.parts.ledger.handle(one.handle.id)
        one.parts.ledger.acting(one.handle.run_id)
    except Fenced:
        same = current is not None and current.handle.epoch == one.handle.epoch
        return same and current is not None and current.phase in (Phase.INJECTING, Phase.INJECTED)
    except NO_LEDGER:
        return False
    return False


def _refuse_late(one: _Act, phase: Phase) -> None:
    """Raise Fenced, nothing done, when the process stood still between its intent and its act for a whole lease.

    By the host's own clock, which counts the time asleep: a sweep may have put the place back, and another run have
    taken it, without this process having been told.  After a shorter stand the ledger is asked once more.
    """
    late_s = one.parts.context.clock.monotonic() - one.began
    if late_s > one.parts.context.lease_s:
        raise Fenced(
            f"{one.handle.id}: {late_s:.0f} s passed between the intent and the act, more than the lease of "
            f"{one.parts.context.lease_s:g} s; nothing was done",
            remedy=f"leave it to the sweep, or `{_remedy(one.handle)}`",
        )
    if late_s > FRESH_S:
        _check_epoch(one, phase)
        one.parts.ledger.acting(one.handle.run_id)


def _is_left_behind(parts: ActParts, state: HandleState) -> bool:
    """Whether somebody took the handle over and did not bring it back: then an insider takes it over in its turn.

    Raises Fenced while that one is at it: an insider must not act under an epoch that another process opened.
    """
    handle = state.handle
    if not is_taken_over(parts.ledger, handle):
        return False
    if state.phase is Phase.UNREVERTED or state.lease_until <= parts.ledger.now():
        return True
    raise Fenced(
        f"{handle.id} was taken over, and is being put back by whoever did so",
        remedy=f"wait for the sweep, or `{_remedy(handle)}`",
    )


def _check_epoch(one: _Act, phase: Phase) -> None:
    current = one.parts.ledger.handle(one.handle.id)
    if current is None or current.handle.epoch != one.handle.epoch or current.phase is not phase:
        raise Fenced(
            f"{one.handle.id} was taken over while {one.handle.kind} acted", remedy="leave it to the new holder"
        )


def _move(
    one: _Act,
    to: Phase,
    expect: Iterable[Phase],
    kind: RecordKind,
    *,
    receipt: Receipt | None = None,
    after: Fingerprint | None = None,
    error: str = "",
    remedy: str = "",
) -> None:
    _write(one, to, expect, _record(one, kind, receipt=receipt, after=after, error=error, remedy=remedy))


def _write(one: _Act, to: Phase, expect: Iterable[Phase], record: Record, *, lease_s: float | None = None) -> None:
    """Move the handle with its record; the same once more changes nothing but the lease."""
    handle, lease_s = one.handle, one.parts.context.lease_s if lease_s is None else lease_s
    one.parts.ledger.transition(handle.id, to=to, expect=expect, epoch=handle.epoch, record=record, lease_s=lease_s)


def _record(
    one: _Act,
    kind: RecordKind,
    *,
    receipt: Receipt | None = None,
    after: Fingerprint | None = None,
    error: str = "",
    remedy: str = "",
) -> Record:
    payload = Act(
        handle_id=one.handle.id,
        epoch=one.handle.epoch,
        by=one.by,
        receipt=receipt,
        after=after,
        error=error,
        remedy=remedy,
    )
    return _stamped(one.parts, one.handle, kind, payload, attempt=one.attempt)


def _stamped(parts: ActParts, handle: Handle, kind: RecordKind, payload: Armed | Act, *, attempt: int) -> Record:
    return Record(
        kind=kind,
        idem_key=f"{handle.run_id}/{kind.value}/{handle.id}/{handle.epoch}.{attempt}",
        occurred_at=parts.context.clock.now(),
        run_id=handle.run_id,
        experiment=parts.experiment,
        fault_kind=handle.kind,
        handle_id=handle.id,
        recorder=parts.recorder,
        plan_sha256=parts.plan_sha256,
        environment=parts.environment,
        outcome=None,
        payload=payload,
    )


def _recorded_receipt(parts: ActParts, handle: Handle, kind: RecordKind) -> Receipt:
    payload = _latest_payload(parts, handle, kind)
    if isinstance(payload, Act) and payload.receipt is not None:
        return payload.receipt
    raise LedgerError(f"{handle.id} has no {kind.value} receipt in the log", remedy="run `squall audit verify`")


def _latest_payload(parts: ActParts, handle: Handle, kind: RecordKind) -> object:
    return _latest_of(parts.ledger, handle, kind)


def _latest_of(ledger: LedgerReader, handle: Handle, kind: RecordKind) -> object:
    found = [
        stored.record.payload
        for stored in ledger.records(run_id=handle.run_id, kinds=(kind,))
        if stored.record.handle_id == handle.id
    ]
    return found[-1] if found else None


def _without_epoch(handle: Handle) -> Handle:
    return handle.model_copy(update={"epoch": 1})


def _say(error: Exception) -> str:
    return error.message if isinstance(error, SquallError) else f"{type(error).__name__}: {error}"


def _remedy(handle: Handle) -> str:
    return f"squall revert {handle.id}"
