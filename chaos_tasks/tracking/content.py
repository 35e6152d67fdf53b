"""What of a run MLflow shows: parameters, metrics and tags, as plain values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from chaos_tasks.judging.dossier import Dossier
from chaos_tasks.judging.wording import answer, compact
from chaos_tasks.model.base import canonical
from chaos_tasks.model.trial import Arm, Trial, TrialStatus
from chaos_tasks.model.verdict import CheckResult, EvidencePoint, Verdict

PARAM_LIMIT = 6000  # characters; MLflow cuts longer ones without a word
TAG_LIMIT = 5000
POINTS = 200  # of one check's evidence; a chart shows no more
E_LIMIT = 308.0  # powers of ten beyond which MLflow's database would hold an infinity
_NOT_ALLOWED = re.compile(r"[^\w\-. /:]")


@dataclass(frozen=True)
class Metric:
    """One number; the same metric logged again is the same point."""

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class RunView:
    """One MLflow run, whole."""

    name: str
    key: str  # value of the tag that finds it again
    started_at: datetime
    ended_at: datetime
    failed: bool = False
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


def experiment_view(dossier: Dossier) -> RunView:
    """The run of a judged experiment.  Raises ValueError for one without plan or verdict."""
    plan, verdict = dossier.plan, dossier.verdict
    if plan is None or verdict is None:
        raise ValueError(f"run {dossier.run_id} has no verdict to publish")
    known = verdict.known_finding
    tags = {
        "squall.kind": "experiment",
        "squall.experiment": plan.experiment.name,
        "squall.campaign_id": plan.campaign_id,
        "squall.search": plan.search_id,
        "squall.verdict": verdict.outcome.value,
        "squall.response": verdict.response.value,
        "squall.reasons": ",".join(verdict.reasons),
        "squall.known_finding": known.ticket if known else "",
        "squall.noticed_by": verdict.noticed_by,
        "squall.owner": plan.experiment.owner,
        "squall.environment": plan.environment,
        "squall.target": plan.target.name,
        "squall.faults": ",".join(sorted({step.fault for step in plan.experiment.method})),
        "squall.plan_sha256": dossier.plan_sha256,
        "squall.ledger.first": str(dossier.seq_range[0]),
        "squall.ledger.last": str(dossier.verdict_seq),  # what is written later does not make it another view
        **{_name(f"squall.check.{check.check}"): answer(check.state) for check in verdict.checks},
        "squall.rung": verdict.rung,
        "squall.units": ",".join(sorted({check.unit for check in verdict.checks})),
        "mlflow.note.content": _note(plan.experiment.hypothesis, verdict),
    }
    return RunView(
        name=plan.experiment.name,
        key=dossier.run_id,
        started_at=dossier.started_at,
        ended_at=verdict.decided_at,
        params=_experiment_params(dossier),
        metrics=_experiment_metrics(dossier),
        tags={name: value[:TAG_LIMIT] for name, value in tags.items() if value},
    )


def _experiment_params(dossier: Dossier) -> dict[str, str]:
    plan = dossier.plan
    assert plan is not None  # noqa: S101  experiment_view has looked
    analysis = plan.experiment.analysis
    params = {
        "environment": plan.environment,
        "source_commit": plan.source_commit,
        "data_digest": plan.data_digest,
        "seeds": " ".join(str(seed) for seed in plan.seeds),
        "alpha": str(analysis.alpha),
        "requested_by": plan.requested_by,
    }
    for step in plan.experiment.method:
        params[f"step.{step.name}.fault"] = step.fault
        params[f"step.{step.name}.trigger"] = step.trigger.at
        params |= {f"step.{step.name}.{name}": _text(value) for name, value in step.params.items()}
    return {_name(name): value[:PARAM_LIMIT] for name, value in params.items()}


def _experiment_metrics(dossier: Dossier) -> tuple[Metric, ...]:
    verdict = dossier.verdict
    assert verdict is not None  # noqa: S101  experiment_view has looked
    found = [
        Metric("squall.trials", verdict.trials),
        Metric("squall.trials_reused", verdict.trials_reused),
        Metric("squall.trials_saved", verdict.trials_saved),
        Metric("squall.steps_saved", verdict.steps_saved),
        Metric("squall.trials_wall_s", verdict.trials_wall_s),
        Metric("squall.lost_steps", verdict.lost_steps),
    ]
    optional = {"squall.detect_s": verdict.detect_s, "squall.recover_s": verdict.recover_s, **_response(verdict)}
    found += [Metric(name, value) for name, value in optional.items() if value is not None]
    alpha = dossier.plan.experiment.analysis.alpha if dossier.plan is not None else 0.05
    for check in verdict.checks:
        found += _check_metrics(check, alpha)
    for trial in dossier.trials:
        where = f"{trial.arm.value}.{trial.rung}" if trial.rung else trial.arm.value
        found += [Metric(_name(f"{where}.{name}"), value, trial.seed) for name, value in trial.metrics.items()]
    return tuple(found)


def _response(verdict: Verdict) -> dict[str, float | None]:
    """The worst time to catch up, and the useful share of the training time."""
    reaction = verdict.reaction
    caught_up = reaction.caught_up_s.worst if reaction is not None and reaction.caught_up_s is not None else None
    ratio = reaction.ratio.measured if reaction is not None and reaction.ratio is not None else None
    return {"squall.caught_up_s": caught_up, "squall.ettr": ratio}


def _note(hypothesis: str, verdict: Verdict) -> str:
    """What MLflow shows at the top of the run, as Markdown."""
    lines = [f"- `{check.check}` {compact(check)}" for check in verdict.checks]
    return "\n\n".join([f"**{hypothesis}**", verdict.sentence, "\n".join(lines)])


def _check_metrics(check: CheckResult, alpha: float) -> list[Metric]:
    """The result at step n, and the evidence at the step of each look, so that MLflow's own chart shows it grow."""
    values = {"worse_by": check.estimate, "low": check.low, "high": check.high, "margin": check.margin}
    if check.unit == "trial":
        values = {"share_within": check.estimate, "low": check.low, "high": check.high}
    found = {(name, point.n): value for point in _some(check.evidence) for name, value in _look(point, alpha).items()}
    last = check.evidence[-1].n if check.evidence else 0
    found |= {(name, last): value for name, value in values.items() if value is not None}
    if check.decided_at_n is not None:
        found["decided_at", last] = check.decided_at_n
    return [Metric(_name(f"check.{check.check}.{name}"), value, step) for (name, step), value in found.items()]


def _look(point: EvidencePoint, alpha: float) -> dict[str, float]:
    """Both e-values as powers of ten, beside the one that decides; the interval as far as it is closed."""
    numbers = {"worse_by": point.estimate, "low": point.low, "high": point.high}
    powers = {"log10_e_pass": point.log_e_pass, "log10_e_fail": point.log_e_fail}
    limited = {
        name: max(-E_LIMIT, min(E_LIMIT, natural / math.log(10)))
        for name, natural in powers.items()
        if not math.isnan(natural)
    }
    known = {name: value for name, value in numbers.items() if value is not None}
    return known | limited | {"log10_e_needed": -math.log10(alpha)}


def _some(points: Sequence[EvidencePoint]) -> Sequence[EvidencePoint]:
    """At most POINTS of them, the last one among them."""
    step = -(-len(points) // POINTS) or 1
    return points[::-1][::step][::-1]


def trial_view(trial: Trial) -> RunView:
    """The run of one trial."""
    numbers = {**trial.metrics, "squall.wall_s": trial.wall_s, "squall.lost_steps": trial.lost_steps}
    tags = {
        "squall.kind": "trial",
        "squall.arm": trial.arm.value,
        "squall.status": trial.status.value,
        "squall.signals": ",".join(sorted({signal.name for signal in trial.signals})),
        "squall.reused_from": trial.reused_from,
        "squall.forked_from": trial.forked_from,
        "squall.rung": trial.rung,
    }
    return RunView(
        name=" ".join(part for part in (trial.arm.value, str(trial.seed), trial.rung) if part),
        key=trial.id,
        started_at=trial.started_at,
        ended_at=trial.ended_at,
        failed=trial.status in (TrialStatus.FAILED, TrialStatus.TIMED_OUT),
        params={"arm": trial.arm.value, "seed": str(trial.seed)},
        metrics=tuple(Metric(_name(name), value) for name, value in numbers.items()),
        tags={name: value[:TAG_LIMIT] for name, value in tags.items() if value},
    )


def arms(dossier: Dossier) -> list[Trial]:
    """Trials in the order in which people read them."""
    return [trial for arm in Arm for trial in dossier.arm(arm)]


def _text(value: object) -> str:
    return value if isinstance(value, str) else canonical(value).decode()


def _name(name: str) -> str:
    """A name that MLflow accepts: letters, digits and _ - . space / : only."""
    return _NOT_ALLOWED.sub("_", name)[:250]
