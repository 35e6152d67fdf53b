"""Every registered kind of probe passes the shipped conformance checks, and has an example here."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks import registry
from chaos_tasks.model.progress import Setback, TrialProgress
from chaos_tasks.model.trial import Arm, Firing, Launch, PastRun, SignalEvent, Trial
from chaos_tasks.probes.dvc_reads import SHOWN
from chaos_tasks.testing.probe_conformance import CHECKS, Example, bare_trial
from tests import predictions

START = bare_trial().started_at
RICH = bare_trial().model_copy(
    update={
        "metrics": {"auc": 0.9},
        "slices": {"origin=JFK": {"auc": 0.88, "n": 200.0}},
        "launches": (
            Launch(pid=1, started_at=START, exit_code=-9, first_step=5, last_step=20),
            Launch(
                pid=2,
                started_at=START + timedelta(seconds=4),
                exit_code=0,
                first_step=15,
                last_step=50,
                first_progress_at=START + timedelta(seconds=6),
            ),
        ),
        "firings": (Firing(step="kill", handle_id="h/0", fired_at=START + timedelta(seconds=3)),),
        "signals": (SignalEvent(name="drift", at=START),),
        "progress": TrialProgress(
            span_s=10,
            useful_s=6,
            setbacks=(
                Setback(
                    handle_id="h/0",
                    fired_at=START + timedelta(seconds=3),
                    held_at=START + timedelta(seconds=3),
                    step_before=20,
                    resumed_from=15,
                    restarted_at=START + timedelta(seconds=4),
                    back_at=START + timedelta(seconds=6),
                    caught_up_at=START + timedelta(seconds=8),
                ),
            ),
        ),
        "history": tuple(
            PastRun(run_id=f"r{day}", at=START - timedelta(days=60 - day), metrics={"auc": 0.9 + (day * 7 % 13) / 1000})
            for day in range(60)
        ),
        "lost_steps": 5,
    }
)
PARAMS: dict[str, dict[str, Any]] = {
    "dvc.metric": {"name": "test.auc", "file": "out/m.json"},
    "dvc.param": {"name": "train.lr"},
    "model.fairness_gap": {"group": "origin", "predictions": predictions.LAYOUT.model_dump()},
    "model.metric": {"metric": "auc"},
    "history.metric": {"metric": "auc"},
    "model.slice_metric": {"metric": "auc", "slice": "origin=JFK"},
    "model.tail": {"file": "decisions.jsonl", "field": "lag", "quantile": 0.99, "unit": "s"},
    "signal.fired": {"name": "drift"},
}


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A trial with everything that a probe may read, files too."""
    folder, lags = tmp_path_factory.mktemp("probes"), [place / 100 for place in range(200)]
    left = predictions.trial(folder, Arm.TREATMENT, predictions.drawn(), lags=lags)
    shown = {"metrics": {"out/m.json": {"test": {"auc": 0.9}}}, "params": {"train": {"lr": 0.1}}}
    (Path(left.out) / SHOWN).write_text(json.dumps(shown))
    return RICH.model_copy(update={"out": left.out, "files": left.files})


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", sorted(registry.PROBES))
def test_conforms(kind: str, check: Callable[[Example], None], rich: Trial) -> None:
    check(Example(registry.probe(kind), PARAMS.get(kind, {}), rich))


@pytest.mark.parametrize("kind", sorted(registry.PROBES))
def test_is_registered_under_its_own_kind(kind: str) -> None:
    assert registry.probe(kind).kind == kind
