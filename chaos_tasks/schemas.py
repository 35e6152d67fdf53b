"""JSON Schemas: of experiment and target files, composed from the registry, and of the facet that lineage gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chaos_tasks import registry
from chaos_tasks.model.experiment import Experiment
from chaos_tasks.model.lineage import SCHEMA_URL, ChaosFacet
from chaos_tasks.model.target import Target

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def experiment_schema() -> dict[str, Any]:
    """Schema of an experiment file; it knows the parameters of each registered fault and probe."""
    schema = Experiment.model_json_schema()
    _specialise(
        schema["$defs"]["Step"], "fault", {kind: registry.fault(kind) for kind in registry.fault_kinds()}, schema
    )
    probes = {kind: registry.probe(kind) for kind in registry.probe_kinds()}
    pair_probes = {kind: registry.pair_probe(kind) for kind in registry.pair_probe_kinds()}
    _specialise(schema["$defs"]["Check"], "probe", {**probes, **pair_probes}, schema)
    live_probes = {kind: registry.live_probe(kind) for kind in registry.live_probe_kinds()}
    _specialise(schema["$defs"]["StopCondition"], "probe", live_probes, schema)
    return {"$schema": DRAFT, **schema, "title": "Squall experiment"}


def target_schema() -> dict[str, Any]:
    """Schema of a target file."""
    return {"$schema": DRAFT, **Target.model_json_schema(), "title": "Squall target"}


def _specialise(definition: dict[str, Any], field: str, plugins: dict[str, Any], root: dict[str, Any]) -> None:
    """Say, for each kind, which `params` go with it."""
    definition["properties"][field]["enum"] = sorted(plugins)
    definition["allOf"] = [
        {
            "if": {"properties": {field: {"const": kind}}},
            "then": {"properties": {"params": _params(plugin, root)}},
        }
        for kind, plugin in sorted(plugins.items())
    ]


def _params(plugin: Any, root: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = plugin.params_type.model_json_schema()
    root["$defs"].update(schema.pop("$defs", {}))
    return schema


def lineage_schema() -> dict[str, Any]:
    """Schema of the run facet that OpenLineage consumers get; beside our fields it has two of OpenLineage's own."""
    schema = ChaosFacet.model_json_schema(by_alias=True)
    uri = {"type": "string", "format": "uri"}
    schema["properties"] = {**schema["properties"], "_producer": uri, "_schemaURL": uri}
    schema["required"] = [*schema["required"], "_producer", "_schemaURL"]
    return {"$schema": DRAFT, "$id": SCHEMA_URL, **schema, "title": "Squall chaos run facet"}


FILES = {
    "experiment.schema.json": experiment_schema,
    "openlineage-run-facet.schema.json": lineage_schema,
    "target.schema.json": target_schema,
}


def write(folder: Path) -> list[Path]:
    """Write the schemas into a folder; returns those that changed."""
    changed = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, build in FILES.items():
        text = json.dumps(build(), indent=2, sort_keys=True) + "\n"
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def stale(folder: Path) -> list[Path]:
    """Committed schemas that do not agree with the registry."""
    found = []
    for name, build in FILES.items():
        path = folder / name
        text = json.dumps(build(), indent=2, sort_keys=True) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            found.append(path)
    return found
