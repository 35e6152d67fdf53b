"""Field by field: what a target file says, what it leaves out, and which faults and checks that rules out."""

from __future__ import annotations

from collections.abc import Iterator

from chaos_tasks.cli.findings import Finding, good, note
from chaos_tasks.model.target import (
    AirflowDagWorkload,
    AirflowSignal,
    AlarmFileSignal,
    CommandWorkload,
    DvcStageWorkload,
    GateSignal,
    MlflowProjectWorkload,
    Target,
)


def field_findings(target: Target) -> Iterator[Finding]:
    """One finding per field that is optional; what a trial leaves behind is another's to say."""
    yield from _data(target)
    yield from _reads(target)
    yield from _workload(target)
    yield from _signals(target)
    if target.resources:
        yield good("resources", ", ".join(sorted(target.resources)))
    else:
        yield _missing("resources", "stream.* and cloud.* faults", "declare the bucket, stream or machine it uses")
    if not target.writes:
        yield note("writes", "none declared: right only where a trial writes below {out} alone")


def _data(target: Target) -> Iterator[Finding]:
    if not target.source.data:
        yield _missing("source.data", "data.* faults", "name the files that faults may change")
    if target.source.sealed is None:
        yield _missing("source.sealed", "metrics that no fault can reach", "name a DVC-tracked evaluation set")


def _reads(target: Target) -> Iterator[Finding]:
    reads = target.reads
    if reads.predictions is None:
        yield _missing(
            "reads.predictions", "rows.* checks, slices, fairness gaps", "let the run leave a row per prediction"
        )
    if reads.progress is None:
        yield _missing("reads.progress", "triggers at a step, work lost", "name a progress file or a log pattern")
    if reads.checkpoints is None:
        yield _missing("reads.checkpoints", "process.torn_checkpoint, forks", "name a pattern of checkpoint files")


def _workload(target: Target) -> Iterator[Finding]:
    workload = target.workload
    if isinstance(workload, AirflowDagWorkload):
        yield from _dag(workload)
        return
    seeded = "{seed}" in str(workload.model_dump(mode="json")) if isinstance(workload, CommandWorkload) else True
    seeded = seeded and (not isinstance(workload, CommandWorkload) or "{seed}" in workload.run)
    if isinstance(workload, DvcStageWorkload | MlflowProjectWorkload) and workload.seed_param is None:
        seeded = False
    if not seeded:
        yield _missing("{seed}", "evidence over seeds: trials are alike, or differ by chance", "take a seed in `run`")
    if not workload.restarts:
        yield _missing(
            "restarts", "recovery from kills: a dead run stays dead", "say how often its runtime restarts it"
        )


def _dag(workload: AirflowDagWorkload) -> Iterator[Finding]:
    if workload.attach is None and "{seed}" not in str(workload.conf):
        yield _missing("{seed}", "evidence over seeds: trials are alike, or differ by chance", "give a param in `conf`")
    if not workload.metrics_task:
        yield _missing(
            "workload.metrics_task", "numbers that a task returns", "name it, or let the DAG write `reads.metrics`"
        )


def _signals(target: Target) -> Iterator[Finding]:
    kinds = sorted({signal.type for signal in target.signals})
    if any(isinstance(signal, GateSignal | AlarmFileSignal | AirflowSignal) for signal in target.signals):
        yield good("signals", ", ".join(kinds))
    else:
        said = ", ".join(kinds) or "none"
        yield note(
            "signals", f"{said} only: whatever does not crash counts as unnoticed  (add a gate or an alarm file)"
        )


def _missing(field: str, rules_out: str, add: str) -> Finding:
    return note(field, f"missing: rules out {rules_out}  ({add})")
