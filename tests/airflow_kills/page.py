"""The results as a page: one table of measured seconds per executor, and the rows that are not as promised in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.airflow_kills.interventions import BY_KEY, ROWS
from tests.airflow_kills.project import FLIP, HOLD_S, LEASE_S, PAUSE
from tests.airflow_kills.rows import BOTH, Result

HEAD = f"""\
# Under the real scheduler

<!-- Written by `make airflow-kills` from what the run saw: do not edit. -->

A run on a tiny target of the tests has two faults in: `data.label_flip` in its clone (since before the workload) and
`process.pause` on the training (for {HOLD_S:g} s, in each of two trials). Its lease is {LEASE_S:g} s, renewed by
whoever works for it; `squall sweep --watch` looks every two seconds and knows nothing of Airflow. Once the ledger says
that both are in, the row is done, to real processes of a real Airflow: on LocalExecutor, and on Celery with a control
machine and two work machines that share neither a disk nor a process table. A row is as promised when

- every handle is reverted, and the fingerprint of each place is what it was when it was armed;
- no fault was seen in for longer than its lease and one look of the sweeper, and the last was out within the lease and
  one sweep of the lease's last renewal;
- the verdict is one of those that [the table of interventions](interventions.md) names, and the DAG run ends;
- no process of the run is left, and the source repository is the same, byte for byte;
- the ledger is whole, in order and complete (`squall audit verify`), and nothing is open;
- a new run arms on the same target.

"""

COLUMNS = (
    "what is done",
    "pause undone",
    "flip undone",
    "all out",
    "unrenewed",
    "past the lease",
    "unlocked",
    "tries",
    "verdict",
    "DAG run",
)

LEGEND = """\
Seconds from the blow, of what was in then: to the record of the proved undo and who made it, to the last undo of the
run (later trials of a run that goes on are paused again), and until another run could have had the target. *Unrenewed*
is from the last renewal of the lease to the last undo: what the lease and one sweep bound. *Past the lease* is how long
a fault was seen in after its lease was over (five looks a second). *Tries* are those of the exercise task.
"""


def page(results: Sequence[Result], ran: str) -> str:
    """The whole page."""
    parts = [HEAD + _sentence(results, ran), "", LEGEND, *_tables(results), *_left_out(results), *_reds(results)]
    return "\n".join(parts).rstrip() + "\n"


def _sentence(results: Sequence[Result], ran: str) -> str:
    green = sum(one.green for one in results)
    unrenewed = max((one.unrenewed_s for one in results), default=0.0)
    late = max((one.past_lease_s for one in results), default=0.0)
    return (
        f"**{green} of {len(results)} are as promised.** The longest from the last renewal of a lease to the proved"
        f" undo: {unrenewed:.1f} s; the longest that a fault was seen in after its lease: {late:.1f} s.\n\n{ran}"
        + _load(results)
        + _again(results)
    )


def _again(results: Sequence[Result]) -> str:
    """Runs that never came to their blow."""
    again = sum(one.starts - 1 for one in results)
    if not again:
        return ""
    return (
        f" {again} more runs were swept, and started again, before they could be struck: Airflow took longer than the"
        " lease from the end of `inject` to the beginning of `exercise`, and nobody renews it in between."
    )


def _load(results: Sequence[Result]) -> str:
    """Seconds mean little without it."""
    loads = sorted(one.load for one in results if one.load)
    if not loads:
        return ""
    wanted = f"{loads[0]:.0f} to {loads[-1]:.0f}"
    return f" At the blows, where it was looked at ({len(loads)} of {len(results)}), {wanted} processes wanted to run."


def _left_out(results: Sequence[Result]) -> Iterator[str]:
    """What nobody played is not as promised either."""
    played = {(one.executor, one.row) for one in results}
    for executor in BOTH:
        missing = [row.does for row in ROWS if executor in row.executors and (executor, row.key) not in played]
        if missing:
            yield f"Not played on {executor.value}: {'; '.join(missing)}."
            yield ""


def _tables(results: Sequence[Result]) -> Iterator[str]:
    for executor in BOTH:
        of_it = {one.row: one for one in results if one.executor is executor}
        if not of_it:
            continue
        yield f"## {executor.value}"
        yield ""
        yield f"| {' | '.join(COLUMNS)} |"
        yield f"|{' --- |' * len(COLUMNS)}"
        for row in ROWS:
            if row.key in of_it:
                yield _line(of_it[row.key])
        yield ""


def _line(result: Result) -> str:
    name = BY_KEY[result.row].does + ("" if result.green else " **(not as promised)**")
    cells = (
        name,
        _step(result, PAUSE),
        _step(result, FLIP),
        f"{result.all_out_s:.1f} s",
        f"{result.unrenewed_s:.1f} s",
        f"{result.past_lease_s:.1f} s",
        f"{result.unlocked_s:.1f} s",
        str(result.tries),
        result.outcome or "none",
        result.state,
    )
    return f"| {' | '.join(cells)} |"


def _step(result: Result, step: str) -> str:
    return f"{result.undone_s[step]:.1f} s, {result.undone_by[step]}" if step in result.undone_s else "no"


def _reds(results: Sequence[Result]) -> Iterator[str]:
    reds = [one for one in results if not one.green]
    if reds:
        yield "## Not as promised"
        yield ""
    for one in reds:
        yield f"- {one.executor.value}, {BY_KEY[one.row].does}: {'; '.join(one.wrong)}"


BEGIN = "<!-- This table is written by `make airflow-kills` from tests/airflow_kills/interventions.py: do not edit. -->"
END = "<!-- end of the table -->"


def with_promises(text: str) -> str:
    """docs/interventions.md with the table of what is promised as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([before + BEGIN, "", *_promises(), "", END + after])


def _promises() -> Iterator[str]:
    """What you do, what happens, and how the run may end."""
    yield "| what you do, or what breaks | what happens | verdict |"
    yield "| --- | --- | --- |"
    for row in ROWS:
        only = "" if row.executors == BOTH else f" ({' and '.join(one.value for one in row.executors)})"
        outcomes = ", ".join(sorted(f"`{one.value}`" for one in row.outcomes))
        yield f"| {row.does}{only} | {row.happens} | {outcomes} |"
