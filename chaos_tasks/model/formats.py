"""Names of the data formats that faults can read and write: tables, arrays, text, and folders of files."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from chaos_tasks.model.base import Value

Format = Literal["parquet", "csv", "jsonl", "npy", "npz", "text", "images", "texts"]

TABLES: tuple[Format, ...] = ("parquet", "csv", "jsonl")
"""One file, with columns that have names."""

ARRAYS: tuple[Format, ...] = ("npy", "npz")
"""One file of NumPy's; a column of a matrix has a number for its name."""

FOLDERS: tuple[Format, ...] = ("images", "texts")
"""A directory is the data: a row is a file in it, its label the folder that it lies in or a column of an index."""

FILES: tuple[Format, ...] = (*TABLES, *ARRAYS, "text")
ALL: tuple[Format, ...] = (*FILES, *FOLDERS)


class CsvDialect(Value):
    """How CSV data are written, where that is not commas, UTF-8 and one header line."""

    header: bool = Field(True, description="false: the first line is a row; the file stays without a header.")
    columns: tuple[str, ...] = Field(
        (), description="Names of the columns of data without a header, in order; by default 0, 1, 2 and so on."
    )
    delimiter: str = Field(",", min_length=1, max_length=1, description="One character, such as ';' or a tab.")
    encoding: Literal["utf-8", "latin-1"] = Field(
        "utf-8",
        description="latin-1: each byte is one letter, and comes back as the byte that it was, so that it serves for "
        "any code page of one byte a letter (Windows-1252, ISO 8859-15); letters beyond ASCII may then show as others.",
    )

    @model_validator(mode="after")
    def _names_are_for_data_without_a_header(self) -> Self:
        if self.columns and self.header:
            raise ValueError("`columns` are for data without a header: add `header: false`")
        if len(set(self.columns)) != len(self.columns):
            raise ValueError("`columns` names a column twice")
        return self


Form = Format | CsvDialect
"""What an adapter is looked up by: a format, or CSV in a dialect."""
