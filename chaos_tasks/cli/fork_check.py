"""What the doctor finds about forks of one target: an A/A test, a control forked from a control, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from chaos_tasks.cli.findings import Finding, bad, good, warn
from chaos_tasks.cli.target_check import prepare_clean, unregistered_plan
from chaos_tasks.errors import SquallError, WorkloadError
from chaos_tasks.inventory import read_target
from chaos_tasks.safety.guards import check_fork
from chaos_tasks.settings import Settings

if TYPE_CHECKING:
    from chaos_tasks.composition import Squall
    from chaos_tasks.model.plan import Plan
    from chaos_tasks.model.trial import Trial

WHOLE_STATE = (
    "let a checkpoint hold all state: weights, optimiser, random generators, the place in the data; until this is "
    "right, leave out `analysis.fork`"
)


def fork_findings(settings: Settings, name: str, at_step: int) -> Iterator[Finding]:
    """Run a control that keeps its checkpoint, and another one forked from it, without any fault; compare them."""
    from chaos_tasks.composition import build

    try:
        target = read_target(settings, name)
        with build(settings=settings) as squall:
            plan = unregistered_plan(squall, target, fork_at=at_step)
            check_fork(plan.experiment, target)
            control, forked = _run_both(squall, plan)
    except SquallError as error:
        yield bad(name, f"no fork could be tried: {error.message}", error.remedy or "mend the target file")
        return
    yield from compare(name, control, forked)


def _run_both(squall: Squall, plan: Plan) -> tuple[Trial, Trial]:
    from chaos_tasks.forking import NoFork, fork_of
    from chaos_tasks.model.plan import Recorder
    from chaos_tasks.model.trial import Arm
    from chaos_tasks.trialing import trial_spec

    prepared, workspaces = prepare_clean(squall, plan), squall.engine.parts.workspaces
    runner = squall.open_runner(plan)
    try:
        control = runner.run(trial_spec(plan, Arm.CONTROL, plan.seeds[0], prepared, workspaces, Recorder(), ()))
        fork = fork_of(plan, control)
        if fork is None or isinstance(fork, NoFork):
            why = fork.why if fork else "nothing asks for one"
            raise WorkloadError(why, remedy="fork at a later step, or let the workload save checkpoints more often")
        spec = trial_spec(plan, Arm.TREATMENT, plan.seeds[0], prepared, workspaces, Recorder(), (), fork=fork)
        return control, runner.run(spec)
    finally:
        runner.close()


def compare(name: str, control: Trial, forked: Trial) -> Iterator[Finding]:
    """A fork is faithful when it ends with its control's metrics, every bit of them."""
    for what, trial in (("the control", control), ("the fork", forked)):
        if trial.status.value != "completed":
            yield bad(name, f"{what} {trial.status.value}: {trial.error}", f"look into {trial.out}, or {WHOLE_STATE}")
            return
    differing = _differing(control, forked)
    if differing:
        yield bad(name, f"the fork differs from its control in {', '.join(differing)}", WHOLE_STATE)
        return
    start = forked.fork.step if forked.fork else 0
    text = f"forked at the checkpoint of step {start}: the control's {len(control.metrics)} metrics, bit for bit"
    yield good(name, f"{text}; {start} steps saved, {forked.wall_s:.1f} s instead of {control.wall_s:.1f} s")
    others = sorted(file for file in control.files if control.files[file] != forked.files.get(file))
    if others:
        yield warn(name, f"{', '.join(others)} differ in their bytes", "no harm if only times or the like differ")


def _differing(control: Trial, forked: Trial) -> list[str]:
    """Names of metrics with two values; NaN is NaN."""
    names = sorted({*control.metrics, *forked.metrics})
    return [one for one in names if repr(control.metrics.get(one)) != repr(forked.metrics.get(one))]
