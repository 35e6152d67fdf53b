"""Every registered kind of probe that compares a pair passes the shipped checks, and has an example here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chaos_tasks import registry
from chaos_tasks.model.experiment import NonInferiority
from chaos_tasks.model.trial import Arm, Trial
from chaos_tasks.probes.base import PairQuestion
from chaos_tasks.testing.pair_conformance import CHECKS, Example
from tests import predictions

PARAMS: dict[str, tuple[dict[str, Any], ...]] = {
    "rows.fairness_gap": (
        {"group": "origin"},
        {"group": "origin", "gap": "accuracy", "form": "ratio", "threshold": 0.3, "min_group": 50},
    ),
    "rows.metric": (
        *({"metric": metric} for metric in ("accuracy", "log_loss", "brier", "auc", "ece")),
        {"metric": "auc", "slice": "origin=JFK"},
    ),
    "rows.prediction_shift": tuple({"measure": name} for name in ("mean_move", "flips", "wasserstein", "psi")),
    "rows.worst_slice": tuple({"metric": name, "columns": ["origin"]} for name in ("accuracy", "log_loss", "auc")),
    "series.mean": ({"file": "decisions.jsonl", "field": "lag", "unit": "s"},),
    "series.tail": ({"file": "decisions.jsonl", "field": "lag", "quantile": 0.95},),
}
CASES = [(kind, params) for kind in sorted(registry.PAIR_PROBES) for params in PARAMS[kind]]


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trial, Trial]:
    folder, draw = tmp_path_factory.mktemp("pair"), np.random.default_rng(3)
    spoilt = predictions.drawn(shift=0.2, noise=0.3)
    lags = [draw.exponential(mean, 600).tolist() for mean in (0.2, 0.3)]
    control = predictions.trial(folder, Arm.CONTROL, predictions.drawn(), lags=lags[0])
    return control, predictions.trial(folder, Arm.TREATMENT, spoilt, lags=lags[1])


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("kind", "params"), CASES, ids=lambda case: case if isinstance(case, str) else "-")
def test_conforms(
    kind: str, params: dict[str, Any], check: Callable[[Example], None], trials: tuple[Trial, Trial]
) -> None:
    probe = registry.pair_probe(kind)
    better = probe.better(registry.pair_probe_params(kind, params))
    tolerance = NonInferiority(margin=0.05, better=better or "lower")
    layout = predictions.LAYOUT if kind.startswith("rows.") else None
    question = PairQuestion(tolerance=tolerance, alpha=0.05, predictions=layout)
    check(Example(probe, params, question, *trials))


@pytest.mark.parametrize("kind", sorted(registry.PAIR_PROBES))
def test_is_registered_under_its_own_kind(kind: str) -> None:
    assert registry.pair_probe(kind).kind == kind


def test_a_kind_reads_one_trial_or_compares_two() -> None:
    assert not set(registry.PAIR_PROBES) & set(registry.PROBES)
