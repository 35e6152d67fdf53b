"""A machine that ran is stopped and runs again; one that did not is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.errors import GuardTripped, RevertError
from chaos_tasks.faults.cloud.stop_instance import StopInstance
from chaos_tasks.lab.moto_server import MotoServer
from chaos_tasks.model.handle import Finding
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
