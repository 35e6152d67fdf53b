"""The manifest of a tracked directory: one entry found, or changed, without reading the other million into memory.

DVC 3 writes it as one JSON list, sorted by path, always in the same form, so that a lookup can halve the file, and a
changed entry is 32 bytes in place: the result is byte for byte what `dvc add` of the whole directory would write.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from chaos_tasks.errors import SetupError
from chaos_tasks.targets.objects import CHUNK_BYTES, Objects, sync
from chaos_tasks.targets.pointers import DIRECTORY

_START = b'{"md5": "'  # cannot occur within a name: JSON would put a backslash before each quote
_ENTRY = re.compile(rb'\{"md5": "([0-9a-f]{32})", "relpath": ("(?:[^"\\]|\\.)*")\}')


@dataclass(frozen=True)
class Entry:
    """One file of a directory, and where its MD5 stands in the manifest."""

    name: str
    md5: str
    at: int


def find(manifest: Path, name: str) -> Entry | None:
    """The entry of a file, or None.  Reads some twenty places; all of it only where DVC's order is not kept.

    Raises SetupError for what is no manifest as DVC 3 writes them.
    """
    with _mapped(manifest) as content:
        return _by_halves(content, name) or _by_scan(content, name)


def entries(manifest: Path) -> Iterator[Entry]:
    """All files of a directory, in the order of the manifest; one at a time."""
    with _mapped(manifest) as content:
        for found in _ENTRY.finditer(content):
            yield Entry(json.loads(found[2]), found[1].decode(), found.start(1))


def write(objects: Objects, files: Mapping[str, str]) -> str:
    """Put the manifest of a directory into ``objects``, as DVC would write it; returns what it is called."""
    listed = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    text = json.dumps(listed, sort_keys=True).encode()
    md5 = hashlib.md5(text, usedforsecurity=False).hexdigest()
    objects.root.mkdir(parents=True, exist_ok=True)
    partial = objects.root / f".{md5}.squall-partial"
    partial.unlink(missing_ok=True)
    try:
        partial.write_bytes(text)
        objects.put(partial, md5 + DIRECTORY)
    finally:
        partial.unlink(missing_ok=True)
    return md5 + DIRECTORY


def with_entry(objects: Objects, manifest: str, name: str, md5: str) -> str:
    """Put a manifest into ``objects`` that differs from ``manifest`` in one entry; returns what it is called."""
    source = objects.path(manifest)
    entry = find(source, name)
    if entry is None:
        raise SetupError(f"the manifest {manifest} has no file {name}", remedy="name a file of that directory")
    partial = objects.root / f".{manifest}.squall-partial"
    partial.unlink(missing_ok=True)
    try:
        renamed = _copy_with(source, partial, entry.at, md5.encode()) + DIRECTORY
        partial.chmod(0o444)
        sync(partial)
        target = objects.path(renamed)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(partial, target)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return renamed


def _copy_with(source: Path, target: Path, at: int, value: bytes) -> str:
    """Copy a file with other bytes at one place; returns the MD5 of what was written."""
    digest = hashlib.md5(usedforsecurity=False)  # DVC names objects so; not for secrecy
    with source.open("rb") as reader, target.open("xb") as writer:
        for chunk in _pieces(reader.read, at, value):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()


def _pieces(read: Callable[[int], bytes], at: int, value: bytes) -> Iterator[bytes]:
    left = at
    while left and (chunk := read(min(left, CHUNK_BYTES))):
        left -= len(chunk)
        yield chunk
    read(len(value))
    yield value
    while chunk := read(CHUNK_BYTES):
        yield chunk


@contextmanager
def _mapped(manifest: Path) -> Iterator[mmap.mmap]:
    if not manifest.stat().st_size:
        raise _not_dvc(manifest)
    with manifest.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[:2] != b"[]" and content[: len(_START) + 1] != b"[" + _START:
            raise _not_dvc(manifest)
        yield content


def _not_dvc(manifest: Path) -> SetupError:
    return SetupError(
        f"{manifest} is no manifest as DVC 3 writes them", remedy="track the directory again with `dvc add`"
    )


def _by_halves(content: mmap.mmap, name: str) -> Entry | None:
    """Entries are sorted by name, character by character."""
    low, high = 0, len(content)
    while low < high:
        middle = (low + high) // 2
        start = content.find(_START, middle, high)
        if start < 0:
            high = middle
            continue
        entry = _entry_at(content, start)
        if entry is None or entry.name == name:
            return entry
        if entry.name < name:
            low = start + len(_START)
        else:
            high = middle
    return None


def _entry_at(content: mmap.mmap, start: int) -> Entry | None:
    found = _ENTRY.match(content, start)
    return None if found is None else Entry(json.loads(found[2]), found[1].decode(), found.start(1))


def _by_scan(content: mmap.mmap, name: str) -> Entry | None:
    """For a manifest whose writer did not sort it."""
    end = content.find(b'"relpath": ' + json.dumps(name).encode() + b"}")
    return None if end < 0 else _entry_at(content, content.rfind(_START, 0, end))
