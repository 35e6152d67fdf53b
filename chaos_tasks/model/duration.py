"""Durations as people write them: 500ms, 90s, 5m, 7h, 3d."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PATTERN = r"^\d+(\.\d+)?(ms|s|m|h|d)$"
_SHAPE = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)$")


def parse_duration(text: Any) -> timedelta:
    """Parse "90s" and the like; raises ValueError naming the accepted units."""
    if isinstance(text, timedelta):
        return text
    shape = _SHAPE.match(text.strip()) if isinstance(text, str) else None
    if shape is None:
        raise ValueError(f"{text!r} is no duration; write a number with a unit: 500ms, 90s, 5m, 7h, 3d")
    try:
        return timedelta(seconds=float(shape[1]) * _UNITS_S[shape[2]])
    except OverflowError:
        raise ValueError(f"{text[:20]!r} is no duration that a clock could show") from None


def format_duration(duration: timedelta) -> str:
    """The shortest exact writing; ``parse_duration`` gives the same duration back."""
    milliseconds = round(duration.total_seconds() * 1000)
    for unit in ("d", "h", "m", "s"):
        size_ms = round(_UNITS_S[unit] * 1000)
        if milliseconds and milliseconds % size_ms == 0:
            return f"{milliseconds // size_ms}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _PATTERN, "examples": ["90s", "5m", "7h"]}),
]
