"""Whether a trigger is due, from what the supervisor sees of the workload; pure but for looking at folders."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.experiment import (
    BeforeTrigger,
    ElapsedTrigger,
    FileTrigger,
    LogTrigger,
    ProgressTrigger,
    RandomTrigger,
    Trigger,
)


@dataclass(frozen=True)
class Sight:
    """What is seen at one look: seconds since the workload's first start, highest step, new lines of output."""

    elapsed_s: float
    step: int | None
    new_lines: Sequence[str]
    folders: Sequence[Path]


def due(trigger: Trigger, sight: Sight, *, seed: int) -> bool:
    """Whether it fires now; raises WorkloadError for a trigger that cannot fire during a trial."""
    match trigger:
        case ProgressTrigger(step=step):
            return sight.step is not None and sight.step >= step
        case LogTrigger(pattern=pattern):
            return any(_compiled(pattern).search(line) for line in sight.new_lines)
        case FileTrigger(glob=glob):
            return any(appeared(folder, glob) for folder in sight.folders)
        case ElapsedTrigger(after=after):
            return sight.elapsed_s >= after.total_seconds()
        case RandomTrigger():
            return sight.elapsed_s >= random_moment_s(trigger, seed)
        case BeforeTrigger():
            raise WorkloadError("a trigger `before` is the engine's, not the supervisor's", remedy="use a `during` one")


def random_moment_s(trigger: RandomTrigger, seed: int) -> float:
    """Seconds after the start, uniform in [earliest, latest]; the same for the same seed on every machine."""
    digest = hashlib.sha256(f"squall.trigger/{seed}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    earliest, latest = trigger.earliest.total_seconds(), trigger.latest.total_seconds()
    return min(earliest, latest) + share * abs(latest - earliest)


def appeared(folder: Path, glob: str) -> bool:
    """Whether a file below the folder matches; a pattern that leaves the folder matches nothing."""
    if glob.startswith("/") or ".." in Path(glob).parts:
        return False
    try:
        return any(path.is_file() for path in folder.glob(glob))
    except (OSError, ValueError):  # vanished while we looked
        return False


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)  # re keeps its own cache
    except re.error as error:
        raise WorkloadError(f"log trigger {pattern!r}: {error}", remedy="mend the regular expression") from error
