"""`python -m tests.kill_matrix`: play the matrix; `make kill-matrix` plays all of it and writes docs/kill-matrix.md."""

from __future__ import annotations

import argparse
import gc
import os
import platform
import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

import psutil
from pydantic import TypeAdapter

import tests.conformance.collected
from chaos_tasks import registry
from tests.kill_matrix import children
from tests.kill_matrix.cells import Result
from tests.kill_matrix.lab import Lab
from tests.kill_matrix.matrix import Scope, Told, play_kind
from tests.kill_matrix.page import page
from tests.kill_matrix.standings import STANDINGS, Standing, merged, name_of, standing_of
from tests.played_code import played_code

ROOT = Path(__file__).resolve().parents[2]
PAGE, RESULTS = ROOT / "docs" / "kill-matrix.md", ROOT / "benchmarks" / "results" / "kill_matrix.json"

TRIES = 2  # of a run that nobody strikes: it promises nothing, and is counted before any cell is played


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 all green, 1 something red, 2 a registered kind is not arranged."""
    parser = _parser()
    told = parser.parse_args(arguments)
    if told.write and (told.abandoned or told.lying):
        parser.error("--write is for what was played in earnest: leave out --abandoned and --lying")
    kinds = told.kinds or registry.fault_kinds()
    missing = sorted(set(kinds) - set(tests.conformance.collected.arrangements()))
    if missing:
        print(f"not arranged in tests/conformance, so nobody can kill it: {', '.join(missing)}")
        return 2
    began, code = time.monotonic(), played_code()
    known = _known() if told.write else []
    fresh = {one.kind for one in known if told.since and one.whole and not one.red and one.played_on >= told.since}
    scope = Scope(told.per_kind, told.seed, told.abandoned, told.lying)
    found = _play([kind for kind in kinds if kind not in fresh], scope, told.workers, quiet=told.quiet)
    results = [result for one in found for result in one.results]
    took = time.monotonic() - began
    print(f"{sum(result.green for result in results)} of {len(results)} cells are green, in {took:.0f} s")
    if told.json:
        told.json.write_bytes(TypeAdapter(list[Told]).dump_json(found, indent=1) + b"\n")
    if told.write:
        _write(merged(known, [standing_of(one, _today(), code) for one in found], registry.fault_kinds()))
    played = {one.kind for one in found if not one.failed}
    return 0 if {*played, *fresh} >= set(kinds) and all(result.green for result in results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.kill_matrix", description=__doc__)
    parser.add_argument("kinds", nargs="*", help="kinds of faults; all that are registered by default")
    parser.add_argument("--per-kind", type=int, help="play a sample: so many cells of each kind")
    parser.add_argument("--seed", type=int, default=0, help="what the sample is drawn with")
    parser.add_argument("--abandoned", action="store_true", help="let nobody come after the blow: cells must be red")
    parser.add_argument("--lying", action="store_true", help="let reverts do nothing and say they did: as red as that")
    parser.add_argument("--workers", type=int, default=1, help="kinds at the same time")
    parser.add_argument("--json", type=Path, help="write every result to this file")
    parser.add_argument("--write", action="store_true", help="put it into docs/kill-matrix.md and benchmarks/results")
    parser.add_argument(
        "--since",
        type=date.fromisoformat,
        help="with --write: leave out kinds that were played whole, and green, on or after a day",
    )
    parser.add_argument("--quiet", action="store_true", help="print red cells only")
    return parser


def _play(kinds: Sequence[str], scope: Scope, workers: int, *, quiet: bool) -> list[Told]:
    """Each worker is a process that plays the next kind that nobody plays yet."""
    lab = Lab()
    try:
        lab.start_all()
        reports = [lab.folder / f"{kind}.json" for kind in kinds]
        pids = [
            children.start(lambda: _work(kinds, lab, scope, quiet=quiet), log=None)
            for _ in range(min(workers, len(kinds)))
        ]
        try:
            for pid in pids:
                os.waitpid(pid, 0)
        except KeyboardInterrupt:  # what was played whole is kept
            _end(pids)
        return [Told.model_validate_json(report.read_text()) for report in reports if report.exists()]
    finally:
        lab.close()


def _end(pids: Iterable[int]) -> None:
    """Workers and all that they started: a run that a cell has stopped would stand still for ever."""
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            worker = psutil.Process(pid)
            for one in (worker, *worker.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    one.kill()


def _work(kinds: Iterable[str], lab: Lab, scope: Scope, *, quiet: bool) -> None:
    children.adopt_orphans()
    gc.freeze()  # a collection in each child would copy every page
    for kind in kinds:
        try:
            (lab.folder / f"{kind}.taken").touch(exist_ok=False)
        except FileExistsError:
            continue
        began = time.monotonic()
        told = _told(kind, lab, scope, quiet=quiet)
        (lab.folder / f"{kind}.json").write_text(told.model_dump_json())
        green = sum(result.green for result in told.results)
        print(f"{kind}: {green} of {len(told.results)} green, {time.monotonic() - began:.0f} s", flush=True)


def _told(kind: str, lab: Lab, scope: Scope, *, quiet: bool) -> Told:
    """A kind whose run without a blow fails is tried once more, then told as such: the worker goes on with the next."""
    failed = ""
    for _ in range(TRIES):
        try:
            return play_kind(kind, lab, scope, lambda result: _say(result, quiet=quiet))
        except Exception:  # noqa: BLE001 - whatever breaks a world, the other kinds are played
            failed = traceback.format_exc()
            print(f"RED  {kind} cannot be played: {failed}", flush=True)
    return Told(kind=kind, points=0, cells=0, results=(), failed=failed)


def _say(result: Result, *, quiet: bool) -> None:
    if not result.green:
        print(f"RED  {name_of(result.cell)}: {'; '.join(result.wrong)}", flush=True)
    elif not quiet:
        took = "not reached" if result.recovered_s is None else f"{result.recovered_s:.2f} s"
        print(f"     {name_of(result.cell)}: {took} {result.outcome}", flush=True)


def _known() -> list[Standing]:
    return STANDINGS.validate_json(RESULTS.read_bytes()) if RESULTS.exists() else []


def _today() -> date:
    return datetime.now(UTC).date()


def _write(standings: Sequence[Standing]) -> None:
    machine = f"Linux with {os.cpu_count()} cores and Python {platform.python_version()}"
    never = sorted(set(registry.fault_kinds()) - {one.kind for one in standings})
    PAGE.write_text(page(standings, machine, never))
    RESULTS.write_bytes(STANDINGS.dump_json(list(standings), indent=1) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
