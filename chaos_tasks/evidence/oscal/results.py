"""Assessment Results: each run an observation with its numbers, findings on objectives, risks, and the log of acts.

A run is evidence on an objective, never a verdict on a control: `status` says what came out of these runs only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from pydantic import JsonValue

from chaos_tasks.evidence.body import Body, Finding, FindingState, Incident, Injected, Tested, Unfinished
from chaos_tasks.evidence.controls import Control, Reference, SpeaksTo
from chaos_tasks.evidence.oscal.plan import activity_id
from chaos_tasks.evidence.oscal.words import (
    CONTROLS,
    Json,
    control_ids,
    identifier,
    metadata,
    moment,
    one_line,
    prop,
    props,
    reviewed,
    subject,
    target_component,
    tool,
    tool_component,
    without_empty,
)
from chaos_tasks.model.verdict import CheckResult, Outcome, Response

DISCLAIMER = (
    "Each run provides evidence relevant to the objectives that it names, under the faults, seeds and version that it "
    "names. It is no finding on a control as a whole, which is for the control's owner to make."
)


def results_id(body: Body) -> str:
    """Id of the document."""
    return identifier("results", body.title, body.scope.content_sha256)


def assessment_results(body: Body, *, plan_name: str, files: Mapping[str, str]) -> Json:
    """OSCAL assessment-results; ``files`` are SHA-256 by name of what stands beside it in the pack."""
    document: Json = {
        "uuid": results_id(body),
        "metadata": metadata(f"Results of chaos experiments: {body.title}", body),
        "import-ap": {"href": plan_name},
        "results": [_result(body)],
        "back-matter": {"resources": [*[_file(name, digest) for name, digest in sorted(files.items())], _log(body)]},
    }
    return {"assessment-results": without_empty(document)}


def _result(body: Body) -> Json:
    by_objective = _by_objective(body.tested)
    targets = sorted({one.target for one in body.tested})
    known = {one.run_id for one in body.tested}
    return {
        "uuid": identifier("result", body.title, body.scope.content_sha256),
        "title": one_line(body.title),
        "description": DISCLAIMER,
        "start": moment(body.scope.since),
        "end": moment(body.scope.until),
        "props": props(
            {
                "runs": len(body.tested),
                "held": _count(body.tested, Outcome.HELD),
                "deviated": _count(body.tested, Outcome.DEVIATED),
                "inconclusive": _count(body.tested, Outcome.INCONCLUSIVE),
                "aborted": _count(body.tested, Outcome.ABORTED),
                "unreverted": _count(body.tested, Outcome.UNREVERTED),
                "not-run-or-not-judged": len(body.unfinished),
                "fault-kinds-exercised": len(body.exercised),
                "fault-kinds-not-exercised": len(body.not_exercised),
            }
        ),
        "local-definitions": {"components": [tool_component(body), *[target_component(name) for name in targets]]},
        "reviewed-controls": reviewed(control_ids(body)),
        "attestations": [_attestation(body)],
        "assessment-log": {
            "entries": [*_entries(body.tested), *_missing(body.unfinished), *_incidents(body.incidents)]
        },
        "observations": [_observation(run, body) for run in body.tested],
        "risks": [risk(one, body, known) for one in body.findings],
        "findings": [_finding(*one, body) for one in sorted(by_objective.items())],
    }


def _count(tested: Sequence[Tested], outcome: Outcome) -> int:
    return sum(run.outcome is outcome for run in tested)


def observation_id(run_id: str) -> str:
    """Id of a run as an observation."""
    return identifier("observation", run_id)


def _observation(run: Tested, body: Body) -> Json:
    return {
        "uuid": observation_id(run.run_id),
        "title": run.experiment,
        "description": one_line(run.sentence, run.outcome.value),
        "props": [
            *props(
                {
                    "run-id": run.run_id,
                    "outcome": run.outcome.value,
                    "response": run.response.value,
                    "environment": run.environment,
                    "owner": run.owner,
                    "trials": run.trials,
                    "seconds-to-detect": run.detect_s,
                    "seconds-to-recover": run.recover_s,
                    "plan-sha256": run.plan_sha256,
                    "ledger-index-registered": run.registered_seq,
                    "ledger-index-verdict": run.verdict_seq,
                    "source-commit": run.source_commit,
                    "data-digest": run.data_digest,
                }
            ),
            *[prop("fault-kind", kind) for kind in run.fault_kinds],
            *[one for check in run.checks for one in _numbers(check)],
            *[prop("evidence-relevant-to", f"{one.framework}:{one.control.name}") for one in _elsewhere(run.controls)],
        ],
        "methods": ["TEST"],
        "types": ["finding"] if run.outcome is Outcome.DEVIATED else ["control-objective"],
        "origins": [{"actors": [{"type": "tool", "actor-uuid": tool(body)}]}],
        "subjects": [subject(run.target)],
        "relevant-evidence": [
            *[_evidence(fault) for fault in run.faults if fault.effect],
            {"href": f"#{_log_id(body)}", "description": f"Ledger records {run.first_seq} to {run.last_seq}."},
        ],
        "collected": moment(run.ended_at),
        "remarks": one_line(run.hypothesis),
    }


def _elsewhere(controls: Iterable[Reference]) -> list[Reference]:
    """Controls of frameworks whose ids are not those of the catalogue that this document is about."""
    return [one for one in controls if one.framework != CONTROLS]


def _numbers(check: CheckResult) -> list[JsonValue]:
    """The numbers of one check, all under its name."""
    values = {
        "state": check.state.value,
        "estimate": check.estimate,
        "low": check.low,
        "high": check.high,
        "margin": check.margin,
        "unit": check.unit,
        "n-control": check.n_control,
        "n-treatment": check.n_treatment,
        "log-e-pass": check.log_e_pass,
        "log-e-fail": check.log_e_fail,
        "method": check.method,
    }
    return [prop(name, value, of=f"check-{check.check}") for name, value in values.items() if value not in (None, "")]


def _evidence(fault: Injected) -> Json:
    undone = f"{fault.undo} The undo is proved." if fault.proved else "The undo is not proved."
    return {
        "description": one_line(f"{fault.kind}: {fault.effect} {undone}"),
        "props": props(
            {
                "handle-id": fault.handle_id,
                "fingerprint-before": fault.fingerprint_before,
                "fingerprint-after": fault.fingerprint_after,
            }
        ),
    }


def _by_objective(tested: Sequence[Tested]) -> dict[str, tuple[Control, list[Tested]]]:
    """Runs by the control of NIST SP 800-53 that they speak to."""
    found: dict[str, tuple[Control, list[Tested]]] = {}
    for run in tested:
        for one in run.controls:
            if one.framework == CONTROLS:
                found.setdefault(one.control_id, (one.control, []))[1].append(run)
    return found


def _finding(control_id: str, told: tuple[Control, list[Tested]], body: Body) -> Json:
    control, runs = told
    satisfied, remarks = _status(control, runs)
    ran = {run.run_id for run in runs}
    risks = [one for one in body.findings if not ran.isdisjoint(one.run_ids)]
    resilience = control.speaks_to is SpeaksTo.RESILIENCE
    return {
        "uuid": identifier("finding", body.title, body.scope.content_sha256, control_id),
        "title": f"{control.name} {control.title}",
        "description": f"Evidence relevant to {control.name} from {len(runs)} runs of chaos experiments.",
        "target": {
            "type": "objective-id",
            "target-id": f"{control_id}_obj",
            "status": {
                "state": "satisfied" if satisfied else "not-satisfied",
                "reason": "pass" if satisfied else "fail" if _any_bad(runs) else "other",
                "remarks": remarks,
            },
        },
        "related-observations": [{"observation-uuid": observation_id(run.run_id)} for run in runs],
        "related-risks": [{"risk-uuid": risk_id(one)} for one in risks] if resilience else [],
    }


def _any_bad(runs: Sequence[Tested]) -> bool:
    return any(run.outcome in (Outcome.DEVIATED, Outcome.UNREVERTED) for run in runs)


def _status(control: Control, runs: Sequence[Tested]) -> tuple[bool, str]:
    """What these runs show: that tests were done and put back, or that the system withstood them."""
    if control.speaks_to is SpeaksTo.PRACTICE:
        done = [run for run in runs if run.conclusive and all(fault.proved for fault in run.faults)]
        said = f"{len(done)} of {len(runs)} runs took effect, were put back with proof and were judged."
        return bool(done) and not any(run.outcome is Outcome.UNREVERTED for run in runs), said
    held = sum(run.outcome is Outcome.HELD for run in runs)
    silent = sum(run.response is Response.SILENT for run in runs)
    open_ = len(runs) - sum(run.conclusive for run in runs)
    said = f"{held} of {len(runs)} runs held, {silent} deviated without being noticed, {open_} gave no answer."
    return held > 0 and not _any_bad(runs) and open_ == 0, said


def risk_id(finding: Finding) -> str:
    """Id of a finding as a risk; the same in results and POA&M."""
    return identifier("risk", finding.risk_id, finding.target, finding.experiment)


def risk(finding: Finding, body: Body, known: Collection[str]) -> Json:
    """A finding as an OSCAL risk; ``known`` are the runs that are in the document as observations."""
    states = {FindingState.CLOSED: "closed", FindingState.ACCEPTED: "deviation-approved"}
    return {
        "uuid": risk_id(finding),
        "title": f"{finding.risk_id}: {finding.experiment}",
        "description": one_line(finding.sentence, "deviated"),
        "statement": one_line(
            f"{finding.effect}. Seen in {len(finding.run_ids)} runs since {moment(finding.first_seen)}."
        ),
        "props": props(
            {
                "risk-register-id": finding.risk_id,
                "severity": finding.severity.value,
                "owner": finding.owner,
                "state": finding.state.value,
                "closed-by": finding.closed_by,
                "reason": finding.reason,
            }
        ),
        "status": states.get(finding.state, "open"),
        "characterizations": [
            {
                "origin": {"actors": [{"type": "tool", "actor-uuid": tool(body)}]},
                "facets": [
                    {"name": "severity", "system": "https://squall.dev/ns/oscal", "value": finding.severity.value}
                ],
            }
        ],
        "deadline": f"{finding.due.isoformat()}T00:00:00Z",
        "related-observations": [{"observation-uuid": observation_id(run)} for run in finding.run_ids if run in known],
    }


def _entries(tested: Sequence[Tested]) -> list[JsonValue]:
    """When each run was under way, and when each fault went in and out."""
    found: list[JsonValue] = []
    for run in tested:
        found.append(
            {
                "uuid": identifier("entry", run.run_id),
                "title": f"{run.experiment}: {run.outcome.value}",
                "description": one_line(run.sentence, run.outcome.value),
                "start": moment(run.started_at),
                "end": moment(run.ended_at),
                "props": props(
                    {
                        "requested-by": run.requested_by,
                        "allowed-by": run.allowed.kind,
                        "approval-ledger-index": run.allowed.seq,
                        "permit-ledger-index": run.allowed.permit_seq,
                        "airflow-run": run.recorder.dag_run_id,
                        "activity": activity_id(run.experiment),
                    }
                ),
            }
        )
        found += [_act(run, fault) for fault in run.faults if fault.injected_at is not None]
    return found


def _act(run: Tested, fault: Injected) -> Json:
    entry: Json = {
        "uuid": identifier("act", fault.handle_id),
        "title": f"{fault.kind} in {run.target}",
        "description": one_line(fault.effect, "injected"),
        "start": moment(fault.injected_at or run.started_at),
    }
    if fault.reverted_at is not None:
        entry["end"] = moment(fault.reverted_at)
    return entry


def _missing(unfinished: Sequence[Unfinished]) -> list[JsonValue]:
    """Planned and not run, refused, not judged: in the log, so that a reader sees what is not among the results."""
    return [
        {
            "uuid": identifier("missing", one.run_id, one.experiment, moment(one.since)),
            "title": f"{one.experiment}: {one.state}",
            "description": one_line(one.why, one.state),
            "start": moment(one.since),
            "props": props({"run-id": one.run_id, "owner": one.owner, "state": one.state.replace(" ", "-")}),
        }
        for one in unfinished
    ]


def _incidents(incidents: Sequence[Incident]) -> list[JsonValue]:
    found: list[JsonValue] = []
    for one in incidents:
        entry: Json = {
            "uuid": identifier("incident", one.incident_id, one.run_id),
            "title": f"Incident {one.incident_id}: {one.experiment}",
            "description": one_line(one.what, "incident"),
            "start": moment(one.opened_at),
            "props": props({"detected-by": one.detected_by, "ledger-index": one.seq, "owner": one.owner}),
        }
        if one.contained_at is not None:
            entry["end"] = moment(max(one.contained_at, one.opened_at))
        found.append(entry)
    return found


def _attestation(body: Body) -> Json:
    """The log that all of this was read from."""
    return {
        "parts": [
            {
                "uuid": identifier("log-head", body.log.origin, body.log.size, body.log.root_sha256),
                "name": "ledger-head",
                "title": "The log that these results were read from",
                "props": props({"origin": body.log.origin, "size": body.log.size, "root-sha256": body.log.root_sha256}),
                "prose": "Compare size and root with a checkpoint that was signed and kept elsewhere.",
            }
        ]
    }


def _file(name: str, digest: str) -> Json:
    return {
        "uuid": identifier("file", name, digest),
        "title": name,
        "rlinks": [{"href": name, "hashes": [{"algorithm": "SHA-256", "value": digest}]}],
    }


def _log_id(body: Body) -> str:
    return identifier("log", body.log.origin, body.log.size)


def _log(body: Body) -> Json:
    return {
        "uuid": _log_id(body),
        "title": "Ledger",
        "description": one_line(f"{body.log.origin}: {body.log.size} records, root {body.log.root_sha256}."),
    }
