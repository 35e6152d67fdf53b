"""The processes that train together: starts them, averages gradients, starts anew when one dies."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path

import torch
import torch.distributed as dist
from progress import Progress
from torch import Tensor, nn

Work = Callable[["Ranks"], None]


@dataclass(frozen=True)
class Ranks:
    """Alone, everything here costs nothing."""

    rank: int = 0
    count: int = 1

    def average_gradients(self, model: nn.Module) -> None:
        if self.count == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients]).cpu()
        dist.all_reduce(flat)
        parts = torch.split(flat / self.count, [g.numel() for g in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def gather(self, mine: Tensor) -> list[Tensor]:
        if self.count == 1:
            return [mine]
        all_of_them = [torch.empty_like(mine) for _ in range(self.count)]
        dist.all_gather(all_of_them, mine)
        return all_of_them


def join(rank: int, count: int, meeting: Path, timeout: timedelta, work: Work) -> None:
    """What each process runs."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if count > 1:
        where = f"file://{meeting}"
        dist.init_process_group("gloo", init_method=where, rank=rank, world_size=count, timeout=timeout)
    work(Ranks(rank, count))
    if count > 1:
        dist.destroy_process_group()


def group(count: int, timeout: timedelta, work: Work, progress: Progress) -> bool:
    """Runs one group to its end; the first rank to fail ends the others."""
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("fork")
        meeting = Path(folder) / "meeting"
        members = [
            context.Process(target=join, args=(rank, count, meeting, timeout, work), daemon=True)
            for rank in range(count)
        ]
        for rank, member in enumerate(members):
            member.start()
            progress.write("rank", rank=rank, pid=member.pid)
        return outlast(members)


def outlast(members: list[ForkProcess]) -> bool:
    running = list(members)
    while running:
        wait([m.sentinel for m in running])
        running = [m for m in running if m.is_alive()]
        if any(m.exitcode not in (None, 0) for m in members):
            for member in running:
                member.kill()
            for member in members:
                member.join()
            return False
    return True


def launch(count: int, restarts: int, timeout: timedelta, work: Work, progress: Progress) -> None:
    """Gives the group `restarts` more chances, each from the latest checkpoint; then exits with 1."""
    for left in range(restarts, -1, -1):
        if group(count, timeout, work, progress):
            return
        progress.write("rank_failed", restarts_left=left)
    sys.exit(1)
