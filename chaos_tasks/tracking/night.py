"""The numbers of a whole night that MLflow shows: how it came out, what stands, and how resilient each target is."""

from __future__ import annotations

import re

from chaos_tasks.model.verdict import Outcome
from chaos_tasks.reports.night import NightReport

_NOT_ALLOWED = re.compile(r"[^\w\-. /:]")


def night_numbers(report: NightReport) -> dict[str, float]:
    """Metric name -> value; outcomes that did not occur are 0, so that charts over nights have no gaps."""
    outcomes = [verdict.outcome for verdict in report.verdicts]
    found: dict[str, float] = {f"night.{outcome.value}": outcomes.count(outcome) for outcome in Outcome}
    found |= {
        "night.experiments": report.cost.experiments,
        "night.trials": report.cost.trials,
        "night.trial_seconds": report.cost.trial_seconds,
        "night.kinds_exercised": len(report.coverage.exercised),
    }
    many = report.among_many
    if many is not None:
        found |= {
            "night.questions": many.questions,
            "night.stand": many.observed + many.stand + many.confirmed,
            "night.sure_alone": many.alone,
        }
    for one in report.scores:
        values = {"": one.value, ".low": one.low, ".high": one.high, ".coverage": one.coverage}
        found |= {f"score.{one.name}{name}": value for name, value in values.items()}
        found |= {f"score.{one.name}.{part.name}": part.value for part in one.families}
    return {_NOT_ALLOWED.sub("_", name): float(value) for name, value in found.items()}
