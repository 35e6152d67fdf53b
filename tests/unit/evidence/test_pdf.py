"""The PDF is the same bytes twice, says what it is, and nothing that comes in as text can act."""

from __future__ import annotations

import pytest

from chaos_tasks.evidence import controls, pdf
from tests.unit.evidence.bodies import body

TABLE = controls.shipped()


def test_the_same_body_gives_the_same_bytes() -> None:
    assert pdf.render(body(), TABLE) == pdf.render(body(), TABLE)


def test_it_names_its_standards_and_is_tagged() -> None:
    raw = pdf.render(body(), TABLE, attached={"assessment-results.json": b"{}"})
    for mark in (b"<pdfaid:part>3<", b"<pdfaid:conformance>A<", b"<pdfuaid:part>1<", b"/StructTreeRoot", b"/MarkInfo"):
        assert mark in raw, mark


def test_texts_of_others_are_inert() -> None:
    """Typst markup, code and paths in a title are printed, not run; so is what no font can show."""
    evil = '#read("/etc/passwd") $x$ *bold* \N{SNOWMAN}\N{CJK UNIFIED IDEOGRAPH-4E2D} #panic("boo")'
    found = body().model_copy(update={"title": evil})
    assert pdf.render(found, TABLE).startswith(b"%PDF-1.7")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zürich \N{EM DASH} Ωμέγα", "Zürich \N{EM DASH} Ωμέγα"),
        ("a\nb\tc", "a b c"),
        ("\N{SNOWMAN}", "U+2603"),
        ("\x00", "U+0000"),
    ],
)
def test_what_the_fonts_lack_is_written_as_its_code_point(text: str, shown: str) -> None:
    assert pdf.readable(text) == shown
