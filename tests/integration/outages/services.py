"""The tiny project with one service beside it that the pipeline uses, and that its faults act on."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from chaos_tasks.lab import processes
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.lab.processes import Daemon
from chaos_tasks.model.record import RecordKind
from chaos_tasks.runs import Run
from tests.integration.outages.laboratory import Outages, make_outages
from tests.servers import make_short_folder
from tests.tiny import until

OWN_FAMILIES = 'families = ["tiny", "airflow", "process"]'


class Started(Protocol):
    """What the lab's starters return."""

    @property
    def daemon(self) -> Daemon:
        """Its process."""


R = TypeVar("R", bound=Started)


class Service(ABC, Generic[R]):
    """A server that is stopped and started again in one folder, on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = LabPorts.free()
        self.running: R = self.started()

    @abstractmethod
    def started(self) -> R:
        """The running server."""

    def start(self) -> None:
        self.running = self.started()

    def stop(self) -> None:
        processes.stop(self.running.daemon)


S = TypeVar("S", bound=Service[Any])


def kept(make: Callable[[Path], S]) -> Iterator[S]:
    """For a fixture: the server in a folder of its own, and nothing left of either afterwards."""
    folder = make_short_folder()
    made = make(folder)
    yield made
    processes.stop(made.running.daemon)
    processes.end_strays(folder)
    shutil.rmtree(folder, ignore_errors=True)


def make_outages_of(
    root: Path, resource: Mapping[str, str], *, family: str, identities: bool, arguments: str = ""
) -> Outages:
    """The project with the resource `service`; ``identities``: who is who is proved there, and not waived."""
    outages = make_outages(root)
    target = root / "targets" / "tiny.yaml"
    text = target.read_text().replace("--out {out}", f"--out {{out}} {arguments}".rstrip())
    target.write_text(f"{text}resources: {json.dumps({'service': dict(resource)})}\n")
    config = outages.tiny.project.config
    families = OWN_FAMILIES.replace("]", f', "{family}"]')
    config.write_text(config.read_text().replace(OWN_FAMILIES, families, 1 if identities else 2))
    return outages


def write_credentials(path: Path, known: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """A file of credentials by name, from the variables of each; what names it."""
    told = {
        name: {"access_key_id": one["AWS_ACCESS_KEY_ID"], "secret_access_key": one["AWS_SECRET_ACCESS_KEY"]}
        for name, one in known.items()
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(told))
    return {"SQUALL_CREDENTIALS": str(path)}


def until_it_reverts(outages: Outages, run_id: str) -> None:
    """Wait until the run has said that it is about to put the place back."""

    def begun() -> bool:
        with outages.tiny.ledger() as ledger:
            return bool(Run(ledger, run_id).stored(RecordKind.REVERT_INTENT))

    until(begun, "the intent to revert", timeout_s=60)
