"""What many experiments at once cost, and what a long past costs: prints tables, writes results/scale.json.

`make bench-scale` runs all parts; `python -m benchmarks.scale parallel airflow growth` those named.
parallel: 200 runs on 20 tiny targets by 8 processes, on one PostgreSQL, through the real engine and no Airflow.
airflow:  200 runs on 20 tiny targets, 8 at a time, by a real scheduler; the share of each part of Airflow.
growth:   a run and the daily commands on ledgers and inventories of 1, 10 and 100 times the size.
The figures are ratios within one run: of the time, of the cost at the smallest size.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import scale_airflow, scale_growth, scale_parallel
from chaos_tasks.lab import postgres, processes

RESULTS = Path(__file__).parent / "results" / "scale.json"
PARTS = ("parallel", "airflow", "growth")


def main() -> None:
    """All parts take some twenty minutes on two quiet cores, most of them under Airflow."""
    asked = sys.argv[1:] or list(PARTS)
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    folder = Path(tempfile.mkdtemp(prefix="squall-"))
    folder.chmod(0o711)
    try:
        if {"parallel", "growth"} & set(asked):
            server = postgres.start(folder / "pg", databases=(), durable=True, owner=folder)
            if "parallel" in asked:
                found["parallel"] = scale_parallel.measure(postgres.create_database(server, "parallel"), folder)
            if "growth" in asked:
                found["growth"] = scale_growth.growth(server, print)
            processes.stop(server.daemon)
        if "airflow" in asked:
            found["airflow"] = scale_airflow.measure()
    finally:
        processes.end_strays(folder)
        shutil.rmtree(folder, ignore_errors=True)
    cores = len(os.sched_getaffinity(0))
    found["machine"] = {"cores": cores, "load_1m": round(os.getloadavg()[0], 1), "python": platform.python_version()}
    found["at"] = datetime.now(UTC).isoformat(timespec="seconds")
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({part: found.get(part) for part in asked}, indent=1))


if __name__ == "__main__":
    main()
