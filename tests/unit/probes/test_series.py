"""A series under treatment against the same series under control: what is shown, and what is too short to show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.experiment import NonInferiority
from chaos_tasks.model.trial import Arm, PairMeasured
from chaos_tasks.probes.base import PairQuestion
from chaos_tasks.probes.series import SeriesMean, SeriesParams, SeriesTail, SeriesTailParams
from tests import predictions

LAG = {"file": "decisions.jsonl", "field": "lag"}


def compared(
    folder: Path, before: list[float], after: list[float], margin: float, *, tail: bool = False, relative: bool = False
) -> PairMeasured:
    rows = predictions.drawn(10)
    control = predictions.trial(folder, Arm.CONTROL, rows, lags=before)
    treatment = predictions.trial(folder, Arm.TREATMENT, rows, lags=after)
    tolerance = NonInferiority(margin=margin, better="lower", relative=relative)
    question = PairQuestion(tolerance=tolerance, alpha=0.05)
    if tail:
        return SeriesTail().compare(control, treatment, SeriesTailParams.model_validate(LAG), question)
    return SeriesMean().compare(control, treatment, SeriesParams.model_validate(LAG), question)


def lags(mean: float, seed: int, n: int = 2000) -> list[float]:
    return [float(value) for value in np.random.default_rng(seed).gamma(8, mean / 8, n)]


def test_a_later_series_is_beyond_a_small_margin_and_within_a_large_one(tmp_path: Path) -> None:
    small = compared(tmp_path, lags(0.2, 1), lags(0.25, 2), 0.02)
    assert small.low is not None
    assert small.low > 0.02
    large = compared(tmp_path, lags(0.2, 1), lags(0.25, 2), 0.1)
    assert large.high is not None
    assert large.high < 0.1
    assert large.unit == "block"


def test_a_relative_margin_is_shown_in_the_unit_of_the_series(tmp_path: Path) -> None:
    found = compared(tmp_path, lags(0.2, 1), lags(0.25, 2), 0.1, relative=True)
    assert found.margin == pytest.approx(0.02, rel=0.05)
    assert found.estimate == pytest.approx(0.05, rel=0.1)


def test_a_tail_that_the_mean_hides_is_seen(tmp_path: Path) -> None:
    """One request in ten takes twice as long, the others a little less: the mean stays."""
    slow = [lag * (2.0 if i % 10 == 0 else 0.88) for i, lag in enumerate(lags(0.2, 2))]
    mean = compared(tmp_path, lags(0.2, 1), slow, 0.01)
    tail = compared(tmp_path, lags(0.2, 1), slow, 0.01, tail=True)
    assert mean.low is not None
    assert mean.low < 0.01
    assert tail.low is not None
    assert tail.low > 0.01


def test_a_series_that_remembers_too_long_is_no_evidence(tmp_path: Path) -> None:
    steps = np.random.default_rng(1).normal(0, 1, (2, 200)).cumsum(axis=1)
    with pytest.raises(ProbeError, match="too few for how long they remember"):
        compared(tmp_path, steps[0].tolist(), steps[1].tolist(), 0.5)


@pytest.mark.parametrize("bad", [[0.1] * 20, [0.1] * 200 + [float("nan")]])
def test_short_or_broken_series_are_not_compared(tmp_path: Path, bad: list[float]) -> None:
    with pytest.raises(ProbeError):
        compared(tmp_path, lags(0.2, 1), bad, 0.1)
