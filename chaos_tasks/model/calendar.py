"""When faults may be in: windows of the week, and freezes, each in the time zone of the people who wrote it."""

from __future__ import annotations

from datetime import datetime, time
from enum import StrEnum
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from chaos_tasks.model.base import Value


class Day(StrEnum):
    """A day of the week, in the order of ``date.weekday``."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone that this machine knows; write one such as Europe/Zurich") from None
    return name


def _of_the_wall(clock: time) -> time:
    if clock.tzinfo is not None:
        raise ValueError("a time of day has no offset here; `zone` says where it is")
    return clock


Zone = Annotated[str, AfterValidator(_known_zone)]
WallTime = Annotated[time, AfterValidator(_of_the_wall)]


class _Scope(Value):
    environments: tuple[str, ...] = Field((), description="Environments that it is about; empty: all.")
    targets: tuple[str, ...] = Field((), description="Targets that it is about; empty: all.")

    def concerns(self, environment: str, target: str) -> bool:
        """Whether it is about a target in its environment."""
        return (not self.environments or environment in self.environments) and (
            not self.targets or target in self.targets
        )


class ChangeWindow(_Scope):
    """A stretch of the week in which faults may be in; one that closes before it opens ends on the next day."""

    days: tuple[Day, ...] = Field(tuple(Day), min_length=1, description="Days on which it opens.")
    opens: WallTime = Field(time(0), description="Wall time, e.g. 22:00.")
    closes: WallTime = Field(time(0), description="Wall time, not included; the same as `opens`: a day later.")
    zone: Zone = Field("UTC", description="IANA name, e.g. Europe/Zurich.")


class Freeze(_Scope):
    """A time in which nothing may be in, whatever the windows say."""

    begins: datetime = Field(description="Wall time in `zone`, or with an offset of its own.")
    ends: datetime = Field(description="Not included: the day after the last one, or a moment.")
    zone: Zone = "UTC"
    reason: str = Field(min_length=3, description="For those who are refused.")
    strict: bool = Field(False, description="Nobody may override it.")

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        zone = ZoneInfo(self.zone)
        if not all(1971 <= moment.year <= 9998 for moment in (self.begins, self.ends)):
            raise ValueError("a freeze begins and ends in the years from 1971 to 9998")
        begins, ends = (
            moment if moment.tzinfo is not None else moment.replace(tzinfo=zone) for moment in (self.begins, self.ends)
        )
        if begins >= ends:
            raise ValueError("the freeze ends before it begins")
        return self


class ChangeCalendar(Value):
    """All windows and freezes; without any window for a target it may be hurt at any time that is not frozen."""

    windows: tuple[ChangeWindow, ...] = ()
    freezes: tuple[Freeze, ...] = ()
