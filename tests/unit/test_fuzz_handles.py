"""Damaged rows of the table of handles: no traceback, no act on what was misread, and no other handle hidden."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_tasks import registry
from chaos_tasks.errors import SquallError
from chaos_tasks.ledger import DatabaseLedger, open_ledger
from chaos_tasks.ledger.handles import UNREADABLE
from chaos_tasks.model.handle import OPEN_PHASES, Phase
from chaos_tasks.model.record import RecordKind
from tests.ledger_samples import act, armed, handle

BAD, GOOD = handle("run-1/bad"), handle("run-2/good", run_id="run-2", principal="other")
BODY = BAD.canonical()
BOMBS = (b"[" * 50_000, b'{"id": NaN}', b'{"id": 1e999}', b'{"id":"run-1/bad","id":"x"}', b"\xff\xfe", b"", b"null")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The body with bits flipped, cut short, with a piece doubled, or replaced by something nasty."""
    how = draw(st.sampled_from(["flip", "cut", "double", "bomb", "other"]))
    at = draw(st.integers(0, len(BODY) - 1))
    if how == "flip":
        return BODY[:at] + bytes([BODY[at] ^ (1 << draw(st.integers(0, 7)))]) + BODY[at + 1 :]
    if how == "cut":
        return BODY[:at]
    if how == "double":
        return BODY[:at] + BODY[at // 2 :]
    return draw(st.sampled_from(BOMBS)) if how == "bomb" else draw(st.binary(max_size=80))


def spoil(path: Path, column: str, value: object) -> None:
    """What a bad disk or a careless person may write."""
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE squall_handle SET {column} = ? WHERE id = ?", (value, BAD.id))
    connection.close()


def two_injecting(path: Path) -> DatabaseLedger:
    """Both leases are over."""
    ledger = open_ledger(f"sqlite:///{path}")
    ledger._database.read("PRAGMA synchronous = OFF")  # no power is cut here
    for one in (BAD, GOOD):
        ledger.arm(one, armed(one), lease_s=0)
        intent = act(one, RecordKind.INJECT_INTENT)
        ledger.transition(one.id, to=Phase.INJECTING, expect=[Phase.ARMED], epoch=1, record=intent)
    return ledger


@settings(max_examples=60)
@given(body=damaged())
def test_a_damaged_body_hides_no_handle_and_is_read_from_the_log(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "l.db"
        ledger = two_injecting(path)
        spoil(path, "body", body)
        found = {state.handle.id: state for state in ledger.handles(phases=OPEN_PHASES, expired=True)}
        assert set(found) == {BAD.id, GOOD.id}
        assert (found[BAD.id].handle, found[GOOD.id].handle) == (BAD, GOOD)
        assert ledger.take_over(BAD.id, lease_s=60).handle.place == BAD.place
        ledger.close()


@pytest.mark.parametrize("column", ["phase", "lease_until", "changed_at"])
@pytest.mark.parametrize("value", ["", "nonsense", -1, 10**18, 0.5, None, b"\xff"])
def test_a_garbled_column_leaves_the_handle_open_for_the_sweep(tmp_path: Path, column: str, value: object) -> None:
    ledger = two_injecting(tmp_path / "l.db")
    try:
        spoil(tmp_path / "l.db", column, value)
    except sqlite3.IntegrityError:
        pytest.skip("the table itself refuses that")
    states = {state.handle.id: state for state in ledger.handles(phases=OPEN_PHASES)}
    assert states[BAD.id].handle == BAD
    assert states[BAD.id].phase is (Phase.UNREVERTED if column == "phase" else Phase.INJECTING)
    assert states[GOOD.id].handle == GOOD
    ledger.close()


def test_what_neither_row_nor_log_can_tell_stays_open_and_cannot_be_acted_on(tmp_path: Path) -> None:
    ledger = two_injecting(tmp_path / "l.db")
    spoil(tmp_path / "l.db", "body", b"gone")
    spoil(tmp_path / "l.db", "armed_seq", 99)
    states = {state.handle.id: state for state in ledger.handles(phases=OPEN_PHASES, expired=True)}
    assert states[BAD.id].handle.kind == UNREADABLE
    assert states[BAD.id].phase is Phase.UNREVERTED
    assert states[GOOD.id].handle == GOOD
    with pytest.raises(SquallError) as no_fault:
        registry.fault(states[BAD.id].handle.kind)
    assert no_fault.value.remedy
    with pytest.raises(SquallError, match="cannot be read") as refused:
        ledger.take_over(BAD.id, lease_s=60)
    assert refused.value.remedy
    ledger.close()
