"""The checks that every kind of probe which compares a pair of trials passes, ours or anyone's.

Each ``check_*`` takes an Example and raises AssertionError with a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import JsonValue

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.trial import PairMeasured, Trial, TrialStatus
from chaos_tasks.probes.base import PairProbe, PairQuestion

AnyPairProbe = PairProbe[Any]
LARGEST = 8192
"""Bytes of a measurement beyond which it may hold rows."""


@dataclass(frozen=True)
class Example:
    """A probe, parameters, what is asked, and two trials that it can compare."""

    probe: AnyPairProbe
    params: Mapping[str, JsonValue]
    question: PairQuestion
    control: Trial
    treatment: Trial

    def compare(self) -> PairMeasured:
        """What the probe says of the two trials."""
        params = self.probe.params_type.model_validate(dict(self.params))
        return self.probe.compare(self.control, self.treatment, params, self.question)

    def refusal(self) -> ProbeError | None:
        """Why it does not compare them; None when it does."""
        try:
            self.compare()
        except ProbeError as error:
            return error
        return None


def check_describes_itself(example: Example) -> None:
    """Kind, summary and direction are what people and the loader go by."""
    probe = example.probe
    assert "." in probe.kind, f"{probe.kind}: a kind is family.noun"
    assert probe.summary, f"{probe.kind}: a probe says in one line what it compares"
    better = probe.better(probe.params_type.model_validate(dict(example.params)))
    assert better in ("higher", "lower", None), f"{probe.kind}: {better} is no direction"


def check_compares(example: Example) -> None:
    """It gives an estimate within its interval, the margin, and what it is based on."""
    kind, found = example.probe.kind, example.compare()
    assert found.estimate is not None, f"{kind}: no estimate"
    assert found.low is not None, f"{kind}: no lower end"
    assert found.high is not None, f"{kind}: no upper end"
    assert math.isfinite(found.estimate), f"{kind} estimated {found.estimate}"
    assert found.low <= found.high, f"{kind}: an interval from {found.low} to {found.high}"
    assert found.margin is not None, f"{kind}: an estimate without its margin"
    assert found.level is not None, f"{kind}: an interval without its level"
    assert abs(found.level - (1 - 2 * example.question.alpha)) < 1e-9, f"{kind}: level {found.level}"
    assert found.n_rows > 0, f"{kind}: based on no row"
    assert found.method, f"{kind}: no method named"
    assert set(found.files) == {"control", "treatment"}, f"{kind}: digests of both files, not {sorted(found.files)}"


def check_a_model_is_not_worse_than_itself(example: Example) -> None:
    """The control compared with itself has an estimate of 0 within its interval."""
    itself = example.control.model_copy(update={"id": f"{example.control.id}/again"})
    found = replace(example, treatment=itself).compare()
    assert found.estimate is not None, f"{example.probe.kind}: no estimate"
    assert abs(found.estimate) < 1e-12, f"{example.probe.kind}: a model is {found.estimate} worse than itself"
    assert found.low is not None, f"{example.probe.kind}: no lower end"
    assert found.high is not None, f"{example.probe.kind}: no upper end"
    assert found.low <= 1e-12, f"{example.probe.kind}: a model is worse than itself by {found.low} at least"
    assert found.high >= -1e-12, f"{example.probe.kind}: a model is worse than itself by {found.high} at most"


def check_repeats(example: Example) -> None:
    """The same trials give the same numbers to the last bit, from a record too."""
    control, treatment = (Trial.model_validate_json(one.canonical()) for one in (example.control, example.treatment))
    again = replace(example, control=control, treatment=treatment).compare()
    assert again.canonical() == example.compare().canonical(), f"{example.probe.kind}: two answers to one question"


def check_survives_the_record(example: Example) -> None:
    """What was measured is the same after a round trip through JSON."""
    found = example.compare()
    again = PairMeasured.model_validate_json(found.canonical())
    assert again.canonical() == found.canonical(), f"{example.probe.kind}: {found} became {again}"


def check_no_row_leaves(example: Example) -> None:
    """A measurement is numbers and names, however many rows there were."""
    size = len(example.compare().canonical())
    assert size <= LARGEST, f"{example.probe.kind}: {size} bytes are more than a measurement"


def check_trials_that_did_not_complete_are_not_compared(example: Example) -> None:
    """Only trials that ran to their end have predictions that mean anything."""
    for status in TrialStatus:
        if status is TrialStatus.COMPLETED:
            continue
        for arm in ("control", "treatment"):
            trial = getattr(example, arm).model_copy(update={"status": status})
            _refuses(replace(example, **{arm: trial}), f"a {arm} trial that was {status.value}")


def check_only_pairs_are_compared(example: Example) -> None:
    """Trials of other seeds are no pair."""
    other = example.treatment.model_copy(update={"seed": example.control.seed + 1})
    _refuses(replace(example, treatment=other), "trials of two seeds")


def check_says_when_predictions_are_missing(example: Example) -> None:
    """Neither an undeclared nor an absent file is compared, nor one that is not the recorded one."""
    gone = example.treatment.model_copy(update={"out": ""})
    _refuses(replace(example, treatment=gone), "a trial without files")
    layout = example.question.predictions
    if layout is None:  # it reads another file, which its parameters name
        return
    undeclared = example.question.model_copy(update={"predictions": None})
    _refuses(replace(example, question=undeclared), "undeclared predictions")
    changed = example.treatment.model_copy(update={"files": {layout.path: "0" * 64}})
    _refuses(replace(example, treatment=changed), "a file that is not the recorded one")


def check_refuses_the_other_direction(example: Example) -> None:
    """A file that calls a metric's bad direction better would pass harm."""
    better = example.probe.better(example.probe.params_type.model_validate(dict(example.params)))
    if better is None:
        return
    wrong = example.question.tolerance.model_copy(update={"better": "lower" if better == "higher" else "higher"})
    _refuses(replace(example, question=example.question.model_copy(update={"tolerance": wrong})), "the wrong direction")


def _refuses(example: Example, what: str) -> None:
    error = example.refusal()
    assert error is not None, f"{example.probe.kind} compared {what}"
    assert error.message, f"{example.probe.kind}: a ProbeError without a message"
    assert error.remedy, f"{example.probe.kind}: a ProbeError without a remedy: {error.message}"


CHECKS: tuple[Callable[[Example], None], ...] = (
    check_describes_itself,
    check_compares,
    check_a_model_is_not_worse_than_itself,
    check_repeats,
    check_survives_the_record,
    check_no_row_leaves,
    check_trials_that_did_not_complete_are_not_compared,
    check_only_pairs_are_compared,
    check_says_when_predictions_are_missing,
    check_refuses_the_other_direction,
)
