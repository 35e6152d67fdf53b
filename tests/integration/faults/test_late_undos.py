"""Effects that bear no name: an undo that comes late leaves the new holder's fault in, and that run takes both out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from chaos_tasks.errors import GuardTripped
from chaos_tasks.faults.base import Fault, FaultContext
from chaos_tasks.faults.cloud.deactivate_key import DeactivateKey
from chaos_tasks.faults.cloud.deny_access import DenyAccess
from chaos_tasks.faults.cloud.stop_instance import StopInstance
from chaos_tasks.lab.moto_server import MotoServer
from chaos_tasks.lab.seaweedfs import S3Server
from chaos_tasks.model.handle import Finding, Handle
from chaos_tasks.model.place import Place
from tests.integration.faults.clouds import MachineWorld, PipelineWorld
from tests.integration.faults.worlds import armed


@dataclass(frozen=True)
class Held:
    """A fault on a place, and what tags that place bears."""

    fault: Fault[Any]
    place: Place
    given: Mapping[str, JsonValue]
    ctx: FaultContext
    tags: Callable[[], list[str]]

    def arm(self, run: str) -> tuple[Handle, Any]:
        handle, params = armed(self.fault, self.place, self.given, self.ctx, id=f"{run}/step")
        return handle.model_copy(update={"run_id": run}), params

    def is_in(self, handle: Handle, params: Any) -> bool:
        found = self.fault.inspect(handle, params, self.ctx)
        assert found in (Finding.INJECTED, Finding.ARMED)
        return found is Finding.INJECTED


@pytest.fixture(params=["cloud.deactivate_key", "user_policy", "cloud.stop_instance"])
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Held:
    if request.param == "cloud.stop_instance":
        moto: MotoServer = request.getfixturevalue("moto_ec2")
        machine = MachineWorld(moto, tmp_path)

        def of_the_machine() -> list[str]:
            seen = machine.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [machine.place.instance_id]}])
            return [tag["Key"] for tag in seen["Tags"]]

        return Held(StopInstance(), machine.place, {}, machine.context(), of_the_machine)
    server: S3Server = request.getfixturevalue("s3_lab")
    world = PipelineWorld(server, tmp_path)

    def of_the_user() -> list[str]:
        return [tag["Key"] for tag in world.iam.list_user_tags(UserName=world.user)["Tags"]]

    fault: Fault[Any] = DeactivateKey() if request.param == "cloud.deactivate_key" else DenyAccess()
    given = {} if request.param == "cloud.deactivate_key" else {"via": "user_policy"}
    return Held(fault, world.place, given, world.context(), of_the_user)


def test_a_late_undo_leaves_in_what_the_new_holder_did(held: Held) -> None:
    late, params = held.arm("early-run")
    held.fault.revert(late, params, held.ctx)  # a sweep, while its injector stands still
    new, _ = held.arm("new-run")
    held.fault.inject(new, params, held.ctx)
    held.fault.inject(late, params, held.ctx)  # the injector wakes
    undone = held.fault.revert(late, params, held.ctx)
    assert not undone.effective
    assert "another run holds" in undone.summary
    assert held.is_in(new, params)
    held.fault.revert(new, params, held.ctx)
    assert not held.is_in(new, params)
    assert held.tags() == []


def test_an_act_that_is_late_after_the_new_holder_has_gone_is_undone(held: Held) -> None:
    late, params = held.arm("early-run")
    new, _ = held.arm("new-run")
    for act in (held.fault.inject, held.fault.revert):
        act(new, params, held.ctx)
    held.fault.inject(late, params, held.ctx)
    assert held.is_in(late, params)
    assert held.fault.revert(late, params, held.ctx).effective
    assert not held.is_in(late, params)
    assert held.tags() == []


def test_a_tag_that_a_killed_run_left_is_told_before_anything_is_armed(held: Held) -> None:
    handle, params = held.arm("killed-run")
    held.fault.inject(handle, params, held.ctx)
    with pytest.raises(GuardTripped, match="bears the tag squall:cloud"):
        held.arm("next-run")
    held.fault.revert(handle, params, held.ctx)
    held.arm("next-run")
