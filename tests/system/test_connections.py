"""A task takes the connections that squall.toml names from Airflow, and nobody sees what is in them."""

from __future__ import annotations

from tests.system.conftest import Lab

SECRET = "never/in+any/log/of/a/task/0123456789"


def test_a_task_takes_its_connections_from_airflow_and_shows_none(lab: Lab) -> None:
    lab.api.add_connection("somebodys_keys", "aws", login="AKEXAMPLE", password=SECRET)
    run = lab.end(lab.start("healthy"))
    assert run.state == "success"
    logs = {task: lab.api.log(run.dag_id, run.run_id, task) for task in lab.states(run)}
    assert "Took connection somebodys_keys from Airflow" in logs["arm"]
    assert not [task for task, text in logs.items() if SECRET in text]
    seen = [path for path in lab.project.home.rglob("*") if path.is_file() and "airflow" not in path.parts]
    assert not [path for path in seen if SECRET.encode() in path.read_bytes()]
