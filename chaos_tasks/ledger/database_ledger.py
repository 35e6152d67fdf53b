"""The Ledger port on a database: each call is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from chaos_tasks.errors import LedgerError, Queued, TargetBusy
from chaos_tasks.ledger import actors, handles, lock_keys, lock_queue, lock_table, merkle, schema, store
from chaos_tasks.ledger.database import Database, Session
from chaos_tasks.model.actor import Actor, Taken
from chaos_tasks.model.handle import Handle, HandleState, Phase
from chaos_tasks.model.permit import refuse_own_words
from chaos_tasks.model.plan import Lock
from chaos_tasks.model.record import Record, RecordKind, Stored
from chaos_tasks.model.waiting import Waiting
from chaos_tasks.own_leases import OwnLeases, own_leases_of

Listener = Callable[[Stored], None]
"""Hears of each record once it is committed, once over all processes; returns at once, and never raises."""


class DatabaseLedger:
    """Implements ``chaos_tasks.ports.Ledger``; may be shared by threads and used after a fork."""

    def __init__(self, database: Database, listener: Listener | None = None) -> None:
        self._database = database
        self._listener = listener
        self._incarnations: dict[str, int] = {}  # by run: what this process acts under
        schema.create(database)

    @property
    def own_leases(self) -> OwnLeases:
        """What this process has renewed, over whichever connection."""
        return own_leases_of(self._database.url)

    # reading

    def now(self) -> datetime:
        """The database's clock, to the millisecond."""
        return _moment(self._database.now_ms())

    def records(
        self,
        *,
        run_id: str | None = None,
        kinds: Sequence[RecordKind] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        after_seq: int = -1,
        experiment: str | None = None,
    ) -> Iterator[Stored]:
        """Records in log order, with ``since <= occurred_at < until``; raises LedgerError at an unreadable row."""
        wanted = store.Wanted(run_id, tuple(kinds), since, until, after_seq, experiment)
        return store.records(self._database, wanted)

    def recorded_at(self, records: Iterable[Stored]) -> dict[int, datetime]:
        """When each record came in, by its number and the database's clock."""
        return store.recorded_at(self._database, records)

    def handles(
        self, *, run_id: str | None = None, phases: Iterable[Phase] = (), expired: bool = False
    ) -> list[HandleState]:
        """Handles, oldest first; ``expired`` keeps open ones whose lease is over."""
        return handles.find(self._database, run_id=run_id, phases=phases, expired=expired)

    def handle(self, handle_id: str) -> HandleState | None:
        """One handle, or None."""
        return handles.get(self._database, handle_id)

    def last_beat(self, name: str) -> datetime | None:
        """When the named watcher last said that it is alive."""
        rows = self._database.read("SELECT at FROM squall_beat WHERE name = ?", name)
        return _moment(rows[0][0]) if rows else None

    def head(self) -> store.Head:
        """Size and root of the log: what a checkpoint signs, so that no crash may take them back."""
        head = store.head(self._database)
        self._database.settle()
        return head

    def raw_rows(self, *, after_seq: int = -1) -> Iterator[store.RawRow]:
        """Rows of the log as the database has them, for verification."""
        return store.raw_rows(self._database, after_seq=after_seq)

    def size(self) -> int:
        """Number of records, whether or not the head can be read."""
        return int(self._database.read("SELECT COALESCE(MAX(seq) + 1, 0) FROM squall_record")[0][0])

    def phases(self) -> dict[str, Phase]:
        """Phase of every handle; one whose phase is garbled counts as unreverted."""
        known = {phase.value: phase for phase in Phase}
        rows = self._database.read("SELECT id, phase FROM squall_handle")
        return {row[0]: known.get(row[1], Phase.UNREVERTED) for row in rows}

    def subtrees(self) -> store.Subtrees:
        """Stored inner nodes, for verification."""
        return store.Subtrees(self._database)

    def waiting(self) -> list[Waiting]:
        """Runs in line for their locks, in order."""
        return lock_queue.waiting(self._database)

    def locked_runs(self) -> frozenset[str]:
        """Runs that hold a lock, or stand in line for one, under a lease that is not over."""
        now = self._database.now_ms()
        rows = self._database.read(
            "SELECT run_id FROM squall_lock WHERE lease_until > ? "
            "UNION SELECT run_id FROM squall_queue WHERE lease_until > ?",
            *(now, now),
        )
        return frozenset(row[0] for row in rows)

    def held_until(self, run_id: str) -> datetime | None:
        """When the lease of a run's locks is or was over; None where it holds none."""
        rows = self._database.read("SELECT lease_until FROM squall_lock WHERE run_id = ?", run_id)
        return _moment(max(int(row[0]) for row in rows)) if rows else None

    def last_actor(self, run_id: str) -> Actor | None:
        """The process that took a run last, alive or not."""
        return actors.last(self._database.read, run_id)

    def inclusion_proof(self, seq: int, size: int) -> tuple[bytes, ...]:
        """Path from record ``seq`` to the root of the first ``size`` records."""
        return merkle.inclusion_proof(partial(store.subtree, self._database), seq, size)

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """Proof that the first ``old`` records are a prefix of the first ``new``."""
        return merkle.consistency_proof(partial(store.subtree, self._database), old, new)

    # writing

    def append(self, record: Record) -> Stored:
        """Write once per idempotency key; see docs/adr/0003-ledger-records.md for what counts as the same content."""
        refuse_own_words(record)
        actor = 0 if actors.may_say(record) else self._incarnations.get(record.run_id, 0)
        stored = store.append_at_once(self._database, record, actor)
        if stored is not None:
            self._tell((stored,))
            return stored
        with self._transaction() as session:
            if not actors.may_say(record):
                self._refuse_superseded(session, record.run_id)
            return store.append(session, record)

    def erase(self, seq: int, record: Record) -> Stored:
        """Delete the payload of a record, and append the record that says so, in one transaction."""
        with self._transaction() as session:
            store.erase(session, seq)
            return store.append(session, record)

    def arm(self, handle: Handle, record: Record, *, lease_s: float) -> HandleState:
        """Register a handle with its record and lease."""
        lease_ms = self._lease_ms(lease_s)
        with self._acting(handle.run_id) as session:
            return handles.arm(session, handle, record, lease_ms=lease_ms)

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
        """Move a handle and write its record; raises Fenced when the phase is not expected or the epoch not current."""
        lease_ms = None if lease_s is None else self._lease_ms(lease_s)
        with self._acting(record.run_id) as session:
            return handles.transition(
                session, handle_id, to=to, expect=frozenset(expect), epoch=epoch, record=record, lease_ms=lease_ms
            )

    def renew(self, run_id: str, *, lease_s: float) -> datetime:
        """Extend the lease of all open handles and locks of a run.

        Raises Fenced for good once one of its handles was taken over, reverted or not; and while one of its locks went
        to another run because the lease was over.
        """
        lease_ms, began = self._lease_ms(lease_s), self.own_leases.now()
        with self._acting(run_id) as session:
            until = handles.renew(session, run_id, lease_ms=lease_ms)
        self.own_leases.renewed(run_id, began + lease_s)
        return until

    def take_over(self, handle_id: str, *, lease_s: float, listed: HandleState | None = None) -> HandleState:
        """Raise the handle's epoch (fencing its run) and lease it to the caller; a reverted one stays as it is.

        ``listed``: raises LeaseRenewed unless its lease is the one that was read then, in the same transaction.
        """
        lease_ms = self._lease_ms(lease_s)
        with self._transaction() as session:
            row = session.row("SELECT run_id FROM squall_handle WHERE id = ?", handle_id)
            if row is not None:
                self._refuse_superseded(session, row[0])
            return handles.take_over(session, handle_id, lease_ms=lease_ms, listed=listed)

    def claim(self, handle_id: str, n: int, record: Record) -> bool:
        """Claim firing ``n``, once over all processes; raises Fenced when the handle is no longer the run's own."""
        with self._acting(record.run_id) as session:
            return handles.claim(session, handle_id, n, record)

    def acquire(self, run_id: str, locks: Sequence[Lock], *, lease_s: float, queue_s: float = 0.0) -> float:
        """Take all locks or none; returns the seconds in line; raises TargetBusy, or Queued with a place kept."""
        lease_ms, queue_ms = self._lease_ms(lease_s), _ms(queue_s)
        with self._acting(run_id) as session:
            now = session.now_ms()
            try:
                return lock_table.acquire(session, run_id, locks, until_ms=now + lease_ms, now_ms=now) / 1000
            except TargetBusy as busy:  # nothing was taken, and a place in line outlives the refusal
                if not (queue_ms and busy.passes and lock_table.may_wait(session, run_id, now)):
                    raise
                wanted, refusal = lock_keys.strongest(locks), busy
                place = lock_queue.stand(session, run_id, wanted, now_ms=now, until_ms=now + queue_ms)
        raise Queued(refusal.message, since=_moment(place.since_ms), remedy=refusal.remedy)

    def whose_turn(self, run_ids: Collection[str], *, queue_s: float) -> frozenset[str]:
        """Which of these waiting runs should ask for their locks now; keeps their places in any case."""
        queue_ms = _ms(queue_s)
        with self._transaction() as session:
            now = session.now_ms()
            lock_queue.keep(session, run_ids, until_ms=now + queue_ms)
            return lock_table.whose_turn(session, run_ids, now_ms=now)

    def release(self, run_id: str) -> None:
        """Give back all locks of a run and its place in line; its open handles still block their places."""
        with self._acting(run_id) as session:
            lock_table.release(session, run_id)

    def enter(self, actor: Actor) -> Taken:
        """Take a run for this process: from now on every earlier one is refused; raises Fenced where this is one."""
        with self._transaction() as session:
            taken = actors.enter(session, actor, self._incarnations.get(actor.run_id, 0))
        self._incarnations[actor.run_id] = taken.incarnation
        return taken

    def check_enter(self, actor: Actor) -> None:
        """Raise Fenced where ``enter`` would, and take nothing."""
        actors.check_enter(self._database.read, actor, self._incarnations.get(actor.run_id, 0))

    def act_as(self, run_id: str, incarnation: int) -> None:
        """Act under an incarnation that another process took: a supervisor under its engine's."""
        self._incarnations[run_id] = incarnation

    def acting(self, run_id: str) -> int:
        """The incarnation that this process acts under (0: none); raises Fenced once the run was taken from it."""
        mine = self._incarnations.get(run_id, 0)
        if mine:
            actors.check(self._database.read, run_id, mine)
        return mine

    def beat(self, name: str) -> None:
        """Say that the named watcher is alive."""
        with self._transaction() as session:
            session.write(
                "INSERT INTO squall_beat (name, at) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET at = excluded.at",
                *(name, session.now_ms()),
            )

    def close(self) -> None:
        """Give back the connection."""
        self._database.close()

    def _lease_ms(self, lease_s: float) -> int:
        """Heeded from before the call that asks for it: that one may be the first without an answer."""
        lease_ms = _ms(lease_s)
        self._database.heed(lease_s)
        return lease_ms

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        """A transaction; once it is committed, the listener hears of the records that it has added."""
        with self._database.transaction() as session:
            yield session
        self._tell(session.written)

    def _tell(self, written: Iterable[Stored]) -> None:
        if self._listener is not None:
            for stored in written:
                self._listener(stored)

    @contextmanager
    def _acting(self, run_id: str) -> Iterator[Session]:
        """A transaction of a process that may still act for the run."""
        with self._transaction() as session:
            self._refuse_superseded(session, run_id)
            yield session

    def _refuse_superseded(self, session: Session, run_id: str) -> None:
        mine = self._incarnations.get(run_id, 0)
        if mine:
            actors.check(session.rows, run_id, mine)


def _ms(lease_s: float) -> int:
    """A lease in milliseconds; raises LedgerError unless it is a finite, non-negative number of seconds."""
    if not 0 <= lease_s <= handles.LONGEST_LEASE_MS / 1000:
        raise LedgerError(f"a lease of {lease_s} s is not between 0 and 366 days")
    return round(lease_s * 1000)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
