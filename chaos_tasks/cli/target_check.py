"""What the doctor finds about one target: its file, its source, which faults apply, and what a trial leaves behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from chaos_tasks import catalogue, registry
from chaos_tasks.cli.findings import Finding, bad, good, note, warn
from chaos_tasks.errors import SquallError
from chaos_tasks.inventory import read_target
from chaos_tasks.model.identity import IdentityCheck
from chaos_tasks.model.target import AirflowDagWorkload, AlarmFileSignal, Target
from chaos_tasks.settings import Settings, TargetEntry

if TYPE_CHECKING:
    from chaos_tasks.composition import Squall
    from chaos_tasks.model.plan import Plan
    from chaos_tasks.model.spec import TrialSpec
    from chaos_tasks.model.trial import Trial
    from chaos_tasks.trialing import Prepared


def target_findings(settings: Settings, name: str, *, fields: bool = True) -> Iterator[Finding]:
    """Look at one target of the inventory; without ``fields``, what it leaves out is another's to say."""
    subject, entry = name, settings.entry(name)
    if entry.environment not in settings.environments:
        allowed = ", ".join(settings.environments)
        yield note(subject, f"environment {entry.environment}: nothing may be injected there (only in: {allowed})")
    try:
        target = read_target(settings, name)
    except SquallError as error:
        yield _unreadable(settings, name, error)
        return
    yield from _source(subject, target, fields)
    yield from _mirror(subject, target)
    yield from _dag(settings, subject, target)
    yield from _faults(subject, target, entry)


def _unreadable(settings: Settings, name: str, error: SquallError) -> Finding:
    """A file that is right but for variables that the servers set is no problem while they are down."""
    try:
        read_target(settings, name, keep_unset=True)
    except SquallError:
        return bad(name, error.message, error.remedy or "mend the target file; `squall validate` checks it")
    return note(name, "its file is right; its source is not known while the servers are down (`squall up`)")


def _mirror(subject: str, target: Target) -> Iterator[Finding]:
    """A private copy that `squall init` made grows old when the pipeline goes on."""
    from chaos_tasks.discovery import mirror

    copy = Path(target.source.repo)
    note_of = mirror.note_of(copy) if copy.is_dir() else None
    if note_of is None:
        return
    root = Path(note_of.root)
    if not root.is_dir():
        yield note(subject, f"its private copy is of {root}, which is gone")
    elif mirror.digest_of(root) != note_of.digest:
        yield warn(
            subject,
            f"{root} has changed since its private copy was made",
            f"squall init --renew --name {subject} {root}",
        )


def _dag(settings: Settings, subject: str, target: Target) -> Iterator[Finding]:
    """Whether a run of its DAG could begin, and end."""
    from chaos_tasks.clients import from_environment
    from chaos_tasks.workloads.dag_preflight import check_dag

    workload = target.workload
    if not isinstance(workload, AirflowDagWorkload):
        return
    try:
        clients = from_environment({"SQUALL_CREDENTIALS": settings.credentials_file})
        dag = check_dag(target, workload, clients)
    except SquallError as error:
        yield bad(subject, error.message, error.remedy)
        return
    how = "hit by its schedule" if workload.attach is not None else "started for each trial"
    yield good(subject, f"DAG {dag.dag_id} at {workload.connection.url}: {how}")


def _source(subject: str, target: Target, fields: bool) -> Iterator[Finding]:
    from chaos_tasks.targets import dvc

    source = target.source
    try:
        version = dvc.resolve(source)
    except SquallError as error:
        yield bad(subject, error.message, error.remedy or "mend `source` in the target file")
        return
    sealed = "a sealed set" if version.sealed else "no sealed set"
    yield good(subject, f"{source.repo} at {version.commit[:12]}: {len(version.data)} data files, {sealed}")
    if not fields:
        yield from _servers(subject, target, version.commit)
    if version.sealed is None and fields:
        remedy = "name a DVC-tracked evaluation set in `source.sealed`"
        yield warn(subject, "metrics come from data that faults may reach", remedy)


def _servers(subject: str, target: Target, commit: str) -> Iterator[Finding]:
    """An MLflow server whose address stands in the pipeline's code gets the runs of all trials."""
    from chaos_tasks.discovery.knowing import scripts_of
    from chaos_tasks.tracking.reach import without_password

    for name, facts in scripts_of(target, commit):
        for one in facts.servers:
            text = f"{name}, line {one.line}: its MLflow server {without_password(one.text)} stands in the code"
            remedy = "a trial that runs it logs there: let it read MLFLOW_TRACKING_URI, or keep the server out of reach"
            yield warn(subject, text, remedy)


def _faults(subject: str, target: Target, entry: TargetEntry) -> Iterator[Finding]:
    """Which registered faults can run on it, and what rules out the others of its families."""
    allowed: list[str] = []
    ruled_out: dict[str, list[str]] = {}
    for kind in registry.fault_kinds():
        if kind.partition(".")[0] not in entry.families:
            continue
        why = catalogue.ruled_out(kind, target, disposable=entry.disposable)
        ruled_out.setdefault(why, []).append(kind) if why else allowed.append(kind)
    families = ", ".join(entry.families) or "none"
    yield good(subject, f"families {families}: {', '.join(allowed) or 'no fault applies'}")
    for why, kinds in ruled_out.items():
        yield note(subject, f"ruled out: {', '.join(kinds)} ({why})")
    yield from _identities(subject, entry, allowed)


_LOCAL = frozenset({"data", "process", "stream", "airflow"})
"""Families on whose places nothing tells one identity from another: the inventory has to say so."""


def _identities(subject: str, entry: TargetEntry, allowed: list[str]) -> Iterator[Finding]:
    families = {kind.partition(".")[0] for kind in allowed} & _LOCAL
    silent = sorted(family for family in families if not entry.identities.waived(IdentityCheck.PRINCIPALS, family))
    if silent:
        remedy = (
            f'add [[targets.{subject}.identities.not_applicable]] to squall.toml: check = "principals", the families, '
            "and the reason"
        )
        yield bad(subject, f"identities: nothing tells who is who for {', '.join(silent)}, so runs are refused", remedy)


def trial_findings(settings: Settings, name: str) -> Iterator[Finding]:
    """Run one control trial without any fault, and say what it left behind of what `reads` names."""
    from chaos_tasks.composition import build

    try:
        target = read_target(settings, name)
        with build(settings=settings) as squall:
            plan = unregistered_plan(squall, target)
            spec, trial = _run(squall, plan)
    except SquallError as error:
        yield bad(name, f"no trial could be run: {error.message}", error.remedy or "mend the target file")
        return
    yield from _left_behind(name, target, spec, trial)
    if trial.status.value == "completed":
        _keep(settings, name, plan, trial)


def _keep(settings: Settings, name: str, plan: Plan, trial: Trial) -> None:
    """For `squall suggest`: the numbers that there are, and how long a trial takes."""
    from chaos_tasks.discovery.knowing import Control, control_note

    path = control_note(settings.home, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = Control(commit=plan.source_commit, wall_s=trial.wall_s, metrics=trial.metrics)
    path.write_text(kept.model_dump_json(), encoding="utf-8")


def unregistered_plan(squall: Squall, target: Target, *, fork_at: int | None = None) -> Plan:
    """A plan that is never registered: nothing is armed, so there is nothing to put on record."""
    from chaos_tasks.model.experiment import Experiment
    from chaos_tasks.model.request import RunRequest
    from chaos_tasks.planning import Source, make_plan

    check = {"name": "completed", "probe": "workload.completed", "tolerance": {"type": "exactly", "value": True}}
    unreached = {"at": "progress", "step": (fork_at or 0) + 1}
    never = {"name": "none", "fault": "process.kill", "target": "workload", "trigger": unreached}
    analysis = {"seeds": 1, **({"fork": {"at_step": fork_at}} if fork_at else {})}
    told = {"name": "doctor", "hypothesis": "The target runs without any fault.", "owner": "squall doctor"}
    experiment = Experiment.model_validate(
        {**told, "target": target.name, "steady_state": [check], "method": [never], "analysis": analysis}
    )
    version = squall.engine.parts.workspaces.resolve(target)
    now = squall.clock.now()
    return make_plan(
        RunRequest(run_id=f"doctor-{now:%Y%m%d-%H%M%S}.{target.name}", experiment=experiment),
        target,
        Source(version.commit, version.data_digest),
        environment=squall.settings.entry(target.name).environment,
        home=squall.settings.home,
        now=now,
    )


def _run(squall: Squall, plan: Plan) -> tuple[TrialSpec, Trial]:
    from chaos_tasks.model.plan import Recorder
    from chaos_tasks.model.trial import Arm
    from chaos_tasks.trialing import trial_spec

    prepared = prepare_clean(squall, plan)
    spec = trial_spec(plan, Arm.CONTROL, plan.seeds[0], prepared, squall.engine.parts.workspaces, Recorder(), ())
    runner = squall.open_runner(plan)
    try:
        return spec, runner.run(spec)
    finally:
        runner.close()


def prepare_clean(squall: Squall, plan: Plan) -> Prepared:
    """The clean data version after its set-up steps; raises WorkloadError where one of them fails."""
    from chaos_tasks.errors import WorkloadError
    from chaos_tasks.model.trial import Arm

    workspaces = squall.engine.parts.workspaces
    Path(plan.workspace).mkdir(parents=True, exist_ok=True)
    prepared = workspaces.prepare(plan, Arm.CONTROL, squall.clock)
    if not prepared.usable:
        where = prepared.refused_by or prepared.failed_at
        raise WorkloadError(
            f"set-up step {where} ended with exit code {prepared.exit_code}", remedy=prepared.error[-300:]
        )
    return prepared


def _left_behind(name: str, target: Target, spec: TrialSpec, trial: Trial) -> Iterator[Finding]:
    status = f"a control trial {trial.status.value} in {trial.wall_s:.1f} s"
    if trial.status.value == "completed":
        yield good(name, status)
    else:
        yield bad(name, f"{status}: {trial.error}", _why(spec) or f"look into {spec.out}/workload.log")
    yield _field(name, "reads.metrics", target.reads.metrics, bool(trial.metrics), _numbers(trial))
    reads, out = target.reads, Path(spec.out)
    if reads.predictions is not None:
        path = reads.predictions.path
        yield _field(name, "reads.predictions", path, (out / path).is_file(), "")
    if reads.progress is not None:
        steps = [launch.last_step for launch in trial.launches if launch.last_step is not None]
        yield _field(name, "reads.progress", str(reads.progress.file or reads.progress.log), bool(steps), f"{steps}")
    if reads.checkpoints is not None:
        found = sorted(Path(spec.checkpoints).glob(reads.checkpoints))
        yield _field(name, "reads.checkpoints", reads.checkpoints, bool(found), f"{len(found)} files")
    for signal in target.signals:
        if isinstance(signal, AlarmFileSignal) and not (out / signal.path).exists():
            yield note(name, f"signals: no alarm file {signal.path}, which is right where nothing was wrong")


_TELLING = re.compile(r"^(ModuleNotFoundError|ImportError|FileNotFoundError|KeyError|.*: error: |.*cannot be started)")


def _why(spec: TrialSpec) -> str:
    """The line of its log that says what is missing; others may quote rows, and stay there."""
    try:
        lines = (Path(spec.out) / "workload.log").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    told = next((line for line in reversed(lines[-200:]) if _TELLING.match(line)), "")
    missing = re.match(r"ModuleNotFoundError: No module named '([\w.]+)'", told)
    if missing:
        return (
            f"the interpreter of the run lacks the package {missing[1]}: install it there, or name the pipeline's "
            "own interpreter as `python` in squall.toml or in SQUALL_PYTHON"
        )
    return f"{told}  (more in {spec.out}/workload.log)" if told else ""


def _numbers(trial: Trial) -> str:
    shown = [f"{name} {value:.4g}" for name, value in sorted(trial.metrics.items())]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def _field(name: str, field: str, said: str, found: bool, what: str) -> Finding:
    if found:
        return good(name, f"{field}: found ({what})" if what else f"{field}: found")
    return bad(
        name, f"{field}: the trial left no {said}", f"correct `{field}` in the target file, or let the run write it"
    )
