"""Finds handles whose lease is over and reverts them: the net below the teardown task.

One routine, four callers: the revert task, `squall sweep --watch`, the sweeper DAG, `squall revert`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chaos_tasks import acts, registry
from chaos_tasks.acts import ActParts
from chaos_tasks.approving import incidents
from chaos_tasks.carrying import carried
from chaos_tasks.disposing import Disposal
from chaos_tasks.errors import LeaseRenewed, LedgerError, SetupError, SquallError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import CLOSED_PHASES, OPEN_PHASES, HandleState, Phase
from chaos_tasks.model.place import ProcessPlace, TaskPlace
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import RecordKind
from chaos_tasks.notifying import notices
from chaos_tasks.ports import Clients, Clock, Ledger, Notifier
from chaos_tasks.runs import Run
from chaos_tasks.safety import lever
from chaos_tasks.safety.guards import SWEEPER
from chaos_tasks.targets.process import host
from chaos_tasks.workspaces import Workspaces

UNTOUCHED = OPEN_PHASES - {Phase.REVERTING, Phase.UNREVERTED}
"""What nobody has tried to revert yet."""

log = logging.getLogger(__name__)

NEIGHBOUR_S = 30.0
"""A sweeper that has not beaten for so long is not waited for; what it alone could prove is then unreverted."""

ELSEWHERE_S = 5.0
"""What another host has asked a server for, right before its lease was over, has arrived by then, as a rule."""

TAKEN_S = 60.0
"""The lease of a handle that was taken over and not yet reverted."""


class Swept(Value):
    """What a sweep did with one handle."""

    handle_id: str
    run_id: str
    kind: str
    reverted: bool
    summary: str


@dataclass(frozen=True)
class Sweeper:
    """Reverts what outlived its lease, whoever armed it."""

    ledger: Ledger
    clock: Clock
    clients: Clients
    workspaces: Workspaces
    recorder: Recorder
    notifier: Notifier | None = None
    disposal: Disposal | None = None

    def sweep(self, *, by: str = "sweep", watching: bool = False) -> tuple[Swept, ...]:
        """Revert every open handle whose lease is over.

        ``watching``: say too that a sweeper is alive.  Who looks once must not say so: nobody would come again.
        """
        self._beat(watching)
        expired = [state for state in self.ledger.handles(phases=OPEN_PHASES, expired=True) if not self._left(state)]
        swept = self._revert_all(expired, by, expired=True)
        if lever.overdue(self.ledger):  # leases or not; their runs have had their time to do it themselves
            swept += self._revert_all(self.ledger.handles(phases=UNTOUCHED), lever.WHO)
        self._beat(watching)
        self._tell(swept)
        self._end_left_behind()
        self._tidy(by)
        return swept

    def _end_left_behind(self) -> None:
        """DAG runs whose Airflow was away when their fault was undone."""
        try:
            self.workspaces.end_left_behind()
        except (SquallError, OSError) as error:
            log.warning("a DAG run of an ended trial may go on: %s", error)

    def _tidy(self, by: str) -> None:
        """Delete clones of killed runs, and what was kept long enough; reverting comes first, so it never fails."""
        if self.disposal is None:
            return
        try:
            self.disposal.left_behind(by=by)
            self.disposal.trials_now_and_then(by=by)
        except (SquallError, OSError) as error:
            log.warning("not everything that is to go could be deleted: %s", error)

    def _beat(self, watching: bool) -> None:
        if watching:
            self.ledger.beat(SWEEPER)
            self.ledger.beat(own_beat(host()))

    def everything(self, *, by: str) -> tuple[Swept, ...]:
        """Revert every open handle now, leases or not: before the servers are stopped, or when a person says so."""
        return self._revert_all(self.ledger.handles(phases=OPEN_PHASES), by)

    def one(self, handle_id: str, *, by: str) -> Swept:
        """Revert one handle now; raises LedgerError when it is unknown."""
        state = self.ledger.handle(handle_id)
        if state is None:
            raise LedgerError(f"no handle {handle_id} in the ledger", remedy="`squall status` lists the open ones")
        swept = self._revert_always(state, by)
        if swept.reverted and Run(self.ledger, state.handle.run_id).verdict() is not None:
            self._unlock(state.handle.run_id)  # it is over, and kept them only for this
        return swept

    def run(self, run_id: str, *, by: str) -> tuple[Swept, ...]:
        """Revert every open handle of one run now."""
        return self._revert_all(self.ledger.handles(run_id=run_id, phases=OPEN_PHASES), by)

    def _tell(self, swept: Iterable[Swept]) -> None:
        """Tell people what is still in; once all that could go out is out."""
        for one in swept:
            if not one.reverted and self.notifier is not None:
                with suppress(LedgerError, SetupError):
                    state = self.ledger.handle(one.handle_id)
                    if state is not None and state.phase not in CLOSED_PHASES:
                        why, at = one.summary, self.clock.now()
                        self.notifier.tell(notices.unreverted(self.ledger, state, why=why, at=at))

    def _left(self, state: HandleState) -> bool:
        """Whether a process of another host is left to the sweeper there, which alone can see it; while that beats."""
        place = state.handle.place
        if not isinstance(place, ProcessPlace | TaskPlace) or place.host == host():
            return False
        beat = self.ledger.last_beat(own_beat(place.host))
        return beat is not None and (self.ledger.now() - beat).total_seconds() < NEIGHBOUR_S

    def _revert_all(self, states: Iterable[HandleState], by: str, *, expired: bool = False) -> tuple[Swept, ...]:
        tried = [self._revert(state, by, expired=expired) for state in reversed(list(states))]
        swept = tuple(one for one in tried if one is not None)
        for run_id in {one.run_id for one in swept if one.reverted}:
            self._unlock(run_id)
        return swept

    def _revert(self, state: HandleState, by: str, *, expired: bool) -> Swept | None:
        """``expired``: take it over first, and only if its lease is over by now; None where somebody has renewed it."""
        try:
            state = self.ledger.take_over(state.handle.id, lease_s=TAKEN_S, expired=True) if expired else state
        except LeaseRenewed as error:
            log.info("not swept: %s", error.message)
            return None
        except Exception as error:  # noqa: BLE001  of a damaged row, or of a driver: the others must be swept too
            return self._failed(state, error)
        return self._revert_always(state, by, taken=expired)

    def _revert_always(self, state: HandleState, by: str, *, taken: bool = False) -> Swept:
        handle = state.handle
        try:  # a damaged record of one run must not keep the others from being swept
            plan = Run(self.ledger, handle.run_id).registered()
            if plan is not None:
                self.workspaces.end_workloads(plan)
            self._await_elsewhere(state, taken)
            receipt = acts.revert(self.parts_of(state), state, by=by, taken=taken)
        except Exception as error:  # noqa: BLE001  of a fault's code or of the system: the others must be swept too
            return self._failed(state, error)
        return self._swept(state, True, receipt.summary)

    def _failed(self, state: HandleState, error: Exception) -> Swept:
        with suppress(SquallError):  # the cause is on record: whoever comes next opens it
            incidents.open_those_of(state.handle.run_id, self.ledger, self.clock, self.recorder)
        return self._swept(state, False, notices.why_of(error))

    def _await_elsewhere(self, state: HandleState, taken: bool) -> None:
        """An act of another host may be on its way, and nobody here can end it: fence it, and let it land first."""
        handle = state.handle
        if state.phase is not Phase.INJECTING:
            return
        intents = self.ledger.records(run_id=handle.run_id, kinds=[RecordKind.INJECT_INTENT])
        hosts = [stored.record.recorder.host for stored in intents if stored.record.handle_id == handle.id]
        if hosts and hosts[-1] not in ("", host()):
            if not taken:
                self.ledger.take_over(handle.id, lease_s=TAKEN_S)
            self.clock.sleep(ELSEWHERE_S)

    def _swept(self, state: HandleState, reverted: bool, summary: str) -> Swept:
        handle = state.handle
        return Swept(handle_id=handle.id, run_id=handle.run_id, kind=handle.kind, reverted=reverted, summary=summary)

    def _unlock(self, run_id: str) -> None:
        states = self.ledger.handles(run_id=run_id)
        if all(state.phase in CLOSED_PHASES for state in states):
            self.ledger.release(run_id)
            if self.disposal is not None:
                with suppress(SquallError, OSError):
                    self.disposal.clones(run_id, by="sweep")

    def parts_of(self, state: HandleState) -> ActParts:
        """What acting on a handle needs, wherever it was armed."""
        handle = state.handle
        scratch = Path(self.workspaces.home) / "runs" / handle.run_id / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        plan = Run(self.ledger, handle.run_id).registered()
        return ActParts(
            ledger=self.ledger,
            fault=carried(registry.fault(handle.kind), self.workspaces.carrier),
            context=FaultContext(clock=self.clock, clients=self.clients, scratch=scratch),
            recorder=self.recorder,
            experiment=plan.experiment.name if plan else "",
            environment=plan.environment if plan else "",
            plan_sha256=plan.content_sha256 if plan else "",
        )


def own_beat(name: str) -> str:
    """Name of the heartbeat by which sweepers know of each other, by host."""
    return f"{SWEEPER}@{name}"
