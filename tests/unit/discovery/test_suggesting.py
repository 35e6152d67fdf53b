"""Suggestions follow from what a target has, load as experiments, and each refusal has its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks import registry
from chaos_tasks.discovery.knowing import Control, DataFile, Known
from chaos_tasks.discovery.suggesting import suggest, text_of
from chaos_tasks.loading import load_experiment
from chaos_tasks.model.target import Target
from chaos_tasks.settings import TargetEntry

ALL = ("data", "process", "cloud", "stream", "airflow")


def _target(**more: object) -> Target:
    source = {"type": "dvc", "repo": "x", "data": ["rows.csv"], "format": "csv"}
    workload = {"type": "command", "run": "true"}
    return Target.model_validate({"name": "tiny", "source": source, "workload": workload, **more})


def _entry(*families: str) -> TargetEntry:
    return TargetEntry(file="x", environment="dev", disposable=True, families=families)


def _known(*, values: tuple[str, ...] = ("0", "1"), versions: int = 1, control: bool = True) -> Known:
    file = DataFile(path="rows.csv", columns=("age of", "late"), label="late", label_values=values, versions=versions)
    metrics = {"auc": 0.9, "train_auc": 0.99, "test_rmse": 3.1, "rows": 12.0}
    return Known(files=(file,), control=Control(commit="c", wall_s=4.0, metrics=metrics) if control else None)


def test_silent_harm_comes_first_and_every_file_loads(tmp_path: Path) -> None:
    resources = {
        "b": {"type": "s3", "bucket": "b", "principal": "p"},
        "s": {"type": "redis_stream", "url": "redis://h", "key": "k"},
        "m": {"type": "ec2_instance", "instance_id": "i-1"},
    }
    target = _target(resources=resources, reads={"checkpoints": "*.pt"})
    found = suggest(target, _entry(*ALL), _known(versions=3))
    assert found.experiments[0].fault == "data.label_flip"
    kinds = {one.fault for one in found.experiments}
    assert kinds | {one.fault for one in found.refused} == set(registry.fault_kinds())
    assert kinds == set(registry.fault_kinds()) - {one.fault for one in found.refused}
    assert len(kinds) >= 14
    for one in found.experiments:
        path = tmp_path / f"{one.name}.yaml"
        path.write_text(text_of(target, "me", one, 4.0), encoding="utf-8")
        loaded = load_experiment(path).experiment
        assert loaded.name == one.name
        assert not loaded.nightly
        assert loaded.method[0].fault == one.fault


def test_checks_ask_for_the_numbers_of_the_control_trial_in_their_direction() -> None:
    flip = suggest(_target(), _entry("data"), _known()).experiments[0]
    auc, rmse = flip.checks
    assert auc["params"] == {"metric": "auc"}
    assert auc["tolerance"] == {"type": "non_inferiority", "margin": 0.02, "better": "higher"}
    assert rmse["tolerance"] == {"type": "non_inferiority", "margin": 0.05, "relative": True, "better": "lower"}


def test_a_label_of_many_classes_is_flipped_from_one_to_another() -> None:
    flip = suggest(_target(), _entry("data"), _known(values=("a", "b", "c"))).experiments[0]
    assert flip.step["params"]["from_value"] == "a"
    assert flip.step["params"]["to_value"] == "b"


@pytest.mark.parametrize(
    ("kind", "families", "known", "why"),
    [
        ("data.label_flip", ("process",), _known(), "not allowed by squall.toml"),
        ("data.label_flip", ALL, Known(troubles=("rows.csv: absent",)), "rows.csv: absent"),
        ("data.label_flip", ALL, _known(values=()), "many values"),
        ("data.stale_version", ALL, _known(), "one version only"),
        ("process.kill", ALL, _known(control=False), "squall doctor"),
        ("process.torn_checkpoint", ALL, _known(), "reads.checkpoints"),
        ("cloud.deny_access", ALL, _known(), "no such resource"),
    ],
)
def test_a_refusal_says_what_is_lacking(kind: str, families: tuple[str, ...], known: Known, why: str) -> None:
    refused = {one.fault: one.why for one in suggest(_target(), _entry(*families), known).refused}
    assert why in refused[kind]
