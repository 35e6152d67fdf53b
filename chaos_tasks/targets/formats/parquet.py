"""Parquet: one row group at a time, written back with the same row groups, compression, schema and metadata.

A row group of more than GROUP_BYTES is read in parts, and written as several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaos_tasks.targets.formats.base import Transform

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


GROUP_BYTES = 128 << 20
BUFFER_BYTES = 1 << 20
PART_ROWS = 65_536


class Parquet:
    """Memory is bounded by GROUP_BYTES of uncompressed columns at a time."""

    def __init__(self, group_bytes: int = GROUP_BYTES, part_rows: int = PART_ROWS) -> None:
        self._group_bytes, self._part_rows = group_bytes, part_rows

    def schema(self, path: Path) -> pa.Schema:
        """The Arrow schema, metadata included."""
        import pyarrow.parquet as pq

        return pq.read_schema(path)

    def rows(self, path: Path) -> int:
        """From the footer."""
        import pyarrow.parquet as pq

        return int(pq.read_metadata(path).num_rows)

    def batches(self, path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """One batch per row group, or several of a large one; only the named columns are decoded."""
        import pyarrow.parquet as pq

        # Buffering ahead, the default, would hold the whole row group.
        first, chosen = 0, None if columns is None else list(columns)
        with pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
            for group in range(file.num_row_groups):
                for batch in self._parts(file, group, chosen):
                    yield first, batch
                    first += batch.num_rows

    def _parts(self, file: pq.ParquetFile, group: int, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        about = file.metadata.row_group(group)
        if about.total_byte_size <= self._group_bytes:
            yield _as_batch(file.read_row_group(group, columns=columns))
            return
        width = about.total_byte_size / max(1, about.num_rows)
        rows = max(1, min(self._part_rows, int(self._group_bytes / 4 / max(1.0, width))))
        for part in file.iter_batches(rows, row_groups=[group], columns=columns):
            yield _as_batch(pa.Table.from_batches([part]))

    def write(self, path: Path, target: Path, transform: Transform) -> None:
        """Keeps row groups, codec and dictionary encoding per column; statistics are computed anew."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            empty = transform(_as_batch(file.schema_arrow.empty_table()), 0)
            options = _options(file, empty.schema)
            with pq.ParquetWriter(target, empty.schema, **options) as writer:
                for first, batch in self.batches(path):
                    changed = transform(batch, first)
                    writer.write_batch(changed.cast(empty.schema), row_group_size=max(changed.num_rows, 1))


def _as_batch(table: pa.Table) -> pa.RecordBatch:
    import pyarrow as pa

    table = table.unify_dictionaries().combine_chunks()
    columns = [_one_chunk(column) for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    return column.chunk(0) if column.num_chunks else pa.array([], type=column.type)


def _options(file: pq.ParquetFile, schema: pa.Schema) -> dict[str, Any]:
    """How the file was written, as far as its first row group tells."""
    if not file.num_row_groups:
        return {}
    group = file.metadata.row_group(0)
    chunks = [group.column(index) for index in range(group.num_columns)]
    codecs = {chunk.path_in_schema: chunk.compression.lower().replace("uncompressed", "none") for chunk in chunks}
    known = {name: codec for name, codec in codecs.items() if name.split(".")[0] in schema.names}
    # A renamed or added column takes the codec that most columns have.
    usual = max(set(codecs.values()), key=list(codecs.values()).count)
    coded = [chunk.path_in_schema for chunk in chunks if any("DICTIONARY" in code for code in chunk.encodings)]
    return {
        "compression": {**{name: usual for name in schema.names}, **known},
        "use_dictionary": [name for name in coded if name.split(".")[0] in schema.names] or False,
        "version": "1.0" if file.metadata.format_version == "1.0" else "2.6",
    }
