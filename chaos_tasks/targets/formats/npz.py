"""Several NumPy arrays in one file (.npz): those as long as the longest are its columns; others are left alone."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from chaos_tasks.errors import InjectError
from chaos_tasks.targets.formats import arrays
from chaos_tasks.targets.formats.base import BATCH_BYTES, Transform

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".npy"


class Npz:
    """Members keep their order and compression; they are written by way of files beside the target."""

    def __init__(self, batch_bytes: int = BATCH_BYTES) -> None:
        self._batch_bytes = batch_bytes

    def schema(self, path: Path) -> pa.Schema:
        """Columns `labels` of a vector, `features.0` and so on of a matrix."""
        return _schema(_layouts(path))

    def rows(self, path: Path) -> int:
        """Length of the longest array."""
        return _rows(_layouts(path))

    def batches(self, path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Only arrays with a named column are read."""
        import pyarrow as pa

        layouts = _layouts(path)
        named = set(_schema(layouts).names if columns is None else columns)
        read = [one for one in layouts if named & set(one.columns)]
        width, schema = sum(one.row_bytes for one in read), _schema(read)
        with _opened(path, read) as files:
            for first, count in arrays.steps(_rows(layouts), width, self._batch_bytes):
                columns_of = [
                    column
                    for one in read
                    for column in one.decode(arrays.read_rows(files[one.name], one, first, count))
                ]
                batch = pa.RecordBatch.from_arrays(columns_of, schema=schema)
                yield first, batch if columns is None else batch.select(list(columns))

    def write(self, path: Path, target: Path, transform: Transform) -> None:
        """Dates in the archive are those of NumPy, so that equal arrays give equal bytes."""
        layouts, rows = _layouts(path), 0
        with ExitStack() as stack:
            made = {one.name: stack.enter_context(tempfile.TemporaryFile(dir=target.parent)) for one in layouts}
            for one in layouts:
                arrays.write_header(made[one.name], one, one.shape[0])
            for first, batch in self.batches(path):
                changed = transform(batch, first)
                rows += changed.num_rows
                for one in layouts:
                    made[one.name].write(one.encode(changed))
            for one in layouts:
                arrays.write_header(made[one.name], one, rows)
            _assemble(path, target, made)


def _layouts(path: Path) -> list[arrays.Layout]:
    try:
        with zipfile.ZipFile(path) as archive:
            found = []
            for member in archive.namelist():
                with archive.open(member) as file:
                    found.append(arrays.read_layout(file, member.removesuffix(SUFFIX)))
    except zipfile.BadZipFile as error:
        raise InjectError(f"{path.name} is no archive of arrays", remedy="write it with np.savez") from error
    longest = max((one.shape[0] for one in found if one.shape), default=0)
    if not longest:
        raise InjectError(f"{path.name} has no array with rows", remedy="name a file with data")
    return [one for one in found if one.shape and one.shape[0] == longest]


def _rows(layouts: Sequence[arrays.Layout]) -> int:
    return layouts[0].shape[0] if layouts else 0


def _schema(layouts: Sequence[arrays.Layout]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([pair for one in layouts for pair in zip(one.columns, one.types(), strict=True)])


@contextmanager
def _opened(path: Path, layouts: Sequence[arrays.Layout]) -> Iterator[Mapping[str, IO[bytes]]]:
    """Each member at its first row; one in the order of Fortran is laid out on disk first, since it must seek."""
    with ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(path))
        files = {}
        for one in layouts:
            file = stack.enter_context(archive.open(one.name + SUFFIX))
            if one.by_columns:
                laid_out = stack.enter_context(tempfile.TemporaryFile(dir=path.parent))
                shutil.copyfileobj(file, laid_out, 1 << 20)
                files[one.name] = cast("IO[bytes]", laid_out)
            else:
                file.read(one.start)
                files[one.name] = file
        yield files


def _assemble(path: Path, target: Path, made: Mapping[str, IO[bytes]]) -> None:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "x") as new:
        for member in old.infolist():
            entry = zipfile.ZipInfo(member.filename)
            entry.compress_type = member.compress_type
            ours = made.get(member.filename.removesuffix(SUFFIX))
            with old.open(member) as kept, new.open(entry, "w", force_zip64=True) as file:
                if ours is not None:
                    ours.seek(0)
                shutil.copyfileobj(kept if ours is None else ours, file, 1 << 20)
