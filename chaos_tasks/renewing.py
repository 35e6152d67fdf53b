"""Faults that end by themselves are kept in for as long as their run's lease is renewed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from chaos_tasks import registry
from chaos_tasks.carrying import Carrier, carried
from chaos_tasks.errors import SquallError
from chaos_tasks.faults.base import FaultContext, Renewable
from chaos_tasks.model.handle import Finding, HandleState, Phase
from chaos_tasks.ports import Clients, Clock, LedgerReader


def renew_faults(
    ledger: LedgerReader, run_id: str, clock: Clock, make_clients: Callable[[], Clients], *, lease_s: float
) -> None:
    """Extend every injected fault of the run that would otherwise end by itself."""
    for state in ledger.handles(run_id=run_id, phases=[Phase.INJECTED]):
        fault = registry.fault(state.handle.kind)
        if isinstance(fault, Renewable):
            params = registry.fault_params(state.handle.kind, state.handle.params)
            fault.renew(state.handle, params, _context(clock, make_clients(), lease_s))


def still_in(state: HandleState, clock: Clock, clients: Clients, carrier: Carrier | None = None) -> bool:
    """Whether inspection finds the fault on its place: the ledger says what was done, this what is there."""
    fault = carried(registry.fault(state.handle.kind), carrier)
    params = registry.fault_params(state.handle.kind, state.handle.params)
    try:
        found = fault.inspect(state.handle, params, _context(clock, clients, 60.0))
    except (SquallError, OSError):
        return False  # a place that cannot be looked at proves nothing: the trial is void
    return bool(found is Finding.INJECTED)


def _context(clock: Clock, clients: Clients, lease_s: float) -> FaultContext:
    return FaultContext(clock=clock, clients=clients, scratch=Path(), lease_s=lease_s)
