"""Plain text: a line is a row, with one column `text`; bytes that are no UTF-8 come back as they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chaos_tasks.targets.formats.base import BATCH_BYTES, Transform

if TYPE_CHECKING:
    import pyarrow as pa

COLUMN = "text"


class Text:
    """Lines by line feed; a carriage return before it belongs to the line.  A missing last line feed stays missing."""

    def __init__(self, batch_bytes: int = BATCH_BYTES) -> None:
        self._batch_bytes = batch_bytes

    def schema(self, path: Path) -> pa.Schema:
        """One column, of bytes: a line is not bound to be UTF-8."""
        import pyarrow as pa

        return pa.schema([(COLUMN, pa.binary())])

    def rows(self, path: Path) -> int:
        """Counted by reading."""
        with path.open("rb") as file:
            return sum(1 for _ in file)

    def batches(self, path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Some megabytes of lines at a time."""
        import pyarrow as pa

        first, schema = 0, self.schema(path)
        with path.open("rb") as file:
            while lines := file.readlines(self._batch_bytes):
                values = pa.array([line.removesuffix(b"\n") for line in lines], pa.binary())
                yield first, pa.RecordBatch.from_arrays([values], schema=schema)
                first += len(lines)

    def write(self, path: Path, target: Path, transform: Transform) -> None:
        """A null is an empty line."""
        ended, size = _ends_with_line_feed(path), 0
        with target.open("xb") as file:
            for first, batch in self.batches(path):
                for line in transform(batch, first).column(COLUMN).to_pylist():
                    size += file.write((line or b"") + b"\n")
            if size and not ended:
                file.truncate(size - 1)


def _ends_with_line_feed(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if not size:
            return True
        file.seek(size - 1)
        return file.read() == b"\n"
