"""`process.kill`: the workload's process dies, as by the OOM killer, a node failure or a crash in native code."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import ClassVar

from pydantic import Field, JsonValue

from chaos_tasks.faults.base import FaultContext, FaultParams
from chaos_tasks.faults.process.ending import SignalName, end_victims, find_ended, leave_to_healing, living
from chaos_tasks.faults.process.places import process_place
from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, Receipt, Reversibility
from chaos_tasks.model.place import Place, ProcessPlace
from chaos_tasks.targets.process import ProcessIdentity, group, is_alive


class Scope(StrEnum):
    """Who dies."""

    LEADER = "leader"
    GROUP = "group"
    ONE_CHILD = "one_child"


class KillParams(FaultParams):
    """Which signal, to whom."""

    signal: SignalName = Field(SignalName.KILL, description="Name of the signal without SIG, e.g. KILL, TERM, SEGV.")
    scope: Scope = Field(
        Scope.GROUP, description="leader: the first process; group: all of it; one_child: one, drawn from the seed."
    )


class Kill:
    """Ends processes of the workload; starting them again is its own runtime's work."""

    kind: ClassVar[str] = "process.kill"
    summary: ClassVar[str] = "Kill the workload's process, all its group, or one of its children."
    cause: ClassVar[str] = "OOM killer, node failure, pre-emption, a crash in native code, an operator's kill -9."
    params_type: ClassVar[type[FaultParams]] = KillParams
    reversibility: ClassVar[Reversibility] = Reversibility.SELF_HEALS
    place_types: ClassVar[tuple[type[Value], ...]] = (ProcessPlace,)
    policy: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def snapshot(self, place: Place, params: KillParams, ctx: FaultContext) -> Mapping[str, JsonValue]:
        """Whether it lives, and with how many processes."""
        spot = process_place(place)
        return {"alive": is_alive(spot), "processes": len(group(spot))}

    def blast_radius(self, place: Place, params: KillParams) -> float:
        """All of one trial's work may be lost."""
        return 1.0

    def inject(self, handle: Handle, params: KillParams, ctx: FaultContext) -> Receipt:
        """Send the signal, and wait until its victims are gone."""
        place = process_place(handle.place)
        return end_victims(handle, params.signal, lambda: choose(place, params.scope, handle.seed), ctx.clock)

    def revert(self, handle: Handle, params: KillParams, ctx: FaultContext) -> Receipt:
        """A dead process cannot be brought back; say what was ended, and act no more."""
        process_place(handle.place)  # refused where it is not seen
        return leave_to_healing(handle, ctx.clock)

    def inspect(self, handle: Handle, params: KillParams, ctx: FaultContext) -> Finding:
        """Whether its victims are gone."""
        process_place(handle.place)  # refused where it is not seen
        return find_ended(handle)

    def fingerprint(self, place: Place, ctx: FaultContext) -> Fingerprint:
        """Which processes of the launch live; one that its runtime starts anew is another launch."""
        return living(group(process_place(place)))


def choose(place: ProcessPlace, scope: Scope, seed: int) -> Sequence[ProcessIdentity]:
    """The victims, leader last, so that a supervisor of its own cannot start a child again in between."""
    leader = ProcessIdentity.of_place(place)
    others = [one for one in group(place) if one.pid != place.pid]
    if scope is Scope.ONE_CHILD:
        return [random.Random(seed).choice(others)] if others else []
    living_leader = [leader] if leader.is_alive() else []
    return living_leader if scope is Scope.LEADER else [*others, *living_leader]
