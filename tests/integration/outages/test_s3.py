"""The S3 that a fault acts on is restarted, or away when the undo is due: the pipeline has its access back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaos_tasks.lab import seaweedfs
from chaos_tasks.lab.seaweedfs import S3Ports, S3Server
from tests.integration.faults.clouds import PipelineWorld
from tests.integration.outages.laboratory import Outages
from tests.integration.outages.services import Service, kept, make_outages_of, until_it_reverts, write_credentials
from tests.tiny import until

DENY = "{name: deny, fault: cloud.deny_access, target: service}"
SWITCH_OFF = "{name: disable, fault: cloud.deactivate_key, target: service}"


class Server(Service[S3Server]):
    """A SeaweedFS that is stopped and started again, with what it had."""

    def started(self) -> S3Server:
        return seaweedfs.start(self.folder / "s3", S3Ports.of(self.ports), owner=self.folder)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    yield from kept(Server)


@pytest.fixture(scope="module")
def world(server: Server, tmp_path_factory: pytest.TempPathFactory) -> PipelineWorld:
    made = PipelineWorld(server.running, tmp_path_factory.mktemp("s3"))
    made.put("dvc/a")
    return made


@pytest.fixture(scope="module")
def built(world: PipelineWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outages]:
    place = world.place
    resource = {
        "type": "s3",
        "endpoint": place.endpoint,
        "bucket": place.bucket,
        "prefix": place.prefix,
        "principal": place.principal,
    }
    outages = make_outages_of(tmp_path_factory.mktemp("s3") / "project", resource, family="cloud", identities=True)
    known = {name: world.clients.environment(name) for name in ("injector", "reverter", "pipeline")}
    outages.tiny.environment = write_credentials(outages.tiny.root / "credentials.json", known)
    yield outages
    outages.tiny.end_started()
    outages.tiny.clean_up()


def test_an_s3_that_is_restarted_keeps_the_denial_and_the_run_goes_on(
    built: Outages, world: PipelineWorld, server: Server
) -> None:
    run = built.wait_under_fault("restarted", method=DENY, marks=lambda: world.read("dvc/a") == "AccessDenied")
    server.stop()
    server.start()
    assert world.read("dvc/a") == "AccessDenied"
    built.go_on()
    said = built.ended(run)
    assert built.put_right("restarted") == "held"
    assert said.code == 0
    # Right after its start it may know no volume yet, and says InternalError of an object that it will find.
    until(lambda: world.read("dvc/a") == "ok", "the server, just back, to find its object")


def test_an_s3_that_is_away_when_the_undo_is_due_is_waited_for(
    built: Outages, world: PipelineWorld, server: Server
) -> None:
    run = built.wait_under_fault("away", method=SWITCH_OFF, marks=lambda: world.read("dvc/a") == "InvalidAccessKeyId")
    server.stop()
    built.go_on()
    until_it_reverts(built, "away")
    server.start()
    said = built.ended(run)
    until(lambda: world.read("dvc/a") == "ok", "the server, just back, to let the key in again")
    assert built.put_right("away") == "inconclusive", "nobody could see whether the fault was in until the end"
    assert said.code == 3
