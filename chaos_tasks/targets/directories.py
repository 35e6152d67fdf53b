"""A directory that is data as a whole: laid out from a store by its manifest, compared with it, and kept in it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from chaos_tasks.errors import InjectError
from chaos_tasks.targets import manifests
from chaos_tasks.targets.objects import Objects, copy_verified, md5_of
from chaos_tasks.targets.pointers import DataFile


def keeps_bytes(objects: Objects, file: DataFile) -> bool:
    """Whether a store has the right bytes of a file, or of all files of a directory."""
    if not objects.holds(file.md5):
        return False
    if not file.is_directory:
        return True
    return all(objects.holds(entry.md5) for entry in manifests.entries(objects.path(file.md5)))


def lay_out(objects: Objects, folder: DataFile, target: Path) -> None:
    """Replace ``target`` by the directory, each file a copy that was checked by its MD5.

    Raises InterruptedError, with ``target`` as it is, where another process has laid it out meanwhile: one that slept
    would else put the few files that it still had to copy in the place of all.
    """
    partial = target.with_name(f".{target.name}.squall-partial")
    discard(partial)
    partial.mkdir()
    wanted: dict[str, int] = {}
    for entry in manifests.entries(objects.path(folder.md5)):
        file = partial / _within(entry.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        copy_verified(objects.path(entry.md5), file, entry.md5)
        wanted[entry.name] = objects.path(entry.md5).stat().st_size
    # By size: whoever copies at the same time does so under the same names, and half of its file may be among ours.
    if {name: path.stat().st_size for name, path in _files(partial).items()} != wanted:
        discard(partial)
        raise InterruptedError(errno.EINTR, "it was laid out by somebody else at the same time", str(target))
    put_in_place(partial, target)


def is_laid_out(objects: Objects, folder: DataFile, target: Path) -> bool:
    """Whether exactly the files of the manifest are there, with their bytes."""
    if not target.is_dir():
        return False
    wanted = {entry.name: entry.md5 for entry in manifests.entries(objects.path(folder.md5))}
    found = _files(target)
    return found.keys() == wanted.keys() and all(md5_of(found[name]) == md5 for name, md5 in wanted.items())


def keep_folder(objects: Objects, folder: Path) -> tuple[DataFile, int]:
    """Put all files and the manifest into a store; returns what it is called, with its size, and how many files."""
    found = _files(folder)
    if not found:
        raise InjectError(f"no file is left in {folder.name}", remedy="choose a smaller fraction")
    named: dict[str, str] = {}
    for name, path in found.items():
        named[name] = md5_of(path)
        if not objects.path(named[name]).is_file():
            objects.put(path, named[name])
    size = sum(path.stat().st_size for path in found.values())
    return DataFile(md5=manifests.write(objects, named), size=size), len(found)


def put_in_place(partial: Path, path: Path) -> None:
    """Let a finished file or folder take the place of another; a file atomically."""
    if path.is_dir():
        old = path.with_name(f".{path.name}.squall-old")
        discard(old)
        os.replace(path, old)
        try:
            os.replace(partial, path)
        except FileNotFoundError:  # another process has taken it for a dead one's: what was there stays
            os.replace(old, path)
            raise
        discard(old)
    else:
        os.replace(partial, path)


def discard(path: Path) -> None:
    """Remove a file or a folder; no error when it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _within(name: str) -> str:
    """A manifest is somebody's file: no name in it may lead out of the directory."""
    if name.startswith("/") or ".." in Path(name).parts:
        raise InjectError(f"the manifest names {name!r}, which lies outside of the directory", remedy="track it again")
    return name
