"""The adapter of a format by its name, and a file replaced by its transformation."""

from __future__ import annotations

import os
from pathlib import Path

from chaos_tasks.targets.formats.base import FileFormat, Format, Transform
from chaos_tasks.targets.objects import sync


def file_format(name: Format) -> FileFormat:
    """The adapter of that name."""
    if name == "parquet":
        from chaos_tasks.targets.formats.parquet import Parquet

        return Parquet()
    from chaos_tasks.targets.formats.csv import Csv

    return Csv()


def rewrite(name: Format, path: Path, transform: Transform) -> None:
    """Replace a file by its transformation, atomically: readers see the old file or the new one."""
    partial = path.with_name(f".{path.name}.squall-rewrite")
    partial.unlink(missing_ok=True)
    file_format(name).write(path, partial, transform)
    partial.chmod(path.stat().st_mode & 0o777)
    sync(partial)
    os.replace(partial, path)
