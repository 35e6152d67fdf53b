"""The moments that tell a run's story: in, noticed, back, out, healthy again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from chaos_tasks.judging.dossier import Dossier
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.trial import Arm


@dataclass(frozen=True)
class Moment:
    """Something that happened; ``what`` is injected, noticed, back, reverted, healthy or stopped."""

    at: datetime
    what: str
    detail: str = ""


def moments(dossier: Dossier) -> list[Moment]:
    """All moments, by time."""
    found: list[Moment] = []
    for item in dossier.facts.injections:
        if item.injected_at is not None:
            found.append(Moment(item.injected_at, "injected", f"{item.kind} ({item.step})"))
        if item.reverted_at is not None:
            found.append(Moment(item.reverted_at, "reverted", f"{item.kind} ({item.step})"))
    seen = {item.handle_id for item in dossier.facts.injections if item.injected_at is not None}
    for trial in dossier.arm(Arm.TREATMENT):
        found += [Moment(one.fired_at, "injected", one.step) for one in trial.firings if one.handle_id not in seen]
        found += [Moment(signal.at, "noticed", f"{signal.name}, seed {trial.seed}") for signal in trial.signals]
        for launch in trial.launches[1:]:
            found.append(Moment(launch.first_progress_at or launch.started_at, "back", f"seed {trial.seed}"))
    for stored in dossier.records:
        if stored.record.kind is RecordKind.RECOVERY_MEASURED and dossier.facts.recovery is not None:
            what = "healthy" if dossier.facts.recovery.healthy else "not healthy"
            found.append(Moment(stored.record.occurred_at, what, dossier.facts.recovery.detail))
    return sorted(found, key=lambda moment: (moment.at, moment.what, moment.detail))
