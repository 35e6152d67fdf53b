"""A resample of counts is one multinomial draw of all rows over the cells."""

from __future__ import annotations

import numpy as np
import pytest

from chaos_tasks.stats.bootstrap import resample

REPLICATES = 20_000


def test_resamples_have_the_mean_and_the_covariance_of_the_multinomial() -> None:
    counts, n = np.array([[5.0, 0.0, 120.0], [60.0, 14.5, 0.5]]), 200
    drawn = resample(counts, n, REPLICATES, np.random.default_rng(1)).reshape(6, REPLICATES)
    share = counts.reshape(-1) / counts.sum()
    expected = n * (np.diag(share) - np.outer(share, share))
    assert drawn.mean(axis=1) == pytest.approx(n * share, abs=0.3)
    assert np.cov(drawn) == pytest.approx(expected, rel=0.05, abs=0.5)


def test_every_resample_has_all_rows_and_none_where_there_were_none() -> None:
    drawn = resample(np.array([3.0, 0.0, 9.0, 1e-12]), 500, 1000, np.random.default_rng(2))
    assert (drawn.sum(axis=0) == 500).all()
    assert (drawn[1] == 0).all()
    assert (drawn >= 0).all()


def test_one_filled_cell_takes_all_rows_and_no_filled_cell_takes_none() -> None:
    rng = np.random.default_rng(3)
    assert resample(np.array([0.0, 4.0]), 7, 2, rng).tolist() == [[0, 0], [7, 7]]
    assert resample(np.zeros((2, 1)), 7, 2, rng).tolist() == [[[0, 0]], [[0, 0]]]
