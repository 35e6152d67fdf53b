"""What a rewrite does not change comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chaos_tasks.targets.formats.csv import Csv
from chaos_tasks.targets.formats.files import rewrite
from chaos_tasks.targets.formats.parquet import Parquet
from tests.dvc_sources import table, write_table


def same(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
    return batch


def test_parquet_keeps_values_schema_metadata_row_groups_and_codec(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    write_table(file, table(1000))
    before, meta = pq.read_table(file), pq.read_metadata(file)
    rewrite("parquet", file, same)
    after = pq.read_metadata(file)
    assert pq.read_table(file).equals(before, check_metadata=True)
    assert after.num_row_groups == meta.num_row_groups == 3
    assert {after.row_group(0).column(i).compression for i in range(7)} == {"ZSTD"}


def test_a_large_row_group_is_read_in_parts_with_the_same_values(tmp_path: Path) -> None:
    file, target = tmp_path / "a.parquet", tmp_path / "b.parquet"
    write_table(file, table(1000))
    parts = Parquet(group_bytes=1000, part_rows=64)
    assert len(list(parts.batches(file, ["id"]))) > pq.read_metadata(file).num_row_groups
    parts.write(file, target, same)
    assert pq.read_table(target).equals(pq.read_table(file), check_metadata=True)


def test_a_rewrite_is_deterministic(tmp_path: Path) -> None:
    contents = []
    for name in ("a.parquet", "b.parquet"):
        write_table(tmp_path / name, table(500))
        rewrite("parquet", tmp_path / name, same)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("chunk_rows", [1, 2, 1000])
def test_csv_keeps_the_text_to_the_letter(tmp_path: Path, ending: str, chunk_rows: int) -> None:
    lines = ["id,name,x", '007,"Doe, J",1.50', "8,,", '9,"two\nlines",1e3', '10,"say ""hi""",é', ""]
    file, target = tmp_path / "a.csv", tmp_path / "b.csv"
    file.write_bytes(ending.join(lines).encode())
    Csv(chunk_rows).write(file, target, same)
    assert target.read_bytes() == file.read_bytes()


def test_a_failed_rewrite_leaves_the_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    write_table(file, table(1000))
    before = file.read_bytes()

    def failing(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
        if first:
            raise RuntimeError("half-way")
        return batch

    with pytest.raises(RuntimeError):
        rewrite("parquet", file, failing)
    assert file.read_bytes() == before


def test_an_empty_file_is_rewritten(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.csv"):
        write_table(tmp_path / name, table(10).slice(0, 0))
        rewrite("csv" if name.endswith("csv") else "parquet", tmp_path / name, same)
    assert pq.read_metadata(tmp_path / "a.parquet").num_rows == 0
