"""`verify` finds each kind of tampering, disorder and gap, and says where."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos_tasks.errors import LedgerError
from chaos_tasks.ledger import DatabaseLedger, merkle, open_ledger
from chaos_tasks.ledger.verify import Verification, verify
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.plan import Lock
from chaos_tasks.model.record import Record, RecordKind
from chaos_tasks.model.verdict import Outcome
from tests.ledger_samples import act, armed, handle, note, registered, verdict

H = handle()


def whole_run(ledger: DatabaseLedger) -> None:
    """Eight records: all that a run with one fault needs."""
    ledger.append(registered())
    ledger.arm(H, armed(H), lease_s=300)
    for to, before, kind in (
        (Phase.INJECTING, Phase.ARMED, RecordKind.INJECT_INTENT),
        (Phase.INJECTED, Phase.INJECTING, RecordKind.INJECT_APPLIED),
        (Phase.REVERTING, Phase.INJECTED, RecordKind.REVERT_INTENT),
        (Phase.REVERTED, Phase.REVERTING, RecordKind.REVERT_VERIFIED),
    ):
        ledger.transition("h1", to=to, expect=[before], epoch=1, record=act(H, kind))
    ledger.append(verdict())
    ledger.append(note("run-1/published"))


def test_a_whole_run_is_in_order_and_complete(ledger: DatabaseLedger) -> None:
    whole_run(ledger)
    found = verify(ledger)
    assert found.ok, found
    assert (found.size, found.root_sha256) == (8, ledger.head().root.hex())
    assert (found.unfinished_runs, found.open_handles, found.erased_payloads) == ((), (), 0)


def test_an_empty_ledger_is_fine(ledger: DatabaseLedger) -> None:
    assert verify(ledger).root_sha256 == merkle.EMPTY_ROOT.hex()
    assert verify(ledger).ok


def test_stored_proofs_verify(ledger: DatabaseLedger) -> None:
    whole_run(ledger)
    size, root = ledger.head()
    leaves = [row.leaf for row in ledger.raw_rows()]
    for seq, leaf in enumerate(leaves):
        assert merkle.verify_inclusion(seq, size, leaf, ledger.inclusion_proof(seq, size), root)
    assert merkle.verify_consistency(8, 8, root, root, ledger.consistency_proof(8, 8))


@pytest.fixture
def tampered(tmp_path: Path) -> Callable[[str], Verification]:
    """A whole run in SQLite, one statement run behind its back, and what verify says then."""

    def tamper(statement: str) -> Verification:
        with open_ledger_closed(tmp_path / "t.db") as ledger:
            whole_run(ledger)
        connection = sqlite3.connect(tmp_path / "t.db")
        assert connection.execute(statement).rowcount > 0
        connection.commit()
        connection.close()
        with open_ledger_closed(tmp_path / "t.db") as ledger:
            return verify(ledger)

    return tamper


class open_ledger_closed:  # noqa: N801 - reads as a function
    """A ledger for the length of a block."""

    def __init__(self, path: Path) -> None:
        self.ledger = open_ledger(f"sqlite:///{path}")

    def __enter__(self) -> DatabaseLedger:
        return self.ledger

    def __exit__(self, *_: object) -> None:
        self.ledger.close()


@pytest.mark.parametrize(
    "change",
    [
        "header = replace(CAST(header AS TEXT), 'inject.applied', 'inject.failed ')",
        "header = CAST(replace(CAST(header AS TEXT), 'inject.applied', 'inject.failedd') AS BLOB)",
        "header = CAST(replace(CAST(header AS TEXT), '12:00:00.123', '11:00:00.123') AS BLOB)",
        "header = x'00ff'",
        "leaf_hash = x'00'",
        "payload = CAST(replace(CAST(payload AS TEXT), '0.5', '0.9') AS BLOB)",
        "payload = x'ff'",
        "payload = 'text'",
        "salt = x'00'",
        "salt = NULL",
        "idem_key = 'other'",
        "run_id = 'other'",
        "kind = 'other'",
        "occurred_at = 'other'",
        "seq = 100",
    ],
)
def test_each_column_is_caught_when_it_is_changed(tampered: Callable[[str], Verification], change: str) -> None:
    found = tampered(f"UPDATE squall_record SET {change} WHERE seq = 3")
    assert not found.integrity.ok
    assert found.integrity.first[0].seq in (3, 4)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM squall_record WHERE seq = 3",
        "DELETE FROM squall_record WHERE seq = 7",
        "DELETE FROM squall_record WHERE seq = 0",
        "UPDATE squall_record SET seq = 'x' WHERE seq = 3",
        "UPDATE squall_head SET size = 7",
        "UPDATE squall_head SET size = 9",
        "UPDATE squall_head SET frontier = zeroblob(32)",
        "UPDATE squall_head SET frontier = 'garbage'",
        "DELETE FROM squall_node WHERE level = 1 AND idx = 0",
        "UPDATE squall_node SET hash = zeroblob(32) WHERE level = 2",
    ],
)
def test_missing_rows_and_changed_hashes_are_caught(tampered: Callable[[str], Verification], statement: str) -> None:
    assert not tampered(statement).integrity.ok


def test_an_erased_payload_leaves_integrity_whole(tampered: Callable[[str], Verification]) -> None:
    found = tampered("UPDATE squall_record SET payload = NULL, salt = NULL WHERE seq = 3")
    assert found.ok
    assert found.erased_payloads == 1


def test_a_handle_said_to_be_reverted_needs_its_record(ledger: DatabaseLedger) -> None:
    ledger.append(registered())
    ledger.acquire("run-1", [Lock(key="k", exclusive=True)], lease_s=300)
    ledger.arm(H, armed(H), lease_s=300)
    ledger.transition("h1", to=Phase.INJECTING, expect=[Phase.ARMED], epoch=1, record=act(H, RecordKind.INJECT_INTENT))
    found = verify(ledger)
    assert found.ok, found
    assert (found.open_handles, found.unfinished_runs) == (("h1",), ("run-1",))
    ledger.transition("h1", to=Phase.REVERTED, expect=[Phase.INJECTING], epoch=1, record=note("wrong", handle_id="h1"))
    found = verify(ledger)
    assert [offence.seq for offence in found.completeness.first] == [2]
    assert "neither verifiably reverted nor open" in found.completeness.first[0].what


def test_a_run_without_an_end_is_incomplete(ledger: DatabaseLedger) -> None:
    ledger.append(registered())
    assert [offence.seq for offence in verify(ledger).completeness.first] == [0]
    ledger.append(note("no", kind=RecordKind.RUN_REFUSED))
    assert verify(ledger).ok


DISORDER = {
    "armed before registered": ([armed(H), registered()], 0),
    "intent before armed": ([registered(), act(H, RecordKind.INJECT_INTENT)], 1),
    "applied before intent": ([registered(), armed(H), act(H, RecordKind.INJECT_APPLIED)], 2),
    "verified before revert intent": (
        [registered(), armed(H), act(H, RecordKind.INJECT_INTENT), act(H, RecordKind.REVERT_VERIFIED)],
        3,
    ),
    "verdict over an open fault": ([registered(), armed(H), act(H, RecordKind.INJECT_INTENT), verdict()], 3),
    "fault after the verdict": ([registered(), verdict(), armed(H)], 2),
    "another plan": ([registered(), note("x", plan_sha256="b" * 64)], 1),
    "verdict without a plan": ([verdict()], 0),
    "registered twice": ([registered(), note("again", kind=RecordKind.EXPERIMENT_REGISTERED)], 1),
}


@pytest.mark.parametrize(("records", "seq"), DISORDER.values(), ids=DISORDER.keys())
def test_each_disorder_is_named(tmp_path: Path, records: list[Record], seq: int) -> None:
    with open_ledger_closed(tmp_path / "d.db") as ledger:
        for record in records:
            ledger.append(record)
        found = verify(ledger)
    assert found.integrity.ok
    assert [offence.seq for offence in found.order.first][:1] == [seq]


def test_a_verdict_of_unreverted_may_come_first(ledger: DatabaseLedger) -> None:
    ends = [act(H, RecordKind.REVERT_INTENT), act(H, RecordKind.REVERT_VERIFIED)]
    for record in [
        *(registered(), armed(H), act(H, RecordKind.INJECT_INTENT)),
        *(verdict(outcome=Outcome.UNREVERTED), *ends),
    ]:
        ledger.append(record)
    assert verify(ledger).ok


def test_reading_stops_at_a_garbled_record_and_reads_garbled_handles_from_their_arming(tmp_path: Path) -> None:
    with open_ledger_closed(tmp_path / "g.db") as ledger:
        whole_run(ledger)
        armed = ledger.handles()
        connection = sqlite3.connect(tmp_path / "g.db")
        connection.execute("UPDATE squall_record SET header = 'garbage' WHERE seq = 2")
        connection.execute("UPDATE squall_handle SET body = 'garbage'")
        connection.commit()
        connection.close()
        with pytest.raises(LedgerError, match="record 2 of the ledger"):
            list(ledger.records())
        assert ledger.handles() == armed
