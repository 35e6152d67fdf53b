"""The fifth answer: every verdict of a ledger decided again by the independent judge, from the bytes of its records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from chaos_tasks.auditing.answers import Finding, State, not_shown, of_problems
from chaos_tasks.auditing.redeciding import READS, Redone, Row, redecide
from chaos_tasks.errors import LedgerError
from chaos_tasks.ledger.database_ledger import DatabaseLedger
from chaos_tasks.ledger.verify import SHOWN, Offence

BAD = "a verdict is not the one that its records give"


def reperformance(ledger: DatabaseLedger) -> Finding:
    """Failed where a verdict differs; not shown where one cannot be redone, or there is none."""
    try:
        redone = list(redecide(rows_of(ledger)))
    except LedgerError as error:
        return not_shown(f"the records could not be read: {error.message}")
    wrong = [(one.seq, f"{one.run_id}: {text}") for one in redone for text in one.differences]
    if wrong:
        return of_problems(wrong, "", BAD)
    missing = [one for one in redone if one.not_shown]
    if missing:
        first = tuple(Offence(seq=one.seq, what=f"{one.run_id}: {one.not_shown}") for one in missing[:SHOWN])
        sentence = f"{len(missing)} of {len(redone)} verdicts cannot be decided again; the others come out the same"
        return Finding(state=State.NOT_SHOWN, sentence=sentence, problems=len(missing), first=first)
    if not redone:
        return not_shown("there is no verdict to decide again")
    return of_problems([], said_of(redone), "")


def said_of(redone: list[Redone]) -> str:
    """How many, and how many of them rest on numbers whose rows are not in the log."""
    committed = sum(any(answer.as_committed for answer in one.answers) for one in redone)
    also = f"; in {committed} of them the numbers of rows or blocks are taken as committed" if committed else ""
    return f"{len(redone)} verdicts, decided again by an independent judge, come out the same{also}"


def rows_of(ledger: DatabaseLedger) -> Iterator[Row]:
    """Headers and payloads as JSON; what cannot be read is the integrity answer's business, and missing here."""
    for raw in ledger.raw_rows():
        header = _json(raw.entry.header)
        if isinstance(header, dict) and header.get("kind") in READS:
            payload = None if raw.entry.payload is None else _json(raw.entry.payload)
            yield row_of(raw.seq, header, payload)


def row_of(seq: int, header: dict[str, Any], payload: Any) -> Row:
    """What the judge reads of a record."""
    return Row(
        seq=seq,
        kind=header["kind"],
        run_id=str(header.get("run_id", "")),
        occurred_at=str(header.get("occurred_at", "")),
        payload=payload if isinstance(payload, dict) else None,
        outcome=header.get("outcome"),
    )


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None
