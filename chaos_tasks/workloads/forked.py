"""Start a trial from its control's checkpoint, and tell whether the workload really went on from it."""

from __future__ import annotations

from pathlib import Path

from chaos_tasks.model.spec import ForkSpec
from chaos_tasks.model.trial import ForkPoint, Launch
from chaos_tasks.workloads.copying import copy_whole


def lay_out(fork: ForkSpec, checkpoints: Path) -> str:
    """Copy the kept checkpoints into the trial's folder, oldest first; why it cannot be done, or empty."""
    kept = fork.kept
    for name in sorted(kept.files, key=lambda one: one == kept.newest):
        source = Path(kept.folder) / name
        try:
            found = copy_whole(source, checkpoints / name)
        except OSError as error:
            return f"the checkpoint {name} of {fork.trial_id} cannot be copied: {type(error).__name__}"
        if found != kept.files[name]:
            return f"the checkpoint {name} of {fork.trial_id} is not what was kept, or is gone"
    return ""


def doubt(fork: ForkSpec, launches: list[Launch]) -> str:
    """Why the trial is no fork: its first launch does not show that it went on from the checkpoint; or empty."""
    first = launches[0].first_step if launches else None
    if first is None:
        return f"it showed no progress, so nothing proves that it went on from step {fork.kept.step}"
    if first < fork.kept.step:
        return f"the workload did not resume from the checkpoint of step {fork.kept.step}: it started at step {first}"
    return ""


def point_of(fork: ForkSpec) -> ForkPoint:
    """Where the trial started from, as its record says it."""
    kept = fork.kept
    return ForkPoint(
        step=kept.step, file=kept.newest, sha256=kept.files[kept.newest], seconds_saved=round(kept.after_s, 3)
    )
