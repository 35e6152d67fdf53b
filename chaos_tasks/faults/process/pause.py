"""`process.pause`: the workload stands still without dying, as under a frozen node, a stuck disk or a debugger."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import ClassVar

from pydantic import JsonValue

from chaos_tasks.errors import InjectError
from chaos_tasks.faults.base import FaultContext, FaultParams
from chaos_tasks.faults.process import stopping
from chaos_tasks.faults.process.places import process_place
from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, Receipt, Reversibility
from chaos_tasks.model.place import Place, ProcessPlace
from chaos_tasks.ports import Clock
from chaos_tasks.targets.process import ProcessIdentity, group, is_stopped, is_traced


class PauseParams(FaultParams):
    """How long it stands still is the step's `hold`."""


class Pause:
    """Stops all processes of the workload's group, and lets those go on that it stopped."""

    kind: ClassVar[str] = "process.pause"
    summary: ClassVar[str] = "Stop the workload's processes (SIGSTOP), and let them go on afterwards."
    cause: ClassVar[str] = "A frozen node, a stuck disk, a long garbage collection, a live migration."
    params_type: ClassVar[type[FaultParams]] = PauseParams
    reversibility: ClassVar[Reversibility] = Reversibility.RESTORES
    place_types: ClassVar[tuple[type[Value], ...]] = (ProcessPlace,)
    policy: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def snapshot(self, place: Place, params: PauseParams, ctx: FaultContext) -> Mapping[str, JsonValue]:
        """Who stands still already: those are not ours to let go.  Raises InjectError where all of them do.

        Another pause of the run may be in: this one would stop nobody, and nothing would be as it found it at its end.
        """
        members = group(process_place(place))
        stopped: list[JsonValue] = [one.pid for one in members if is_stopped(one.pid)]
        if members and len(stopped) == len(members):
            raise InjectError(
                f"all {len(members)} processes of {place.key} stand still already, so no pause could be told from that",
                remedy="let pauses of one run not overlap, or see who has stopped them",
            )
        return {"processes": len(members), "stopped": stopped}

    def blast_radius(self, place: Place, params: PauseParams) -> float:
        """All of the trial waits."""
        return 1.0

    def inject(self, handle: Handle, params: PauseParams, ctx: FaultContext) -> Receipt:
        """Stop the group until no member runs: one that forked while we signalled is stopped in the next pass."""
        place = process_place(handle.place)
        deadline = ctx.clock.monotonic() + stopping.SETTLE_S
        while True:
            members = group(place)
            running = [one for one in members if not is_stopped(one.pid)]
            if not running or ctx.clock.monotonic() > deadline:
                return _stopped(ctx.clock, members, len(members) - len(running))
            stopping.stop(handle, running)
            ctx.clock.sleep(stopping.POLL_S)

    def revert(self, handle: Handle, params: PauseParams, ctx: FaultContext) -> Receipt:
        """Let go on what stood still by us; a workload that has ended meanwhile needs nothing."""
        place = process_place(handle.place)
        stopping.let_go(handle, lambda: _ours(handle, place), ctx.clock)
        members = _ours(handle, place)
        still = stopping.standing(handle, members)
        summary = f"{len(members) - len(still)} of {len(members)} processes go on"
        if traced := sum(is_traced(one.pid) for one in still):
            summary += f"; a debugger holds {traced}"
        return Receipt(at=ctx.clock.now(), effective=not still, summary=summary, evidence={"states": _states(members)})

    def inspect(self, handle: Handle, params: PauseParams, ctx: FaultContext) -> Finding:
        """How many of the group stand still; whom a debugger holds proves neither that nor that it goes on."""
        members = _ours(handle, process_place(handle.place))
        if not members:
            return Finding.REVERTED
        if not stopping.standing(handle, members):
            return Finding.ARMED
        return Finding.INJECTED if all(is_stopped(one.pid) for one in members) else Finding.PARTIAL

    def fingerprint(self, place: Place, ctx: FaultContext) -> Fingerprint:
        """Which members of the group stand still: none of them, once it has ended."""
        stopped = sorted(one.pid for one in group(process_place(place)) if is_stopped(one.pid))
        return Fingerprint(
            digest=hashlib.sha256(repr(stopped).encode()).hexdigest(),
            covers="which processes of its group are stopped",
            leaves_out="what they compute, timers that ran out meanwhile, and whom a debugger holds",
        )


def _ours(handle: Handle, place: ProcessPlace) -> list[ProcessIdentity]:
    """Whom we stopped, wherever they are by now, and the group as it is, but for those who stood still before."""
    before = handle.prior.get("stopped")
    theirs = before if isinstance(before, list) else []
    members = {one.pid: one for one in group(place) if one.pid not in theirs}
    members.update((one.pid, one) for one in stopping.stopped_by_us(handle))  # it went on, before we came
    return list(members.values())


def _stopped(clock: Clock, members: tuple[ProcessIdentity, ...], still: int) -> Receipt:
    return Receipt(
        at=clock.now(),
        effective=bool(members) and still == len(members),
        summary=f"{still} of {len(members)} processes stand still",
        evidence={"states": _states(members)},
    )


def _states(members: Iterable[ProcessIdentity]) -> list[JsonValue]:
    return [f"{one.pid}:{_state(one.pid)}" for one in members]


def _state(pid: int) -> str:
    """As the kernel has it where it stands still."""
    if is_stopped(pid):
        return "T"
    return "t" if is_traced(pid) else "running"
