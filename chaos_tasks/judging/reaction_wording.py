"""Sentences about a response: who noticed, when the runs were back, what was lost, and how often to save."""

from __future__ import annotations

from chaos_tasks.judging.wording import count, percent, seconds
from chaos_tasks.model.reaction import ReactionDetail, Response, Spread, TrainingRatio, WorkLost

ENDINGS = {
    Response.HUNG: "hung",
    Response.CRASHED: "crashed",
    Response.RECOVERED: "came back",
    Response.SILENT: "deviated in silence",
    Response.MASKED: "showed nothing",
    Response.DETECTED: "were noticed",
}


def summary(detail: ReactionDetail) -> str:
    """'Noticed in 3 of 3 trials (by exit_code, after 0.1 s at worst); back after 2.4 s; 30 steps done again.'"""
    parts = [_noticed(detail)]
    parts += [f"{name} {_spread(times)}" for name, times in _times(detail) if times is not None]
    parts += [_endings(detail)] if _endings(detail) else []
    parts += [lost(detail.lost)] if detail.lost is not None and lost(detail.lost) else []
    parts += [_false_alarms(detail)] if _false_alarms(detail) else []
    return "; ".join(parts) + "."


def lost(work: WorkLost) -> str:
    """'30 steps (3,840 samples, 1.2 s) done again, 6.0 s down, no GPU used'; empty when nothing was."""
    again = [f"{work.samples:,} samples"] if work.samples else []
    again += [f"{seconds(work.redone_s)} of work"] if work.redone_s > 0 else []
    parts = [f"{count(work.steps, 'step')} ({', '.join(again)}) done again"] if work.steps and again else []
    parts += [f"{', '.join(again)} done again"] if again and not work.steps else []
    parts += [f"{seconds(work.down_s)} down"] if work.down_s > 0 else []
    parts += [f"{seconds(work.stalled_s)} at a standstill"] if work.stalled_s > 0 else []
    if not parts:
        return ""
    gpu = f"{work.gpu_s:,.3g} GPU-seconds lost ({work.device})" if work.gpu_s else work.device
    return ", ".join([*parts, gpu])


def ratio(found: TrainingRatio) -> str:
    """'Useful for 61 % of the training time (63 % expected); saves every 0.4 s; optimal at this failure rate: 2 s.'"""
    parts = [f"Useful for {percent(found.measured)} of the training time"]
    if found.predicted is not None:
        apart = "" if found.agrees else ", more than 3 % apart"
        parts[0] += f" ({percent(found.predicted)} expected{apart})"
    if found.never_back:
        parts.append(f"{found.never_back} of {count(found.trials, 'run')} never came back, so none is expected")
    if found.period_s is not None:
        parts.append(f"saves every {period(found.period_s)}")
    if found.best_period_s is not None and found.best_predicted is not None:
        best = f"optimal at this failure rate: {period(found.best_period_s)}"
        parts.append(f"{best}, for {percent(found.best_predicted)}")
    return "; ".join(parts) + "."


def period(amount: float) -> str:
    """Seconds that are compared with each other: '0.29 s', '6.9 s', '3.5 min'."""
    return f"{amount:.2g} s" if amount < 1 else seconds(amount)


def _noticed(detail: ReactionDetail) -> str:
    share = detail.noticed
    if share is None or not share.count:
        return f"Nothing noticed in {count(len(detail.trials), 'trial')}"
    names = dict.fromkeys(row.noticed_by for row in detail.trials if row.noticed_by)
    when = f", after {seconds(detail.detect_s.worst)} at worst" if detail.detect_s is not None else ""
    return f"Noticed in {share.count} of {count(share.n, 'trial')} (by {', '.join(names)}{when})"


def _times(detail: ReactionDetail) -> list[tuple[str, Spread | None]]:
    return [("back", detail.back_s), ("caught up", detail.caught_up_s)]


def _spread(times: Spread) -> str:
    """'after 2.4 s', 'after 2.4 s (median) and 3.1 s (worst)'."""
    middle, worst = seconds(times.median), seconds(times.worst)
    return f"after {worst}" if middle == worst else f"after {middle} (median) and {worst} (worst)"


def _endings(detail: ReactionDetail) -> str:
    """How the trials ended, where that is not one and the same."""
    if len(detail.responses) < 2 and not set(detail.responses) & {Response.HUNG, Response.CRASHED}:
        return ""
    told = [f"{n} {ENDINGS[response]}" for response, n in detail.responses.items() if response in ENDINGS]
    return ", ".join(told)


def _false_alarms(detail: ReactionDetail) -> str:
    names = [signal.name for signal in detail.signals if signal.rings_anyway]
    return f"{', '.join(names)} rings without a fault too, so it counts as no notice" if names else ""
