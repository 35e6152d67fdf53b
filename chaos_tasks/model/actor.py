"""Who acts for a run: one process under one incarnation, superseded by whoever takes the run after it."""

from __future__ import annotations

from pydantic import Field

from chaos_tasks.model.base import Value


class Actor(Value):
    """A process that takes a run to do one step of it."""

    run_id: str
    step: str = Field(description="Step of the engine: arm, baseline, inject, exercise, revert, recovery.")
    host: str = ""
    boot_id: str = ""
    pid: int = 0
    start_time: float = Field(0.0, description="Process start, unix seconds as the kernel reports it.")
    try_number: int = Field(0, ge=0, description="Airflow's, from 1; 0: it says nothing about order.")


class Taken(Value):
    """A run, taken: under which incarnation, and who was at the same step before."""

    incarnation: int = Field(ge=1)
    before: Actor | None = Field(None, description="Another process that took it for the same step before; or None.")
