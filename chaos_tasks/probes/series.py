"""How much worse a series is under treatment than under control: latencies, lags, rates (unit `block`).

The i-th values of both trials are the same request or record, so they form a pair; neighbours in time are alike, so
blocks that forget each other are what is counted.  About this pair of runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.trial import PairMeasured, Trial
from chaos_tasks.probes.base import Better, PairQuestion, ProbeParams
from chaos_tasks.probes.metric import require_completed
from chaos_tasks.probes.predictions import read_file
from chaos_tasks.probes.tail import read_series

if TYPE_CHECKING:
    import numpy as np

    from chaos_tasks.stats.evidence import Evidence

    Array = np.ndarray[Any, np.dtype[Any]]


class SeriesParams(ProbeParams):
    """Which numbers, in the order in which they were written."""

    file: str = Field(min_length=1, description="JSON lines, Parquet or CSV below {out}, e.g. decisions.jsonl.")
    field: str = Field(min_length=1, description="Field or column of the numbers, e.g. lag.")
    min_n: int = Field(100, ge=16, description="Values of each trial below which nothing is measured.")
    unit: str = Field("", description="For people: s, ms.")


class SeriesTailParams(SeriesParams):
    """And which tail of it."""

    quantile: float = Field(0.99, gt=0.5, lt=1, description="The control's quantile that is to be exceeded no more.")


class SeriesMean:
    """Mean worsening of the series, moment by moment."""

    kind: ClassVar[str] = "series.mean"
    summary: ClassVar[str] = "How much worse a series is on average, for one pair of runs"
    params_type: ClassVar[type[SeriesParams]] = SeriesParams

    def better(self, params: SeriesParams) -> Better | None:
        """Either: a latency should be low, a rate high."""
        return None

    def compare(self, control: Trial, treatment: Trial, params: SeriesParams, question: PairQuestion) -> PairMeasured:
        """Compare; raises ProbeError for a series that is missing, or too short for its memory."""
        from chaos_tasks.stats.series_evidence import series_evidence

        before, after, files = _pair(control, treatment, params)
        sign = 1.0 if question.tolerance.better == "lower" else -1.0
        value = float(before.mean())
        share = question.tolerance.margin if question.tolerance.relative else 0.0
        excess = sign * (after - before) - share * abs(value)
        asked = 0.0 if question.tolerance.relative else question.tolerance.margin
        found = series_evidence(excess, asked, alpha=question.alpha)
        means = value, float(after.mean())
        return _measured(found, params, question, means, len(before), files, asked, shift=share * abs(value))


class SeriesTail:
    """How much more often the treatment exceeds the control's high quantile than the margin allows.

    The margin is the share of values (0..1) by which it may be exceeded more often.
    """

    kind: ClassVar[str] = "series.tail"
    summary: ClassVar[str] = "How much more often a series exceeds its control's high quantile, for one pair of runs"
    params_type: ClassVar[type[SeriesTailParams]] = SeriesTailParams

    def better(self, params: SeriesTailParams) -> Better:
        """Fewer exceedances."""
        return "lower"

    def compare(
        self, control: Trial, treatment: Trial, params: SeriesTailParams, question: PairQuestion
    ) -> PairMeasured:
        """Compare; raises ProbeError for a relative margin, and as `series.mean` does.

        The threshold comes from the first half of the control, so that no value judges itself; the second halves of
        both are compared.
        """
        import numpy as np

        from chaos_tasks.stats.series_evidence import series_evidence

        if question.tolerance.relative or question.tolerance.better != "lower":
            raise ProbeError("the margin of a tail is a share of values", remedy="give `margin` and `better: lower`")
        before, after, files = _pair(control, treatment, params)
        half = len(before) // 2
        threshold = float(np.quantile(before[:half], params.quantile))
        beyond = [(series[half:] > threshold).astype(np.float64) for series in (before, after)]
        margin = question.tolerance.margin
        found = series_evidence(beyond[1] - beyond[0], margin, alpha=question.alpha)
        shares = float(beyond[0].mean()), float(beyond[1].mean())
        return _measured(found, params, question, shares, len(beyond[0]), files, margin)


def _pair(control: Trial, treatment: Trial, params: SeriesParams) -> tuple[Array, Array, dict[str, str]]:
    """Both series, cut to the shorter, and the digests of their files.

    Raises ProbeError for one that is too short or has a value that is no number, and for trials that are no pair.
    """
    import hashlib

    import numpy as np

    if control.seed != treatment.seed:
        raise ProbeError(f"{control.id} and {treatment.id} are no pair", remedy="compare trials of one seed")
    found, files = [], {}
    for trial, arm in ((control, "control"), (treatment, "treatment")):
        require_completed(trial)
        values = read_series(trial, params.file, params.field)
        if len(values) < params.min_n:
            raise ProbeError(
                f"{params.file} of trial {trial.id} has {len(values)} values of {params.field}, "
                f"fewer than {params.min_n}",
                remedy="let the trial run longer, or lower `min_n`",
            )
        if not np.isfinite(values).all():
            raise ProbeError(
                f"{params.file} of trial {trial.id} has a {params.field} that is no finite number",
                remedy="see what the workload writes",
            )
        found.append(values)
        files[arm] = hashlib.sha256(read_file(trial, params.file)).hexdigest()
    shorter = min(len(values) for values in found)
    return found[0][:shorter], found[1][:shorter], files


def _measured(
    found: Evidence | None,
    params: SeriesParams,
    question: PairQuestion,
    values: tuple[float, float],
    n: int,
    files: dict[str, str],
    asked: float,
    *,
    shift: float = 0.0,
) -> PairMeasured:
    """``values``: of control and treatment; ``shift``: from what was asked to the worsening in the series' unit."""
    if found is None:
        raise ProbeError(
            f"the {n} values of {params.field} are too few for how long they remember",
            remedy="let the trial run longer",
        )
    return PairMeasured(
        estimate=found.estimate + shift,
        low=found.low + shift,
        high=found.high + shift,
        level=1 - 2 * question.alpha,
        margin=asked + shift,
        control=values[0],
        treatment=values[1],
        log_e_pass=found.stopped_log_e_pass,
        log_e_fail=found.stopped_log_e_fail,
        n_rows=found.n,
        method=found.method,
        unit="block",
        metric_unit=params.unit,
        files=files,
    )
