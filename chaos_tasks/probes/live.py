"""The protocol of live probes: what they read while a trial runs and a fault is in.  They speak for stop conditions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Protocol

from chaos_tasks.errors import ProbeError
from chaos_tasks.ports import Clock
from chaos_tasks.probes.base import Measurement, P, ProbeParams

TAIL_BYTES = 256 * 1024


@dataclass(frozen=True)
class Scene:
    """What can be seen now; ``out`` is the folder of the treatment trial that runs, None between two trials."""

    clock: Clock
    out: Path | None = None
    started_at: datetime | None = None
    progress_file: str = ""


class LiveProbe(Protocol[P]):
    """Reads one number or state now.  It must come back soon; one that hangs counts as unreadable."""

    kind: ClassVar[str]
    summary: ClassVar[str]
    params_type: ClassVar[type[ProbeParams]]
    needs_trial: ClassVar[bool]  # True: there is nothing to read between two trials

    def read(self, scene: Scene, params: P) -> Measurement:
        """Read it; raises ProbeError when it cannot be read."""


def file_of(scene: Scene, name: str) -> Path:
    """A file of the trial that runs; raises ProbeError for one outside of its folder."""
    if scene.out is None:
        raise ProbeError("no trial is running", remedy="read this during trials only")
    folder = scene.out.resolve()
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise ProbeError(
            f"{name} is not below the trial's folder", remedy="name a file that the workload writes to {out}"
        )
    return path


def last_lines(path: Path) -> list[bytes]:
    """Whole lines at the end of a file that is being written, oldest first; raises ProbeError when it is not there."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - TAIL_BYTES))
            content = stream.read(TAIL_BYTES)
    except OSError as error:
        raise ProbeError(
            f"{path.name} cannot be read: {error.strerror}", remedy="see what the workload writes"
        ) from None
    lines = content.split(b"\n")[:-1]  # after the last line break a line is still being written
    return lines[1:] if size > TAIL_BYTES else lines
