"""Commands about evidence: report and audit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chaos_tasks.auditing.answers import FIVE, Finding, Question, State
from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.errors import LedgerError

if TYPE_CHECKING:
    from chaos_tasks.composition import Squall
    from chaos_tasks.evidence.body import Scope


@click.command("report")
@click.argument("name", required=False)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day of a period, in UTC.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Day after the period's last; by default tomorrow.")
@click.option("--target", "targets", multiple=True, help="Only runs on this target; may be given again.")
@click.option("--owner", "owners", multiple=True, help="Only this owner's runs; may be given again.")
@click.option("--framework", default="", help="Only controls of this framework, such as dora or nist-800-53.")
@click.option("--to", default="", help="A folder, or s3://bucket/prefix, that the evidence pack is copied to.")
@click.option("--sign-as", "signers", multiple=True, help="A person in [keys] persons who signs the pack as well.")
def report_command(
    name: str | None,
    since: datetime | None,
    until: datetime | None,
    targets: tuple[str, ...],
    owners: tuple[str, ...],
    framework: str,
    to: str,
    signers: tuple[str, ...],
) -> int:
    """Write the report of a night, a run or an experiment's last run called NAME, of a period, or of the last night.

    HTML, JSON and Markdown.  Of a period it is an evidence pack: the same and PDF, CSV and OSCAL, with its records,
    proofs and attestations, a signed list of all of it, and a verifier that needs no Squall.
    """
    of_period = bool(since or until or targets or owners or framework or to or signers)
    if name and of_period:
        raise click.UsageError("give a name or a period, not both")
    from chaos_tasks.composition import build

    with build() as squall:
        if of_period:
            end = (until or datetime.now(UTC) + timedelta(days=1)).replace(tzinfo=UTC)
            end = end if until else end.replace(hour=0, minute=0, second=0, microsecond=0)
            begin = (since or end - timedelta(days=7)).replace(tzinfo=UTC)
            if end <= begin:
                raise click.UsageError(f"the period ends on {end:%Y-%m-%d}, before it begins on {begin:%Y-%m-%d}")
            return _pack(squall, squall.packs.scope(begin, end, targets, owners, framework), to, signers)
        if name is None:
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


def _pack(squall: Squall, scope: Scope, to: str, signers: tuple[str, ...]) -> int:
    packed = squall.packs.make(scope, to=to, signers=signers)
    click.echo(packed.screen)
    click.echo(f"\nReport  {packed.folder / 'report.html'}")
    click.echo(f"Pack    {packed.archive}{'' if packed.signed else ' (not signed)'}")
    for one in packed.elsewhere:
        click.echo(f"Also    {one}")
    for one in packed.missing:
        click.secho(f"Without {one}", fg="yellow")
    return ExitCode.HELD


@click.group("audit")
def audit_command() -> None:
    """Check the ledger."""


@audit_command.command("erase")
@click.argument("numbers", nargs=-1, type=click.IntRange(0))
@click.option("--run", "run_id", help="Every payload of this run.")
@click.option("--reason", required=True, help="Why; on record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase_command(numbers: tuple[int, ...], run_id: str | None, reason: str, yes: bool) -> int:
    """Erase payloads of the records with these NUMBERS, or of a run: for good, and proofs stay valid.

    Copies that were made before, in MLflow, in reports and in backups, are not reached.
    """
    if bool(numbers) == bool(run_id):
        raise click.UsageError("give numbers of records, or --run")
    from chaos_tasks.cli.people import me
    from chaos_tasks.composition import build
    from chaos_tasks.erasing import Eraser
    from chaos_tasks.ledger.database_ledger import DatabaseLedger

    if not yes:
        click.confirm("What is erased cannot be brought back. Go on?", abort=True)
    with build() as squall:
        if not isinstance(squall.ledger, DatabaseLedger):
            raise LedgerError("this ledger keeps no log to erase from", remedy="use SQLite or PostgreSQL")
        eraser = Eraser(squall.ledger, me(), reason, squall.clock, squall.engine.parts.recorder)
        erased = eraser.of_run(run_id) if run_id else tuple(seq for seq in numbers if eraser.one(seq))
    click.echo(f"erased the payloads of {len(erased)} records; copies in MLflow, reports and backups are not reached")
    return ExitCode.HELD


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
