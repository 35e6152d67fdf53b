"""Every registered kind of probe passes the shipped conformance checks, and has an example here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from chaos_tasks import registry
from chaos_tasks.model.trial import Firing, Launch, SignalEvent, Trial
from chaos_tasks.testing.probe_conformance import CHECKS, Example, bare_trial

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
        "lost_steps": 5,
    }
)
PARAMS: dict[str, dict[str, Any]] = {
    "model.metric": {"metric": "auc"},
    "model.slice_metric": {"metric": "auc", "slice": "origin=JFK"},
    "signal.fired": {"name": "drift"},
}


def example(kind: str, trial: Trial = RICH) -> Example:
    return Example(registry.probe(kind), PARAMS.get(kind, {}), trial)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", sorted(registry.PROBES))
def test_conforms(kind: str, check: Callable[[Example], None]) -> None:
    check(example(kind))


@pytest.mark.parametrize("kind", sorted(registry.PROBES))
def test_is_registered_under_its_own_kind(kind: str) -> None:
    assert registry.probe(kind).kind == kind
