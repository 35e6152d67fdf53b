"""Gaps between groups: how large one model's is, and how much a fault widened it on the same rows."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from pydantic import Field

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.target import Predictions
from chaos_tasks.model.trial import PairMeasured, Trial
from chaos_tasks.probes.base import Better, Measurement, PairQuestion, ProbeParams
from chaos_tasks.probes.predictions import matched, scored
from chaos_tasks.probes.rows import against, evidence, margin_of, no_number, unknown, usable


class GapParams(ProbeParams):
    """Which gap between the groups of which column."""

    group: str = Field(min_length=1, description="Column of the predictions file that names a row's group.")
    gap: Literal["selection", "tpr", "fpr", "accuracy", "equalised_odds"] = Field(
        "equalised_odds",
        description="Share decided yes (selection), among label 1 (tpr), among label 0 (fpr), share decided right, or "
        "the larger of tpr and fpr.",
    )
    form: Literal["difference", "ratio"] = Field(
        "difference", description="Highest less lowest, or 1 less lowest over highest; 0 is fair either way."
    )
    threshold: float = Field(0.5, description="A score from here on is a yes.")
    min_group: int = Field(
        100, ge=2, description="Rows behind each of a group's rates below which it is left out, by name."
    )


class ModelGapParams(GapParams):
    """Which gap, and where one trial's predictions are."""

    predictions: Predictions = Field(description="As `reads.predictions` of the target file.")


class FairnessGap:
    """How much wider the gap is under treatment than under control, on the same rows (bias amplification)."""

    kind: ClassVar[str] = "rows.fairness_gap"
    summary: ClassVar[str] = "How much wider the gap between groups is on the same sealed rows"
    params_type: ClassVar[type[GapParams]] = GapParams

    def better(self, params: GapParams) -> Better:
        """A narrow gap."""
        return "lower"

    def compare(self, control: Trial, treatment: Trial, params: GapParams, question: PairQuestion) -> PairMeasured:
        """Compare; groups that are too small are left out by name.

        Raises ProbeError where fewer than two groups are left, and for predictions that cannot be compared.
        """
        from chaos_tasks.stats.contingency import tabulate
        from chaos_tasks.stats.fairness import Amplification, Form, Rate, amplification

        margin = margin_of(question, "lower")
        pair = matched(control, treatment, question.predictions, [params.group])
        pair, bad = usable(pair, chances=False)
        if bad:
            return no_number(pair, margin, bad, params.gap)
        groups = pair.groups[params.group]
        decisions = [scores >= params.threshold for scores in (pair.control, pair.treatment)]
        found = amplification(
            tabulate(groups.codes, groups.names, pair.labels, *decisions),
            Rate(params.gap),
            margin.fixed,
            rng=pair.rng("fairness gap"),
            scale=margin.scale,
            form=Form(params.form),
            min_group=params.min_group,
            alpha=question.alpha,
        )
        if not isinstance(found, Amplification):
            raise unknown(found, "take a larger evaluation set, or lower `min_group`")
        return PairMeasured(
            **against(found.worsening, margin, found.control),
            **evidence(found.p_pass, found.p_fail),
            treatment=found.treatment,
            n_rows=found.n,
            n_groups=len(found.groups),
            worst=f"{params.group}={found.lowest} against {params.group}={found.highest}",
            left_out=tuple(f"{params.group}={name}" for name in found.left_out),
            metric_unit=f"{params.gap} gap",
            files=pair.files,
        )


class ModelFairnessGap:
    """The gap of one trial's own predictions."""

    kind: ClassVar[str] = "model.fairness_gap"
    summary: ClassVar[str] = "Gap between groups in one model's decisions on the sealed evaluation set"
    params_type: ClassVar[type[ModelGapParams]] = ModelGapParams
    oracle: ClassVar[bool] = True

    def measure(self, trial: Trial, params: ModelGapParams) -> Measurement:
        """Read it, 0 (fair) to 1; NaN where a score is no number.

        Raises ProbeError where fewer than two groups are large enough, and for a file that cannot be used.
        """
        import numpy as np

        from chaos_tasks.stats.contingency import tabulate
        from chaos_tasks.stats.fairness import Form, Gap, Rate, gap

        found = scored(trial, params.predictions, [params.group])
        if not np.isfinite(found.scores).all():
            return Measurement(value=math.nan)
        groups, yes = found.groups[params.group], found.scores >= params.threshold
        table: Any = tabulate(groups.codes, groups.names, found.labels, yes)
        value = gap(table, Rate(params.gap), form=Form(params.form), min_group=params.min_group)
        if not isinstance(value, Gap):
            raise ProbeError(f"not known: {value.reason}", remedy="take a larger evaluation set, or lower `min_group`")
        return Measurement(value=value.value)
