"""Commands for incidents: what tripped or could not be undone, until somebody closes it with a note."""

from __future__ import annotations

import click

from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.cli.people import me


@click.group("incidents")
def incidents_command() -> None:
    """Stop conditions that tripped and undos that failed."""


@incidents_command.command("list")
@click.option("--all", "everything", is_flag=True, help="Closed ones too.")
def list_command(everything: bool) -> int:
    """Incidents that nobody has closed."""
    from chaos_tasks.approving import incidents
    from chaos_tasks.composition import build

    with build() as squall:
        found = [one for one in incidents.known(squall.ledger) if everything or one.closed is None]
    for one in found:
        end = f"closed by {one.closed.by}: {one.closed.note}" if one.closed else "open"
        click.echo(f"{one.opened.incident_id}  {one.at:%Y-%m-%d %H:%M}  {one.experiment}  {one.opened.what}  [{end}]")
    if not found:
        click.echo("no incident" if everything else "no open incident")
    return ExitCode.HELD


@incidents_command.command("close")
@click.argument("incident_id")
@click.option("--note", required=True, help="What it was and what was done; goes on record with your name.")
def close_command(incident_id: str, note: str) -> int:
    """Close an incident; refused while anything of its run is still in."""
    from chaos_tasks.approving import incidents
    from chaos_tasks.composition import build

    with build() as squall:
        parts = squall.engine.parts
        incidents.close(incident_id, squall.ledger, squall.clock, parts.recorder, by=me(), note=note)
    click.echo(f"{incident_id} is closed")
    return ExitCode.HELD
