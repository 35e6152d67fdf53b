"""Trials and readings of a run, by arm and seed: what each check is judged on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from chaos_tasks.model.base import Json
from chaos_tasks.model.experiment import Check, When
from chaos_tasks.model.trial import Arm, Observation, PairObservation, Trial, TrialStatus

SAYS_NOTHING = frozenset({TrialStatus.VOID, TrialStatus.ABORTED})
ENDED_BADLY = frozenset({TrialStatus.FAILED, TrialStatus.TIMED_OUT})


@dataclass(frozen=True)
class Evidence:
    """At most one trial per arm and seed: the last one that says something."""

    trials: Mapping[tuple[Arm, int], Trial]
    readings: Mapping[tuple[str, str], Observation]
    without_word: tuple[Trial, ...]  # void or aborted, and not made up for by a later trial of that arm and seed
    pairs: Mapping[tuple[str, int], PairObservation] = field(default_factory=dict)  # by check and seed

    def arm(self, arm: Arm) -> list[Trial]:
        """Trials of an arm, by seed."""
        return [self.trials[key] for key in sorted(self.trials) if key[0] is arm]

    def reading(self, check: Check, trial: Trial) -> Json:
        """What the check's probe read from the trial; None when it could not measure."""
        found = self.readings.get((check.name, trial.id))
        return found.value if found is not None and not found.error else None

    def compared(self, check: Check) -> list[PairObservation]:
        """What the check's pair probe read, by seed; only of trials that count."""
        found = [self.pairs[key] for key in sorted(self.pairs) if key[0] == check.name]
        counted = {trial.id for trial in self.trials.values()}
        return [pair for pair in found if {pair.control_id, pair.treatment_id} <= counted]

    def error(self, check: Check, trial: Trial) -> str:
        """Why the check's probe could not measure."""
        found = self.readings.get((check.name, trial.id))
        return (found.error or "it read nothing") if found is not None else "it was not asked"


def gather(
    trials: Sequence[Trial], observations: Sequence[Observation], pairs: Sequence[PairObservation] = ()
) -> Evidence:
    """Index trials and observations; where one is there twice, the later one counts."""
    chosen: dict[tuple[Arm, int], Trial] = {}
    for trial in trials:
        if trial.status not in SAYS_NOTHING:
            chosen[trial.arm, trial.seed] = trial
    silent = {(trial.arm, trial.seed): trial for trial in trials if trial.status in SAYS_NOTHING}
    return Evidence(
        trials=chosen,
        readings={(item.check, item.trial_id): item for item in observations},
        without_word=tuple(trial for key, trial in sorted(silent.items()) if key not in chosen),
        pairs={(pair.check, pair.seed): pair for pair in pairs},
    )


class Standing(StrEnum):
    """What one trial contributes to one check."""

    READ = "read"
    BLOCKED = "blocked"  # the gate refused, so there is nothing new to measure
    FAILED = "failed"  # ended badly, so there is nothing to measure
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Sorted:
    """The trials of one arm, by what they contribute to one check."""

    read: Mapping[int, Json] = field(default_factory=dict)  # seed -> value
    blocked: tuple[Trial, ...] = ()
    failed: tuple[Trial, ...] = ()
    unreadable: tuple[Trial, ...] = ()

    @property
    def count(self) -> int:
        """All trials."""
        return len(self.read) + len(self.blocked) + len(self.failed) + len(self.unreadable)


def sort_trials(check: Check, evidence: Evidence, trials: Iterable[Trial]) -> Sorted:
    """Sort the trials of an arm by what they contribute to the check."""
    read: dict[int, Json] = {}
    rest: dict[Standing, list[Trial]] = {standing: [] for standing in Standing}
    for trial in trials:
        value = evidence.reading(check, trial)
        if value is not None:
            read[trial.seed] = value
        else:
            rest[_standing(check, trial)].append(trial)
    return Sorted(read, tuple(rest[Standing.BLOCKED]), tuple(rest[Standing.FAILED]), tuple(rest[Standing.UNREADABLE]))


def _standing(check: Check, trial: Trial) -> Standing:
    """Why there is no value.  A refused training leaves the control's model in service, so `always` still holds."""
    if trial.status is TrialStatus.BLOCKED and check.when is When.ALWAYS:
        return Standing.BLOCKED
    return Standing.FAILED if trial.status in ENDED_BADLY else Standing.UNREADABLE


def asked_arm(check: Check) -> Arm:
    """Whose trials the check is about."""
    return Arm.RECOVERY if check.when is When.AFTER else Arm.TREATMENT
