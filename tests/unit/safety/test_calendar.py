"""Change windows and freezes, on days that have 23, 24 and 25 hours; what does not fit is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.errors import GuardTripped
from chaos_tasks.model.calendar import ChangeCalendar, ChangeWindow
from chaos_tasks.safety.calendar import Asked, check, moments, still_open

ZURICH = ZoneInfo("Europe/Zurich")
NIGHTS = {"days": ["mon", "tue", "wed", "thu", "fri"], "opens": "22:00", "closes": "06:00", "zone": "Europe/Zurich"}
HOUR = timedelta(hours=1)


def calendar(*windows: dict[str, Any], freezes: tuple[dict[str, Any], ...] = ()) -> ChangeCalendar:
    return ChangeCalendar.model_validate({"windows": windows, "freezes": freezes})


def asked(moment: str, *, needs: timedelta = HOUR, zone: ZoneInfo = ZURICH, fold: int = 0, **more: str) -> Asked:
    now = datetime.fromisoformat(moment).replace(tzinfo=zone, fold=fold).astimezone(UTC)
    told = {"environment": "staging", "target": "flights", "override": "", **more}
    return Asked(now=now, needs=needs, **told)


def is_open(given: ChangeCalendar, ask: Asked) -> bool:
    try:
        check(given, ask)
    except GuardTripped as error:
        return not error.remedy  # each refusal has one
    return True


def test_without_windows_it_is_always_open() -> None:
    check(ChangeCalendar(), asked("2026-11-24T12:00"))


@pytest.mark.parametrize(
    ("moment", "opened"),
    [
        ("2026-11-24T21:59", False),
        ("2026-11-24T22:00", True),
        ("2026-11-25T04:59", True),
        ("2026-11-25T05:01", False),  # an hour does not fit any more
        ("2026-11-25T06:00", False),
        ("2026-11-28T01:00", True),  # Saturday's small hours belong to Friday's window
        ("2026-11-28T23:00", False),
        ("2026-11-30T01:00", False),  # Sunday's would
    ],
)
def test_a_window_over_midnight(moment: str, opened: bool) -> None:
    assert is_open(calendar(NIGHTS), asked(moment)) is opened


def test_a_refusal_says_when_it_opens_and_how_to_insist() -> None:
    with pytest.raises(GuardTripped, match="it opens 2026-11-24 22:00 Europe/Zurich") as caught:
        check(calendar(NIGHTS), asked("2026-11-24T12:00"))
    assert "--outside-window" in caught.value.remedy
    with pytest.raises(GuardTripped, match="closes in 30m, and the run may need 1h on target flights") as caught:
        check(calendar(NIGHTS), asked("2026-11-25T05:30"))
    assert "guards.longest" in caught.value.remedy


def test_a_reason_opens_it_and_what_runs_goes_on() -> None:
    check(calendar(NIGHTS), asked("2026-11-24T12:00", override="incident drill, agreed with the owner"))
    still_open(calendar(NIGHTS), asked("2026-11-24T12:00", override="incident drill, agreed with the owner"))
    with pytest.raises(GuardTripped, match="no change window is open"):
        still_open(calendar(NIGHTS), asked("2026-11-24T12:00"))
    still_open(calendar(NIGHTS), asked("2026-11-25T05:59"))


def test_windows_that_touch_are_one() -> None:
    evening = {**NIGHTS, "closes": "00:00"}
    morning = {**NIGHTS, "opens": "00:00", "days": ["tue", "wed", "thu", "fri", "sat"]}
    assert is_open(calendar(evening, morning), asked("2026-11-24T23:30", needs=2 * HOUR))
    assert not is_open(calendar(evening), asked("2026-11-24T23:30", needs=2 * HOUR))


def test_a_window_is_about_its_environments_and_targets_only() -> None:
    only = calendar({**NIGHTS, "environments": ["production"]})
    assert is_open(only, asked("2026-11-24T12:00"))
    assert not is_open(only, asked("2026-11-24T12:00", environment="production"))
    one = calendar({**NIGHTS, "targets": ["flights"]})
    assert is_open(one, asked("2026-11-24T12:00", target="other"))


def test_a_window_whose_times_are_equal_is_open_all_day() -> None:
    days = calendar({"days": ["tue"], "opens": "03:00", "closes": "03:00", "zone": "Europe/Zurich"})
    assert is_open(days, asked("2026-11-24T03:00", needs=timedelta(hours=24)))
    assert not is_open(days, asked("2026-11-25T03:00"))


# --- days of 23 and of 25 hours: in Zurich 2026-03-29 has no 02:00 to 03:00, and 2026-10-25 has two ------------------


def test_a_wall_time_that_is_skipped_is_the_moment_of_the_jump() -> None:
    jump = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    for clock in (time(2, 0), time(2, 30), time(2, 59, 59)):
        first, last = moments(jump.date(), clock, ZURICH)
        assert first == last == jump
    assert moments(jump.date(), time(3, 0), ZURICH) == (jump, jump)


def test_a_wall_time_that_comes_twice_is_both() -> None:
    first, last = moments(date(2026, 10, 25), time(2, 30), ZURICH)
    assert (first, last) == (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC))


def test_in_spring_a_window_is_an_hour_shorter() -> None:
    sundays = calendar({"days": ["sun"], "opens": "01:00", "closes": "05:00", "zone": "Europe/Zurich"})
    assert is_open(sundays, asked("2026-03-22T01:00", needs=4 * HOUR))
    assert is_open(sundays, asked("2026-03-29T01:00", needs=3 * HOUR))
    with pytest.raises(GuardTripped, match="closes in 3h, and the run may need 4h"):
        check(sundays, asked("2026-03-29T01:00", needs=4 * HOUR))


def test_in_autumn_it_is_an_hour_longer_but_never_reads_a_double_hour_in_its_own_favour() -> None:
    sundays = calendar({"days": ["sun"], "opens": "01:00", "closes": "05:00", "zone": "Europe/Zurich"})
    assert is_open(sundays, asked("2026-10-25T01:00", needs=5 * HOUR))
    till_half = calendar({"days": ["sun"], "opens": "01:00", "closes": "02:30", "zone": "Europe/Zurich"})
    assert is_open(till_half, asked("2026-10-25T02:00", needs=HOUR / 2))
    assert not is_open(till_half, asked("2026-10-25T02:00", fold=1, needs=timedelta(0)))
    from_half = calendar({"days": ["sun"], "opens": "02:30", "closes": "05:00", "zone": "Europe/Zurich"})
    assert not is_open(from_half, asked("2026-10-25T02:45"))
    assert is_open(from_half, asked("2026-10-25T02:45", fold=1))


def test_a_window_within_the_skipped_hour_stays_shut_that_day() -> None:
    tiny = calendar({"days": ["sun"], "opens": "02:10", "closes": "02:50", "zone": "Europe/Zurich"})
    assert not is_open(tiny, asked("2026-03-29T03:00", needs=timedelta(0)))
    assert is_open(tiny, asked("2026-03-22T02:10", needs=timedelta(minutes=30)))


FREEZE = {"begins": "2026-10-25T02:30:00", "ends": "2026-10-27", "zone": "Europe/Zurich", "reason": "quarter end"}


def test_a_freeze_begins_at_the_first_and_ends_at_the_second_of_a_double_time() -> None:
    frozen = calendar(freezes=(FREEZE,))
    assert is_open(frozen, asked("2026-10-25T02:00", needs=HOUR / 2))
    assert not is_open(frozen, asked("2026-10-25T02:30", needs=timedelta(0)))
    assert not is_open(frozen, asked("2026-10-25T02:00", fold=1, needs=timedelta(0)))
    until = calendar(freezes=({**FREEZE, "begins": "2026-10-24", "ends": "2026-10-25T02:30:00"},))
    assert not is_open(until, asked("2026-10-25T02:45", needs=timedelta(0)))
    assert is_open(until, asked("2026-10-25T02:30", fold=1))


def test_a_freeze_says_its_reason_and_its_end_and_what_reaches_into_it_is_refused() -> None:
    frozen = calendar(freezes=(FREEZE,))
    with pytest.raises(GuardTripped, match="frozen until 2026-10-27 00:00 Europe/Zurich: quarter end") as caught:
        check(frozen, asked("2026-10-26T12:00"))
    assert "--outside-window" in caught.value.remedy
    with pytest.raises(GuardTripped, match=r"the freeze \(quarter end\) begins in 1h"):
        check(frozen, asked("2026-10-25T01:30", needs=2 * HOUR))
    check(frozen, asked("2026-10-27T00:00"))


def test_a_reason_passes_a_freeze_but_not_a_strict_one() -> None:
    check(calendar(freezes=(FREEZE,)), asked("2026-10-26T12:00", override="agreed"))
    strict = calendar(freezes=({**FREEZE, "strict": True},))
    for moment in ("2026-10-26T12:00", "2026-10-25T02:00"):
        with pytest.raises(GuardTripped, match="quarter end") as caught:
            check(strict, asked(moment, override="agreed"))
        assert "--outside-window" not in caught.value.remedy


def test_a_freeze_with_offsets_and_one_within_an_open_window() -> None:
    told = {**FREEZE, "begins": "2026-11-24T23:00:00+01:00", "ends": "2026-11-25T00:00:00+01:00"}
    both = calendar(NIGHTS, freezes=(told,))
    assert is_open(both, asked("2026-11-24T22:00"))
    assert not is_open(both, asked("2026-11-24T22:01"))
    assert is_open(both, asked("2026-11-25T00:00"))


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"windows": [{"zone": "Europe/Atlantis"}]}, "no time zone"),
        ({"windows": [{"opens": "22:00+01:00"}]}, "has no offset here"),
        ({"windows": [{"days": []}]}, "at least 1"),
        ({"windows": [{"days": ["Montag"]}]}, "'mon', 'tue'"),
        ({"freezes": [{**FREEZE, "ends": "2026-10-25"}]}, "ends before it begins"),
        ({"freezes": [{**FREEZE, "reason": ""}]}, "at least 3"),
        ({"freezes": [{**FREEZE, "begins": "0001-01-01"}]}, "years from 1971"),
        ({"freezes": [{**FREEZE, "ends": "9999-12-31T23:59:59"}]}, "to 9998"),
    ],
)
def test_a_calendar_that_cannot_be_meant_is_refused(told: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ChangeCalendar.model_validate(told)


zones = st.sampled_from(["Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"])
clocks = st.times().map(lambda one: one.replace(second=0, microsecond=0))
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
instants = st.integers(0, 2 * 365 * 24 * 60).map(lambda minutes: FIRST + timedelta(minutes=minutes))


@given(instants, clocks, clocks, zones, st.timedeltas(timedelta(0), timedelta(hours=30)))
def test_what_is_let_in_is_never_outside_of_the_wall_times(
    now: datetime, opens: time, closes: time, zone: str, needs: timedelta
) -> None:
    """By the wall clock itself, minute for minute, in zones with jumps of an hour and of half an hour."""
    window = ChangeWindow(opens=opens, closes=closes, zone=zone)
    one = Asked("lab", "t", now, needs)
    if opens == closes or not is_open(ChangeCalendar(windows=(window,)), one):
        return
    for moment in (now, now + needs - timedelta(minutes=1) if needs >= timedelta(minutes=1) else now):
        wall = moment.astimezone(ZoneInfo(zone)).time().replace(tzinfo=None)
        assert opens <= wall < closes if opens < closes else (wall >= opens or wall < closes)
