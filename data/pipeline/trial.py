"""Trains on the prepared table and judges on the sealed set, in one process, from one seed."""

from __future__ import annotations

import argparse
import os
from datetime import timedelta
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import batches
import checkpoints
import evaluate
import pyarrow as pa
import serving
import torch
import training
from progress import Progress
from ranks import Ranks, launch


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepared", type=Path, required=True, help="folder of train.parquet")
    parser.add_argument("--sealed", type=Path, required=True, help="the evaluation set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rows", type=int, help="train on the latest so many rows only")
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--save-every", type=int, default=20, help="steps between checkpoints")
    parser.add_argument("--resume-changed", action="store_true", help="also from a checkpoint of other values")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--restarts", type=int, default=0, help="of the group, when a rank dies")
    parser.add_argument("--rank-timeout", type=float, default=30.0, help="seconds to wait for another rank")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def device(wanted: str) -> str:
    """A CPU is deterministic as it is; asking for it costs seconds of imports, so only a GPU is asked."""
    found = "cuda" if wanted == "auto" and torch.cuda.is_available() else wanted.replace("auto", "cpu")
    if found == "cuda":
        torch.use_deterministic_algorithms(True)
    return found


def encoding_for(args: argparse.Namespace, table: pa.Table) -> batches.Encoding:
    """What is learnt from the table; values that change in mid-training are encoded as the training began."""
    if args.resume_changed and (paths := checkpoints.found(args.checkpoints)):
        began: batches.Encoding = checkpoints.load(paths[-1])["encoding"]
        return began
    return batches.learn(table)


def run(args: argparse.Namespace, progress: Progress, ranks: Ranks) -> None:
    """The whole trial; rank 0 alone evaluates."""
    parent = os.getppid()

    def alive() -> None:
        if os.getppid() != parent and ranks.count > 1:
            raise SystemExit("the launcher is gone")

    table = batches.read(args.prepared / "train.parquet", args.rows)
    encoding = encoding_for(args, table)
    where = device(args.device)
    plan = training.Plan(args.seed, args.epochs, args.batch, args.rate, args.save_every, where)
    train = training.Training(plan, batches.encode(table, encoding), encoding, ranks)
    training.resume(train, args.checkpoints, progress, args.resume_changed)
    if ranks.rank == 0:
        progress.write("start", **train.place(), loss=None, pid=os.getpid(), device=where)
    training.run(train, args.checkpoints, progress, alive)
    if ranks.rank == 0:
        finish(args, train)
        progress.write("end", **train.place(), loss=None)


def finish(args: argparse.Namespace, train: training.Training) -> None:
    rows = batches.encode(batches.read(args.sealed), train.encoding)
    evaluate.write(rows, evaluate.score(train.model, rows, train.plan.device), train.step, args.out)
    serving.export(train.model, train.encoding, args.out / "model.npz")


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    progress = Progress(args.out / "progress.jsonl")
    if args.ranks == 1 and args.restarts == 0:
        run(args, progress, Ranks())
    else:
        timeout = timedelta(seconds=args.rank_timeout)
        launch(args.ranks, args.restarts, timeout, lambda ranks: run(args, progress, ranks), progress)


if __name__ == "__main__":
    main()
