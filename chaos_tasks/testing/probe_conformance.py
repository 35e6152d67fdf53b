"""The checks that every kind of probe passes, ours or anyone's.

Each ``check_*`` takes an Example and raises AssertionError with a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import JsonValue

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.trial import Arm, Trial, TrialStatus
from chaos_tasks.probes.base import Measurement, Probe

AnyProbe = Probe[Any]
SHAPES = (bool, int, float, str)

_START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Example:
    """A probe, parameters, and a trial from which it can measure."""

    probe: AnyProbe
    params: Mapping[str, JsonValue]
    trial: Trial

    def measure(self, trial: Trial) -> Measurement:
        """What the probe reads from a trial."""
        return self.probe.measure(trial, self.probe.params_type.model_validate(dict(self.params)))


def bare_trial(status: TrialStatus = TrialStatus.COMPLETED) -> Trial:
    """A trial that left nothing behind."""
    end = _START + timedelta(seconds=1)
    return Trial(
        id="bare", run_id="run", arm=Arm.TREATMENT, seed=1, status=status, started_at=_START, ended_at=end, wall_s=1.0
    )


def check_describes_itself(example: Example) -> None:
    """Kind, summary and oracle are what people and the judge go by."""
    probe = example.probe
    assert "." in probe.kind, f"{probe.kind}: a kind is family.noun"
    assert probe.summary, f"{probe.kind}: a probe says in one line what it reads"
    assert isinstance(probe.oracle, bool), f"{probe.kind}: oracle is True or False"


def check_measures(example: Example) -> None:
    """It reads one scalar from the example."""
    value = example.measure(example.trial).value
    assert isinstance(value, SHAPES), f"{example.probe.kind} read {value!r}, which is no scalar"


def check_repeats(example: Example) -> None:
    """The same trial gives the same reading, from a record too."""
    again = Trial.model_validate_json(example.trial.canonical())
    assert example.measure(again) == example.measure(example.trial), f"{example.probe.kind}: two readings of one trial"


def check_reading_survives_the_record(example: Example) -> None:
    """The reading is the same after a round trip through JSON."""
    reading = example.measure(example.trial)
    again = Measurement.model_validate_json(reading.canonical())
    assert again == reading, f"{example.probe.kind}: {reading} became {again}"


def check_says_when_it_cannot_measure(example: Example) -> None:
    """From a trial that left nothing behind it reads something or raises ProbeError with a remedy; nothing else."""
    for status in TrialStatus:
        try:
            example.measure(bare_trial(status))
        except ProbeError as error:
            assert error.message, f"{example.probe.kind}: a ProbeError without a message"
            assert error.remedy, f"{example.probe.kind}: a ProbeError without a remedy: {error.message}"


def check_void_trials_say_nothing(example: Example) -> None:
    """A void or aborted trial is never measured."""
    for status in (TrialStatus.VOID, TrialStatus.ABORTED):
        trial = example.trial.model_copy(update={"status": status})
        try:
            reading = example.measure(trial)
        except ProbeError:
            continue
        raise AssertionError(f"{example.probe.kind} read {reading.value!r} from a trial that was {status.value}")


CHECKS: tuple[Callable[[Example], None], ...] = (
    check_describes_itself,
    check_measures,
    check_repeats,
    check_reading_survives_the_record,
    check_says_when_it_cannot_measure,
    check_void_trials_say_nothing,
)
