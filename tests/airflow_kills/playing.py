"""Plays one row: a run, the blow once both faults are in, whoever puts it right, and a look at what is left."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from chaos_tasks.lab.airflow_api import AirflowApiError
from chaos_tasks.lab.waiting import NotReadyError, wait_until
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.record import Act, RecordKind
from tests.airflow_kills.following import EVERY_S, Follower
from tests.airflow_kills.looking import digest_of_source, look, not_whole
from tests.airflow_kills.project import FLIP, LEASE_S, PAUSE, STRUCK
from tests.airflow_kills.rows import Result, Row
from tests.airflow_kills.scene import Scene
from tests.airflow_kills.stacks import Stack, squall_of
from tests.played_code import played_code

SWEEP_EVERY_S = 2.0
"""`squall sweep --watch` looks this often."""

SWEEP_TAKES_S = 25.0
"""A sweep fences first, and on a machine with ten times as much to do as it has cores it takes its time."""

LATE_S = 10.0
"""How late a sweep may begin on such a machine, beyond its two seconds; the page says how late it did."""

IN_S, OUT_S = 150.0, 240.0
STARTS = 4


def play(stack: Stack, row: Row) -> Result:
    """One row on a running stack, which is whole again afterwards."""
    began = time.monotonic()
    source = digest_of_source(stack.lab.project)
    with squall_of(stack) as squall:
        url = squall.settings.ledger_url
    known = not_whole(url)
    scene, starts = _struck_to_be(stack)
    with Follower(url, scene.run_id, LEASE_S) as follower:
        was_in = {state.handle.id: state.handle.step for state in scene.lab.ledger.handles(run_id=scene.run_id)}
        struck, load = time.time(), os.getloadavg()[0]
        _do(scene, row.strike)
        _await(scene, lambda: _all_out(scene), "everything to be out", OUT_S)
        _do(scene, row.mend)
        _await(scene, lambda: scene.api.run(scene.run.dag_id, scene.run.run_id).finished, "the DAG run to end", OUT_S)
        _await(scene, lambda: follower.locked_at < time.time() - 5 * EVERY_S, "the target to be unlocked", IN_S)
    _do(scene, row.afterwards)
    _end_leaked(scene)
    with tempfile.TemporaryDirectory() as scratch:
        _do(scene, lambda scene: scene.wrong.extend(look(scene, source, known, Path(scratch))))
    undone, by, last = _undone(scene, struck, was_in)
    result = Result(
        row=row.key,
        executor=stack.executor,
        undone_s=undone,
        undone_by=by,
        unrenewed_s=round(max(0.0, last - follower.renewed_at.timestamp()), 1) if follower.renewed_at else 0.0,
        past_lease_s=round(max(0.0, follower.past_lease_s), 1),
        all_out_s=round(last - struck, 1),
        unlocked_s=round(max(0.0, follower.locked_at + EVERY_S - struck), 1),
        outcome=_outcome(scene),
        state=scene.api.run(scene.run.dag_id, scene.run.run_id).state,
        load=round(load, 1),
        starts=starts,
        tries=_tries(scene),
        took_s=round(time.monotonic() - began, 1),
        code=played_code(),
    )
    return result.model_copy(update={"wrong": (*scene.wrong, *not_as_promised(row, result, follower.trouble))})


def _struck_to_be(stack: Stack) -> tuple[Scene, int]:
    """A run whose faults are in, and how many it took.

    Nobody renews the lease between the end of `inject` and the beginning of `exercise`: where Airflow takes longer for
    that than a lease, the run is swept before it can be struck.
    """
    for starts in range(1, STARTS + 1):
        scene = Scene(stack, stack.lab.start(STRUCK))
        _await(scene, lambda scene=scene: _is_in(scene) or _is_over(scene), "both faults to be in", IN_S)  # type: ignore[misc]
        if _is_in(scene) or starts == STARTS:
            break
        scene.lab.end(scene.run)
    scene.expect(_is_in(scene), "the faults were not in at the blow")
    return scene, starts


def _is_over(scene: Scene) -> bool:
    """Swept already."""
    return any(state.phase is Phase.REVERTED for state in scene.lab.ledger.handles(run_id=scene.run_id))


def _is_in(scene: Scene) -> bool:
    """The training stands still under the bad data version."""
    phases = {state.handle.step: state.phase for state in scene.lab.ledger.handles(run_id=scene.run_id)}
    return phases.get(FLIP) is Phase.INJECTED and phases.get(PAUSE) is Phase.INJECTED


def _all_out(scene: Scene) -> bool:
    states = scene.lab.ledger.handles(run_id=scene.run_id)
    return bool(states) and all(state.phase is Phase.REVERTED for state in states)


def _do(scene: Scene, act: Callable[[Scene], None]) -> None:
    """What cannot be done is wrong, and the row goes on."""
    try:
        act(scene)
    except Exception as error:  # noqa: BLE001  the rows after it are to be played all the same
        scene.wrong.append(f"{getattr(act, '__name__', 'looking')}: {type(error).__name__}: {error}")


def _await(scene: Scene, check: Callable[[], bool], what: str, timeout_s: float) -> None:
    """What does not come to pass is wrong, and the row goes on, so that the stack is put right again."""

    def answered() -> bool:
        """An API server that has just started may not answer in time."""
        try:
            return check()
        except AirflowApiError:
            return False

    try:
        wait_until(answered, what=what, timeout_s=timeout_s, interval_s=0.1)
    except NotReadyError as error:
        scene.wrong.append(error.message)


def _undone(scene: Scene, struck: float, was_in: Mapping[str, str]) -> tuple[dict[str, float], dict[str, str], float]:
    """Seconds and reverter, by step, of what was in at the blow; and when the run's last fault was out."""
    seconds: dict[str, float] = {}
    by: dict[str, str] = {}
    last = struck
    for stored in scene.lab.ledger.records(run_id=scene.run_id, kinds=(RecordKind.REVERT_VERIFIED,)):
        record = stored.record
        if isinstance(record.payload, Act):
            at = record.occurred_at.timestamp()
            last = max(last, at)
            if record.handle_id in was_in:
                seconds[was_in[record.handle_id]] = round(max(0.0, at - struck), 1)
                by[was_in[record.handle_id]] = record.payload.by
    return seconds, by, last


def _outcome(scene: Scene) -> str:
    verdict = scene.lab.verdict(scene.run_id)
    return verdict.outcome.value if verdict else ""


def _tries(scene: Scene) -> int:
    found = scene.api.task_instances(scene.run.dag_id, scene.run.run_id)
    return next((one.try_number for one in found if one.task_id == "exercise"), 0)


def not_as_promised(row: Row, result: Result, trouble: str) -> Iterator[str]:
    """What the numbers of a result say against the row."""
    sweep_s = SWEEP_EVERY_S + SWEEP_TAKES_S
    if trouble:
        yield trouble
    if result.outcome not in {one.value for one in row.outcomes}:
        yield f"the verdict is {result.outcome or 'missing'}"
    if result.state not in row.states:
        yield f"the DAG run is {result.state}"
    if set(result.undone_s) != {PAUSE, FLIP}:
        yield f"undone is only {', '.join(sorted(result.undone_s)) or 'nothing'}"
    if result.past_lease_s > SWEEP_EVERY_S + LATE_S:
        yield f"a fault was in {result.past_lease_s} s after its lease was over"
    if result.unrenewed_s > LEASE_S + sweep_s:
        yield f"undone {result.unrenewed_s} s after the lease was last renewed"
    if row.ends and result.all_out_s > LEASE_S + sweep_s:
        yield f"undone only after {result.all_out_s} s"


def _end_leaked(scene: Scene) -> None:
    """A LocalExecutor's workers outlive their scheduler for ever; that is Airflow's, and noted on the page."""
    for process in scene.leaked:
        with suppress(psutil.NoSuchProcess):
            process.kill()
