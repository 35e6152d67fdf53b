"""The ways in which people start Squall wrongly, and what it answers: the table of docs/wrong-starts.md.

`python -m tests.integration.wrong_starts` writes the table anew from what the commands say.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.tiny import ROOT, Said, Tiny, end, make_tiny

DOC = ROOT / "docs" / "wrong-starts.md"
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
    folder: str = ""

    def run(self, tiny: Tiny) -> Said:
        """Do it."""
        self.prepare(tiny)
        try:
            return end(tiny.start(*self.command, folder=self.folder, **self.environment))
        finally:
            (tiny.project.home / "HALT").unlink(missing_ok=True)


def _copy(name: str) -> Callable[[Tiny], object]:
    return lambda tiny: shutil.copy(BROKEN / f"{name}.yaml", tiny.root / "wrong.yaml")


def _target(name: str) -> Callable[[Tiny], object]:
    return lambda tiny: tiny.experiment("wrong", target=name)


def _write(name: str, text: str, *empty: str) -> Callable[[Tiny], object]:
    def write(tiny: Tiny) -> None:
        for path, content in ((name, text), *((other, "") for other in empty)):
            (tiny.root / path).parent.mkdir(parents=True, exist_ok=True)
            (tiny.root / path).write_text(content, encoding="utf-8")

    return write


def _changed(name: str, old: str, new: str) -> Callable[[Tiny], object]:
    """The experiment, or the tiny target's file as another one, with something wrong in it."""

    def write(tiny: Tiny) -> None:
        path = tiny.experiment("wrong") if name == "wrong.yaml" else tiny.root / "targets" / "tiny.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        (tiny.root / name).write_text(text.replace(old, new), encoding="utf-8")

    return write


def _other_inventory(text: str) -> Callable[[Tiny], object]:
    """A squall.toml of its own, beside a target file of the same folder."""

    def write(tiny: Tiny) -> None:
        folder = tiny.root / "other"
        folder.mkdir(exist_ok=True)
        (folder / "squall.toml").write_text(text, encoding="utf-8")

    return write


OTHER = {"SQUALL_CONFIG": "other/squall.toml"}
LONE = '[targets.lone]\nfile = "lone.yaml"\nenvironment = "lab"\nfamilies = ["data"]\n'
LONE_TARGET = """\
version: 1
name: lone
source: {type: dvc, repo: "%s", data: [rows.csv], format: csv}
workload: {type: command, run: "true"}
"""


def _lone(repo: str) -> Callable[[Tiny], object]:
    """A target whose source is wrong."""

    def write(tiny: Tiny) -> None:
        _other_inventory(LONE)(tiny)
        (tiny.root / "plain-folder").mkdir(exist_ok=True)
        (tiny.root / "other" / "lone.yaml").write_text(LONE_TARGET % repo.replace("ROOT", str(tiny.root)))

    return write


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
    # --- the first half hour
    WrongStart("there is no squall.toml at all", 2, ("status",), _nothing, {"SQUALL_CONFIG": "", "PWD": "/"}, "/"),
    WrongStart("init of what is nothing", 2, ("init", "no/such/folder")),
    WrongStart("init of a folder that trains nothing", 2, ("init", "lib"), _write("lib/tool.py", "print(1)\n")),
    WrongStart("init where a target file is already", 2, ("init", "lib"), _write("squall.target.yaml", "version: 1\n")),
    WrongStart("init of a script that is no Python 3", 2, ("init", "old.py", "--print"), _write("old.py", "print 1\n")),
    WrongStart(
        "init of an MLproject without defaults",
        2,
        ("init", "lib", "--kind", "mlproject", "--print"),
        _write("lib/MLproject", "entry_points: {main: {parameters: {x: int}, command: python t.py}}\n", "lib/t.py"),
    ),
    WrongStart("init with an unknown finder", 2, ("init", "lib", "--kind", "notebook", "--print")),
    WrongStart(
        "init of a model without a server",
        2,
        ("init", "models:/credit@champion", "--print"),
        _nothing,
        {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"},
    ),
    WrongStart("doctor of a target that is not there", 2, ("doctor", "nowhere")),
    WrongStart("suggest with several targets", 2, ("suggest",)),
    WrongStart("suggest where nothing applies", 2, ("suggest", "tiny")),
    WrongStart("the inventory names a file that is not there", 2, ("suggest", "lone"), _other_inventory(LONE), OTHER),
    WrongStart("the source is no Git repository", 2, ("suggest", "lone"), _lone("ROOT/plain-folder"), OTHER),
    WrongStart("the source is not there", 2, ("suggest", "lone"), _lone("/no/such/repository"), OTHER),
    WrongStart("squall.toml is no TOML", 2, ("validate",), _other_inventory("[squall\nhome = 1\n"), OTHER),
    WrongStart(
        "squall.toml has a misspelled key", 2, ("validate",), _other_inventory("[squall]\nenviroments = []\n"), OTHER
    ),
    WrongStart("lanes that are no number", 2, ("status",), _nothing, {"SQUALL_LANES": "two"}),
    WrongStart("home is no folder", 2, RUN, _target("tiny"), {"SQUALL_HOME": "squall.toml/home"}),
    WrongStart("the interpreter of workloads is not there", 2, RUN, _target("tiny"), {"SQUALL_PYTHON": "/no/python"}),
    WrongStart("a probe is misspelled", 2, RUN, _changed("wrong.yaml", "model.metric", "model.metrics")),
    WrongStart("a fault lacks a place in the target", 4, RUN, _changed("wrong.yaml", "target: data", "target: bucket")),
    WrongStart("a name with a space", 2, RUN, _changed("wrong.yaml", "name: wrong", "name: My Run")),
    WrongStart("a plan for a file that is not there", 2, ("plan", "absent.yaml")),
    WrongStart("validating a folder without experiments", 2, ("validate", "lib")),
    WrongStart("repeating a run that never was", 3, ("repro", "run-nowhere")),
    WrongStart("a port that no server can have", 2, ("up",), _nothing, {"SQUALL_PORT_S3": "1"}),
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
