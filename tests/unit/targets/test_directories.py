"""A directory is laid out whole or not at all, also by a process that slept while another one did it."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.errors import of_system
from chaos_tasks.targets import directories
from chaos_tasks.targets import objects as objects_module
from chaos_tasks.targets.objects import Objects, copy_file, copy_verified
from chaos_tasks.targets.pointers import DataFile

NAMES = ("a.txt", "b/c.txt", "b/d.txt")


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Objects, DataFile]:
    """A store that has the directory."""
    for name in NAMES:
        (tmp_path / "seen" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "seen" / name).write_text(name)
    objects = Objects(tmp_path / "store")
    folder, _ = directories.keep_folder(objects, tmp_path / "seen")
    return objects, folder


@pytest.mark.parametrize("after", range(1, len(NAMES) + 1))
def test_a_process_that_slept_does_not_replace_what_another_has_laid_out(
    tmp_path: Path, kept: tuple[Objects, DataFile], monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """It would put the few files that it still had to copy in the place of all."""
    objects, folder = kept
    target, copied = tmp_path / "data", []
    target.mkdir()

    def sleep_after(source: Path, to: Path, md5: str) -> None:
        copy_verified(source, to, md5)
        copied.append(to)
        if len(copied) == after:
            monkeypatch.setattr(directories, "copy_verified", copy_verified)
            directories.lay_out(objects, folder, target)

    monkeypatch.setattr(directories, "copy_verified", sleep_after)
    with pytest.raises(InterruptedError, match="somebody else"):
        directories.lay_out(objects, folder, target)
    assert directories.is_laid_out(objects, folder, target)


def test_half_of_a_file_that_another_process_still_copies_is_not_taken_for_a_whole_one(
    tmp_path: Path, kept: tuple[Objects, DataFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both write under the same names, and the one that wakes gives the other's file its name."""
    objects, folder = kept
    target, copied = tmp_path / "data", []

    def copy(source: Path, to: Path) -> str:
        said = copy_file(source, to)
        copied.append(to)
        if len(copied) == len(NAMES):  # it has slept here; the other one has begun this file anew
            to.unlink()
            to.write_bytes(source.read_bytes()[:2])
        return said

    monkeypatch.setattr(objects_module, "copy_file", copy)
    with pytest.raises(InterruptedError, match="somebody else") as caught:
        directories.lay_out(objects, folder, target)
    assert not target.exists()
    assert "somebody else" in of_system(caught.value).message


def test_what_was_there_stays_where_the_finished_folder_was_taken_away(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("kept")
    with pytest.raises(FileNotFoundError):
        directories.put_in_place(tmp_path / "gone", tmp_path / "data")
    assert (tmp_path / "data" / "file").read_text() == "kept"
