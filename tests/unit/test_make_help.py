"""What `make help` says is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OF_ANOTHER = {"judging_opponents", "kills_with_memory"}
"""Started by a benchmark of their own family, in the virtual environment of the opponents or with its arguments."""


def shown() -> str:
    """As a person sees it, whoever started these tests: a make within a make would say which folder it enters."""
    command = ("make", "--no-print-directory", "help")
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_every_documented_target_is_in_the_help() -> None:
    documented = re.findall(
        r"^([^\s:]+):[^\n]*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert documented
    assert {line.split()[0] for line in shown().splitlines()} == set(documented)


def test_every_benchmark_is_in_the_help() -> None:
    files = (ROOT / "benchmarks").glob("*.py")
    programs = {one.stem for one in files if '__name__ == "__main__"' in one.read_text(encoding="utf-8")}
    assert set(re.findall(r"bench-([a-z_]+)", shown())) == programs - OF_ANOTHER
