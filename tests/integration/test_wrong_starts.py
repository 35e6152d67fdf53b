"""Every wrong start is answered by one message with a remedy, as docs/troubleshooting.md prints it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.wrong_starts import DOC, STARTS, WrongStart, said
from tests.tiny import Tiny, make_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    built = make_tiny(tmp_path_factory.mktemp("wrong") / "project")
    yield built
    built.clean_up()


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.what)
def test_the_answer_is_the_one_in_the_table(tiny: Tiny, start: WrongStart) -> None:
    answer = start.run(tiny)
    assert answer.code == start.code, answer.text
    assert "Traceback" not in answer.text
    text = said(start, answer, tiny)
    assert "->" in text or "Try 'squall" in text, "a message says what to do next"
    row = f"| {start.what} | `squall {' '.join(start.command)}` | {start.code} | {text} |"
    assert row in DOC.read_text(encoding="utf-8"), "run python -m tests.integration.wrong_starts"
