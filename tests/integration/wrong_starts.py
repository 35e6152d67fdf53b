"""The ways in which people start Squall wrongly, and what it answers: the table of docs/troubleshooting.md.

`python -m tests.integration.wrong_starts` writes the table anew from what the commands say.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.tiny import ROOT, Said, Tiny, make_tiny

DOC = ROOT / "docs" / "troubleshooting.md"
BEGIN, END = "<!-- begin: wrong starts -->", "<!-- end: wrong starts -->"
BROKEN = ROOT / "tests" / "unit" / "broken_files"


def _nothing(tiny: Tiny) -> None:
    """No preparation."""


@dataclass(frozen=True)
class WrongStart:
    """What is wrong, and the command that meets it."""

    what: str
    code: int
    command: tuple[str, ...]
    prepare: Callable[[Tiny], object] = _nothing
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, tiny: Tiny) -> Said:
        """Do it."""
        self.prepare(tiny)
        try:
            return tiny.squall(*self.command, **self.environment)
        finally:
            (tiny.project.home / "HALT").unlink(missing_ok=True)


def _copy(name: str) -> Callable[[Tiny], object]:
    return lambda tiny: shutil.copy(BROKEN / f"{name}.yaml", tiny.root / "wrong.yaml")


def _target(name: str) -> Callable[[Tiny], object]:
    return lambda tiny: tiny.experiment("wrong", target=name)


RUN = ("run", "wrong.yaml", "--quiet")
STARTS = (
    WrongStart("the file is not there", 2, ("run", "absent.yaml")),
    WrongStart("a key stands twice", 2, RUN, _copy("duplicate-key")),
    WrongStart("a key is misspelled", 2, RUN, _copy("unknown-key-with-a-near-name")),
    WrongStart("a fault is misspelled", 2, RUN, _copy("unknown-fault-kind")),
    WrongStart("tabs instead of spaces", 2, RUN, _copy("tab-indentation")),
    WrongStart("the target is not in the inventory", 2, RUN, _target("nowhere")),
    WrongStart("the target's repository has no DVC", 2, RUN, _target("plain")),
    WrongStart("the target is in production", 4, RUN, _target("precious")),
    WrongStart(
        "the safety lever is pulled", 4, RUN, lambda tiny: (_target("tiny")(tiny), tiny.squall("halt", "audit today"))
    ),
    WrongStart(
        "the ledger's server does not answer",
        2,
        RUN,
        _target("tiny"),
        {"SQUALL_LEDGER_URL": "postgresql://squall@127.0.0.1:9/squall"},
    ),
    WrongStart("the ledger's URL is of no known kind", 2, RUN, _target("tiny"), {"SQUALL_LEDGER_URL": "mysql://h/d"}),
    WrongStart("squall.toml is not found", 2, ("status",), _nothing, {"SQUALL_CONFIG": "absent.toml"}),
    WrongStart("a report of a run that never was", 3, ("report", "run-nowhere")),
    WrongStart("reverting a handle that never was", 2, ("revert", "run-nowhere/step")),
    WrongStart("no such command", 2, ("rnu",)),
    WrongStart("seeds that are no number", 2, ("run", "wrong.yaml", "--seeds", "many")),
    WrongStart("an intensity that the fault refuses", 4, (*RUN, "--intensity", "3"), _target("tiny")),
)


def said(start: WrongStart, answer: Said, tiny: Tiny) -> str:
    """The answer as one line that is the same on every machine."""
    text = answer.err.replace(str(tiny.root), "PROJECT").replace(str(ROOT), "SQUALL")
    text = re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]+(\+00:00| UTC)?", "TIME", text)
    text = re.sub(r"at [0-9a-f]{12}\b", "at COMMIT", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines).replace("|", "\\|")


def table(rows: list[tuple[WrongStart, str]]) -> str:
    """Markdown."""
    head = ["| what is wrong | command | exit code | what Squall says |", "| --- | --- | --- | --- |"]
    body = [f"| {one.what} | `squall {' '.join(one.command)}` | {one.code} | {text} |" for one, text in rows]
    return "\n".join([BEGIN, *head, *body, END])


def main() -> None:
    """Write the table."""
    with tempfile.TemporaryDirectory() as folder:
        tiny = make_tiny(Path(folder) / "project")
        try:
            new = table([(one, said(one, one.run(tiny), tiny)) for one in STARTS])
        finally:
            tiny.clean_up()
    text = DOC.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    DOC.write_text(before + new + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
