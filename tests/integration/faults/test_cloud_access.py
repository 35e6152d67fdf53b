"""The pipeline's own credentials meet the denial, nobody else does, and get back in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.clients import from_credentials
from chaos_tasks.errors import FaultError, GuardTripped, InjectError, RevertError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.cloud.deactivate_key import DeactivateKey
from chaos_tasks.faults.cloud.deny_access import DenyAccess
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.lab.seaweedfs import S3Server
from chaos_tasks.model.handle import Finding, Handle
from chaos_tasks.model.place import S3Place
from chaos_tasks.testing.clock import FakeClock
from tests.integration.faults.clouds import PipelineWorld
from tests.integration.faults.worlds import ANYBODY, armed


@pytest.fixture
def world(s3_lab: S3Server, tmp_path: Path) -> PipelineWorld:
    return PipelineWorld(s3_lab, tmp_path)


@pytest.mark.parametrize("had_policy", [False, True])
def test_a_denial_stops_reading_below_the_prefix_only(world: PipelineWorld, had_policy: bool) -> None:
    world.put("dvc/a", "elsewhere/a")
    if had_policy:
        world.set_policy(world.owners_statement("owners"))
    ctx, fault = world.context(), DenyAccess()
    before = fault.fingerprint(world.place, ctx)
    handle, params = armed(fault, world.place, {}, ctx)
    receipt = fault.inject(handle, params, ctx)
    assert receipt.evidence["pipeline_meets"] == "denied"
    assert (world.read("dvc/a"), world.read("elsewhere/a")) == ("AccessDenied", "ok")
    assert fault.revert(handle, params, ctx).evidence["pipeline_meets"] == "allowed"
    assert world.read("dvc/a") == "ok"
    assert fault.fingerprint(world.place, ctx) == before


def test_statements_that_others_add_meanwhile_survive_the_revert(world: PipelineWorld) -> None:
    world.set_policy(world.owners_statement("early"))
    ctx, fault = world.context(), DenyAccess()
    handle, params = armed(fault, world.place, {}, ctx)
    fault.inject(handle, params, ctx)
    ours = [sid for sid in world.sids() if sid.startswith("squall")]
    assert len(ours) == 2
    fault.revert(handle, params, ctx)
    assert world.sids() == ["early"]
    fault.inject(handle, params, ctx)
    world.admin.put_bucket_policy(Bucket=world.bucket, Policy=world.policy_plus(world.owners_statement("late")))
    fault.revert(handle, params, ctx)
    assert world.sids() == ["early", "late"]


def test_half_a_denial_is_found_as_partial_and_taken_out(world: PipelineWorld) -> None:
    ctx, fault = world.context(), DenyAccess()
    handle, params = armed(fault, world.place, {}, ctx)
    fault.inject(handle, params, ctx)
    world.keep_statements(lambda sid: sid.endswith("listing"))
    assert fault.inspect(handle, params, ctx) is Finding.PARTIAL
    fault.revert(handle, params, ctx)
    assert fault.inspect(handle, params, ctx) is Finding.ARMED


def test_a_lost_grant_is_given_back_word_for_word(world: PipelineWorld) -> None:
    world.put("dvc/a")
    ctx, fault = world.context(), DenyAccess()
    before = fault.fingerprint(world.place, ctx)
    handle, params = armed(fault, world.place, {"via": "user_policy"}, ctx)
    assert fault.inject(handle, params, ctx).effective
    assert world.read("dvc/a") == "AccessDenied"
    assert fault.inspect(handle, params, ctx) is Finding.INJECTED
    fault.inject(handle, params, ctx)
    stored = Handle.model_validate_json(handle.model_dump_json())
    assert fault.revert(stored, params, ctx).effective
    assert world.read("dvc/a") == "ok"
    assert fault.fingerprint(world.place, ctx) == before


def test_an_inactive_key_is_refused_and_comes_back(world: PipelineWorld) -> None:
    world.put("dvc/a")
    ctx, fault = world.context(), DeactivateKey()
    spare = world.iam.create_access_key(UserName=world.user)["AccessKey"]["AccessKeyId"]
    world.iam.update_access_key(UserName=world.user, AccessKeyId=spare, Status="Inactive")
    before = fault.fingerprint(world.place, ctx)
    handle, params = armed(fault, world.place, {}, ctx)
    receipt = fault.inject(handle, params, ctx)
    assert world.read("dvc/a") == "InvalidAccessKeyId"
    assert receipt.evidence == {"keys": 1, "pipeline_meets": "denied"}
    assert fault.inspect(handle, params, ctx) is Finding.INJECTED
    fault.revert(handle, params, ctx)
    assert world.read("dvc/a") == "ok"
    assert fault.fingerprint(world.place, ctx) == before


def test_a_reverter_who_is_the_principal_is_refused(world: PipelineWorld) -> None:
    own = world.place.model_copy(update={"principal": world.reverter})
    for fault in (DenyAccess(), DeactivateKey()):
        with pytest.raises(GuardTripped, match="could not be undone"):
            armed(fault, own, {}, world.context())


def test_credentials_of_another_user_are_no_proof(world: PipelineWorld) -> None:
    other = world.place.model_copy(update={"credentials": "bystander"})
    ctx = world.context(clock=FakeClock())
    handle, params = armed(DenyAccess(), other, {}, ctx)
    with pytest.raises(InjectError, match="still gets in"):
        DenyAccess().inject(handle, params, ctx)
    DenyAccess().revert(handle, params, ctx)
    assert DenyAccess().inspect(handle, params, ctx) is Finding.ARMED


def test_without_the_pipelines_credentials_the_receipt_says_untried(world: PipelineWorld) -> None:
    unknown = world.place.model_copy(update={"credentials": "nobody-gave-us-these"})
    ctx = world.context()
    handle, params = armed(DenyAccess(), unknown, {}, ctx)
    receipt = DenyAccess().inject(handle, params, ctx)
    assert (receipt.effective, receipt.evidence["pipeline_meets"]) == (True, "untried")
    DenyAccess().revert(handle, params, ctx)


@pytest.mark.parametrize("fault", [DenyAccess(), DeactivateKey()], ids=lambda fault: fault.kind)
def test_a_server_that_is_down_is_named_as_such(fault: DenyAccess | DeactivateKey, tmp_path: Path) -> None:
    clock = FakeClock()
    clients = from_credentials({name: ANYBODY for name in ("injector", "reverter", "pipeline")})
    ctx = FaultContext(clock=clock, clients=clients, scratch=tmp_path)
    endpoint = f"http://127.0.0.1:{LabPorts.free().s3}"
    place = S3Place(endpoint=endpoint, region="us-east-1", bucket="bucket", prefix="", principal="user")
    prior = {"arn": "arn:aws:iam::000000000000:user/user", "had_policy": False, "access": "allowed", "active": ["AK"]}
    handle = Handle(id="h", run_id="r", step="s", kind=fault.kind, place=place, params={}, prior=prior, seed=1)
    params: Any = fault.params_type()
    with pytest.raises(FaultError, match="server runs"):
        fault.snapshot(place, params, ctx)
    with pytest.raises(InjectError, match="server runs"):
        fault.inject(handle, params, ctx)
    with pytest.raises(RevertError, match="server runs"):
        fault.revert(handle, params, ctx)
    assert clock.monotonic() > 15, "revert tries again for a while"
    assert fault.inspect(handle, params, ctx) is Finding.UNKNOWN
