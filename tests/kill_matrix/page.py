"""The table of the matrix as Markdown: kind by phase, how many cells, how many green, and the worst recovery."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.kill_matrix.standings import PHASES, ROWS, Standing, Tally
from tests.played_code import of_code

HEAD = """\
# The kill matrix

<!-- Written by `make kill-matrix` from what the run saw: do not edit. -->

Every registered fault is run by the real engine on its real place (a DVC clone, S3 and IAM on SeaweedFS, EC2 on moto, a
Redis stream that no relay reads, living processes), in a process of its own, and that process is killed: at every
boundary of a step, before and after every commit of the ledger, and inside `inject` and `revert` before and after every
side effect (a file opened, replaced or deleted, a Git command, a writing API call or Redis command, a signal). Faults
that fire during the workload are killed in their supervisor. A process kills itself at the point (`os.kill(os.getpid(),
SIGKILL)`), so that nothing depends on timing. Then the leases are over, another process sweeps once, and another one
looks. A cell is green when

- the fingerprint of the place is what it was, or, where a fault `self_heals`, a clean trial runs through;
- a witness that asks no code of the fault finds there what it found before: files, modes and Git's state of a clone,
  policies, keys and tags, the instance's state, the orders of a stream, and no torn checkpoint;
- no process of the run is left;
- the ledger is whole, in order and complete (`squall audit verify`), and every handle is reverted;
- the run is judged, and its verdict is not `unreverted`;
- a new run arms on the same target.

"""

NAMES = {
    "trial": "supervisor, around the workload",
    "firing": "supervisor, firing and reverting",
    "sweep": "the sweeper itself, then another one",
}


STOPPED = (
    "A stopped process sleeps while its leases end and a sweep goes by; then it is woken, and must leave everything"
    " as the sweep left it. Its time includes the seconds that fencing grants a process that does not answer."
)


def page(standings: Sequence[Standing], machine: str, never: Sequence[str] = ()) -> str:
    """The whole page; ``never`` are registered kinds of which nothing is known."""
    return "\n".join(
        [
            *(HEAD + _sentence(standings), "", _played(standings, machine, never), ""),
            *("## SIGKILL, then a sweep: cells by fault and phase", ""),
            *("Green of all cells, and the worst time from the blow to the proved undo.", ""),
            *_table(standings, {phase: NAMES.get(phase, phase) for phase in PHASES}, lambda one: one.by_phase),
            *("", "## The other rows: at a share of the same points", ""),
            *_table(standings, {name: name for name in ROWS}, lambda one: one.by_row),
            "",
            STOPPED,
            "",
            *_reds(standings),
        ]
    )


def _sentence(standings: Sequence[Standing]) -> str:
    green, of = sum(one.total.green for one in standings), sum(one.total.of for one in standings)
    worst = max((one.worst_unstopped_s for one in standings), default=0.0)
    text = (
        f"**{green:,} of {of:,} cells are green.** The slowest way back took {worst:.1f} s from the blow to"
        " the proved undo; the lease has to be added to that, for a sweeper touches nothing before it is over."
    )
    missed = sum(one.not_reached for one in standings)
    if missed:
        text += f" {missed:,} runs ended before they came to their point, and were checked all the same."
    return text


def _played(standings: Sequence[Standing], machine: str, never: Sequence[str]) -> str:
    """When, where, and which kinds were not played whole."""
    days = sorted({one.played_on for one in standings})
    when = f"between {days[0]} and {days[-1]}" if len(days) > 1 else f"on {days[0]}"
    partly = [f"{one.kind} ({one.total.of} of {one.cells})" for one in standings if not one.whole]
    rest = f" A seeded sample was played of: {', '.join(partly)}." if partly else ""
    blind = [one.kind for one in standings if not one.witnessed]
    rest += f" **Never played: {', '.join(never)}.**" if never else ""
    rest = rest or " Every cell was played."
    rest += f" No witness looked at: {', '.join(blind)}." if blind else ""
    return f"Played {when}{of_code(one.code for one in standings)}, on {machine}.{rest}"


def _table(
    standings: Sequence[Standing], columns: Mapping[str, str], cells: Callable[[Standing], Mapping[str, Tally]]
) -> Iterator[str]:
    yield f"| fault | played | {' | '.join(columns.values())} |"
    yield f"| --- | --- |{' --- |' * len(columns)}"
    for one in standings:
        yield f"| {one.kind} | {one.played_on} | {' | '.join(_count(cells(one)[name]) for name in columns)} |"


def _count(tally: Tally) -> str:
    if not tally.of:
        return ""
    share = f"{tally.green}" if tally.green == tally.of else f"**{tally.green} of {tally.of}**"
    return share if tally.worst_s is None else f"{share}, {tally.worst_s:.1f} s"


def _reds(standings: Sequence[Standing]) -> Iterator[str]:
    red = [line for one in standings for line in one.red]
    if red:
        yield from ("## Red cells", "", *(f"- {line}" for line in red))
