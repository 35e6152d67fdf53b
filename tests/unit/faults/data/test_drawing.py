"""Which rows are hit does not depend on how the file is cut into batches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_tasks.faults.data.drawing import Floats, Mask, MaskFile, Scored, threshold, uniforms


def cut(rows: int, cuts: list[int]) -> list[tuple[int, int]]:
    edges = sorted({0, rows, *(c % (rows + 1) for c in cuts)})
    return list(pairwise(edges))


def chosen(seed: int, eligible: Mask, fraction: float, spans: list[tuple[int, int]]) -> tuple[Mask, str]:
    def passes() -> Iterator[Scored]:
        for first, last in spans:
            yield uniforms(seed, "f", "c", first, last - first), eligible[first:last]

    limit = threshold(passes, fraction)
    kept = MaskFile()
    masks = [limit.mask(scored) for scored in passes()]
    for mask in masks:
        kept.add(mask)
    return np.concatenate([np.zeros(0, np.bool_), *masks]), kept.finish()[1]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**63),
    rows=st.integers(0, 300),
    fraction=st.floats(0, 1),
    cuts=st.lists(st.integers(0, 300), max_size=8),
)
def test_rows_and_mask_are_the_same_whatever_the_batches(
    seed: int, rows: int, fraction: float, cuts: list[int]
) -> None:
    eligible = uniforms(seed, "f", "eligible", 0, rows) < 0.7
    whole, digest = chosen(seed, eligible, fraction, [(0, rows)])
    parts, digest_of_parts = chosen(seed, eligible, fraction, cut(rows, cuts))
    assert np.array_equal(whole, parts)
    assert digest == digest_of_parts
    assert whole.sum() == round(fraction * int(eligible.sum()))
    assert not (whole & ~eligible).any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_larger_fraction_hits_a_superset(seed: int, low: float, high: float) -> None:
    low, high = sorted((low, high))
    eligible = np.ones(200, np.bool_)
    fewer, _ = chosen(seed, eligible, low, [(0, 200)])
    more, _ = chosen(seed, eligible, high, [(0, 200)])
    assert not (fewer & ~more).any()


def test_seeds_columns_and_faults_draw_apart() -> None:
    def drawn(seed: int, fault: str, column: str) -> Floats:
        return uniforms(seed, fault, column, 0, 1000)

    base = drawn(0, "f", "c")
    for other in (drawn(1, "f", "c"), drawn(0, "g", "c"), drawn(0, "f", "d")):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.15


def test_draws_are_uniform() -> None:
    counts = np.histogram(uniforms(3, "f", "c", 0, 100_000), bins=10, range=(0, 1))[0]
    assert np.abs(counts - 10_000).max() < 500
