"""Run ids: pure, readable, safe in file names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.campaign import run_id as planned
from chaos_tasks.errors import GuardTripped
from squall_operators.run_ids import dag_id_of, experiment_of, run_id_of


def test_run_id_names_experiment_and_day() -> None:
    assert re.fullmatch(
        r"label-flip-20260115-[0-9a-f]{12}", run_id_of("chaos_label-flip", "manual__2026-01-15T02:00:00+00:00_x")
    )


@given(st.text(min_size=1, max_size=80), st.text(max_size=200))
def test_run_id_is_safe_in_file_names_and_stable(dag_id: str, dag_run_id: str) -> None:
    run_id = run_id_of(dag_id, dag_run_id)
    assert re.fullmatch(r"[a-z0-9-]{1,100}", run_id)
    assert run_id == run_id_of(dag_id, dag_run_id)


@given(st.tuples(st.text(max_size=20), st.text(max_size=20)), st.tuples(st.text(max_size=20), st.text(max_size=20)))
def test_different_dag_runs_have_different_run_ids(one: tuple[str, str], other: tuple[str, str]) -> None:
    if one != other and "\0" not in "".join(one + other):
        assert run_id_of(*one) != run_id_of(*other)


def test_run_of_a_campaign_has_the_id_that_the_campaign_planned() -> None:
    assert run_id_of("chaos_label-flip", "any", "night-2026-01-15") == planned("night-2026-01-15", "label-flip")


@pytest.mark.parametrize("campaign", ["../up", "a/b", "A", "x" * 99])
def test_campaign_id_that_no_campaign_has_is_refused(campaign: str) -> None:
    with pytest.raises(GuardTripped):
        run_id_of("chaos_label-flip", "any", campaign)


def test_dag_id_and_experiment_are_inverse() -> None:
    assert experiment_of(dag_id_of("label-flip")) == "label-flip"
