"""Keys, heads, proofs and five answers by the command line; and what the workload sees of the keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos_tasks.targets.process import MARK_VARIABLE
from tests.tiny import LOG_ITSELF, Tiny, make_tiny

KEYS = """
[keys]
origin = "tiny.example/log"
log = "{folder}/log.key"
report = "{folder}/report.key"

[checkpoints]
folders = [{{path = "{folder}/heads"}}]
git = [{{path = "{folder}/repo"}}]
"""
CANARY = """
import os as _os
_found = []
for _name, _value in _os.environ.items():
    if "PRIVATE+KEY" in _value:
        _found.append(_name)
    for _part in _value.split(_os.pathsep):
        if _os.path.isabs(_part) and _os.path.isdir(_part) and _name not in ("PATH", "HOME", "VIRTUAL_ENV", "TMPDIR"):
            for _top, _, _files in _os.walk(_part):
                for _file in _files:
                    _path = _os.path.join(_top, _file)
                    if b"PRIVATE+KEY" in open(_path, "rb").read(1_000_000):
                        _found.append(_path)
for _place in (options.data, options.out, _os.getcwd()):
    for _top, _, _files in _os.walk(_place if _os.path.isdir(_place) else _os.path.dirname(_place)):
        _found += [_f for _f in _files if b"PRIVATE+KEY" in open(_os.path.join(_top, _f), "rb").read(1_000_000)]
pathlib.Path(__file__).with_name("canary").write_text(repr(sorted(_os.environ)) + "\\n" + repr(_found))
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Tiny]:
    """A tiny project with keys of its own, outside of Squall's home."""
    (tmp_path / "project").mkdir()
    made = make_tiny(tmp_path / "project")
    yield made
    made.end_started()


def with_keys(tiny: Tiny, folder: Path) -> None:
    config = tiny.project.config
    config.write_text(config.read_text() + KEYS.format(folder=folder))
    for role in ("log", "report"):
        assert tiny.squall("keys", "new", role).code == 0
        assert (folder / f"{role}.key").stat().st_mode & 0o777 == 0o600


def test_a_run_leaves_a_signed_head_behind_and_edits_show(tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    with_keys(tiny, folder)
    assert tiny.squall("keys", "new", "log").code != 0
    assert tiny.squall("run", tiny.experiment(), "--run-id", "one", "--quiet").code == 0
    assert len(list((folder / "heads").glob("*.checkpoint"))) == 1
    asked = (*LOG_ITSELF, "--require", "authenticity")
    audit = tiny.squall("audit", "verify", *asked)
    assert audit.code == 0, audit.out
    proof = tmp_path / "one.tlog-proof"
    assert tiny.squall("audit", "proof", "0", "--out", proof).code == 0
    assert proof.read_text().startswith("c2sp.org/tlog-proof@v1\nindex 0\n")
    before = (folder / "log.key").read_text()
    assert tiny.squall("keys", "rotate", "log").code == 0
    assert (folder / "log.key").read_text() != before
    assert tiny.squall("keys", "show").out.count("tiny.example/log+") == 2
    assert tiny.squall("audit", "checkpoint").code == 0
    assert tiny.squall("audit", "verify", *asked).code == 0


def test_the_workload_finds_no_key_in_its_environment_or_where_that_leads(tiny: Tiny, tmp_path: Path) -> None:
    with_keys(tiny, tmp_path / "evidence")
    train = tiny.root / "code" / "train.py"
    train.write_text(train.read_text().replace("rows = data", CANARY.strip() + "\nrows = data"))
    tiny.squall("run", tiny.experiment(), "--run-id", "one", "--quiet")
    names, found = (tiny.root / "code" / "canary").read_text().split("\n")
    assert found == "[]"
    told = {name.strip("' ") for name in names.strip("[]").split(",")}
    assert {name for name in told if name.startswith("SQUALL_")} <= {MARK_VARIABLE}, told
    assert not any("KEY" in name for name in told)
