"""Commands about the embedded stack: up, down, status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.errors import LedgerError, SetupError, SquallError
from chaos_tasks.model.handle import OPEN_PHASES, Phase, how_to_free
from chaos_tasks.settings import Settings, find_settings

if TYPE_CHECKING:
    from chaos_tasks.lab.stack import ProcessStatus
    from chaos_tasks.lab.state import LabState


@click.command("up")
def up_command() -> int:
    """Start the embedded servers, Airflow, MLflow and a sweeper on loopback, and leave them running."""
    settings = find_settings()
    known = start(settings, wait_for_ui=True)
    _where(known)
    click.echo(
        "\nTrigger an experiment in the UI (DAG chaos_on_demand), or type `squall night`.  `squall down` stops all."
    )
    return ExitCode.HELD


def start(settings: Settings, *, wait_for_ui: bool = False) -> LabState:
    """Bring the whole lab up, saying what is being started."""
    from chaos_tasks.lab.__main__ import options_of
    from chaos_tasks.lab.stack import up

    options = options_of(settings, expected_dags=expected_dags(settings), wait_for_mlflow_ui=wait_for_ui)
    return up(options, report=lambda line: click.echo(f"  {line}"))


def expected_dags(settings: Settings) -> frozenset[str]:
    """DAGs that must be there before anything is triggered."""
    from chaos_tasks.campaign import DAG_PREFIX
    from chaos_tasks.loading import load_experiments

    names = {DAG_PREFIX + one.experiment.name for one in load_experiments(settings.experiments_dir).experiments}
    return frozenset({*names, "chaos_nightly", "chaos_on_demand", "chaos_sweeper", "chaos_audit_export"})


def _where(known: LabState) -> None:
    password = known.airflow_password.get_secret_value()
    click.echo(f"\nAirflow  {known.airflow_url}  user {known.airflow_user}, password {password}")
    click.echo(f"MLflow   {known.mlflow_ui_url}")


@click.command("down")
@click.option("--force", is_flag=True, help="Stop even when something could not be reverted.")
def down_command(force: bool) -> int:
    """Revert what is still in, then stop everything that `squall up` started."""
    sweep_then_stop(find_settings(), force=force)
    return ExitCode.HELD


def sweep_then_stop(settings: Settings, *, force: bool) -> None:
    """Stop the lab; whatever is still in is reverted before."""
    from chaos_tasks.lab.stack import down

    stopped = down(settings.home, before_stop=lambda: _sweep(force))
    click.echo(f"stopped: {', '.join(stopped) or 'nothing was running'}")


def _sweep(force: bool) -> None:
    """The servers must not go while something is in: its undo may need them."""
    from chaos_tasks.composition import build

    try:
        with build() as squall:
            swept = squall.sweeper.everything(by="squall down")
    except (LedgerError, SetupError) as error:
        click.secho(f"the ledger cannot be read, so nothing can be swept: {error.message}", fg="yellow", err=True)
        return
    for one in swept:
        click.echo(f"{'reverted' if one.reverted else 'UNREVERTED'}  {one.handle_id}  {one.summary}")
    bad = [one.handle_id for one in swept if not one.reverted]
    if bad and not force:
        raise SquallError(f"still in: {', '.join(bad)}", remedy=f"squall revert {bad[0]}; or `squall down --force`")


@click.command("status")
def status_command() -> int:
    """Show what runs, what is open, and when a sweeper was last seen."""
    from chaos_tasks.lab.stack import ProcessState, status

    settings = find_settings()
    lines = status(settings.home)
    Console().print(_table(lines))
    _open_handles(settings)
    return ExitCode.INCONCLUSIVE if any(line.state is ProcessState.DEAD for line in lines) else ExitCode.HELD


def _table(lines: tuple[ProcessStatus, ...]) -> Table:
    table = Table("part", "state", "pid", "since", "memory", "address", box=None, pad_edge=False)
    for line in lines:
        since = line.since.astimezone().strftime("%H:%M:%S") if line.since else ""
        memory = f"{line.memory_bytes >> 20} MB" if line.memory_bytes else ""
        table.add_row(line.name, line.state.value, str(line.pid or ""), since, memory, line.url)
    return table


def _open_handles(settings: Settings) -> None:
    from chaos_tasks.composition import build
    from chaos_tasks.safety import lever
    from chaos_tasks.safety.guards import last_watch

    reason = lever.pulled(settings.home)
    if reason:
        click.secho(f"\nThe safety lever is pulled: {reason}\n  -> squall resume", fg="yellow")
    try:
        with build(settings=settings) as squall:
            beat, now = last_watch(squall.ledger), squall.ledger.now()
            states = squall.ledger.handles(phases=OPEN_PHASES)
            pulls = lever.in_ledger(squall.ledger)
    except SquallError as error:
        click.secho(f"\nledger: {error}", fg="yellow")
        return
    for one in pulls:
        click.secho(f"\nThe safety lever is pulled for all hosts: {one}\n  -> squall resume", fg="yellow")
    seen = "never" if beat is None else f"{(now - beat).total_seconds():.0f} s ago"
    click.echo(f"\nsweeper last seen: {seen}; open handles: {len(states)}")
    for state in states:
        named, phase = state.handle.id, state.phase
        way = how_to_free(named, phase.value) if phase is Phase.UNREVERTED else f"squall revert {named}"
        click.echo(f"  {phase.value:<10} {state.handle.kind:<24} {named}  -> {way}")
