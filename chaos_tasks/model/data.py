"""What the data of a target are: how they are classified, where they may lie, and for how long copies are kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

from pydantic import Field

from chaos_tasks.model.base import Value
from chaos_tasks.model.duration import Duration


class Classification(StrEnum):
    """How much harm it does when somebody sees them; from the least to the most."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"

    def above(self, other: Classification) -> bool:
        """Whether it is more than another."""
        order = list(Classification)
        return order.index(self) > order.index(other)


class DataDeclaration(Value):
    """What the inventory says about the data of one target."""

    classification: Classification = Field(Classification.INTERNAL, description="Of the source's data.")
    residency: tuple[str, ...] = Field(
        (), description="Places of [data.places] in which copies may lie; empty: anywhere that Squall's home is."
    )
    masked_repo: str = Field(
        "",
        description="Git+DVC repository with masked or synthetic data of the same shape; used in place of the source "
        "where the source is classified above [data] highest.",
    )
    source_credentials: str = Field("", description="Credentials that may ask the source's bucket for its encryption.")
    keep_trials: Duration = Field(
        timedelta(days=30), description="How long files of trials (metrics, predictions, logs) are kept after the run."
    )
    keep_payloads: Duration | None = Field(
        None, description="How long payloads of the ledger are kept after the run; without it: for good."
    )


class DataPlace(Value):
    """A place where copies may lie."""

    regions: tuple[str, ...] = Field((), description="Regions of the store.")
    folders: tuple[str, ...] = Field((), description="Folders below which Squall's home may be.")


class DataPolicy(Value):
    """[data] of squall.toml: what may be copied at all, and where places are."""

    highest: Classification = Field(
        Classification.CONFIDENTIAL, description="The highest classification of which a clone may be made."
    )
    encrypted: Classification = Field(
        Classification.CONFIDENTIAL,
        description="From this classification on, the store's bucket has to encrypt as the source's does.",
    )
    places: Mapping[str, DataPlace] = Field(default_factory=dict)
