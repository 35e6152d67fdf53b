"""Finds handles whose lease is over and reverts them: the net below the teardown task.

One routine, four callers: the revert task, `squall sweep --watch`, the sweeper DAG, `squall revert`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from chaos_tasks import acts, neighbours, registry
from chaos_tasks.acts import ActParts
from chaos_tasks.approving import incidents
from chaos_tasks.carrying import carried
from chaos_tasks.disposing import Disposal
from chaos_tasks.errors import LeaseRenewed, LedgerError, SetupError, SquallError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.leasing import LONGEST_S, kept
from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import CLOSED_PHASES, OPEN_PHASES, UNTOUCHED, UNTRIED, HandleState, Phase
from chaos_tasks.model.place import Place, ProcessPlace, TaskPlace
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import RecordKind
from chaos_tasks.notifying import notices
from chaos_tasks.ports import Clients, Clock, Ledger, Notifier
from chaos_tasks.runs import Run
from chaos_tasks.safety import lever
from chaos_tasks.safety.guards import SWEEPER, own_beat
from chaos_tasks.targets.process import ProcessIdentity, host
from chaos_tasks.unrenewed import Seen
from chaos_tasks.workspaces import Workspaces

log = logging.getLogger(__name__)

ELSEWHERE_S = 5.0
"""What another host has asked a server for, right before its lease was over, has arrived by then, as a rule."""

TAKEN_S = 60.0
"""The lease of a handle that was taken over and not yet reverted."""

BEATEN_S = 10.0
"""A sweeper at work beats three times in so long: sooner than anybody takes it for silent, or for killed."""

HEARTBEAT = "heartbeat of a sweeper"


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
    alive: Callable[[], None] = lambda: None
    """Told at each beat: whoever started it may end one that says nothing for long."""
    seen: Seen = field(default_factory=Seen)

    def sweep(self, *, by: str = "sweep", watching: bool = False) -> tuple[Swept, ...]:
        """Revert every open handle whose lease is over.

        ``watching``: say too that a sweeper is alive.  Who looks once must not say so: nobody would come again.
        """
        self._beat(watching)
        over = self._not_beside(self._not_left(self._over(watching)))
        swept = self._revert_all(over, by, expired=True, watching=watching)
        swept += self._revert_all(self._only_here({state.handle.id for state in over}), by, watching=watching)
        if lever.overdue(self.ledger):  # leases or not; their runs have had their time to do it themselves
            untouched = self._not_left(self.ledger.handles(phases=UNTOUCHED))
            swept += self._revert_all(untouched, lever.WHO, watching=watching)
        self._tell(swept)
        with self._at_work(watching):  # Airflow may be slow, and much may have to go
            self._end_left_behind()
            self._tidy(by)
        return swept

    def _over(self, watching: bool) -> list[HandleState]:
        """Those whose lease is over: by the ledger's clock, or since a watcher saw nobody renew it for so long."""
        expired = {state.handle.id: state for state in self.ledger.handles(phases=OPEN_PHASES, expired=True)}
        if not watching:
            return list(expired.values())
        at, states = self.ledger.now(), self.ledger.handles(phases=OPEN_PHASES)
        unrenewed = self.seen.unrenewed(states, at=at, now=self.clock.monotonic())
        over = {name: state for state in states if (name := state.handle.id) in unrenewed or name in expired}
        return [expired.get(name, state) for name, state in over.items()]  # as they were when they were over

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
            self.alive()
            self.ledger.beat(SWEEPER)
            self.ledger.beat(own_beat(host()))

    @contextmanager
    def _at_work(self, watching: bool) -> Iterator[None]:
        """Beat while one piece of work lasts, and after it: a busy sweeper lives, and one that hangs goes silent."""
        if not watching:
            yield
            return
        with kept(lambda: self._beat(watching), lease_s=BEATEN_S, longest_s=LONGEST_S, what=HEARTBEAT):
            yield
        with suppress(SquallError):  # the others must be swept too; the next look says that it cannot beat
            self._beat(watching)

    def everything(self, *, by: str) -> tuple[Swept, ...]:
        """Revert every open handle now, leases or not: before the servers are stopped, or when a person says so."""
        return self._revert_all(self.ledger.handles(phases=OPEN_PHASES), by)

    def halted(self, *, by: str) -> tuple[Swept, ...]:
        """Revert every open handle now, but those that sweepers of other hosts put back, who see the same lever."""
        left = {state.handle.id for state in self.elsewhere()}
        here = [state for state in self.ledger.handles(phases=OPEN_PHASES) if state.handle.id not in left]
        return self._revert_all(here, by)

    def elsewhere(self) -> tuple[HandleState, ...]:
        """What is open, only the living sweeper of another host can see, and that one has not tried in vain."""
        return tuple(state for state in self.ledger.handles(phases=UNTRIED) if neighbours.is_left(state, self.ledger))

    def _not_left(self, states: Iterable[HandleState]) -> list[HandleState]:
        return [state for state in states if not neighbours.is_left(state, self.ledger)]

    def _not_beside(self, states: Iterable[HandleState]) -> list[HandleState]:
        """Without what another container has to put back, once that is said: a try more would keep it from there."""
        return [one for one in states if one.phase is not Phase.UNREVERTED or not _is_beside(one.handle.place)]

    def one(self, handle_id: str, *, by: str) -> Swept:
        """Revert one handle now; raises LedgerError when it is unknown."""
        state = self.ledger.handle(handle_id)
        if state is None:
            raise LedgerError(f"no handle {handle_id} in the ledger", remedy="`squall status` lists the open ones")
        swept = self._revert_always(state, by)
        self._open_incidents([swept])
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

    def _only_here(self, tried: set[str]) -> list[HandleState]:
        """Processes of this host that others could not put back, while it was away: they are not left alone for long.

        Whoever tried has taken them over, so no run goes on with them.
        """
        stuck = self.ledger.handles(phases=[Phase.UNREVERTED])
        here = [one for one in stuck if isinstance(one.handle.place, ProcessPlace | TaskPlace)]
        here = [one for one in here if one.handle.place.host == host() and one.handle.id not in tried]  # type: ignore[union-attr]
        return [one for one in self._not_beside(here) if self._failed_elsewhere(one)]

    def _failed_elsewhere(self, state: HandleState) -> bool:
        failed = self.ledger.records(run_id=state.handle.run_id, kinds=(RecordKind.REVERT_FAILED,))
        hosts = [one.record.recorder.host for one in failed if one.record.handle_id == state.handle.id]
        return bool(hosts) and hosts[-1] not in ("", host())

    def _revert_all(
        self, states: Iterable[HandleState], by: str, *, expired: bool = False, watching: bool = False
    ) -> tuple[Swept, ...]:
        listed, tried = list(states), list[Swept]()
        others = self._others_work(listed) if expired and listed else frozenset()
        for state in reversed(listed):
            touched = acts.touches(state)
            if others & touched:
                continue
            with self._at_work(watching):
                one = self._revert(state, by, expired=expired)
            if one is None:
                others |= touched
            else:
                tried.append(one)
        swept = self._again(listed, tried, by, watching=watching)
        self._open_incidents(swept)
        for run_id in {one.run_id for one in swept if one.reverted}:
            with self._at_work(watching):  # its clones go, which may be much
                self._unlock(run_id)
        return swept

    def _others_work(self, listed: Iterable[HandleState]) -> frozenset[str]:
        """What others are putting back now: a second undo of a policy would write back what the first took out of it.

        What they come to meanwhile is told by the first handle that cannot be taken over: all go from the latest.
        """
        mine, now = {state.handle.id for state in listed}, self.ledger.now()
        at_it = [one for one in self.ledger.handles(phases=[Phase.REVERTING]) if one.handle.id not in mine]
        return frozenset[str]().union(*(acts.touches(one) for one in at_it if one.lease_until > now))

    def _again(
        self, states: Iterable[HandleState], tried: Sequence[Swept], by: str, *, watching: bool
    ) -> tuple[Swept, ...]:
        """What another fault had hidden is tried once more."""
        out = {one.handle_id for one in tried if one.reverted}
        failed = [state for state in states if state.handle.id not in out]
        again = acts.hidden(failed, [state for state in states if state.handle.id in out])
        hidden = {state.handle.id for state in again}
        return tuple(self._once_more(one, by, watching) if one.handle_id in hidden else one for one in tried)

    def _once_more(self, failed: Swept, by: str, watching: bool) -> Swept:
        with suppress(SquallError), self._at_work(watching):
            state = self.ledger.handle(failed.handle_id)
            if state is not None and state.phase is Phase.UNREVERTED:
                return self._revert_always(state, by)
        return failed

    def _revert(self, state: HandleState, by: str, *, expired: bool) -> Swept | None:
        """``expired``: take it over first, and only if nobody has renewed it since it was listed.

        None where its run has renewed it or put it back since it was listed: that run goes on, and keeps its locks.
        """
        try:
            state = self.ledger.take_over(state.handle.id, lease_s=TAKEN_S, listed=state) if expired else state
        except LeaseRenewed as error:
            log.info("not swept: %s", error.message)
            return None
        except Exception as error:  # noqa: BLE001  of a damaged row, or of a driver: the others must be swept too
            return self._swept(state, False, notices.why_of(error))
        if state.phase in CLOSED_PHASES:  # not taken over, hence not fenced
            return None
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
            return self._swept(state, False, notices.why_of(error))
        return self._swept(state, True, receipt.summary)

    def _open_incidents(self, swept: Iterable[Swept]) -> None:
        for run_id in {one.run_id for one in swept if not one.reverted}:
            with suppress(SquallError):  # the cause is on record: whoever comes next opens it
                incidents.open_those_of(run_id, self.ledger, self.clock, self.recorder)

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


def _is_beside(place: Place) -> bool:
    """Whether it is a process in another container of this host, which the sweeper there sees."""
    return isinstance(place, ProcessPlace | TaskPlace) and ProcessIdentity.of_place(place).is_beside()
