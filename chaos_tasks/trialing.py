"""From a plan to one trial's specification: command, streams, credentials, firings."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from chaos_tasks.model.base import Value
from chaos_tasks.model.plan import Plan, Recorder
from chaos_tasks.model.spec import Companion, FiringSpec, ForkSpec, TrialSpec
from chaos_tasks.model.target import DvcStageWorkload, Ec2InstanceResource, GateSignal, RedisStreamResource, S3Resource
from chaos_tasks.model.trial import Arm, Launch, SignalEvent, Trial, TrialStatus
from chaos_tasks.planning import stream_prefix
from chaos_tasks.redacting import reveal

if TYPE_CHECKING:
    from chaos_tasks.workspaces import Workspaces


class Prepared(Value):
    """A data version after its set-up steps: where it is, and whether the pipeline accepted it."""

    repo: str
    data: str
    prepared: str
    sealed: str = ""
    refused_by: str = ""
    failed_at: str = ""
    exit_code: int = 0
    error: str = ""
    started_at: datetime
    ended_at: datetime

    @property
    def usable(self) -> bool:
        """Whether trials can run on it."""
        return not self.refused_by and not self.failed_at

    @property
    def seconds(self) -> float:
        """How long the set-up took."""
        return (self.ended_at - self.started_at).total_seconds()


def trial_id(plan: Plan, arm: Arm, seed: int, rung: str = "") -> str:
    """Id of a trial: the same for every try; one of a cheap rung names it."""
    return f"{plan.run_id}/{arm.value}/{seed}" + (f"/{rung}" if rung else "")


def trial_spec(
    plan: Plan,
    arm: Arm,
    seed: int,
    prepared: Prepared,
    workspaces: Workspaces,
    recorder: Recorder,
    firings: Sequence[FiringSpec],
    *,
    rung: str = "",
    fork: ForkSpec | None = None,
    incarnation: int = 0,
) -> TrialSpec:
    """All that the supervisor needs to run one trial; ``fork``: the checkpoint that it goes on from.

    ``incarnation``: what the process that asks acts under, and its supervisor with it.
    """
    from chaos_tasks.workloads.airflow_dag import dag_of
    from chaos_tasks.workloads.command import render, render_environment
    from chaos_tasks.workloads.containment import allowed_below
    from chaos_tasks.workloads.environment import interpreter_first

    target = plan.target
    folder = workspaces.trial_dir(plan.run_id, arm, seed, rung)
    forked = plan.experiment.analysis.fork
    kept = forked.at_step if forked and arm is Arm.CONTROL and not rung else None
    values = _values(plan, arm, seed, rung, prepared, folder, workspaces.python)
    environment = render_environment(target, values)
    workspaces.lay_out_store(environment.get("MLFLOW_TRACKING_URI", ""), Path(values["out"]))
    reads = target.reads
    return TrialSpec(
        trial_id=trial_id(plan, arm, seed, rung),
        run_id=plan.run_id,
        experiment=plan.experiment.name,
        arm=arm,
        seed=seed,
        command=tuple(
            _revealed(word)
            for word in (*render(target, values, arm), *_more_arguments(plan, rung, fork), *_shown(plan))
        ),
        cwd=prepared.repo,
        environment={
            "PATH": interpreter_first(workspaces.python, os.environ.get("PATH", "")),
            **{name: _revealed(text) for name, text in environment.items()},
            **workspaces.credentials(target),
        },
        out=values["out"],
        checkpoints=values["checkpoints"],
        metrics_file=reads.metrics,
        predictions_file=reads.predictions.path if reads.predictions else "",
        progress=reads.progress,
        checkpoint_glob=reads.checkpoints or "",
        signals=target.signals,
        label_delay_s=target.label_delay.total_seconds(),
        timeout_s=target.workload.timeout.total_seconds(),
        restarts=target.workload.restarts,
        companions=_relays(plan, arm, seed, rung),
        watched=_watched(plan, prepared),
        permitted=allowed_below(prepared.repo, target.permitted),
        dag=dag_of(target),
        pid_file=_pid_file(plan),
        firings=tuple(firings),
        lease_s=plan.experiment.guards.lease.total_seconds(),
        keep_checkpoint_at=kept,
        keep_in=str(folder / "kept") if kept is not None else "",
        fork=fork,
        rung=rung,
        incarnation=incarnation,
        plan_sha256=plan.content_sha256,
        recorder=recorder,
    )


def _revealed(text: str) -> str:
    """Secrets stand in the plan by the name of their variable, and are filled in for the workload alone."""
    return reveal(text, os.environ)


def _shown(plan: Plan) -> tuple[str, ...]:
    """DVC is asked, which takes seconds, only where a check wants to know."""
    from chaos_tasks.probes.dvc_reads import KINDS

    asked = any(check.probe in KINDS for check in plan.experiment.steady_state)
    return ("--show",) if asked and isinstance(plan.target.workload, DvcStageWorkload) else ()


def _more_arguments(plan: Plan, rung: str, fork: ForkSpec | None) -> tuple[str, ...]:
    """What a cheap rung adds to the command line, and a fork whose data are not those of its control."""
    from chaos_tasks.workloads.command import render_line

    workload = plan.target.workload
    changed = any(place.type == "dvc" for place in plan.places.values())
    added = [(f"workload.rungs.{rung}", workload.rungs.get(rung, ""))] if rung else []
    added += [("workload.fork_changed", workload.fork_changed)] if fork is not None and changed else []
    return tuple(word for what, line in added if line for word in render_line(line, {}, what=what))


def _values(
    plan: Plan, arm: Arm, seed: int, rung: str, prepared: Prepared, folder: Path, python: str
) -> Mapping[str, str]:
    from chaos_tasks.workloads.command import resource_values

    out, checkpoints = folder / "out", folder / "checkpoints"
    for path in (out, checkpoints):
        path.mkdir(parents=True, exist_ok=True)
    values = {
        "python": python,
        "squall": sys.executable,
        "seed": str(seed),
        "data": prepared.data,
        "prepared": prepared.prepared,
        "sealed": prepared.sealed,
        "repo": prepared.repo,
        "out": str(out),
        "checkpoints": str(checkpoints),
        "trial": trial_id(plan, arm, seed, rung).replace("/", "-"),
    }
    values.update(resource_values(plan.target))
    for name, resource in plan.target.resources.items():
        if isinstance(resource, RedisStreamResource):
            before, after = _stream_keys(plan, name, arm, seed, rung)
            values.update({f"{name}.produce_key": before, f"{name}.consume_key": after})
    return values


def _watched(plan: Plan, prepared: Prepared) -> tuple[str, ...]:
    """The checkout, where a stage of DVC's does not write its outputs into it, and what the target names."""
    own = () if isinstance(plan.target.workload, DvcStageWorkload) else (prepared.repo,)
    return (*own, *plan.target.watch)


def _stream_keys(plan: Plan, resource: str, arm: Arm, seed: int, rung: str) -> tuple[str, str]:
    """Where a trial's producer writes and where its consumer reads; the relay stands between, in both arms."""
    stream = plan.target.resources[resource]
    assert isinstance(stream, RedisStreamResource)  # noqa: S101  (narrowing; callers checked)
    base = f"{stream_prefix(stream.key, plan.run_id)}:{arm.value}-{seed}" + (f"-{rung}" if rung else "")
    return f"{base}:in", f"{base}:out"


def _relays(plan: Plan, arm: Arm, seed: int, rung: str) -> tuple[Companion, ...]:
    relays = []
    for name, resource in plan.target.resources.items():
        if isinstance(resource, RedisStreamResource):
            before, after = _stream_keys(plan, name, arm, seed, rung)
            # A control's relay listens below another prefix, so that it may run while the fault is in.
            control = stream_prefix(resource.key, plan.run_id) + (":clean" if arm is Arm.CONTROL else "")
            command = (sys.executable, "-m", "chaos_tasks.targets.relay", "--url", resource.url)
            keys = ("--from", before, "--to", after, "--control", control)
            relays.append(Companion(name=f"relay-{name}", command=(*command, *keys)))
    return tuple(relays)


def _pid_file(plan: Plan) -> str:
    bound = (one.pid_file for one in plan.target.resources.values() if isinstance(one, Ec2InstanceResource))
    return next(bound, "")


def credential_names(plan: Plan) -> tuple[str, ...]:
    """Names of the credentials that the workload runs with."""
    return tuple(one.credentials for one in plan.target.resources.values() if isinstance(one, S3Resource))


def void_trial(plan: Plan, arm: Arm, seed: int, why: str, now: datetime, rung: str) -> Trial:
    """The result where a trial could not even be started as it was meant to be: it says nothing."""
    return Trial(
        id=trial_id(plan, arm, seed, rung),
        run_id=plan.run_id,
        arm=arm,
        seed=seed,
        status=TrialStatus.VOID,
        started_at=now,
        ended_at=now,
        wall_s=0.0,
        error=why,
        rung=rung,
    )


def blocked_trial(plan: Plan, arm: Arm, seed: int, prepared: Prepared) -> Trial:
    """The result where the data version never reached the workload: refused by the gate, or a set-up step failed."""
    from chaos_tasks.workloads.harvest import once_labelled

    refused = bool(prepared.refused_by)
    name = "gate" if refused else "exit_code"
    detail = f"{prepared.refused_by or prepared.failed_at} ended with exit code {prepared.exit_code}"
    signal = SignalEvent(name=name, at=prepared.ended_at, detail=detail)
    if refused and any(isinstance(one, GateSignal) and one.needs_labels for one in plan.target.signals):
        signal = once_labelled(signal, plan.target.label_delay.total_seconds())
    return Trial(
        id=trial_id(plan, arm, seed),
        run_id=plan.run_id,
        arm=arm,
        seed=seed,
        status=TrialStatus.BLOCKED if refused else TrialStatus.FAILED,
        started_at=prepared.started_at,
        ended_at=prepared.ended_at,
        wall_s=prepared.seconds,
        launches=(
            Launch(pid=0, started_at=prepared.started_at, ended_at=prepared.ended_at, exit_code=prepared.exit_code),
        ),
        signals=(signal,),
        error=detail,  # what it printed stays in its log: it may quote rows
        stands_for=len(plan.seeds),
    )
