"""A machine that ran is stopped and runs again; one that did not is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks import acts
from chaos_tasks.abandoning import Abandoning
from chaos_tasks.acts import ActParts
from chaos_tasks.errors import GuardTripped, RevertError, TargetBusy
from chaos_tasks.faults.cloud.stop_instance import StopInstance
from chaos_tasks.lab.moto_server import MotoServer
from chaos_tasks.ledger import open_ledger
from chaos_tasks.ledger.verify import verify
from chaos_tasks.model.consent import ApprovalPolicy
from chaos_tasks.model.handle import Finding
from chaos_tasks.model.plan import Lock, Recorder
from chaos_tasks.model.record import RecordKind, Registered
from chaos_tasks.runs import Run
from chaos_tasks.sweeping import Sweeper
from chaos_tasks.workspaces import Workspaces
from tests import permit_samples
from tests.integration.faults.clouds import MachineWorld
from tests.integration.faults.worlds import armed


@pytest.fixture
def world(moto_ec2: MotoServer, tmp_path: Path) -> MachineWorld:
    return MachineWorld(moto_ec2, tmp_path)


def test_the_machine_stops_and_runs_again(world: MachineWorld) -> None:
    ctx, fault = world.context(), StopInstance()
    handle, params = armed(fault, world.place, {}, ctx)
    assert fault.inject(handle, params, ctx).evidence["before"] == "running"
    assert (world.state(), fault.inspect(handle, params, ctx)) == ("stopped", Finding.INJECTED)
    fault.revert(handle, params, ctx)
    assert (world.state(), fault.inspect(handle, params, ctx)) == ("running", Finding.ARMED)


def test_a_machine_that_does_not_run_is_refused(world: MachineWorld) -> None:
    world.ec2.stop_instances(InstanceIds=[world.place.instance_id])
    with pytest.raises(GuardTripped, match="not running"):
        armed(StopInstance(), world.place, {}, world.context())


def test_a_machine_that_is_gone_is_not_called_reverted(world: MachineWorld) -> None:
    ctx, fault = world.context(), StopInstance()
    handle, params = armed(fault, world.place, {}, ctx)
    fault.inject(handle, params, ctx)
    world.ec2.terminate_instances(InstanceIds=[world.place.instance_id])
    with pytest.raises(RevertError, match="does not run"):
        fault.revert(handle, params, ctx)


def test_a_machine_that_is_gone_for_good_is_given_up_on_record_and_its_successor_can_be_hurt(
    world: MachineWorld, tmp_path: Path
) -> None:
    ctx, fault = world.context(), StopInstance()
    ledger = open_ledger(f"sqlite:///{tmp_path}/l.db")
    workspaces = Workspaces(tmp_path / "home", "python", world.clients)
    sweeper = Sweeper(ledger, ctx.clock, world.clients, workspaces, Recorder())
    abandoning = Abandoning(ledger, ctx.clock, sweeper, Recorder(), ApprovalPolicy())
    lock = (Lock(key="target:machines", exclusive=True),)
    plan = permit_samples.plan_of("run").model_copy(update={"environment": "lab"})
    registered = Registered(plan=plan, plan_sha256=plan.content_sha256)
    permit_samples.say(ledger, "run", RecordKind.EXPERIMENT_REGISTERED, registered)
    ledger.acquire("run", lock, lease_s=0)
    handle, _ = armed(fault, world.place, {}, ctx)
    parts = ActParts(ledger=ledger, fault=fault, context=ctx, recorder=Recorder())
    acts.inject(parts, acts.arm(parts, handle, lease_s=60), by="inject task")
    world.ec2.terminate_instances(InstanceIds=[world.place.instance_id])  # the lab is made anew
    (swept,) = sweeper.everything(by="person")
    assert not swept.reverted
    with pytest.raises(TargetBusy) as refused:
        ledger.acquire("next", lock, lease_s=60)
    assert f"squall abandon {handle.id} --reason" in refused.value.remedy

    said = abandoning.abandon(handle.id, by="ana@host", reason="the lab was made anew")
    assert said.closed
    (record,) = Run(ledger, "run").stored(RecordKind.HANDLE_ABANDONED)
    assert record.record.handle_id == handle.id
    assert verify(ledger).open_handles == ()
    ledger.acquire("next", lock, lease_s=60)
    successor = MachineWorld(world.server, tmp_path / "next")
    again, _ = armed(fault, successor.place, {}, successor.context(), id="next/step")
    acts.arm(parts, again.model_copy(update={"run_id": "next"}), lease_s=60)
    ledger.close()
