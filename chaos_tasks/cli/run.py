"""`squall run`: one experiment in one process, without Airflow."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
from rich.console import Console

from chaos_tasks.campaign import request_of
from chaos_tasks.cli.exit_codes import exit_code
from chaos_tasks.loading import LoadedExperiment, load_experiment, load_experiments
from chaos_tasks.model.plan import Overrides
from chaos_tasks.model.record import RecordKind, Stored, TrialEnd
from chaos_tasks.model.verdict import CheckState, Verdict
from chaos_tasks.settings import find_settings

if TYPE_CHECKING:
    from chaos_tasks.composition import Squall


@click.command("run")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--seeds", type=click.IntRange(1, 200), help="Paired trials instead of the file's.")
@click.option("--intensity", type=float, help="Intensity of every step instead of the file's.")
@click.option("--base-seed", type=int, help="First seed; by default it comes from the date.")
@click.option("--hold", "hold_s", type=float, help="Seconds that a fault fired during the workload stays in.")
@click.option("--run-id", help="Name of the run; by default one is made from the time.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write a JUnit XML file.")
@click.option("--wait", type=float, default=0.0, show_default=True, help="Seconds to wait for a busy target.")
@click.option("--quiet", is_flag=True, help="No progress.")
def run_command(
    file: Path,
    seeds: int | None,
    intensity: float | None,
    base_seed: int | None,
    hold_s: float | None,
    run_id: str | None,
    as_json: bool,
    junit: Path | None,
    wait: float,
    quiet: bool,
) -> int:
    """Run one experiment FILE, or the one of that name in the experiments folder.

    Exit code: 0 held, 1 deviated, 2 invalid, 3 inconclusive, 4 aborted, 5 unreverted.
    """
    loaded = _load(file)
    from chaos_tasks.composition import build

    overrides = Overrides(seeds=seeds, intensity=intensity, base_seed=base_seed, hold_s=hold_s)
    with build(lock_wait_s=wait) as squall:
        name = run_id or f"run-{squall.clock.now():%Y%m%d-%H%M%S}.{loaded.experiment.name}"
        request = request_of(loaded, name, overrides=overrides, requested_by="person")
        with _own_sweeper(squall), _progress(squall, name, show=not (quiet or as_json)), _interruptible():
            verdict = squall.engine.run(request)
    if junit is not None:
        from chaos_tasks.reports.junit import junit_xml

        junit.write_text(junit_xml([verdict]), encoding="utf-8")
    click.echo(verdict.model_dump_json(indent=2)) if as_json else _show(verdict)
    return exit_code(verdict)


def _load(file: Path) -> LoadedExperiment:
    """By path, or by name as reports print it."""
    if file.suffix == "" and not file.exists():
        named = load_experiments(find_settings().experiments_dir).named(str(file))
        if named is not None:
            return named
    return load_experiment(file)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM is a person or a scheduler who wants it to stop: the same as Ctrl-C, so that everything is reverted."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def _own_sweeper(squall: Squall) -> Iterator[None]:
    """Without `squall up` there is no sweeper: run one as a process of its own, which outlives a killed command."""
    from chaos_tasks.safety.guards import SWEEPER

    beat = squall.ledger.last_beat(SWEEPER)
    if beat is not None and squall.ledger.now() - beat < timedelta(seconds=squall.settings.sweeper_max_age_s):
        yield
        return
    from chaos_tasks.cli.sweeper_process import start

    start(squall)
    yield  # it ends by itself once nothing is open


@contextmanager
def _progress(squall: Squall, run_id: str, *, show: bool) -> Iterator[None]:
    """A line per record as it is written, from a connection of its own."""
    if not show:
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_follow, args=(squall, run_id, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=5)


def _follow(squall: Squall, run_id: str, done: threading.Event) -> None:
    console, seen, ending = Console(stderr=True), -1, False
    while not ending:
        ending = done.wait(0.3)  # one more look after the end
        for stored in squall.ledger.records(run_id=run_id, after_seq=seen):
            seen = stored.seq
            line = _line(stored)
            if line:
                console.print(f"[dim]{stored.record.occurred_at:%H:%M:%S}[/dim]  {line}", soft_wrap=True)


def _line(stored: Stored) -> str:
    record, payload = stored.record, stored.record.payload
    if isinstance(payload, TrialEnd):
        trial = payload.trial
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in list(trial.metrics.items())[:3])
        return (
            f"trial      {trial.arm.value:<9} seed {trial.seed}  {trial.status.value}  {trial.wall_s:.1f} s  {numbers}"
        )
    receipt = getattr(payload, "receipt", None)
    if receipt is not None:
        return f"{record.kind.value:<16} {receipt.summary}"
    if record.kind in (RecordKind.INJECT_INTENT, RecordKind.REVERT_INTENT, RecordKind.TRIAL_STARTED):
        return ""
    if record.kind is RecordKind.EVALUATE_VERDICT:
        return ""
    return f"{record.kind.value:<16} {getattr(payload, 'text', '') or getattr(payload, 'error', '')}"


_COLOURS = {"held": "green", "deviated": "red", "inconclusive": "yellow", "aborted": "yellow", "unreverted": "bold red"}
_MARKS = {CheckState.PASSED: "passed", CheckState.FAILED: "FAILED", CheckState.UNKNOWN: "unknown"}


def _show(verdict: Verdict) -> None:
    console = Console(highlight=False)
    colour = _COLOURS[verdict.outcome.value]
    console.print(f"\n[{colour}]{verdict.outcome.value}[/{colour}] ({verdict.response.value})  {verdict.experiment}")
    console.print(f"  {verdict.sentence}", markup=False, soft_wrap=True)
    for result in verdict.checks:
        console.print(f"  {_MARKS[result.state]:<8} {result.check}: {result.sentence}", markup=False, soft_wrap=True)
    console.print(
        f"  run {verdict.run_id}  ->  squall report {verdict.run_id}", style="dim", markup=False, soft_wrap=True
    )
