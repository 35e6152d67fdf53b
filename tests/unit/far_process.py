"""A process of another host that stands still, and the sweeper there, as the ledger has them."""

from __future__ import annotations

import hashlib

from chaos_tasks.model.handle import Fingerprint, Handle, HandleState, Phase
from chaos_tasks.model.place import ProcessPlace
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Act, Armed, Record, RecordKind
from chaos_tasks.targets.process import ProcessIdentity
from tests.unit.toy_project import ToyProject

NOBODY_STOPPED = hashlib.sha256(b"[]").hexdigest()


def far_pause(
    toy: ToyProject, host: str, *, run_id: str, lease_s: float, there: ProcessIdentity | None = None
) -> Handle:
    """It was paused by a supervisor there, for a step of the toy's run."""
    who = there or ProcessIdentity(host=host, boot_id="b", pid=7, start_time=1.0)
    place = ProcessPlace(trial_id="t", pgid=7, out=str(toy.home), checkpoints="", **who.model_dump())
    handle = Handle(
        id=f"{run_id}/pause",
        run_id=run_id,
        step="write",
        kind="process.pause",
        place=place,
        params={},
        prior={"processes": 1, "stopped": []},
        seed=1,
    )
    armed = Armed(handle=handle, before=Fingerprint(digest=NOBODY_STOPPED, covers="c"))
    toy.ledger.arm(handle, _record(toy, handle, RecordKind.FAULT_ARMED, armed), lease_s=lease_s)
    act = Act(handle_id=handle.id, epoch=1, by="supervisor")
    for before, to, kind in (
        (Phase.ARMED, Phase.INJECTING, RecordKind.INJECT_INTENT),
        (Phase.INJECTING, Phase.INJECTED, RecordKind.INJECT_APPLIED),
    ):
        record = _record(toy, handle, kind, act)
        toy.ledger.transition(handle.id, to=to, expect={before}, epoch=1, record=record, lease_s=lease_s)
    return handle


def swept_there(toy: ToyProject, handle: Handle) -> None:
    """What the sweeper there writes once it has let the process go on."""
    put_back(toy, toy.ledger.take_over(handle.id, lease_s=60))


def put_back(toy: ToyProject, taken: HandleState) -> None:
    """What a sweep writes of what it has taken over."""
    handle = taken.handle
    act = Act(handle_id=handle.id, epoch=taken.handle.epoch, by="sweep")
    for before, to, kind in (
        (taken.phase, Phase.REVERTING, RecordKind.REVERT_INTENT),
        (Phase.REVERTING, Phase.REVERTED, RecordKind.REVERT_VERIFIED),
    ):
        record = _record(toy, handle, kind, act)
        toy.ledger.transition(handle.id, to=to, expect={before}, epoch=act.epoch, record=record, lease_s=60)


def _record(toy: ToyProject, handle: Handle, kind: RecordKind, payload: Armed | Act) -> Record:
    key = f"{handle.run_id}/{kind.value}/{handle.id}"
    told = {"idem_key": key, "occurred_at": toy.clock.now(), "run_id": handle.run_id, "handle_id": handle.id}
    return Record(kind=kind, recorder=Recorder(), payload=payload, **told)
