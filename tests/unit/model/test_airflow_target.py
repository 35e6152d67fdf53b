"""A target that is a DAG: what would write where it always does is refused, and the refusal says what to add."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.errors import InvalidFile
from chaos_tasks.loading import load_target
from chaos_tasks.model.target import AirflowDagWorkload, Target

TARGET = """\
version: 1
name: loans
source: {type: dvc, repo: r, data: [loans.csv], format: csv}
workload:
  type: airflow_dag
  dag_id: loan_scoring
  conf: {out: "{out}", data: "{data}/loans.csv"}
  connection: {url: "http://127.0.0.1:8080"}
"""


def load(tmp_path: Path, text: str) -> Target:
    file = tmp_path / "loans.yaml"
    file.write_text(text)
    return load_target(file, {})


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(InvalidFile) as refused:
        load(tmp_path, text)
    return str(refused.value)


def test_a_dag_whose_results_go_to_the_trial_is_a_target(tmp_path: Path) -> None:
    target = load(tmp_path, TARGET)
    assert isinstance(target.workload, AirflowDagWorkload)
    assert target.workload.connection.credentials == "airflow"


def test_a_conf_without_out_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, TARGET.replace('out: "{out}", ', ""))
    assert "loan_scoring has no {out}" in said
    assert "line 7" in said


@pytest.mark.parametrize(
    "write", ['"s3://models/"', '{what: "s3://models/", environment: {PREFIX: "s3://models/squall/"}}']
)
def test_a_write_without_a_conf_of_its_own_is_refused_by_its_name(tmp_path: Path, write: str) -> None:
    said = refusal(tmp_path, f"{TARGET}writes: [{write}]\n")
    assert "s3://models/ is written by loan_scoring and cannot be redirected" in said
    assert "conf: {PARAM:" in said


def test_a_write_redirected_by_conf_is_told_to_the_run(tmp_path: Path) -> None:
    target = load(tmp_path, TARGET + 'writes: [{what: "s3://models/", conf: {models: "s3://models/{trial}/"}}]\n')
    assert target.redirected_conf == {"models": "s3://models/{trial}/"}


def test_variables_and_restarts_do_not_reach_a_dag(tmp_path: Path) -> None:
    assert "workload.restarts" in refusal(tmp_path, TARGET + "  restarts: 1\n")
    assert "workload.environment" in refusal(tmp_path, TARGET + "  environment: {A: b}\n")


def test_a_command_has_neither_a_conf_nor_signals_of_airflow(tmp_path: Path) -> None:
    command = 'version: 1\nname: c\nsource: {type: dvc, repo: r, data: [d.csv]}\nworkload: {type: command, run: "x"}\n'
    assert "conf of a DAG" in refusal(tmp_path, command + "writes: [{what: w, conf: {a: b}}]\n")
    assert "signal of Airflow's" in refusal(tmp_path, command + "signals: [{type: airflow}]\n")
