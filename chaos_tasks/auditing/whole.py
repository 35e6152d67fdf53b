"""One audit: read the log once, compare it with the heads that were signed, and with what MLflow shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chaos_tasks.auditing.answers import Audit, Finding, not_shown, of_answer, of_problems
from chaos_tasks.auditing.authenticity import Held, authenticity, read_heads
from chaos_tasks.errors import SquallError
from chaos_tasks.ledger.database_ledger import DatabaseLedger
from chaos_tasks.ledger.verify import Answer, Offence, verify
from chaos_tasks.model.record import RecordKind, Stored
from chaos_tasks.sealing.keyring import grown
from chaos_tasks.signing.keys import VerifyKey
from chaos_tasks.tracking.comparing import Compared

REPERFORMANCE = "no independent judge decided the verdicts again"
"""What is said where nobody asked a judge that shares no code with `judging` and `stats`."""


@dataclass(frozen=True)
class Evidence:
    """What there is beside the ledger itself."""

    heads: Sequence[Held] = ()
    keys: Sequence[VerifyKey] = ()
    origin: str = ""
    unread: Sequence[str] = field(default_factory=tuple)
    views: Callable[[], Compared] | None = None
    again: Callable[[DatabaseLedger], Finding] | None = None


def audit(ledger: DatabaseLedger, evidence: Evidence) -> Audit:
    """Five answers and one about views; a running ledger may be audited."""
    keys = grown(evidence.keys, _rotations(ledger))
    heads = read_heads(evidence.heads, keys, evidence.origin)
    found = verify(ledger, sizes=heads.sizes)
    views, missing = _views(evidence)
    return Audit(
        size=found.size,
        root_sha256=found.root_sha256,
        origin=evidence.origin,
        verification=found,
        integrity=of_answer(found.integrity, "every record is as its header and the tree say", "records were changed"),
        authenticity=authenticity(heads, found.roots, found.size, evidence.unread),
        views=views,
        order=of_answer(found.order, "every act comes after what must precede it", "acts are out of order"),
        completeness=of_answer(
            _and(found.completeness, missing), "every run has its end, every fault its revert", "something is missing"
        ),
        reperformance=evidence.again(ledger) if evidence.again else not_shown(REPERFORMANCE),
    )


def _rotations(ledger: DatabaseLedger) -> list[Stored]:
    try:
        return list(ledger.records(kinds=(RecordKind.KEY_ROTATED,)))
    except SquallError:
        return []  # unreadable rows are the integrity answer's business; keys that they name stay unknown


def _views(evidence: Evidence) -> tuple[Finding, Sequence[str]]:
    if evidence.views is None:
        return not_shown("MLflow was not asked"), ()
    try:
        compared = evidence.views()
    except SquallError as error:
        return not_shown(f"MLflow could not be asked: {error.message}"), ()
    if not compared.runs and not compared.missing:
        return not_shown("no run was published to MLflow"), ()
    good = f"MLflow shows {compared.runs} runs as the log has them"
    problems = [(None, what) for what in compared.edited]
    return of_problems(problems, good, "MLflow shows something else than the log"), compared.missing


def _and(answer: Answer, missing: Sequence[str]) -> Answer:
    more = tuple(Offence(seq=None, what=what) for what in missing)
    return Answer(problems=answer.problems + len(more), first=(*answer.first, *more)[: max(10, len(answer.first))])
