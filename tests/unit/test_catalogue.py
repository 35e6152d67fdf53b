"""Which kinds of fault a target can suffer follows from the places that it has."""

from __future__ import annotations

import pytest

from chaos_tasks import registry
from chaos_tasks.catalogue import applicable_kinds, ruled_out
from chaos_tasks.model.handle import Reversibility
from chaos_tasks.model.target import Target

PLAIN = {
    "name": "plain",
    "source": {"type": "dvc", "repo": "nowhere", "data": ["a.csv"]},
    "workload": {"type": "command", "run": "x"},
}
RESOURCES = {
    "cloud.deny_access": {"type": "s3", "bucket": "b", "principal": "p"},
    "cloud.stop_instance": {"type": "ec2_instance", "instance_id": "i"},
    "stream.drop": {"type": "redis_stream", "url": "redis://localhost", "key": "k"},
}


def test_every_target_has_data_processes_and_a_task() -> None:
    kinds = applicable_kinds(Target.model_validate(PLAIN))
    assert {kind.partition(".")[0] for kind in kinds} == {"airflow", "data", "process"}
    assert list(kinds) == sorted(kinds)


@pytest.mark.parametrize("kind", RESOURCES)
def test_a_declared_resource_brings_its_faults(kind: str) -> None:
    plain, rich = (Target.model_validate({**PLAIN, "resources": more}) for more in ({}, {"r": RESOURCES[kind]}))
    assert kind not in applicable_kinds(plain)
    assert kind in applicable_kinds(rich)
    assert "no such resource" in ruled_out(kind, plain)


def test_what_cannot_be_undone_needs_a_disposable_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(registry.fault("process.kill")), "reversibility", Reversibility.IRREVERSIBLE)
    target = Target.model_validate(PLAIN)
    assert "process.kill" in applicable_kinds(target)
    assert "process.kill" not in applicable_kinds(target, disposable=False)


def test_a_fault_on_data_needs_a_format_that_it_acts_on() -> None:
    source = {**PLAIN["source"], "data": ["a"], "format": "images"}  # type: ignore[dict-item]
    table, folder = Target.model_validate(PLAIN), Target.model_validate({**PLAIN, "source": source})
    assert ruled_out("data.image_damage", table) == "its data are parquet, which it does not act on"
    assert ruled_out("data.image_damage", folder) == ""
    assert ruled_out("data.unit_change", folder) == "its data are images, which it does not act on"
    assert ruled_out("data.unit_change", table) == ""


def test_an_unknown_kind_is_ruled_out_with_its_reason() -> None:
    assert ruled_out("no.such", Target.model_validate(PLAIN)) == "cannot be loaded: UnknownKind"
