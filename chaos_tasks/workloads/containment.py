"""Sees what a workload writes where it said that it would not: folders are listed before, now and then, and after.

A file counts as written when its size, its time of change or its inode is another one, or when it is new or gone.  What
was written by whom is not known: anybody's write to these folders while the trial runs counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chaos_tasks.workloads.copying import State

SKIPPED = frozenset({".git", ".dvc", "__pycache__", ".pytest_cache", ".ipynb_checkpoints"})
"""Caches that reading alone fills, and what is Git's and DVC's."""

MOST_FILES = 200_000
"""Of a folder with more, nothing is seen: listing it would cost more than the trial."""

LEAST_WAIT_S = 2.0
COST_SHARE = 0.02
"""A look during the trial waits so long that all looks take at most this share of the time."""

NAMED = 3


@dataclass
class Containment:
    """What must stay as it is while a trial runs."""

    roots: tuple[Path, ...]
    allowed: tuple[Path, ...] = ()
    too_large: list[Path] = field(default_factory=list)
    _before: dict[str, State] = field(default_factory=dict)
    _next_look: float = 0.0

    @classmethod
    def of(cls, roots: Sequence[str], allowed: Sequence[str]) -> Containment | None:
        """None where nothing is watched."""
        if not roots:
            return None
        return cls(tuple(Path(one).expanduser() for one in roots), tuple(Path(one).expanduser() for one in allowed))

    def begin(self) -> None:
        """Remember how it is, before the workload starts."""
        self._before = self._listing(first=True)

    def due(self, now: float) -> bool:
        """Whether it is time for a look."""
        return now >= self._next_look

    def looked(self, started: float, now: float) -> None:
        """Let the next look wait for as long as its cost asks."""
        self._next_look = now + max(LEAST_WAIT_S, (now - started) / COST_SHARE)

    def breach(self) -> str:
        """Which files were written, made or deleted; empty when none was."""
        after = self._listing()
        changed = sorted(
            name for name in self._before.keys() | after.keys() if self._before.get(name) != after.get(name)
        )
        if not changed:
            return ""
        named = ", ".join(changed[:NAMED]) + (f" and {len(changed) - NAMED} more" if len(changed) > NAMED else "")
        return f"undeclared writes: {named}"

    def _listing(self, *, first: bool = False) -> dict[str, State]:
        found: dict[str, State] = {}
        for root in self.roots:
            if root in self.too_large:
                continue
            own: dict[str, State] = {}
            for name, state in self._files(root):
                own[name] = state
                if first and len(own) > MOST_FILES:
                    self.too_large.append(root)
                    own = {}
                    break
            found.update(own)
        return found

    def _files(self, folder: Path) -> Iterator[tuple[str, State]]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:  # not there, or not ours to read
            return
        for entry in entries:
            path = Path(entry.path)
            if entry.name in SKIPPED or entry.name.endswith(".pyc") or path in self.allowed:
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    yield from self._files(path)
                else:
                    seen = entry.stat(follow_symlinks=False)
                    yield entry.path, State(seen.st_ino, seen.st_size, seen.st_mtime_ns)
            except OSError:  # gone meanwhile: the next look knows
                continue


def allowed_below(root: str, declared: Sequence[str]) -> tuple[str, ...]:
    """Paths that declared writes of the form `folder:PATH` permit, relative ones below ``root``."""
    paths = [one.removeprefix("folder:").rstrip("/") for one in declared if one.startswith("folder:")]
    return tuple(str(Path(root) / Path(path).expanduser()) for path in paths if path)
