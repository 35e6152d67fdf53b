"""Refusals before anything is touched, read top to bottom.  A guard that cannot be evaluated counts as tripped."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from chaos_tasks import registry
from chaos_tasks.errors import GuardTripped, LedgerError, SetupError
from chaos_tasks.model.calendar import ChangeCalendar
from chaos_tasks.model.experiment import Draw, Experiment, Step, When
from chaos_tasks.model.handle import Phase, Reversibility, how_to_free
from chaos_tasks.model.limits import BlastLimits
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.target import AirflowDagWorkload, CommandWorkload, Target
from chaos_tasks.ports import LedgerReader
from chaos_tasks.safety import calendar, lever, limits
from chaos_tasks.safety.data import Copying
from chaos_tasks.safety.lasting import longest, within
from chaos_tasks.safety.lever import Lever
from chaos_tasks.settings import Settings

SWEEPER = "sweeper"
LEFT = "sweeper left"
"""The heartbeat of a watcher that has ended: what it said before counts no more."""

ON_PROCESSES = frozenset({"workload", "task"})
"""Targets of steps whose place is a process, known once it runs; all other places are seen from every host."""

CLOCK_STEP_S = 1.0
"""By so much a clock that is kept right may be put back at once."""

PRODUCTION = frozenset({"production", "prod", "live"})
"""Names of environments in which no scheduled run is attached to, whatever `environments` allows."""

COMPARES_DURATIONS = frozenset({"workload.duration_s"})
_NAME = re.compile(r"[A-Za-z0-9_.~:+-]{1,200}")  # as Airflow allows them
MIN_FREE_BYTES = 200 * 2**20


@dataclass(frozen=True)
class Rules:
    """What the inventory and the settings allow."""

    home: Path
    environments: tuple[str, ...]
    target_environment: str
    disposable: bool
    families: tuple[str, ...]
    require_sweeper: bool
    sweeper_max_age_s: float
    on_airflow: bool
    min_free_bytes: int = MIN_FREE_BYTES
    lever: Lever | None = None
    calendar: ChangeCalendar = field(default_factory=ChangeCalendar)
    limits: BlastLimits = field(default_factory=BlastLimits)
    copying: Copying | None = None


def rules_for(settings: Settings, target: str, *, on_airflow: bool, lever: Lever | None = None) -> Rules:
    """What squall.toml says about a target; raises SetupError for one that is not in the inventory."""
    entry = settings.entry(target)
    return Rules(
        home=settings.home,
        environments=settings.environments,
        target_environment=entry.environment,
        disposable=entry.disposable,
        families=entry.families,
        require_sweeper=settings.require_sweeper,
        sweeper_max_age_s=settings.sweeper_max_age_s,
        on_airflow=on_airflow,
        lever=lever,
        calendar=settings.calendar,
        limits=settings.limits,
        copying=Copying(target, entry.data, settings.data, settings.home, store_region(settings)),
    )


def store_region(settings: Settings) -> str:
    """Region of the store that clones go to; empty without one."""
    told = settings.variables
    return told.get("SQUALL_STORE_REGION", "us-east-1") if told.get("SQUALL_STORE") else ""


def check_request(experiment: Experiment, target: Target, rules: Rules) -> None:
    """What can be refused from the files alone; raises GuardTripped."""
    _environment(target, rules)
    if rules.copying is not None:
        rules.copying.check()
    _attached(experiment, target, rules)
    for step in experiment.method:
        _family(step, target, rules)
        _reversibility(step, target, rules)
        _moment(step, target, rules)
        _place(step, target)
    check_fork(experiment, target)
    _ladder(experiment, target)


def check_again(plan: Plan, rules: Rules) -> None:
    """What the owner of squall.toml may have taken back since the plan was registered; raises GuardTripped.

    A run may have waited for hours, for somebody's yes or for its turn.
    """
    if plan.environment != rules.target_environment:
        raise GuardTripped(
            f"target {plan.target.name} is in environment {rules.target_environment!r} by now; "
            f"run {plan.run_id} was planned, and allowed, for {plan.environment!r}",
            remedy="start a new run",
        )
    check_request(plan.experiment, plan.target, rules)


def check_world(plan: Plan, rules: Rules, ledger: LedgerReader, *, injecting: bool = False) -> None:
    """What depends on the moment: the lever, the calendar, the sweeper, space, other runs; raises GuardTripped."""
    rules.lever.check() if rules.lever is not None else lever.check(rules.home)
    if rules.calendar.windows or rules.calendar.freezes:
        calendar.check(rules.calendar, _asked(plan, ledger, longest(plan, injected=injecting)))
    limits.check(plan, rules.limits, ledger)
    if rules.require_sweeper:
        check_sweeper(rules.sweeper_max_age_s, ledger)
    _space(rules)
    _blast_radius(plan)
    _nothing_unreverted(plan, ledger)


def check_name(run_id: str) -> None:
    """The run's folder is called like the run, so its name may lead nowhere else; raises GuardTripped."""
    if not _NAME.fullmatch(run_id) or not run_id.strip("."):
        raise GuardTripped(
            f"{run_id[:80]!r} is no name for a run",
            remedy="use at most 200 letters, digits and any of _ . ~ : + -",
        )


def check_override(outside_window: str, requested_by: str) -> None:
    """Only a person may run outside of the change windows; raises GuardTripped."""
    if outside_window and requested_by != "person" and not requested_by.startswith("user:"):
        raise GuardTripped(
            f"a run of {requested_by} asks to be let through the change calendar",
            remedy="let a person trigger it, with a reason; schedules and campaigns wait for their window",
        )


def check_running(plan: Plan, rules: Rules, ledger: LedgerReader) -> None:
    """What must stay true while something is in; raises GuardTripped, and LedgerError where it cannot be told."""
    if rules.calendar.windows or rules.calendar.freezes:
        calendar.still_open(rules.calendar, _asked(plan, ledger, timedelta(0)))
    limits.check_running(plan, rules.limits, ledger)
    within(plan, ledger)


def _asked(plan: Plan, ledger: LedgerReader, needs: timedelta) -> calendar.Asked:
    """On the ledger's clock, like leases: a host whose clock is wrong is refused like any other."""
    try:
        now = ledger.now()
    except (LedgerError, SetupError) as error:
        raise GuardTripped(f"the ledger's clock cannot be read: {error.message}", remedy=error.remedy) from error
    return calendar.Asked(plan.environment, plan.target.name, now, needs, plan.overrides.outside_window)


def _environment(target: Target, rules: Rules) -> None:
    if rules.target_environment not in rules.environments:
        allowed = ", ".join(rules.environments)
        raise GuardTripped(
            f"target {target.name} is in environment {rules.target_environment!r}; faults are allowed in: {allowed}",
            remedy="move the experiment to an allowed one, or have the owner of squall.toml widen `environments`",
        )


def _family(step: Step, target: Target, rules: Rules) -> None:
    family = step.fault.partition(".")[0]
    if family not in rules.families:
        allowed = ", ".join(rules.families) or "none"
        raise GuardTripped(
            f"step {step.name}: the inventory allows no {family} faults on target {target.name} (allowed: {allowed})",
            remedy=f"let the owner of squall.toml add {family!r} to [targets.{target.name}].families",
        )


def _reversibility(step: Step, target: Target, rules: Rules) -> None:
    if registry.fault(step.fault).reversibility is Reversibility.IRREVERSIBLE and not rules.disposable:
        raise GuardTripped(
            f"step {step.name}: {step.fault} cannot be undone and target {target.name} is not disposable",
            remedy="use a disposable target",
        )


def _moment(step: Step, target: Target, rules: Rules) -> None:
    _task(step, target)
    dag = isinstance(target.workload, AirflowDagWorkload)
    if step.fault.startswith("airflow.") and not dag and not rules.on_airflow:
        raise GuardTripped(
            f"step {step.name}: {step.fault} needs a running Airflow task to act on",
            remedy="run this experiment through its DAG (`make up`, then trigger it), not with `squall run`",
        )
    if step.target in ON_PROCESSES and not step.fires_during:
        raise GuardTripped(
            f"step {step.name}: {step.fault} acts on a running process, so it needs a trigger during the workload",
            remedy="add `trigger: {at: progress, step: 50}` or another `at` than before",
        )
    if step.target == "data" and step.fires_during:
        raise GuardTripped(
            f"step {step.name}: {step.fault} makes a new data version, which the workload reads at its start",
            remedy="leave out `trigger`, or use `trigger: {at: before}`",
        )
    if step.draw is Draw.PER_TRIAL and not step.fires_during:
        raise GuardTripped(
            f"step {step.name}: a fault that is in before the workload is drawn once for all trials",
            remedy="leave out `draw`, or write `draw: shared`; run more experiments for more draws",
        )
    watches = target.reads.progress is not None or not isinstance(target.workload, CommandWorkload)
    if step.trigger.at == "progress" and not watches:
        raise GuardTripped(
            f"step {step.name}: its trigger waits for progress, and target {target.name} declares none",
            remedy="declare `reads.progress` in the target file, or use `trigger: {at: elapsed, after: 2s}`",
        )


def _attached(experiment: Experiment, target: Target, rules: Rules) -> None:
    """Attach mode hits one run that is not ours: while it runs, beside no control, and never in production."""
    workload = target.workload
    if not isinstance(workload, AirflowDagWorkload) or workload.attach is None:
        return
    if rules.target_environment.lower() in PRODUCTION:
        raise GuardTripped(
            f"target {target.name} is in {rules.target_environment}, and its scheduled runs are real ones",
            remedy="attach to a staging DAG",
        )
    for step in experiment.method:
        if step.target == "data":
            raise GuardTripped(
                f"step {step.name} acts on a clone, and a scheduled run of {workload.dag_id} reads its own data",
                remedy="leave out `attach`, so that a run of ours reads the clone",
            )
        if not step.fires_during:
            raise GuardTripped(
                f"step {step.name} would be in until the next scheduled run of {workload.dag_id}, whenever that is",
                remedy="let it fire in that run: `trigger: {at: elapsed, after: 0s}`, and say how long in `hold`",
            )
    compared = [check.name for check in experiment.steady_state if check.when is When.ALWAYS]
    if compared:
        raise GuardTripped(
            f"check {compared[0]} compares with control trials, and in attach mode there are none",
            remedy="write `when: under_fault`; `history.metric` compares with the earlier runs",
        )
    if experiment.analysis.seeds != 1:
        raise GuardTripped(
            f"{experiment.analysis.seeds} seeds are asked for, and one scheduled run of {workload.dag_id} is hit",
            remedy="write `analysis: {seeds: 1, design: fixed}`",
        )


def _task(step: Step, target: Target) -> None:
    """A task of a DAG is named; whose only process here is the one that watches it, which is no place for a fault."""
    dag = isinstance(target.workload, AirflowDagWorkload)
    if dag and step.target == "workload":
        raise GuardTripped(
            f"step {step.name}: the workload of {target.name} is a DAG, whose tasks run in processes of Airflow's",
            remedy="kill one of its tasks: `fault: airflow.task_kill, target: task, params: {task_id: ...}`",
        )
    if step.target == "task" and bool(step.params.get("task_id")) is not dag:
        raise GuardTripped(
            f"step {step.name}: "
            + (
                "params.task_id is missing"
                if dag
                else f"target {target.name} is no DAG, so it has no task of that name"
            ),
            remedy="name a task of the target's DAG in `params.task_id`" if dag else "leave out `params.task_id`",
        )


def _place(step: Step, target: Target) -> None:
    names = {"data", "workload", "task", *target.resources}
    if step.target not in names:
        raise GuardTripped(
            f"step {step.name}: target {target.name} has no place called {step.target!r}",
            remedy=f"choose one of {', '.join(sorted(names))}",
        )


def check_fork(experiment: Experiment, target: Target) -> None:
    """A treatment goes on from its control's checkpoint only where that can be kept and seen; raises GuardTripped."""
    if experiment.analysis.fork is None:
        return
    workload = target.workload
    if not isinstance(workload, CommandWorkload) or "{checkpoints}" not in workload.run:
        raise GuardTripped(
            f"analysis.fork: the workload of target {target.name} is not told where its checkpoints are",
            remedy="use {checkpoints} in `workload.run`, or leave out `analysis.fork`",
        )
    for name, told in (("checkpoints", target.reads.checkpoints), ("progress", target.reads.progress)):
        if not told:
            raise GuardTripped(
                f"analysis.fork: target {target.name} declares no reads.{name}",
                remedy=f"declare `reads.{name}` in the target file, or leave out `analysis.fork`",
            )
    changed = [step for step in experiment.method if step.target == "data"]
    if changed and not workload.fork_changed:
        raise GuardTripped(
            f"step {changed[0].name} changes the data, and the workload of target {target.name} does not say that it "
            "goes on from a checkpoint of other data",
            remedy="declare `workload.fork_changed` if data may arrive in mid-training, or leave out `analysis.fork`",
        )
    timed = [check.name for check in experiment.steady_state if check.probe in COMPARES_DURATIONS]
    if timed:
        raise GuardTripped(
            f"analysis.fork: check {timed[0]} compares durations, and a forked trial is shorter than its control",
            remedy=f"leave out the check {timed[0]}, or `analysis.fork`",
        )


def _ladder(experiment: Experiment, target: Target) -> None:
    unknown = [rung for rung in experiment.analysis.ladder if rung not in target.workload.rungs]
    if unknown:
        known = ", ".join(sorted(target.workload.rungs)) or "none"
        raise GuardTripped(
            f"analysis.ladder: target {target.name} has no rung called {unknown[0]!r} (it has: {known})",
            remedy="declare it in `workload.rungs` of the target file, or choose one that is there",
        )


def own_beat(host: str) -> str:
    """Name of the heartbeat by which the sweepers of one host are known."""
    return f"{SWEEPER}@{host}"


def own_leave(host: str) -> str:
    """Name of the heartbeat by which the last watcher of one host says that it has ended."""
    return f"{LEFT}@{host}"


def last_watch(ledger: LedgerReader, host: str = "") -> datetime | None:
    """When a sweeper that watches was last heard of; None for never, and where the last one has ended since.

    ``host``: only sweepers of that host count.
    """
    beats, leaves = (own_beat(host), own_leave(host)) if host else (SWEEPER, LEFT)
    beat, left = ledger.last_beat(beats), ledger.last_beat(leaves)
    return None if beat is not None and left is not None and beat <= left else beat


def is_fresh(beat: datetime | None, now: datetime, max_age_s: float) -> bool:
    """Whether whoever beat is taken for alive: a beat from the future, where the database's clock was put back, is not.

    It would look fresh for long, and says nothing.
    """
    return beat is not None and -CLOCK_STEP_S <= (now - beat).total_seconds() <= max_age_s


def check_sweeper(max_age_s: float, ledger: LedgerReader) -> None:
    """Raise GuardTripped unless a sweeper watches: nothing may begin that nobody would put right."""
    seen = _silent(max_age_s, ledger)
    if seen:
        raise GuardTripped(
            f"no sweeper is watching (last heartbeat: {seen})",
            remedy="start one with `squall sweep --watch` (`squall up` supervises one)",
        )


def check_own_sweeper(plan: Plan, rules: Rules, ledger: LedgerReader, host: str) -> None:
    """To be asked on the machine whose processes are to be hurt: no other can see them, hence put them back.

    Raises GuardTripped where none of its own sweepers watches and a step acts on a process.
    """
    bound = [step for step in plan.experiment.method if step.target in ON_PROCESSES]
    seen = _silent(rules.sweeper_max_age_s, ledger, host) if bound and rules.require_sweeper else ""
    if seen:
        raise GuardTripped(
            f"step {bound[0].name}: {bound[0].fault} acts on a process of {host}, which only a sweeper on {host} can "
            f"put back, and none is watching there (last heartbeat: {seen})",
            remedy=f"start `squall sweep --watch` on {host}, beside its worker: each machine needs one",
        )


def _silent(max_age_s: float, ledger: LedgerReader, host: str = "") -> str:
    """When a sweeper was last heard of, where that is too long ago; empty while one watches."""
    try:
        beat, now = last_watch(ledger, host), ledger.now()
    except (LedgerError, SetupError) as error:
        raise GuardTripped(f"the sweeper's heartbeat cannot be read: {error.message}", remedy=error.remedy) from error
    if is_fresh(beat, now, max_age_s):
        return ""
    return "never" if beat is None else f"{(now - beat).total_seconds():.0f} s ago"


def _space(rules: Rules) -> None:
    rules.home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(rules.home).free
    if free < rules.min_free_bytes:
        raise GuardTripped(
            f"only {free / 2**20:.0f} MB are free below {rules.home}; {rules.min_free_bytes / 2**20:.0f} MB are needed",
            remedy="free some space, e.g. with `squall prune`",
        )


def _blast_radius(plan: Plan) -> None:
    limit = plan.experiment.guards.blast_radius
    for step in plan.experiment.method:
        place = plan.places.get(step.name)
        if place is None:
            continue  # a running process is hurt whole or not at all
        share = registry.fault(step.fault).blast_radius(place, registry.fault_params(step.fault, step.params))
        if share > limit:
            raise GuardTripped(
                f"step {step.name} may touch {share:.0%} of {step.target}, above guards.blast_radius = {limit:.0%}",
                remedy="lower the fault's intensity, or raise guards.blast_radius",
            )


def _nothing_unreverted(plan: Plan, ledger: LedgerReader) -> None:
    keys = {lock.key for lock in plan.locks if lock.exclusive}
    for state in ledger.handles(phases=[Phase.UNREVERTED]):
        if state.handle.place.key in keys:
            raise GuardTripped(
                f"{state.handle.place.key} still carries the unreverted fault {state.handle.id}",
                remedy=how_to_free(state.handle.id, state.phase.value),
            )
