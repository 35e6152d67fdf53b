"""Trials with predictions on disk, for tests: drawn from a seed, with a column of groups."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from chaos_tasks.model.target import Predictions
from chaos_tasks.model.trial import Arm, Trial
from chaos_tasks.testing.probe_conformance import bare_trial

LAYOUT = Predictions(path="p.parquet", key="id", label="late", score="score")
ORIGINS = ("EWR", "JFK", "LGA")
Columns = dict[str, Any]


def drawn(n: int = 3000, *, shift: float = 0.0, noise: float = 0.0, hurt: str = "", seed: int = 1) -> Columns:
    """Rows in which labels follow scores; ``shift`` and ``noise`` spoil all scores, ``hurt`` one origin's."""
    draw = np.random.default_rng(seed)
    z, origin = draw.normal(-1, 1.2, n), draw.choice(ORIGINS, n)
    late = draw.random(n) < 1 / (1 + np.exp(-z))
    z = z + shift + noise * draw.normal(size=n)
    z = np.where(origin == hurt, -z, z)
    return {
        "id": np.arange(n),
        "late": late.astype(np.int8),
        "score": (1 / (1 + np.exp(-z))).astype(np.float32),
        "origin": pa.array(origin).dictionary_encode(),
    }


def trial(folder: Path, arm: Arm, columns: Columns, *, seed: int = 7, lags: list[float] | None = None) -> Trial:
    """A completed trial with these predictions (and a series of lags) in its folder."""
    out = folder / arm.value
    out.mkdir(parents=True, exist_ok=True)
    path = out / LAYOUT.path
    pq.write_table(pa.table(columns), path)
    if lags is not None:
        (out / "decisions.jsonl").write_text("".join(json.dumps({"lag": lag}) + "\n" for lag in lags))
    files = {LAYOUT.path: hashlib.sha256(path.read_bytes()).hexdigest()}
    changes = {"id": f"run/{arm.value}/{seed}", "arm": arm, "seed": seed, "out": str(out), "files": files}
    return bare_trial().model_copy(update=changes)


def pair(folder: Path, control: Columns, treatment: Columns) -> tuple[Trial, Trial]:
    """Both trials of one seed."""
    return trial(folder, Arm.CONTROL, control), trial(folder, Arm.TREATMENT, treatment)
