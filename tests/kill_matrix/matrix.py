"""Which cells there are, and playing all of them or a seeded sample."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from chaos_tasks.model.base import Value
from chaos_tasks.testing.crash import COMMIT, Moment
from tests.kill_matrix.cells import By, Cell, How, Point, Result, Role
from tests.kill_matrix.lab import Lab
from tests.kill_matrix.lying import lying
from tests.kill_matrix.playing import Player, injected_at
from tests.kill_matrix.worlds import make_world

SQLITE, POSTGRES = "sqlite", "postgresql"
SHARE = 6  # of the other rows: every so-manieth point of the same run
STOPS_OF_A_SUPERVISOR = 3  # fencing gives a sleeping supervisor ten seconds before it kills it
Say = Callable[[Result], None]


@dataclass(frozen=True)
class Scope:
    """How much of the matrix is played; a sample is ``per_kind`` cells of each kind, drawn by ``seed``.

    ``abandoned``: nobody comes after the blow, so that cells are red.  ``lying``: one cell of each kind, its fault in
    for sure, whose revert undoes nothing and says that it did.
    """

    per_kind: int | None = None
    seed: int = 0
    abandoned: bool = False
    lying: bool = False


class Told(Value):
    """All that was played of one kind."""

    kind: str
    points: int
    cells: int = Field(description="How many there are; a sample plays fewer.")
    results: tuple[Result, ...]
    failed: str = Field(default="", description="Why none was played: not even a run that nobody strikes was green.")


def play_kind(kind: str, lab: Lab, scope: Scope, say: Say) -> Told:
    """Count the points of the kind, then strike at them one by one."""
    with tempfile.TemporaryDirectory(prefix="squall-kill-", ignore_cleanup_errors=True) as folder:
        world = make_world(kind, lab, Path(folder))
        player = Player(world, Path(folder) / "cells", lab.getfixturevalue("pg_server"))
        points = player.points()
        injected = injected_at(points, during=world.during)
        if scope.lying:
            with lying(world.fault):
                result = player.play(Cell(kind=kind, ledger=SQLITE, point=injected))
            say(result)
            return Told(kind=kind, points=len(points), cells=1, results=(result,))
        sweep = player.sweep_points(injected)
        results = []
        for cell in chosen(kind, points, sweep, scope):
            cell = cell.model_copy(update={"by": By.NOBODY}) if scope.abandoned else cell
            results.append(player.play(cell, injected))
            say(results[-1])
        every = len(list(cells(kind, points, sweep)))
        return Told(kind=kind, points=len(points) + len(sweep), cells=every, results=tuple(results))


def chosen(kind: str, points: Sequence[Point], sweep: Sequence[Point], scope: Scope) -> list[Cell]:
    """The cells to play: all, or those that the seed draws, with the heart of the matter among them."""
    every = list(cells(kind, points, sweep))
    if scope.per_kind is None or scope.per_kind >= len(every):
        return every
    draw = random.Random(f"{scope.seed}/{kind}")
    inside = [cell for cell in every if "inject" in cell.point.phase and cell.how is How.KILL]
    first = draw.choice(inside)
    return [first, *draw.sample([cell for cell in every if cell is not first], scope.per_kind - 1)]


def cells(kind: str, points: Sequence[Point], sweep: Sequence[Point]) -> Iterator[Cell]:
    """SIGKILL at every point, swept on SQLite; the other rows at a share of the points each."""
    for point in (*points, *sweep):
        yield Cell(kind=kind, ledger=SQLITE, point=point)
    of_runs = [point for point in points if point.phase != "arm" or point.what == COMMIT]
    for point in _spread([*of_runs, *sweep], 0):
        yield Cell(kind=kind, ledger=POSTGRES, point=point)
    for point in _spread(of_runs, 1):
        yield Cell(kind=kind, ledger=SQLITE, point=point, how=How.GROUP)
    for point in _spread(of_runs, 2):
        yield Cell(kind=kind, ledger=SQLITE, point=point, how=How.TERM)
    for point in _spread(of_runs, 3):
        yield Cell(kind=kind, ledger=SQLITE, point=point, by=By.TEARDOWN)
    for point in _stoppable(of_runs):
        yield Cell(kind=kind, ledger=POSTGRES, point=point, how=How.STOP)


def _spread(points: Sequence[Point], offset: int) -> Sequence[Point]:
    """Every SHARE-th point; each row begins at another one."""
    return points[offset::SHARE]


def _stoppable(points: Iterable[Point]) -> Iterator[Point]:
    """Not within a transaction: a stopped writer makes others wait until the database hangs up on it."""
    usable = [one for one in points if not (one.what == COMMIT and one.moment is Moment.BEFORE)]
    yield from _spread([one for one in usable if one.role is Role.ENGINE], 0)
    inside = [one for one in usable if one.phase.startswith("firing")]
    yield from inside[:: max(1, len(inside) // STOPS_OF_A_SUPERVISOR)]
