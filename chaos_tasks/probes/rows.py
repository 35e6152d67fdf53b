"""How much worse a treatment model is than its control on the same sealed rows: overall, in its worst slice, or moved.

Margins decide on all rows at once.  Where the metric is a mean of bounded rows, interval and e-values come from betting
on the rows in an order drawn from the seed; otherwise from one look at one interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.trial import PairMeasured, Trial
from chaos_tasks.probes.base import Better, PairQuestion, ProbeParams
from chaos_tasks.probes.predictions import Pair, matched

if TYPE_CHECKING:
    import numpy as np

    from chaos_tasks.stats.interval import Interval
    from chaos_tasks.stats.slices import Slice
    from chaos_tasks.stats.unknown import Unknown

    Array = np.ndarray[Any, np.dtype[Any]]

SMALLEST_P = 1e-6
"""A p-value below this counts as this: no resampling and no normal distribution is to be believed further out."""

RowMetric = Literal["accuracy", "log_loss", "brier"]
_HIGHER = ("accuracy", "auc")


class RowMetricParams(ProbeParams):
    """Which metric, of which rows."""

    metric: Literal["accuracy", "log_loss", "brier", "auc", "ece"] = Field(
        description="log_loss takes scores within [0.001, 0.999], so that one row loses 6.91 at most."
    )
    slice: str = Field("", description="Rows of one group only, as in origin=JFK; a column of the predictions file.")
    threshold: float = Field(0.5, description="Of accuracy: a score from here on is a yes.")
    min_rows: int = Field(100, ge=2, description="Rows below which nothing is measured.")


class WorstSliceParams(ProbeParams):
    """Which metric, over the groups of which columns."""

    metric: Literal["accuracy", "log_loss", "brier", "auc"] = "log_loss"
    columns: tuple[str, ...] = Field(min_length=1, description="Group columns of the predictions file.")
    threshold: float = Field(0.5, description="Of accuracy: a score from here on is a yes.")
    min_rows: int = Field(100, ge=2, description="Rows below which a slice is left out, by name.")


class ShiftParams(ProbeParams):
    """How to measure the move."""

    measure: Literal["mean_move", "flips", "wasserstein", "psi"] = Field(
        "mean_move",
        description="Mean |change of score|, share of flipped decisions, distance of the two distributions of scores, "
        "or population stability index.",
    )
    threshold: float = Field(0.5, description="Of flips: a score from here on is a yes.")
    min_rows: int = Field(100, ge=2, description="Rows below which nothing is measured.")


@dataclass(frozen=True)
class Margin:
    """A margin in the form that is judged: worsening less ``share`` of the control's value, against ``fixed``."""

    fixed: float
    share: float
    higher: bool  # is better

    @property
    def scale(self) -> float:
        """What the control's value is taken times."""
        return 1 - self.share if self.higher else 1 + self.share

    def worsening(self, control: Any, treatment: Any) -> Any:
        """Of values or arrays; positive is worse."""
        return self.scale * control - treatment if self.higher else treatment - self.scale * control

    def shift(self, control: float) -> float:
        """From what is judged to the worsening in the metric's own unit."""
        return self.share * abs(control)


def margin_of(question: PairQuestion, better: Better) -> Margin:
    """The margin as judged; raises ProbeError where the file calls the other direction better."""
    tolerance = question.tolerance
    if tolerance.better != better:
        raise ProbeError(f"here {better} is better", remedy=f"write `better: {better}` in the tolerance")
    fixed, share = (0.0, tolerance.margin) if tolerance.relative else (tolerance.margin, 0.0)
    return Margin(fixed, share, better == "higher")


class RowsMetric:
    """A metric of the model on the sealed rows, or on one group of them."""

    kind: ClassVar[str] = "rows.metric"
    summary: ClassVar[str] = "How much worse a metric is on the same sealed rows, for one pair of models"
    params_type: ClassVar[type[RowMetricParams]] = RowMetricParams

    def better(self, params: RowMetricParams) -> Better:
        """Accuracy and AUC: higher; losses and calibration error: lower."""
        return "higher" if params.metric in _HIGHER else "lower"

    def compare(
        self, control: Trial, treatment: Trial, params: RowMetricParams, question: PairQuestion
    ) -> PairMeasured:
        """Compare; raises ProbeError for trials, files, columns or rows that cannot be compared."""
        margin = margin_of(question, self.better(params))
        column, _, value = params.slice.partition("=")
        pair = matched(control, treatment, question.predictions, [column] if params.slice else [])
        pair = _slice(pair, column, value) if params.slice else pair
        require_rows(pair, params.min_rows, params.slice)
        pair, bad = usable(pair, chances=params.metric in ("log_loss", "brier", "ece"))
        if bad:
            return no_number(pair, margin, bad, params.metric)
        if params.metric == "auc":
            return _auc(pair, margin, question.alpha)
        if params.metric == "ece":
            return _ece(pair, margin, question.alpha)
        before, after, bound = row_values(pair, params.metric, params.threshold)
        return mean_of_rows(pair, before, after, bound, margin, question.alpha, params.metric)


class WorstSlice:
    """The largest worsening over the groups of some columns: harm can hide in a mean."""

    kind: ClassVar[str] = "rows.worst_slice"
    summary: ClassVar[str] = "How much worse a metric is in the worst slice of the same sealed rows"
    params_type: ClassVar[type[WorstSliceParams]] = WorstSliceParams

    def better(self, params: WorstSliceParams) -> Better:
        """Accuracy and AUC: higher; losses: lower."""
        return "higher" if params.metric in _HIGHER else "lower"

    def compare(
        self, control: Trial, treatment: Trial, params: WorstSliceParams, question: PairQuestion
    ) -> PairMeasured:
        """Compare; slices that are too small, or have one label only for AUC, are left out by name.

        Raises ProbeError where no slice is left, and as `rows.metric` does.
        """
        from chaos_tasks.stats.slices import Worst, worst_slice

        margin = margin_of(question, self.better(params))
        pair = matched(control, treatment, question.predictions, params.columns)
        pair, bad = usable(pair, chances=params.metric in ("log_loss", "brier"))
        if bad:
            return no_number(pair, margin, bad, params.metric)
        slices, controls = _slices(pair, params, margin)
        found = worst_slice(slices, alpha=question.alpha, min_rows=params.min_rows)
        if not isinstance(found, Worst):
            raise unknown(found, "choose other columns, a larger evaluation set, or a lower `min_rows`")
        value = controls[found.name]
        return PairMeasured(
            **against(found.interval, margin, value),
            **evidence(found.p_below(margin.fixed), found.p_above(margin.fixed)),
            n_rows=pair.n,
            n_groups=len(found.measured),
            worst=found.name,
            left_out=found.left_out,
            metric_unit=params.metric,
            files=pair.files,
        )


class PredictionShift:
    """How far the scores moved, better or worse: labels are not needed."""

    kind: ClassVar[str] = "rows.prediction_shift"
    summary: ClassVar[str] = "How far predictions moved on the same sealed rows"
    params_type: ClassVar[type[ShiftParams]] = ShiftParams

    def better(self, params: ShiftParams) -> Better:
        """Less is better."""
        return "lower"

    def compare(self, control: Trial, treatment: Trial, params: ShiftParams, question: PairQuestion) -> PairMeasured:
        """Compare; raises ProbeError for a relative margin (the control has not moved), and as `rows.metric` does."""
        import numpy as np

        from chaos_tasks.stats import prediction_shift as shift

        margin = margin_of(question, "lower")
        if question.tolerance.relative:
            raise ProbeError("a relative margin of a move means nothing", remedy="give the margin in the move's unit")
        pair = matched(control, treatment, question.predictions)
        require_rows(pair, params.min_rows)
        pair, bad = usable(pair, chances=params.measure == "mean_move")
        if bad:
            return no_number(pair, margin, bad, params.measure)
        still = np.zeros(pair.n)
        if params.measure == "mean_move":
            moves = shift.moves(pair.control, pair.treatment)
            return mean_of_rows(pair, still, moves, 1.0, margin, question.alpha, "score")
        if params.measure == "flips":
            flipped = (pair.control >= params.threshold) != (pair.treatment >= params.threshold)
            return mean_of_rows(pair, still, flipped.astype(np.float64), 1.0, margin, question.alpha, "share of rows")
        way = shift.wasserstein if params.measure == "wasserstein" else shift.population_stability
        draws = pair.rng(params.measure)
        found = way(pair.control, pair.treatment, margin.fixed, alpha=question.alpha, rng=draws)
        if not isinstance(found, shift.Distance):
            raise unknown(found, "see what the workload writes as scores")
        unit = "score" if params.measure == "wasserstein" else "psi"
        numbers = against(found.interval, margin, 0.0)
        return PairMeasured(
            **numbers, **evidence(found.p_pass, found.p_fail), n_rows=pair.n, metric_unit=unit, files=pair.files
        )


def row_values(pair: Pair, metric: RowMetric, threshold: float) -> tuple[Array, Array, float]:
    """The metric of each row under control and under treatment, and the largest that it can be."""
    import numpy as np

    from chaos_tasks.stats.calibration import CLIP, brier_scores, log_losses

    def right(scores: Array) -> Array:
        return np.asarray(((scores >= threshold) == (pair.labels == 1)).astype(np.float64))

    ways: dict[str, tuple[Callable[[Array], Array], float]] = {
        "accuracy": (right, 1.0),
        "brier": (lambda scores: brier_scores(pair.labels, scores), 1.0),
        "log_loss": (lambda scores: log_losses(pair.labels, scores), -math.log(CLIP)),
    }
    way, bound = ways[metric]
    return way(pair.control), way(pair.treatment), bound


def mean_of_rows(
    pair: Pair, before: Array, after: Array, bound: float, margin: Margin, alpha: float, unit: str
) -> PairMeasured:
    """Of a metric that is the mean of its rows, each within [0, bound]: betting on the rows as they come.

    All rows are there, so the e-values are those after the last one, which was fixed beforehand: many times larger, and
    of more use among a night's questions, than those at the row that decided.
    """
    from chaos_tasks.stats.row_evidence import row_evidence

    value, reach = float(before.mean()), bound * max(1.0, margin.scale)
    if margin.fixed >= reach or (margin.share and not value):
        raise ProbeError(
            "the control's metric is 0, so a relative margin means nothing"
            if margin.share
            else f"the margin of {margin.fixed:g} is more than the metric can worsen by",
            remedy="give another margin, in the metric's own unit",
        )
    found = row_evidence(margin.worsening(before, after), margin.fixed, bound=reach, alpha=alpha)
    if found is None:
        raise ProbeError("a row has no finite metric", remedy="see what the workload writes as scores")
    by = margin.shift(value)
    return PairMeasured(
        estimate=found.estimate + by,
        low=found.low + by,
        high=found.high + by,
        level=1 - 2 * alpha,
        margin=margin.fixed + by,
        control=value,
        treatment=float(after.mean()),
        log_e_pass=found.last_log_e_pass,
        log_e_fail=found.last_log_e_fail,
        n_rows=pair.n,
        method=found.method,
        metric_unit=unit,
        files=pair.files,
    )


def _auc(pair: Pair, margin: Margin, alpha: float) -> PairMeasured:
    """The interval is DeLong's; the e-values bet on blocks of rows, which needs no normal distribution."""
    from chaos_tasks.stats.auc import AucChange, auc_blocks, auc_change
    from chaos_tasks.stats.row_evidence import row_evidence

    found = auc_change(pair.labels, pair.control, pair.treatment, scale=margin.scale)
    if not isinstance(found, AucChange):
        raise unknown(found, "choose an evaluation set or a slice with both labels")
    blocks = auc_blocks(pair.labels, pair.control, pair.treatment, pair.rng("auc blocks"), scale=margin.scale)
    bets = row_evidence(blocks, margin.fixed, alpha=alpha) if margin.fixed < 1 else None
    return PairMeasured(
        **against(found.interval(alpha), margin, found.control),
        treatment=found.treatment,
        log_e_pass=bets.last_log_e_pass if bets else None,
        log_e_fail=bets.last_log_e_fail if bets else None,
        n_rows=pair.n,
        metric_unit="auc",
        files=pair.files,
    )


def _ece(pair: Pair, margin: Margin, alpha: float) -> PairMeasured:
    from chaos_tasks.stats.calibration import EceChange, ece_change

    found = ece_change(
        pair.labels,
        pair.control,
        pair.treatment,
        margin.fixed,
        alpha=alpha,
        rng=pair.rng("ece"),
        scale=margin.scale,
    )
    if not isinstance(found, EceChange):
        raise unknown(found, "let the workload write chances within [0, 1] as scores")
    return PairMeasured(
        **against(found.worsening, margin, found.control),
        **evidence(found.p_pass, found.p_fail),
        treatment=found.treatment,
        n_rows=pair.n,
        metric_unit="ece",
        files=pair.files,
    )


def _slices(
    pair: Pair, params: WorstSliceParams, margin: Margin
) -> tuple[list[Slice | tuple[str, int, Unknown]], dict[str, float]]:
    """Worsening of each slice of each column, and the control's metric in it."""
    import numpy as np

    from chaos_tasks.stats.slices import mean_slices

    found: list[Slice | tuple[str, int, Unknown]] = []
    controls: dict[str, float] = {}
    for column, groups in pair.groups.items():
        if params.metric == "auc":
            for code, name in enumerate(groups.names):
                found.append(_auc_slice(pair.rows(groups.codes == code), f"{column}={name}", margin, controls))
            continue
        before, after, _ = row_values(pair, params.metric, params.threshold)
        changes = margin.worsening(before, after)
        unseen = 1.0 if params.metric == "accuracy" else 0.0  # a decision could always have been another
        found += mean_slices(column, groups.codes, groups.names, changes, unseen=unseen)
        rows = np.maximum(np.bincount(groups.codes, minlength=len(groups.names)), 1)
        means = np.bincount(groups.codes, before, minlength=len(groups.names)) / rows
        controls.update({f"{column}={name}": float(mean) for name, mean in zip(groups.names, means, strict=True)})
    return found, controls


def _auc_slice(rows: Pair, name: str, margin: Margin, controls: dict[str, float]) -> Slice | tuple[str, int, Unknown]:
    from chaos_tasks.stats.auc import AucChange, auc_change
    from chaos_tasks.stats.slices import Slice

    found = auc_change(rows.labels, rows.control, rows.treatment, scale=margin.scale)
    if not isinstance(found, AucChange):
        return name, rows.n, found
    controls[name] = found.control
    return Slice(name, rows.n, found.worsening, found.error)


def _slice(pair: Pair, column: str, value: str) -> Pair:
    groups = pair.groups[column]
    if value not in groups.names:
        shown = ", ".join(groups.names[:8])
        raise ProbeError(f"no row has {column} = {value!r} (there is: {shown})", remedy="mend `slice`")
    return pair.rows(groups.codes == groups.names.index(value))


def require_rows(pair: Pair, least: int, where: str = "") -> None:
    """Raise ProbeError for fewer rows."""
    if pair.n < least:
        place = f" of {where}" if where else ""
        raise ProbeError(
            f"{pair.n} rows{place}, fewer than {least}", remedy="take a larger evaluation set or slice, or lower it"
        )


def usable(pair: Pair, *, chances: bool) -> tuple[Pair, int]:
    """The pair, and for how many rows the treatment returned no usable score (with ``chances``: none within [0, 1]).

    Raises ProbeError where the control has one: then there is nothing to compare with.
    """
    import numpy as np

    def bad(scores: Array) -> int:
        fine = np.isfinite(scores)
        return int((~(fine & (scores >= 0) & (scores <= 1)) if chances else ~fine).sum())

    if bad(pair.control):
        raise ProbeError(
            f"the control returned no usable score for {bad(pair.control)} of {pair.n} rows",
            remedy="mend the pipeline, or name the column of its scores in `reads.predictions`",
        )
    return pair, bad(pair.treatment)


def no_number(pair: Pair, margin: Margin, bad: int, unit: str) -> PairMeasured:
    """Measured: the treatment itself returned no number."""
    return PairMeasured(
        estimate=math.nan,
        treatment=math.nan,
        margin=None if margin.share else margin.fixed,
        n_rows=pair.n,
        n_not_numbers=bad,
        metric_unit=unit,
        files=pair.files,
    )


def against(interval: Interval, margin: Margin, control: float) -> dict[str, Any]:
    """Fields of an interval that was judged against a margin; raises ProbeError for a share of nothing."""
    if margin.share and not control:
        raise ProbeError("the control's metric is 0, so a relative margin means nothing", remedy="give a plain margin")
    by = margin.shift(control)
    moved = interval.shifted(by)
    return {
        "estimate": moved.estimate,
        "low": moved.low,
        "high": moved.high,
        "level": moved.level,
        "margin": margin.fixed + by,
        "control": control,
        "method": moved.method,
    }


def evidence(p_pass: float, p_fail: float) -> dict[str, float]:
    """E-values of the p-values of one look."""
    from chaos_tasks.stats.p_to_e import log_e_of_p

    return {
        "log_e_pass": log_e_of_p(max(p_pass, SMALLEST_P)),
        "log_e_fail": log_e_of_p(max(p_fail, SMALLEST_P)),
    }


def unknown(found: Unknown, remedy: str) -> ProbeError:
    """What a calculation could not tell, as the error of a probe."""
    return ProbeError(f"not known: {found.reason}", remedy=remedy)
