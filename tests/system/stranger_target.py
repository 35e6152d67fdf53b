"""In the tiny project: a stranger's DAG in its own folder, its data in DVC, its lake in S3, and experiments on it."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from chaos_tasks.lab.airflow_api import AirflowApi
from chaos_tasks.lab.identities import BUCKET, INJECTOR_USER, PIPELINE_USER, REVERTER_USER
from chaos_tasks.lab.seaweedfs import s3_client
from chaos_tasks.lab.state import LabState
from chaos_tasks.lab.waiting import wait_until
from tests.system.tiny_target import TinyProject

DAGS = Path(__file__).with_name("stranger_dags")
NAME, DAG_ID = "loans", "loan_scoring"
LABELS, KILLED, LOCKED_OUT = "loans-flipped", "loans-train-killed", "loans-locked-out"
MONITOR, MONITOR_DAG = "loans-monitor", "loan_monitor"
MONITOR_KEY, MONITOR_KILLED = "monitor-locked-out", "monitor-killed"
EXPERIMENTS = frozenset({LABELS, KILLED, LOCKED_OUT, MONITOR_KEY, MONITOR_KILLED})
HISTORY = 16
"""Earlier runs that Airflow makes up for: as many as a level of 0.1 needs, and two."""

INVENTORY = f"""
[targets.{{name}}]
file = "targets/{{name}}.yaml"
environment = "lab"
families = ["data", "airflow", "cloud"]

[targets.{{name}}.identities]
principals = {{{{injector = "{INJECTOR_USER}", reverter = "{REVERTER_USER}"}}}}
auditor = "auditor"
iam_resources = "any"

[[targets.{{name}}.identities.not_applicable]]
check = "principals"
families = ["data", "airflow"]
reason = "One user runs everything of this project on one machine."
"""

TARGET = """\
version: 1
name: loans
source: {{type: dvc, repo: "{source}", rev: main, data: [loans.csv], sealed: holdout.csv, format: csv}}
workload:
  type: airflow_dag
  dag_id: loan_scoring
  conf: {{data: "{{data}}/loans.csv", holdout: "{{sealed}}", out: "{{out}}", seed: "{{seed}}"}}
  connection: {{url: "${{SQUALL_AIRFLOW_URL}}", credentials: airflow}}
  metrics_task: evaluate
  poll: 200ms
  timeout: 2m
signals: [{{type: airflow}}, {{type: alarms, path: alerts.jsonl}}]
resources:
  lake: {{type: s3, endpoint: "${{SQUALL_S3_ENDPOINT}}", bucket: {bucket}, prefix: data/, principal: {principal}}}
"""

EXPERIMENT = """\
version: 1
name: {name}
hypothesis: The loan scoring DAG gives a model that is as good as ever.
owner: credit
nightly: false
target: loans
steady_state:
  - {{name: completed, probe: workload.completed, tolerance: {{type: exactly, value: true}}}}
  - {{name: accuracy, probe: model.metric, params: {{metric: accuracy}}, tolerance: {{type: range, min: 0.8}}}}
method:
  - {method}
guards: {{lease: 60s}}
analysis: {{seeds: {seeds}, base_seed: 1, design: fixed{more}}}
"""

ATTACHED = """\
version: 1
name: loans-monitor
source: {{type: dvc, repo: "{source}", rev: main, data: [loans.csv], format: csv}}
workload:
  type: airflow_dag
  dag_id: loan_monitor
  attach: {{wait: 3m, history: 40}}
  connection: {{url: "${{SQUALL_AIRFLOW_URL}}", credentials: airflow}}
  metrics_task: score
  poll: 200ms
  timeout: 2m
signals: [{{type: airflow}}]
resources:
  lake: {{type: s3, endpoint: "${{SQUALL_S3_ENDPOINT}}", bucket: {bucket}, prefix: data/, principal: {principal}}}
"""

ATTACHED_EXPERIMENT = """\
version: 1
name: {name}
hypothesis: The loan monitor says what it has always said.
owner: credit
nightly: false
target: loans-monitor
steady_state:
  - {{name: completed, probe: workload.completed, tolerance: {{type: exactly, value: true}}, when: under_fault}}
  - name: {metric}-as-ever
    probe: history.metric
    params: {{metric: {metric}, better: higher, alpha: 0.1}}
    tolerance: {{type: range, min: 0.11}}
    when: under_fault
method:
  - {method}
guards: {{lease: 60s}}
analysis: {{seeds: 1, base_seed: 1, design: fixed}}
"""

ATTACHED_METHODS = {
    MONITOR_KEY: "{name: key, fault: cloud.deactivate_key, target: lake, hold: 5m, "
    "trigger: {at: log, pattern: '^task collect try 1 running'}, draw: per_trial}",
    MONITOR_KILLED: "{name: kill, fault: airflow.task_kill, target: task, params: {task_id: collect}, "
    "trigger: {at: elapsed, after: 0s}, draw: per_trial}",
}

METHODS = {
    LABELS: "{name: flip, fault: data.label_flip, target: data, params: {column: bad, fraction: 0.7}}",
    KILLED: "{name: kill, fault: airflow.task_kill, target: task, params: {task_id: train, try_number: 1}, "
    "trigger: {at: elapsed, after: 0s}, draw: per_trial}",
    LOCKED_OUT: "{name: key, fault: cloud.deactivate_key, target: lake}",
}


def prepare(project: TinyProject) -> frozenset[str]:
    """Write target, data, DAG and experiments; the names of the experiments."""
    tables = "".join(INVENTORY.format(name=name) for name in (NAME, MONITOR))
    project.config.write_text(project.config.read_text() + tables)
    source = project.root / "loans-source"
    source.mkdir()
    make_source(source)
    target = TARGET.format(source=source, bucket=BUCKET, principal=PIPELINE_USER)
    (project.root / "targets" / f"{NAME}.yaml").write_text(target)
    attached = ATTACHED.format(source=source, bucket=BUCKET, principal=PIPELINE_USER)
    (project.root / "targets" / f"{MONITOR}.yaml").write_text(attached)
    shutil.copytree(DAGS, project.dags / "credit", ignore=shutil.ignore_patterns("__pycache__"))
    monitor = project.dags / "credit" / "loan_monitor.py"
    since = datetime.now(UTC) - timedelta(minutes=HISTORY)
    monitor.write_text(monitor.read_text().replace("datetime(2026, 1, 1, 0, 0)", f"datetime{since.timetuple()[:5]}"))
    for name, method in ATTACHED_METHODS.items():
        # Of ten healthy runs one has an accuracy that rare, so what a kill leaves alone is judged by what never varies.
        metric = "accuracy" if name == MONITOR_KEY else "rows"
        text = ATTACHED_EXPERIMENT.format(name=name, method=method, metric=metric)
        (project.dags / "experiments" / f"{name}.yaml").write_text(text)
    for name, method in METHODS.items():
        more = ", recovery_trials: 1" if name == LOCKED_OUT else ""
        text = EXPERIMENT.format(name=name, method=method, more=more, seeds=2 if name == KILLED else 1)
        (project.dags / "experiments" / f"{name}.yaml").write_text(text)
    return EXPERIMENTS


def settle(state: LabState, api: AirflowApi) -> None:
    """What the stranger has in the lake, and the key by which the DAG reads it."""
    assert state.identities is not None
    s3_client(state.s3_endpoint, state.identities.admin).put_object(
        Bucket=BUCKET, Key="data/base_rates.json", Body=json.dumps({"bad": 0.3}).encode()
    )
    key = state.identities.pipeline
    extra = {"endpoint_url": state.s3_endpoint}
    wait_until(
        lambda: {DAG_ID, MONITOR_DAG} <= api.dag_ids(), what=f"{DAG_ID} being parsed", timeout_s=60, interval_s=0.5
    )
    api.set_paused(DAG_ID, False)  # as Airflow has it by default, a new DAG is paused
    api.add_connection("credit_lake", "aws", login=key.access_key, password=key.secret, extra=extra)


def make_source(repo: Path) -> None:
    """Loans that can be told apart by income and debt, and a holdout of the same kind."""
    for name, rows, seed in (("loans.csv", 400, 1), ("holdout.csv", 200, 2)):
        (repo / name).write_text(_loans(rows, seed))
    _run(repo, "git", "init", "-q", "-b", "main")
    _run(repo, "git", "config", "user.email", "test@example.org")
    _run(repo, "git", "config", "user.name", "test")
    _run(repo, sys.executable, "-m", "dvc", "init", "-q")
    (repo / ".dvc" / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    _run(repo, sys.executable, "-m", "dvc", "add", "-q", "loans.csv", "holdout.csv")
    _run(repo, "git", "add", "--all")
    _run(repo, "git", "commit", "-q", "-m", "Loans")


def _loans(rows: int, seed: int) -> str:
    draw = random.Random(seed)
    lines = ["id,income,debt,years,bad"]
    for number in range(rows):
        income, debt, years = draw.gauss(50, 12), draw.gauss(20, 6), draw.randint(0, 20)
        bad = int(debt - 0.4 * income + draw.gauss(0, 1.5) > 0)
        lines.append(f"{number},{income:.2f},{debt:.2f},{years},{bad}")
    return "\n".join(lines) + "\n"


def _run(repo: Path, *argv: str) -> None:
    subprocess.run(argv, cwd=repo, check=True, capture_output=True)
