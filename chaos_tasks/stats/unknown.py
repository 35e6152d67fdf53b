"""Why a number is not known: the answer where a calculation has nothing to go on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Unknown:
    """Not a number, and not zero either; ``reason`` completes the sentence "not known, since ..."."""

    reason: str
