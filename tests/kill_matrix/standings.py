"""What is known of each kind, as counts by column, and when it was played: a matrix may be played in several goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from pydantic import TypeAdapter

from chaos_tasks.model.base import Value
from tests.kill_matrix.cells import By, Cell, How, Result
from tests.kill_matrix.matrix import POSTGRES, Told

PHASES = ("arm", "baseline", "inject", "trial", "firing", "exercise", "revert", "recovery", "judge", "sweep")
ROWS = {
    "SIGKILL, ledger on PostgreSQL": lambda cell: cell.how is How.KILL and cell.ledger == POSTGRES,
    "SIGKILL of the whole group": lambda cell: cell.how is How.GROUP,
    "SIGKILL, then the revert task": lambda cell: cell.how is How.KILL and cell.by is By.TEARDOWN,
    "SIGTERM": lambda cell: cell.how is How.TERM,
    "SIGSTOP past the lease, then SIGCONT": lambda cell: cell.how is How.STOP,
}


class Tally(Value):
    """Green of all cells, and the worst time from the blow to the proved undo, in seconds."""

    green: int
    of: int
    worst_s: float | None = None


class Standing(Value):
    """One kind; ``cells`` is how many there are, a sample plays fewer."""

    kind: str
    played_on: date
    points: int
    cells: int
    total: Tally
    not_reached: int
    worst_unstopped_s: float
    """Of all cells but those of a stopped process, whose time includes what fencing grants it."""
    by_phase: Mapping[str, Tally]
    by_row: Mapping[str, Tally]
    red: tuple[str, ...] = ()
    witnessed: bool = False
    """Whether the witness looked, too: what was played before there was one is kept, and shown as such."""
    code: str = ""
    """The commit whose code was played (`tests.played_code`)."""

    @property
    def whole(self) -> bool:
        """Whether every cell was played."""
        return 0 < self.cells <= self.total.of


STANDINGS = TypeAdapter(list[Standing])


def standing_of(told: Told, played_on: date, code: str = "") -> Standing:
    """Counts of what was played of one kind."""
    plain = [one for one in told.results if _is_plain(one.cell)]
    unstopped = [one.recovered_s or 0.0 for one in told.results if one.cell.how is not How.STOP]
    return Standing(
        kind=told.kind,
        played_on=played_on,
        code=code,
        points=told.points,
        cells=told.cells,
        total=_tally(told.results),
        witnessed=True,
        not_reached=sum(not one.reached for one in told.results),
        worst_unstopped_s=max(unstopped, default=0.0),
        by_phase={
            phase: _tally(one for one in plain if one.cell.point.phase.partition(":")[0] == phase) for phase in PHASES
        },
        by_row={name: _tally(one for one in told.results if holds(one.cell)) for name, holds in ROWS.items()},
        red=(
            *([f"{told.kind} cannot be played: {told.failed.strip().splitlines()[-1]}"] if told.failed else []),
            *(f"{name_of(one.cell)}: {'; '.join(one.wrong)}" for one in told.results if not one.green),
        ),
    )


def merged(known: Iterable[Standing], newly: Iterable[Standing], kinds: Iterable[str]) -> list[Standing]:
    """Of each kind the newest; but a sample without a red cell does not take the place of a whole play."""
    found = {one.kind: one for one in known}
    for one in newly:
        before = found.get(one.kind)
        if one.whole or one.red or before is None or not before.whole:
            found[one.kind] = one
    return [found[kind] for kind in kinds if kind in found]


def name_of(cell: Cell) -> str:
    """One line for a cell."""
    point = cell.point
    where = f"{point.role.value}, {point.phase} {point.number}: {point.moment.value} {point.what}"
    return f"{cell.kind}: {cell.how.value} of the {where} ({cell.ledger}, then the {cell.by.value})"


def _is_plain(cell: Cell) -> bool:
    return cell.how is How.KILL and cell.by is By.SWEEP and cell.ledger != POSTGRES


def _tally(results: Iterable[Result]) -> Tally:
    found = list(results)
    times = [one.recovered_s for one in found if one.recovered_s is not None]
    return Tally(green=sum(one.green for one in found), of=len(found), worst_s=max(times, default=None))
