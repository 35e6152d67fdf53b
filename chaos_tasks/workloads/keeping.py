"""Keeps checkpoints of a running trial aside: the workload deletes old ones, and a fork needs the last before its step.

What is kept is what the folder held when that checkpoint was the latest, so that a forked trial whose newest checkpoint
is torn finds the older ones that its control would have found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.model.trial import KeptCheckpoint
from chaos_tasks.workloads.copying import CHANGED, State, copy_whole, state_of
from chaos_tasks.workloads.progress import Tail, step_of_json

SETTLE_S = 0.5
"""A file that nobody announced counts as whole once it has not changed for so long."""

KEPT_FILE = "kept.json"
_LAST_NUMBER = re.compile(r"(\d+)(?!.*\d)")


@dataclass
class _Copy:
    step: int
    state: State
    sha256: str


@dataclass
class CheckpointKeeper:
    """Looks at the checkpoints of one trial until there is one beyond the step; used by its supervisor."""

    at_step: int
    source: Path
    glob: str
    into: Path
    announced: Tail | None = None
    after_s: float = 0.0
    done: bool = False
    _began: float | None = None
    _steps: dict[str, int] = field(default_factory=dict)
    _copies: dict[str, _Copy] = field(default_factory=dict)
    _settling: dict[str, tuple[State, float]] = field(default_factory=dict)
    _earlier: KeptCheckpoint | None = None

    @classmethod
    def of(cls, spec: TrialSpec) -> CheckpointKeeper | None:
        """The keeper of a trial that is to be forked from; None for any other."""
        if spec.keep_checkpoint_at is None or not spec.checkpoint_glob or not spec.keep_in:
            return None
        told = spec.progress.file if spec.progress else None
        keeper = cls(
            at_step=spec.keep_checkpoint_at,
            source=Path(spec.checkpoints),
            glob=spec.checkpoint_glob,
            into=Path(spec.keep_in),
            announced=Tail(Path(spec.out) / told) if told else None,
        )
        keeper.into.mkdir(parents=True, exist_ok=True)
        keeper._earlier = read_kept(keeper.into)
        return keeper

    def look(self, *, now: float, progressed: bool, ended: bool = False) -> None:
        """Set aside what is whole; once the workload has ended, that is everything.  ``now``: monotonic seconds."""
        if self.done:
            return
        if progressed and self._began is None:
            self._began = now
        self._read_announcements()
        here = {name: step for name, step in self._found() if step is not None}
        wanted = {name: step for name, step in here.items() if step <= self.at_step}
        beyond = len(wanted) < len(here)
        newer = [name for name in sorted(wanted, key=wanted.__getitem__) if self._keep(name, wanted[name], now, ended)]
        if newer and self._began is not None:
            self.after_s = now - self._began
        self.done = beyond and wanted.keys() <= self._copies.keys()
        if not beyond:  # once there is one beyond the step, the workload deletes what a fork needs
            for name in [name for name in self._copies if name not in wanted]:
                del self._copies[name]
                (self.into / name).unlink(missing_ok=True)
        if newer:
            self._write()

    def kept(self) -> KeptCheckpoint | None:
        """What a fork may start from; an earlier supervisor's when this one saw none."""
        if not self._copies:
            return self._earlier
        newest = max(self._copies, key=lambda name: (self._copies[name].step, name))
        return KeptCheckpoint(
            at_step=self.at_step,
            step=self._copies[newest].step,
            folder=str(self.into),
            files={name: copy.sha256 for name, copy in sorted(self._copies.items())},
            newest=newest,
            after_s=self.after_s,
        )

    def _read_announcements(self) -> None:
        """Lines of the progress file that name a checkpoint file with its step: that file is whole."""
        for line in self.announced.lines() if self.announced else ():
            name = _file_of_json(line)
            step = step_of_json(line)
            if name is not None and step is not None:
                self._steps[name] = step

    def _found(self) -> Iterator[tuple[str, int | None]]:
        with suppress(OSError):  # vanished while we looked
            for path in self.source.glob(self.glob):
                name = path.relative_to(self.source).as_posix()
                yield name, self._steps.get(path.name, self._steps.get(name, _number_in(path.name)))

    def _keep(self, name: str, step: int, now: float, ended: bool) -> bool:
        """Copy one file unless this state of it is kept already; True when it was copied."""
        path = self.source / name
        state = state_of(path)
        copied = self._copies.get(name)
        if state is None or (copied is not None and copied.state == state):
            return False
        if not ended and not self._is_whole(name, state, now):
            return False
        sha256 = copy_whole(path, self.into / name)
        if sha256 is CHANGED:
            return False
        self._copies[name] = _Copy(step, state, sha256)
        return True

    def _is_whole(self, name: str, state: State, now: float) -> bool:
        if name in self._steps or Path(name).name in self._steps:
            return True
        seen, since = self._settling.setdefault(name, (state, now))
        if seen != state:
            self._settling[name] = (state, now)
            return False
        return state.size > 0 and now - since >= SETTLE_S

    def _write(self) -> None:
        kept = self.kept()
        if kept is not None:
            partial = self.into / f".{KEPT_FILE}"
            partial.write_text(kept.model_dump_json(), encoding="utf-8")
            partial.replace(self.into / KEPT_FILE)


def read_kept(folder: Path) -> KeptCheckpoint | None:
    """What was kept in a folder; None when nothing was, or when it cannot be read."""
    with suppress(OSError, ValueError):
        return KeptCheckpoint.model_validate_json((folder / KEPT_FILE).read_text(encoding="utf-8"))
    return None


def _file_of_json(line: str) -> str | None:
    with suppress(ValueError, RecursionError):
        entry = json.loads(line)
        name = entry.get("file") if isinstance(entry, dict) else None
        return name if isinstance(name, str) and name else None
    return None


def _number_in(name: str) -> int | None:
    found = _LAST_NUMBER.search(Path(name).stem)
    return int(found[1]) if found else None
