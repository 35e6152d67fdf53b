"""Play one cell: a run in a process of its own, the blow, whoever comes after it, and a look at what is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path

import psutil

from chaos_tasks.lab import postgres
from chaos_tasks.lab.postgres import Postgres
from tests.kill_matrix import actors, children
from tests.kill_matrix.actors import Stage
from tests.kill_matrix.cells import By, Cell, How, Point, Result, Role
from tests.kill_matrix.striking import INJECTED, Striker
from tests.kill_matrix.worlds import World

WITHIN_S = 90.0
GIT = frozenset({"git"})
_numbers = count(1)


@dataclass
class Player:
    """Plays cells of one world, one after the other."""

    world: World
    folder: Path
    server: Postgres | None = None
    kept: list[str] = field(default_factory=list)  # folders of red cells
    _databases: list[str] = field(default_factory=list)

    def points(self) -> list[Point]:
        """Every point of a run that nobody strikes; raises AssertionError when not even that is green."""
        self._pristine()
        stage, striker = self._stage("sqlite"), Striker()
        striker.trace = stage.folder / "trace"
        before = children.known()
        code = children.run(partial(actors.run, stage, striker), stage.folder / "log", WITHIN_S)
        wrong = self._look(stage, before)
        if code != 0 or wrong[0]:
            said = (stage.folder / "log").read_text()[-2000:]
            raise AssertionError(f"{self.world.kind}: a run that nobody strikes fails: {code} {wrong}\n{said}")
        points = _read(striker.trace)
        self._clear(stage)
        return points

    def sweep_points(self, injected: Point) -> list[Point]:
        """Every point of the sweep that comes after the blow at ``injected``."""
        stage, before, fell = self._struck("sqlite", injected, How.GROUP)
        if not fell:
            raise AssertionError(f"{self.world.kind}: a run ended before its fault was in; a sweep of it tells nothing")
        striker = Striker(trace=stage.folder / "trace")
        actors.end_leases(stage)
        children.run(partial(actors.sweep, stage, striker), stage.folder / "log", WITHIN_S)
        children.end_strays(before)
        points = _read(stage.folder / "trace")
        self._clear(stage)
        return points

    def play(self, cell: Cell, injected: Point | None = None) -> Result:
        """One cell; a sweeper is struck after its run was struck at ``injected``."""
        if cell.point.role is Role.SWEEPER and injected is not None:
            stage, before, hurt = self._struck(cell.ledger, injected, How.GROUP)
            actors.end_leases(stage)
            striker = self._striker(stage, cell)
            pid = children.start(partial(actors.sweep, stage, striker), stage.folder / "log")
        else:
            stage, before, hurt = self._stage(cell.ledger), children.known(), True
            striker = self._striker(stage, cell)
            pid = children.start(partial(actors.run, stage, striker), stage.folder / "log")
        slow = self._awaken(stage, striker, pid) if cell.how is How.STOP else []
        code = children.wait(pid, WITHIN_S)
        children.await_programs(GIT, before)
        struck = _blow(striker)
        began = struck[1] if struck else time.monotonic()
        reports = [*slow, *(["a process of the run hangs"] if code is None else [])]
        if cell.how is not How.STOP:
            reports += self._put_right(stage, cell.by)
        took = time.monotonic() - began
        wrong, outcome = self._look(stage, before)
        result = Result(
            cell=cell,
            reached=hurt and struck is not None,
            wrong=(*reports, *wrong),
            recovered_s=round(took, 3) if struck else None,
            outcome=outcome,
        )
        if result.green:
            self._clear(stage)
        else:
            self.kept.append(str(stage.folder))
        return result

    # --- parts of a cell --------------------------------------------------------------------------------------------

    def _struck(self, ledger: str, point: Point, how: How) -> tuple[Stage, frozenset[int], bool]:
        """A run that was struck there, with nothing put right yet; and whether the blow fell."""
        stage, before = self._stage(ledger), children.known()
        striker = Striker(aim=point, how=how, mark=stage.folder / "first-blow")
        children.run(partial(actors.run, stage, striker), stage.folder / "log", WITHIN_S)
        children.await_programs(GIT, before)
        return stage, before, _blow(striker) is not None

    def _striker(self, stage: Stage, cell: Cell) -> Striker:
        return Striker(aim=cell.point, how=cell.how, mark=stage.folder / "blow")

    def _awaken(self, stage: Stage, striker: Striker, pid: int) -> list[str]:
        """Sweep while it sleeps, then wake it up; it must leave everything as the sweep left it."""
        deadline = time.monotonic() + WITHIN_S
        while (struck := _blow(striker)) is None or not _is_stopped(struck[0]):
            if _has_ended(pid) or time.monotonic() > deadline:
                return []
            time.sleep(children.POLL_S)
        wrong = self._put_right(stage, By.SWEEP)
        with suppress(ProcessLookupError):
            os.kill(struck[0], signal.SIGCONT)
        return wrong

    def _put_right(self, stage: Stage, by: By) -> list[str]:
        if by is By.NOBODY:
            return []
        if by is By.SWEEP:
            actors.end_leases(stage)
        act = actors.sweep if by is By.SWEEP else actors.teardown
        code = children.run(partial(act, stage), stage.folder / "log", WITHIN_S)
        return [] if code == 0 else [f"the {by.value} ended with {code}"]

    def _look(self, stage: Stage, before: frozenset[int]) -> tuple[tuple[str, ...], str]:
        report = stage.folder / "report"
        strays = [f"still there: {name}" for name in children.end_strays(before)]
        actors.end_leases(stage)
        first = self._pristine()
        code = children.run(partial(actors.look, stage, first, report), stage.folder / "log", WITHIN_S)
        if code != 0 or not report.exists():
            return (*strays, "looking at it failed"), ""
        found = json.loads(report.read_text())
        return (*strays, *found["wrong"]), found["outcome"]

    def _pristine(self) -> str:
        """Fingerprint of a standing place before the first run; asked once."""
        known = self.folder / "pristine"
        if not known.exists():
            stage = replace(self._stage("sqlite"))
            children.run(partial(actors.pristine, stage, known), stage.folder / "log", WITHIN_S)
            self._clear(stage)
        return str(json.loads(known.read_text()))

    def _stage(self, ledger: str) -> Stage:
        name = f"{self.world.experiment.name}-{next(_numbers)}"
        folder = self.folder / name
        folder.mkdir(parents=True)
        stage = Stage(self.world, self._ledger_url(ledger, folder), name, folder)
        if not self.world.needs_task:
            return stage
        pid = children.start(partial(actors.a_task, folder / "stop"), folder / "log")
        return replace(stage, task=actors.task_place(pid, name))

    def _ledger_url(self, ledger: str, folder: Path) -> str:
        if ledger == "sqlite":
            return f"sqlite:///{folder}/ledger.db"
        assert self.server is not None
        name = f"m{os.getpid()}_{next(_numbers)}"
        self._databases.append(name)
        return postgres.create_database(self.server, name)

    def _clear(self, stage: Stage) -> None:
        (stage.folder / "stop").touch()
        if stage.task is not None:
            with suppress(ProcessLookupError):
                os.kill(stage.task.pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(stage.task.pid, 0)
        for suffix in ("", ".after"):
            shutil.rmtree(self.world.settings.home / "runs" / (stage.run_id + suffix), ignore_errors=True)
        shutil.rmtree(stage.folder, ignore_errors=True)
        while self._databases and self.server is not None:
            postgres.drop_database(self.server, self._databases.pop())


def _read(trace: Path) -> list[Point]:
    return [Point.model_validate_json(line) for line in trace.read_text().splitlines()]


def injected_at(points: list[Point], *, during: bool) -> Point:
    """The first point at which the fault is in for sure."""
    if not during:
        return next(one for one in points if one.phase == "exercise")
    return next(one for one in points if one.phase == INJECTED)


def _blow(striker: Striker) -> tuple[int, float] | None:
    """Pid and time of the blow, once it fell."""
    assert striker.mark is not None
    if not striker.mark.exists():
        return None
    text = striker.mark.read_text()
    if not text.endswith("\n"):
        return None
    told = json.loads(text.splitlines()[0])
    return int(told["pid"]), float(told["at"])


def _is_stopped(pid: int) -> bool:
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False


def _has_ended(pid: int) -> bool:
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return True
