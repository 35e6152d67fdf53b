"""What the log says about a run besides its trials: receipts, stops, and whether it was healthy again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import Receipt
from chaos_tasks.model.record import Act, Armed, Note, RecordKind, Recovery, Stored
from chaos_tasks.model.verdict import Reason

STOPPING_ERRORS = frozenset({"GuardTripped", "NotPermitted", "TargetBusy", "Fenced"})
"""Errors by which Squall stops on purpose; any other that ends a run early is a failure of ours."""


class Stop(Value):
    """Why a run ended early."""

    reason: Reason
    text: str = ""


class Injection(Value):
    """One handle's way through the log."""

    handle_id: str
    step: str
    kind: str = ""
    injected: Receipt | None = None
    reverted: Receipt | None = None
    injected_at: datetime | None = None
    reverted_at: datetime | None = None
    error: str = ""


class RunFacts(Value):
    """What judging needs beyond trials and observations."""

    stops: tuple[Stop, ...] = ()  # on purpose: a guard, a person, a stop condition
    failures: tuple[Stop, ...] = ()  # not on purpose
    injections: tuple[Injection, ...] = ()
    recovery: Recovery | None = None

    @property
    def injected_at(self) -> datetime | None:
        """When the first fault was in."""
        return min((item.injected_at for item in self.injections if item.injected_at), default=None)

    @property
    def reverted_at(self) -> datetime | None:
        """When the last fault was out."""
        return max((item.reverted_at for item in self.injections if item.reverted_at), default=None)


def facts_of(records: Iterable[Stored]) -> RunFacts:
    """The facts in the records of one run."""
    injections: dict[str, Injection] = {}
    stops: list[Stop] = []
    failures: list[Stop] = []
    recovery: Recovery | None = None
    for stored in records:
        payload = stored.record.payload
        if isinstance(payload, Armed):
            handle = payload.handle
            injections[handle.id] = Injection(handle_id=handle.id, step=handle.step, kind=handle.kind)
        elif isinstance(payload, Act):
            injections[payload.handle_id] = _after(_known(injections, payload.handle_id), stored, payload)
        elif isinstance(payload, Recovery):
            recovery = payload
        elif isinstance(payload, Note) and stored.record.kind is RecordKind.STOP_TRIGGERED:
            stop, on_purpose = _stop(payload)
            (stops if on_purpose else failures).append(stop)
    return RunFacts(
        stops=tuple(stops), failures=tuple(failures), injections=tuple(injections.values()), recovery=recovery
    )


def _known(injections: Mapping[str, Injection], handle_id: str) -> Injection:
    """A firing's handle is `<parent>/<n>` and belongs to its parent's step."""
    if handle_id in injections:
        return injections[handle_id]
    parent = injections.get(handle_id.rpartition("/")[0])
    return Injection(handle_id=handle_id, step=parent.step if parent else handle_id, kind=parent.kind if parent else "")


def _after(injection: Injection, stored: Stored, act: Act) -> Injection:
    at = act.receipt.at if act.receipt else stored.record.occurred_at
    match stored.record.kind:
        case RecordKind.INJECT_APPLIED:
            return injection.model_copy(update={"injected": act.receipt, "injected_at": at, "error": ""})
        case RecordKind.INJECT_FAILED:
            return injection.model_copy(update={"error": act.error})
        case RecordKind.REVERT_VERIFIED:
            return injection.model_copy(update={"reverted": act.receipt, "reverted_at": at})
    return injection


def _stop(note: Note) -> tuple[Stop, bool]:
    """A stop and whether it was on purpose; `reason` is the writer's own word, the rest is told by who and what."""
    given = note.facts.get("reason")
    if isinstance(given, str) and given in set(Reason):
        reason = Reason(given)
        return Stop(reason=reason, text=note.text), reason not in (Reason.INTERNAL_ERROR, Reason.NO_RECEIPT)
    if note.facts.get("by") == "person":
        return Stop(reason=Reason.STOPPED_BY_PERSON, text=note.text), True
    error = note.facts.get("error", "")
    if error == "InjectError":
        return Stop(reason=Reason.NO_RECEIPT, text=note.text), False
    if error and error not in STOPPING_ERRORS:
        return Stop(reason=Reason.INTERNAL_ERROR, text=note.text), False
    return Stop(reason=Reason.GUARD_TRIPPED if error else Reason.STOP_CONDITION, text=note.text), True
