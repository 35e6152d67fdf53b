"""Counts by group, label and decision: every row once, every cell there, and two parts add up to the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.stats.contingency import Table, tabulate

NAMES = ("a", "b", "c")
ROWS = st.lists(st.tuples(st.integers(0, 2), *[st.integers(0, 1)] * 3), max_size=60)


def of(rows: list[tuple[int, int, int, int]]) -> Table:
    codes, labels, control, treatment = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return tabulate(codes, NAMES, labels, control, treatment)


@given(ROWS)
def test_counts_each_row_in_its_own_cell(rows: list[tuple[int, int, int, int]]) -> None:
    found = of(rows)
    assert found.counts.shape == (3, 2, 2, 2)
    assert found.n == len(rows)
    for cell in set(rows):
        assert found.counts[cell] == rows.count(cell)


@given(ROWS, ROWS)
def test_two_parts_add_up_to_the_whole(
    left: list[tuple[int, int, int, int]], right: list[tuple[int, int, int, int]]
) -> None:
    assert np.array_equal((of(left) + of(right)).counts, of(left + right).counts)


def test_each_model_keeps_its_own_decisions() -> None:
    both = of([(0, 1, 0, 1), (0, 1, 0, 1), (2, 0, 1, 1)])
    assert both.control().counts[0, 1].tolist() == [2, 0]
    assert both.treatment().counts[0, 1].tolist() == [0, 2]
    assert not both.control().paired
    assert both.sizes.tolist() == [2, 0, 1]


def test_a_cell_without_a_row_is_named() -> None:
    assert of([(0, 1, 0, 0), (1, 0, 0, 0), (1, 1, 0, 0)]).empty_cells() == ("a, label 0", "c, label 0", "c, label 1")


@pytest.mark.parametrize(
    ("codes", "labels", "decisions", "cause"),
    [
        ([3], [0], [0], "codes"),
        ([-1], [0], [0], "codes"),
        ([0], [2], [0], "labels"),
        ([0], [0], [np.nan], "decisions"),
        ([0, 1], [0], [0], "1 labels for 2"),
    ],
)
def test_refuses_what_is_no_place_or_no_bit(
    codes: list[int], labels: list[int], decisions: list[float], cause: str
) -> None:
    with pytest.raises(ValueError, match=cause):
        tabulate(np.array(codes), NAMES, np.array(labels), np.array(decisions))


def test_a_column_of_identifiers_is_no_group() -> None:
    with pytest.raises(ValueError, match="more than 4096"):
        tabulate(np.arange(3000), [str(n) for n in range(3000)], np.zeros(3000, int), np.zeros(3000, int))


def test_tables_of_other_groups_do_not_add() -> None:
    with pytest.raises(ValueError, match="same groups"):
        of([]) + Table(("x",), np.zeros((1, 2, 2, 2)))
