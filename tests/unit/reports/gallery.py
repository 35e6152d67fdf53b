"""Made-up runs whose panels are worth a look: shown, open and degenerate, of every unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from chaos_tasks.judging.judge import judge
from chaos_tasks.model.experiment import Analysis, Check, Design, Exactly, NonInferiority, Range, Unit, When
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.record import Stored
from chaos_tasks.model.trial import PairObservation, TrialStatus
from tests.unit.judging.cases import AUC, T0, facts, handle, log_of, paired, plan, signal

DONE = Check(name="completes", probe="workload.completed", tolerance=Exactly(value=True), when=When.UNDER_FAULT)
FAST = Check(name="recovers-in-time", probe="response.recover_s", tolerance=Range(max=10), when=When.UNDER_FAULT)
ROWS = Check(
    name="log-loss-of-this-model",
    probe="rows.metric",
    params={"metric": "log_loss"},
    tolerance=NonInferiority(margin=0.01, better="lower"),
    unit=Unit.ROW,
)
LOSS = Check(
    name="log-loss",
    probe="model.metric",
    params={"metric": "log_loss"},
    tolerance=NonInferiority(margin=0.02, better="lower", relative=True),
)
BASE = [0.9021, 0.9113, 0.8932, 0.9208, 0.9047, 0.8991, 0.9102, 0.8967]
SMALL = [0.0004, -0.0007, 0.0003, 0.0011, -0.0002, 0.0006, -0.0009, 0.0002]
WIDE = [0.004, 0.019, -0.009, 0.022, 0.001, 0.015, -0.004, 0.017]


def run(
    name: str,
    control: Sequence[Any],
    treatment: Sequence[Any],
    checks: Sequence[Check] = (AUC,),
    *,
    seq: int = 0,
    also: Sequence[Sequence[Any]] = (),
    pairs: Sequence[PairObservation] = (),
    status: TrialStatus = TrialStatus.COMPLETED,
    alarm: str = "",
    analysis: Analysis | None = None,
) -> list[Stored]:
    """The records of one run; ``also`` holds the readings of the second check and so on, of both arms in turn."""
    made = plan(list(checks), seeds=8, name=name, analysis=analysis or Analysis(seeds=8))
    signals = (signal(alarm, 0.4),) if alarm else ()
    trials, observations = paired(control, treatment, status, checks[0].name, signals=signals)
    for check, values in zip(checks[1:], also, strict=False):
        half = len(values) // 2
        _, more = paired(values[:half], values[half:], status, check.name)
        observations += more
    verdict = judge(
        made, trials, observations, [handle(Phase.REVERTED)], facts(), T0 + timedelta(minutes=9), pairs=pairs
    )
    return log_of(made, trials, observations, verdict, first_seq=seq, pairs=pairs)


def rows_pair(estimate: float, low: float, high: float, log_e_pass: float, log_e_fail: float) -> PairObservation:
    """What a probe of unit row measured."""
    return PairObservation(
        check=ROWS.name,
        seed=100,
        control_id="run-labels-control-100",
        treatment_id="run-labels-treatment-100",
        estimate=estimate,
        low=low,
        high=high,
        level=0.9,
        margin=0.01,
        log_e_pass=log_e_pass,
        log_e_fail=log_e_fail,
        n_rows=21467,
        method="betting over rows, 90 % confidence sequence",
    )


def worse(by: Sequence[float], n: int | None = None) -> list[float]:
    """The base readings, less this."""
    return [base - less for base, less in zip(BASE, by, strict=True)][: n or len(by)]


def gallery() -> list[Stored]:
    """All runs, in log order."""
    rows = rows_pair(0.0121, 0.0108, 0.0134, -14.2, 9.7)
    logs = [
        run("held-early", BASE[:5], worse(SMALL, 5)),
        run("silent-loss", BASE[:3], worse([0.031, 0.029, 0.034, 0.03, 0.03, 0.03, 0.03, 0.03], 3), seq=50),
        run("cannot-tell", BASE, worse(WIDE), seq=100),
        run("one-pair-so-far", BASE[:1], worse(SMALL, 1), seq=150),
        run("deterministic", [0.9] * 3, [0.9] * 3, seq=200),
        run("returns-nan", BASE[:2], [math.nan, 0.9], seq=250),
        run("gate-refuses", BASE[:2], [None, None], status=TrialStatus.BLOCKED, alarm="gate", seq=300),
        run("probe-broken", BASE[:2], [None, None], seq=350),
        run(
            "yes-or-no",
            [True] * 4,
            [True] * 3 + [False],
            [DONE, FAST],
            also=[[1.0] * 4 + [4.2, 3.9, 5.1, 4.4]],
            seq=400,
        ),
        run("about-one-model", BASE[:2], worse(SMALL, 2), [AUC, ROWS], pairs=[rows], seq=450),
        run(
            "fixed-design",
            [0.412, 0.420, 0.409, 0.415],
            [0.441, 0.447, 0.436, 0.446],
            [LOSS],
            analysis=Analysis(seeds=4, design=Design.FIXED),
            alarm="drift",
            seq=500,
        ),
        run("huge-values", [1e9, 2e9, 1.5e9], [3e9, 2.2e9, 1.1e9], seq=550),
    ]
    return [stored for log in logs for stored in log]
