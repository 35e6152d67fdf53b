"""Ends a run that holds locks and has nothing in: for a person who will not wait until its leases are over."""

from __future__ import annotations

from datetime import datetime

from chaos_tasks.engine import Engine
from chaos_tasks.errors import GuardTripped
from chaos_tasks.model.actor import Actor
from chaos_tasks.model.handle import OPEN_PHASES
from chaos_tasks.model.verdict import Verdict
from chaos_tasks.runs import Run
from chaos_tasks.targets.process import host, identity


def free(engine: Engine, run_id: str) -> Verdict | None:
    """Take the run from whoever had it, give its locks back and judge it; None where it holds none.

    Raises GuardTripped while something of it is in, and while its process lives or may live.
    """
    ledger = engine.parts.ledger
    until = ledger.held_until(run_id)
    if until is None:
        return None
    still = ledger.handles(run_id=run_id, phases=OPEN_PHASES)
    if still:
        raise GuardTripped(
            f"run {run_id} keeps its locks: {still[0].handle.id} is {still[0].phase.value}",
            remedy=f"squall revert {still[0].handle.id}",
        )
    if until > ledger.now():
        _refuse_living(run_id, ledger.last_actor(run_id), until)
    plan = Run(ledger, run_id).plan()
    engine.parts.workspaces.end_workloads(plan)
    return engine.end(run_id, "ended by a person, since no process goes on with it; nothing was in")


def _refuse_living(run_id: str, last: Actor | None, until: datetime) -> None:
    """Until a lease is over, only this host can tell that a process of its own is gone."""
    ends = f"the lease of its locks ends {until:%Y-%m-%d %H:%M:%S} UTC"
    if last is None:
        raise GuardTripped(
            f"run {run_id} may be alive: nobody has said which process has it, and {ends}",
            remedy="end its process, or wait until then",
        )
    who = f"pid {last.pid} on {last.host or 'another host'} ({last.step})"
    if identity(last).is_alive():
        raise GuardTripped(
            f"run {run_id} is alive: {who} has it, and renews its locks",
            remedy="stop that process with SIGTERM (Ctrl-C), or its task in Airflow: it gives the locks back itself",
        )
    if last.host != host():
        raise GuardTripped(
            f"run {run_id} may be alive: {who} had it last, which cannot be seen from {host()}, and {ends}",
            remedy=f"run `squall revert {run_id}` on {last.host or 'that host'}, or wait until then",
        )
