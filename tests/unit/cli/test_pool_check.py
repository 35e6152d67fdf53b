"""The doctor on Airflow's pools: what is missing, shut or more than the executor can run."""

from __future__ import annotations

import pytest

from chaos_tasks.cli.findings import Level
from chaos_tasks.cli.pool_check import judge_pools
from chaos_tasks.lab.airflow_server import pools

ALL = {"squall_work": 2, "squall_control": 6, "squall_revert": 4}


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize("state", ["missing", "shut"])
def test_a_pool_that_is_missing_or_shut_is_wrong(name: str, state: str) -> None:
    found = list(
        judge_pools({**{other: ALL[other] for other in ALL if other != name}, **({name: 0} if state == "shut" else {})})
    )
    assert [finding.level for finding in found] == [Level.BAD]
    assert name in found[0].text
    assert f"airflow pools set {name}" in found[0].remedy


def test_an_executor_with_fewer_processes_than_slots_is_told() -> None:
    assert [one.level for one in judge_pools(ALL, "12")] == [Level.GOOD]
    assert [one.level for one in judge_pools(ALL, "11")] == [Level.WARN, Level.GOOD]


def test_the_lab_makes_every_pool_that_the_doctor_asks_for() -> None:
    made = {name: slots for name, (slots, _) in pools(2).items()}
    assert [one.level for one in judge_pools(made, str(sum(made.values())))] == [Level.GOOD]
