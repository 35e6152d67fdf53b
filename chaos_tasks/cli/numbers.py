"""Numbers on the command line: finite ones, within their range."""

from __future__ import annotations

import math
from typing import Any

import click

LONGEST_S = 366 * 86_400.0


class Finite(click.FloatRange):
    """A float range that takes neither `nan`, which no range refuses by itself, nor `inf`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; fails as click's own types do."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return number


INTENSITY = Finite(min=0)
SECONDS = Finite(min=0, max=LONGEST_S)
PAUSE = Finite(min=0.05, max=3600)
