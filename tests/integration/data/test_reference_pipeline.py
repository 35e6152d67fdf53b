"""The reference workload end to end on two months of flights, as its users run it: by its commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

DATA = Path(__file__).parents[3] / "data"
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(script: str, *arguments: object) -> list[str]:
    return [sys.executable, str(DATA / script), *(str(a) for a in arguments)]


def run(script: str, *arguments: object) -> int:
    return subprocess.run(command(script, *arguments), env=ENV, check=False, timeout=120).returncode


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """raw/, sealed/ and prepared/ of January and February."""
    root = tmp_path_factory.mktemp("reference")
    sealed = ("--sealed", root / "sealed/eval.parquet", "--sealed-rows", 4000)
    assert run("pipeline/ingest.py", "--through", "2013-02", "--out", root / "raw", *sealed) == 0
    assert run("pipeline/prepare.py", "--raw", root / "raw", "--out", root / "prepared") == 0
    return root


def trial(place: Path, out: Path, *more: object) -> list[str]:
    where = ("--prepared", place / "prepared", "--sealed", place / "sealed/eval.parquet", "--out", out)
    return command("pipeline/trial.py", *where, "--checkpoints", out / "ckpt", "--device", "cpu", *more)


def events(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "progress.jsonl").read_text().splitlines()]


def test_ingest_writes_the_same_bytes_again_and_a_later_version_extends_an_earlier(place: Path, tmp_path: Path) -> None:
    assert run("pipeline/ingest.py", "--through", "2013-02", "--out", tmp_path / "again") == 0
    assert run("pipeline/ingest.py", "--through", "2013-03", "--out", tmp_path / "more") == 0
    for name in ("flights.parquet", "weather.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (place / "raw" / name).read_bytes()
    two, three = (pq.read_table(p / "flights.parquet") for p in (place / "raw", tmp_path / "more"))
    assert three.slice(0, len(two)).equals(two)


def test_the_sealed_set_shares_no_flight_with_the_raw_table(place: Path) -> None:
    sealed, raw = pq.read_table(place / "sealed/eval.parquet"), pq.read_table(place / "raw/flights.parquet")
    assert len(sealed) == 4000
    assert not set(sealed["flight_id"].to_pylist()) & set(raw["flight_id"].to_pylist())


def test_the_gate_inferred_from_these_months_passes_them_and_refuses_a_broken_one(place: Path, tmp_path: Path) -> None:
    gate, report = tmp_path / "gate.json", tmp_path / "report.json"
    assert run("pipeline/infer_gate.py", "--prepared", place / "prepared", "--out", gate) == 0
    check = ("--gate", gate, "--report", report)
    assert run("pipeline/validate.py", "--prepared", place / "prepared", *check) == 0
    table = pq.read_table(place / "prepared/train.parquet")
    at = table.column_names.index("temp")
    pq.write_table(table.set_column(at, "temp", pc.add(table["temp"], 273.0)), tmp_path / "train.parquet")
    assert run("pipeline/validate.py", "--prepared", tmp_path, *check) == 3
    found = json.loads(report.read_text())
    assert found["passed"] is False
    assert {f["column"] for f in found["failures"]} == {"temp"}


def test_a_renamed_raw_column_ends_prepare_with_an_error(place: Path, tmp_path: Path) -> None:
    weather = pq.read_table(place / "raw/weather.parquet")
    pq.write_table(pq.read_table(place / "raw/flights.parquet"), tmp_path / "flights.parquet")
    names = [n.replace("visib", "visibility") for n in weather.column_names]
    pq.write_table(weather.rename_columns(names), tmp_path / "weather.parquet")
    assert run("pipeline/prepare.py", "--raw", tmp_path, "--out", tmp_path / "out") == 1


def test_the_same_seed_gives_the_same_metrics_and_the_model_has_learnt(place: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        subprocess.run(trial(place, tmp_path / name, "--seed", 3), env=ENV, check=True, timeout=120)
    first, second = ((tmp_path / n / "metrics.json").read_bytes() for n in ("a", "b"))
    assert first == second
    assert json.loads(first)["auc"] > 0.65
    assert [e["event"] for e in events(tmp_path / "a")][-1] == "end"
    assert len(pq.read_table(tmp_path / "a/predictions.parquet")) == 4000


def until_step(lines: Iterator[str], step: int) -> None:
    next(line for line in lines if line.startswith("step") and int(line.split()[1].split("/")[0]) >= step)


def test_a_killed_trial_resumes_to_the_metrics_of_an_undisturbed_one(place: Path, tmp_path: Path) -> None:
    subprocess.run(trial(place, tmp_path / "whole"), env=ENV, check=True, timeout=120)
    cut = trial(place, tmp_path / "cut")
    with subprocess.Popen(cut, env=ENV, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        until_step(iter(child.stdout), 30)
        child.kill()
    assert not (tmp_path / "cut/metrics.json").exists()
    subprocess.run(cut, env=ENV, check=True, timeout=120)
    assert "resume" in [e["event"] for e in events(tmp_path / "cut")]
    assert (tmp_path / "cut/metrics.json").read_bytes() == (tmp_path / "whole/metrics.json").read_bytes()


def test_two_ranks_restart_when_one_is_killed(place: Path, tmp_path: Path) -> None:
    two = trial(place, tmp_path, "--ranks", 2, "--restarts", 1)
    with subprocess.Popen(two, env=ENV, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        until_step(iter(child.stdout), 30)
        os.kill(next(int(str(e["pid"])) for e in events(tmp_path) if e.get("rank") == 1), 9)
        child.stdout.read()
        assert child.wait(60) == 0
    kinds = [e["event"] for e in events(tmp_path)]
    assert "rank_failed" in kinds
    assert "resume" in kinds
    assert json.loads((tmp_path / "metrics.json").read_text())["auc"] > 0.6


def test_a_refresh_without_a_store_goes_on_with_the_last_model(place: Path, tmp_path: Path) -> None:
    subprocess.run(trial(place, tmp_path / "last"), env=ENV, check=True, timeout=120)
    where = ("--bucket", "models", "--endpoint", "http://127.0.0.1:9", "--out", tmp_path / "out")
    more = ("--sealed", place / "sealed/eval.parquet", "--fallback", tmp_path / "last")
    keys = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}
    subprocess.run(command("pipeline/refresh.py", *where, *more), env={**ENV, **keys}, check=True, timeout=60)
    found = json.loads((tmp_path / "out/metrics.json").read_text())
    assert found["stale"] == 1.0
    assert found["auc"] > 0.6
    assert "artifact_stale" in (tmp_path / "out/alarms.jsonl").read_text()
