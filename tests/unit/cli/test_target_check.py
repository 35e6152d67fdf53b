"""What the doctor says about a target, by its files and the scripts of its source."""

from __future__ import annotations

from pathlib import Path

from chaos_tasks.cli.findings import Level
from chaos_tasks.cli.target_check import target_findings
from chaos_tasks.discovery import mirror
from chaos_tasks.settings import find_settings

TARGET = """\
version: 1
name: m
source: {{type: dvc, repo: "{repo}", rev: main, data: [rows.csv], format: csv}}
workload: {{type: command, run: "true"}}
"""
INVENTORY = """\
[targets.m]
file = "m.yaml"
environment = "dev"
families = ["data"]
"""


def _said(tmp_path: Path, script: str) -> dict[Level, str]:
    code = tmp_path / "code"
    code.mkdir()
    (code / "rows.csv").write_text("a,b\n1,2\n")
    (code / "train.py").write_text(script)
    mirror.make(code, tmp_path / "mirror", ["rows.csv"])
    (tmp_path / "m.yaml").write_text(TARGET.format(repo=tmp_path / "mirror"))
    (tmp_path / "squall.toml").write_text(INVENTORY)
    found = list(target_findings(find_settings({}, tmp_path), "m", fields=False))
    return {level: "\n".join(one.text for one in found if one.level is level) for level in Level}


def test_a_server_in_the_code_is_worth_knowing(tmp_path: Path) -> None:
    said = _said(tmp_path, 'import mlflow\nmlflow.set_tracking_uri("http://me:secret@10.0.0.1:5000")\n')
    assert "train.py, line 2: its MLflow server http://me@10.0.0.1:5000 stands in the code" in said[Level.WARN]
    assert "secret" not in "".join(said.values())


def test_a_format_rules_out_faults_by_what_they_claim(tmp_path: Path) -> None:
    said = _said(tmp_path, "")
    assert "server" not in said[Level.WARN]
    assert "data.image_damage (its data are csv, which it does not act on)" in said[Level.NOTE]
    assert "data.unit_change" in said[Level.GOOD]
