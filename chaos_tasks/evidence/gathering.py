"""Reads the body of a document from ledger records alone: same records, same period, same body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from chaos_tasks import registry
from chaos_tasks.approving.incidents import cause_of
from chaos_tasks.errors import UnknownKind
from chaos_tasks.evidence.body import (
    Allowed,
    Body,
    Incident,
    Injected,
    LogHead,
    Scope,
    Tested,
    Unfinished,
)
from chaos_tasks.evidence.controls import ControlTable
from chaos_tasks.evidence.findings import DEFAULT_POLICY, FindingPolicy, findings_of
from chaos_tasks.judging.dossier import Dossier, read_dossiers
from chaos_tasks.judging.facts import Injection
from chaos_tasks.model.consent import (
    ApprovalDecided,
    Consent,
    Decision,
    IncidentClosed,
    IncidentOpened,
    PermitConsumed,
    PermitIssued,
)
from chaos_tasks.model.handle import Fingerprint, Reversibility
from chaos_tasks.model.permit import ANSWERS
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.record import Act, Armed, Note, RecordKind, Stored

NOT_RUN, REFUSED, NOT_JUDGED = "not run", "refused", "not judged"


def gather(
    records: Iterable[Stored],
    scope: Scope,
    *,
    title: str,
    issued_at: datetime,
    log: LogHead,
    table: ControlTable,
    squall_version: str,
    registered: Sequence[str],
    policy: FindingPolicy = DEFAULT_POLICY,
) -> Body:
    """The body.  ``records`` should reach back a while before the period: findings have an age and a history.

    ``registered`` are the kinds of fault that exist; ``issued_at`` is when the document is made.
    """
    stretch = list(records)
    everything = read_dossiers(stretch)
    plans = _plans(everything)
    dossiers = [one for one in everything if _is_of(plans.get(one.run_id), scope)]
    answers = {one.seq: one for one in stretch if one.record.kind is RecordKind.APPROVAL_DECIDED}
    history = [tested for one in dossiers if (tested := _tested(one, plans, answers, table, scope)) is not None]
    ours = tuple(one for one in history if scope.since <= one.started_at < scope.until)
    exercised = {fault.kind for one in ours for fault in one.faults if fault.injected_at is not None}
    return Body(
        title=title,
        scope=scope,
        issued_at=issued_at,
        tested=ours,
        unfinished=(*_unfinished(dossiers, scope), *_never_run(stretch, dossiers, scope)),
        findings=findings_of([one for one in history if one.started_at < scope.until], scope, policy),
        incidents=tuple(incident for one in dossiers for incident in _incidents(one, scope)),
        exercised=tuple(sorted(exercised & set(registered))),
        not_exercised=tuple(sorted(set(registered) - exercised)),
        log=log,
        controls_reviewed=table.reviewed,
        squall_version=squall_version,
    )


def _plans(dossiers: Sequence[Dossier]) -> Mapping[str, Plan]:
    """The plan of each run; of a search, that of its first run."""
    found: dict[str, Plan] = {}
    for one in dossiers:
        if one.plan is not None:
            found[one.run_id] = one.plan
            if one.search_id:
                found.setdefault(one.search_id, one.plan)
    return found


def _is_of(plan: Plan | None, scope: Scope) -> bool:
    """A run that was refused before it had a plan belongs to every scope that does not name targets or owners."""
    if plan is None:
        return not scope.targets and not scope.owners
    fits_target = not scope.targets or plan.target.name in scope.targets
    return fits_target and (not scope.owners or plan.experiment.owner in scope.owners)


def _tested(
    dossier: Dossier, plans: Mapping[str, Plan], answers: Mapping[int, Stored], table: ControlTable, scope: Scope
) -> Tested | None:
    """A run that has its plan and its verdict; a search that has its answer."""
    plan, verdict = plans.get(dossier.run_id), dossier.verdict
    registered = _first(dossier, RecordKind.EXPERIMENT_REGISTERED) or _first(dossier, RecordKind.SEARCH_STARTED)
    judged = _first(dossier, RecordKind.EVALUATE_VERDICT)
    if plan is None or verdict is None or registered is None or judged is None:
        return None
    experiment = plan.experiment
    kinds = tuple(dict.fromkeys(step.fault for step in experiment.method))
    probes = tuple(dict.fromkeys(check.probe for check in experiment.steady_state))
    references = table.of_run(kinds, probes)
    return Tested(
        run_id=dossier.run_id,
        part_of=dossier.search_id,
        experiment=dossier.experiment,
        hypothesis=" ".join(experiment.hypothesis.split()),
        owner=experiment.owner,
        target=plan.target.name,
        environment=plan.environment,
        tags=experiment.tags,
        fault_kinds=kinds,
        probes=probes,
        requested_by=plan.requested_by,
        planned_at=plan.planned_at,
        started_at=dossier.started_at,
        ended_at=dossier.records[-1].record.occurred_at,
        outcome=verdict.outcome,
        response=verdict.response,
        sentence=verdict.sentence,
        checks=verdict.checks,
        known_finding=verdict.known_finding,
        noticed_by=verdict.noticed_by,
        detect_s=verdict.detect_s,
        recover_s=verdict.recover_s,
        trials=verdict.trials,
        faults=_faults(dossier),
        allowed=_allowed(dossier.records, answers),
        recorder=registered.record.recorder,
        source_commit=plan.source_commit,
        data_digest=plan.data_digest,
        plan_sha256=dossier.plan_sha256 or plan.content_sha256,
        registered_seq=registered.seq,
        verdict_seq=judged.seq,
        first_seq=dossier.seq_range[0],
        last_seq=dossier.seq_range[1],
        controls=tuple(one for one in references if scope.framework in ("", one.framework)),
    )


def _first(dossier: Dossier, kind: RecordKind) -> Stored | None:
    return next((one for one in dossier.records if one.record.kind is kind), None)


def _faults(dossier: Dossier) -> tuple[Injected, ...]:
    """Each handle of a run, with the digests of its place before the fault and after the undo."""
    before: dict[str, Fingerprint] = {}
    after: dict[str, Fingerprint] = {}
    for stored in dossier.records:
        payload = stored.record.payload
        if isinstance(payload, Armed):
            before[payload.handle.id] = payload.before
        elif isinstance(payload, Act) and payload.after and stored.record.kind is RecordKind.REVERT_VERIFIED:
            after[payload.handle_id] = payload.after
    return tuple(_fault(one, before, after) for one in dossier.facts.injections)


def _fault(item: Injection, before: Mapping[str, Fingerprint], after: Mapping[str, Fingerprint]) -> Injected:
    return Injected(
        handle_id=item.handle_id,
        step=item.step,
        kind=item.kind,
        reversibility=_reversibility(item.kind),
        injected_at=item.injected_at,
        effect=item.injected.summary if item.injected else "",
        reverted_at=item.reverted_at,
        undo=item.reverted.summary if item.reverted else "",
        fingerprint_before=before[item.handle_id].digest if item.handle_id in before else "",
        fingerprint_after=after[item.handle_id].digest if item.handle_id in after else "",
        detail=item.error,
    )


def _reversibility(kind: str) -> Reversibility:
    """Of a kind that is not installed any more, the strictest: its undo counts as proved by fingerprints only."""
    try:
        return registry.fault(kind).reversibility
    except UnknownKind:
        return Reversibility.RESTORES


def _allowed(records: Sequence[Stored], answers: Mapping[int, Stored]) -> Allowed:
    """By the permit that the ledger used up with the first fault, and the approval that it names."""
    for stored in records:
        use = stored.record.payload
        if isinstance(use, PermitConsumed):
            answer = answers.get(use.approval_seq)
            said = answer.record.payload if answer is not None else None
            decided = said if isinstance(said, ApprovalDecided) else None
            standing = _rests_on(records, use.nonce) is Consent.STANDING
            return Allowed(
                kind="standing" if standing else "person",
                seq=use.approval_seq,
                by=decided.by if decided else "",
                at=decided.decided_at if decided else None,
                permit_seq=use.permit_seq,
            )
    last = _last_answer(records)
    if last is not None and last[1].decision is Decision.APPROVE:  # agreed to, and ended before its first fault
        return Allowed(kind="person", seq=last[0], by=last[1].by, at=last[1].decided_at)
    needed = any(one.record.kind is RecordKind.APPROVAL_REQUESTED for one in records)
    return Allowed(kind="withheld" if needed else "none")


def _last_answer(records: Sequence[Stored]) -> tuple[int, ApprovalDecided] | None:
    found = None
    for stored in records:
        answer = stored.record.payload
        if isinstance(answer, ApprovalDecided) and answer.decision in ANSWERS:
            found = (stored.seq, answer)
    return found


def _rests_on(records: Sequence[Stored], nonce: str) -> Consent | None:
    permits = (one.record.payload for one in records)
    return next((one.consent for one in permits if isinstance(one, PermitIssued) and one.nonce == nonce), None)


def _unfinished(dossiers: Sequence[Dossier], scope: Scope) -> list[Unfinished]:
    """Runs of the period that were refused, or never came to a verdict."""
    found = []
    for one in dossiers:
        if one.verdict is not None or one.search is not None or not scope.since <= one.started_at < scope.until:
            continue
        state = REFUSED if one.refused else NOT_JUDGED
        why = one.refused or _last_stop(one) or "no verdict is in the log"
        owner = one.plan.experiment.owner if one.plan else "unknown"
        found.append(
            Unfinished(
                experiment=one.experiment, run_id=one.run_id, owner=owner, since=one.started_at, state=state, why=why
            )
        )
    return found


def _last_stop(dossier: Dossier) -> str:
    stops = (*dossier.facts.stops, *dossier.facts.failures)
    return stops[-1].text if stops else ""


def _never_run(records: Sequence[Stored], dossiers: Sequence[Dossier], scope: Scope) -> list[Unfinished]:
    """What campaigns of the period planned and never began, and files that they could not read."""
    began = {one.run_id for one in dossiers}
    owners = {one.experiment: one.plan.experiment.owner for one in dossiers if one.plan is not None}
    found = []
    for stored in records:
        note = stored.record.payload
        planned = stored.record.kind is RecordKind.CAMPAIGN_PLANNED and isinstance(note, Note)
        if not planned or not scope.since <= stored.record.occurred_at < scope.until or not isinstance(note, Note):
            continue
        runs = dict(zip(_texts(note, "runs"), _texts(note, "experiments"), strict=False))
        targets = dict(zip(_texts(note, "runs"), _texts(note, "targets"), strict=False))
        missing = [(name, run, "planned, never begun") for run, name in runs.items() if run not in began]
        missing += [(name, "", "its file could not be read") for name in _texts(note, "broken")]
        for name, run, why in missing:
            owner = owners.get(name, "unknown")
            fits = not scope.targets or targets.get(run, "") in scope.targets
            if fits and (not scope.owners or owner in scope.owners):
                at = stored.record.occurred_at
                found.append(Unfinished(experiment=name, run_id=run, owner=owner, since=at, state=NOT_RUN, why=why))
    return found


def _texts(note: Note, fact: str) -> list[str]:
    found = note.facts.get(fact)
    return [str(one) for one in found] if isinstance(found, list) else []


def _incidents(dossier: Dossier, scope: Scope) -> list[Incident]:
    """Stop conditions that tripped and undos that failed, of runs of the period, and how they were closed."""
    if dossier.plan is None or not scope.since <= dossier.started_at < scope.until:
        return []
    opened, closed = _incident_records(dossier)
    found = []
    for stored in dossier.records:
        what = cause_of(stored)
        if what is None:
            continue
        detected_by, text = what
        ours, end = opened.get(stored.seq), closed.get(stored.seq)
        found.append(
            Incident(
                incident_id=f"INC-{stored.seq}",
                run_id=dossier.run_id,
                experiment=dossier.experiment,
                target=dossier.plan.target.name,
                owner=dossier.plan.experiment.owner,
                opened_at=ours.record.occurred_at if ours else stored.record.occurred_at,
                detected_by=detected_by,
                what=text,
                contained_at=end[1].contained_at if end else _contained_at(dossier, stored.record.occurred_at),
                seq=ours.seq if ours else stored.seq,
                closed_at=end[0].record.occurred_at if end else None,
                closed_by=end[1].by if end else "",
                note=end[1].note if end else "",
            )
        )
    return found


def _incident_records(dossier: Dossier) -> tuple[dict[int, Stored], dict[int, tuple[Stored, IncidentClosed]]]:
    """By the record that tells the cause: how it was opened, and how it was closed."""
    opened: dict[int, Stored] = {}
    closed: dict[int, tuple[Stored, IncidentClosed]] = {}
    causes: dict[str, int] = {}
    for stored in dossier.records:
        payload = stored.record.payload
        if isinstance(payload, IncidentOpened):
            opened[payload.cause_seq], causes[payload.incident_id] = stored, payload.cause_seq
        elif isinstance(payload, IncidentClosed) and payload.incident_id in causes:
            closed[causes[payload.incident_id]] = (stored, payload)
    return opened, closed


def _contained_at(dossier: Dossier, since: datetime) -> datetime | None:
    """When everything was out again; None while something is in."""
    times = [one.reverted_at for one in dossier.facts.injections if one.injected_at is not None]
    if any(at is None for at in times):
        return None
    return max((at for at in times if at is not None), default=since)
