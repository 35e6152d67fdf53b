"""DVC pointers: the small YAML files in Git (`*.dvc` and `dvc.lock`) that say which bytes a data file has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

import yaml
from pydantic import Field

from chaos_tasks.errors import SetupError
from chaos_tasks.model.base import Value

DIRECTORY = ".dir"
"""Ends the name of a manifest: the object that lists a tracked directory."""

LOCK = "dvc.lock"
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
Reader = Callable[[str], str | None]
"""Text of a file at some revision, or None when it is not there."""


class DataFile(Value):
    """The bytes of one data file or directory: MD5 in hexadecimal, size in bytes."""

    md5: str = Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")
    size: int | None = Field(ge=0, description="None for a file that only a manifest names: those keep no sizes.")

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory as a whole, and its MD5 that of the manifest."""
        return self.md5.endswith(DIRECTORY)


class Output(Value):
    """What Git says of one output of DVC's: a data file tracked by itself, or a directory by its manifest."""

    pointer: str = Field(description="The file in Git that says it: raw/parts.dvc, or a dvc.lock.")
    path: str = Field(description="Of the output, in the repository.")
    md5: str = Field(pattern=r"^[0-9a-f]{32}(\.dir)?$", description="Of the bytes; `.dir` ends it for a manifest.")
    size: int = Field(0, ge=0)
    remote: str = Field("", description="Remote that the output names for itself.")

    @property
    def is_directory(self) -> bool:
        """Whether its MD5 is that of a manifest."""
        return self.md5.endswith(DIRECTORY)

    def holds(self, path: str) -> bool:
        """Whether it is a directory, and the path a file in it."""
        return self.is_directory and path != self.path

    def inside(self, path: str) -> str:
        """A path as the directory's manifest calls it."""
        return str(PurePosixPath(path).relative_to(self.path))


def pointer_name(path: str) -> str:
    """raw/flights.parquet -> raw/flights.parquet.dvc"""
    return f"{path}.dvc"


def find_output(read: Reader, path: str, where: str) -> Output:
    """The output that holds data: itself, or the tracked directory it lies in; in a `.dvc` or a `dvc.lock`.

    Raises SetupError for anything that is no output of DVC 3.
    """
    own = read(pointer_name(path))
    if own is not None:
        return _of_pointer(own, path, where)
    for folder in _folders(path):
        found = _directory(read, folder, where) or _of_lock(read, folder, path, where)
        if found is not None:
            return found
    raise SetupError(
        f"{path} is not tracked by DVC in {where}: there is no {pointer_name(path)}, and no tracked directory holds it",
        remedy=f"run `dvc add {path}`, commit {pointer_name(path)}, or name another file in source.data",
    )


def replace_output(text: str, output: Output, md5: str, size: int, files: int | None = None) -> str:
    """The pointer's text, now saying these bytes; every other field is kept."""
    document = yaml.safe_load(text)
    document.pop("md5", None)  # checksum of the stage itself, stale once an output changes
    if PurePosixPath(output.pointer).name == LOCK:
        (out,) = (out for _, path, out in _locked(document, output.pointer) if path == output.path)
    else:
        out = document["outs"][0]
    out |= {"md5": md5, "size": size}
    if files is not None and "nfiles" in out:
        out["nfiles"] = files
    return yaml.safe_dump(document, sort_keys=False)


def _folders(path: str) -> Iterator[str]:
    """Folders that hold it, the nearest first; the last is "", the repository."""
    for folder in PurePosixPath(path).parents:
        yield "" if str(folder) == "." else str(folder)


def _of_pointer(text: str, path: str, where: str) -> Output:
    out = _single_out(text, path, where)
    return _output(out, pointer_name(path), path, where)


def _directory(read: Reader, folder: str, where: str) -> Output | None:
    text = read(pointer_name(folder)) if folder else None
    output = _of_pointer(text, folder, where) if text is not None else None
    return output if output is not None and output.is_directory else None


def _of_lock(read: Reader, folder: str, path: str, where: str) -> Output | None:
    """The output of a stage: the file itself, or a directory that holds it."""
    lock = f"{folder}/{LOCK}" if folder else LOCK
    text = read(lock)
    if text is None:
        return None
    moved = _stages_elsewhere(read(lock.removesuffix("lock") + "yaml"))
    for stage, out_path, out in _locked(_load(text, lock, where), lock):
        if stage.partition("@")[0] in moved or not PurePosixPath(path).is_relative_to(out_path):
            continue
        output = _output(out, lock, out_path, where)
        if output.is_directory or out_path == path:
            return output
    return None


def _locked(document: Any, lock: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Stage, path in the repository, and entry of each output of a dvc.lock."""
    stages = document.get("stages") if isinstance(document, dict) else None
    for name, stage in (stages or {}).items():
        for out in stage.get("outs") or ():
            yield str(name), str(PurePosixPath(lock).parent / str(out["path"])), out


def _stages_elsewhere(text: str | None) -> frozenset[str]:
    """Stages with a working folder of their own: their paths in the dvc.lock are not those of the repository."""
    document = yaml.load(text, _LOADER) if text else {}
    stages = (document or {}).get("stages") or {}
    return frozenset(str(name) for name, stage in stages.items() if "wdir" in {**stage, **(stage.get("do") or {})})


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a dvc.lock may have thousands of stages


def _load(text: str, name: str, where: str) -> Any:
    try:
        return yaml.load(text, _LOADER)
    except yaml.YAMLError as error:
        raise SetupError(f"{name} in {where} is no YAML", remedy="write it again with `dvc repro`") from error


def _output(out: dict[str, Any], pointer: str, path: str, where: str) -> Output:
    if out.get("hash") != "md5":
        raise SetupError(f"{path} in {where} is tracked as by DVC 2", remedy="run `dvc cache migrate --dvc-files`")
    md5 = str(out.get("md5", ""))
    if not _MD5.fullmatch(md5):
        raise SetupError(f"{pointer} in {where} names no MD5 of {path}", remedy="write it again with `dvc commit`")
    return Output(
        pointer=pointer,
        path=path,
        md5=md5,
        size=int(out.get("size", 0)),
        remote=str(out.get("remote") or ""),
    )


def expect_kind(output: Output, path: str, where: str, *, folder: bool) -> None:
    """Raises SetupError when a directory is named where a format of files is declared, or the other way round."""
    if output.is_directory and not folder and not output.holds(path):
        raise SetupError(
            f"{path} is a directory in {where}",
            remedy=f"name the files in it, such as {path}/part.parquet, or set `source.format` to images or texts",
        )
    if folder and (output.holds(path) or not output.is_directory):
        raise SetupError(
            f"{path} is a file in {where}, and images and texts are directories",
            remedy="name the tracked directory in source.data, or another format",
        )


def _single_out(text: str, path: str, where: str) -> dict[str, Any]:
    try:
        outs = yaml.safe_load(text)["outs"]
        (out,) = outs
        return dict(out)
    except (yaml.YAMLError, TypeError, KeyError, ValueError) as error:
        raise SetupError(
            f"{pointer_name(path)} in {where} is no pointer to one file", remedy="write it again with `dvc add`"
        ) from error
