"""DVC pointers: the small YAML files that say which bytes a data file has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from pydantic import Field

from chaos_tasks.errors import SetupError
from chaos_tasks.model.base import Value


class DataFile(Value):
    """The bytes of one data file: MD5 in hexadecimal, size in bytes."""

    md5: str = Field(pattern=r"^[0-9a-f]{32}$")
    size: int = Field(ge=0)


def pointer_name(path: str) -> str:
    """raw/flights.parquet -> raw/flights.parquet.dvc"""
    return f"{path}.dvc"


def read_pointer(text: str | None, path: str, where: str) -> DataFile:
    """What a pointer's text says of its one file; raises SetupError for anything that is no single file of DVC 3."""
    if text is None:
        raise SetupError(
            f"{path} is not tracked by DVC in {where}: there is no {pointer_name(path)}",
            remedy=f"run `dvc add {path}`, commit {pointer_name(path)}, or name another file in source.data",
        )
    out = _single_out(text, path, where)
    md5 = str(out.get("md5", ""))
    if md5.endswith(".dir"):
        raise SetupError(f"{path} is a directory in {where}", remedy="name a data file that is tracked by itself")
    if out.get("hash") != "md5":
        raise SetupError(f"{path} in {where} is tracked as by DVC 2", remedy="run `dvc cache migrate --dvc-files`")
    return DataFile(md5=md5, size=int(out.get("size", 0)))


def replace_pointer(text: str, path: str, file: DataFile) -> str:
    """The pointer's text, now saying ``file``; every other field is kept."""

    def renew(out: dict[str, Any]) -> None:
        out |= {"md5": file.md5, "size": file.size}

    return _edit(text, path, renew)


def _edit(text: str, path: str, change: Callable[[dict[str, Any]], None]) -> str:
    document = yaml.safe_load(text)
    document.pop("md5", None)  # checksum of the stage itself, stale once an output changes
    change(document["outs"][0])
    return yaml.safe_dump(document, sort_keys=False)


def _single_out(text: str, path: str, where: str) -> dict[str, Any]:
    try:
        outs = yaml.safe_load(text)["outs"]
        (out,) = outs
        return dict(out)
    except (yaml.YAMLError, TypeError, KeyError, ValueError) as error:
        raise SetupError(
            f"{pointer_name(path)} in {where} is no pointer to one file", remedy="write it again with `dvc add`"
        ) from error
