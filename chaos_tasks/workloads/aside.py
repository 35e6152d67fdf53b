"""`python -m chaos_tasks.workloads.aside`: run a pipeline as its authors do, in a copy of its files of one trial's own.

For a pipeline that knows no folder for its results: it writes where it always writes, into the copy; of that, only the
numbers that it leaves or prints and the files that were asked for reach {out}, and the copy is deleted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from chaos_tasks.workloads.dvc_repro import set_parameters
from chaos_tasks.workloads.environment import interpreter_first

TREE = "tree"
LEFT_OUT = (".git", ".dvc", ".squall", ".venv", "venv", "node_modules", "__pycache__")
PYTHON = re.compile(r"^(?:.*/)?python(?:\d+(?:\.\d+)?)?$")
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)", re.IGNORECASE)


def main(arguments: Sequence[str]) -> int:
    """Exit code of the first command that fails, else 0."""
    options = _parse(arguments)
    out = Path(options.out)
    tree = out / TREE
    if not tree.is_dir():  # a run that is started again finds what it left
        _copy(Path(options.copy_of), tree)
        set_parameters(tree / options.params_file, options.param)
    printed: dict[str, float] = {}
    patterns = dict(_pattern(text) for text in options.printed)
    for command in options.run:
        code = _run(command, tree / options.cwd, options.python, patterns, printed)
        if code:
            return code
    left = dict(_numbers_of(tree / options.cwd, options.metrics))
    logged = dict(_logged(os.environ.get("MLFLOW_TRACKING_URI", "")))
    (out / "metrics.json").write_text(json.dumps({**logged, **printed, **left}, indent=2), encoding="utf-8")
    for name in options.keep:
        _keep(tree / options.cwd / name, out / name)
    shutil.rmtree(tree, ignore_errors=True)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="aside", description=__doc__)
    parser.add_argument("--copy-of", required=True, help="Folder of the data version.")
    parser.add_argument("--out", required=True, help="Folder of the trial.")
    parser.add_argument("--python", default=sys.executable, help="What `python` means in the commands.")
    parser.add_argument("--cwd", default=".", help="Folder in the copy in which the commands run.")
    parser.add_argument("--run", action="append", required=True, help="A command; may be given more than once.")
    parser.add_argument("--param", action="append", default=[], help="NAME=VALUE for the parameters file.")
    parser.add_argument("--params-file", default="params.yaml")
    parser.add_argument("--metrics", action="append", default=[], help="A JSON or YAML file with numbers.")
    parser.add_argument("--printed", action="append", default=[], help="NAME=REGEX with one group: a printed number.")
    parser.add_argument("--keep", action="append", default=[], help="A file that the trial keeps.")
    return parser.parse_args(arguments)


def _copy(source: Path, tree: Path) -> None:
    """Copy, never link: what the pipeline writes must not reach the version that other trials read."""
    partial = tree.with_name(f".{tree.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for path in partial.rglob("*"):  # files out of a cache are read-only
        if path.is_file() and not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o600)
    partial.rename(tree)


def _pattern(text: str) -> tuple[str, re.Pattern[str]]:
    name, _, pattern = text.partition("=")
    return name, re.compile(pattern)


def _run(
    command: str, folder: Path, python: str, patterns: Mapping[str, re.Pattern[str]], printed: dict[str, float]
) -> int:
    """Run one command without a shell, hand its output on, and note the last number of each pattern."""
    words = shlex.split(command)
    words[0] = python if PYTHON.match(words[0]) else words[0]
    environment = {**os.environ, "PATH": interpreter_first(python, os.environ.get("PATH", "")), "PYTHONUNBUFFERED": "1"}
    try:
        process = subprocess.Popen(
            words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace",
        )  # fmt: skip
    except OSError as error:
        _say(f"{words[0]} cannot be started: {error.strerror}\n")
        return 127
    assert process.stdout is not None  # noqa: S101  (narrowing: it is a pipe)
    with process, process.stdout as lines:
        for line in lines:
            _say(line)
            for name, pattern in patterns.items():
                if (found := pattern.search(line)) and (number := _as_number(found.group(1))) is not None:
                    printed[name] = number
    code = process.returncode
    return code if code >= 0 else 128 - code


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _as_number(text: str) -> float | None:
    found = NUMBER.search(text)
    return float(found.group()) if found else None


def _numbers_of(folder: Path, files: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Numbers of the files by their dotted names; a file that is absent or unreadable adds none."""
    for name in files:
        path = folder / name
        try:
            text = path.read_text(encoding="utf-8")
            content = json.loads(text) if path.suffix == ".json" else _yaml(text)
        except (OSError, ValueError) as error:
            _say(f"{name} cannot be read: {type(error).__name__}\n")
            continue
        yield from _flat("", content)


def _logged(uri: str) -> Iterator[tuple[str, float]]:
    """Numbers that the run logged to the trial's own MLflow store, the last of each name; read without MLflow."""
    store = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or not store.is_file():
        return
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection, suppress(sqlite3.Error):
        yield from connection.execute("SELECT key, value FROM latest_metrics WHERE NOT is_nan ORDER BY timestamp")


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError("no YAML") from error


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):  # NaN and infinities are measurements too
        with suppress(OverflowError):
            yield prefix or "value", float(value)


def _keep(source: Path, target: Path) -> None:
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
