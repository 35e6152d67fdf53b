"""The moments that tell a run's story: fault in, noticed, back, caught up, reverted, healthy again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from chaos_tasks.judging.dossier import Dossier
from chaos_tasks.judging.evidence import gather
from chaos_tasks.judging.notices import RESTART, listen
from chaos_tasks.judging.wording import count, seconds
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.trial import Arm, Trial

IN, NOTICED, RANG, BACK, CAUGHT_UP, OUT = "injected", "noticed", "rang", "back", "caught up", "reverted"
HEALTHY, NOT_HEALTHY = "healthy", "not healthy"


@dataclass(frozen=True)
class Moment:
    """Something that happened; ``what`` is injected, noticed, rang, back, caught up, reverted, healthy or not healthy.

    What *rang* is a signal that does not count as noticing the fault; the detail says why.
    """

    at: datetime
    what: str
    detail: str = ""


def moments(dossier: Dossier) -> list[Moment]:
    """All moments, by time."""
    found = [*_acts(dossier), *_signals(dossier), *_recovery(dossier)]
    for trial in dossier.arm(Arm.TREATMENT):
        found += _comebacks(trial)
    return sorted(found, key=lambda moment: (moment.at, moment.what, moment.detail))


def within(dossier: Dossier) -> list[Moment]:
    """Those up to the run's last record: what is noticed once labels are known would stretch a picture by days."""
    last = max([stored.record.occurred_at for stored in dossier.records] + [one.ended_at for one in dossier.trials])
    return [moment for moment in moments(dossier) if moment.at <= last]


def _acts(dossier: Dossier) -> Iterator[Moment]:
    """Faults in and out, the firings of trials included."""
    for item in dossier.facts.injections:
        if item.injected_at is not None:
            yield Moment(item.injected_at, IN, f"{item.kind} ({item.step})")
        if item.reverted_at is not None:
            yield Moment(item.reverted_at, OUT, f"{item.kind} ({item.step})")
    seen = {item.handle_id for item in dossier.facts.injections if item.injected_at is not None}
    for trial in dossier.arm(Arm.TREATMENT):
        yield from (Moment(one.fired_at, IN, one.step) for one in trial.firings if one.handle_id not in seen)


def _signals(dossier: Dossier) -> Iterator[Moment]:
    """What the owners heard; a restart is told by its coming back."""
    if dossier.plan is None:
        return
    heard = listen(dossier.plan, gather(dossier.trials, dossier.observations), dossier.facts)
    for trial in dossier.arm(Arm.TREATMENT):
        if trial.id not in heard:
            continue
        notices = heard[trial.id]
        for event, told in zip(notices.events, notices.heard, strict=True):
            if event.name == RESTART:
                continue
            why = f" ({told.discounted.value})" if told.discounted is not None else ""
            waited = f", once labels were known {seconds(event.label_delay_s)} later" if event.label_delay_s else ""
            detail = f"{event.name}, seed {trial.seed}{waited}{why}"
            yield Moment(event.at, NOTICED if told.discounted is None else RANG, detail)


def _comebacks(trial: Trial) -> Iterator[Moment]:
    """When a run was back and had caught up; without visible progress, when its next launch was."""
    if trial.progress is not None and trial.progress.setbacks:
        for one in trial.progress.setbacks:
            again = f", {count(one.redone_steps, 'step')} to do again" if one.redone_steps else ""
            if one.back_at is not None:
                yield Moment(one.back_at, BACK, f"seed {trial.seed}{again}")
            if one.caught_up_at is not None:
                yield Moment(one.caught_up_at, CAUGHT_UP, f"seed {trial.seed}")
        return
    for launch in trial.launches[1:]:
        yield Moment(launch.first_progress_at or launch.started_at, BACK, f"seed {trial.seed}")


def _recovery(dossier: Dossier) -> Iterator[Moment]:
    recovery = dossier.facts.recovery
    for stored in dossier.records:
        if stored.record.kind is RecordKind.RECOVERY_MEASURED and recovery is not None:
            yield Moment(stored.record.occurred_at, HEALTHY if recovery.healthy else NOT_HEALTHY, recovery.detail)
