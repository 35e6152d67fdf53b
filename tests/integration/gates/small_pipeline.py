"""A pipeline of three scripts on a small Git+DVC repository: prepare, a gate on the label rate, a model of sorts."""

from __future__ import annotations

from pathlib import Path

from chaos_tasks.model.target import Target
from tests.dvc_sources import PARQUET, Source, make_source

PREPARE = """\
import sys, pyarrow.parquet as pq
table = pq.ParquetFile(sys.argv[1]).read()
table = table.select(["id", "distance", "arr_delay", "late"]).filter(table["arr_delay"].is_valid())
pq.write_table(table, sys.argv[2] + "/train.parquet")
"""
GATE = """\
import sys, pyarrow.parquet as pq, pyarrow.compute as pc
rate = pc.mean(pq.ParquetFile(sys.argv[1] + "/train.parquet").read()["late"]).as_py()
sys.exit(0 if rate is not None and rate < float(sys.argv[2]) else 3)
"""
TRAIN = """\
import json, random, sys, pyarrow.parquet as pq
table = pq.ParquetFile(sys.argv[1] + "/train.parquet").read()
if table["late"].null_count:
    sys.exit("a label is missing")
rows = list(zip(table["arr_delay"].to_pylist(), table["late"].to_pylist()))
right = sum(late == (delay >= 15) for delay, late in rows) / len(rows)
noise = random.Random(int(sys.argv[2])).gauss(0, 0.0005)
json.dump({"auc": right + noise}, open(sys.argv[3] + "/metrics.json", "w"))
"""
TARGET = {
    "name": "small",
    "source": {"type": "dvc", "repo": "", "rev": "main", "data": [PARQUET], "format": "parquet"},
    "workload": {"type": "command", "run": "", "timeout": "60s"},
}


def make(folder: Path, *, highest_rate: float = 0.6) -> tuple[Source, Target]:
    """The source, and a target whose gate refuses more late flights than ``highest_rate``."""
    source = make_source(folder, paths=(PARQUET,))
    scripts = folder / "scripts"
    scripts.mkdir()
    for name, text in (("prepare", PREPARE), ("gate", GATE), ("train", TRAIN)):
        (scripts / f"{name}.py").write_text(text)
    setup = [
        {"name": "prepare", "run": f"{{python}} {scripts}/prepare.py {{data}}/{PARQUET} {{prepared}}"},
        {"name": "check", "run": f"{{python}} {scripts}/gate.py {{prepared}} {highest_rate}", "gate": True},
    ]
    run = f"{{python}} {scripts}/train.py {{prepared}} {{seed}} {{out}}"
    told = {
        **TARGET,
        "source": {**TARGET["source"], "repo": str(source.repo)},  # type: ignore[dict-item]
        "workload": {**TARGET["workload"], "run": run, "setup": setup},  # type: ignore[dict-item]
    }
    return source, Target.model_validate(told)
