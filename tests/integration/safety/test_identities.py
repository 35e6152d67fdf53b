"""Injector, reverter and workload are proved to be three, by the very servers that will check their calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.clients import NamedClients
from chaos_tasks.errors import GuardTripped
from chaos_tasks.lab import machine_people, moto_server, processes
from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.lab.machine_people import MachinePeople
from chaos_tasks.lab.moto_server import MotoServer
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.lab.seaweedfs import S3Server, allow, aws_client_of, create_user
from chaos_tasks.model.identity import IdentityCheck, IdentityPolicy, NotApplicable, Proof
from chaos_tasks.safety.identities import Ground, Prover
from tests.integration.faults.clouds import PipelineWorld
from tests.integration.faults.worlds import named
from tests.integration.safety.plans import plan_of
from tests.servers import unique

NOT_TOLD = NotApplicable(check=IdentityCheck.PRINCIPALS, families=("cloud",), reason="said by the owner of the target")


@pytest.fixture
def world(s3_lab: S3Server, tmp_path: Path) -> PipelineWorld:
    return PipelineWorld(s3_lab, tmp_path)


def bucket_of(world: PipelineWorld, **changes: str) -> dict[str, Any]:
    known = {"endpoint": world.server.endpoint, "bucket": world.bucket, "principal": world.user}
    return {"type": "s3", **known, **changes}


def proved(
    world: PipelineWorld,
    *,
    policy: IdentityPolicy | None = None,
    clients: NamedClients | None = None,
    fault: str = "cloud.deactivate_key",
    ground: Ground | None = None,
    **resource: str,
) -> dict[IdentityCheck, Proof]:
    chosen = policy or IdentityPolicy()
    plan = plan_of(fault, bucket_of(world, **resource), chosen, world.folder)
    found = Prover(chosen, ground or Ground((world.folder,)), clients or world.clients).prove(plan)
    return {proof.check: proof for proof in found}


@pytest.mark.parametrize("fault", ["cloud.deactivate_key", "cloud.deny_access"])
def test_three_users_are_three_principals_and_the_reverter_keeps_its_key(world: PipelineWorld, fault: str) -> None:
    found = proved(world, fault=fault)
    assert not any(proof.waived for proof in found.values())
    said = found[IdentityCheck.PRINCIPALS].how
    assert [part.rpartition("/")[2] for part in said.split(", ")] == ["injector", "reverter", world.user]
    assert f"access is taken from arn:aws:iam::000000000000:user/{world.user}" in found[IdentityCheck.REACH].how


def test_two_keys_of_one_user_are_one_principal(world: PipelineWorld) -> None:
    spare = world.iam.create_access_key(UserName="injector")["AccessKey"]
    pair = Credentials(access_key=spare["AccessKeyId"], secret_key=spare["SecretAccessKey"])
    try:
        mixed = NamedClients({**world.clients._credentials, **named(reverter=pair)._credentials})
        with pytest.raises(GuardTripped, match=r"injector and reverter are the same principal, arn:.*:user/injector"):
            proved(world, clients=mixed)
    finally:
        world.iam.delete_access_key(UserName="injector", AccessKeyId=spare["AccessKeyId"])


@pytest.mark.parametrize("fault", ["cloud.deactivate_key", "cloud.deny_access"])
def test_a_reverter_whose_own_key_is_about_to_go_is_refused_also_where_the_check_of_three_is_waived(
    world: PipelineWorld, fault: str
) -> None:
    for policy in (IdentityPolicy(), IdentityPolicy(not_applicable=(NOT_TOLD,))):
        with pytest.raises(GuardTripped, match=r"same principal|within reach of the fault") as caught:
            proved(world, policy=policy, fault=fault, principal="reverter", credentials="reverter")
        assert caught.value.remedy


def test_what_is_found_within_reach_no_inventory_excuses(world: PipelineWorld) -> None:
    every = tuple(NOT_TOLD.model_copy(update={"check": check}) for check in IdentityCheck)
    with pytest.raises(GuardTripped, match="within reach of the fault: its policies and keys"):
        proved(world, policy=IdentityPolicy(not_applicable=every), principal="reverter")


def test_a_workload_that_is_not_the_user_who_loses_access_is_refused(world: PipelineWorld) -> None:
    with pytest.raises(GuardTripped, match=r"and its credentials are arn:.*:user/bystander"):
        proved(world, credentials="bystander")


def test_credentials_that_nobody_can_ask_about_refuse_unless_the_inventory_says_why(world: PipelineWorld) -> None:
    with pytest.raises(GuardTripped, match="no credentials are called 'nobody'"):
        proved(world, credentials="nobody")
    found = proved(world, credentials="nobody", policy=IdentityPolicy(not_applicable=(NOT_TOLD,)))
    assert found[IdentityCheck.PRINCIPALS].waived
    assert found[IdentityCheck.PRINCIPALS].how == NOT_TOLD.reason
    assert not found[IdentityCheck.REACH].waived


def test_an_inactive_key_of_the_reverter_is_no_proof(world: PipelineWorld) -> None:
    user = unique("reverter")
    key = create_user(world.server, user, allow((("s3:GetBucketPolicy",), ("arn:aws:s3:::*",))))
    world.iam.update_access_key(UserName=user, AccessKeyId=key.access_key, Status="Inactive")
    mixed = NamedClients({**world.clients._credentials, **named(reverter=key)._credentials})
    with pytest.raises(GuardTripped, match="who 'reverter' is could not be asked"):
        proved(world, clients=mixed)


def test_the_inventory_names_who_the_credentials_must_be(world: PipelineWorld) -> None:
    right = IdentityPolicy.model_validate({"principals": {"injector": "injector", "workload": world.user}})
    assert not proved(world, policy=right)[IdentityCheck.PRINCIPALS].waived
    wrong = IdentityPolicy.model_validate({"principals": {"reverter": "somebody-else"}})
    with pytest.raises(GuardTripped, match="the inventory says somebody-else"):
        proved(world, policy=wrong)


# --- machines, on an EC2 that checks every call ----------------------------------------------------------------------


@pytest.fixture
def guarded(short_folder: Path) -> Iterator[tuple[MotoServer, str, MachinePeople]]:
    server = moto_server.start(short_folder / "aws", LabPorts.free().aws, owner=short_folder)
    instance = moto_server.ensure_instance(server)
    people, new = machine_people.ensure(server, short_folder)
    assert new
    assert machine_people.ensure(server, short_folder) == (people, False)
    yield server, instance, people
    processes.stop(server.daemon)


def machine(server: MotoServer, instance: str) -> dict[str, Any]:
    return {"type": "ec2_instance", "endpoint": server.endpoint, "instance_id": instance}


def test_machines_have_an_injector_and_a_reverter_and_the_host_is_not_the_one_that_stops(
    guarded: tuple[MotoServer, str, MachinePeople], tmp_path: Path
) -> None:
    server, instance, people = guarded
    policy, ground = IdentityPolicy(), Ground((tmp_path,), machine_tag=tmp_path / "tag")
    prover = Prover(policy, ground, named(injector=people.injector, reverter=people.reverter))
    plan = plan_of("cloud.stop_instance", machine(server, instance), policy, tmp_path)
    three, reach = prover.prove(plan)
    assert three.how.endswith("user/squall-reverter, and the workload is given no credentials")
    assert reach.how == f"this host is not {instance} (its tag: none)"
    (tmp_path / "tag").write_text(f"{instance}\n")
    with pytest.raises(GuardTripped, match=f"within reach of the fault: this host is {instance}"):
        prover.prove(plan)
    (tmp_path / "tag").unlink()
    (tmp_path / "tag").mkdir()
    with pytest.raises(GuardTripped, match="this host may be that machine"):
        replace(prover, ground=ground).prove(plan)


def test_the_labs_people_can_do_the_fault_and_its_undo_and_not_each_others_part(
    guarded: tuple[MotoServer, str, MachinePeople],
) -> None:
    """A server that checks every call answers, not a reading of policies."""
    server, instance, people = guarded
    injector, reverter = (aws_client_of("ec2", server.endpoint, key) for key in (people.injector, people.reverter))
    injector.create_tags(Resources=[instance], Tags=[{"Key": "held", "Value": "by"}])
    injector.stop_instances(InstanceIds=[instance])
    reverter.start_instances(InstanceIds=[instance])
    reverter.delete_tags(Resources=[instance], Tags=[{"Key": "held"}])
    for client, act in ((injector, "start_instances"), (reverter, "stop_instances")):
        with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
            getattr(client, act)(InstanceIds=[instance])


def test_an_unknown_key_is_nobody_and_refuses(guarded: tuple[MotoServer, str, MachinePeople], tmp_path: Path) -> None:
    server, instance, people = guarded
    policy = IdentityPolicy()
    clients = named(injector=Credentials.drawn(), reverter=people.reverter)
    plan = plan_of("cloud.stop_instance", machine(server, instance), policy, tmp_path)
    with pytest.raises(GuardTripped, match="who 'injector' is could not be asked"):
        Prover(policy, Ground((tmp_path,)), clients).prove(plan)
