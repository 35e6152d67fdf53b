"""An undeclared write is seen, wherever below a watched folder; a declared one, and a cache, is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chaos_tasks.workloads import containment
from chaos_tasks.workloads.containment import Containment, allowed_below


def watching(root: Path, *permitted: str) -> Containment:
    made = Containment.of([str(root)], allowed_below(str(root), permitted))
    assert made is not None
    made.begin()
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "src" / "deep" / "a.py").write_text("a = 1\n")
    return tmp_path


def test_nothing_written_is_no_breach(root: Path) -> None:
    assert watching(root).breach() == ""


def test_new_changed_and_deleted_files_are_named(root: Path) -> None:
    contained = watching(root)
    (root / "model.pkl").write_text("x")
    assert contained.breach() == f"undeclared writes: {root}/model.pkl"
    (root / "model.pkl").unlink()
    file = root / "src" / "deep" / "a.py"
    times = file.stat()
    file.write_text("a = 2\n")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert contained.breach() == f"undeclared writes: {file}"
    file.unlink()
    assert contained.breach() == f"undeclared writes: {file}"


def test_a_replaced_file_of_equal_size_and_time_is_seen(root: Path) -> None:
    contained, file = watching(root), root / "src" / "deep" / "a.py"
    times = file.stat()
    other = root.parent / "other"
    other.write_text("b = 1\n")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.replace(other, file)
    assert contained.breach()


def test_many_files_are_counted(root: Path) -> None:
    contained = watching(root)
    for number in range(5):
        (root / f"{number}.txt").write_text("x")
    assert contained.breach().endswith("2.txt and 2 more")


def test_declared_folders_and_caches_are_left_out(root: Path) -> None:
    contained = watching(root, "folder:models/", "mlflow:credit")
    for name in ("models/a.pkl", "src/__pycache__/a.cpython-311.pyc", ".git/index", ".dvc/tmp/lock"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    assert contained.breach() == ""


def test_nothing_watched_costs_nothing() -> None:
    assert Containment.of([], []) is None


def test_a_folder_that_is_too_large_is_not_watched_and_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containment, "MOST_FILES", 3)
    for number in range(5):
        (root / f"{number}.txt").write_text("x")
    contained = watching(root)
    assert contained.too_large == [root]
    (root / "new.txt").write_text("x")
    assert contained.breach() == ""


def test_looks_take_a_small_share_of_the_time(root: Path) -> None:
    contained = watching(root)
    assert contained.due(100.0)
    contained.looked(100.0, 101.0)  # a look of one second
    assert not contained.due(150.0)
    assert contained.due(151.0)
