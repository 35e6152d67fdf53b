"""`squall ramp`, `squall shrink`, `squall repro`: several runs, without Airflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from chaos_tasks.campaign import request_of
from chaos_tasks.cli.attending import attended
from chaos_tasks.cli.exit_codes import ExitCode, exit_code
from chaos_tasks.cli.numbers import SECONDS
from chaos_tasks.cli.people import asker
from chaos_tasks.cli.run import load, show
from chaos_tasks.judging.wording import compact
from chaos_tasks.model.experiment import Ramp
from chaos_tasks.model.plan import Overrides
from chaos_tasks.model.record import SearchEnded
from chaos_tasks.model.verdict import Verdict

if TYPE_CHECKING:
    from chaos_tasks.composition import Squall
    from chaos_tasks.searching.repeating import Repeated


@click.command("ramp")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--levels", help="Increasing intensities instead of the file's, e.g. 0.05,0.1,0.2.")
@click.option("--runs", type=click.IntRange(2, 64), help="At most so many runs instead of the file's.")
@click.option("--seeds", type=click.IntRange(1, 200), help="Paired trials of each run instead of the file's.")
@click.option("--base-seed", type=int, help="First seed; by default it comes from the date.")
@click.option("--run-id", help="Name of the ramp; one that was interrupted goes on under the same name.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.option("--wait", type=SECONDS, default=0.0, show_default=True, help="Seconds to wait for a busy target.")
@click.option("--quiet", is_flag=True, help="No progress.")
def ramp_command(
    file: Path,
    levels: str | None,
    runs: int | None,
    seeds: int | None,
    base_seed: int | None,
    run_id: str | None,
    as_json: bool,
    wait: float,
    quiet: bool,
) -> int:
    """Find the intensity at which the target of experiment FILE no longer holds; each level is a whole run.

    Exit code: that of `squall run`; 1 where it breaks.
    """
    loaded = load(file)
    from chaos_tasks.composition import build

    with build(lock_wait_s=wait) as squall:
        name = run_id or _name(squall, "ramp", loaded.experiment.name)
        request = request_of(loaded, name, overrides=Overrides(seeds=seeds, base_seed=base_seed), requested_by=asker())
        if levels or runs:
            ramp = _ramp(loaded.experiment.ramp, levels, runs)
            request = request.model_copy(update={"experiment": loaded.experiment.model_copy(update={"ramp": ramp})})
        with attended(squall, name, show=not (quiet or as_json)):
            verdict = squall.searches.ramps.run(request)
        ended = squall.searches.found(name)
    click.echo(ended.model_dump_json(indent=2)) if as_json else _show_ramp(verdict, ended)
    return exit_code(verdict)


@click.command("shrink")
@click.argument("run")
@click.option("--check", default="", help="The check that must fail again; by default the first one that failed.")
@click.option("--max-runs", type=click.IntRange(1, 100), default=12, show_default=True, help="At most so many runs.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write the reproducer.")
@click.option("--id", "search_id", help="Name of the search; one that was interrupted goes on under the same name.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.option("--wait", type=SECONDS, default=0.0, show_default=True, help="Seconds to wait for a busy target.")
@click.option("--quiet", is_flag=True, help="No progress.")
def shrink_command(
    run: str,
    check: str,
    max_runs: int,
    out: Path | None,
    search_id: str | None,
    as_json: bool,
    wait: float,
    quiet: bool,
) -> int:
    """Reduce RUN, which deviated, to a smaller experiment that still does: fewer steps, columns, seeds, less of it.

    RUN may be a ramp that broke.  Writes an experiment file, by default below Squall's home.
    """
    from chaos_tasks.composition import build

    with build(lock_wait_s=wait) as squall:
        name = search_id or _name(squall, "shrink", run)
        with attended(squall, name, show=not (quiet or as_json)):
            ended = squall.searches.shrinks.run(name, run, check=check, max_runs=max_runs)
        path = _write(ended, name, out, squall.settings.home)
    if as_json:
        click.echo(ended.model_dump_json(indent=2))
        return ExitCode.HELD
    console = Console(highlight=False)
    console.print(f"\n{ended.sentence}", markup=False, soft_wrap=True)
    _table(console, ended)
    console.print(f"  reproducer  {path}  ->  squall run {path}", style="dim", markup=False, soft_wrap=True)
    return ExitCode.HELD


@click.command("repro")
@click.argument("ident")
@click.option("--anyway", is_flag=True, help="Run on what is there now, also where it is another version.")
@click.option("--id", "search_id", help="Name of the repetition; by default one is made from the time.")
@click.option("--json", "as_json", is_flag=True, help="Print both verdicts as JSON.")
@click.option("--wait", type=SECONDS, default=0.0, show_default=True, help="Seconds to wait for a busy target.")
@click.option("--quiet", is_flag=True, help="No progress.")
def repro_command(ident: str, anyway: bool, search_id: str | None, as_json: bool, wait: float, quiet: bool) -> int:
    """Repeat the run or search IDENT exactly: same experiment, version, seeds and overrides; compare the verdicts.

    Exit code 0 when both verdicts agree, 1 when they do not.
    """
    from chaos_tasks.composition import build

    with build(lock_wait_s=wait) as squall:
        name = search_id or _name(squall, "repro", ident)
        with attended(squall, name, show=not (quiet or as_json)):
            repeated = squall.searches.repeats.run(name, ident, anyway=anyway)
    if as_json:
        click.echo(repeated.model_dump_json(indent=2))
    else:
        _show_repeated(repeated)
    return ExitCode.HELD if repeated.ended.agrees else ExitCode.DEVIATED


def _name(squall: Squall, what: str, of: str) -> str:
    """'ramp-20260115-020000.label-noise'; of a run within a search or a campaign, its last part."""
    return f"{what}-{squall.clock.now():%Y%m%d-%H%M%S}.{of.split('.', 1)[-1]}"


def _ramp(ramp: Ramp | None, levels: str | None, runs: int | None) -> Ramp:
    """The file's ramp with what was asked for instead; raises click's BadParameter."""
    told: dict[str, object] = ramp.model_dump() if ramp else {}
    try:
        if levels:
            told["levels"] = [float(level) for level in levels.split(",")]
        if runs:
            told["runs"] = runs
        return Ramp.model_validate(told)
    except ValidationError as error:
        raise click.BadParameter(error.errors()[0]["msg"], param_hint="--levels") from None
    except ValueError:
        raise click.BadParameter(f"{levels!r} are no numbers with commas between", param_hint="--levels") from None


def _write(ended: SearchEnded, name: str, out: Path | None, home: Path) -> Path:
    """Write the reproducer as an experiment file."""
    from chaos_tasks.searching.reproducer import as_yaml, reproducer

    assert ended.reproducer is not None  # noqa: S101  (a reduction's own record)
    small = reproducer(ended.reproducer)
    path = out or home / "reproducers" / f"{small.name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    comment = (
        f"Reproducer of run {ended.of}: {ended.sentence}\nFound by search {name}; `squall repro {name}` runs it again."
    )
    path.write_text(as_yaml(small, comment), encoding="utf-8")
    return path


def _show_ramp(verdict: Verdict, ended: SearchEnded) -> None:
    show(verdict)
    _table(Console(highlight=False), ended)


def _table(console: Console, ended: SearchEnded) -> None:
    table = Table("run", "asked", "came out", "trials", box=None, pad_edge=False)
    for run in ended.runs:
        reused = f" (+{run.reused} reused)" if run.reused else ""
        table.add_row(f"  {run.run_id}", run.asked, run.answer.value, f"{run.trials - run.reused}{reused}")
    console.print(table)


def _show_repeated(repeated: Repeated) -> None:
    console = Console(highlight=False)
    colour = "green" if repeated.ended.agrees else "red"
    console.print(f"\n[{colour}]{'agrees' if repeated.ended.agrees else 'does not agree'}[/{colour}]  ", end="")
    console.print(repeated.ended.sentence, markup=False, soft_wrap=True)
    table = Table("", repeated.before.run_id, repeated.after.run_id, box=None, pad_edge=False)
    table.add_row("  outcome", repeated.before.outcome.value, repeated.after.outcome.value)
    table.add_row("  response", repeated.before.response.value, repeated.after.response.value)
    after = {check.check: check for check in repeated.after.checks}
    for check in repeated.before.checks:
        table.add_row(
            f"  {check.check}", compact(check), compact(after[check.check]) if check.check in after else "none"
        )
    for one in repeated.ended.differences:
        if not one.what.startswith("check ") and one.what not in ("outcome", "response"):
            table.add_row(f"  {one.what}", one.before, one.after)
    console.print(table)
