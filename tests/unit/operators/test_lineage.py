"""What OpenLineage is told is a valid facet, whether a run is judged or not, and nothing imports it where it is not."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import jsonschema
import pytest

from chaos_tasks.answers import facet_of
from chaos_tasks.errors import LedgerError
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests import permit_samples
from tests.unit.operators.conftest import ROOT
from tests.unit.test_answers import judged

SCHEMA = json.loads((ROOT / "schemas" / "openlineage-run-facet.schema.json").read_text(encoding="utf-8"))
MODULES = ("squall_operators.steps", "squall_operators.lineage_hook", "squall_operators.rendering")


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger(FakeClock())


def sent(ledger: MemoryLedger, run_id: str) -> tuple[Any, Any]:
    """The facet and the datasets as they go over the wire."""
    pytest.importorskip("airflow.providers.openlineage", exc_type=ImportError)
    from openlineage.client.serde import Serde

    from squall_operators.lineage import FACET, lineage_of

    found = lineage_of(*facet_of(ledger, run_id))
    return json.loads(Serde.to_json(found.run_facets[FACET])), [json.loads(Serde.to_json(one)) for one in found.inputs]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_judged_run_is_a_valid_facet_with_its_evidence(ledger: MemoryLedger) -> None:
    plan = judged(ledger, "one", Outcome.DEVIATED)
    facet, inputs = sent(ledger, "one")
    jsonschema.validate(facet, SCHEMA)
    (record,) = ledger.records(run_id="one", kinds=[RecordKind.EVALUATE_VERDICT])
    assert (facet["outcome"], facet["recordSha256"]) == ("deviated", record.leaf_sha256)
    assert [(one["namespace"], one["name"]) for one in inputs] == [("dvc:toy", "a.csv")]
    assert inputs[0]["facets"]["version"]["datasetVersion"] == plan.source_commit


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_under_way_is_a_valid_facet_without_an_answer(ledger: MemoryLedger) -> None:
    permit_samples.register(ledger, "two")
    facet, _ = sent(ledger, "two")
    jsonschema.validate(facet, SCHEMA)
    assert "outcome" not in facet
    with pytest.raises(LedgerError, match="no run three is registered"):
        facet_of(ledger, "three")


def test_the_schema_refuses_what_is_no_facet_of_ours() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"experiment": "x"}, SCHEMA)


def test_nothing_of_openlineage_is_imported_before_its_provider_asks() -> None:
    code = (
        f"import sys, importlib; [importlib.import_module(m) for m in {MODULES!r}]; print('openlineage' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")
