"""One thing that the doctor found: in order, worth knowing, or wrong, with its remedy."""

from __future__ import annotations

from enum import StrEnum

from chaos_tasks.model.base import Value


class Level(StrEnum):
    """How bad it is."""

    GOOD = "good"
    NOTE = "note"
    WARN = "warn"
    BAD = "bad"


class Finding(Value):
    """What was found about one subject."""

    subject: str
    level: Level
    text: str
    remedy: str = ""


def good(subject: str, text: str) -> Finding:
    """It is in order."""
    return Finding(subject=subject, level=Level.GOOD, text=text)


def note(subject: str, text: str) -> Finding:
    """Nothing is wrong; it explains what cannot be done."""
    return Finding(subject=subject, level=Level.NOTE, text=text)


def warn(subject: str, text: str, remedy: str) -> Finding:
    """It will be in the way of something."""
    return Finding(subject=subject, level=Level.WARN, text=text, remedy=remedy)


def bad(subject: str, text: str, remedy: str) -> Finding:
    """It is wrong."""
    return Finding(subject=subject, level=Level.BAD, text=text, remedy=remedy)
