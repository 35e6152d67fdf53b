"""The command of a trial that is one stage of a DVC pipeline."""

from __future__ import annotations

from collections.abc import Mapping

from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.target import DvcStageWorkload, Reads

NEEDED = ("python", "repo", "out", "seed")


def stage_command(workload: DvcStageWorkload, reads: Reads, values: Mapping[str, str]) -> tuple[str, ...]:
    """Runs our wrapper around `dvc repro`; raises WorkloadError when python, repo, out or seed has no value."""
    missing = [name for name in NEEDED if not values.get(name)]
    if missing:
        raise WorkloadError(
            f"stage {workload.stage} cannot be run without {', '.join(missing)}",
            remedy="run it in a clone of the source",
        )
    wrapper = (values["python"], "-m", "chaos_tasks.workloads.dvc_repro")
    where = ("--repo", values["repo"], "--stage", workload.stage, "--out", values["out"], "--outputs", workload.outputs)
    seed = ("--set-param", f"{workload.seed_param}={values['seed']}") if workload.seed_param else ()
    return (*wrapper, *where, *seed, *(word for name in read_files(reads) for word in ("--read", name)))


def read_files(reads: Reads) -> tuple[str, ...]:
    """Files of `reads` that the stage leaves in its outputs folder."""
    predictions = (reads.predictions.path,) if reads.predictions else ()
    progress = (reads.progress.file,) if reads.progress and reads.progress.file else ()
    return (reads.metrics, *predictions, *progress)
