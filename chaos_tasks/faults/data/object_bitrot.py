"""Bit rot: an object of the cache or the remote is no longer what its name says, and a plain checkout hands it out."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from chaos_tasks.errors import InjectError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.data.drawing import uniforms
from chaos_tasks.faults.data.version import Change, VersionFault, VersionParams, clone_of, path_of
from chaos_tasks.model.formats import FILES
from chaos_tasks.model.handle import Handle
from chaos_tasks.model.place import Place
from chaos_tasks.targets import dvc, dvc_alone
from chaos_tasks.targets.objects import copy_file, md5_of, sync
from chaos_tasks.targets.pointers import DataFile

KIND = "data.object_bitrot"
GIB = 1 << 30
LARGE_MANIFEST = 1 << 20
"""Bytes: some ten thousand files.  DVC would load all of it."""


class ObjectBitrotParams(VersionParams):
    """Where bits flip, and how many."""

    intensity_field: ClassVar[str | None] = "flips"
    where: Literal["cache", "remote"] = Field("cache", description="Which copy of the object rots: cache or remote.")
    flips: int = Field(1, ge=1, le=1_000_000, description="Number of bits flipped (at least, when `per_gib` is given).")
    per_gib: float | None = Field(None, gt=0, description="Bits flipped per GiB of the object, rounded up.")
    start: float = Field(0.0, ge=0, lt=1, description="Start of the region that rots, as a share (0..1) of the object.")
    end: float = Field(1.0, gt=0, le=1, description="End of the region that rots, as a share (0..1) of the object.")

    @model_validator(mode="after")
    def _region_is_not_empty(self) -> Self:
        if self.start >= self.end:
            raise ValueError("`start` must be below `end`")
        return self


class ObjectBitrot(VersionFault[ObjectBitrotParams]):
    """Flips seeded bits, then checks out (or pulls) as a user would, and says whether DVC noticed.

    The rotten object keeps its name: pointer and commit stay as they were, which is what makes it hard to see.
    """

    kind = KIND
    summary = "Flip bits of a cache or remote object, then check it out as a user would"
    cause = "Silent disk or transfer corruption, a write through a hardlink (Bairavasundaram et al., FAST 2008)"
    params_type = ObjectBitrotParams
    formats = FILES

    def blast_radius(self, place: Place, params: ObjectBitrotParams) -> float:
        """A flipped bit of a compressed column can make every row unreadable."""
        return 1.0

    def change(self, handle: Handle, file: Path, params: ObjectBitrotParams, ctx: FaultContext) -> Change:
        """Rot, then materialise."""
        clone, path = clone_of(handle.place), path_of(handle.place, params)
        good = dvc.pointed(clone, path)
        cache, remote = dvc.cache_of(clone), dvc.remote_of(clone)
        if params.where == "remote":
            remote.put(cache.path(good.md5), good.md5)
        rotten = (remote if params.where == "remote" else cache).path(good.md5)
        flipped = flip_bits(rotten, handle.seed, params)
        if params.where == "remote":
            cache.drop(good.md5)
        size = rotten.stat().st_size
        done = _materialise(clone, path, params.where, good.model_copy(update={"size": size}))
        return _report(clone, path, good, rotten, flipped, done)

    def _make_version(
        self, handle: Handle, clone: Path, path: str, params: ObjectBitrotParams, ctx: FaultContext
    ) -> Change:
        """No new version: rot does not commit.  The tag marks the unchanged commit."""
        return self.change(handle, clone / path, params, ctx)

    def is_in(self, clone: Path, path: str, note: Mapping[str, object]) -> bool:
        """Whether the object or the file is still rotten, as the note says."""
        evidence = dict(dict(note["change"])["evidence"])  # type: ignore[call-overload]
        store = dvc.remote_of(clone) if evidence["where"] == "remote" else dvc.cache_of(clone)
        rotten = store.path(str(evidence["old_md5"]))
        if evidence["rotten_md5_after"] == "absent":  # DVC threw the rotten object away
            return _content(clone / path) != str(evidence["old_md5"])
        return _content(rotten) == str(evidence["rotten_md5_after"])


def flip_bits(file: Path, seed: int, params: ObjectBitrotParams) -> int:
    """Flip distinct seeded bits in place, through a copy, so that no other link to the object is written to."""
    size = file.stat().st_size
    first, last = int(size * 8 * params.start), int(size * 8 * params.end)
    wanted = max(params.flips, -(-int(size * (params.per_gib or 0)) // GIB))
    if last - first < wanted:
        raise InjectError(f"the region has {last - first} bits, fewer than {wanted}", remedy="flip fewer, or widen it")
    positions = _positions(seed, first, last, wanted)
    mode = file.stat().st_mode & 0o777
    partial = file.with_name(f".{file.name}.squall-rot")
    partial.unlink(missing_ok=True)
    copy_file(file, partial)
    with partial.open("r+b") as stream:
        for position in positions:
            stream.seek(position // 8)
            byte = stream.read(1)[0]
            stream.seek(position // 8)
            stream.write(bytes([byte ^ (1 << position % 8)]))
    partial.chmod(mode)
    sync(partial)
    os.replace(partial, file)
    return len(positions)


def _positions(seed: int, first: int, last: int, wanted: int) -> list[int]:
    """Distinct positions; the first n for n flips are among the first m > n."""
    chosen: dict[int, None] = {}
    drawn = 0
    while len(chosen) < wanted:
        for number in uniforms(seed, KIND, "bits", drawn, 1024):
            chosen.setdefault(first + int(number * (last - first)))
            if len(chosen) == wanted:
                break
        drawn += 1024
    return sorted(chosen)


def _materialise(clone: Path, path: str, where: str, good: DataFile) -> subprocess.CompletedProcess[str]:
    """What a user types on a machine that does not have the file yet; of a large directory, for that object alone."""
    (clone / path).unlink(missing_ok=True)
    output, command = dvc.output_of(clone, path), "pull" if where == "remote" else "checkout"
    cache, remote = dvc.cache_of(clone), dvc.remote_of(clone)
    if output.is_directory and cache.path(output.md5).stat().st_size > LARGE_MANIFEST:
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        return dvc_alone.ask(command, cache, remote, good.md5, good.size or 0, clone / path)
    target = output.pointer if output.path == path and output.pointer.endswith(".dvc") else path
    return dvc.dvc_command(clone, command, target)


def _report(
    clone: Path, path: str, good: DataFile, rotten: Path, flipped: int, done: subprocess.CompletedProcess[str]
) -> Change:
    handed_out = _content(clone / path)
    served = handed_out not in ("absent", good.md5)
    where = "remote" if rotten.is_relative_to(dvc.remote_of(clone).root) else "cache"
    noticed = done.returncode != 0
    said = "DVC refused it" if noticed else "DVC handed it out" if served else "DVC mended it"
    return Change(
        summary=f"{flipped} bits flipped in the {where} object of {path}; {said}",
        effective=served or handed_out == "absent",
        evidence={
            "file": path,
            "where": where,
            "bits_flipped": flipped,
            "old_md5": good.md5,
            "new_md5": handed_out,
            "rotten_md5_after": _content(rotten),
            "dvc_exit_code": done.returncode,
            "dvc_noticed": noticed,
            "corrupt_file_handed_out": served,
        },
    )


def _content(path: Path) -> str:
    return md5_of(path) if path.is_file() else "absent"
