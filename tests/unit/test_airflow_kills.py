"""The pages of `make airflow-kills`: what is not as promised is shown in full, promises are those of the rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.airflow_kills.interventions import BY_KEY, ROWS
from tests.airflow_kills.page import page, with_promises
from tests.airflow_kills.playing import LATE_S, SWEEP_EVERY_S, not_as_promised
from tests.airflow_kills.project import FLIP, LEASE_S, PAUSE
from tests.airflow_kills.rows import Executor, Result

ROOT = Path(__file__).resolve().parents[2]


def result(**changes: object) -> Result:
    given: dict[str, object] = {
        "row": "pause-kill",
        "executor": Executor.LOCAL,
        "undone_s": {PAUSE: 0.5, FLIP: 11.0},
        "undone_by": {PAUSE: "supervisor", FLIP: "sweep"},
        "all_out_s": 11.0,
        "unrenewed_s": 11.2,
        "past_lease_s": 1.0,
        "unlocked_s": 11.3,
        "outcome": "inconclusive",
        "state": "failed",
        "tries": 2,
    }
    return Result.model_validate({**given, **changes})


def wrong(one: Result) -> list[str]:
    return list(not_as_promised(BY_KEY[one.row], one, ""))


def test_every_row_has_a_name_of_its_own() -> None:
    assert len(BY_KEY) == len(ROWS)
    assert len({row.does for row in ROWS}) == len(ROWS)


def test_a_fault_that_goes_out_in_time_is_as_promised() -> None:
    assert wrong(result()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"past_lease_s": SWEEP_EVERY_S + LATE_S + 0.1},
        {"unrenewed_s": 10 * LEASE_S},
        {"all_out_s": 10 * LEASE_S},
        {"outcome": "unreverted"},
        {"outcome": ""},
        {"state": "running"},
        {"undone_s": {PAUSE: 0.5}},
    ],
)
def test_what_comes_late_or_not_at_all_is_red(changes: dict[str, object]) -> None:
    assert len(wrong(result(**changes))) == 1


def test_the_page_tells_what_was_measured_and_shows_what_is_red() -> None:
    red = result(executor=Executor.CELERY, wrong=("the place is not what it was",))
    text = page([result(), red], "Played today.")
    assert "**1 of 2 are as promised.**" in text
    assert (
        "| 0.5 s, supervisor | 11.0 s, sweep | 11.0 s | 11.2 s | 1.0 s | 11.3 s | 2 | inconclusive | failed |" in text
    )
    assert "## Not as promised" in text
    assert "the place is not what it was" in text


def test_the_page_of_interventions_promises_what_the_rows_do() -> None:
    text = (ROOT / "docs" / "interventions.md").read_text()
    assert with_promises(text) == text
    assert all(row.happens in text for row in ROWS)
