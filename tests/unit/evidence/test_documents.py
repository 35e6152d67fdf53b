"""What every rendering of a period promises."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.evidence import controls, html, markdown
from chaos_tasks.evidence.answers import OVERCLAIMS, first_page
from chaos_tasks.evidence.body import Body
from chaos_tasks.evidence.tables import DANGEROUS, cell, findings_csv, runs_csv
from tests.unit.evidence.bodies import TONIGHT, body

TABLE = controls.shipped()
EMPTY = TONIGHT.model_copy(update={"targets": ("nobody",)})


def every_rendering(found: Body) -> dict[str, str]:
    return {
        "html": html.render(found, TABLE),
        "markdown": markdown.render(found, TABLE),
        "runs.csv": runs_csv(found),
        "findings.csv": findings_csv(found),
        "table": TABLE.model_dump_json(),
    }


def test_the_first_page_answers_five_questions_with_numbers_of_this_night() -> None:
    said = {one.question: " ".join(one.sentences) for one in first_page(body())}
    assert "7 experiments in 7 runs" in said["What was tested?"]
    assert "1 refused (drop-records)" in said["What was tested?"]
    assert "4 deviated (2 of them without being noticed)" in said["What was found?"]
    assert "could not be put back" in said["What was found?"]
    assert "without an approval" in said["Who allowed it?"]
    assert "1 critical, 1 high, 2 moderate" in said["What is open?"]
    assert "551 records" in said["How can this be checked?"]
    assert "Faults put in: 1 of 4 known kinds: data.label_flip." in said["What was tested?"]
    assert said["What was found?"].startswith("1 run could not be put back, and a person is needed: deny-access.")
    assert "Not noticed: label-flip, scaling." in said["What was found?"]


def test_every_run_of_the_first_page_is_counted_once() -> None:
    """A reader who adds up comes to the number of runs."""
    said = next(one for one in first_page(body()) if one.question == "What was found?").sentences[1]
    numbers = [int(word) for word in re.findall(r"(\d+) (?:held|deviated|gave|could)", said)]
    assert sum(numbers) == len(body().tested)


def test_a_command_is_shown_as_one_and_a_text_with_one_backtick_as_it_is() -> None:
    page = html.render(body(), TABLE)
    assert "<code>python verify.py --vkey KEYS</code>" in page
    assert "`" not in page.partition("<h2>Findings")[0]
    run = body().tested[0].model_copy(update={"sentence": "a ` and <b>"})
    odd = html.render(body().model_copy(update={"tested": (run,)}), TABLE)
    assert "a ` and &lt;b&gt;" in odd


@pytest.mark.parametrize("scope", [TONIGHT, EMPTY], ids=["night", "empty"])
def test_no_rendering_claims_more_than_evidence(scope: object) -> None:
    for name, text in every_rendering(body(scope)).items():  # type: ignore[arg-type]
        assert not OVERCLAIMS.search(text), (name, OVERCLAIMS.search(text))


def test_the_guard_of_words_bites() -> None:
    assert OVERCLAIMS.search("This target complies with DORA.")
    assert OVERCLAIMS.search("Compliant with Article 15")
    assert not OVERCLAIMS.search("provides evidence relevant to Article 15(4)")


def test_the_same_body_gives_the_same_bytes() -> None:
    assert every_rendering(body()) == every_rendering(body())


class _Page(HTMLParser):
    """Collects what a screen reader needs: scopes of headers, captions, and what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = self.captions = 0
        self.headers: list[str | None] = []
        self.loads: list[str] = []
        self.levels: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.tables += tag == "table"
        self.captions += tag == "caption"
        if tag == "th":
            self.headers.append(told.get("scope"))
        if tag in {"script", "img", "iframe", "link", "object"} or "src" in told:
            self.loads.append(tag)
        if tag in {"h1", "h2", "h3"}:
            self.levels.append(int(tag[1]))


def test_the_page_can_be_read_aloud_and_loads_nothing() -> None:
    page = _Page()
    page.feed(html.render(body(), TABLE))
    assert page.tables == page.captions > 4
    assert set(page.headers) == {"row", "col"}
    assert page.loads == []
    assert page.levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in zip(page.levels, page.levels[1:], strict=False))


def test_texts_of_others_stay_texts() -> None:
    evil = body().model_copy(update={"title": "<script>alert(1)</script> | `x` =cmd"})
    assert "<script>" not in html.render(evil, TABLE)
    assert "\n# <script>" not in markdown.render(evil, TABLE)


@given(st.text())
def test_no_cell_can_become_a_formula(text: str) -> None:
    assert not str(cell(text)).startswith(DANGEROUS)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_in_cells_come_back_exactly(number: float) -> None:
    assert float(str(cell(number))) == number


def test_the_table_has_one_row_for_each_check_of_each_run() -> None:
    found = body()
    rows = list(csv.DictReader(io.StringIO(runs_csv(found))))
    assert [(row["run_id"], row["check"]) for row in rows] == [
        (run.run_id, check.check) for run in found.tested for check in run.checks
    ]
    assert {row["undo_proved"] for row in rows if row["outcome"] == "unreverted"} == {"false"}


def test_every_finding_is_in_its_table() -> None:
    found = body()
    rows = list(csv.DictReader(io.StringIO(findings_csv(found))))
    assert [row["risk_id"] for row in rows] == [one.risk_id for one in found.findings]
    assert "still in" in rows[0]["effect"]
