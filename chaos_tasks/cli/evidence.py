"""Commands about evidence: report and audit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from chaos_tasks.auditing.answers import FIVE, Finding, Question, State
from chaos_tasks.cli.exit_codes import ExitCode


@click.command("report")
@click.argument("name", required=False)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day of a period.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Day after the period's last; by default tomorrow.")
def report_command(name: str | None, since: datetime | None, until: datetime | None) -> int:
    """Write the report of a night, a run or an experiment's last run called NAME, of a period, or of the last night.

    HTML, JSON and Markdown; a period's also has every record and the log's verification.
    """
    if name and (since or until):
        raise click.UsageError("give a name or a period, not both")
    from chaos_tasks.composition import build

    with build() as squall:
        if since or until:
            end = (until or datetime.now(UTC) + timedelta(days=1)).replace(tzinfo=UTC)
            exported = squall.exports.period((since or end - timedelta(days=7)).replace(tzinfo=UTC), end)
        elif name is None:
            exported = squall.exports.last_night()
        else:
            exported = (
                squall.exports.night(name)
                if name.startswith("night-") and "." not in name
                else squall.exports.run(name)
            )
    click.echo(exported.screen)
    click.echo(f"\nReport  {exported.html}")
    return ExitCode.HELD


@click.group("audit")
def audit_command() -> None:
    """Check the ledger."""


@audit_command.command("checkpoint")
def checkpoint_command() -> int:
    """Sign the head of the log and publish it, once it is proved to extend every head that was published.

    Exit code 3 when it is kept in fewer places than squall.toml names.
    """
    from chaos_tasks.composition import build

    with build() as squall:
        sealed = squall.sealer.seal(why="squall audit checkpoint")
        wanted = len(squall.sealer.places) + len(squall.sealer.witnesses)
    if sealed is None:
        click.echo("nothing was recorded since the last checkpoint")
        return ExitCode.HELD
    click.echo(sealed.note)
    for each in sealed.published:
        click.echo(f"{each.place}  {each.receipt or f'NOT KEPT: {each.error}'}")
    return ExitCode.HELD if sealed.kept == wanted and wanted else ExitCode.INCONCLUSIVE


@audit_command.command("proof")
@click.argument("seq", type=click.IntRange(0))
@click.option("--out", type=click.Path(path_type=Path), help="File to write; by default record-SEQ.tlog-proof.")
def proof_command(seq: int, out: Path | None) -> int:
    """Write the proof that record SEQ is in the log, as others verify it offline (c2sp.org/tlog-proof)."""
    from chaos_tasks.composition import build

    with build() as squall:
        proof = squall.sealer.prove(seq)
    path = out or Path(f"record-{seq}.tlog-proof")
    path.write_text(str(proof), encoding="utf-8")
    click.echo(path)
    return ExitCode.HELD


@audit_command.command("verify")
@click.option(
    "--checkpoint", "files", multiple=True, type=click.Path(path_type=Path), help="A signed head from elsewhere."
)
@click.option("--vkey", "vkeys", multiple=True, help="A public key that may sign heads; given, no other is believed.")
@click.option("--require", "required", multiple=True, type=click.Choice([each.value for each in Question]))
@click.option("--no-views", is_flag=True, help="Do not ask MLflow what it shows.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def verify_command(
    files: tuple[Path, ...], vkeys: tuple[str, ...], required: tuple[str, ...], no_views: bool, as_json: bool
) -> int:
    """Recompute the log from its records, and hold it against every signed head: five answers, never one.

    Exit code 0 when nothing failed and all five (or those named by --require) are shown, 3 otherwise.
    """
    from chaos_tasks.composition import build

    with build() as squall:
        found = squall.audit(files=files, vkeys=vkeys, views=not no_views)
    wanted = tuple(Question(each) for each in required) or FIVE
    code = ExitCode.HELD if found.passes(wanted) else ExitCode.INCONCLUSIVE
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return code
    for question in Question:
        _show(question.value, found.answer(question))
    click.echo(f"\n{found.size} records, root {found.root_sha256}")
    return code


_COLOURS = {State.SHOWN: "green", State.FAILED: "red", State.NOT_SHOWN: "yellow"}


def _show(name: str, finding: Finding) -> None:
    click.secho(f"{name:<16}{finding.state.value:<11}{finding.sentence}", fg=_COLOURS[finding.state])
    for offence in finding.first:
        where = f"record {offence.seq}: " if offence.seq is not None else ""
        click.echo(f"  {where}{offence.what}")
