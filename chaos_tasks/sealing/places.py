"""Where signed heads are kept: each place takes a note once, under a name of its own, and gives all of them back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from chaos_tasks.model.sealing import SealingPlaces
from chaos_tasks.ports import Clients
from chaos_tasks.sealing.folder import Folder
from chaos_tasks.sealing.git import GitRepository
from chaos_tasks.sealing.s3 import Bucket


class Place(Protocol):
    """Raises SquallError when it cannot be reached, or holds something else under a name."""

    @property
    def name(self) -> str:
        """As records and people call it."""

    def publish(self, file: str, text: str) -> str:
        """Keep a note under a name for good; returns the receipt.  The same bytes again are no second one."""

    def notes(self) -> Mapping[str, str]:
        """All notes by their names, also those that somebody tried to delete where the place knows of them."""


@dataclass(frozen=True)
class Published:
    """What became of one publication: a receipt, or why there is none."""

    place: str
    receipt: str = ""
    error: str = ""


def places_of(told: SealingPlaces, root: Path, clients: Clients) -> tuple[Place, ...]:
    """The places that the settings name."""
    return (
        *(Folder(_path(root, each.path)) for each in told.folders),
        *(GitRepository(_path(root, each.path), each.remote, each.branch) for each in told.git),
        *(Bucket(each, clients) for each in told.s3),
    )


def _path(root: Path, told: str) -> Path:
    chosen = Path(told).expanduser()
    return chosen if chosen.is_absolute() else root / chosen
