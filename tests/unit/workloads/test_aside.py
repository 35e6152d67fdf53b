"""A pipeline that writes where it stands runs in a copy: its version stays as it is, its numbers are brought out."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from chaos_tasks.workloads.aside import main

SCRIPT = """\
import json, pathlib, sys, yaml
params = yaml.safe_load(open("params.yaml"))
pathlib.Path("rows.csv").write_text("spoilt")
json.dump({"eval": {"auc": params["train"]["seed"] / 10}, "name": "x", "ok": True}, open("scores.json", "w"))
pathlib.Path("predictions.csv").write_text("id")
print("epoch 1 Accuracy: 0.5")
print("epoch 2 Accuracy: 0.75")
sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
"""


@pytest.fixture
def version(tmp_path: Path) -> Path:
    folder = tmp_path / "version"
    (folder / ".git").mkdir(parents=True)
    (folder / "rows.csv").write_text("a\n1\n")
    (folder / "rows.csv").chmod(0o444)
    (folder / "params.yaml").write_text("train: {seed: 1, depth: 3}\n")
    (folder / "train.py").write_text(SCRIPT)
    return folder


def _main(version: Path, out: Path, *more: str) -> int:
    out.mkdir(exist_ok=True)
    fixed = ("--copy-of", str(version), "--out", str(out), "--python", sys.executable, "--param", "train.seed=7")
    return main([*fixed, *more])


def test_numbers_come_out_and_the_version_is_untouched(version: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = ("--printed", r"accuracy=Accuracy:\s*([0-9.]+)")
    kept = ("--metrics", "scores.json", "--keep", "predictions.csv", "--run", "python train.py")
    assert _main(version, out, *printed, *kept) == 0
    assert json.loads((out / "metrics.json").read_text()) == {"accuracy": 0.75, "eval.auc": 0.7}
    assert (out / "predictions.csv").read_text() == "id"
    assert not (out / "tree").exists(), "rows of the user's data do not stay with the trial"
    assert (version / "rows.csv").read_text() == "a\n1\n"
    assert not (version / "scores.json").exists()


def test_the_first_command_that_fails_ends_it_with_its_code(version: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _main(version, out, "--run", "python train.py 3", "--run", "python -c 'raise SystemExit(9)'") == 3
    assert not (out / "metrics.json").exists()


def test_numbers_logged_to_the_trials_own_mlflow_are_read_without_it(
    version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(store)) as made:
        made.execute("CREATE TABLE latest_metrics (key TEXT, value FLOAT, timestamp INT, is_nan BOOLEAN)")
        made.execute("INSERT INTO latest_metrics VALUES ('rmse', 0.79, 1, 0), ('broken', 0.0, 1, 1)")
        made.commit()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    assert _main(version, tmp_path / "out", "--run", "python -c pass") == 0
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == {"rmse": 0.79}


def test_a_program_that_is_not_there_is_said(version: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert _main(version, tmp_path / "out", "--run", "no-such-program train") == 127
    assert "no-such-program cannot be started" in capfd.readouterr().out


def test_a_run_that_is_started_again_finds_what_it_left(version: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = "python -c \"open('ckpt', 'w').write('step 5'); raise SystemExit(1)\""
    assert _main(version, out, "--run", first) == 1
    assert _main(version, out, "--run", "python -c \"assert open('ckpt').read() == 'step 5'\"") == 0
