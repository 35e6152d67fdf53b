"""The adapter of a format by its name, and data replaced by their transformation."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import cast

from chaos_tasks.model.formats import CsvDialect, Form
from chaos_tasks.targets.directories import discard, put_in_place
from chaos_tasks.targets.formats.base import FileFormat, Format, Transform
from chaos_tasks.targets.objects import sync

ADAPTERS: Mapping[Format, str] = {
    "parquet": "chaos_tasks.targets.formats.parquet:Parquet",
    "csv": "chaos_tasks.targets.formats.csv:Csv",
    "jsonl": "chaos_tasks.targets.formats.jsonl:JsonLines",
    "npy": "chaos_tasks.targets.formats.npy:Npy",
    "npz": "chaos_tasks.targets.formats.npz:Npz",
    "text": "chaos_tasks.targets.formats.text:Text",
    "images": "chaos_tasks.targets.formats.folders:Images",
    "texts": "chaos_tasks.targets.formats.folders:Texts",
}
"""Each in a file of its own, imported when it is first asked for."""


def file_format(name: Form) -> FileFormat:
    """The adapter of that name, or of CSV in a dialect."""
    if isinstance(name, CsvDialect):
        from chaos_tasks.targets.formats.csv import Csv

        return Csv(dialect=name)
    module, _, attribute = ADAPTERS[name].partition(":")
    return cast(FileFormat, getattr(import_module(module), attribute)())


def rewrite(name: Form, path: Path, transform: Transform) -> None:
    """Replace data by their transformation.

    A file is replaced atomically; of a folder, a crash may leave only the old one under another name, which the undo
    removes, since it lays the folder out anew.
    """
    partial = path.with_name(f".{path.name}.squall-rewrite")
    discard(partial)
    file_format(name).write(path, partial, transform)
    partial.chmod(path.stat().st_mode & 0o777)
    sync(partial)
    put_in_place(partial, path)
