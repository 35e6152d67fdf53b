"""`squall doctor --iam` on the lab's own S3 and EC2: its identities pass, and whatever more they get is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.cli.main import run
from chaos_tasks.lab import identities, machine_people, moto_server, processes
from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.lab.private_files import write_private
from chaos_tasks.lab.seaweedfs import S3Server, aws_client_of
from chaos_tasks.lab.state import LabState, named
from chaos_tasks.settings import Endpoints

ROOT = Path(__file__).resolve().parents[3]
Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def machines(servers_folder: Path) -> Iterator[tuple[str, str, machine_people.MachinePeople, Any]]:
    folder = servers_folder / "guarded"
    server = moto_server.start(folder, LabPorts.free().aws, owner=servers_folder)
    instance = moto_server.ensure_instance(server)
    moto_server.enforce_iam(server, after=None)
    people, _ = machine_people.ensure(server, folder)

    def iam() -> Any:
        moto_server.enforce_iam(server, after=None)
        return aws_client_of("iam", server.endpoint, Credentials.drawn())

    yield server.endpoint, instance, people, iam
    processes.stop(server.daemon)


@pytest.fixture
def ask(
    s3_lab: S3Server,
    machines: tuple[str, str, machine_people.MachinePeople, Any],
    short_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Ask:
    """The command on the shipped inventory and targets, with the lab's own credentials."""
    endpoint, instance, people, _ = machines
    credentials = short_folder / "credentials.json"
    known = identities.ensure(s3_lab, short_folder)
    state = LabState(home=short_folder, ports=LabPorts.free(), identities=known, machines=people)
    write_private(credentials, json.dumps(named(state)))
    variables = {
        "SQUALL_S3_ENDPOINT": s3_lab.endpoint,
        "SQUALL_AWS_ENDPOINT": endpoint,
        "SQUALL_EC2_INSTANCE": instance,
        "SQUALL_EC2_PID_FILE": str(short_folder / "pid"),
        "SQUALL_REDIS_URL": "redis://127.0.0.1:1/0",
        "SQUALL_FLIGHTS_REPO": "nowhere",
    }
    ends = Endpoints(credentials_file=str(credentials), variables=variables)
    write_private(short_folder / "endpoints.json", ends.model_dump_json())
    monkeypatch.setenv("SQUALL_CONFIG", str(ROOT / "squall.toml"))
    monkeypatch.setenv("SQUALL_HOME", str(short_folder))

    def asked(*files: str) -> tuple[int, dict[str, Any]]:
        code = run(["doctor", "--iam", "--json", *files])
        found = json.loads(capsys.readouterr().out)["identities"]
        return code, {f"{one['role']} {one['credentials']}": one for one in found}

    return asked


def test_the_labs_own_identities_may_do_what_the_faults_need_and_nothing_more(ask: Ask) -> None:
    code, found = ask()
    assert {name: (one["excess"], one["missing"], one["not_read"]) for name, one in found.items()} == {
        name: ([], [], [])
        for name in (
            "injector injector",
            "injector machines-injector",
            "reverter machines-reverter",
            "reverter reverter",
        )
    }
    assert code == 0
    assert found["reverter reverter"]["principals"] == ["arn:aws:iam::000000000000:user/squall-reverter"]
    stop = found["injector machines-injector"]["policy"]["Statement"]
    assert [one["Action"] for one in stop] == [["ec2:CreateTags", "ec2:DescribeInstances", "ec2:StopInstances"]]


def test_one_experiment_needs_less_so_the_same_rights_are_too_much_for_it(ask: Ask) -> None:
    code, found = ask(str(ROOT / "dags" / "experiments" / "key-deactivated.yaml"))
    assert code == 2
    assert set(found) == {"injector injector", "reverter reverter"}
    assert found["injector injector"]["faults"] == ["cloud.deactivate_key"]
    assert "s3:PutBucketPolicy on arn:aws:s3:::flights" in found["injector injector"]["excess"]
    assert not found["injector injector"]["missing"]


def test_a_right_too_much_is_named_wherever_it_comes_from(
    ask: Ask, s3_lab: S3Server, machines: tuple[str, str, machine_people.MachinePeople, Any]
) -> None:
    iam = s3_lab.client("iam")
    more = {"Effect": "Allow", "Action": ["s3:DeleteObject"], "Resource": ["arn:aws:s3:::flights/*"]}
    document = json.dumps({"Version": "2012-10-17", "Statement": [more]})
    iam.put_user_policy(UserName="squall-reverter", PolicyName="more", PolicyDocument=document)
    try:
        code, found = ask()
    finally:
        iam.delete_user_policy(UserName="squall-reverter", PolicyName="more")
    assert (code, found["reverter reverter"]["excess"]) == (2, ["s3:DeleteObject on arn:aws:s3:::flights/*"])

    endpoint, _, _, open_iam = machines
    moto = open_iam()
    arn = moto.create_policy(PolicyName="wide", PolicyDocument=document.replace("s3:DeleteObject", "ec2:*"))["Policy"][
        "Arn"
    ]
    moto.create_group(GroupName="operators")
    moto.attach_group_policy(GroupName="operators", PolicyArn=arn)
    moto.add_user_to_group(GroupName="operators", UserName="squall-injector")
    try:
        code, found = ask()
    finally:
        moto.remove_user_from_group(GroupName="operators", UserName="squall-injector")
    assert code == 2
    assert found["injector machines-injector"]["excess"] == ["ec2:* on arn:aws:s3:::flights/*"]
    assert endpoint


def test_an_undo_that_lacks_a_right_fails_too(ask: Ask, s3_lab: S3Server) -> None:
    iam = s3_lab.client("iam")
    whole = json.dumps(identities.reverter_policy())
    part = whole.replace('"iam:PutUserPolicy"', '"iam:GetUser"')
    iam.put_user_policy(UserName="squall-reverter", PolicyName="squall-reverter", PolicyDocument=part)
    try:
        code, found = ask()
    finally:
        iam.put_user_policy(UserName="squall-reverter", PolicyName="squall-reverter", PolicyDocument=whole)
    assert code == 2
    assert found["reverter reverter"]["missing"] == ["iam:PutUserPolicy on *"]


def test_what_cannot_be_read_is_never_green(ask: Ask, s3_lab: S3Server, capsys: pytest.CaptureFixture[str]) -> None:
    iam = s3_lab.client("iam")
    blind = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "s3:GetBucketPolicy", "Resource": "arn:aws:s3:::flights"}],
        }
    )
    whole = json.dumps(identities.auditor_policy())
    iam.put_user_policy(UserName="squall-auditor", PolicyName="squall-auditor", PolicyDocument=blind)
    try:
        code, found = ask()
        assert run(["doctor", "--iam"]) == 2
    finally:
        iam.put_user_policy(UserName="squall-auditor", PolicyName="squall-auditor", PolicyDocument=whole)
    assert code == 2
    assert found["reverter reverter"]["not_read"]
    assert not found["reverter reverter"]["in_order"]
    assert "not read, so nothing is said about what it may do beyond" in capsys.readouterr().out
