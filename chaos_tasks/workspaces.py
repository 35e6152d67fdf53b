"""Folders of runs: isolated clones, prepared data versions, sealed sets, trials; built once, by whoever comes first."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chaos_tasks.carrying import Carrier
from chaos_tasks.errors import SetupError, WorkloadError
from chaos_tasks.model.base import canonical
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.target import AirflowDagWorkload, CommandWorkload, S3Resource, Target
from chaos_tasks.model.trial import Arm, Trial
from chaos_tasks.planning import CLONE
from chaos_tasks.ports import Clients, Clock
from chaos_tasks.safety.at_rest import Bucket
from chaos_tasks.trialing import Prepared

if TYPE_CHECKING:
    from chaos_tasks.targets.dvc import SourceVersion


@dataclass(frozen=True)
class Workspaces:
    """Knows where everything of a run lies below Squall's home."""

    home: Path
    python: str
    clients: Clients
    carrier: Carrier | None = None
    """Carries clones and trial files between hosts; None: all share one home."""

    encrypted: Callable[[Target, Sequence[Bucket]], None] = lambda target, sources: None
    """Refuses a store that would keep a target's data less well than the buckets of its source do."""

    def resolve(self, target: Target) -> SourceVersion:
        """The version of the source that a run starts from; raises SetupError with what is missing."""
        from chaos_tasks.targets import dvc
        from chaos_tasks.workloads.dag_preflight import check_dag

        if shutil.which(self.python) is None:
            raise SetupError(
                f"the interpreter of workloads, {self.python}, is not there or cannot be run",
                remedy="mend `python` in squall.toml, or SQUALL_PYTHON",
            )
        if isinstance(target.workload, AirflowDagWorkload):
            check_dag(target, target.workload, self.clients)
        version = dvc.resolve(target.source)
        if self.carrier is not None:
            self.encrypted(target, [_bucket(one) for one in dvc.s3_remotes(target.source, version.commit)])
        return version

    def open(self, plan: Plan) -> None:
        """The shared clean checkout, the sealed set, and this run's isolated clone when a fault needs one."""
        self._checkout(plan.target, plan.source_commit)
        if any(place.type == "dvc" for place in plan.places.values()):
            clone = Path(plan.workspace) / CLONE
            if self.carrier is not None and self.carrier.knows(clone):
                return
            self._clone(plan)
            if self.carrier is not None:
                self.carrier.give(clone)

    def prepare(self, plan: Plan, arm: Arm, clock: Clock, stop: Callable[[], bool] = lambda: False) -> Prepared:
        """The data version of an arm after its set-up steps; cached where the version is clean.

        ``stop`` ends a step that runs, and raises GuardTripped.
        """
        treated = arm is Arm.TREATMENT and any(place.type == "dvc" for place in plan.places.values())
        if treated:
            repo = Path(plan.workspace) / CLONE
            if self.carrier is not None:
                self.carrier.bring(repo)
            folder = Path(plan.workspace) / "prepared"
        else:
            repo = self._own_or_shared(plan)
            shared = isinstance(plan.target.workload, CommandWorkload)
            # What `dvc repro` has made lies in the run's own clone, so it is of no use to another run.
            folder = (
                self.home / "cache" / "prepared" / _setup_key(plan) if shared else repo.with_name("prepared-control")
            )
        return self._built(folder, lambda: self._set_up(plan, repo, folder, clock, stop))

    def trial_dir(self, run_id: str, arm: Arm, seed: int, rung: str = "") -> Path:
        """Folder of one trial; created."""
        folder = self.home / "runs" / run_id / "trials" / (f"{arm.value}-{seed}" + (f"-{rung}" if rung else ""))
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def keep(self, trial: Trial) -> None:
        """Let a task on another host read what a trial left: its predictions, and checkpoints for forks."""
        if self.carrier is not None:
            for folder, files in _left_by(trial):
                self.carrier.keep(folder, files)

    def fetch(self, trial: Trial | None) -> None:
        """Lay out what a trial on another host left."""
        if self.carrier is not None and trial is not None:
            for folder, files in _left_by(trial):
                self.carrier.fetch(folder, files)

    def leave(self, plan: Plan) -> None:
        """After the treatment trials: no copy of the injected clone stays on this host."""
        if self.carrier is not None and any(place.type == "dvc" for place in plan.places.values()):
            self.carrier.drop(Path(plan.workspace) / CLONE)

    def credentials(self, target: Target) -> dict[str, str]:
        """Environment with the identities that the workload runs with."""
        if isinstance(target.workload, AirflowDagWorkload):  # the DAG has its own; ours is the one that watches it
            return self.clients.environment(target.workload.connection.credentials)
        merged: dict[str, str] = {}
        for resource in target.resources.values():
            if isinstance(resource, S3Resource):
                merged.update(self.clients.environment(resource.credentials))
        return merged

    def lay_out_store(self, uri: str, out: Path) -> None:
        """Where a trial has an MLflow store of its own: a copy of an empty one, made once per version of MLflow."""
        from chaos_tasks.workloads import mlflow_store

        place = mlflow_store.place_of(uri, out)
        version = mlflow_store.version_of(self.python) if place is not None else None
        if place is None or version is None:
            return
        folder = self.home / "cache" / "mlflow" / version
        with _once(folder) as building:
            if building:
                mlflow_store.make(self.python, folder)
        mlflow_store.lay_out(folder, place)

    def end_workloads(self, plan: Plan) -> int:
        """Fence: end every recorded workload of a run that is still alive; returns how many were.

        A DAG run that its Airflow does not let us end now is left to `end_left_behind`.
        """
        from chaos_tasks.workloads.fencing import end_recorded

        left: list[Path] = []
        count = end_recorded(Path(plan.workspace) / "trials", clients=self.clients, left=left)
        self.leave_unended(left)
        return count

    def leave_unended(self, trials: Sequence[Path]) -> None:
        """Note folders of trials whose DAG runs are still to be ended."""
        for folder in trials:
            self._unended.mkdir(parents=True, exist_ok=True)
            name = hashlib.sha256(str(folder).encode()).hexdigest()[:24]
            (self._unended / name).write_text(str(folder), encoding="utf-8")

    def end_left_behind(self) -> int:
        """End the DAG runs that went on when their trial was ended; returns how many trials have none any more."""
        from chaos_tasks.workloads.fencing import end_recorded

        done = 0
        for note in sorted(self._unended.glob("*")) if self._unended.is_dir() else ():
            left: list[Path] = []
            end_recorded(Path(note.read_text(encoding="utf-8")), clients=self.clients, left=left)
            if not left:
                note.unlink(missing_ok=True)
                done += 1
        return done

    @property
    def _unended(self) -> Path:
        return self.home / "unended"

    # --- clean versions, shared between runs ------------------------------------------------------------------

    def _checkout(self, target: Target, commit: str) -> Path:
        """A clean clone at a commit with its data, read by control trials of every run; never injected into."""
        from chaos_tasks.targets import dvc

        source = target.source
        paths = sorted({*source.data, *([source.sealed] if source.sealed else [])}) if _needs_data(target) else []
        # By what is in it as well: targets of one repository may bring different data of the same commit.
        key = hashlib.sha256(canonical([source.repo, commit, *paths])).hexdigest()[:16]
        folder = self.home / "cache" / "checkouts" / key
        with _once(folder) as building:
            if building:
                version = dvc.resolve(source.model_copy(update={"rev": commit}))
                dvc.open_clone(source, version, folder, materialise=paths)
        return folder

    def _own_or_shared(self, plan: Plan) -> Path:
        """`dvc repro` writes into its repository, so such a run gets a clean clone of its own."""
        shared = self._checkout(plan.target, plan.source_commit)
        if isinstance(plan.target.workload, CommandWorkload):
            return shared
        return self._open_clone(plan, Path(plan.workspace) / "control")

    def _clone(self, plan: Plan) -> Path:
        return self._open_clone(plan, Path(plan.workspace) / CLONE)

    def _open_clone(self, plan: Plan, folder: Path) -> Path:
        from chaos_tasks.targets import dvc

        source = plan.target.source
        with _once(folder) as building:
            if building:
                version = dvc.resolve(source.model_copy(update={"rev": plan.source_commit}))
                # A stage finds its dependencies in its repository; a command is told where they are.
                stage = not isinstance(plan.target.workload, CommandWorkload)
                sealed = [source.sealed] if source.sealed and stage else []
                dvc.open_clone(source, version, folder, materialise=[*source.data, *sealed])
        return folder

    def _set_up(self, plan: Plan, repo: Path, folder: Path, clock: Clock, stop: Callable[[], bool]) -> Prepared:
        """Run the set-up steps of a data version in order; the first that fails ends them."""
        from chaos_tasks.workloads.setup import run_setup

        started = clock.now()
        sealed = self._sealed(plan)
        values = {
            "python": self.python,
            "data": str(repo),
            "repo": str(repo),
            "prepared": str(folder),
            "sealed": sealed,
        }
        results = run_setup(plan.target, values, cwd=repo, log_dir=folder, clock=clock, stop=stop)
        refused = next((one for one in results if one.gate_refused), None)
        failed = next((one for one in results if one.exit_code and not one.gate_refused), None)
        bad = refused or failed
        return Prepared(
            repo=str(repo),
            data=str(repo),
            prepared=str(folder),
            sealed=sealed,
            refused_by=refused.name if refused else "",
            failed_at=failed.name if failed else "",
            exit_code=bad.exit_code if bad else 0,
            error=bad.tail if bad else "",
            started_at=started,
            ended_at=clock.now(),
        )

    def _sealed(self, plan: Plan) -> str:
        """Path of the sealed evaluation set: in the clean checkout, which no fault can reach."""
        sealed = plan.target.source.sealed
        return str(self._checkout(plan.target, plan.source_commit) / sealed) if sealed else ""

    def _built(self, folder: Path, build: Callable[[], Prepared]) -> Prepared:
        """What a folder was built with, building it at most once."""
        marker = folder / "prepared.json"
        with _once(folder) as building:
            if building:
                folder.mkdir(parents=True)
                marker.write_text(build().model_dump_json(), encoding="utf-8")
        try:
            return Prepared.model_validate_json(marker.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WorkloadError(f"{marker} cannot be read: {error}", remedy=f"delete {folder} and run again") from error


def _left_by(trial: Trial) -> list[tuple[Path, Mapping[str, str]]]:
    """Folders and the digests of the files in them."""
    own = [(Path(trial.out), trial.files)] if trial.out else []
    return own + ([(Path(trial.kept.folder), trial.kept.files)] if trial.kept else [])


@contextmanager
def _once(folder: Path) -> Iterator[bool]:
    """Yields True to the one process that is to fill the folder; the others wait and get False.

    A folder without its stamp is a half-made one: it is removed and made again.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    stamp = folder.with_name(f"{folder.name}.done")
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and folder.exists():
            yield False
            return
        shutil.rmtree(folder, ignore_errors=True)
        yield True
        stamp.touch()


def _setup_key(plan: Plan) -> str:
    """A prepared version is the same as long as code, data and commands are."""
    steps = [step.model_dump(mode="json") for step in plan.target.workload.setup]
    return hashlib.sha256(canonical([plan.source_commit, plan.data_digest, steps])).hexdigest()[:16]


def _needs_data(target: Target) -> bool:
    text = json.dumps(target.workload.model_dump(mode="json"))
    named = any(word in text for word in ("{data}", "{prepared}", "{sealed}"))
    return named or not isinstance(target.workload, CommandWorkload)


def _bucket(remote: Mapping[str, str]) -> Bucket:
    name = remote["url"].removeprefix("s3://").partition("/")[0]
    return Bucket(name, remote.get("endpointurl", ""), remote.get("region", "us-east-1"))
