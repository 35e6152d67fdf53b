"""Whether faults may be in now, and for how long still: windows less freezes, on the ledger's clock.

Where clocks are put forward a skipped wall time means the moment of the jump.  Where they are put back a wall time
comes twice: a window opens at the second and closes at the first, a freeze begins at the first and ends at the second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from chaos_tasks.errors import GuardTripped
from chaos_tasks.model.calendar import ChangeCalendar, ChangeWindow, Day, Freeze
from chaos_tasks.model.duration import format_duration

DAYS = tuple(Day)
LONGEST_LOOK = timedelta(days=400)
BEFORE = timedelta(days=2)
"""A window that is open now opened at most so long ago, in any zone."""


@dataclass(frozen=True)
class Span:
    """From, included, until, not included; both in UTC."""

    start: datetime
    end: datetime

    def holds(self, moment: datetime) -> bool:
        """Whether the moment lies in it."""
        return self.start <= moment < self.end


@dataclass(frozen=True)
class Asked:
    """What a run asks of the calendar: for whom, when, how long, and a person's reason to be let through."""

    environment: str
    target: str
    now: datetime
    needs: timedelta
    override: str = ""


def check(calendar: ChangeCalendar, asked: Asked) -> None:
    """Raises GuardTripped where the run may not begin, or does not fit what is left of the window."""
    frozen = _freeze_at(calendar, asked, asked.now)
    if frozen is not None and (frozen.strict or not asked.override):
        raise _frozen(frozen, asked)
    coming = _next_freeze(calendar, asked)
    if coming is not None and (coming.strict or not asked.override):
        raise _too_close(asked, _span_of(coming).start, f"the freeze ({coming.reason}) begins")
    if asked.override:
        return
    windows = _windows(calendar, asked)
    if not windows:
        return
    spans = _spans(windows, asked)
    current = next((span for span in spans if span.holds(asked.now)), None)
    if current is None:
        raise _closed(asked, spans, windows[0])
    if current.end < asked.now + asked.needs:
        raise _too_close(asked, current.end, "the change window closes")


def still_open(calendar: ChangeCalendar, asked: Asked) -> None:
    """Raises GuardTripped where what is in must come out now; ``needs`` is not looked at."""
    check(calendar, Asked(asked.environment, asked.target, asked.now, timedelta(0), asked.override))


def moments(day: date, clock: time, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The first and the last moment, in UTC, that a wall time of a day may mean; equal on all but two days a year."""
    wall = datetime.combine(day, clock.replace(tzinfo=None))
    early, late = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early <= late:
        return early, late
    jump = _jump_between(late, early, zone)  # the clock never showed it
    return jump, jump


def _jump_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The moment at which the offset changes, to the second."""
    start, end = int(before.timestamp()), int(after.timestamp())
    old = before.astimezone(zone).utcoffset()
    while end - start > 1:
        middle = (start + end) // 2
        moved = datetime.fromtimestamp(middle, zone).utcoffset() != old
        start, end = (start, middle) if moved else (middle, end)
    return datetime.fromtimestamp(end, UTC)


def _windows(calendar: ChangeCalendar, asked: Asked) -> list[ChangeWindow]:
    return [window for window in calendar.windows if window.concerns(asked.environment, asked.target)]


def _spans(windows: Iterable[ChangeWindow], asked: Asked) -> list[Span]:
    """When any of them is open, from shortly before now; those that touch are one."""
    horizon = min(asked.needs, LONGEST_LOOK) + timedelta(days=9)
    first = asked.now - BEFORE
    found = [span for window in windows for span in _openings(window, first, horizon + BEFORE)]
    return merged(found)


def merged(spans: Iterable[Span]) -> list[Span]:
    """Spans in order of time; those that touch become one."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda one: one.start):
        if found and span.start <= found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def _openings(window: ChangeWindow, first: datetime, length: timedelta) -> Iterable[Span]:
    zone = ZoneInfo(window.zone)
    begin = first.astimezone(zone).date()
    overnight = timedelta(days=1 if window.closes <= window.opens else 0)
    for number in range(length.days + 2):
        day = begin + timedelta(days=number)
        if DAYS[day.weekday()] not in window.days:
            continue
        opens, closes = moments(day, window.opens, zone)[1], moments(day + overnight, window.closes, zone)[0]
        if opens < closes:
            yield Span(opens, closes)


def _span_of(freeze: Freeze) -> Span:
    return Span(_moment(freeze.begins, freeze.zone)[0], _moment(freeze.ends, freeze.zone)[1])


def _moment(told: datetime, zone: str) -> tuple[datetime, datetime]:
    if told.tzinfo is not None:
        return told.astimezone(UTC), told.astimezone(UTC)
    return moments(told.date(), told.time(), ZoneInfo(zone))


def _freeze_at(calendar: ChangeCalendar, asked: Asked, moment: datetime) -> Freeze | None:
    """The strictest freeze that holds at a moment."""
    found = [
        one for one in calendar.freezes if one.concerns(asked.environment, asked.target) and _span_of(one).holds(moment)
    ]
    return max(found, key=lambda one: one.strict, default=None)


def _next_freeze(calendar: ChangeCalendar, asked: Asked) -> Freeze | None:
    """The freeze that begins before the run could be over, the strictest first."""
    over = asked.now + asked.needs
    found = [
        one
        for one in calendar.freezes
        if one.concerns(asked.environment, asked.target) and asked.now <= _span_of(one).start < over
    ]
    return max(found, key=lambda one: one.strict, default=None)


def _frozen(freeze: Freeze, asked: Asked) -> GuardTripped:
    until = _shown(_span_of(freeze).end, freeze.zone)
    remedy = f"wait until {until}"
    if not freeze.strict:
        remedy += "; who must, gives a reason: `--outside-window REASON`, or `outside_window` in the form"
    return GuardTripped(f"{_who(asked)} is frozen until {until}: {freeze.reason}", remedy=remedy)


def _closed(asked: Asked, spans: list[Span], window: ChangeWindow) -> GuardTripped:
    coming = next((span for span in spans if span.start > asked.now), None)
    when = f"it opens {_shown(coming.start, window.zone)}" if coming else "none opens within the next week"
    return GuardTripped(
        f"no change window is open for {_who(asked)}; {when}",
        remedy="wait for it; who must, gives a reason: `--outside-window REASON`, or `outside_window` in the form",
    )


def _too_close(asked: Asked, end: datetime, what: str) -> GuardTripped:
    left = format_duration(timedelta(seconds=int((end - asked.now).total_seconds())))
    needs = format_duration(timedelta(seconds=int(asked.needs.total_seconds())))
    return GuardTripped(
        f"{what} in {left}, and the run may need {needs} on {_who(asked)}",
        remedy="start it earlier, ask fewer seeds, or declare guards.longest (a run that takes longer is ended)",
    )


def _who(asked: Asked) -> str:
    return f"target {asked.target} ({asked.environment})"


def _shown(moment: datetime, zone: str) -> str:
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} {zone}"
