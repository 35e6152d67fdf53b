"""Throughput and peak memory of each data fault, beside the same change in plain pandas.

    python benchmarks/faults_data.py [--rows 1000000]

Each measurement is a process of its own, so that peak memory is its own; the base of an idle process with the same
imports is taken off.  Prints a table and writes benchmarks/results/faults_data.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
CASES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "label_flip": ("data.label_flip", {"column": "late", "fraction": 0.1}),
    "label_flip, threshold": ("data.label_flip", {"column": "arr_delay", "fraction": 0.1, "threshold": 15}),
    "missing_values, mcar": ("data.missing_values", {"columns": ["temp"], "fraction": 0.1}),
    "missing_values, mnar": ("data.missing_values", {"columns": ["temp"], "fraction": 0.1, "mechanism": "mnar"}),
    "schema_drift, rename": ("data.schema_drift", {"change": "rename", "column": "temp", "to": "t"}),
}


def make_file(path: Path, rows: int) -> None:
    """Flights-like rows; row groups of 128 Ki rows."""
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    from tests.dvc_sources import table

    data = table(rows)
    if path.suffix == ".csv":
        pacsv.write_csv(data, path)
    else:
        pq.write_table(data, path, row_group_size=131_072)


def by_squall(name: str, path: Path) -> None:
    """The mutation with its rewrite and fsync; no Git, no DVC."""
    from chaos_tasks import registry
    from chaos_tasks.faults.base import FaultContext
    from chaos_tasks.model.handle import Handle
    from chaos_tasks.model.place import DvcPlace
    from chaos_tasks.testing.clock import FakeClock

    kind, params = CASES[name]
    place = DvcPlace(
        clone="-", source="-", commit="-", data=("a",), format="csv" if path.suffix == ".csv" else "parquet"
    )
    handle = Handle(id="b", run_id="b", step="b", kind=kind, place=place, params=params, prior={}, seed=1, epoch=1)
    ctx = FaultContext(clock=FakeClock(), clients=cast(Any, None), scratch=path.parent)
    fault = cast(Any, registry.fault(kind))
    fault.change(handle, path, fault.params_type.model_validate(params), ctx)


def by_pandas(name: str, path: Path) -> None:
    """What a notebook would do: all in memory, types and row groups as they come."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(1)
    csv = path.suffix == ".csv"
    frame = pd.read_csv(path) if csv else pd.read_parquet(path)
    if name.startswith("schema_drift"):
        frame = frame.rename(columns={"temp": "t"})
    else:
        column = CASES[name][1].get("column", "temp")
        rows = rng.choice(len(frame), len(frame) // 10, replace=False)
        values = frame[column].to_numpy(copy=True)
        values[rows] = np.nan if column == "temp" else 30 - values[rows] if column == "arr_delay" else 1 - values[rows]
        frame[column] = values
    if csv:
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)


WAYS: Mapping[str, Callable[[str, Path], None]] = {"squall": by_squall, "pandas": by_pandas}


def peak_mib() -> float:
    """Peak resident memory since the last reset; ru_maxrss would count the parent's too, which it keeps over exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def reset_peak() -> None:
    """Linux: the peak starts again at what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def measure_here(way: str, name: str, path: Path) -> None:
    """In the child: warm the imports on a tiny file, then measure the real one."""
    tiny = path.with_name(f"tiny{path.suffix}")
    make_file(tiny, 200)
    WAYS[way](name, tiny)
    reset_peak()
    base, start = peak_mib(), time.perf_counter()
    WAYS[way](name, path)
    print(json.dumps({"seconds": time.perf_counter() - start, "peak_mib": peak_mib() - base}))


def measure(way: str, name: str, template: Path, folder: Path) -> dict[str, Any]:
    """In the parent: a fresh copy, a fresh process."""
    path = folder / f"data{template.suffix}"
    path.write_bytes(template.read_bytes())
    size_mb = path.stat().st_size / 1e6
    command = [sys.executable, "-W", "ignore", __file__, "--child", way, name, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)})
    result = json.loads(done.stdout)
    return {"way": way, "case": name, "format": path.suffix[1:], "mb": size_mb, **result}


def main() -> None:
    """Measure all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--formats", nargs="+", default=["parquet", "csv"])
    parser.add_argument("--child", nargs=3, default=None)
    options = parser.parse_args()
    if options.child:
        measure_here(options.child[0], options.child[1], Path(options.child[2]))
        return
    results = []
    print(
        f"{options.rows:,} rows\n{'case':24} {'format':8} {'way':8} {'s':>7} {'MB/s':>7} {'rows/s':>11} {'peak MiB':>9}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for suffix in (f".{name}" for name in options.formats):
            template = folder / f"template{suffix}"
            make_file(template, options.rows)
            for name in CASES:
                for way in WAYS:
                    row = measure(way, name, template, folder)
                    results.append(row)
                    rates = f"{row['mb'] / row['seconds']:7.1f} {options.rows / row['seconds']:11,.0f}"
                    print(f"{name:24} {suffix[1:]:8} {way:8} {row['seconds']:7.2f} {rates} {row['peak_mib']:9.0f}")
    target = ROOT / "benchmarks" / "results" / "faults_data.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"rows": options.rows, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
