"""Peak memory and speed of each format adapter on data five times larger than its limit of 512 MB.

    python benchmarks/formats.py [--size-mb 2560] [--folder DIR]

Data of each format are made in DIR (a temporary folder by default; three times the size is needed), hurt once by a
fault that claims the format, in a process of its own whose peak resident memory the kernel tells (that of its imports
is taken off), and removed again.  Parquet is one row group, which is the hardest case.  Prints a table and writes
benchmarks/results/formats.json after each format.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "formats.json"
LIMIT_MB = 512
MB = 1 << 20
CASES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "parquet": ("data.missing_values", {"columns": ["f0"], "fraction": 0.1}),
    "csv": ("data.missing_values", {"columns": ["f0"], "fraction": 0.1}),
    "jsonl": ("data.missing_values", {"columns": ["f0"], "fraction": 0.1}),
    "npy": ("data.unit_change", {"column": "0", "factor": 0.3048, "fraction": 0.1}),
    "npz": ("data.unit_change", {"column": "x.0", "factor": 0.3048, "fraction": 0.1}),
    "text": ("data.text_damage", {"fraction": 0.1}),
    "images": ("data.image_damage", {"fraction": 0.1, "damage": "rot"}),
    "texts": ("data.label_flip", {"column": "label", "fraction": 0.1}),
}
COLUMNS = 32


def make_parquet(path: Path, size: int) -> None:
    """One row group of random numbers, streamed."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, rng = size // (8 * COLUMNS), np.random.default_rng(1)
    columns = {f"f{index}": rng.random(rows) for index in range(COLUMNS)}
    pq.write_table(pa.table(columns), path, row_group_size=rows, use_dictionary=False, compression="none")


def make_lines(path: Path, size: int) -> None:
    """CSV, JSON lines or text: one block of lines again and again."""
    import numpy as np

    values = np.round(np.random.default_rng(1).random((5000, COLUMNS)), 6)
    names = [f"f{index}" for index in range(COLUMNS)]
    with path.open("w") as file:
        if path.suffix == ".csv":
            file.write(",".join(names) + "\n")
            block = "".join(",".join(map(str, row)) + "\n" for row in values.tolist())
        elif path.suffix == ".jsonl":
            block = "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in values.tolist())
        else:
            block = "".join(f"a line of some words with number {row[0]}\n" for row in values.tolist())
        for _ in range(-(-size // len(block))):
            file.write(block)


def make_npy(path: Path, size: int) -> None:
    """A matrix of float32."""
    import numpy as np

    rows = size // (4 * COLUMNS)
    made = np.lib.format.open_memmap(path, "w+", np.float32, (rows, COLUMNS))
    made[:, 0] = 1.0


def make_npz(path: Path, size: int) -> None:
    """A matrix and a vector, not compressed."""
    import numpy as np

    rows = size // (4 * (COLUMNS + 1))
    np.savez(path, x=np.ones((rows, COLUMNS), np.float32), y=np.zeros(rows, np.int32))


def make_folder(path: Path, size: int) -> None:
    """Files of 256 KB in two folders."""
    suffix = ".png" if path.name == "images" else ".txt"
    content = os.urandom(128 << 10).hex().encode()
    for number in range(size // len(content)):
        file = path / "ab"[number % 2] / f"{number:06}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


MAKERS: Mapping[str, Callable[[Path, int], None]] = {
    "parquet": make_parquet,
    "csv": make_lines,
    "jsonl": make_lines,
    "npy": make_npy,
    "npz": make_npz,
    "text": make_lines,
    "images": make_folder,
    "texts": make_folder,
}


def hurt(form: str, path: Path) -> None:
    """The mutation with its rewrite; no Git, no DVC."""
    from chaos_tasks import registry
    from chaos_tasks.faults.base import FaultContext
    from chaos_tasks.model.handle import Handle
    from chaos_tasks.model.place import DvcPlace
    from chaos_tasks.testing.clock import FakeClock

    kind, params = CASES[form]
    fault = cast(Any, registry.fault(kind))
    place = DvcPlace(clone="-", source="-", commit="-", data=("a",), format=cast(Any, form))
    handle = Handle(id="b", run_id="b", step="b", kind=kind, place=place, params=params, prior={}, seed=1, epoch=1)
    ctx = FaultContext(clock=FakeClock(), clients=cast(Any, None), scratch=path.parent / "scratch")
    fault.change(handle, path, fault.params_type.model_validate(params), ctx)


def measured(form: str, path: Path) -> dict[str, float]:
    """In a process of its own: seconds, and peak memory above the imports, in MB."""
    command = [sys.executable, __file__, "--one", form, "--data", str(path)]
    done = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    return dict(json.loads(done.stdout))


def one(form: str, path: Path) -> None:
    """What the process of its own does."""
    import numpy as np  # noqa: F401
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401

    base, started = peak_mb(), time.perf_counter()
    hurt(form, path)
    print(json.dumps({"seconds": time.perf_counter() - started, "peak_mb": peak_mb() - base, "base_mb": base}))


def peak_mb() -> float:
    """VmHWM: the most resident memory so far."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def size_of(path: Path) -> int:
    """Bytes on disk."""
    return sum(file.stat().st_size for file in path.rglob("*")) if path.is_dir() else path.stat().st_size


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mb", type=int, default=5 * LIMIT_MB)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--formats", nargs="+", default=list(CASES))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one, options.data)
        return 0
    kept = json.loads(RESULT.read_text())["rows"] if RESULT.exists() else []
    rows = [row for row in kept if row["format"] not in options.formats]
    for form in options.formats:
        with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
            path = Path(temporary) / (form if form in ("images", "texts") else f"a.{form}")
            maker = [
                sys.executable,
                "-c",
                f"from benchmarks.formats import *; MAKERS[{form!r}](Path({str(path)!r}), {options.size_mb * MB})",
            ]
            subprocess.run(maker, cwd=ROOT, check=True)  # apart, so that what it takes is given back
            size = size_of(path) / MB
            found = measured(form, path)
        row = {"format": form, "fault": CASES[form][0], "size_mb": size, **found, "mb_per_s": size / found["seconds"]}
        row["within_limit"] = found["peak_mb"] <= LIMIT_MB
        rows.append(row)
        where = {"cores": os.cpu_count(), "load_1m": round(os.getloadavg()[0], 1), "python": platform.python_version()}
        RESULT.write_text(json.dumps({"limit_mb": LIMIT_MB, "machine": where, "rows": rows}, indent=2) + "\n")
        print(
            f"{form:8} {row['fault']:20} {size:7.0f} MB  peak {found['peak_mb']:6.0f} MB  {row['mb_per_s']:6.1f} MB/s",
            flush=True,
        )
    return 0 if all(row["within_limit"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
