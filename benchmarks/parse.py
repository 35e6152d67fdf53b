"""What Airflow's DAG processor and each task pay for our DAG files: CPU seconds beyond importing Airflow.

Run by `make bench-parse`; every file is parsed in a process of its own, as Airflow does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "parse.json"
HEAVY = ("torch", "pandas", "boto3", "botocore", "dvc", "mlflow", "scipy", "pyarrow", "matplotlib", "sklearn")
BUDGET_S = 3.0
BUDGET_EXPERIMENTS = 200

MEASURE = """
import json, logging, multiprocessing, sys, time
logging.disable(logging.CRITICAL)
import airflow.sdk, airflow.providers.standard.operators.trigger_dagrun
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
from pathlib import Path

def parse(path, heavy, answers):
    before = time.process_time()
    bag = DagBag(str(path), safe_mode=True)
    parsed = time.process_time()
    size = sum(len(json.dumps(DagSerialization.to_dict(dag))) for dag in bag.dags.values())
    answers.put({
        "file": path.stem, "dags": len(bag.dags), "errors": bag.import_errors, "parse_s": parsed - before,
        "serialise_s": time.process_time() - parsed, "bytes": size,
        "heavy": [name for name in heavy if name in sys.modules],
    })

files = []
fork = multiprocessing.get_context("fork")
for path in sorted(Path(sys.argv[1]).glob("*.py")):
    answers = fork.SimpleQueue()
    child = fork.Process(target=parse, args=(path, sys.argv[2].split(","), answers))
    child.start()
    files.append(answers.get())
    child.join()
print(json.dumps(files))
"""


@dataclass(frozen=True)
class ParsedFile:
    """What one DAG file cost."""

    file: str
    dags: int
    errors: dict[str, str]
    parse_s: float
    serialise_s: float
    bytes: int
    heavy: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and write the result; 1 when the budget is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[17, 50, BUDGET_EXPERIMENTS, 500])
    options = parser.parse_args(arguments)
    rows = [measured(count) for count in options.counts]
    print(table(rows))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"unit": "CPU seconds", "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0 if all(within_budget(row) for row in rows) else 1


def measured(count: int) -> dict[str, float]:
    """One row: a folder with that many experiments, parsed by the processor and by one task."""
    with tempfile.TemporaryDirectory(prefix="squall-parse-") as name:
        root = Path(name)
        last = write_project(root, count)
        files = run(root)
        in_a_task = run(root, dag_id=f"chaos_{last}")
    ours, others = files["experiments"], [one for name, one in files.items() if name != "experiments"]
    return {
        "experiments": count,
        "dags": sum(one.dags for one in files.values()),
        "experiments_py_s": ours.parse_s,
        "other_files_s": sum(one.parse_s for one in others),
        "serialise_s": sum(one.serialise_s for one in files.values()),
        "kb_per_dag": sum(one.bytes for one in files.values()) / sum(one.dags for one in files.values()) / 1000,
        "in_a_task_s": in_a_task["experiments"].parse_s,
        "heavy_modules": sum(len(one.heavy) for one in files.values()),
    }


def write_project(root: Path, count: int) -> str:
    """The shipped DAG files, and copies of the shipped experiments under new names; returns the last name."""
    (root / "dags" / "experiments").mkdir(parents=True)
    (root / "squall.toml").write_text("[squall]\n", encoding="utf-8")
    for path in (ROOT / "dags").glob("*.py"):
        (root / "dags" / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    shipped = sorted((ROOT / "dags" / "experiments").glob("*.yaml"))
    name = ""
    for number in range(count):
        path = shipped[number % len(shipped)]
        name = f"{path.stem}-{number}"
        text = path.read_text(encoding="utf-8").replace(f"\nname: {path.stem}\n", f"\nname: {name}\n")
        (root / "dags" / "experiments" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return name


def run(root: Path, dag_id: str = "") -> dict[str, ParsedFile]:
    """File name -> what it cost, in a fork of a process that has imported Airflow, as in the DAG processor."""
    inside = {"_AIRFLOW_PARSING_CONTEXT_DAG_ID": dag_id, "_AIRFLOW_PARSING_CONTEXT_TASK_ID": "revert"} if dag_id else {}
    env = {
        **os.environ,
        **inside,
        "AIRFLOW_HOME": str(root / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "operators"))),
        "SQUALL_CONFIG": str(root / "squall.toml"),
    }
    argv = [sys.executable, "-c", MEASURE, str(root / "dags"), ",".join(HEAVY)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    parsed = [ParsedFile(**one) for one in json.loads(done.stdout.splitlines()[-1])]
    broken = [one.errors for one in parsed if one.errors]
    if broken:
        raise RuntimeError(f"import errors: {broken}")
    return {one.file: one for one in parsed}


def within_budget(row: dict[str, float]) -> bool:
    """Whether 200 experiments parse within the budget, and nothing heavy was imported."""
    parse_s = row["experiments_py_s"] + row["other_files_s"]
    return not row["heavy_modules"] and (row["experiments"] > BUDGET_EXPERIMENTS or parse_s < BUDGET_S)


def table(rows: Sequence[dict[str, float]]) -> str:
    """For a terminal."""
    names = ("experiments", " DAGs", "experiments.py", "other files", "serialise", "KB/DAG", "in a task")
    head = " ".join(names)
    lines = [
        f"{row['experiments']:>11.0f} {row['dags']:>5.0f} {row['experiments_py_s']:>14.2f} "
        f"{row['other_files_s']:>11.2f} {row['serialise_s']:>9.2f} {row['kb_per_dag']:>6.1f} {row['in_a_task_s']:>9.3f}"
        for row in rows
    ]
    limit = f"CPU seconds beyond importing Airflow; limit for {BUDGET_EXPERIMENTS}: {BUDGET_S:.0f} s, serialising apart"
    return "\n".join([head, *lines, limit])


if __name__ == "__main__":
    raise SystemExit(main())
