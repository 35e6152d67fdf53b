"""Trains the network step by step; a resumed run ends with the same weights as an uninterrupted one."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import checkpoints
import numpy as np
import torch
import torch.nn.functional as functional
from adam import Adam
from batches import Batch, Encoding
from model import LateFlights
from progress import Progress
from ranks import Ranks
from torch import Tensor

REPORT_EVERY = 10


@dataclass(frozen=True)
class Plan:
    """How to train; `batch` is the global batch, shared out among the ranks."""

    seed: int
    epochs: int
    batch: int
    rate: float
    save_every: int
    device: str

    def steps(self, rows: int) -> int:
        return self.epochs * self.steps_per_epoch(rows)

    def steps_per_epoch(self, rows: int) -> int:
        return max(1, rows // self.batch)


def identity(plan: Plan, rows: Batch) -> str:
    """Names the run: another seed, plan or table never resumes this one's checkpoints."""
    arrays = (rows.codes, rows.numbers, rows.labels)
    return f"{asdict(plan)} {[zlib.crc32(np.ascontiguousarray(a).tobytes()) for a in arrays]}"


class Training:
    """The state of one run: weights, optimiser, randomness and the place in the data."""

    def __init__(self, plan: Plan, rows: Batch, encoding: Encoding, ranks: Ranks) -> None:
        self.plan, self.encoding, self.ranks = plan, encoding, ranks
        torch.manual_seed(plan.seed)
        self.model = LateFlights(encoding.sizes(), rows.numbers.shape[1]).to(plan.device)
        self.optimiser = Adam(self.model.parameters())
        self.inputs = [torch.from_numpy(a).to(plan.device) for a in (rows.codes, rows.numbers, rows.labels)]
        self.steps, self.step = plan.steps(len(rows)), 0
        self.identity = identity(plan, rows)
        self._epoch, self._order = -1, torch.empty(0)
        torch.manual_seed(plan.seed * 1000 + ranks.rank)

    def rows_of(self, step: int) -> Tensor:
        """The rows of a step: those of this rank in the shuffle of its epoch."""
        per_epoch = self.plan.steps_per_epoch(len(self.inputs[2]))
        epoch, place = divmod(step, per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(self.plan.seed * 1000 + epoch)
            self._epoch, self._order = epoch, torch.randperm(len(self.inputs[2]), generator=generator)
        rows = self._order[place * self.plan.batch : (place + 1) * self.plan.batch]
        return rows[self.ranks.rank :: self.ranks.count].to(self.plan.device)

    def advance(self) -> Tensor:
        """One step; the rate stays level for half of the run and then falls to zero."""
        rows = self.rows_of(self.step)
        codes, numbers, labels = (x[rows] for x in self.inputs)
        self.optimiser.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(self.model(codes, numbers), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.ranks.average_gradients(self.model)
        self.optimiser.step(self.plan.rate * min(1.0, 2 * (1 - self.step / self.steps)))
        self.step += 1
        return loss.detach()

    def place(self) -> dict[str, int]:
        """How far it is, as its progress tells it."""
        return {"step": self.step, "steps": self.steps, "samples": self.step * self.plan.batch}

    def state(self) -> checkpoints.State:
        """All ranks must ask together, as each adds its own randomness."""
        return {
            "identity": self.identity,
            "plan": asdict(self.plan),
            "rows": len(self.inputs[2]),
            "step": self.step,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "random": self.ranks.gather(torch.get_rng_state()),
            "random_cuda": torch.cuda.get_rng_state() if self.plan.device == "cuda" else None,
            "encoding": self.encoding,
        }

    def restore(self, state: checkpoints.State) -> None:
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"][self.ranks.rank])
        if state["random_cuda"] is not None and self.plan.device == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"])


def is_of(training: Training, state: checkpoints.State, changed: bool) -> bool:
    """Whether a checkpoint is of this run; `changed`: the values in its table may be others, their number may not."""
    if changed:
        return bool(state["plan"] == asdict(training.plan) and state["rows"] == len(training.inputs[2]))
    return bool(state["identity"] == training.identity)


def resume(training: Training, folder: Path, progress: Progress, changed: bool = False) -> None:
    """Goes on from the latest checkpoint, if there is one and it is of this run."""
    if not (paths := checkpoints.found(folder)):
        return
    state = checkpoints.load(paths[-1])
    if not is_of(training, state, changed):
        return
    training.restore(state)
    if training.ranks.rank == 0:
        progress.write("resume", **training.place(), loss=None, resumed_from=paths[-1].name)


def save(training: Training, folder: Path, progress: Progress) -> None:
    began = time.monotonic()
    state = training.state()
    if training.ranks.rank == 0:
        path = checkpoints.save(folder, training.step, state)
        took = time.monotonic() - began
        progress.write("checkpoint", **training.place(), loss=None, file=path.name, write_s=took)


def report(training: Training, loss: Tensor, progress: Progress) -> None:
    value = float(loss)
    print(f"step {training.step}/{training.steps} loss {value:.4f}", flush=True)
    progress.write("step", **training.place(), loss=value)


def run(training: Training, folder: Path, progress: Progress, alive: Callable[[], None]) -> None:
    """Trains to the last step; `alive` may raise to give up."""
    while training.step < training.steps:
        loss = training.advance()
        last = training.step == training.steps
        if training.ranks.rank == 0 and (last or training.step % REPORT_EVERY == 0):
            report(training, loss, progress)
        if last or training.step % training.plan.save_every == 0:
            save(training, folder, progress)
        alive()
