"""`squall plan`: what a run would do, how risky it is, how long it may take, and whether anything refuses it now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from chaos_tasks.campaign import request_of
from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.cli.numbers import INTENSITY
from chaos_tasks.cli.people import asker
from chaos_tasks.cli.run import load
from chaos_tasks.errors import GuardTripped
from chaos_tasks.inventory import read_target
from chaos_tasks.model.duration import format_duration
from chaos_tasks.model.experiment import Experiment
from chaos_tasks.model.plan import Overrides, Plan
from chaos_tasks.safety.lasting import longest
from chaos_tasks.safety.risk import risk_of
from chaos_tasks.settings import find_settings

if TYPE_CHECKING:
    from chaos_tasks.composition import Squall


@click.command("plan")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--seeds", type=click.IntRange(1, 200), help="Paired trials instead of the file's.")
@click.option("--intensity", type=INTENSITY, help="Intensity of every step instead of the file's.")
@click.option("--outside-window", metavar="REASON", default="", help="As for `squall run`.")
def plan_command(file: Path, seeds: int | None, intensity: float | None, outside_window: str) -> int:
    """Show what a run of FILE would do; nothing is written and nothing is touched.

    Exit code: 0 when it could start now, 4 when something refuses it.
    """
    loaded = load(file)
    from chaos_tasks.composition import build

    overrides = Overrides(seeds=seeds, intensity=intensity, outside_window=outside_window[:300])
    # A missing sweeper refuses nothing here: `squall run` starts its own.
    settings = find_settings().model_copy(update={"require_sweeper": False})
    with build(settings=settings) as squall:
        _risks(squall, loaded.experiment)
        name = f"plan-{squall.clock.now():%Y%m%d-%H%M%S}.{loaded.experiment.name}"
        try:
            plan = squall.engine.plan(request_of(loaded, name, overrides=overrides, requested_by=asker()))
        except GuardTripped as error:
            click.secho(f"\nwould be refused now: {error}", fg="yellow")
            return ExitCode.ABORTED
    _show(plan)
    return ExitCode.HELD


def _risks(squall: Squall, experiment: Experiment) -> None:
    target = read_target(squall.settings, experiment.target)
    environment = squall.settings.entry(experiment.target).environment
    click.echo(f"{experiment.name} on target {experiment.target} ({environment})")
    for step in experiment.method:
        found = risk_of(step, target, environment)
        click.echo(f"  step {step.name}: {step.fault} on {step.target}; {found.undo}; risk {found.risk}: {found.why}")


def _show(plan: Plan) -> None:
    click.echo(
        f"  seeds {plan.seeds[0]} to {plan.seeds[-1]}, data {plan.data_digest[:12]} at {plan.source_commit[:12]}"
    )
    click.echo(f"  takes at most {format_duration(longest(plan, injected=False))}")
    for lock in plan.locks:
        click.echo(f"  lock {'exclusive' if lock.exclusive else 'shared   '}  {lock.key}")
    click.echo("nothing refuses it now")
