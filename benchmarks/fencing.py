"""How long a fault is in once its injector wakes that was stopped inside the act and swept meanwhile: every kind.

`python -m benchmarks.fencing [stands per fault]`.  A forked process injects through `acts.inject` on a SQLite ledger
and stops itself (SIGSTOP) right before one side effect of the act, each in its turn; the handle is swept; SIGCONT.  The
time is from SIGCONT to the end of the process's own undo, which is at least the time in which the fault may be in.
Afterwards the place is looked at again.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import cast
from unittest.mock import patch

import psutil
import pytest

from chaos_tasks import acts, registry
from chaos_tasks.acts import ActParts
from chaos_tasks.errors import SquallError
from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.handle import Handle, HandleState, Reversibility
from chaos_tasks.model.plan import Recorder
from chaos_tasks.testing.conformance import Arrangement
from chaos_tasks.testing.crash import Moment, watched
from tests.conformance.collected import arrangements
from tests.kill_matrix import children
from tests.kill_matrix.lab import Lab

RESULTS = Path(__file__).parent / "results" / "fencing.json"
WITHIN_S = 120.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 when a place was not as before after a late act."""
    told = sys.argv[1:] if arguments is None else arguments
    stands, lab, rows = int(told[0]) if told else 8, Lab(), []
    children.adopt_orphans()
    try:
        lab.start_all()
        gc.freeze()
        for kind in told[1:] or registry.fault_kinds():
            rows.append(measure(kind, lab, stands))
            print(_line(rows[-1]), flush=True)
    finally:
        lab.close()
    machine = f"Linux with {os.cpu_count()} cores and Python {platform.python_version()}"
    RESULTS.write_text(json.dumps({"machine": machine, "load": os.getloadavg()[1], "rows": rows}, indent=1) + "\n")
    return 1 if any(row["left_in"] for row in rows) else 0


def measure(kind: str, lab: Lab, stands: int) -> dict[str, object]:
    """One fault: stands spread over the side effects of its act."""
    effects = cast("int", _stand(kind, lab, "count", 0)["effects"])
    aims = [1 + n * effects // stands for n in range(stands)] if effects > stands else [*range(1, effects + 1)]
    found = [_stand(kind, lab, f"{nth}", aims[nth % len(aims)]) for nth in range(stands)]
    took = [float(cast("float", one["seconds"])) for one in found if one["seconds"] is not None]
    return {
        "kind": kind,
        "effects": effects,
        "stands": len(took),
        "p50_s": round(statistics.median(took), 3) if took else None,
        "max_s": round(max(took), 3) if took else None,
        "left_in": sum(bool(one["left_in"]) for one in found),
    }


def _line(row: dict[str, object]) -> str:
    return (
        f"{row['kind']:26} {row['stands']:>3} stands over {row['effects']:>3} effects: p50 {row['p50_s']} s, "
        f"max {row['max_s']} s, left in {row['left_in']}"
    )


def _stand(kind: str, lab: Lab, name: str, aim: int) -> dict[str, object]:
    """Arm, inject in a process that stops before effect ``aim`` (0: never), sweep, wake, look."""
    folder = lab.folder / f"fencing-{kind}-{name}"
    folder.mkdir()
    arranged = arrangements()[kind](folder, cast(pytest.FixtureRequest, lab))
    try:
        with closing(open_ledger(f"sqlite:///{folder}/ledger.db")) as ledger:
            parts = ActParts(ledger, arranged.fault, arranged.make_context(), Recorder())
            state = acts.arm(parts, _handle(arranged, parts), lease_s=60)
            pid = children.start(lambda: _inject(parts, folder, state, aim), folder / "log")
            stood = False
            if aim:
                stood = _await_stop(pid)
                _sweep(parts, state)
            woken = time.monotonic()
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
            children.wait(pid, WITHIN_S)
            if not aim:
                _sweep(parts, state)
            told = json.loads((folder / "told").read_text()) if (folder / "told").exists() else {}
            seconds = told["undone"] - woken if stood and "undone" in told else None
            return {"effects": told.get("effects", 0), "seconds": seconds, "left_in": stood and _is_in(parts, state)}
    finally:
        lab.finalize()


def _handle(arranged: Arrangement, parts: ActParts) -> Handle:
    params = arranged.fault.params_type.model_validate(dict(arranged.params))
    prior = arranged.fault.snapshot(arranged.place, params, parts.context)
    return Handle(
        id="fencing/step",
        run_id="fencing",
        step="step",
        kind=arranged.fault.kind,
        place=arranged.place,
        params=dict(arranged.params),
        prior=prior,
        seed=arranged.seed,
    )


def _inject(parts: ActParts, folder: Path, state: HandleState, aim: int) -> None:
    """In the child: count the effects, stand still before one, and note when the late act was undone."""
    told: dict[str, float] = {"effects": 0}
    counting = True

    def see(moment: Moment, what: str) -> None:
        nonlocal counting
        if moment is not Moment.BEFORE or not counting:
            return
        told["effects"] += 1
        if told["effects"] == aim:
            os.kill(os.getpid(), signal.SIGSTOP)
            counting = False

    undo = acts.undo_unrecorded

    def timed(*args: object) -> object:
        nonlocal counting
        counting = False
        try:
            return undo(*args)  # type: ignore[arg-type]
        finally:
            told["undone"] = time.monotonic()

    own = replace(parts, ledger=open_ledger(f"sqlite:///{folder}/ledger.db"))
    with patch.object(acts, "undo_unrecorded", timed), watched(see, reads=False), suppress(SquallError):
        acts.inject(own, state, by="inject task")
    (folder / "told").write_text(json.dumps(told))


def _await_stop(pid: int) -> bool:
    """False where it ended before that effect: a shell whose child was killed may be gone before its own signal."""
    deadline = time.monotonic() + WITHIN_S
    while (status := psutil.Process(pid).status()) != psutil.STATUS_STOPPED:
        if status == psutil.STATUS_ZOMBIE:
            return False
        if time.monotonic() > deadline:
            raise AssertionError(f"process {pid} neither stood still nor ended")
        time.sleep(children.POLL_S)
    return True


def _sweep(parts: ActParts, state: HandleState) -> None:
    with suppress(SquallError):  # what heals by itself may need its runtime, which is not here
        acts.revert(parts, parts.ledger.handle(state.handle.id) or state, by="sweep")


def _is_in(parts: ActParts, state: HandleState) -> bool:
    """Where it restores, the fingerprint decides; else what inspection finds."""
    fault, handle = parts.fault, state.handle
    if fault.reversibility is Reversibility.RESTORES:
        before = acts.before_fingerprint(parts, handle)
        return before is None or fault.fingerprint(handle.place, parts.context).digest != before.digest
    return fault.inspect(handle, parts.params(handle), parts.context) not in acts.CLEAN


if __name__ == "__main__":
    sys.exit(main())
