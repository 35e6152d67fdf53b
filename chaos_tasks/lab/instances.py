"""Binds each EC2 instance of the lab to a real process group: an instance that stops takes its training with it.

moto changes states in a table and stops nothing.  Whoever runs a workload on an instance registers the group in
`<instances>/<instance id>.json` ({pid, start_time, pgid}, seconds since the boot), or in several files of the folder
`<instances>/<instance id>/`.  This daemon ends a registered group as soon as its instance is on the way down, and
says so in `<same name>.ended`.  It starts nothing again: that is the business of whoever runs the workload.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from chaos_tasks.lab import processes
from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.lab.private_files import write_private
from chaos_tasks.lab.processes import Daemon, DaemonSpec
from chaos_tasks.targets.process import ProcessIdentity, boot_id, host

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

NAME = "instances"
POLL_S = 0.2
GRACE_S = 2.0
"""Between the power button and the power cut; EC2 gives minutes, a test has none."""

DOWN = frozenset({"stopping", "stopped", "shutting-down", "terminated"})


class Registration(BaseModel):
    """The process group that runs on an instance; a `ProcessPlace` as JSON is one too."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    start_time: float
    pgid: int
    boot_id: str = ""
    host: str = ""

    def leader(self) -> ProcessIdentity:
        """The registered process, and no other that was given its pid later."""
        return ProcessIdentity(
            host=self.host or host(), boot_id=self.boot_id or boot_id(), pid=self.pid, start_time=self.start_time
        )


class EndedNote(BaseModel):
    """What the binder did, for whoever wonders why a training died."""

    model_config = ConfigDict(frozen=True)

    instance_id: str
    state: str
    pids: tuple[int, ...]
    t: float


def register(file: Path, pid: int) -> Registration:
    """Say that the process group of `pid` runs on the instance that the file is named after."""
    identity = ProcessIdentity.of(pid)
    if identity is None:
        raise ProcessLookupError(pid)
    registration = Registration(pgid=os.getpgid(pid), **identity.model_dump())
    write_private(file, registration.model_dump_json())
    return registration


def registrations(folder: Path) -> Iterator[tuple[str, Path, Registration]]:
    """Instance id, file and registration of each group; a file that is half written is left for the next look."""
    for file in (*folder.glob("*.json"), *folder.glob("*/*.json")):
        instance_id = file.stem if file.parent == folder else file.parent.name
        with suppress(FileNotFoundError, ValidationError):
            yield instance_id, file, Registration.model_validate_json(file.read_text(encoding="utf-8"))


def step(ec2: EC2Client, folder: Path) -> tuple[EndedNote, ...]:
    """Look once; end the groups of instances that are going down, and return what was ended.

    An instance that the control plane does not know is left alone: a server that lost its memory powers nothing off.
    """
    bound = tuple(registrations(folder))
    states = instance_states(ec2) if bound else {}
    return tuple(
        _end(instance_id, states[instance_id], file, registration)
        for instance_id, file, registration in bound
        if states.get(instance_id) in DOWN
    )


def instance_states(ec2: EC2Client) -> dict[str, str]:
    """State name by instance id, as the control plane says."""
    reservations = ec2.describe_instances()["Reservations"]
    return {
        str(instance["InstanceId"]): str(instance["State"]["Name"])
        for reservation in reservations
        for instance in reservation["Instances"]
    }


def start(folder: Path, endpoint: str, *, key: Credentials | None = None, owner: Path | None = None) -> Daemon:
    """Start the binder as a daemon; a no-op if it already runs.  Where EC2 checks calls it needs a key."""
    (folder / "instances").mkdir(parents=True, exist_ok=True)
    argv = (sys.executable, "-m", "chaos_tasks.lab.instances", "--folder", str(folder / "instances"))
    spec = DaemonSpec(
        name=NAME,
        argv=(*argv, "--endpoint", endpoint),
        folder=folder,
        cwd=folder,
        env={**processes.import_environment(), **(key or Credentials.drawn()).as_environment()},
        stop_grace_s=3.0,
        owner=owner,
    )
    return processes.load_alive(folder, NAME) or processes.start(spec)


def _end(instance_id: str, state: str, file: Path, registration: Registration) -> EndedNote:
    leader = registration.leader()
    pids = processes.end_group(leader, GRACE_S) if registration.pgid == registration.pid else _end_alone(leader)
    note = EndedNote(instance_id=instance_id, state=state, pids=pids, t=time.time())
    write_private(file.with_suffix(".ended"), note.model_dump_json())
    file.unlink(missing_ok=True)
    return note


def _end_alone(process: ProcessIdentity) -> tuple[int, ...]:
    """A process that does not lead its group: ending the group would end whoever leads it, too."""
    if not process.send(signal.SIGTERM):
        return ()
    end = time.monotonic() + GRACE_S
    while process.is_alive() and time.monotonic() < end:
        time.sleep(POLL_S / 4)
    process.send(signal.SIGKILL)
    return (process.pid,)


def main() -> None:
    """Look every POLL_S until told to end."""
    from chaos_tasks.lab.seaweedfs import ec2_client

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--endpoint", required=True)
    args = parser.parse_args()
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    key = Credentials(
        access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=SecretStr(os.environ["AWS_SECRET_ACCESS_KEY"])
    )
    ec2 = ec2_client(args.endpoint, key)
    while not stop.wait(POLL_S):
        try:
            for note in step(ec2, args.folder):
                sys.stdout.write(note.model_dump_json() + "\n")
        except Exception as error:  # noqa: BLE001  a control plane that is away must not end the binder
            sys.stdout.write(f"{type(error).__name__}: {error}\n")
            stop.wait(1.0)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
