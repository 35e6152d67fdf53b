"""`python -m tests.airflow_kills` plays the rows; `make airflow-kills` plays all and writes docs/airflow-kills.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from pydantic import TypeAdapter

from tests.airflow_kills.interventions import BY_KEY, ROWS
from tests.airflow_kills.page import page, with_promises
from tests.airflow_kills.playing import play
from tests.airflow_kills.rows import BOTH, Executor, Result, Row
from tests.airflow_kills.stacks import running
from tests.played_code import of_code

ROOT = Path(__file__).resolve().parents[2]
PAGE, RESULTS = ROOT / "docs" / "airflow-kills.md", ROOT / "benchmarks" / "results" / "airflow_kills.json"
PROMISES = ROOT / "docs" / "interventions.md"
NAMES = {"local": Executor.LOCAL, "celery": Executor.CELERY}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 all as promised, 1 something is not."""
    told = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)  # so that the servers are stopped
    if told.pages_of:
        return _write([one for path in told.pages_of for one in _read(path)], len(told.pages_of))
    rows = [BY_KEY[key] for key in told.rows] if told.rows else list(ROWS)
    executors = [NAMES[name] for name in told.on] if told.on else list(BOTH)
    earlier = _read(told.json) if told.json and told.resume else []
    results = list(earlier)
    for executor in executors:
        done = {one.row for one in earlier if one.executor is executor}
        for result in _play(executor, [one for one in rows if executor in one.executors and one.key not in done]):
            results.append(result)
            if told.json:
                told.json.write_bytes(_LIST.dump_json(results, indent=1))
    print(f"{sum(one.green for one in results)} of {len(results)} are as promised")
    if told.write:
        return _write(results)
    return 0 if all(one.green for one in results) else 1


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.airflow_kills", description=__doc__)
    parser.add_argument("rows", nargs="*", help="keys of rows; all by default")
    parser.add_argument("--on", action="append", choices=sorted(NAMES), help="executors; both by default")
    parser.add_argument("--json", type=Path, help="write every result to this file, one by one")
    parser.add_argument("--resume", action="store_true", help="leave out what that file has already")
    parser.add_argument("--pages-of", type=Path, action="append", help="play nothing: write the pages of such files")
    parser.add_argument("--write", action="store_true", help="write docs/airflow-kills.md and benchmarks/results")
    return parser


def _play(executor: Executor, rows: Sequence[Row]) -> Iterator[Result]:
    with ExitStack() as stacks:
        stack = stacks.enter_context(running(executor)) if rows else None
        for row in rows:
            assert stack is not None
            result = play(stack, row)
            _say(result)
            yield result


def _say(result: Result) -> None:
    undone = ", ".join(f"{step} {result.undone_s[step]:g} s ({result.undone_by[step]})" for step in result.undone_s)
    print(
        f"{'    ' if result.green else 'RED '} {result.executor} {result.row}: {undone}; {result.outcome}", flush=True
    )
    print(f"      {result.model_dump_json(exclude={'row', 'executor', 'undone_s', 'undone_by'})}", flush=True)


_LIST = TypeAdapter(list[Result])


def _read(path: Path) -> list[Result]:
    return _LIST.validate_json(path.read_bytes()) if path.exists() else []


def _write(results: Sequence[Result], pieces: int = 0) -> int:
    when = time.strftime("%Y-%m-%d", time.gmtime())
    minutes = sum(one.took_s for one in results) / 60
    machine = f"Linux with {os.cpu_count()} cores and Python {platform.python_version()}"
    code = of_code(one.code for one in results)
    ran = f"Played on {when} in {minutes:.0f} minutes{code}, on {machine}, with Airflow {_airflow()}."
    if pieces > 1:
        ran += f" Put together from {pieces} files of plays, begun anew in between while code was mended; see ADR 0028."
    PAGE.write_text(page(results, ran))
    PROMISES.write_text(with_promises(PROMISES.read_text()))
    RESULTS.write_text(json.dumps({"ran": ran, "rows": _LIST.dump_python(list(results), mode="json")}, indent=1) + "\n")
    return 0 if all(one.green for one in results) else 1


def _airflow() -> str:
    from importlib.metadata import version

    return version("apache-airflow")


if __name__ == "__main__":
    sys.exit(main())
