"""What OpenLineage is told of a run: a facet with its question and answer, the data version in, the clone out.

Called by Airflow's OpenLineage provider only, so it is imported only where that is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attr
from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import Dataset
from openlineage.client.facet_v2 import DatasetFacet, RunFacet, dataset_version_dataset, documentation_dataset

from chaos_tasks.model.lineage import PRODUCER, SCHEMA_URL, ChaosFacet

if TYPE_CHECKING:
    from chaos_tasks.model.plan import Plan

FACET = "squall_chaos"


@attr.define
class SquallChaosRunFacet(RunFacet):  # type: ignore[misc]
    """``chaos_tasks.model.lineage.ChaosFacet`` as OpenLineage takes facets."""

    experiment: str
    target: str
    environment: str
    runId: str  # noqa: N815  names are those of the published schema
    faults: list[str]
    outcome: str | None = None
    response: str | None = None
    knownFinding: str | None = None  # noqa: N815
    planSha256: str | None = None  # noqa: N815
    recordSeq: int | None = None  # noqa: N815
    recordSha256: str | None = None  # noqa: N815

    @staticmethod
    def _get_schema() -> str:
        return SCHEMA_URL


def lineage_of(facet: ChaosFacet, plan: Plan | None) -> OperatorLineage:
    """The lineage of one task: what the run is about, and the data that it read and hurt."""
    told = facet.model_dump(mode="json", by_alias=True, exclude_none=True)
    run = SquallChaosRunFacet(**{**told, "producer": PRODUCER})
    inputs, outputs = ([], []) if plan is None else (_inputs(plan), _outputs(plan))
    return OperatorLineage(inputs=inputs, outputs=outputs, run_facets={FACET: run})


def _inputs(plan: Plan) -> list[Dataset]:
    """Each DVC file of the source at the version that the plan is bound to."""
    source = plan.target.source
    facets: dict[str, DatasetFacet] = {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=plan.source_commit, producer=PRODUCER
        )
    }
    return [Dataset(namespace=f"dvc:{plan.target.name}", name=path, facets=facets) for path in source.data]


def _outputs(plan: Plan) -> list[Dataset]:
    """The same files in the run's clone, which no owner's pipeline reads."""
    if not any(place.type == "dvc" for place in plan.places.values()):
        return []
    documented: Any = documentation_dataset.DocumentationDatasetFacet(
        description="An isolated copy that a chaos experiment has changed; it is deleted after the verdict.",
        producer=PRODUCER,
    )
    facets = {"documentation": documented}
    namespace = f"squall:{plan.run_id}"
    return [Dataset(namespace=namespace, name=path, facets=facets) for path in plan.target.source.data]
