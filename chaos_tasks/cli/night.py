"""`squall night`: one night of experiments under the real scheduler, ending on the first screen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click
from rich.console import Console

from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.cli.numbers import SECONDS
from chaos_tasks.errors import SetupError
from chaos_tasks.model.handle import OPEN_PHASES
from chaos_tasks.model.record import Judged, Note, RecordKind, Stored
from chaos_tasks.settings import Settings, find_settings

if TYPE_CHECKING:
    from chaos_tasks.composition import Squall
    from chaos_tasks.lab.airflow_api import AirflowApi
    from chaos_tasks.lab.state import LabState

DAG = "chaos_nightly"
POLL_S = 1.0
_COLOURS = {"held": "green", "deviated": "red", "unreverted": "bold red"}


@click.command("night")
@click.option("--keep", is_flag=True, help="Leave the servers running afterwards, also when this command started them.")
@click.option(
    "--timeout", "timeout_s", type=SECONDS, default=3600.0, show_default=True, help="Seconds to wait at most."
)
def night_command(keep: bool, timeout_s: float) -> int:
    """Run every nightly experiment on Airflow, and show what came out.

    Exit code 0 when every experiment was judged and everything was reverted, whatever was found.
    """
    settings = find_settings()
    console = Console(highlight=False)
    console.print("[bold]Starting[/bold] the embedded servers and Airflow")
    with _lab(settings, keep) as known:
        # The servers' addresses are known only now that they run.
        return _night(find_settings(), known, console, timeout_s)


@contextmanager
def _lab(settings: Settings, keep: bool) -> Iterator[LabState]:
    """The lab, started unless it runs; what was started here is stopped here."""
    from chaos_tasks.cli.stack import start, sweep_then_stop
    from chaos_tasks.lab.stack import ProcessState, status

    running = any(line.name == "scheduler" and line.state is ProcessState.RUNNING for line in status(settings.home))
    try:
        yield start(settings)
    finally:
        if not running and not keep:
            click.echo("\nStopping the servers (`make up` starts them again for looking around)")
            sweep_then_stop(settings, force=False)


def _night(settings: Settings, known: LabState, console: Console, timeout_s: float) -> int:
    from chaos_tasks.composition import build
    from chaos_tasks.lab.airflow_api import AirflowApi

    with (
        build(settings=settings) as squall,
        AirflowApi(known.airflow_url, known.airflow_user, known.airflow_password.get_secret_value()) as api,
    ):
        _complain_about_broken_files(api, console)
        run = api.trigger(DAG, {})
        campaign_id = _follow(squall, api, run.run_id, console, timeout_s)
        exported = squall.exports.night(campaign_id, over=True)
        click.echo(f"\n{exported.screen}")  # laid out already: not to be wrapped again
        click.echo(f"\nReport  {exported.html}")
        return _code(squall, campaign_id)


def _complain_about_broken_files(api: AirflowApi, console: Console) -> None:
    for failure in api.import_failures():
        console.print(
            f"[yellow]import error[/yellow] {failure.filename}\n{failure.stack_trace.strip().splitlines()[-1]}"
        )


def _follow(squall: Squall, api: AirflowApi, dag_run_id: str, console: Console, timeout_s: float) -> str:
    """Print a line per verdict until the night's DAG run is over; returns the campaign's id."""
    deadline, started = time.monotonic() + timeout_s, time.monotonic()
    campaign_id, seen, told = "", -1, 0
    runs: frozenset[str] = frozenset()
    while True:
        over = api.run(DAG, dag_run_id).finished  # asked first, so that the last look sees everything
        if not campaign_id:
            campaign_id, runs, seen = _planned(squall, api, dag_run_id)
            if campaign_id:
                console.print(
                    f"[bold]Night[/bold] {campaign_id}: {len(runs)} experiments; {_swept(squall, campaign_id)}"
                )
        for stored in squall.ledger.records(
            kinds=(RecordKind.EVALUATE_VERDICT, RecordKind.RUN_REFUSED), after_seq=seen
        ):
            seen = stored.seq
            if stored.record.run_id in runs:  # not the parts of a search
                told += 1
                console.print(_line(stored, told, len(runs), time.monotonic() - started))
        if over:
            break
        if time.monotonic() > deadline:
            raise SetupError(
                f"the night has not ended within {timeout_s:.0f} s",
                remedy="`squall status` shows what is open; `squall halt REASON` reverts it",
            )
        time.sleep(POLL_S)
    if not campaign_id:
        raise SetupError("the night could not be planned", remedy=f"look at the log of {DAG}'s task `plan` in the UI")
    return campaign_id


def _planned(squall: Squall, api: AirflowApi, dag_run_id: str) -> tuple[str, frozenset[str], int]:
    from chaos_tasks.lab.airflow_api import AirflowApiError

    with suppress(AirflowApiError):
        name = str(api.xcom(DAG, dag_run_id, "plan", "campaign_id") or "")
        for stored in squall.ledger.records(run_id=name, kinds=(RecordKind.CAMPAIGN_PLANNED,)) if name else ():
            if isinstance(stored.record.payload, Note):
                runs = _names(stored.record.payload.facts.get("runs"))
                return name, frozenset(str(run) for run in runs), stored.seq
    return "", frozenset(), -1


def _swept(squall: Squall, campaign_id: str) -> str:
    found = squall.ledger.records(run_id=campaign_id, kinds=(RecordKind.CAMPAIGN_SWEPT,))
    texts = [one.record.payload.text for one in found if isinstance(one.record.payload, Note)]
    return f"boot sweep: {texts[0]}" if texts else "the boot sweep is not on record yet"


def _line(stored: Stored, number: int, planned: int, seconds: float) -> str:
    payload = stored.record.payload
    head = f"[dim]{seconds:4.0f} s  {number:>2}/{planned}[/dim]  "
    if isinstance(payload, Judged):
        verdict = payload.verdict
        colour = _COLOURS.get(verdict.outcome.value, "yellow")
        return (
            f"{head}[{colour}]{verdict.outcome.value:<12}[/{colour}] {verdict.response.value:<9} {verdict.experiment}"
        )
    text = payload.text if isinstance(payload, Note) else ""
    return f"{head}[yellow]refused     [/yellow]           {stored.record.experiment}: {text}"


def _code(squall: Squall, campaign_id: str) -> int:
    """0 when all that was planned has a verdict and nothing is in any more."""
    planned = [
        str(run)
        for stored in squall.ledger.records(run_id=campaign_id, kinds=(RecordKind.CAMPAIGN_PLANNED,))
        if isinstance(stored.record.payload, Note)
        for run in _names(stored.record.payload.facts.get("runs"))
    ]
    judged = {stored.record.run_id for stored in squall.ledger.records(kinds=(RecordKind.EVALUATE_VERDICT,))}
    open_runs = [run for run in planned if squall.ledger.handles(run_id=run, phases=OPEN_PHASES)]
    missing = [run for run in planned if run not in judged]
    for run in open_runs:
        click.secho(f"still in: {run}  -> squall revert {run}", fg="red", err=True)
    for run in missing:
        click.secho(f"not judged: {run}  -> look at its DAG run in Airflow", fg="yellow", err=True)
    if open_runs:
        return ExitCode.UNREVERTED
    return ExitCode.INCONCLUSIVE if missing else ExitCode.HELD


def _names(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []
