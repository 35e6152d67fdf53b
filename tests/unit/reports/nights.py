"""Two made-up nights: held, silent, newly deviated, unreverted, not known, refused, known and stale experiments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from chaos_tasks.judging.judge import judge
from chaos_tasks.model.experiment import KnownFinding
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.record import Note, RecordKind, Stored
from chaos_tasks.reports.night import Period
from tests.unit.judging.cases import AUC, T0, facts, handle, log_of, paired, plan, signal, stored

GOOD = [0.902, 0.911, 0.893, 0.921]
SAME = [0.901, 0.912, 0.892, 0.920]
BAD = [0.871, 0.879, 0.864, 0.889]
NEAR = [0.894, 0.899, 0.889, 0.911]
KINDS = ("cloud.deny_access", "data.label_flip", "process.kill", "stream.drop")
NOW = T0 + timedelta(hours=5)
TONIGHT = Period(title="Night of 2026-11-23", since=T0, until=NOW, campaign_id="2026-11-23")

Values = Sequence[Any]


def run(
    name: str,
    treatment: Values,
    *,
    seq: int,
    nights_ago: int = 0,
    phase: Phase = Phase.REVERTED,
    alarm: str = "",
    known: bool = False,
    owner: str = "ml-platform",
) -> list[Stored]:
    """The records of one run of one experiment."""
    finding = KnownFinding(ticket="ML-7", reason="accepted", expires=date(2027, 1, 1)) if known else None
    night = T0 - timedelta(days=nights_ago)
    made = plan([AUC], name=name, known_finding=finding).model_copy(
        update={
            "run_id": f"{night:%Y-%m-%d}/{name}",
            "campaign_id": f"{night:%Y-%m-%d}",
            "planned_at": night + timedelta(minutes=seq % 50),
        }
    )
    made = made.model_copy(update={"experiment": made.experiment.model_copy(update={"owner": owner})})
    trials, observations = paired(GOOD, treatment, signals=(signal(alarm),) if alarm else ())
    trials = [
        trial.model_copy(update={"run_id": made.run_id, "metrics": {"auc": item.value}, **_shift(trial, night)})
        for trial, item in zip(trials, observations, strict=True)
    ]
    state = handle(phase)
    renamed = state.handle.model_copy(update={"id": f"{made.run_id}/flip"})
    verdict = judge(made, trials, observations, [state.model_copy(update={"handle": renamed})], facts(), night)
    log = log_of(made, trials, observations, verdict, first_seq=seq)
    if phase is not Phase.REVERTED:
        log = [one for one in log if one.record.kind is not RecordKind.REVERT_VERIFIED]
    return log


def _shift(trial: Any, night: datetime) -> dict[str, datetime]:
    by = night - T0
    return {"started_at": trial.started_at + by, "ended_at": trial.ended_at + by}


def refused(name: str, text: str, seq: int) -> Stored:
    """The record of a run that was refused."""
    made = plan(name=name).model_copy(update={"run_id": f"2026-11-23/{name}"})
    note = Note(text=text, facts={"campaign_id": "2026-11-23"})
    return stored(made, seq, RecordKind.RUN_REFUSED, note)


def two_nights() -> list[Stored]:
    """All of it, in log order."""
    return [
        *run("forgotten", SAME, seq=0, nights_ago=12),
        *run("label-flip", SAME, seq=50, nights_ago=1),
        *run("stale-version", BAD, seq=100, nights_ago=1, alarm="drift"),
        *run("unit-change", SAME, seq=150, nights_ago=1),
        *run("label-flip", BAD, seq=200, owner="credit-risk"),
        *run("stale-version", BAD, seq=250, alarm="drift"),
        *run("unit-change", BAD, seq=300, alarm="schema gate"),
        *run("missing-values", SAME, seq=350),
        *run("late-data", NEAR, seq=400),
        *run("deny-access", SAME, seq=450, phase=Phase.UNREVERTED),
        *run("scaling", BAD, seq=500, known=True),
        refused("drop-records", "the sweeper has not been seen for 90 s", 550),
    ]
