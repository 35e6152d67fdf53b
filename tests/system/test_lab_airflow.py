"""Airflow as the lab starts it: on this machine only, closed to strangers, with the pools that its DAGs name."""

from __future__ import annotations

import httpx
import psutil

from chaos_tasks.cli.findings import Level
from chaos_tasks.cli.pool_check import judge_pools
from chaos_tasks.lab import stack
from chaos_tasks.lab.airflow_server import CONTROL_POOL, CONTROL_SLOTS, REVERT_POOL, REVERT_SLOTS, WORK_POOL
from chaos_tasks.lab.state import load_state
from tests.system.conftest import Lab


def test_no_process_listens_beyond_loopback(lab: Lab) -> None:
    leaders = [psutil.Process(each.pid) for each in stack.status(lab.project.home) if each.pid is not None]
    processes = [one for leader in leaders for one in (leader, *leader.children(recursive=True))]
    assert {address for process in processes for address in listening(process)} == {"127.0.0.1"}


def listening(process: psutil.Process) -> list[str]:
    """Where it takes connections; one that has just ended takes none."""
    try:
        found = process.net_connections("inet")
    except psutil.NoSuchProcess:
        return []
    return [one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN]


def test_strangers_are_turned_away(lab: Lab) -> None:
    known = load_state(lab.project.home)
    assert known is not None
    assert httpx.get(f"{known.airflow_url}/api/v2/dags").status_code == httpx.codes.UNAUTHORIZED
    wrong = {"username": known.airflow_user, "password": "guess"}
    assert httpx.post(f"{known.airflow_url}/auth/token", json=wrong).status_code == httpx.codes.UNAUTHORIZED


def test_the_pools_that_tasks_name_exist(lab: Lab) -> None:
    pools = lab.api.pools()
    assert pools[WORK_POOL] == 2
    assert pools[CONTROL_POOL] == CONTROL_SLOTS
    assert pools[REVERT_POOL] == REVERT_SLOTS
    assert [finding.level for finding in judge_pools(pools)] == [Level.GOOD]


def test_no_dag_file_fails_to_parse(lab: Lab) -> None:
    assert [failure.filename for failure in lab.api.import_failures() if "broken" not in failure.filename] == []
