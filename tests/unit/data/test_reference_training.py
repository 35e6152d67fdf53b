"""Training is repeatable, resumes exactly, and is served as it was trained."""

from __future__ import annotations

from pathlib import Path

import adam
import batches
import checkpoints
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ranks
import schema
import serving
import torch
import training
from evaluate import score
from progress import Progress


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    columns = {name: pa.array(rng.normal(size=512), mask=rng.random(512) < 0.05) for name in schema.NUMERIC}
    columns |= {name: pa.array(rng.choice(["A", "B"], 512)) for name in schema.CATEGORICAL}
    columns |= {schema.KEY: pa.array(range(512)), schema.LABEL: pa.array(rng.integers(0, 2, 512))}
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    return tmp_path / "train.parquet"


def new(table: Path, seed: int = 1) -> training.Training:
    rows = batches.read(table)
    encoding = batches.learn(rows)
    plan = training.Plan(seed=seed, epochs=3, batch=64, rate=0.01, save_every=4, device="cpu")
    return training.Training(plan, batches.encode(rows, encoding), encoding, ranks.Ranks())


def weights(run: training.Training) -> list[float]:
    return [v for p in run.model.parameters() for v in p.detach().flatten().tolist()]


def run(table: Path, folder: Path, stop_at: int | None = None, seed: int = 1) -> training.Training:
    trained = new(table, seed)

    def alive() -> None:
        if trained.step == stop_at:
            raise InterruptedError

    progress = Progress(folder / "progress.jsonl")
    training.resume(trained, folder / "ckpt", progress)
    training.run(trained, folder / "ckpt", progress, alive)
    return trained


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(table: Path, tmp_path: Path) -> None:
    whole = run(table, tmp_path / "whole")
    with pytest.raises(InterruptedError):
        run(table, tmp_path / "cut", stop_at=14)
    resumed = run(table, tmp_path / "cut")
    assert '"resumed_from": "ckpt-12.pt"' in (tmp_path / "cut/progress.jsonl").read_text()
    assert weights(resumed) == weights(whole)


def test_another_seed_does_not_resume(table: Path, tmp_path: Path) -> None:
    run(table, tmp_path, seed=1)
    run(table, tmp_path, seed=2)
    assert "resumed_from" not in (tmp_path / "progress.jsonl").read_text()


def test_the_last_two_checkpoints_are_kept(table: Path, tmp_path: Path) -> None:
    run(table, tmp_path)
    assert [p.name for p in checkpoints.found(tmp_path / "ckpt")] == ["ckpt-20.pt", "ckpt-24.pt"]


def test_a_torn_checkpoint_is_not_passed_over(table: Path, tmp_path: Path) -> None:
    run(table, tmp_path)
    (tmp_path / "ckpt/ckpt-24.pt").write_bytes(b"torn")
    with pytest.raises(Exception, match=r"."):
        run(table, tmp_path)


def test_served_scores_equal_the_network_s(table: Path, tmp_path: Path) -> None:
    trained = run(table, tmp_path)
    serving.export(trained.model, trained.encoding, tmp_path / "model.npz")
    served = serving.load(tmp_path / "model.npz")
    rows = batches.encode(batches.read(table), served.encoding)
    np.testing.assert_allclose(served.score(rows), score(trained.model, rows), atol=1e-6)


def test_adam_takes_torch_s_steps() -> None:
    mine, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2))
    ours, torchs = adam.Adam([mine]), torch.optim.Adam([theirs], lr=0.01)
    for _ in range(5):
        for parameter in (mine, theirs):
            parameter.grad = None
            (parameter**3).sum().backward()
        ours.step(0.01)
        torchs.step()
    torch.testing.assert_close(mine, theirs)


def test_unseen_categories_and_missing_numbers_are_encoded(table: Path) -> None:
    rows = batches.read(table)
    encoding = batches.learn(rows)
    at = rows.column_names.index("carrier")
    odd = rows.set_column(at, "carrier", pa.chunked_array([pa.array(["ZZ"] * 512)]))
    batch = batches.encode(odd, encoding)
    assert (batch.codes[:, 0] == 0).all()
    assert not np.isnan(batch.numbers).any()


def test_a_missing_column_raises(table: Path, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(table).drop_columns(["temp"]), tmp_path / "less.parquet")
    with pytest.raises(KeyError, match="temp"):
        batches.read(tmp_path / "less.parquet")
