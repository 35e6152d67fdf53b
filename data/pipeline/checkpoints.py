"""Saves the state of a training every so often; the last two are kept and the latest is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

State = dict[str, Any]
KEPT = 2


def step_of(path: Path) -> int:
    return int(path.stem.removeprefix("ckpt-"))


def found(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(folder.glob("ckpt-*.pt"), key=step_of)


def save(folder: Path, step: int, state: State) -> Path:
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"ckpt-{step}.pt"
    torch.save(state, path)
    for old in found(folder)[:-KEPT]:
        old.unlink()
    return path


def load(path: Path) -> State:
    import torch

    state: State = torch.load(path, map_location="cpu", weights_only=False)
    return state
