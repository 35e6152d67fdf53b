"""Headers and payloads: exact bytes out, the same record back, and garbage named instead of raised through."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_tasks.errors import LedgerError
from chaos_tasks.ledger import header
from chaos_tasks.ledger.header import Entry
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Note, RecordKind, Subject, TrialEnd
from chaos_tasks.model.trial import Arm, Observation, Trial, TrialStatus
from tests.ledger_samples import NOON, act, armed, handle, note


def test_a_record_comes_back_as_it_was_given() -> None:
    for record in (note("k"), armed(handle()), act(handle(), RecordKind.INJECT_APPLIED)):
        stored = header.decode(3, header.encode(record))
        assert (stored.seq, stored.record, stored.erased) == (3, record, False)


def test_the_header_holds_no_fraction_and_no_payload_text() -> None:
    entry = header.encode(note("k", text="only in the payload"))
    assert b"only in the payload" not in entry.header
    assert not any(isinstance(item, float) for item in _leaves(json.loads(entry.header)))


TEXT = st.text(max_size=20)
NUMBER = st.integers(-(2**53) + 1, 2**53 - 1)


@settings(deadline=None)
@given(st.lists(TEXT, min_size=9, max_size=9), NUMBER, NUMBER)
def test_headers_are_rfc_8785_whatever_their_texts(texts: list[str], first: int, second: int) -> None:
    key, run, experiment, kind, handle_id, plan, environment, name, host = texts
    record = note("k" + key, run_id="r" + run).model_copy(
        update={
            "experiment": experiment,
            "fault_kind": kind,
            "handle_id": handle_id,
            "plan_sha256": plan,
            "environment": environment,
            "subjects": (Subject(name=name, sha256=key), Subject(name=host)),
            "recorder": Recorder(host=host, dag_id=name, map_index=first, try_number=second),
        }
    )
    raw = header.encode(record).header
    assert raw == rfc8785.dumps(json.loads(raw))
    assert header.decode(3, Entry(header=raw)).record.recorder == record.recorder


def test_a_number_without_an_exact_form_is_refused_in_a_header_too() -> None:
    with pytest.raises(LedgerError, match="no exact JSON form"):
        header.encode(note("k").model_copy(update={"recorder": Recorder(map_index=2**53)}))


def test_nan_metrics_survive() -> None:
    trial = Trial(
        id="t", run_id="r", arm=Arm.TREATMENT, seed=1, status=TrialStatus.COMPLETED,
        started_at=NOON, ended_at=NOON, wall_s=1.5, metrics={"auc": math.nan, "loss": math.inf, "low": -math.inf},
    )  # fmt: skip
    seen = Observation(check="auc", trial_id="t", arm=Arm.TREATMENT, seed=1, value=math.nan)
    record = note("k").model_copy(update={"payload": TrialEnd(trial=trial, observations=(seen,))})
    payload = header.decode(0, header.encode(record)).record.payload
    assert isinstance(payload, TrialEnd)
    assert math.isnan(payload.trial.metrics["auc"])
    assert (payload.trial.metrics["loss"], payload.trial.metrics["low"]) == (math.inf, -math.inf)


def test_times_are_utc_to_the_millisecond() -> None:
    local = datetime(2026, 11, 23, 13, 30, 0, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert header.format_time(local) == "2026-11-23T12:30:00.999Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(LedgerError, match="no time zone"):
        header.encode(note("k", occurred_at=datetime(2026, 11, 23)))  # noqa: DTZ001  the naive time is the case


def test_a_header_of_four_kilobytes_is_refused_with_the_way_out() -> None:
    subjects = tuple(Subject(name="s" * 50, sha256="0" * 64) for _ in range(40))
    with pytest.raises(LedgerError, match="fewer subjects"):
        header.encode(note("k", subjects=subjects))


def test_a_huge_payload_is_refused() -> None:
    with pytest.raises(LedgerError, match="payload"):
        header.encode(note("k", text="x" * (header.MAX_PAYLOAD_BYTES + 1)))


@pytest.mark.parametrize("fact", [2**53, "\ud800"], ids=["integer beyond 2**53", "lone surrogate"])
def test_what_json_cannot_say_exactly_is_refused(fact: int | str) -> None:
    record = note("k").model_copy(update={"payload": Note(text="", facts={"x": fact})})
    with pytest.raises(LedgerError, match="no exact JSON form"):
        header.encode(record)


@pytest.mark.parametrize("bad", ["", "run"])
def test_a_record_without_key_or_run_is_refused(bad: str) -> None:
    with pytest.raises(LedgerError, match="needs"):
        header.encode(note("k" if bad else "", run_id="" if bad else "run-1"))


def test_an_erased_payload_leaves_a_readable_record() -> None:
    entry = header.encode(note("k"))
    stored = header.decode(0, Entry(header=entry.header))
    assert stored.erased
    assert stored.record.payload is None


def test_the_same_payload_twice_has_two_commitments() -> None:
    first, second = header.encode(note("k")), header.encode(note("k"))
    assert first.payload == second.payload
    assert first.header != second.header


def test_another_try_at_another_time_says_the_same() -> None:
    entry = header.encode(note("k"))
    later = note("k", occurred_at=NOON + timedelta(minutes=5), recorder={"try_number": 2, "host": "b"})
    assert header.same_content(later, entry, 0)
    assert not header.same_content(note("k", text="published twice"), entry, 0)
    assert not header.same_content(note("k", experiment="other"), entry, 0)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_as_a_header_are_a_clear_error(raw: bytes) -> None:
    with pytest.raises(LedgerError, match="record 7 of the ledger cannot be read"):
        header.decode(7, Entry(header=raw))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_as_a_payload_are_a_clear_error(raw: bytes) -> None:
    with pytest.raises(LedgerError, match="record 7 of the ledger cannot be read"):
        header.decode(7, header.encode(note("k")).model_copy(update={"payload": raw}))


@settings(deadline=None)
@given(st.data())
def test_a_flipped_bit_in_a_header_never_goes_through_as_a_traceback(data: st.DataObject) -> None:
    raw = bytearray(header.encode(note("k")).header)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(LedgerError):
        header.decode(7, Entry(header=bytes(raw)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"v":1', b'"v":2'),
        (b'"kind":"run.published"', b'"kind":"run.unheard_of"'),
        (b'"v":1', b'"v":1,"z":1'),
        (b'{"env_tier"', b'{ "env_tier"'),
        (b"2026-11-23T12", b"2026-13-23T12"),
    ],
    ids=["newer version", "unknown kind", "unknown field", "not canonical", "no such month"],
)
def test_a_header_that_is_not_ours_is_named(old: bytes, new: bytes) -> None:
    raw = header.encode(note("k")).header
    assert old in raw
    with pytest.raises(LedgerError, match="record 9"):
        header.decode(9, Entry(header=raw.replace(old, new)))


def test_importing_the_ledger_loads_no_driver() -> None:
    code = "import sys, chaos_tasks.ledger; print(sorted({'psycopg', 'sqlite3', 'sqlalchemy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]
