"""How a CSV file is written, as far as its bytes tell: its delimiter, its encoding, and whether it has a header."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from chaos_tasks.model.base import Value
from chaos_tasks.model.formats import CsvDialect

LOOKED_AT = 50
DELIMITERS = ";\t|"


class Writing(Value):
    """A dialect, and why each part of it that is not the usual was chosen."""

    dialect: CsvDialect = CsvDialect()
    why: tuple[str, ...] = ()


def writing_of(path: Path) -> Writing:
    """Reads the whole file once for its encoding, and some lines for the rest."""
    why = []
    encoding = "utf-8" if _is_utf8(path) else "latin-1"
    if encoding == "latin-1":
        why.append("it is no UTF-8; as Latin-1 each byte comes back as it was")
    with path.open(newline="", encoding=encoding) as file:
        lines = list(islice((line for line in file if line.strip()), LOOKED_AT))
    delimiter = _delimiter(lines)
    if delimiter != ",":
        why.append(f"its first line has no comma, and {delimiter!r} in all lines alike")
    rows = list(csv.reader(lines, delimiter=delimiter))
    header = not _is_headerless(rows)
    if not header:
        why.append("its first line holds numbers where the lines after it do, so that it is likely a row")
    return Writing(
        dialect=CsvDialect.model_validate({"header": header, "delimiter": delimiter, "encoding": encoding}),
        why=tuple(why),
    )


def together(writings: Sequence[Writing]) -> Writing:
    """One dialect for files that are written alike: where one of them is no UTF-8, all are read byte by byte."""
    return next((one for one in writings if one.dialect.encoding == "latin-1"), writings[0])


def alike(one: Writing, other: Writing) -> bool:
    """Whether two files can share a dialect."""
    return (one.dialect.header, one.dialect.delimiter) == (other.dialect.header, other.dialect.delimiter)


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while block := file.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _delimiter(lines: Sequence[str]) -> str:
    if not lines or "," in lines[0]:
        return ","
    for one in DELIMITERS:
        width = lines[0].count(one)
        if width and all(len(row) == width + 1 for row in csv.reader(lines, delimiter=one)):
            return one
    return ","


def _is_headerless(rows: Sequence[Sequence[str]]) -> bool:
    """The first line is as numeric as the others: where each column of numbers begins with one, it is no header."""
    if len(rows) < 3:
        return False
    width = len(rows[0])
    numeric = [at for at in range(width) if _all_numbers([row[at] for row in rows[1:] if len(row) > at])]
    return bool(numeric) and all(_is_number(rows[0][at]) for at in numeric)


def _all_numbers(values: Sequence[str]) -> bool:
    present = [value for value in values if value]
    return bool(present) and all(map(_is_number, present))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
