"""What an experiment file may not ask of forks, ladders and nights."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from chaos_tasks.model.experiment import Experiment

KILL = {"name": "kill", "fault": "process.kill", "target": "workload", "trigger": {"at": "progress", "step": 70}}
CHECK = {"name": "done", "probe": "workload.completed", "tolerance": {"type": "exactly", "value": True}}


def experiment(analysis: dict[str, Any], **step: Any) -> Experiment:
    told = {"name": "long", "hypothesis": "A long training survives.", "owner": "ml", "target": "flights"}
    method = [{**KILL, **step}]
    return Experiment.model_validate({**told, "steady_state": [CHECK], "method": method, "analysis": analysis})


@pytest.mark.parametrize(
    ("analysis", "step", "why"),
    [
        ({"fork": {"at_step": 70}}, {}, "fires at step 70, and treatment trials only start at step 70"),
        ({"fork": {"at_step": 80}}, {}, "choose an analysis.fork.at_step below"),
        ({"fork": {"at_step": 60}}, {"trigger": {"at": "file", "glob": "*.pt"}}, "the checkpoint that a fork starts"),
        ({"fork": {"at_step": 60}, "ladder": ["half"]}, {}, "leave out `fork` or `ladder`"),
        ({"ladder": ["half", "half"]}, {}, "names a rung twice"),
        ({"nights": 2, "design": "fixed"}, {}, "nothing can be carried over"),
    ],
)
def test_what_cannot_be_is_refused_with_its_remedy(analysis: dict[str, Any], step: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        experiment(analysis, **step)


def test_what_can_be_is_accepted() -> None:
    assert experiment({"fork": {"at_step": 69}}).analysis.fork is not None
    elapsed = {"trigger": {"at": "elapsed", "after": "2s"}}
    assert experiment({"fork": {"at_step": 70}}, **elapsed).analysis.fork is not None
    assert experiment({"ladder": ["quarter", "half"], "nights": 3}).analysis.nights == 3
