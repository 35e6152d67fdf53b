"""Scores one flight at a time with a logistic model in plain Python, and says what a decision costs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Model = Mapping[str, Any]
HOLDING = 1.0  # the connecting flight waits: paid whether its feeder turns out late or not
MISSED = 4.0  # the feeder came late and the connection had gone
THRESHOLD = HOLDING / MISSED


def load(path: Path) -> Model:
    model: Model = json.loads(path.read_text())
    return model


def score(model: Model, flight: Mapping[str, Any]) -> float:
    """The chance of being late; a field that is absent raises, a missing number counts as average."""
    logit = model["intercept"]
    for name, weights in model["categories"].items():
        logit += weights.get(str(flight[name]), 0.0)
    for name, number in model["numbers"].items():
        if (value := flight[name]) is not None:
            logit += number["weight"] * (value - number["mean"]) / number["scale"]
    return 1 / (1 + math.exp(-max(-500.0, min(500.0, logit))))


def hold(chance: float) -> bool:
    return chance > THRESHOLD


def cost(late: bool, held: bool) -> float:
    """No decision in time is the decision not to hold."""
    if held:
        return HOLDING
    return MISSED if late else 0.0
