"""One NumPy array in a file (.npy): rows along its first axis, read by seeking and never mapped into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chaos_tasks.errors import InjectError
from chaos_tasks.targets.formats import arrays
from chaos_tasks.targets.formats.base import BATCH_BYTES, Transform

if TYPE_CHECKING:
    import pyarrow as pa


class Npy:
    """Values keep their type; an array in the order of Fortran is written in the order of C, with equal values."""

    def __init__(self, batch_bytes: int = BATCH_BYTES) -> None:
        self._batch_bytes = batch_bytes

    def schema(self, path: Path) -> pa.Schema:
        """From the header."""
        import pyarrow as pa

        layout = _layout(path)
        return pa.schema(list(zip(layout.columns, layout.types(), strict=True)))

    def rows(self, path: Path) -> int:
        """From the header."""
        return _layout(path).shape[0]

    def batches(self, path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """All columns of a row lie together, so that all are read."""
        import pyarrow as pa

        layout, schema = _layout(path), self.schema(path)
        with path.open("rb") as file:
            file.seek(layout.start)
            for first, count in arrays.steps(layout.shape[0], layout.row_bytes, self._batch_bytes):
                rows = arrays.read_rows(file, layout, first, count)
                batch = pa.RecordBatch.from_arrays(layout.decode(rows), schema=schema)
                yield first, batch if columns is None else batch.select(list(columns))

    def write(self, path: Path, target: Path, transform: Transform) -> None:
        """The number of rows is written last."""
        layout, rows = _layout(path), 0
        with target.open("xb") as file:
            arrays.write_header(file, layout, layout.shape[0])
            for first, batch in self.batches(path):
                changed = transform(batch, first)
                file.write(layout.encode(changed))
                rows += changed.num_rows
            arrays.write_header(file, layout, rows)


def _layout(path: Path) -> arrays.Layout:
    with path.open("rb") as file:
        layout = arrays.read_layout(file)
    if not layout.shape:
        raise InjectError(f"{path.name} is a single value, not rows", remedy="name an array with a first axis")
    return layout
