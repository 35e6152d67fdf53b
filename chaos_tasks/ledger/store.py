"""The log itself: append a record, read records and subtrees back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import NamedTuple

from chaos_tasks.errors import IdempotencyConflict, LedgerError
from chaos_tasks.ledger import header, merkle
from chaos_tasks.ledger.border import at_border, of_redactions
from chaos_tasks.ledger.database import Database, Row, Session
from chaos_tasks.ledger.header import Entry
from chaos_tasks.model.record import Record, RecordKind, Stored

PAGE = 500
_NO_TIME_MS = 253_402_300_800_000  # the year 10000


class Head(NamedTuple):
    """Size and root of the log: what a checkpoint signs."""

    size: int
    root: bytes


class RawRow(NamedTuple):
    """A row as the database has it, trusted in nothing."""

    seq: int
    idem_key: str
    run_id: str
    kind: str
    occurred_at: str
    leaf: bytes
    entry: Entry


def append(session: Session, record: Record) -> Stored:
    """Write a record once, in the caller's transaction; raises IdempotencyConflict for its key with other content.

    Secrets are left out of it, and a second record says where.
    """
    clean, found = at_border(record)
    stored = _append(session, clean)
    if found:
        _append(session, of_redactions(clean, found))
    return stored


def append_at_once(database: Database, record: Record, actor: int) -> Stored | None:
    """Write a record in a transaction of its own and one round trip; None where ``append`` has to see to it."""
    clean, found = at_border(record)
    if found:
        return None
    entry = header.encode(clean)
    seq = database.append_at_once(_columns(clean, entry), actor)
    return None if seq is None else header.decode(seq, entry)


def _append(session: Session, record: Record) -> Stored:
    # Each statement is a round trip that all other writers wait for: the head and the known record are one.
    row = session.row(
        "SELECT h.size, h.frontier, r.seq, r.header, r.salt, r.payload FROM squall_head h "
        "LEFT JOIN squall_record r ON r.idem_key = ? WHERE h.id = 1",
        record.idem_key,
    )
    if row is not None and row[2] is not None:
        return _same_or_conflict(record, row[2:])
    entry = header.encode(record)
    size, frontier = _head_row(row)
    leaf = merkle.leaf_hash(entry.header)
    frontier, completed = merkle.push(frontier, size, leaf)
    session.write(
        "INSERT INTO squall_record "
        "(seq, idem_key, run_id, kind, occurred_at, leaf_hash, header, salt, payload, recorded_at) "
        f"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, {session.clock_sql})",
        size,
        *_columns(record, entry),
    )
    if completed:
        rows = ", ".join(("(?, ?, ?)",) * len(completed))
        session.write(f"INSERT INTO squall_node (level, idx, hash) VALUES {rows}", *chain.from_iterable(completed))
    session.write("UPDATE squall_head SET size = ?, frontier = ? WHERE id = 1", size + 1, b"".join(frontier))
    stored = header.decode(size, entry)
    session.written.append(stored)
    return stored


def _columns(record: Record, entry: Entry) -> tuple[object, ...]:
    """A row of the log, but for its number."""
    leaf = merkle.leaf_hash(entry.header)
    what = (record.idem_key, record.run_id, record.kind.value, header.format_time(record.occurred_at))
    return (*what, leaf, entry.header, entry.salt, entry.payload)


def erase(session: Session, seq: int) -> None:
    """Delete a payload with its salt, without which the commitment in the header cannot be guessed at."""
    session.write("UPDATE squall_record SET payload = NULL, salt = NULL WHERE seq = ?", seq)


def head(database: Database) -> Head:
    """The log's size and root now."""
    rows = database.read("SELECT size, frontier FROM squall_head WHERE id = 1")
    size, frontier = _head_row(rows[0] if rows else None)
    return Head(size, merkle.root_of(frontier))


def raw_rows(
    database: Database, *, where: str = "", params: Sequence[object] = (), after_seq: int = -1
) -> Iterator[RawRow]:
    """Rows in log order, a page at a time, so that no cursor stays open between them."""
    condition = f"seq > ? AND ({where})" if where else "seq > ?"
    while True:
        rows = database.read(
            "SELECT seq, idem_key, run_id, kind, occurred_at, leaf_hash, header, salt, payload FROM squall_record "
            f"WHERE {condition} ORDER BY seq LIMIT {PAGE}",
            after_seq,
            *params,
        )
        yield from (_raw(row) for row in rows)
        if len(rows) < PAGE:
            return
        after_seq = int(rows[-1][0])


@dataclass(frozen=True)
class Wanted:
    """Which records: ``since`` is included, ``until`` and ``after_seq`` are not."""

    run_id: str | None = None
    kinds: tuple[RecordKind, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    after_seq: int = -1
    experiment: str | None = None

    def conditions(self, database: Database) -> Iterator[tuple[str, tuple[object, ...]]]:
        """SQL and its values, to be joined by AND."""
        if self.run_id is not None:
            yield "run_id = ?", (self.run_id,)
        if self.kinds:
            yield f"kind IN ({', '.join('?' * len(self.kinds))})", tuple(kind.value for kind in self.kinds)
        for bound, sign in ((self.since, ">="), (self.until, "<")):
            if bound is not None:
                yield f"occurred_at {sign} ?", (header.format_time(bound),)
        if self.experiment is not None:
            yield database.holds_sql, (header.says_experiment(self.experiment),)


def records(database: Database, wanted: Wanted) -> Iterator[Stored]:
    """Records in log order; raises LedgerError at an unreadable row."""
    after_seq = wanted.after_seq
    if wanted.since is not None and wanted.run_id is None:
        after_seq = max(after_seq, _last_before(database, wanted.since))
    conditions = list(wanted.conditions(database))
    where = " AND ".join(sql for sql, _ in conditions)
    params = [value for _, values in conditions for value in values]
    for row in raw_rows(database, where=where, params=params, after_seq=after_seq):
        yield header.decode(row.seq, row.entry)


def recorded_at(database: Database, records: Iterable[Stored]) -> dict[int, datetime]:
    """When each record came in, by its number and the database's clock; what it says itself where that is not kept."""
    found = {one.seq: one.record.occurred_at for one in records}
    seqs = list(found)
    for begin in range(0, len(seqs), PAGE):
        page = seqs[begin : begin + PAGE]
        marks = ", ".join("?" * len(page))
        for seq, at in database.read(f"SELECT seq, recorded_at FROM squall_record WHERE seq IN ({marks})", *page):
            if isinstance(at, int) and 0 <= at < _NO_TIME_MS:  # SQLite keeps whatever was written there
                found[int(seq)] = datetime.fromtimestamp(at / 1000, UTC)
    return found


def _last_before(database: Database, since: datetime) -> int:
    """The place in the log behind which everything from ``since`` on lies, whatever the clocks of its writers said.

    Without it each reader of the last night would read through all nights before.  The sum keeps the database from
    looking for the least number by walking up the log, which is that very reading.
    """
    rows = database.read("SELECT MIN(seq + 0) - 1 FROM squall_record WHERE occurred_at >= ?", header.format_time(since))
    first = rows[0][0] if rows else None
    return -1 if first is None else int(first)


def subtree(database: Database, level: int, index: int) -> bytes:
    """Hash of a complete subtree, for proofs."""
    if level == 0:
        rows = database.read("SELECT leaf_hash FROM squall_record WHERE seq = ?", index)
    else:
        rows = database.read("SELECT hash FROM squall_node WHERE level = ? AND idx = ?", level, index)
    if not rows:
        raise LedgerError(
            f"the ledger lacks the hash of subtree {index} at level {level}", remedy="run `squall audit verify`"
        )
    return as_bytes(rows[0][0])


class Subtrees:
    """Stored inner nodes, asked for in the order in which the log completed them; a page of each level is kept."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pages: dict[int, dict[int, bytes]] = {}

    def hash_of(self, level: int, index: int) -> bytes | None:
        """Of a node that is in the database by now; None where it is missing."""
        page = self._pages.get(level, {})
        if index not in page:
            rows = self._database.read(
                "SELECT idx, hash FROM squall_node WHERE level = ? AND idx >= ? AND idx < ?", level, index, index + PAGE
            )
            page = self._pages[level] = {int(at): as_bytes(value) for at, value in rows}
        return page.pop(index, None)


def _same_or_conflict(record: Record, known: Row) -> Stored:
    seq, entry = int(known[0]), entry_of(known[1], known[2], known[3])
    if not header.same_content(record, entry, seq):
        raise IdempotencyConflict(
            f"record {seq} already has the key {record.idem_key!r}, with other content",
            remedy="give a repeated physical act its try number in the key; read a decision before taking it again",
        )
    return header.decode(seq, entry)


def _head_row(row: Row | None) -> tuple[int, tuple[bytes, ...]]:
    width = merkle.HASH_BYTES
    if row is not None:
        size, edge = int(row[0]), as_bytes(row[1])
        if len(edge) == size.bit_count() * width:
            return size, tuple(edge[at : at + width] for at in range(0, len(edge), width))
    raise LedgerError(
        "the head of the ledger is missing or damaged", remedy="run `squall audit verify`; restore a backup"
    )


def _raw(row: Row) -> RawRow:
    seq, idem_key, run_id, kind, occurred_at, leaf, *entry = row
    if not isinstance(seq, int):
        raise LedgerError(f"the ledger has a record numbered {seq!r}", remedy="restore a backup")
    return RawRow(seq, str(idem_key), str(run_id), str(kind), str(occurred_at), as_bytes(leaf), entry_of(*entry))


def entry_of(raw_header: object, salt: object, payload: object) -> Entry:
    """The three columns of a record, whatever their types became."""
    return Entry(
        header=as_bytes(raw_header),
        salt=None if salt is None else as_bytes(salt),
        payload=None if payload is None else as_bytes(payload),
    )


def as_bytes(value: object) -> bytes:
    """SQLite keeps whatever type was written: text in a bytes column is garbage to report, not to trip over."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")
