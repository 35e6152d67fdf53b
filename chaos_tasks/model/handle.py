"""A handle: everything that reverting one armed fault needs, as data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import Field, JsonValue

from chaos_tasks.model.base import Value
from chaos_tasks.model.place import Place


class Reversibility(StrEnum):
    """What is left to do after a fault."""

    RESTORES = "restores"  # revert brings the prior state back; fingerprints are equal
    SELF_HEALS = "self_heals"  # the target comes back by itself; revert sees to it that nothing of the fault acts on
    IRREVERSIBLE = "irreversible"  # allowed on disposable targets only


class Phase(StrEnum):
    """Where a handle stands; only the engine moves it, and only forwards."""

    ARMED = "armed"
    INJECTING = "injecting"
    INJECTED = "injected"
    REVERTING = "reverting"
    REVERTED = "reverted"
    UNREVERTED = "unreverted"
    ABANDONED = "abandoned"  # a person answers for what could not be put back, since its place is gone


OPEN_PHASES = frozenset({Phase.ARMED, Phase.INJECTING, Phase.INJECTED, Phase.REVERTING, Phase.UNREVERTED})
CLOSED_PHASES = frozenset({Phase.REVERTED, Phase.ABANDONED})
HARMFUL_PHASES = OPEN_PHASES - {Phase.ARMED}
UNTOUCHED = OPEN_PHASES - {Phase.REVERTING, Phase.UNREVERTED}
"""What nobody has tried to revert yet."""
UNTRIED = OPEN_PHASES - {Phase.UNREVERTED}
"""What nobody has tried to revert in vain."""
HELD = UNTOUCHED & HARMFUL_PHASES
"""What is in, or about to be, and nobody has tried to revert yet."""


class Finding(StrEnum):
    """What inspection found on the target itself."""

    ARMED = "armed"  # nothing of the fault is there, and never was as far as one can see
    INJECTED = "injected"
    PARTIAL = "partial"
    REVERTED = "reverted"
    UNKNOWN = "unknown"


class Handle(Value):
    """One arming of one fault.  ``prior`` is what revert needs; no code, no secret, no row of data."""

    version: int = 1
    id: str
    run_id: str
    step: str
    kind: str
    place: Place
    params: Mapping[str, JsonValue]
    prior: Mapping[str, JsonValue]
    seed: int = Field(description="Seed of every random draw of this fault.")
    epoch: int = Field(1, ge=1, description="One arming; a newer epoch fences an older one.")


class HandleState(Value):
    """A handle with its phase and lease, as the ledger's database has them."""

    handle: Handle
    phase: Phase
    lease_until: datetime
    changed_at: datetime


class Receipt(Value):
    """Evidence that a fault took effect, or was undone: counts, digests and names only."""

    at: datetime
    effective: bool = Field(description="Whether the act changed (or restored) what it meant to.")
    summary: str = Field(description="One sentence, e.g. '3 000 of 30 000 labels flipped'.")
    evidence: Mapping[str, JsonValue] = Field(default_factory=dict)


class Fingerprint(Value):
    """State of a place in one digest, with what it covers and what it leaves out."""

    digest: str
    covers: str
    leaves_out: str = ""


def how_to_free(handle_id: str, phase: str) -> str:
    """What a person can do about a handle that blocks its place."""
    if phase != Phase.UNREVERTED.value:
        return f"let that run end, or put it back: `squall revert {handle_id}`"
    return (
        f"mend the cause, then `squall revert {handle_id}`; where the place is gone for good: "
        f"`squall abandon {handle_id} --reason TEXT`"
    )
