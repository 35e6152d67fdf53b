"""`process.pause`: the workload stands still without dying, as under a frozen node, a stuck disk or a debugger."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Mapping
from typing import ClassVar

from pydantic import JsonValue

from chaos_tasks.faults.base import FaultContext, FaultParams
from chaos_tasks.faults.process.places import process_place
from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, Receipt, Reversibility
from chaos_tasks.model.place import Place, ProcessPlace
from chaos_tasks.ports import Clock
from chaos_tasks.targets.process import ProcessIdentity, group, is_stopped

SETTLE_S = 2.0
POLL_S = 0.01


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
        """Who stands still already: those are not ours to let go."""
        members = group(process_place(place))
        return {"processes": len(members), "stopped": [one.pid for one in members if is_stopped(one.pid)]}

    def blast_radius(self, place: Place, params: PauseParams) -> float:
        """All of the trial waits."""
        return 1.0

    def inject(self, handle: Handle, params: PauseParams, ctx: FaultContext) -> Receipt:
        """Stop the group until no member runs: one that forked while we signalled is stopped in the next pass."""
        place = process_place(handle.place)
        deadline = ctx.clock.monotonic() + SETTLE_S
        while True:
            members = group(place)
            running = [one for one in members if not is_stopped(one.pid)]
            if not running or ctx.clock.monotonic() > deadline:
                return _receipt(ctx.clock, members, stopped=True)
            for one in running:
                one.send(signal.SIGSTOP)
            ctx.clock.sleep(POLL_S)

    def revert(self, handle: Handle, params: PauseParams, ctx: FaultContext) -> Receipt:
        """Let go on what stood still by us; a workload that has ended meanwhile needs nothing."""
        place = process_place(handle.place)
        deadline = ctx.clock.monotonic() + SETTLE_S
        while True:
            members = _ours(handle, place)
            stopped = [one for one in members if is_stopped(one.pid)]
            if not stopped or ctx.clock.monotonic() > deadline:
                return _receipt(ctx.clock, members, stopped=False)
            for one in stopped:
                one.send(signal.SIGCONT)
            ctx.clock.sleep(POLL_S)

    def inspect(self, handle: Handle, params: PauseParams, ctx: FaultContext) -> Finding:
        """How many of the group stand still."""
        members = _ours(handle, process_place(handle.place))
        stopped = sum(is_stopped(one.pid) for one in members)
        if not members:
            return Finding.REVERTED
        if stopped == 0:
            return Finding.ARMED
        return Finding.INJECTED if stopped == len(members) else Finding.PARTIAL

    def fingerprint(self, place: Place, ctx: FaultContext) -> Fingerprint:
        """Which members of the group stand still: none of them, once it has ended."""
        stopped = sorted(one.pid for one in group(process_place(place)) if is_stopped(one.pid))
        return Fingerprint(
            digest=hashlib.sha256(repr(stopped).encode()).hexdigest(),
            covers="which processes of its group are stopped",
            leaves_out="what they compute, and timers that ran out meanwhile",
        )


def _ours(handle: Handle, place: ProcessPlace) -> list[ProcessIdentity]:
    before = handle.prior.get("stopped")
    theirs = before if isinstance(before, list) else []
    return [one for one in group(place) if one.pid not in theirs]


def _receipt(clock: Clock, members: tuple[ProcessIdentity, ...] | list[ProcessIdentity], *, stopped: bool) -> Receipt:
    right = [one for one in members if is_stopped(one.pid) == stopped]
    states: list[JsonValue] = [f"{one.pid}:{'T' if is_stopped(one.pid) else 'running'}" for one in members]
    what = "stand still" if stopped else "go on"
    return Receipt(
        at=clock.now(),
        effective=len(right) == len(members) and (bool(members) or not stopped),
        summary=f"{len(right)} of {len(members)} processes {what}",
        evidence={"states": states},
    )
