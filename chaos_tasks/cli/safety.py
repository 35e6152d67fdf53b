"""Commands that make things safe: revert, sweep, halt, resume."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING

import click

from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.cli.numbers import PAUSE
from chaos_tasks.cli.people import me
from chaos_tasks.clock import SystemClock
from chaos_tasks.model.handle import OPEN_PHASES
from chaos_tasks.ports import LedgerReader
from chaos_tasks.runs import Run
from chaos_tasks.settings import find_settings
from chaos_tasks.sweeping import Swept

if TYPE_CHECKING:
    from chaos_tasks.composition import Squall

IDLE_AFTER = timedelta(seconds=60)
LAST_NOTICES_S = 10.0


@click.command("revert")
@click.argument("ident", required=False)
@click.option("--all", "everything", is_flag=True, help="Every open handle.")
def revert_command(ident: str | None, everything: bool) -> int:
    """Revert one handle, one run, or everything that is open; needs nothing but the ledger.

    A run that has nothing in, but holds locks that no living process renews, is ended and gives them back.
    """
    if bool(ident) == everything:
        raise click.UsageError("name a handle or a run, or give --all; `squall status` lists the open ones")
    from chaos_tasks.composition import build

    with build() as squall:
        if everything:
            swept = squall.sweeper.everything(by="person")
        elif squall.ledger.handle(str(ident)) is not None:
            swept = (squall.sweeper.one(str(ident), by="person"),)
        else:
            swept = _run_of(squall, str(ident))
    return _tell(swept, nothing="nothing is open")


@click.command("abandon")
@click.argument("handle_id")
@click.option("--reason", required=True, help="Why its place is gone for good; goes on record with your name.")
def abandon_command(handle_id: str, reason: str) -> int:
    """Give up a fault that can never be put back, since its place is gone; tries to revert it first.

    Where approvals ask for a second person, one has to say the same before the target is free.
    """
    from chaos_tasks.composition import build

    with build() as squall:
        said = squall.abandoning.abandon(handle_id, by=me(), reason=reason)
        click.echo(f"{said.handle_id}  {said.summary}")
        if not said.closed:
            return ExitCode.UNREVERTED
        if Run(squall.ledger, said.run_id).registered() is not None and not squall.ledger.handles(
            run_id=said.run_id, phases=OPEN_PHASES
        ):
            click.echo(f"{said.run_id}  {squall.engine.judge(said.run_id).sentence}")
    return ExitCode.HELD


def _run_of(squall: Squall, ident: str) -> tuple[Swept, ...]:
    """Its handles; and its locks, which it may hold without any, since it was killed before its faults were armed."""
    from chaos_tasks.freeing import free

    if squall.ledger.handles(run_id=ident, phases=OPEN_PHASES):
        return squall.sweeper.run(ident, by="person")
    verdict = free(squall.engine, ident)
    if verdict is not None:
        click.echo(f"freed       {ident}  its locks are given back: {verdict.sentence}")
    elif not squall.ledger.handles(run_id=ident):
        raise click.UsageError(f"no handle or run is called {ident}; `squall status` lists the open ones")
    return ()


@click.command("sweep")
@click.option("--watch", is_flag=True, help="Go on until stopped; this is the process that `squall up` supervises.")
@click.option("--until-idle", is_flag=True, help="With --watch: end once nothing has been under way for a minute.")
@click.option("--every", "every_s", type=PAUSE, default=2.0, show_default=True, help="Seconds between two looks.")
def sweep_command(watch: bool, until_idle: bool, every_s: float) -> int:
    """Revert every fault whose lease is over."""
    from chaos_tasks.composition import build

    with build() as squall:
        if not watch:
            return _tell(squall.sweeper.sweep(), nothing="no lease is over")
        _watch(squall, until_idle=until_idle, every_s=every_s)
    return ExitCode.HELD


def _watch(squall: Squall, *, until_idle: bool, every_s: float) -> None:
    """Notices go through a thread of their own: a slow receiver must not keep a revert waiting."""
    from chaos_tasks.notifying.telling import Later
    from chaos_tasks.watching import Watcher, host_name, service_manager

    later = Later(squall.notifier)
    alive = service_manager(os.environ)
    sweeper = replace(squall.sweeper, notifier=later, alive=alive)
    try:
        watcher = Watcher(sweeper, squall.clock, later, host_name(), _line, alive)
        with ThreadPoolExecutor(1) as aside:  # a place of checkpoints that is slow must not keep a revert waiting
            if not until_idle:
                watcher.seal = lambda: aside.submit(squall.sealer.after, "the time since the last one")
                watcher.seal_every_s = squall.settings.checkpoints.every.total_seconds()
            watcher.watch(every_s=every_s, stop=_stopper(squall, until_idle))
    finally:
        later.close(within_s=LAST_NOTICES_S)


def _stopper(squall: Squall, until_idle: bool) -> Callable[[], bool]:
    told: list[bool] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        told.append(True)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    idle_since = [squall.clock.monotonic()]

    def stop() -> bool:
        if told:
            return True
        if until_idle and _is_under_way(squall.ledger):
            idle_since[0] = squall.clock.monotonic()
        idle = squall.clock.monotonic() - idle_since[0] > IDLE_AFTER.total_seconds()
        return until_idle and idle

    return stop


def _is_under_way(ledger: LedgerReader) -> bool:
    """Whether there is, or may soon be, something to sweep.

    Between its trials' faults, in its baseline and in line a run has no handle that is open, and needs a watcher.
    """
    return bool(ledger.handles(phases=OPEN_PHASES)) or bool(ledger.locked_runs())


def _tell(swept: tuple[Swept, ...], *, nothing: str) -> int:
    if not swept:
        click.echo(nothing)
    for one in swept:
        _line(one)
    return ExitCode.HELD if all(one.reverted for one in swept) else ExitCode.UNREVERTED


def _line(one: Swept) -> None:
    mark = "reverted  " if one.reverted else "UNREVERTED"
    click.echo(f"{mark}  {one.handle_id}  {one.summary}" if one.handle_id else one.summary)


@click.command("halt")
@click.argument("reason")
def halt_command(reason: str) -> int:
    """Pull the safety lever: running experiments stop, new ones are refused, everything open is reverted.

    It reaches every host that shares the ledger; without the ledger, this one.
    """
    from chaos_tasks.composition import build
    from chaos_tasks.safety import lever

    settings = find_settings()
    path = lever.pull(settings.home, reason, SystemClock().now())  # before anything that may fail
    click.echo(f"lever pulled: {path}")
    with build(settings=settings) as squall:
        squall.lever.pull(reason, by=me())
        left = squall.sweeper.elsewhere()
        for state in left:
            click.echo(f"left        {state.handle.id}  {state.handle.place.key}: the sweeper there sees the lever too")
        nothing = "nothing else was open" if left else "nothing was open"
        return _tell(squall.sweeper.halted(by="person"), nothing=nothing)


@click.command("resume")
@click.option("--all-handles", is_flag=True, help="Also what another handle, such as an Airflow Variable, has pulled.")
def resume_command(all_handles: bool) -> int:
    """Release the safety lever: the file on this host, and what `squall halt` wrote into the ledger."""
    from chaos_tasks.composition import build
    from chaos_tasks.safety import lever

    settings = find_settings()
    was_here = lever.pulled(settings.home) is not None
    with build(settings=settings) as squall:
        before = lever.in_ledger(squall.ledger)
        still = squall.lever.release(by=me(), everywhere=all_handles)
    for one in still:
        click.secho(f"still pulled: {one.handle}: {one}\n  -> {_release_of(one.handle)}", fg="yellow", err=True)
    if not still:
        click.echo("lever released" if was_here or before else "the lever was not pulled")
    return ExitCode.ABORTED if still else ExitCode.HELD


def _release_of(handle: str) -> str:
    return f"remove the {handle} (the next task sees it), or `squall resume --all-handles` if it is gone already"


@click.command("prune")
def prune_command() -> int:
    """Delete clones of killed runs, and what targets keep no longer: files of trials, payloads of the ledger."""
    from chaos_tasks.composition import build
    from chaos_tasks.erasing import old_payloads

    with build() as squall:
        clones = squall.disposal.left_behind(by=me())
        runs = squall.disposal.trials(by=me())
        payloads = old_payloads(squall, by=me())
    click.echo(f"clones of {len(clones)} runs, files of {len(runs)} runs and {payloads} payloads deleted")
    return ExitCode.HELD
