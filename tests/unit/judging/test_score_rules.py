"""The page's table of rules is what the rules give, and ours is the only one that no missing answer helps."""

from __future__ import annotations

from pathlib import Path

from benchmarks.score_rules import PAGE, RULES, page_with, rows, table


def test_the_table_on_the_page_is_current() -> None:
    page = Path(PAGE).read_text(encoding="utf-8")
    assert page_with(table(rows()), page) == page


def test_only_ours_falls_or_stays_whenever_something_goes_missing() -> None:
    found = dict(rows())
    silent = found["one of them deviates, silent"]
    missing = [found["that one gives no answer any more"], found["that one is not even run"]]
    stale = [found["all six held, four weeks ago"], found["all six held, on another version"]]
    held = found["all six held"]
    never_helped = {
        name
        for name in RULES
        if all((one[name] or 0) <= (silent[name] or 0) for one in missing)
        and all((one[name] or 0) < (held[name] or 0) for one in stale)
    }
    assert never_helped == {"Squall"}
