"""What others put back is waited for: a process of another host, which only the sweeper there sees, or one at work."""

from __future__ import annotations

from collections.abc import Iterable

from chaos_tasks import acts
from chaos_tasks.model.handle import HARMFUL_PHASES, UNTRIED, HandleState
from chaos_tasks.model.place import ProcessPlace, TaskPlace
from chaos_tasks.ports import Clock, Ledger, LedgerReader
from chaos_tasks.safety.guards import is_fresh, last_watch
from chaos_tasks.targets.process import host

NEIGHBOUR_S = 30.0
"""A sweeper that has not beaten for so long is not waited for; what it alone could prove is then unreverted."""

POLL_S = 0.5


def is_left(state: HandleState, ledger: LedgerReader) -> bool:
    """Whether it is a process of another host, and is left to the sweeper there while that beats."""
    place = state.handle.place
    if not isinstance(place, ProcessPlace | TaskPlace) or place.host == host():
        return False
    return is_fresh(last_watch(ledger, place.host), ledger.now(), NEIGHBOUR_S)


def is_waited_for(state: HandleState, ledger: LedgerReader) -> bool:
    """Whether somebody else has yet to try, or is at it: a try from here would be nothing but a false alarm."""
    if state.phase not in UNTRIED & HARMFUL_PHASES:
        return False
    return is_left(state, ledger) or _is_put_back(state, ledger)


def await_them(states: Iterable[HandleState], ledger: Ledger, clock: Clock) -> None:
    """Until the others have put these back or tried to, or are silent, or late.

    Nobody may renew them any more, so that a sweeper comes for each once its lease is over.
    """
    for state in states:
        left_s = max(0.0, (state.lease_until - ledger.now()).total_seconds())
        deadline = clock.monotonic() + left_s + NEIGHBOUR_S
        while _is_still(state.handle.id, ledger) and clock.monotonic() < deadline:
            clock.sleep(POLL_S)


def _is_put_back(state: HandleState, ledger: LedgerReader) -> bool:
    """Whether a sweep, or a person, has taken it over and is at it."""
    return state.lease_until > ledger.now() and acts.is_taken_over(ledger, state.handle)


def _is_still(handle_id: str, ledger: Ledger) -> bool:
    state = ledger.handle(handle_id)
    return state is not None and is_waited_for(state, ledger)
