"""The table of the matrix as Markdown: kind by phase, how many cells, how many green, and the worst recovery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.kill_matrix.cells import By, Cell, How, Result
from tests.kill_matrix.matrix import POSTGRES, Told

HEAD = """\
# The kill matrix

<!-- Written by `make kill-matrix` from what the run saw: do not edit. -->

Every registered fault is run by the real engine on its real place (a DVC clone, S3 and IAM on SeaweedFS, EC2 on moto, a
Redis stream with its relay, living processes), in a process of its own, and that process is killed: at every boundary
of a step, before and after every commit of the ledger, and inside `inject` and `revert` before and after every side
effect (a file opened, replaced or deleted, a Git command, a writing API call or Redis command, a signal). Faults that
fire during the workload are killed in their supervisor. A process kills itself at the point (`os.kill(os.getpid(),
SIGKILL)`), so that nothing depends on timing. Then the leases are over, another process sweeps once, and another one
looks. A cell is green when

- the fingerprint of the place is what it was, or, where a fault `self_heals`, a clean trial runs through;
- no process of the run is left;
- the ledger is whole, in order and complete (`squall audit verify`), and every handle is reverted;
- the run is judged, and its verdict is not `unreverted`;
- a new run arms on the same target.

"""

PHASES = ("arm", "baseline", "inject", "trial", "firing", "exercise", "revert", "recovery", "judge", "sweep")
NAMES = {
    "trial": "supervisor, around the workload",
    "firing": "supervisor, firing and reverting",
    "sweep": "the sweeper itself, then another one",
}


def page(told: Sequence[Told], ran: str) -> str:
    """The whole page."""
    results = [result for one in told for result in one.results]
    return "\n".join(
        [HEAD + _sentence(told, results, ran), "", *_by_phase(told), "", *_by_row(told), "", *_reds(results)]
    )


def _sentence(told: Sequence[Told], results: Sequence[Result], ran: str) -> str:
    green = sum(result.green for result in results)
    missed = sum(not result.reached for result in results)
    worst = max((result.recovered_s or 0.0 for result in results if result.cell.how is not How.STOP), default=0.0)
    text = (
        f"**{green:,} of {len(results):,} cells are green.** The slowest way back took {worst:.1f} s from the blow to"
        " the proved undo; the lease has to be added to that, for a sweeper touches nothing before it is over."
    )
    if missed:
        text += f" {missed:,} runs ended before they came to their point, and were checked all the same."
    return f"{text}\n\n{ran}{_sampled(told)}"


def _sampled(told: Sequence[Told]) -> str:
    """Which kinds were not played whole."""
    partly = [f"{one.kind} ({len(one.results)} of {one.cells})" for one in told if len(one.results) < one.cells]
    return f" A seeded sample was played of: {', '.join(partly)}." if partly else " Every cell was played."


def _by_phase(told: Sequence[Told]) -> Iterator[str]:
    yield "## SIGKILL, then a sweep: cells by fault and phase"
    yield ""
    yield "Green of all cells, and the worst time from the blow to the proved undo."
    yield ""
    yield f"| fault | {' | '.join(NAMES.get(phase, phase) for phase in PHASES)} |"
    yield f"| --- |{' --- |' * len(PHASES)}"
    for one in told:
        killed = [result for result in one.results if _is_plain(result.cell)]
        yield f"| {one.kind} | {' | '.join(_count(_of_phase(killed, phase)) for phase in PHASES)} |"


def _is_plain(cell: Cell) -> bool:
    return cell.how is How.KILL and cell.by is By.SWEEP and cell.ledger != POSTGRES


def _of_phase(results: Sequence[Result], phase: str) -> list[Result]:
    return [result for result in results if result.cell.point.phase.partition(":")[0] == phase]


def _by_row(told: Sequence[Told]) -> Iterator[str]:
    yield "## The other rows: at a share of the same points"
    yield ""
    names = [name for name, _ in _ROWS]
    yield f"| fault | {' | '.join(names)} |"
    yield f"| --- |{' --- |' * len(names)}"
    for one in told:
        counts = [_count([result for result in one.results if holds(result.cell)]) for _, holds in _ROWS]
        yield f"| {one.kind} | {' | '.join(counts)} |"
    yield ""
    yield (
        "A stopped process sleeps while its leases end and a sweep goes by; then it is woken, and must leave everything"
        " as the sweep left it. Its time includes the seconds that fencing grants a process that does not answer."
    )


_ROWS = (
    ("SIGKILL, ledger on PostgreSQL", lambda cell: cell.how is How.KILL and cell.ledger == POSTGRES),
    ("SIGKILL of the whole group", lambda cell: cell.how is How.GROUP),
    ("SIGKILL, then the revert task", lambda cell: cell.how is How.KILL and cell.by is By.TEARDOWN),
    ("SIGTERM", lambda cell: cell.how is How.TERM),
    ("SIGSTOP past the lease, then SIGCONT", lambda cell: cell.how is How.STOP),
)


def _count(results: Sequence[Result]) -> str:
    if not results:
        return ""
    green = sum(result.green for result in results)
    times = [result.recovered_s for result in results if result.recovered_s is not None]
    share = f"{green}" if green == len(results) else f"**{green} of {len(results)}**"
    return f"{share}, {max(times):.1f} s" if times else share


def _reds(results: Sequence[Result]) -> Iterator[str]:
    reds = [result for result in results if not result.green]
    if not reds:
        return
    yield "## Red cells"
    yield ""
    for result in reds:
        yield f"- {name_of(result.cell)}: {'; '.join(result.wrong)}"


def name_of(cell: Cell) -> str:
    """One line for a cell."""
    point = cell.point
    where = f"{point.role.value}, {point.phase} {point.number}: {point.moment.value} {point.what}"
    return f"{cell.kind}: {cell.how.value} of the {where} ({cell.ledger}, then the {cell.by.value})"
