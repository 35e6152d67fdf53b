"""Incidents: opened when a stop condition trips or an undo fails, closed by a person once everything is out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from chaos_tasks.errors import GuardTripped, LedgerError
from chaos_tasks.model.consent import IncidentClosed, IncidentOpened
from chaos_tasks.model.handle import OPEN_PHASES
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Act, Note, RecordKind, Stored
from chaos_tasks.model.verdict import Reason
from chaos_tasks.ports import Clock, Ledger, LedgerReader
from chaos_tasks.runs import Run, RunWriter

CAUSES = (RecordKind.STOP_TRIGGERED, RecordKind.REVERT_FAILED)


@dataclass(frozen=True)
class Known:
    """One incident as the log has it."""

    run_id: str
    experiment: str
    at: datetime
    opened: IncidentOpened
    opened_seq: int
    closed: IncidentClosed | None = None


def cause_of(stored: Stored) -> tuple[str, str] | None:
    """By whom it was seen and what it was; None for a record that is no incident."""
    payload, kind = stored.record.payload, stored.record.kind
    if kind is RecordKind.REVERT_FAILED and isinstance(payload, Act):
        return payload.by or "revert", payload.error
    if kind is RecordKind.STOP_TRIGGERED and isinstance(payload, Note):
        by = str(payload.facts.get("by") or "")
        if by == "stop condition" or payload.facts.get("reason") == Reason.STOP_CONDITION.value:
            return "stop condition", payload.text
    return None


def open_those_of(run_id: str, ledger: Ledger, clock: Clock, recorder: Recorder) -> list[Stored]:
    """One incident for each cause in a run's records, once; to be called again after every step that may bring one.

    A sweep tries again and again what it could not undo: that is one incident, not one for each try.
    """
    run = Run(ledger, run_id)
    causes = [(one, found) for one in _first_of_each(run) if (found := cause_of(one)) is not None]
    if not causes:
        return []
    known = {_cause_seq(one) for one in run.stored(RecordKind.INCIDENT_OPENED)}
    plan = run.registered()
    writer = RunWriter(ledger, clock, recorder, run_id) if plan is None else RunWriter.of(plan, ledger, clock, recorder)
    opened = []
    for stored, (by, what) in causes:
        if stored.seq not in known:
            incident = IncidentOpened(
                incident_id=f"INC-{stored.seq}", detected_by=by[:60], what=what[:1000], cause_seq=stored.seq
            )
            opened.append(writer.write(RecordKind.INCIDENT_OPENED, incident, key=str(stored.seq)))
    return opened


def _first_of_each(run: Run) -> Iterator[Stored]:
    """Causes, but of failures to undo one handle only the first until it is undone."""
    stuck: set[str] = set()
    for stored in run.stored(*CAUSES, RecordKind.REVERT_VERIFIED):
        kind, handle = stored.record.kind, stored.record.handle_id
        if kind is RecordKind.REVERT_VERIFIED:
            stuck.discard(handle)
        elif kind is not RecordKind.REVERT_FAILED or handle not in stuck:
            stuck |= {handle} if kind is RecordKind.REVERT_FAILED else set()
            yield stored


def known(ledger: LedgerReader) -> list[Known]:
    """All incidents, oldest first."""
    found: dict[str, Known] = {}
    for stored in ledger.records(kinds=(RecordKind.INCIDENT_OPENED, RecordKind.INCIDENT_CLOSED)):
        record, payload = stored.record, stored.record.payload
        if isinstance(payload, IncidentOpened):
            found[payload.incident_id] = Known(
                record.run_id, record.experiment, record.occurred_at, payload, stored.seq
            )
        elif isinstance(payload, IncidentClosed) and payload.incident_id in found:
            one = found[payload.incident_id]
            found[payload.incident_id] = Known(
                one.run_id, one.experiment, one.at, one.opened, one.opened_seq, closed=payload
            )
    return list(found.values())


def close(incident_id: str, ledger: Ledger, clock: Clock, recorder: Recorder, *, by: str, note: str) -> Stored:
    """Close one; raises LedgerError for an unknown one, GuardTripped while something is in or it is closed already."""
    one = next((each for each in known(ledger) if each.opened.incident_id == incident_id), None)
    if one is None:
        raise LedgerError(f"there is no incident {incident_id}", remedy="`squall incidents list` shows them")
    if one.closed is not None:
        raise GuardTripped(f"{incident_id} is closed already", remedy="`squall incidents list --all` shows by whom")
    still = ledger.handles(run_id=one.run_id, phases=OPEN_PHASES)
    if still:
        raise GuardTripped(
            f"{incident_id} is not contained: {still[0].handle.id} is {still[0].phase.value}",
            remedy=f"squall revert {still[0].handle.id}",
        )
    run = Run(ledger, one.run_id)
    plan = run.registered()
    writer = (
        RunWriter(ledger, clock, recorder, one.run_id) if plan is None else RunWriter.of(plan, ledger, clock, recorder)
    )
    closed = IncidentClosed(
        incident_id=incident_id,
        by=by,
        note=note,
        contained_at=max([one.at, *_reverts(run)]),
        opened_seq=one.opened_seq,
    )
    return writer.write(RecordKind.INCIDENT_CLOSED, closed, key=str(one.opened.cause_seq))


def _reverts(run: Run) -> Iterator[datetime]:
    return (one.record.occurred_at for one in run.stored(RecordKind.REVERT_VERIFIED))


def _cause_seq(stored: Stored) -> int:
    opened = stored.record.payload
    return opened.cause_seq if isinstance(opened, IncidentOpened) else -1
