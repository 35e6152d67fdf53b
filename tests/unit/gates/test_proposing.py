"""Proposals come from clean data, close the escapes that they are made for, and let clean data pass."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.gates import checks
from chaos_tasks.gates.adopting import as_json, as_pandera
from chaos_tasks.gates.candidates import SLACK, candidates
from chaos_tasks.gates.limits import ExtraCheck, Learner, outwards
from chaos_tasks.gates.proposing import MOST, Proposal, battery, propose, refused_by
from chaos_tasks.gates.tables import changed_columns
from chaos_tasks.gates.wording import WIDTH, proposed
from tests.unit.gates.clean_tables import NAME, clean, flipped, reflected


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return clean()


@pytest.fixture(scope="module")
def proposal(table: pd.DataFrame) -> Proposal:
    escapes = [{NAME: flipped(table, 0.1)}, {NAME: reflected(table, "hour", 0.5)}, {NAME: flipped(table, 0.3, seed=9)}]
    return propose({NAME: table}, [], escapes, rng=rng())


@pytest.fixture(scope="module")
def every(table: pd.DataFrame) -> tuple[ExtraCheck, ...]:
    return battery({NAME: table}, [], rng=rng())


def names(table: pd.DataFrame) -> set[str]:
    return {one.name for one in candidates(NAME, table)}


def test_relations_of_a_clean_table_are_found(table: pd.DataFrame) -> None:
    assert {
        "threshold_broken_late_delay",
        "sum_broken_at_hour_minute",
        "not_determined_distance_route",
        "order_broken_dew_temp",
        "repeated_keys_id",
    } <= names(table)


def test_a_relation_holds_in_all_but_a_few_rows_of_the_clean_table(table: pd.DataFrame) -> None:
    found = [one for one in candidates(NAME, table) if one.is_relation and one.statistic != "null_share"]
    assert found
    assert all(one.value(table) <= SLACK for one in found)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_table_of_next_to_no_rows_yields_no_more_than_candidates(rows: int) -> None:
    small = clean(rows)
    found = candidates(NAME, small)
    assert rows or not found


def test_a_constant_table_has_nothing_that_varies_to_check() -> None:
    constant = pd.DataFrame({"a": [1.0] * 100, "b": ["x"] * 100})
    assert {one.statistic for one in candidates(NAME, constant)} <= {"null_share"}


def test_columns_without_any_value_break_nothing() -> None:
    empty = clean(200).assign(delay=np.nan, temp=np.nan)
    assert battery({NAME: empty}, [], rng=rng())


def test_the_escapes_are_closed_by_few_checks(proposal: Proposal) -> None:
    assert proposal.open == ()
    assert proposal.checks[0].statistic == "threshold_broken"
    assert len(proposal.checks) == 2
    assert sorted(number for closes in proposal.closes for number in closes) == [0, 1, 2]


def test_what_was_not_seen_is_closed_too(table: pd.DataFrame, proposal: Proposal) -> None:
    for other in (flipped(table, 0.02, seed=5), reflected(clean(seed=8), "hour", 0.2, seed=6)):
        assert refused_by(proposal.checks, {NAME: other})


def test_clean_data_pass_the_checks(table: pd.DataFrame, proposal: Proposal) -> None:
    assert refused_by(proposal.checks, {NAME: table}) == ()
    assert [refused_by(proposal.checks, {NAME: clean(seed=seed)}) for seed in range(20, 30)] == [()] * 10
    assert proposal.false_alarms is not None
    assert proposal.false_alarms.estimate == 0


def test_the_whole_battery_lets_new_clean_data_pass(table: pd.DataFrame, every: tuple[ExtraCheck, ...]) -> None:
    assert len(every) > 30
    refused = [refused_by(every, {NAME: clean(seed=seed).assign(id=table["id"])}) for seed in range(20, 40)]
    assert sum(map(bool, refused)) <= 1


def test_without_escapes_there_is_nothing_to_propose(table: pd.DataFrame) -> None:
    found = propose({NAME: table}, [], [], rng=rng())
    assert found.checks == ()
    assert found.false_alarms is None
    assert "No check" in proposed(found)


def test_an_escape_that_nothing_sees_stays_open(table: pd.DataFrame) -> None:
    shuffled = table.assign(minute=table["minute"])  # the same values: nothing could see it
    found = propose({NAME: table}, [], [{NAME: shuffled}], rng=rng())
    assert found.open == (0,)


def test_never_more_checks_than_the_false_alarms_are_shared_over(table: pd.DataFrame) -> None:
    escapes = [{NAME: reflected(table, column, 0.6)} for column in ("hour", "minute", "distance", "at")]
    assert len(propose({NAME: table}, [], escapes, rng=rng()).checks) <= MOST


def test_an_earlier_version_is_within_the_limits(table: pd.DataFrame) -> None:
    earlier = table.iloc[:1500].assign(temp=table["temp"] + 30, dew=table["dew"] + 30)
    learner = Learner({NAME: table}, [{NAME: earlier}], rng=rng(), checks=1)
    middle = next(one for one in candidates(NAME, table) if one.name == "quantile_temp_0.5")
    check = learner.check(middle)
    assert check is not None
    assert check.holds({NAME: earlier})
    assert check.holds({NAME: table})


def test_the_same_seed_proposes_the_same(table: pd.DataFrame) -> None:
    escapes = [{NAME: reflected(table, "delay", 0.5)}]
    first, second = (propose({NAME: table}, [], escapes, rng=rng()) for _ in range(2))
    assert first == second


def test_only_columns_that_differ_count_as_changed(table: pd.DataFrame) -> None:
    assert changed_columns({NAME: table}, {NAME: flipped(table, 0.1)}) == {(NAME, "late")}
    assert changed_columns({NAME: table}, {NAME: table.iloc[1:]}) == {(NAME, str(name)) for name in table.columns}
    assert changed_columns({NAME: table}, {}) == {(NAME, str(name)) for name in table.columns}


@given(st.floats(-1e12, 1e12, allow_subnormal=False))
def test_rounding_never_takes_away_from_what_is_allowed(number: float) -> None:
    assert outwards(number, -1) <= number * (1 + 1e-12 * (-1 if number > 0 else 1)) or outwards(number, -1) <= number
    assert outwards(number, 1) >= number or math.isclose(outwards(number, 1), number, rel_tol=1e-12)


# --- adopting -------------------------------------------------------------------------------------------------------


def test_pandera_code_and_json_say_the_same(
    table: pd.DataFrame, proposal: Proposal, every: tuple[ExtraCheck, ...]
) -> None:
    adopted = (*proposal.checks, *every[::9])
    loaded = json.loads(as_json(adopted))["checks"]
    scope: dict[str, object] = {"__name__": "pasted"}
    exec(compile(as_pandera(adopted), "pasted", "exec"), scope)  # what a person would paste
    schema = scope["A_PARQUET"]
    for version in (table, flipped(table, 0.1), reflected(table, "hour", 0.5), clean(seed=5)):
        by_json = {check["name"] for check in loaded if not checks.holds(version, check)}
        assert pasted_failures(schema, version) == by_json


def pasted_failures(schema: object, version: pd.DataFrame) -> set[str]:
    from pandera.errors import SchemaErrors

    try:
        schema.validate(version, lazy=True)  # type: ignore[attr-defined]
    except SchemaErrors as errors:
        return set(errors.failure_cases["check"].astype(str))
    return set()


def test_a_check_survives_its_file(proposal: Proposal) -> None:
    loaded = [ExtraCheck.model_validate(one) for one in json.loads(as_json(proposal.checks))["checks"]]
    assert tuple(loaded) == proposal.checks


def test_a_proposal_fits_a_terminal(proposal: Proposal) -> None:
    assert all(len(line) <= WIDTH for line in proposed(proposal).splitlines())
