"""CSV as people leave it: blank lines at the end, rows that are cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.errors import SetupError
from chaos_tasks.targets.formats.csv import Csv


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    file = tmp_path / "iris.data"
    file.write_text("a,b\n1,x\n\n2,y\n\n")
    assert [batch.column(1).to_pylist() for _, batch in Csv().batches(file)] == [["x", "y"]]
    assert Csv().rows(file) == 2


def test_a_row_that_is_too_short_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a,b\n1,x\n2\n")
    with pytest.raises(SetupError, match="data row 2 has 1 fields, and there are 2 columns"):
        list(Csv().batches(file))
