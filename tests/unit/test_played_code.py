"""A page of plays says of which code it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.played_code import of_code, played_code


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "chaos_tasks").mkdir()
    (tmp_path / "chaos_tasks" / "engine.py").write_text("pass\n")
    for told in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        named = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *named, *told], cwd=tmp_path, check=True)
    return tmp_path


def test_the_commit_and_whether_the_code_was_edited_since(repo: Path) -> None:
    clean = played_code(repo)
    assert len(clean) == 12
    (repo / "README.md").write_text("no code\n")
    assert played_code(repo) == clean
    (repo / "chaos_tasks" / "engine.py").write_text("raise SystemExit\n")
    assert played_code(repo) == clean + "+changes"


def test_outside_of_a_repository_nothing_is_claimed(tmp_path: Path) -> None:
    assert played_code(tmp_path) == ""
    assert of_code(["", ""]) == ""


def test_several_goes_are_told_apart() -> None:
    assert of_code(["a", "a"]) == ", of commit `a`"
    assert of_code(["a", "", "b"]) == ", of commits a commit that was not noted, `a`, `b`"
