"""A body to render: the two made-up nights, as documents see them."""

from __future__ import annotations

from datetime import timedelta

from chaos_tasks.evidence import controls
from chaos_tasks.evidence.body import Body, LogHead, Scope
from chaos_tasks.evidence.gathering import gather
from tests.unit.judging.cases import T0
from tests.unit.reports.nights import KINDS, NOW, two_nights

TONIGHT = Scope(since=T0, until=NOW)
HEAD = LogHead(origin="example.org/squall/lab", size=551, root_sha256="ab" * 32)


def body(scope: Scope = TONIGHT) -> Body:
    """One night, with the twelve days before it as history."""
    return gather(
        two_nights(),
        scope,
        title="Night of 2026-11-23",
        issued_at=NOW + timedelta(minutes=1),
        log=HEAD,
        table=controls.shipped(),
        squall_version="0.1.0",
        registered=KINDS,
    )
