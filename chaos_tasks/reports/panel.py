"""The panel of a check: all that an expert needs to tell whether its sentence is right; also as a page of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from chaos_tasks.judging.dossier import Dossier
from chaos_tasks.judging.wording import OF_ONE_PAIR, about, answer, count, log10, number, percent, units
from chaos_tasks.model.verdict import CheckResult, CheckState, Verdict
from chaos_tasks.reports.effect_chart import effect_chart
from chaos_tasks.reports.evidence_chart import evidence_chart
from chaos_tasks.reports.page import template

SIGNS = {CheckState.PASSED: "✓", CheckState.FAILED: "✗", CheckState.UNKNOWN: "?"}
TONES = {CheckState.PASSED: "good", CheckState.FAILED: "bad", CheckState.UNKNOWN: "open"}
ALPHA = 0.05
WORSENING = "How much worse under the fault, in the metric's unit: right is worse, the hatched side is too much."
GROWN = "Evidence as it grew: round marks for pass, square ones for fail. The first to reach the dashed line decides."
OF_PAIRS = "Evidence within each pair on its own: round marks for pass, square ones for fail. The first pair is judged."
SHARE = "Share of trials within tolerance, with its exact interval: what these trials allow to say about others."


@dataclass(frozen=True)
class Panel:
    """One check, ready for a template; the rows of ``looks`` are the evidence chart as a table."""

    check: str
    sign: str
    answer: str
    tone: str
    sentence: str
    is_open: bool  # shown unfolded: whatever did not pass
    effect: Markup
    caption: str  # of the effect
    evidence: Markup
    growth: str  # caption of the evidence
    nothing: str  # why there is no chart at all
    facts: Sequence[tuple[str, str]]
    looks: Sequence[tuple[str, ...]]


def panels(dossier: Dossier) -> list[Panel]:
    """The panels of a run, in the order of its file; none before its verdict."""
    if dossier.verdict is None:
        return []
    alpha = dossier.plan.experiment.analysis.alpha if dossier.plan is not None else ALPHA
    if dossier.question is not None and dossier.question.level_alpha is not None:  # a ramp shows one of its levels
        alpha = dossier.question.level_alpha
    return [panel(check, alpha, dossier.run_id) for check in dossier.verdict.checks]


def panel(check: CheckResult, alpha: float, run_id: str) -> Panel:
    """The panel of one check; ``alpha`` is its one-sided error rate."""
    key = f"{run_id}/{check.check}"
    effect, evidence = effect_chart(check, key), evidence_chart(check, alpha, key)
    reason = check.reason.value.replace("_", " ")
    return Panel(
        check=check.check,
        sign=SIGNS[check.state],
        answer=answer(check.state),
        tone=TONES[check.state],
        sentence=check.sentence,
        is_open=check.state is not CheckState.PASSED,
        effect=effect,
        caption=SHARE if check.margin is None else WORSENING,
        evidence=evidence,
        growth=OF_PAIRS if check.unit in OF_ONE_PAIR else GROWN,
        nothing="" if effect or evidence else f"Nothing to draw: {reason}.",
        facts=facts(check, alpha),
        looks=_looks(check),
    )


def facts(check: CheckResult, alpha: float) -> list[tuple[str, str]]:
    """Name and text of each fact; those that a check does not have are left out."""
    found = [
        ("Answer", f"{answer(check.state)}: {check.reason.value.replace('_', ' ')}"),
        ("Speaks about", f"{about(check.unit)} (unit: {check.unit})"),
        ("Estimand", check.estimand),
        ("Estimate", _estimate(check)),
        ("Interval", _interval(check)),
        ("Margin", number(check.margin, check.margin) if check.margin is not None else ""),
        ("Method", check.method),
        ("n", _n(check)),
        ("Seeds", seeds(check.seeds)),
        ("Evidence", _evidence(check, alpha)),
        ("Decided", _decided(check)),
    ]
    return [(name, text) for name, text in found if text]


def run_facts(verdict: Verdict) -> str:
    """'8 trials, 2 of them reused from the ledger; 6 trials of the plan not run (reused ones included).'"""
    reused = f", {verdict.trials_reused} of them reused from the ledger" if verdict.trials_reused else ""
    included = " (reused ones included)" if verdict.trials_reused else ""
    saved = f"; {count(verdict.trials_saved, 'trial')} of the plan not run{included}" if verdict.trials_saved else ""
    steps = f"; {verdict.steps_saved:,} steps not trained again, by forks" if verdict.steps_saved else ""
    earlier = (
        f" Pairs of {count(len(verdict.continues), 'undecided run')} before count too." if verdict.continues else ""
    )
    rung = f" Answered on the rung {verdict.rung} of the fidelity ladder." if verdict.rung else ""
    return f"{count(verdict.trials, 'trial')}{reused}{saved}{steps}.{earlier}{rung}"


def seeds(found: Sequence[int]) -> str:
    """'100 to 103, 110'; neighbours are said as a range."""
    runs: list[list[int]] = []
    for seed in sorted(set(found)):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def checks_page(dossier: Dossier) -> str:
    """All panels of a judged run as a page that loads nothing; the same records give the same bytes."""
    verdict = dossier.verdict
    if verdict is None:
        raise ValueError(f"run {dossier.run_id} has no verdict to show")
    return template("checks.html").render(
        dossier=dossier, verdict=verdict, ran=run_facts(verdict), panels=panels(dossier)
    )


def _estimate(check: CheckResult) -> str:
    if check.estimate is None:
        return ""
    if check.margin is None:
        return f"{percent(check.estimate)} of trials within tolerance"
    return f"{'worse' if check.estimate >= 0 else 'better'} by {abs(check.estimate):.4g}"


def _interval(check: CheckResult) -> str:
    if check.estimate is None:
        return ""
    if check.low is None and check.high is None:
        return "open at both ends: nothing can be excluded yet"
    if check.margin is None and check.low is not None and check.high is not None:
        return f"{percent(check.low)} to {percent(check.high)} of such runs"
    return f"{_bound(check.low)} to {_bound(check.high)} of the worsening"


def _bound(value: float | None) -> str:
    return "open" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _n(check: CheckResult) -> str:
    noun = {"row": "rows", "block": "values"}.get(check.unit, "trials")
    control = f"{check.n_control:,} control, " if check.n_control else ""
    return f"{control}{check.n_treatment:,} treatment {noun}"


def _evidence(check: CheckResult, alpha: float) -> str:
    if check.log_e_pass is None or check.log_e_fail is None:
        return ""
    needed = -math.log10(alpha)
    sides = f"for pass {log10(check.log_e_pass)}, for fail {log10(check.log_e_fail)}"
    then = " when decided" if check.decided_at_n is not None else ""
    return f"log10 e {sides}{then}; {needed:.1f} decides (e = {1 / alpha:.3g})"


def _decided(check: CheckResult) -> str:
    if check.decided_at_n is None:
        return ""
    return f"after {units(check.decided_at_n, check.unit)}"


def _looks(check: CheckResult) -> list[tuple[str, ...]]:
    """n, estimate, low, high, log10 e for pass, log10 e for fail; of very many looks, some."""
    points = check.evidence
    step = max(1, math.ceil(len(points) / 40))
    shown = [point for index, point in enumerate(points) if index % step == 0 or index == len(points) - 1]
    return [
        (
            f"{point.n:,}",
            *(_bound(value) for value in (point.estimate, point.low, point.high)),
            log10(point.log_e_pass),
            log10(point.log_e_fail),
        )
        for point in shown
    ]
