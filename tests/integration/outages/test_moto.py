"""The control plane forgets the machine that a fault has stopped: a person is told, and answers for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos_tasks.errors import TargetBusy
from chaos_tasks.lab import moto_server
from chaos_tasks.lab.moto_server import MotoServer
from chaos_tasks.ledger.verify import verify
from chaos_tasks.model.handle import Phase
from chaos_tasks.runs import Run
from tests.integration.faults.clouds import MachineWorld
from tests.integration.outages.laboratory import Outages
from tests.integration.outages.services import Service, kept, make_outages_of, write_credentials

STOP = "{name: stop, fault: cloud.stop_instance, target: service}"


class Server(Service[MotoServer]):
    """A moto, which forgets everything when it stops."""

    def started(self) -> MotoServer:
        return moto_server.start(self.folder / "aws", self.ports.aws, owner=self.folder)


@pytest.fixture
def server() -> Iterator[Server]:
    yield from kept(Server)


@pytest.fixture
def world(server: Server, tmp_path: Path) -> MachineWorld:
    return MachineWorld(server.running, tmp_path)


@pytest.fixture
def built(world: MachineWorld, tmp_path: Path) -> Iterator[Outages]:
    place = world.place
    resource = {"type": "ec2_instance", "endpoint": place.endpoint, "instance_id": place.instance_id}
    outages = make_outages_of(tmp_path / "project", resource, family="cloud", identities=False)
    known = {name: world.clients.environment(name) for name in ("injector", "reverter")}
    outages.tiny.environment = write_credentials(outages.tiny.root / "credentials.json", known)
    yield outages
    outages.tiny.end_started()
    outages.tiny.clean_up()


def test_a_control_plane_that_has_forgotten_the_machine_blocks_the_target_until_a_person_answers_for_it(
    built: Outages, world: MachineWorld, server: Server
) -> None:
    run = built.wait_under_fault("forgotten", method=STOP, marks=lambda: world.state() == "stopped")
    server.stop()
    server.start()
    built.go_on()
    said = built.ended(run)
    assert said.code == 5
    assert built.outcome("forgotten") == "unreverted"
    assert "InvalidInstanceID.NotFound" in said.err
    assert "squall abandon forgotten/stop --reason" in said.err
    assert "squall abandon forgotten/stop --reason" in said.out, "and in the verdict"

    with built.tiny.ledger() as ledger:
        plan = Run(ledger, "forgotten").plan()
        with pytest.raises(TargetBusy) as refused:
            ledger.acquire("next", plan.locks, lease_s=60)
        assert "squall abandon forgotten/stop --reason" in refused.value.remedy

    given_up = built.tiny.squall("abandon", "forgotten/stop", "--reason", "moto was restarted")
    assert given_up.code == 0, given_up.text
    assert built.phases("forgotten") == [Phase.ABANDONED]
    with built.tiny.ledger() as ledger:
        report = verify(ledger)
        assert report.integrity.ok, report.integrity
        assert report.order.ok, report.order
        ledger.acquire("after", plan.locks, lease_s=60)  # raises TargetBusy unless the target is free
