"""`squall run`: one experiment in one process, without Airflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from chaos_tasks.campaign import request_of
from chaos_tasks.cli.approvals import await_approval
from chaos_tasks.cli.attending import attended
from chaos_tasks.cli.exit_codes import exit_code
from chaos_tasks.cli.numbers import INTENSITY, SECONDS
from chaos_tasks.cli.people import asker
from chaos_tasks.judging.wording import numbers
from chaos_tasks.loading import LoadedExperiment, load_experiment, load_experiments
from chaos_tasks.model.handle import Phase, how_to_free
from chaos_tasks.model.plan import Overrides
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.verdict import CheckState, Verdict
from chaos_tasks.settings import find_settings

if TYPE_CHECKING:
    from chaos_tasks.composition import Squall


@click.command("run")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--seeds", type=click.IntRange(1, 200), help="Paired trials instead of the file's.")
@click.option("--intensity", type=INTENSITY, help="Intensity of every step instead of the file's.")
@click.option("--base-seed", type=int, help="First seed; by default it comes from the date.")
@click.option("--hold", "hold_s", type=SECONDS, help="Seconds that a fault fired during the workload stays in.")
@click.option("--outside-window", metavar="REASON", default="", help="Run outside of the change windows; on record.")
@click.option("--run-id", help="Name of the run; by default one is made from the time.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write a JUnit XML file.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Add a summary to this file, e.g. a job's.")
@click.option("--wait", type=SECONDS, default=0.0, show_default=True, help="Seconds to wait for a busy target.")
@click.option(
    "--approval-wait", type=float, default=0.0, show_default=True, help="Seconds to wait for a second person's answer."
)
@click.option("--quiet", is_flag=True, help="No progress.")
def run_command(
    file: Path,
    seeds: int | None,
    intensity: float | None,
    base_seed: int | None,
    hold_s: float | None,
    outside_window: str,
    run_id: str | None,
    as_json: bool,
    junit: Path | None,
    markdown: Path | None,
    wait: float,
    approval_wait: float,
    quiet: bool,
) -> int:
    """Run one experiment FILE, or the one of that name in the experiments folder; one with a ramp runs its levels.

    Exit code: 0 held, 1 deviated, 2 invalid, 3 inconclusive, 4 aborted, 5 unreverted.
    """
    loaded = load(file)
    from chaos_tasks.composition import build

    overrides = Overrides(
        seeds=seeds, intensity=intensity, base_seed=base_seed, hold_s=hold_s, outside_window=outside_window[:300]
    )
    with build(lock_wait_s=wait) as squall:
        name = run_id or f"run-{squall.clock.now():%Y%m%d-%H%M%S}.{loaded.experiment.name}"
        request = request_of(loaded, name, overrides=overrides, requested_by=asker())
        with attended(squall, name, show=not (quiet or as_json)):
            await_approval(squall, request, wait_s=approval_wait)
            verdict = run_or_ramp(squall, request)
        say_what_is_in(squall, name)
        squall.sealer.after(f"the run {name}")
    if junit is not None:
        from chaos_tasks.reports.junit import junit_xml

        junit.write_text(junit_xml([verdict]), encoding="utf-8")
    if markdown is not None:
        from chaos_tasks.reports.markdown import verdict_markdown

        with markdown.open("a", encoding="utf-8") as summary:
            summary.write(verdict_markdown(verdict))
    click.echo(verdict.model_dump_json(indent=2)) if as_json else show(verdict)
    return exit_code(verdict)


def run_or_ramp(squall: Squall, request: RunRequest) -> Verdict:
    """The whole ramp of an experiment that has one; with an intensity of a person's own, that level alone."""
    experiment = request.experiment
    if experiment.ramp is None:
        return squall.engine.run(request)
    if request.overrides.intensity is None:
        return squall.searches.ramps.run(request)
    alone = experiment.model_copy(update={"ramp": None})
    return squall.engine.run(request.model_copy(update={"experiment": alone}))


def say_what_is_in(squall: Squall, run_id: str) -> None:
    """Why the undo failed, for each fault that the run left in; the verdict names them and says what to do."""
    from chaos_tasks.notifying.notices import unreverted

    for state in squall.ledger.handles(run_id=run_id, phases=[Phase.UNREVERTED]):
        told = unreverted(squall.ledger, state, at=squall.clock.now())
        click.secho(f"squall: {told.sentence}", fg="red", err=True)
        click.secho(f"  -> {how_to_free(state.handle.id, state.phase.value)}", fg="red", err=True)


def load(file: Path) -> LoadedExperiment:
    """By path, or by name as reports print it."""
    if file.suffix == "" and not file.exists():
        named = load_experiments(find_settings().experiments_dir).named(str(file))
        if named is not None:
            return named
    return load_experiment(file)


_COLOURS = {"held": "green", "deviated": "red", "inconclusive": "yellow", "aborted": "yellow", "unreverted": "bold red"}
_MARKS = {CheckState.PASSED: "passed", CheckState.FAILED: "FAILED", CheckState.UNKNOWN: "unknown"}


def show(verdict: Verdict) -> None:
    """Outcome, sentence, and a line for each check."""
    console = Console(highlight=False)
    colour = _COLOURS[verdict.outcome.value]
    console.print(f"\n[{colour}]{verdict.outcome.value}[/{colour}] ({verdict.response.value})  {verdict.experiment}")
    console.print(f"  {verdict.sentence}", markup=False, soft_wrap=True)
    for result in verdict.checks:
        console.print(f"  {_MARKS[result.state]:<8} {result.check}: {result.sentence}", markup=False, soft_wrap=True)
        console.print(f"  {'':<8} {numbers(result)}", style="dim", markup=False, soft_wrap=True)
    console.print(
        f"  run {verdict.run_id}  ->  squall report {verdict.run_id}", style="dim", markup=False, soft_wrap=True
    )
