"""The order of records within runs, and what is missing: registered, armed, intent, applied, reverted, verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from chaos_tasks.ledger.database_ledger import DatabaseLedger
from chaos_tasks.model.consent import Consent, PermitConsumed, PermitIssued
from chaos_tasks.model.handle import CLOSED_PHASES, Phase
from chaos_tasks.model.record import RecordKind, Registered, Stored
from chaos_tasks.model.verdict import Outcome


@dataclass(frozen=True)
class Snapshot:
    """What the tables of handles and locks said before the log was read."""

    size: int
    phases: Mapping[str, Phase]
    locked_runs: frozenset[str]

    @classmethod
    def take(cls, ledger: DatabaseLedger) -> Snapshot:
        """Size first: a handle armed at or after it may be missing from the table."""
        size = ledger.size()
        phases = ledger.phases()
        return cls(size=size, phases=phases, locked_runs=ledger.locked_runs())

    @property
    def open_handles(self) -> tuple[str, ...]:
        """Handles that are not reverted."""
        return tuple(sorted(name for name, phase in self.phases.items() if phase not in CLOSED_PHASES))


@dataclass
class _HandleStory:
    armed: int
    intent: int | None = None
    revert_intent: bool = False
    abandoned: bool = False  # a person answers for it: it is owed to nobody any more, and was never put back
    owed: int | None = None  # the inject intent that no verified revert has answered yet


@dataclass
class _RunStory:
    registered: int | None = None
    plan_sha256: str = ""
    ended: int | None = None
    refused: bool = False  # and may be tried again: a later try that takes the locks goes on with the run
    search: bool = False
    consent: Consent = Consent.NONE
    asked: bool = False
    permits: set[str] = field(default_factory=set)
    permitted: bool = False
    handles: dict[str, _HandleStory] = field(default_factory=dict)


class Story:
    """Follows every run through the log, in log order."""

    def __init__(self) -> None:
        self.offences: list[tuple[int | None, str]] = []
        self._runs: dict[str, _RunStory] = {}
        self._rules: dict[RecordKind, Callable[[_RunStory, Stored], str | None]] = {
            RecordKind.EXPERIMENT_REGISTERED: _registered,
            RecordKind.RUN_REFUSED: _refused,
            RecordKind.LOCKS_TAKEN: _locks_taken,
            RecordKind.FAULT_ARMED: _armed,
            RecordKind.INJECT_INTENT: _inject_intent,
            RecordKind.INJECT_APPLIED: _inject_applied,
            RecordKind.REVERT_INTENT: _revert_intent,
            RecordKind.REVERT_VERIFIED: _revert_verified,
            RecordKind.HANDLE_ABANDONED: _abandoned,
            RecordKind.EVALUATE_VERDICT: _verdict,
            RecordKind.APPROVAL_REQUESTED: _approval_requested,
            RecordKind.PERMIT_ISSUED: _permit_issued,
            RecordKind.PERMIT_CONSUMED: _permit_consumed,
            RecordKind.SEARCH_STARTED: _search_started,
            RecordKind.SEARCH_ENDED: _search_ended,
        }

    def add(self, stored: Stored) -> None:
        """The next readable record."""
        record = stored.record
        run = self._runs.setdefault(record.run_id, _RunStory())
        if run.plan_sha256 and record.plan_sha256 and record.plan_sha256 != run.plan_sha256:
            self.offences.append(
                (stored.seq, f"{record.kind} of run {record.run_id} names another plan than was registered")
            )
        rule = self._rules.get(record.kind)
        wrong = rule(run, stored) if rule else None
        if wrong:
            about = f" of handle {record.handle_id}" if record.handle_id else ""
            self.offences.append((stored.seq, f"{record.kind}{about} in run {record.run_id} {wrong}"))

    def unfinished(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Registered runs without a verdict that are still under way."""
        return tuple(name for name, run in self._without_end() if _is_under_way(name, run, snapshot))

    def gaps(self, snapshot: Snapshot) -> Iterator[tuple[int | None, str]]:
        """What should be in the log or the table of handles, and is not."""
        for name, run in self._without_end():
            if not _is_under_way(name, run, snapshot):
                yield run.registered, f"run {name} was registered, but has neither a verdict nor a refusal"
        for run in self._runs.values():
            for handle_id, handle in run.handles.items():
                answered = handle.owed is None or handle.abandoned
                if not answered and not _is_open(handle_id, handle, snapshot):
                    yield handle.owed, f"handle {handle_id} was injected, but is neither verifiably reverted nor open"

    def _without_end(self) -> Iterator[tuple[str, _RunStory]]:
        return ((name, run) for name, run in self._runs.items() if run.registered is not None and run.ended is None)


def _is_under_way(name: str, run: _RunStory, snapshot: Snapshot) -> bool:
    # A search holds no locks between its runs, each of which is held to this by itself.
    # Neither does one that waits for its approval.
    waits = run.asked and not run.handles
    return run.search or waits or name in snapshot.locked_runs or (run.registered or 0) >= snapshot.size


def _is_open(handle_id: str, handle: _HandleStory, snapshot: Snapshot) -> bool:
    phase = snapshot.phases.get(handle_id)
    if phase is None or phase in CLOSED_PHASES:
        return handle.armed >= snapshot.size  # armed (anew) only after the table was read
    return True


def _registered(run: _RunStory, stored: Stored) -> str | None:
    if run.registered is not None:
        return f"comes again: it was registered at {run.registered}"
    early = "comes after a fault of it was armed" if run.handles else None
    run.registered, run.plan_sha256 = stored.seq, stored.record.plan_sha256
    if isinstance(stored.record.payload, Registered):
        run.consent = stored.record.payload.consent
    return early


def _approval_requested(run: _RunStory, stored: Stored) -> str | None:
    run.asked = True
    return "comes before its plan was registered" if run.registered is None else None


def _permit_issued(run: _RunStory, stored: Stored) -> str | None:
    permit = stored.record.payload
    if isinstance(permit, PermitIssued):
        run.permits.add(permit.nonce)
    return "comes before its plan was registered" if run.registered is None else None


def _permit_consumed(run: _RunStory, stored: Stored) -> str | None:
    use = stored.record.payload
    if isinstance(use, PermitConsumed) and use.nonce not in run.permits:
        return "comes without a permit of that nonce before it"
    run.permitted = True
    return None


def _refused(run: _RunStory, stored: Stored) -> str | None:
    run.ended, run.refused = stored.seq, run.ended is None or run.refused
    return None


def _locks_taken(run: _RunStory, stored: Stored) -> str | None:
    if run.refused:
        run.ended, run.refused = None, False
    return _late(run)


def _search_started(run: _RunStory, stored: Stored) -> str | None:
    run.search = True
    return _registered(run, stored)


def _search_ended(run: _RunStory, stored: Stored) -> str | None:
    run.ended = stored.seq
    return None if run.search else "comes before it was started"


def _armed(run: _RunStory, stored: Stored) -> str | None:
    run.handles[stored.record.handle_id] = _HandleStory(armed=stored.seq)
    return _late(run) or ("comes before its plan was registered" if run.registered is None else None)


def _inject_intent(run: _RunStory, stored: Stored) -> str | None:
    handle = run.handles.get(stored.record.handle_id)
    if handle is None:
        run.handles[stored.record.handle_id] = _HandleStory(armed=stored.seq, intent=stored.seq, owed=stored.seq)
        return "comes before it was armed"
    handle.intent, handle.owed = stored.seq, stored.seq
    if run.consent is not Consent.NONE and not run.permitted:
        return "comes without a permit, which the run needs"
    return _late(run)


def _inject_applied(run: _RunStory, stored: Stored) -> str | None:
    handle = run.handles.setdefault(stored.record.handle_id, _HandleStory(armed=stored.seq))
    if handle.intent is None:
        handle.owed = stored.seq
        return "comes without an intent before it"
    return _late(run)


def _revert_intent(run: _RunStory, stored: Stored) -> str | None:
    handle = run.handles.get(stored.record.handle_id)
    if handle is None:
        return "comes before it was armed"
    handle.revert_intent = True
    return None


def _revert_verified(run: _RunStory, stored: Stored) -> str | None:
    handle = run.handles.get(stored.record.handle_id)
    if handle is None:
        return "comes before it was armed"
    announced, handle.revert_intent, handle.intent, handle.owed = handle.revert_intent, False, None, None
    if not announced:
        return "comes without an intent before it"
    return None  # after the verdict too: the verdict itself had to say that this was still owed


def _abandoned(run: _RunStory, stored: Stored) -> str | None:
    handle = run.handles.get(stored.record.handle_id)
    if handle is None:
        return "comes before it was armed"
    handle.abandoned = True
    return None


def _verdict(run: _RunStory, stored: Stored) -> str | None:
    run.ended, run.refused = stored.seq, False
    if run.registered is None:
        return "comes before its plan was registered"
    owed = sorted(name for name, handle in run.handles.items() if handle.owed is not None)
    if owed and stored.record.outcome is not Outcome.UNREVERTED:
        return f"comes while {', '.join(owed)} is not verifiably reverted, and does not say so"
    return None


def _late(run: _RunStory) -> str | None:
    return f"comes after the run ended at {run.ended}" if run.ended is not None else None
