"""The response in numbers: each treatment trial, the quality of each signal, times over trials, and what was lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from chaos_tasks.judging import reaction_wording
from chaos_tasks.judging.evidence import Evidence
from chaos_tasks.judging.notices import Notices, signals_of
from chaos_tasks.judging.training_ratio import ratio_of
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.reaction import (
    Discounted,
    ReactionDetail,
    Response,
    Share,
    SignalQuality,
    Spread,
    TrialReaction,
    WorkLost,
)
from chaos_tasks.model.trial import Arm, Trial
from chaos_tasks.stats.reliability import share_interval


def detail_of(
    plan: Plan, evidence: Evidence, notices: Mapping[str, Notices], responses: Mapping[str, Response]
) -> ReactionDetail:
    """All of it, for a run with at least one treatment trial."""
    treated, alpha = evidence.arm(Arm.TREATMENT), plan.experiment.analysis.alpha
    table = tuple(_of_trial(trial, notices[trial.id], responses[trial.id]) for trial in treated)
    heard = sum(bool(notices[trial.id].counted) for trial in treated)
    detail = ReactionDetail(
        trials=table,
        responses=dict(sorted(Counter(row.response for row in table).items())),
        noticed=share_of(heard, len(treated), alpha),
        signals=_qualities(plan, evidence, notices, alpha),
        detect_s=_spread(row.detect_s for row in table),
        restart_s=_spread(row.restart_s for row in table),
        back_s=_spread(row.back_s for row in table),
        first_step_s=_spread(row.first_step_s for row in table),
        caught_up_s=_spread(row.caught_up_s for row in table),
        lost=_lost(treated),
        ratio=ratio_of(plan, treated),
    )
    return detail.model_copy(update={"sentence": reaction_wording.summary(detail)})


def share_of(count: int, n: int, alpha: float) -> Share | None:
    """``count`` of ``n`` with its exact interval; None of nothing."""
    interval = share_interval(count, n, alpha=alpha)
    if interval is None:
        return None
    return Share(count=count, n=n, low=interval.low, high=interval.high, level=interval.level)


def _of_trial(trial: Trial, notices: Notices, response: Response) -> TrialReaction:
    setbacks = trial.progress.setbacks if trial.progress is not None else ()
    launched = [one.restart_s for one in setbacks if one.restart_s is not None]
    counted = notices.counted
    return TrialReaction(
        trial_id=trial.id,
        seed=trial.seed,
        response=response,
        noticed_by=counted[0].name if counted else "",
        detect_s=notices.detect_s,
        signals=notices.heard,
        faults=len(notices.faults_at),
        faults_noticed=notices.faults_noticed,
        restart_s=max(launched, default=None) if setbacks else _launched_s(trial),
        back_s=_worst(one.back_s for one in setbacks) if setbacks else _progressed_s(trial),
        first_step_s=_worst(one.first_step_s for one in setbacks),
        caught_up_s=_worst(one.caught_up_s for one in setbacks),
        redone_steps=trial.lost_steps,
        redone_s=trial.progress.redone_s if trial.progress is not None else 0.0,
        ettr=trial.progress.ettr if trial.progress is not None else None,
    )


def _worst(times: Iterable[float | None]) -> float | None:
    """The longest; None when one of them never came."""
    found = list(times)
    known = [seconds for seconds in found if seconds is not None]
    return max(known) if known and len(known) == len(found) else None


def _launched_s(trial: Trial) -> float | None:
    """From the first firing to the next launch, for a run whose progress does not show."""
    fired = min((firing.fired_at for firing in trial.firings), default=None)
    later = [launch.started_at for launch in trial.launches[1:] if fired is not None and launch.started_at >= fired]
    return (later[0] - fired).total_seconds() if fired is not None and later else None


def _progressed_s(trial: Trial) -> float | None:
    fired = min((firing.fired_at for firing in trial.firings), default=None)
    if fired is None:
        return None
    seen = [launch.first_progress_at for launch in trial.launches[1:] if launch.started_at >= fired]
    return next(((at - fired).total_seconds() for at in seen if at is not None), None)


def _spread(times: Iterable[float | None]) -> Spread | None:
    known = [seconds for seconds in times if seconds is not None]
    return Spread(median=median(known), worst=max(known), n=len(known)) if known else None


def _qualities(
    plan: Plan, evidence: Evidence, notices: Mapping[str, Notices], alpha: float
) -> tuple[SignalQuality, ...]:
    """Each signal that was heard in either arm, by name."""
    treated, controls = evidence.arm(Arm.TREATMENT), evidence.arm(Arm.CONTROL)
    calm = [{event.name for event in signals_of(plan.target, trial)} for trial in controls]
    names = {told.name for found in notices.values() for told in found.heard} | {name for ring in calm for name in ring}
    return tuple(_quality(name, [notices[trial.id] for trial in treated], calm, alpha) for name in sorted(names))


def _quality(name: str, notices: Sequence[Notices], calm: Sequence[set[str]], alpha: float) -> SignalQuality:
    told = [[one for one in found.heard if one.name == name] for found in notices]
    missed = (Discounted.BEFORE_THE_FAULT, Discounted.TOO_LATE)
    caught = sum(any(one.discounted not in missed for one in heard) for heard in told)
    early = any(one.discounted is Discounted.BEFORE_THE_FAULT for heard in told for one in heard)
    false = sum(name in ring for ring in calm)
    share = share_of(caught, len(told), alpha)
    assert share is not None  # noqa: S101  (narrowing; there is a treatment trial)
    return SignalQuality(
        name=name,
        caught=share,
        false_alarms=share_of(false, len(calm), alpha),
        precision=_precision(caught / len(told), false / len(calm)) if calm else None,
        rings_anyway=bool(false) or early,
    )


def _precision(recall: float, false_alarms: float) -> float | None:
    return recall / (recall + false_alarms) if recall + false_alarms > 0 else None


def _lost(treated: Iterable[Trial]) -> WorkLost | None:
    told = [trial.progress for trial in treated if trial.progress is not None]
    if not told:
        return None
    samples = [one.redone_samples for one in told]
    devices = sorted({one.device for one in told if one.uses_gpu})
    return WorkLost(
        steps=sum(one.redone_steps for one in told),
        samples=sum(one for one in samples if one is not None) if None not in samples else None,
        redone_s=sum(one.redone_s for one in told),
        stalled_s=sum(one.stalled_s for one in told),
        down_s=sum(one.down_s for one in told),
        gpu_s=sum(one.lost_gpu_s for one in told),
        device=", ".join(devices) or "no GPU used",
    )
