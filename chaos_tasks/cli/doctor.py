"""`squall doctor`: what is wrong with this installation, its servers and its targets, each with its remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from textwrap import TextWrapper
from typing import TYPE_CHECKING

import click

from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.cli.findings import Finding, Level, bad, good, note, warn
from chaos_tasks.errors import SquallError
from chaos_tasks.inventory import read_target
from chaos_tasks.settings import Settings, find_settings

if TYPE_CHECKING:
    from chaos_tasks.ledger import DatabaseLedger
    from chaos_tasks.ledger.verify import Verification

_MARKS = {Level.GOOD: ("ok", "green"), Level.NOTE: ("--", None), Level.WARN: ("!!", "yellow"), Level.BAD: ("NO", "red")}


@click.command("doctor")
@click.option(
    "--trial", "target", metavar="TARGET", help="Also run one control trial of this target, without any fault."
)
@click.option(
    "--fork",
    "fork_at",
    metavar="STEP",
    type=click.IntRange(min=1),
    help="With --trial: also fork a control from that one at a step, and compare the two bit for bit.",
)
@click.option("--iam", is_flag=True, help="Only: the least rights of injector and reverter, and what they have beyond.")
@click.option("--json", "as_json", is_flag=True, help="With --iam: as JSON.")
@click.option("--no-trial", is_flag=True, help="With a TARGET: without the control trial.")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[TARGET | EXPERIMENT...]")
def doctor_command(
    target: str | None, fork_at: int | None, iam: bool, as_json: bool, no_trial: bool, files: tuple[Path, ...]
) -> int:
    """Check settings, installation, ledger, sweeper, servers and targets.

    With a TARGET: that one, field by field, and one control trial without any fault.

    With --iam: the union of the least policies for the given experiments, by default for all faults that the inventory
    allows; fails where an identity may do more, and where that cannot be read.

    Exit code 0 when nothing is wrong, 2 otherwise.  `--` and `!!` are worth knowing and no problem.
    """
    if iam:
        from chaos_tasks.cli.iam_check import iam_check

        return iam_check(find_settings(), files, as_json=as_json)
    if len(files) > 1 or as_json:
        raise click.UsageError("experiments and --json go with --iam")
    if fork_at is not None and target is None:
        raise click.UsageError("--fork needs --trial TARGET")
    settings = _with_addresses(find_settings())
    if files:
        return _one_target(settings, str(files[0]), trial=not no_trial)
    return _everything(settings, target, fork_at)


def _one_target(settings: Settings, name: str, *, trial: bool) -> int:
    """The installation in short, and all of one target."""
    from chaos_tasks.cli.installation_check import installation_findings
    from chaos_tasks.cli.target_check import target_findings, trial_findings
    from chaos_tasks.cli.target_fields import field_findings

    settings.entry(name)
    around = [
        *installation_findings(),
        *_home(settings),
        *_credentials(settings),
        *_named(settings),
        *_ledger(settings),
    ]
    found = [one for one in around if one.level is not Level.GOOD]
    in_order = sorted({one.subject for one in around} - {one.subject for one in found})
    found.insert(0, good("around it", f"in order: {', '.join(in_order)}"))
    found += target_findings(settings, name, fields=False)
    readable = not any(one.level is Level.BAD and one.subject == name for one in found)
    if readable:
        with suppress(SquallError):
            found += field_findings(read_target(settings, name, keep_unset=True))
    if readable and trial:
        found += trial_findings(settings, name)
    wrong = _tell(found, folded=True)
    if not wrong:
        click.echo(f"next:  squall suggest {name}")
    return wrong


def _everything(settings: Settings, target: str | None, fork_at: int | None) -> int:
    from chaos_tasks.cli.installation_check import installation_findings
    from chaos_tasks.cli.pool_check import pool_findings
    from chaos_tasks.cli.target_check import target_findings

    found = [good("settings", f"{settings.root / 'squall.toml'}: {len(settings.targets)} targets")]
    found += [
        *installation_findings(),
        *_home(settings),
        *_credentials(settings),
        *_named(settings),
        *_ledger(settings),
        *_servers(settings),
        *pool_findings(settings),
    ]
    found += _mlflow(settings)
    for name in sorted(settings.targets):
        found += target_findings(settings, name)
    if target is not None:
        from chaos_tasks.cli.fork_check import fork_findings
        from chaos_tasks.cli.target_check import trial_findings

        found += trial_findings(settings, target) if fork_at is None else fork_findings(settings, target, fork_at)
    return _tell(found)


WIDTH = 100


def _tell(found: Iterable[Finding], *, folded: bool = False) -> int:
    counted: Counter[Level] = Counter()
    before = ""
    for finding in found:
        counted[finding.level] += 1
        lines = _lines(finding, "" if finding.subject == before else finding.subject) if folded else _plain(finding)
        for line, colour in lines:
            click.secho(line, fg=colour)
        before = finding.subject
    wrong = counted[Level.BAD]
    click.echo(f"\n{wrong} wrong, {counted[Level.WARN]} worth knowing, {counted[Level.GOOD]} in order")
    return ExitCode.INVALID if wrong else ExitCode.HELD


def _plain(finding: Finding) -> Iterator[tuple[str, str | None]]:
    """A line for each, as long as it is: for grep."""
    mark, colour = _MARKS[finding.level]
    yield f"{mark}  {finding.subject:<14} {finding.text}", colour
    if finding.remedy:
        yield f"      -> {finding.remedy}", None


def _lines(finding: Finding, subject: str) -> Iterator[tuple[str, str | None]]:
    """In three columns, folded at 100; a long name has a line of its own, and a name is not repeated."""
    mark, colour = _MARKS[finding.level]
    if len(subject) > 17:
        yield f"    {subject}", None
        subject = ""
    first = f"{mark}  {subject:<17} "
    indent = " " * len(first)
    yield from ((line, colour) for line in _folded(finding.text, first, indent))
    if finding.remedy:
        yield from ((line, None) for line in _folded(finding.remedy, f"{indent}-> ", f"{indent}   "))


def _folded(text: str, first: str, then: str) -> list[str]:
    fold = TextWrapper(
        WIDTH, initial_indent=first, subsequent_indent=then, break_long_words=False, break_on_hyphens=False
    )
    return [line for part in text.splitlines() or [""] for line in fold.wrap(part) or [first]]


def _home(settings: Settings) -> Iterator[Finding]:
    import shutil

    from chaos_tasks.safety import lever
    from chaos_tasks.safety.guards import MIN_FREE_BYTES

    existing = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    text = f"{free / 2**30:.1f} GB free below {settings.home}"
    yield (
        good("disk", text)
        if free >= MIN_FREE_BYTES
        else bad("disk", text, f"free some: {MIN_FREE_BYTES >> 20} MB are needed")
    )
    reason = lever.pulled(settings.home)
    if reason is not None:
        yield warn("lever", f"the safety lever is pulled: {reason}", "`squall resume` once it is safe")


def _credentials(settings: Settings) -> Iterator[Finding]:
    if not settings.credentials_file:
        yield note("credentials", "no credentials file; targets without cloud resources need none")
        return
    path = Path(settings.credentials_file)
    if not path.is_file():
        yield bad("credentials", f"{path} does not exist", "mend SQUALL_CREDENTIALS, or run `squall up`")
    elif path.stat().st_mode & 0o077:
        yield bad("credentials", f"{path} can be read by others", f"chmod 600 {path}")
    else:
        yield good("credentials", f"{path} is its owner's alone")


def _named(settings: Settings) -> Iterator[Finding]:
    """Credentials that are connections of Airflow: as this process would read them, and nothing of what they hold."""
    from chaos_tasks.connections import connection

    for name, told in sorted(settings.connections.items()):
        conn_id = told.partition(":")[2]
        try:
            kind = connection(conn_id, settings.variables)
            found = ", ".join(sorted(kind.credential)) or "the default chain"
            yield good("connections", f"{name} is {told} ({kind.conn_type}: {found})")
        except SquallError as error:
            yield warn("connections", f"{name}: {error.message}", error.remedy)


def _with_addresses(settings: Settings) -> Settings:
    """Addresses that are connections of Airflow filled in; what cannot be read shows where it is used."""
    from chaos_tasks.composition import connected

    try:
        return connected(settings)
    except SquallError:
        return settings


def _ledger(settings: Settings) -> Iterator[Finding]:
    from chaos_tasks.ledger import open_ledger
    from chaos_tasks.ledger.verify import verify
    from chaos_tasks.tracking.reach import without_password

    url = without_password(settings.ledger_url)
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        yield note("ledger", f"{url} is not there yet; the first run makes it")
        return
    try:
        with closing(open_ledger(settings.ledger_url)) as ledger:
            found = verify(ledger)
            yield _verified(url, found)
            yield from _watch(settings, ledger)
    except SquallError as error:
        yield bad("ledger", f"{url}: {error.message}", error.remedy or "start its server with `squall up`")


def _verified(url: str, found: Verification) -> Finding:
    """A run that was killed never got its verdict: the log is whole all the same, and says so."""
    text = f"{url}: {found.size} records"
    if not (found.integrity.ok and found.order.ok):
        return bad("ledger", f"{text}, and they do not verify", "`squall audit verify` names the records")
    if not found.completeness.ok:
        first = found.completeness.first[0].what if found.completeness.first else "something has no end"
        return warn("ledger", f"{text}, integrity and order hold; {first}", "`squall audit verify` lists all of them")
    return good("ledger", f"{text}, integrity, order and completeness hold")


def _watch(settings: Settings, ledger: DatabaseLedger) -> Iterator[Finding]:
    from chaos_tasks.model.handle import OPEN_PHASES, Phase, how_to_free
    from chaos_tasks.safety.guards import is_fresh, last_watch
    from chaos_tasks.safety.lever import in_ledger
    from chaos_tasks.targets.process import host

    beat, now = last_watch(ledger), ledger.now()
    seen = "never" if beat is None else f"{(now - beat).total_seconds():.0f} s ago"
    if is_fresh(beat, now, settings.sweeper_max_age_s):
        yield good("sweeper", f"alive, last seen {seen}")
        if not is_fresh(last_watch(ledger, host()), now, settings.sweeper_max_age_s):
            yield note(
                "sweeper",
                f"none on this host ({host()}): no process here is hurt until `squall sweep --watch` runs here",
            )
    else:
        yield note(
            "sweeper", f"none is watching (last seen: {seen}); `squall run` starts its own, `squall up` keeps one"
        )
    for one in in_ledger(ledger):
        yield warn("lever", f"pulled for all hosts: {one}", "`squall resume` once it is safe")
    states = ledger.handles(phases=OPEN_PHASES)
    for state in states:
        if state.phase is Phase.UNREVERTED:
            yield bad("handles", f"{state.handle.id} is not reverted", how_to_free(state.handle.id, state.phase.value))
    yield note("handles", f"{len(states)} open") if states else good("handles", "nothing is open")


def _servers(settings: Settings) -> Iterator[Finding]:
    from chaos_tasks.lab.ports import LabPorts, is_free
    from chaos_tasks.lab.stack import ProcessState, status

    lines = status(settings.home)
    dead = [line for line in lines if line.state is ProcessState.DEAD]
    running = [line.name for line in lines if line.state is ProcessState.RUNNING]
    for line in dead:
        log = f"look into {line.log}, then " if line.log else ""
        yield bad("servers", f"{line.name} was started and is gone", f"{log}`squall down`, then `squall up`")
    if running:
        yield good("servers", f"running: {', '.join(running)}")
        return
    yield note("servers", "the embedded servers are not running; `squall up` starts them")
    with suppress(SquallError):
        taken = [
            f"{name} {port}" for name, port in LabPorts.from_settings({}).model_dump().items() if not is_free(port)
        ]
        if taken:
            remedy = "before `squall up`: move ours in [lab.ports] of squall.toml, or SQUALL_PORT_<NAME>"
            yield warn("ports", f"somebody else listens on {', '.join(taken)}", remedy)


def _mlflow(settings: Settings) -> Iterator[Finding]:
    from chaos_tasks.tracking.reach import require, without_password

    uri = without_password(settings.mlflow_uri)
    try:
        require(settings.mlflow_uri)
    except SquallError as error:
        yield warn("mlflow", error.message, error.remedy)
    else:
        yield good("mlflow", f"{uri} answers")
