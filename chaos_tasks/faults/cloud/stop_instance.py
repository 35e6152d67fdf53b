"""The machine under the workload is stopped.

In real life: a host retired by the provider, a cost-saving schedule, an operator in the wrong window.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import JsonValue

from chaos_tasks.errors import FaultError, GuardTripped, InjectError, RevertError
from chaos_tasks.faults.base import FaultContext, FaultParams
from chaos_tasks.faults.cloud import holding
from chaos_tasks.faults.cloud.acting import explaining
from chaos_tasks.faults.cloud.holding import InstanceTags
from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, Receipt, Reversibility
from chaos_tasks.model.place import InstancePlace, Place, ProcessPlace
from chaos_tasks.targets import aws
from chaos_tasks.targets.process import ProcessIdentity

RUNNING, STOPPED = "running", "stopped"
CHANGES_WITHIN_S = 300.0  # EC2 stops and starts within minutes
ENDS_WITHIN_S = 15.0  # after its machine is off
LOOK_S = 0.1
GONE = frozenset({"shutting-down", "terminated"})


class StopInstanceParams(FaultParams):
    """None: the instance of the place is stopped, as from the console."""


class StopInstance:
    """Stops the instance, and starts it again if it ran before."""

    kind: ClassVar[str] = "cloud.stop_instance"
    summary: ClassVar[str] = "The virtual machine that carries the workload is stopped."
    cause: ClassVar[str] = "A retired host, a cost-saving schedule, or an operator in the wrong window."
    params_type: ClassVar[type[FaultParams]] = StopInstanceParams
    reversibility: ClassVar[Reversibility] = Reversibility.RESTORES
    place_types: ClassVar[tuple[type[Value], ...]] = (InstancePlace,)
    policy: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "inject": ("ec2:CreateTags", "ec2:DescribeInstances", "ec2:StopInstances"),
        "revert": ("ec2:DeleteTags", "ec2:DescribeInstances", "ec2:StartInstances"),
    }

    def snapshot(self, place: Place, params: StopInstanceParams, ctx: FaultContext) -> Mapping[str, JsonValue]:
        """The state of the instance; one that does not run cannot be stopped."""
        where = _instance(place)
        with explaining(FaultError, f"reading the state of {where.instance_id}"):
            ec2 = _ec2(where, where.reverter, ctx)
            holding.refuse_held(InstanceTags(ec2, where.instance_id), self.kind, where.instance_id)
            state = aws.instance_state(ec2, where.instance_id)
        if state != RUNNING:
            raise GuardTripped(f"{where.instance_id} is {state}, not running", remedy="start it, then try again")
        return {"state": state}

    def blast_radius(self, place: Place, params: StopInstanceParams) -> float:
        """The whole machine."""
        return 1.0

    def inject(self, handle: Handle, params: StopInstanceParams, ctx: FaultContext) -> Receipt:
        """Ask for the stop unless it is under way, and wait until the machine is down."""
        where = _instance(handle.place)
        ec2 = _ec2(where, where.injector, ctx)
        with explaining(InjectError, f"stopping {where.instance_id}", handle):
            before = aws.instance_state(ec2, where.instance_id)
            holding.hold(InstanceTags(ec2, where.instance_id), handle)
            if before not in {STOPPED, "stopping"}:
                ec2.stop_instances(InstanceIds=[where.instance_id])
            stopped = _await_state(ec2, where, STOPPED, ctx)
        if not stopped:
            raise InjectError(
                f"{where.instance_id} was not stopped within {CHANGES_WITHIN_S:g} s",
                handle_id=handle.id,
                remedy="look at the instance in the console",
            )
        ended = _workload_ended(where, ctx)
        return Receipt(
            at=ctx.clock.now(),
            effective=ended,
            summary=f"{where.instance_id} is stopped" + ("" if ended else ", but what it carries runs on"),
            evidence={"instance": where.instance_id, "before": before, "after": STOPPED, "workload_ended": ended},
        )

    def revert(self, handle: Handle, params: StopInstanceParams, ctx: FaultContext) -> Receipt:
        """Start the machine if it ran before, and wait until it runs."""
        where = _instance(handle.place)
        ec2 = _ec2(where, where.reverter, ctx)
        with explaining(RevertError, f"starting {where.instance_id}", handle):
            tags = InstanceTags(ec2, where.instance_id)
            if held := aws.persist(ctx.clock, lambda: holding.let_go(tags, handle), within_s=CHANGES_WITHIN_S):
                return holding.left_to_its_holder(where.instance_id, held, ctx.clock)
            found = aws.persist(ctx.clock, lambda: _start(ec2, where, handle, ctx), within_s=CHANGES_WITHIN_S)
            runs = _await_state(ec2, where, RUNNING, ctx)
        if not runs:
            raise RevertError(
                f"{where.instance_id} does not run: it was {found}, and was asked to start",
                handle_id=handle.id,
                remedy="look at the instance in the console; a terminated one must be made anew",
            )
        return Receipt(
            at=ctx.clock.now(),
            effective=True,
            summary=f"{where.instance_id} runs again",
            evidence={"instance": where.instance_id, "before": found, "after": RUNNING},
        )

    def inspect(self, handle: Handle, params: StopInstanceParams, ctx: FaultContext) -> Finding:
        """What EC2 says of the instance; once it runs, nothing shows that it was stopped."""
        where = _instance(handle.place)
        try:
            state = aws.instance_state(_ec2(where, where.reverter, ctx), where.instance_id)
        except aws.errors():
            return Finding.UNKNOWN
        if state == RUNNING:
            return Finding.ARMED
        return Finding.INJECTED if state == STOPPED else Finding.PARTIAL

    def fingerprint(self, place: Place, ctx: FaultContext) -> Fingerprint:
        """The state of the instance."""
        where = _instance(place)
        with explaining(FaultError, f"reading the state of {where.instance_id}"):
            state = aws.instance_state(_ec2(where, where.reverter, ctx), where.instance_id)
        return Fingerprint(
            digest=hashlib.sha256(f"{where.instance_id} {state}".encode()).hexdigest(),
            covers=f"state of {where.instance_id}",
            leaves_out="processes and memory of the machine, its public address",
        )


def _instance(place: Place) -> InstancePlace:
    if not isinstance(place, InstancePlace):
        raise FaultError(f"{place.key} is no instance", remedy="give the step an ec2_instance resource as its target")
    return place


def _workload_ended(where: InstancePlace, ctx: FaultContext) -> bool:
    """A machine that is off carries nothing; where its processes are registered, that is looked at and not believed."""
    carried = _carried(where)
    deadline = ctx.clock.monotonic() + ENDS_WITHIN_S
    while carried is not None and carried.is_alive():
        if ctx.clock.monotonic() > deadline:
            return False
        ctx.clock.sleep(LOOK_S)
    return True


def _carried(where: InstancePlace) -> ProcessIdentity | None:
    """The leader of the registered workload; None where nothing is registered."""
    try:
        registered = Path(where.pid_file).read_text(encoding="utf-8")
        return ProcessIdentity.of_place(ProcessPlace.model_validate_json(registered))
    except (OSError, ValueError):
        return None


def _ec2(where: InstancePlace, credentials: str, ctx: FaultContext) -> Any:
    return ctx.clients.ec2(credentials, endpoint=where.endpoint, region=where.region)


def _start(ec2: Any, where: InstancePlace, handle: Handle, ctx: FaultContext) -> str:
    """Start it unless it runs or is about to; returns the state it was found in."""
    state = aws.instance_state(ec2, where.instance_id)
    if state == "stopping":  # EC2 refuses to start what has not come to a stop
        _await_state(ec2, where, STOPPED, ctx)
        state = aws.instance_state(ec2, where.instance_id)
    if state == STOPPED and handle.prior.get("state") == RUNNING:
        ec2.start_instances(InstanceIds=[where.instance_id])
    return state


def _await_state(ec2: Any, where: InstancePlace, wanted: str, ctx: FaultContext) -> bool:
    """Whether it got there in time; a terminated instance never does."""
    seen: list[str] = []

    def settled() -> bool:
        seen.append(aws.instance_state(ec2, where.instance_id))
        return seen[-1] == wanted or seen[-1] in GONE

    aws.until(ctx.clock, settled, within_s=CHANGES_WITHIN_S)
    return seen[-1] == wanted
