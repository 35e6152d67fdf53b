"""What a rewrite does not change comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from chaos_tasks.errors import SetupError
from chaos_tasks.model.formats import CsvDialect
from chaos_tasks.model.target import DvcSource
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


ODD = b'id,"name",x\r\n"1","a",2\n\n3,"b\n""c""",4,more\r\n5,,""\n6,d,7'


def test_csv_rows_that_are_not_changed_keep_quotes_endings_and_what_stands_behind_them(tmp_path: Path) -> None:
    file, target = tmp_path / "a.csv", tmp_path / "b.csv"
    file.write_bytes(ODD)
    Csv().write(file, target, same)
    assert target.read_bytes() == ODD.replace(b"\n\n", b"\n")  # a blank line is no row

    def hurt(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
        values = ["9" if value == "4" else value for value in batch.column("x").to_pylist()]
        return batch.set_column(2, "x", pa.array(values, pa.string()))

    Csv().write(file, target, hurt)
    assert target.read_bytes() == ODD.replace(b"\n\n", b"\n").replace(b'"",4', b'"",9').replace(b'"", 9', b'"",9')


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_every_byte_comes_back_in_latin_1_and_a_byte_order_mark_in_utf_8(tmp_path: Path, mark: bytes) -> None:
    file, target = tmp_path / "a.csv", tmp_path / "b.csv"
    bytes_of_all = bytes(one for one in range(256) if one not in b'\r\n",')
    file.write_bytes(b"id,text\n1," + bytes_of_all + b"\n")
    Csv(dialect=CsvDialect(encoding="latin-1")).write(file, target, same)
    assert target.read_bytes() == file.read_bytes()
    file.write_bytes(mark + "id,text\n1,é\n".encode())
    assert Csv().schema(file).names == ["id", "text"]
    Csv().write(file, target, same)
    assert target.read_bytes() == file.read_bytes()


def test_csv_without_a_header_has_numbers_for_names_and_names_are_held_to_its_width(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("1,2\n3,4\n")
    plain = Csv(dialect=CsvDialect(header=False))
    assert plain.schema(file).names == ["0", "1"]
    assert plain.rows(file) == 2
    with pytest.raises(SetupError, match=r"2 fields, and `source\.csv\.columns` names 1"):
        Csv(dialect=CsvDialect(header=False, columns=("a",))).schema(file)


def test_columns_of_one_name_are_told_apart_and_the_header_stays(tmp_path: Path) -> None:
    file, target = tmp_path / "a.csv", tmp_path / "b.csv"
    file.write_text("a,,,a\n1,2,,4\n")
    assert Csv().schema(file).names == ["a", "", ".1", "a.1"]
    Csv().write(file, target, lambda batch, first: batch.set_column(3, "a.1", pa.array(["5"] * batch.num_rows)))
    assert target.read_text() == "a,,,a\n1,2,,5\n"
    Csv().write(file, target, lambda batch, first: batch.rename_columns(["b", *batch.schema.names[1:]]))
    assert target.read_text() == "b,,,a\n1,2,,4\n"


@pytest.mark.parametrize("wrong", [{"columns": ["a"]}, {"header": False, "columns": ["a", "a"]}, {"delimiter": ";;"}])
def test_a_dialect_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CsvDialect.model_validate(wrong)
    with pytest.raises(ValidationError, match="the format is parquet"):
        DvcSource.model_validate({"repo": "r", "data": ["a"], "csv": {"header": False}})


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
