"""All arrangements of tests/conformance/arrange_*.py in one table, kind -> builder."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from chaos_tasks.testing.conformance import Arrangement

Builder = Callable[[Path, pytest.FixtureRequest], Arrangement]


def arrangements() -> dict[str, Builder]:
    """Kind -> builder; a kind that two modules arrange is an error."""
    table: dict[str, Builder] = {}
    for file in sorted(Path(__file__).parent.glob("arrange_*.py")):
        own: dict[str, Builder] = import_module(f"tests.conformance.{file.stem}").ARRANGEMENTS
        repeated = sorted(set(own) & set(table))
        if repeated:
            raise ValueError(f"{file.name} arranges {', '.join(repeated)} again")
        table.update(own)
    return table
