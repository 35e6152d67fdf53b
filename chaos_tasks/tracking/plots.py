"""Two pictures of a run: each check's readings, effect and evidence, and what happened when."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from chaos_tasks.judging.dossier import Dossier
from chaos_tasks.judging.timeline import within
from chaos_tasks.judging.wording import answer, log10
from chaos_tasks.model.experiment import Check
from chaos_tasks.model.trial import Arm, Observation
from chaos_tasks.model.verdict import CheckResult, CheckState

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = {CheckState.PASSED: "o", CheckState.FAILED: "D", CheckState.UNKNOWN: "o"}
COLOURS = {CheckState.PASSED: "#1a7f4b", CheckState.FAILED: "#b3261e", CheckState.UNKNOWN: "#6b7280"}
DPI = 80  # legible in MLflow's pane, and drawn in a third of the time of 150


def write_plots(dossier: Dossier, folder: Path) -> None:
    """Write checks.png and timeline.png."""
    for name, figure in (("checks", _checks(dossier)), ("timeline", _timeline(dossier))):
        if figure is not None:
            figure.savefig(folder / f"{name}.png", dpi=DPI)


def _figure(height: float, width: float = 9) -> Figure:
    """A figure without pyplot, which would keep it alive and is slow to import."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _checks(dossier: Dossier) -> Figure | None:
    """Per check: the readings of both arms, the worsening with interval and margin, and the evidence as it grew."""
    if dossier.plan is None or dossier.verdict is None:
        return None
    results = {result.check: result for result in dossier.verdict.checks}
    judged = {trial.id for trial in dossier.trials if trial.rung == dossier.verdict.rung}
    readings = [item for item in dossier.observations if item.trial_id in judged]
    rows = [(check, results[check.name]) for check in dossier.plan.experiment.steady_state if check.name in results]
    figure = _figure(0.4 + 1.9 * len(rows), width=12)
    axes = figure.subplots(len(rows), 3, squeeze=False, width_ratios=(2, 3, 3))
    for (check, result), (left, middle, right) in zip(rows, axes, strict=True):
        _draw_readings(left, check, [item for item in readings if item.check == check.name])
        _draw_effect(middle, result)
        _draw_evidence(right, result, dossier.plan.experiment.analysis.alpha)
    return figure


def _draw_readings(axes: Axes, check: Check, observations: list[Observation]) -> None:
    """One line per seed from control to treatment, so that pairs are seen as pairs."""
    by_seed: dict[int, dict[Arm, float]] = {}
    for item in observations:
        if isinstance(item.value, bool | int | float):
            by_seed.setdefault(item.seed, {})[item.arm] = float(item.value)
    for values in by_seed.values():
        at = [index for index, arm in enumerate(Arm) if arm in values]
        axes.plot(at, [values[arm] for arm in Arm if arm in values], "o-", color="#374151", alpha=0.6, markersize=4)
    axes.set_xticks(range(len(Arm)), [arm.value for arm in Arm])
    axes.set_xlim(-0.4, len(Arm) - 0.6)
    if not by_seed:
        axes.text(0.5, 0.5, "no number per trial", transform=axes.transAxes, ha="center", va="center", fontsize=8)
        axes.set_yticks([])
    axes.set_title(check.name, fontsize=10)  # in the middle: matplotlib writes an exponent at the left


def _draw_effect(axes: Axes, result: CheckResult) -> None:
    """The mark's form is the answer's: a diamond failed, a dot passed, hollow not known; open ends run off the axis."""
    colour = COLOURS[result.state]
    if result.estimate is not None and math.isfinite(result.estimate):
        ends = (result.low, result.high)
        shown = [value for value in (*ends, result.estimate, 0.0, result.margin) if value is not None]
        reach = 0.4 * (max(shown) - min(shown)) if None in ends else 0.0
        low, high = (end if end is not None else result.estimate for end in ends)
        axes.plot([low, high], [0, 0], color=colour, linewidth=3, solid_capstyle="butt", alpha=0.6)
        for end, marker, edge in ((ends[0], "<", min(shown) - reach), (ends[1], ">", max(shown) + reach)):
            if end is None:
                axes.plot([result.estimate, edge], [0, 0], color=colour, linewidth=3, linestyle=":")
                axes.plot([edge], [0], marker, color=colour, markersize=6)
        face = "white" if result.state is CheckState.UNKNOWN else colour
        axes.plot([result.estimate], [0], MARKS[result.state], color=colour, markerfacecolor=face, markersize=8)
    if result.margin is not None:
        axes.axvline(result.margin, color="#111827", linestyle="--", linewidth=1)
        axes.axvline(0, color="#9ca3af", linewidth=0.8)
        axes.set_xlabel("worse by (dashed: margin)", fontsize=8)
    elif result.estimate is not None:
        axes.set_xlim(-0.05, 1.05)
        axes.set_xlabel("share of trials within tolerance", fontsize=8)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=5)
    words = f"{answer(result.state)}: {result.reason.value.replace('_', ' ')}"
    axes.set_title(words, fontsize=9, loc="left", color=colour)


def _draw_evidence(axes: Axes, result: CheckResult, alpha: float) -> None:
    """log10 of the e-values over units, as in the report: the first to reach the dashed line decides."""
    if not result.evidence:
        axes.set_axis_off()
        return
    needed = -math.log10(alpha)
    n = [point.n for point in result.evidence]
    for name, style, colour in (
        ("pass", "o-", COLOURS[CheckState.PASSED]),
        ("fail", "s--", COLOURS[CheckState.FAILED]),
    ):
        logs = [point.log_e_pass if name == "pass" else point.log_e_fail for point in result.evidence]
        kept = [max(-2 * needed, min(4 * needed, value / math.log(10))) for value in logs]
        axes.plot(n, kept, style, color=colour, markersize=4, label=f"{name} {log10(logs[-1])}")
    axes.axhline(needed, color="#111827", linestyle="--", linewidth=1)
    if result.decided_at_n is not None:
        axes.axvline(result.decided_at_n, color="#111827", linestyle=":", linewidth=1)
    if len(n) <= 12:
        axes.set_xticks(n)
    decided = f", decided at {result.decided_at_n:,}" if result.decided_at_n is not None else ""
    axes.set_title(f"log10 e over units ({result.unit}){decided}", fontsize=9, loc="left")
    axes.legend(fontsize=8, loc="best")


def _timeline(dossier: Dossier) -> Figure | None:
    """Trials as bars by arm; injections, notices and reverts as lines."""
    if not dossier.trials:
        return None
    start = dossier.started_at
    figure = _figure(3.2)
    axes = figure.subplots()
    lanes = list(Arm)
    for trial in dossier.trials:
        begin = (trial.started_at - start).total_seconds()
        axes.barh(
            lanes.index(trial.arm),
            max(trial.wall_s, 0.05),
            left=begin,
            height=0.6,
            color="#c7d2fe",
            edgecolor="#4338ca",
        )
    for moment in within(dossier):
        axes.axvline(
            (moment.at - start).total_seconds(), color=MOMENT_COLOURS.get(moment.what, "#6b7280"), linewidth=1.2
        )
    for what in dict.fromkeys(moment.what for moment in within(dossier)):
        axes.plot([], [], color=MOMENT_COLOURS.get(what, "#6b7280"), label=what)
    axes.set_yticks(range(len(lanes)), [arm.value for arm in lanes])
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    axes.set_xlabel("seconds since the run began", fontsize=8)
    axes.legend(loc="upper right", fontsize=8, ncols=5)
    return figure


MOMENT_COLOURS = {
    "injected": "#b3261e",
    "noticed": "#b45309",
    "back": "#1a7f4b",
    "caught up": "#0f766e",
    "rang": "#9ca3af",
    "reverted": "#1d4ed8",
    "healthy": "#1a7f4b",
}
