"""The first page in words: what was tested, what was found, who allowed it, what is open, how to check it.

Every rendering says these same sentences.  What is claimed is "provides evidence relevant to", and nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from chaos_tasks.evidence.body import Body, FindingState, Severity, Tested
from chaos_tasks.evidence.controls import ControlTable
from chaos_tasks.judging.wording import count
from chaos_tasks.model.base import Value
from chaos_tasks.model.verdict import Outcome, Response

OVERCLAIMS = re.compile(
    r"\b(compl(?:y|ies|iant|iance with)|certif(?:y|ies|ied)|conform(?:s|ity|ant)?|guarantees?|proves? that the control|"
    r"meets? the requirements?|satisf(?:y|ies) the)\b",
    re.IGNORECASE,
)
"""Words that no document of ours may use of a framework; a test looks for them in every rendering."""

FEW = 6  # names that a sentence tells

LIMITS = (
    "Each run speaks about the faults, seeds, data version and environment that it names, and about nothing else.",
    "Held means that the harm stayed within the margin that was registered before, not that there is none.",
    "What is not in the log is not in this document: runs that were never recorded cannot be listed.",
    "Whether a control is effective, and who is an independent tester, is for people to decide.",
)


class Answer(Value):
    """One question of the first page, with its sentences."""

    question: str
    sentences: tuple[str, ...]


def first_page(body: Body) -> tuple[Answer, ...]:
    """The five questions, in the order in which a reader asks them."""
    return (
        Answer(question="What was tested?", sentences=_tested(body)),
        Answer(question="What was found?", sentences=_found(body)),
        Answer(question="Who allowed it?", sentences=_allowed(body)),
        Answer(question="What is open?", sentences=_open(body)),
        Answer(question="How can this be checked?", sentences=_checked(body)),
    )


def _tested(body: Body) -> tuple[str, ...]:
    targets = sorted({one.target for one in body.tested})
    environments = sorted({one.environment for one in body.tested})
    if not body.tested:
        said = "Nothing was tested in this period."
    else:
        experiments = len({one.experiment for one in body.tested})
        where = f"on {count(len(targets), 'target')} ({', '.join(targets)}) in {', '.join(environments)}"
        said = f"{count(experiments, 'experiment')} in {count(len(body.tested), 'run')}, {where}."
    kinds = len(body.exercised) + len(body.not_exercised)
    faults = f"Faults put in: {len(body.exercised)} of {count(kinds, 'known kind')}{_listed(body.exercised)}."
    return (said, faults, *_missing(body))


def _listed(names: Sequence[str]) -> str:
    """': a, b, c and 4 more'; the tables have all of them."""
    shown, more = ", ".join(names[:FEW]), len(names) - FEW
    return f": {shown}{f' and {more} more' if more > 0 else ''}" if names else ""


def _missing(body: Body) -> tuple[str, ...]:
    if not body.unfinished:
        return ("Nothing that was planned is missing.",)
    by_state: dict[str, list[str]] = {}
    for one in body.unfinished:
        by_state.setdefault(one.state, []).append(one.experiment)
    parts = [f"{len(names)} {state} ({', '.join(sorted(set(names)))})" for state, names in sorted(by_state.items())]
    return (f"Not among the results: {'; '.join(parts)}.",)


def _found(body: Body) -> tuple[str, ...]:
    if not body.tested:
        return ("Nothing.",)
    held, deviated, silent, open_ = (
        _count(body.tested, Outcome.HELD),
        _count(body.tested, Outcome.DEVIATED),
        sum(_silent(one) for one in body.tested),
        _count(body.tested, Outcome.INCONCLUSIVE) + _count(body.tested, Outcome.ABORTED),
    )
    stuck = [one.experiment for one in body.tested if one.outcome is Outcome.UNREVERTED]
    left = (
        (f"{count(len(stuck), 'run')} could not be put back, and a person is needed{_listed(stuck)}.",) if stuck else ()
    )
    first = (
        f"{held} held (any harm stayed within the margin that was set before), {deviated} deviated ({silent} of them "
        f"without being noticed), {open_} gave no answer{f', {len(stuck)} could not be put back' if stuck else ''}."
    )
    worst = [one.experiment for one in body.tested if _silent(one)]
    unnoticed = (f"Not noticed{_listed(worst)}.",) if worst else ()
    undone = [fault for run in body.tested for fault in run.faults if fault.injected_at is not None]
    proved = sum(fault.proved for fault in undone)
    second = f"Of {count(len(undone), 'fault')} put in, the undo of {proved} is proved."
    return (*left, first, *unnoticed, second, *_incidents(body))


def _silent(run: Tested) -> bool:
    """It deviated, and nothing noticed."""
    return run.outcome is Outcome.DEVIATED and run.response is Response.SILENT


def _incidents(body: Body) -> tuple[str, ...]:
    if not body.incidents:
        return ()
    contained = sum(one.contained_at is not None for one in body.incidents)
    closed = sum(one.closed_at is not None for one in body.incidents)
    return (f"{count(len(body.incidents), 'incident')}, {contained} contained, {closed} closed by a person.",)


def _count(tested: Sequence[Tested], outcome: Outcome) -> int:
    return sum(run.outcome is outcome for run in tested)


def _allowed(body: Body) -> tuple[str, ...]:
    by_kind: dict[str, list[Tested]] = {}
    for one in body.tested:
        by_kind.setdefault(one.allowed.kind, []).append(one)
    words = {
        "none": "ran without an approval, as their class of risk asks for none",
        "standing": "ran under a standing approval",
        "person": "were approved by a second person each",
        "withheld": "needed an approval, did not have it, and so put nothing in",
    }
    found = [
        f"{count(len(runs), 'run')} {words.get(kind, kind)}{_names(runs)}." for kind, runs in sorted(by_kind.items())
    ]
    askers = sorted({one.requested_by for one in body.tested})
    return (*found, *((f"Requested by: {', '.join(askers)}.",) if askers else ())) or ("Nothing had to be allowed.",)


def _names(runs: Sequence[Tested]) -> str:
    names = sorted({one.allowed.by for one in runs if one.allowed.by})
    return f": {', '.join(names)}" if names else ""


def _open(body: Body) -> tuple[str, ...]:
    if not body.findings:
        return ("Nothing.",)
    open_, accepted = body.open_findings, [one for one in body.findings if one.state is FindingState.ACCEPTED]
    overdue = sum(one.state is FindingState.OVERDUE for one in body.findings)
    by_severity = [(level, sum(one.severity is level for one in open_)) for level in Severity]
    levels = ", ".join(f"{n} {level.value}" for level, n in by_severity if n)
    first = f"{count(len(open_), 'finding')} open{f' ({levels})' if levels else ''}, {overdue} overdue."
    closed = len(body.findings) - len(open_) - len(accepted)
    second = f"{len(accepted)} accepted by their owners until a date, {closed} closed in the period."
    due = sorted(open_, key=lambda one: one.due)
    third = (
        f"Next due, on {due[0].due}: {due[0].risk_id} ({due[0].experiment}), owned by {due[0].owner}." if due else ""
    )
    return tuple(one for one in (first, second, third) if one)


def _checked(body: Body) -> tuple[str, ...]:
    return (
        f"All of it was read from {body.log.size} records of the log {body.log.origin}, root {body.log.root_sha256}.",
        "Without Squall: `python verify.py --vkey KEYS` in the unpacked evidence pack checks files, signatures, "
        "proofs, order and verdicts; KEYS is a file of the public keys, which come by another way than the pack.",
        "With Squall: `squall audit verify` checks the whole log, and decides every verdict again.",
    )


def control_lines(body: Body, table: ControlTable) -> list[tuple[str, str, str, str]]:
    """Framework, control, what the evidence is of, and the runs, for every control that a run speaks to."""
    found: dict[tuple[str, str], list[Tested]] = {}
    for run in body.tested:
        for one in run.controls:
            found.setdefault((one.framework, one.control_id), []).append(run)
    lines = []
    for framework, text in table.frameworks.items():
        for control_id, control in text.controls.items():
            runs = found.get((framework, control_id), [])
            if runs:
                lines.append((text.title, f"{control.name} {control.title}", control.speaks_to.value, _outcomes(runs)))
    return lines


def _outcomes(runs: Sequence[Tested]) -> str:
    """'5 held, 2 deviated, 1 inconclusive'."""
    found = [run.outcome for run in runs]
    return ", ".join(f"{n} {outcome.value}" for outcome in Outcome if (n := found.count(outcome)))
