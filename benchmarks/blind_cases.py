"""What the blind experiment draws from: defects that do harm, changes that do none, and the margin of each question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from chaos_tasks.model.experiment import Experiment

FLIGHTS, WEATHER = "raw/flights.parquet", "raw/weather.parquet"


@dataclass(frozen=True)
class Kind:
    """One sort of change to the data or the run, and the question that is asked of it."""

    name: str
    harmful: bool
    fault: str
    params: Mapping[str, JsonValue]
    metric: str
    margin: float
    better: str = "higher"
    target: str = "data"
    trigger: Mapping[str, JsonValue] | None = None


def _flip(name: str, fraction: float, metric: str, margin: float, *, harmful: bool, **more: JsonValue) -> Kind:
    better = "higher" if metric == "auc" else "lower"
    params = {"path": FLIGHTS, "column": "late", "fraction": fraction, **more}
    return Kind(name, harmful, "data.label_flip", params, metric, margin, better)


KINDS = (
    _flip("labels-48", 0.48, "auc", 0.015, harmful=True),
    _flip("labels-25", 0.25, "log_loss", 0.01, harmful=True),
    _flip("labels-10", 0.1, "log_loss", 0.005, harmful=True),
    _flip("labels-of-late-40", 0.4, "log_loss", 0.01, harmful=True, from_value=1),
    _flip("labels-of-ev-50", 0.5, "auc", 0.01, harmful=True, where={"carrier": "EV"}),
    _flip("labels-half-percent", 0.005, "log_loss", 0.01, harmful=False),
    _flip("labels-of-ha", 0.5, "auc", 0.02, harmful=False, where={"carrier": "HA"}),
    Kind("rows-twice", False, "data.duplicate_rows", {"path": FLIGHTS, "fraction": 0.02}, "auc", 0.02),
    Kind(
        "temperatures-lost",
        False,
        "data.missing_values",
        {"path": WEATHER, "columns": ["temp"], "fraction": 0.02, "mechanism": "mcar"},
        "log_loss",
        0.01,
        "lower",
    ),
    Kind(
        "killed-and-resumed",
        False,
        "process.kill",
        {"signal": "KILL"},
        "auc",
        0.02,
        target="workload",
        trigger={"at": "progress", "step": 50},
    ),
)


@dataclass(frozen=True)
class Case:
    """One experiment of the blind: the engine sees ``number`` and the kind's parameters, never ``kind.harmful``."""

    number: int
    kind: Kind
    base_seed: int


def draw(per_class: int, seed: int) -> list[Case]:
    """``per_class`` harmful and as many harmless cases, in random order.

    The kinds of one round share their training seeds, so that one control training serves all of them; no two cases of
    one kind share any.  So errors of one kind are independent, and those of two kinds in one round may not be.
    """
    cases = []
    for harmful in (True, False):
        pool = [kind for kind in KINDS if kind.harmful is harmful]
        cases += [(pool[i % len(pool)], 100_000 + 100 * (i // len(pool))) for i in range(per_class)]
    order = np.random.default_rng(seed).permutation(len(cases))
    return [Case(number, *cases[place]) for number, place in enumerate(order)]


def experiment(name: str, kind: Kind, base_seed: int, analysis: Mapping[str, JsonValue]) -> Experiment:
    """The kind as an experiment file would have it, under a name that says nothing."""
    check = {
        "name": "quality",
        "probe": "model.metric",
        "params": {"metric": kind.metric},
        "tolerance": {"type": "non_inferiority", "margin": kind.margin, "better": kind.better},
        "deterministic": True,
    }
    step = {"name": "change", "fault": kind.fault, "target": kind.target, "params": kind.params}
    if kind.trigger is not None:
        step |= {"trigger": kind.trigger, "draw": "per_trial"}
    return Experiment.model_validate(
        {
            "name": name,
            "hypothesis": "The change leaves the model as good as it is, within the margin.",
            "owner": "benchmarks",
            "target": "flights-ungated",
            "steady_state": [check],
            "method": [step],
            "guards": {"blast_radius": 1.0},
            "analysis": {"base_seed": base_seed, **analysis},
        }
    )
