"""The custom run facet that OpenLineage consumers get of a chaos run: its published shape."""

from __future__ import annotations

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from chaos_tasks.model.base import Value

PRODUCER = "urn:squall:openlineage"
SCHEMA_URL = "urn:squall:schemas:SquallChaosRunFacet:1-0-0"


class ChaosFacet(Value):
    """What a run asked, and what came out: names, states and digests; no text, no path, no row."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True)

    experiment: str
    target: str
    environment: str = ""
    run_id: str
    faults: tuple[str, ...] = Field(description="Kinds of fault that its steps put in.")
    outcome: str | None = Field(None, description="held, deviated, inconclusive, aborted or unreverted.")
    response: str | None = Field(None, description="masked, detected, recovered, silent, crashed, hung or unknown.")
    known_finding: str | None = Field(None, description="Ticket of an accepted deviation.")
    plan_sha256: str | None = None
    record_seq: int | None = Field(None, description="Place of the verdict in the log.")
    record_sha256: str | None = Field(None, description="Leaf of the verdict in the log: digest of the evidence.")
