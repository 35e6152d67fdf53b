"""Names of the data formats that faults can read and write: tables, arrays, text, and folders of files."""

from __future__ import annotations

from typing import Literal

Format = Literal["parquet", "csv", "jsonl", "npy", "npz", "text", "images", "texts"]

TABLES: tuple[Format, ...] = ("parquet", "csv", "jsonl")
"""One file, with columns that have names."""

ARRAYS: tuple[Format, ...] = ("npy", "npz")
"""One file of NumPy's; a column of a matrix has a number for its name."""

FOLDERS: tuple[Format, ...] = ("images", "texts")
"""A directory is the data: a row is a file in it, its label the folder that it lies in or a column of an index."""

FILES: tuple[Format, ...] = (*TABLES, *ARRAYS, "text")
ALL: tuple[Format, ...] = (*FILES, *FOLDERS)
