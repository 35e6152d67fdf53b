"""A ledger in memory, with the whole contract of ports.Ledger: records, handles, claims, locks, leases and beats."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import RLock

from chaos_tasks.errors import Fenced, IdempotencyConflict, LeaseRenewed, LedgerError, Queued, TargetBusy
from chaos_tasks.model.actor import Actor, Taken, latest_try
from chaos_tasks.model.consent import LOG
from chaos_tasks.model.handle import CLOSED_PHASES, OPEN_PHASES, Handle, HandleState, Phase
from chaos_tasks.model.permit import RUN_KINDS, already_used, consumption, refuse_own_words
from chaos_tasks.model.plan import Lock
from chaos_tasks.model.record import Record, RecordKind, Stored
from chaos_tasks.model.waiting import Waiting
from chaos_tasks.own_leases import OwnLeases
from chaos_tasks.ports import Clock

MAY_STILL_SAY = frozenset(
    {
        RecordKind.INJECT_FAILED,
        RecordKind.NOTICE_SENT,
        RecordKind.NOTICE_FAILED,
        RecordKind.LEVER_PULLED,
        RecordKind.LEVER_RELEASED,
    }
)
ENDING_PHASES = (Phase.REVERTING, Phase.UNREVERTED, *CLOSED_PHASES)


@dataclass
class _Held:
    lock: Lock
    run_id: str
    lease_until: datetime


@dataclass
class MemoryLedger:
    """Thread-safe; ``clock`` is the database's clock, so a test moves leases by moving it.

    ``broken`` set to a text makes each write raise LedgerError with it, as a database that is down would.
    """

    clock: Clock
    broken: str = ""
    _log: list[Stored] = field(default_factory=list)
    _recorded: dict[int, datetime] = field(default_factory=dict)
    _by_key: dict[str, Stored] = field(default_factory=dict)
    _handles: dict[str, HandleState] = field(default_factory=dict)
    _fenced: dict[str, str] = field(default_factory=dict)
    _claims: set[tuple[str, int]] = field(default_factory=set)
    _locks: list[_Held] = field(default_factory=list)
    _line: dict[str, Waiting] = field(default_factory=dict)
    _beats: dict[str, datetime] = field(default_factory=dict)
    _actors: dict[str, list[Actor]] = field(default_factory=dict)
    _acting: dict[str, int] = field(default_factory=dict)
    _guard: RLock = field(default_factory=RLock)
    own_leases: OwnLeases = field(init=False)

    def __post_init__(self) -> None:
        """Leases of this process, by the clock that a test moves."""
        self.own_leases = OwnLeases(self.clock.monotonic)

    def of_another_process(self) -> MemoryLedger:
        """The same ledger as another process has it open: under no incarnation yet."""
        return replace(self, _acting={})

    def now(self) -> datetime:
        """The clock that leases are measured by."""
        return self.clock.now()

    def records(
        self,
        *,
        run_id: str | None = None,
        kinds: Sequence[RecordKind] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        after_seq: int = -1,
        experiment: str | None = None,
    ) -> Iterable[Stored]:
        """Records in log order."""
        with self._guard:
            later = self._log[after_seq + 1 :]
            found = [stored for stored in later if _wanted(stored.record, run_id, kinds, since, until)]
            return [stored for stored in found if experiment in (None, stored.record.experiment)]

    def recorded_at(self, records: Iterable[Stored]) -> dict[int, datetime]:
        """When each record came in, by its number and the database's clock."""
        with self._guard:
            return {one.seq: self._recorded.get(one.seq, one.record.occurred_at) for one in records}

    def handles(
        self, *, run_id: str | None = None, phases: Iterable[Phase] = (), expired: bool = False
    ) -> list[HandleState]:
        """Handles, oldest first."""
        wanted = frozenset(phases)
        with self._guard:
            return [
                state
                for state in self._handles.values()
                if (run_id is None or state.handle.run_id == run_id)
                and (not wanted or state.phase in wanted)
                and (not expired or state.lease_until <= self.now())
            ]

    def handle(self, handle_id: str) -> HandleState | None:
        """One handle, or None."""
        with self._guard:
            return self._handles.get(handle_id)

    def last_beat(self, name: str) -> datetime | None:
        """When the named watcher last said that it is alive."""
        return self._beats.get(name)

    def append(self, record: Record) -> Stored:
        """Write once per idempotency key."""
        refuse_own_words(record)
        return self._append(record)

    def _append(self, record: Record) -> Stored:
        with self._guard:
            self._require_up()
            if record.kind not in MAY_STILL_SAY:
                self.acting(record.run_id)
            known = self._by_key.get(record.idem_key)
            if known is None:
                return self._write(record)
            if known.record != record:
                raise IdempotencyConflict(f"{record.idem_key} was written with other content", remedy="use a new key")
            return known

    def arm(self, handle: Handle, record: Record, *, lease_s: float) -> HandleState:
        """Register a handle with its record and lease."""
        with self._guard:
            self.acting(handle.run_id)
            known = self._handles.get(handle.id)
            if known is not None:
                return known
            self._refuse_fenced(handle.run_id)
            self.append(record)
            return self._put(handle, Phase.ARMED, self._lease(lease_s))

    def transition(
        self,
        handle_id: str,
        *,
        to: Phase,
        expect: Iterable[Phase],
        epoch: int,
        record: Record,
        lease_s: float | None = None,
    ) -> HandleState:
        """Move a handle and write its record, both or none."""
        with self._guard:
            self._require_up()
            self.acting(record.run_id)
            state = self._require(handle_id)
            if state.phase not in frozenset(expect) or state.handle.epoch != epoch:
                raise Fenced(
                    f"{handle_id} is {state.phase.value} in epoch {state.handle.epoch}, not as epoch {epoch} left it",
                    remedy="leave it to its new holder",
                )
            if to in (Phase.INJECTING, Phase.INJECTED):
                self._refuse_fenced(state.handle.run_id)
            if to is Phase.INJECTING:
                self._consume_permit(record)
            self.append(record)
            return self._put(state.handle, to, state.lease_until if lease_s is None else self._lease(lease_s))

    def renew(self, run_id: str, *, lease_s: float) -> datetime:
        """Extend all leases of a run; raises Fenced since one of its handles was taken over."""
        with self._guard:
            self._require_up()
            self.acting(run_id)
            self._refuse_fenced(run_id)
            until = self._lease(lease_s)
            for state in self.handles(run_id=run_id, phases=OPEN_PHASES):
                self._put(state.handle, state.phase, until)
            for held in self._locks:
                held.lease_until = until if held.run_id == run_id else held.lease_until
            self.own_leases.renewed(run_id, self.clock.monotonic() + lease_s)
            return until

    def take_over(self, handle_id: str, *, lease_s: float, listed: HandleState | None = None) -> HandleState:
        """Raise the handle's epoch and lease it to the caller."""
        with self._guard:
            self._require_up()
            state = self._require(handle_id)
            self.acting(state.handle.run_id)
            if state.phase in CLOSED_PHASES:
                return state
            if listed is not None and (listed.handle.epoch, listed.lease_until) != (
                state.handle.epoch,
                state.lease_until,
            ):
                raise LeaseRenewed(f"handle {handle_id} is leased again", remedy="leave it to its run")
            self._fenced[state.handle.run_id] = f"its handle {handle_id} was taken over"
            handle = state.handle.model_copy(update={"epoch": state.handle.epoch + 1})
            return self._put(handle, state.phase, self._lease(lease_s))

    def claim(self, handle_id: str, n: int, record: Record) -> bool:
        """Claim a firing once over all callers."""
        with self._guard:
            self._require_up()
            self.acting(record.run_id)
            if (handle_id, n) in self._claims:
                return False
            self._refuse_fenced(record.run_id)
            state = self._handles.get(handle_id)
            if state is not None and (state.handle.epoch > 1 or state.phase in ENDING_PHASES):
                raise Fenced(f"firing {n} of {handle_id} may not happen: the handle is {state.phase.value}")
            self.append(record)
            self._claims.add((handle_id, n))
            return True

    def acquire(self, run_id: str, locks: Sequence[Lock], *, lease_s: float, queue_s: float = 0.0) -> float:
        """Take all locks or none, in the order of arrival."""
        with self._guard:
            self._require_up()
            self.acting(run_id)
            try:
                self._refuse_conflicts(run_id, locks)
            except TargetBusy as busy:
                if not queue_s or self._holds(run_id):
                    raise
                place = self._stand(run_id, locks, queue_s)
                raise Queued(busy.message, since=place.since, remedy=busy.remedy) from None
            if not any(one.handle.epoch > 1 for one in self.handles(run_id=run_id)):
                self._fenced.pop(run_id, None)  # it lost locks only, and has them again
            for lock in locks:
                self._locks.append(_Held(lock, run_id, self._lease(lease_s)))
            place_left = self._line.pop(run_id, None)
            return (self.now() - place_left.since).total_seconds() if place_left else 0.0

    def whose_turn(self, run_ids: Collection[str], *, queue_s: float) -> frozenset[str]:
        """Which of these waiting runs should ask for their locks now."""
        with self._guard:
            self._require_up()
            for run_id in self._line.keys() & set(run_ids):
                self._stand(run_id, self._line[run_id].locks, queue_s)
            return frozenset(run_id for run_id in run_ids if self._is_turn(run_id))

    def locked_runs(self) -> frozenset[str]:
        """Runs that hold a lock, or stand in line for one, under a lease that is not over."""
        with self._guard:
            self._require_up()
            return frozenset({held.run_id for held in self._locks if held.lease_until > self.now()} | set(self._line))

    def waiting(self) -> list[Waiting]:
        """Runs in line, in order."""
        with self._guard:
            return list(self._line.values())

    def held_until(self, run_id: str) -> datetime | None:
        """When the lease of a run's locks is or was over; None where it holds none."""
        with self._guard:
            return max((held.lease_until for held in self._locks if held.run_id == run_id), default=None)

    def last_actor(self, run_id: str) -> Actor | None:
        """The process that took a run last, alive or not."""
        with self._guard:
            return self._actors[run_id][-1] if self._actors.get(run_id) else None

    def release(self, run_id: str) -> None:
        """Give back all locks of a run, and its place in line."""
        with self._guard:
            self.acting(run_id)
            self._locks[:] = [held for held in self._locks if held.run_id != run_id]
            self._line.pop(run_id, None)

    def enter(self, actor: Actor) -> Taken:
        """Take a run for this process."""
        with self._guard:
            self._require_up()
            mine, line = self.acting(actor.run_id), self._actors.setdefault(actor.run_id, [])
            if mine:
                if not actor.try_number:
                    line[-1] = line[-1].model_copy(update={"step": actor.step})
                return Taken(incarnation=mine)
            self.check_enter(actor)
            before = next((one for one in reversed(line) if one.step == actor.step), None)
            line.append(actor)
            self._acting[actor.run_id] = len(line)
            return Taken(incarnation=len(line), before=before)

    def check_enter(self, actor: Actor) -> None:
        """Raise Fenced where ``enter`` would."""
        with self._guard:
            if self.acting(actor.run_id):
                return
            line = self._actors.get(actor.run_id, ())
            latest = latest_try(((one.step, one.try_number) for one in line), actor.step)
            if 0 < actor.try_number < latest:
                raise Fenced(f"try {actor.try_number} of {actor.step} comes after try {latest}", remedy="end it")

    def act_as(self, run_id: str, incarnation: int) -> None:
        """Act under an incarnation that another process took."""
        self._acting[run_id] = incarnation

    def acting(self, run_id: str) -> int:
        """The incarnation that this process acts under; raises Fenced once the run was taken from it."""
        mine, current = self._acting.get(run_id, 0), len(self._actors.get(run_id, ()))
        if mine and mine != current:
            raise Fenced(f"run {run_id} was taken by another process", remedy="end this one")
        return mine

    def beat(self, name: str) -> None:
        """Say that the named watcher is alive."""
        self._beats[name] = self.now()

    def close(self) -> None:
        """Nothing to give back."""

    def _consume_permit(self, intent: Record) -> None:
        run = list(self.records(run_id=intent.run_id, kinds=RUN_KINDS))

        def standing() -> list[Stored]:
            return list(self.records(run_id=LOG, kinds=(RecordKind.APPROVAL_DECIDED,)))

        used = consumption(run, standing, intent, self.now())
        if used is None:
            return
        try:
            self._append(used)
        except IdempotencyConflict:
            raise already_used(intent.run_id) from None

    def _refuse_fenced(self, run_id: str) -> None:
        if run_id in self._fenced:
            raise Fenced(f"{run_id}: {self._fenced[run_id]}", remedy="end its processes and do nothing more")

    def _refuse_conflicts(self, run_id: str, locks: Sequence[Lock]) -> None:
        for lock in sorted(locks, key=lambda lock: lock.key):
            self._refuse_conflict(run_id, lock)
        if not self._holds(run_id):
            self._refuse_earlier(run_id, locks)

    def _refuse_conflict(self, run_id: str, lock: Lock) -> None:
        for held in self._locks:
            if held.run_id != run_id and self._binding(held) and _conflict(held.lock, lock):
                raise TargetBusy(
                    f"{lock.key} is held by {held.run_id} until {held.lease_until.isoformat()}",
                    remedy="wait for that run, or sweep it with `squall sweep`",
                )

    def _refuse_earlier(self, run_id: str, locks: Sequence[Lock]) -> None:
        for place in self._line.values():
            if place.run_id == run_id:
                return
            alive = place.lease_until > self.now()
            if alive and any(_conflict(one, other) for one in locks for other in place.locks):
                raise TargetBusy(f"run {place.run_id} came earlier", remedy="wait for your turn")

    def _is_turn(self, run_id: str) -> bool:
        if run_id in self._line:
            try:
                self._refuse_conflicts(run_id, self._line[run_id].locks)
            except TargetBusy:
                return False
        return True

    def _holds(self, run_id: str) -> bool:
        return any(self._binding(held) for held in self._locks if held.run_id == run_id)

    def _stand(self, run_id: str, locks: Sequence[Lock], queue_s: float) -> Waiting:
        since = self._line[run_id].since if run_id in self._line else self.now()
        place = Waiting(run_id=run_id, since=since, lease_until=self._lease(queue_s), locks=tuple(locks))
        self._line[run_id] = place  # a known key keeps its place in a dict
        return place

    def _binding(self, held: _Held) -> bool:
        return held.lease_until > self.now() or bool(self.handles(run_id=held.run_id, phases=OPEN_PHASES))

    def _write(self, record: Record) -> Stored:
        stored = Stored(seq=len(self._log), leaf_sha256=record.content_sha256, record=record)
        self._log.append(stored)
        self._recorded[stored.seq] = self.now()
        self._by_key[record.idem_key] = stored
        return stored

    def _put(self, handle: Handle, phase: Phase, lease_until: datetime) -> HandleState:
        state = HandleState(handle=handle, phase=phase, lease_until=lease_until, changed_at=self.now())
        self._handles[handle.id] = state
        return state

    def _require(self, handle_id: str) -> HandleState:
        state = self._handles.get(handle_id)
        if state is None:
            raise LedgerError(f"no handle is called {handle_id}", remedy="`squall handles` lists them")
        return state

    def _require_up(self) -> None:
        if self.broken:
            raise LedgerError(self.broken, remedy="bring the ledger's database back")

    def _lease(self, lease_s: float) -> datetime:
        return self.now() + timedelta(seconds=lease_s)


def _wanted(
    record: Record, run_id: str | None, kinds: Sequence[RecordKind], since: datetime | None, until: datetime | None
) -> bool:
    return (
        (run_id is None or record.run_id == run_id)
        and (not kinds or record.kind in kinds)
        and (since is None or record.occurred_at >= since)
        and (until is None or record.occurred_at < until)
    )


def _conflict(held: Lock, wanted: Lock) -> bool:
    return (held.exclusive or wanted.exclusive) and (_covers(held.key, wanted.key) or _covers(wanted.key, held.key))


def _covers(upper: str, lower: str) -> bool:
    return lower == upper or lower.startswith(upper.rstrip("/") + "/")
