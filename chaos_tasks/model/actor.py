"""Who acts for a run: one process under one incarnation, superseded by whoever takes the run after it."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from chaos_tasks.model.base import Value


class Actor(Value):
    """A process that takes a run to do one step of it."""

    run_id: str
    step: str = Field(description="Step of the engine: arm, baseline, inject, exercise, revert, recovery.")
    host: str = ""
    boot_id: str = ""
    pid: int = 0
    start_time: float = Field(0.0, description="Process start, seconds since the boot as the kernel counts them.")
    try_number: int = Field(0, ge=0, description="Airflow's, from 1; 0: it says nothing about order.")


class Taken(Value):
    """A run, taken: under which incarnation, and who was at the same step before."""

    incarnation: int = Field(ge=1)
    before: Actor | None = Field(None, description="Another process that took it for the same step before; or None.")


def latest_try(taken: Iterable[tuple[str, int]], step: str) -> int:
    """The highest try of a step, of who took a run (step and try, in order) since its DAG run was made; 0: none.

    A DAG run that was deleted and made anew under its id counts from 1: its `arm` is no later try than one before.
    """
    latest: dict[str, int] = {}
    last: tuple[str, int] | None = None
    for one, number in taken:
        goes_on = last == (one, number)  # it stood in line elsewhere, and is the same try in another process
        if one == "arm" and 0 < number <= latest.get("arm", 0) and not goes_on:
            latest = {}
        last = (one, number)
        latest[one] = max(number, latest.get(one, 0))
    return latest.get(step, 0)
