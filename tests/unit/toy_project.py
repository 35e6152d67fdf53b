"""A whole engine on a toy: a fault that writes a word into a file, trials without a process, a ledger in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field, JsonValue

from chaos_tasks import registry
from chaos_tasks.clients import from_credentials
from chaos_tasks.engine import Engine, EngineParts
from chaos_tasks.exercising import TrialLoop
from chaos_tasks.faults.base import FaultContext, FaultParams
from chaos_tasks.model.base import Value
from chaos_tasks.model.experiment import Experiment
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, Receipt, Reversibility
from chaos_tasks.model.place import DvcPlace, Place
from chaos_tasks.model.plan import Plan, Recorder
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.model.target import Target
from chaos_tasks.model.trial import Arm, ForkPoint, KeptCheckpoint, Trial, TrialStatus
from chaos_tasks.ports import Clock
from chaos_tasks.safety.guards import SWEEPER, own_beat
from chaos_tasks.settings import Settings, TargetEntry
from chaos_tasks.sweeping import Sweeper
from chaos_tasks.targets.dvc import SourceVersion
from chaos_tasks.targets.process import host
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from chaos_tasks.trialing import Prepared
from chaos_tasks.workspaces import Workspaces
from tests.inventory import one_user

HEALTHY, HURT = "healthy", "hurt"
KIND = "toy.word"

TARGET = """\
name: toy
source: {type: dvc, repo: nowhere, data: [word.csv], format: csv}
workload: {type: command, run: "train {seed}"}
"""


class ToyParams(FaultParams):
    """How much."""

    intensity_field: ClassVar[str | None] = "share"
    share: float = Field(0.5, ge=0, le=1)


class ToyFault:
    """Writes a word into `<clone>/word.csv`; an entry in ``trouble`` is raised instead of the act of that name."""

    kind: ClassVar[str] = KIND
    summary: ClassVar[str] = "Writes a word"
    cause: ClassVar[str] = "tests"
    params_type: ClassVar[type[FaultParams]] = ToyParams
    reversibility: ClassVar[Reversibility] = Reversibility.RESTORES
    place_types: ClassVar[tuple[type[Value], ...]] = (DvcPlace,)
    policy: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(self) -> None:
        self.trouble: dict[str, BaseException] = {}
        self.injections = 0

    def snapshot(self, place: Place, params: FaultParams, ctx: FaultContext) -> Mapping[str, JsonValue]:
        """The word that is there."""
        self._stumble("snapshot")
        return {"word": word_file(place).read_text()}

    def blast_radius(self, place: Place, params: FaultParams) -> float:
        """As told."""
        return params.share if isinstance(params, ToyParams) else 1.0

    def inject(self, handle: Handle, params: FaultParams, ctx: FaultContext) -> Receipt:
        """Hurt it."""
        word_file(handle.place).write_text(HURT)
        self._stumble("inject")
        self.injections += 1
        return Receipt(at=ctx.clock.now(), effective=True, summary="hurt")

    def revert(self, handle: Handle, params: FaultParams, ctx: FaultContext) -> Receipt:
        """Write the old word back."""
        self._stumble("revert")
        word_file(handle.place).write_text(str(handle.prior["word"]))
        return Receipt(at=ctx.clock.now(), effective=True, summary="healed")

    def inspect(self, handle: Handle, params: FaultParams, ctx: FaultContext) -> Finding:
        """What is in the file."""
        return Finding.INJECTED if word_file(handle.place).read_text() == HURT else Finding.REVERTED

    def fingerprint(self, place: Place, ctx: FaultContext) -> Fingerprint:
        """Digest of the file."""
        return Fingerprint(digest=hashlib.sha256(word_file(place).read_bytes()).hexdigest(), covers="the word")

    def _stumble(self, act: str) -> None:
        if act in self.trouble:
            raise self.trouble[act]


def word_file(place: Place) -> Path:
    """Where the word is."""
    assert isinstance(place, DvcPlace)
    return Path(place.clone) / "word.csv"


@dataclass(frozen=True)
class ToyWorkspaces(Workspaces):
    """A clone is a folder with one word."""

    def resolve(self, target: Target) -> SourceVersion:
        """Always the same version."""
        return SourceVersion(commit="c" * 40, data={}, sealed=None, data_digest="d" * 64)

    def open(self, plan: Plan) -> None:
        """Make the folder."""
        for place in plan.places.values():
            word_file(place).parent.mkdir(parents=True, exist_ok=True)
            if not word_file(place).exists():
                word_file(place).write_text(HEALTHY)

    def prepare(self, plan: Plan, arm: Arm, clock: Clock, stop: Callable[[], bool] = lambda: False) -> Prepared:
        """Nothing to prepare."""
        now = clock.now()
        return Prepared(repo="r", data="d", prepared="p", started_at=now, ended_at=now)

    def end_workloads(self, plan: Plan) -> int:
        """There are no processes."""
        return 0


@dataclass
class ToyRunner:
    """Answers each trial at once; ``during`` is called while it `runs`."""

    project: ToyProject

    def run(self, spec: TrialSpec) -> Trial:
        """A completed trial whose metric is the seed's."""
        started = self.project.clock.now()
        self.project.clock.advance(1)
        self.project.words_seen.append((spec.arm, self.project.word(spec.run_id)))
        self.project.during(spec)
        return Trial(
            id=spec.trial_id,
            run_id=spec.run_id,
            arm=spec.arm,
            seed=spec.seed,
            status=TrialStatus.COMPLETED,
            started_at=started,
            ended_at=self.project.clock.now(),
            wall_s=1.0,
            metrics=self.project.metrics(spec),
            rung=spec.rung,
            kept=self.project.kept(spec) if spec.keep_checkpoint_at is not None else None,
            forked_from=spec.fork.trial_id if spec.fork else "",
            fork=ForkPoint(step=spec.fork.kept.step, file="f", sha256="s") if spec.fork else None,
            steps_saved=spec.fork.kept.step if spec.fork else 0,
        )

    def close(self) -> None:
        """Count that it was ended."""
        self.project.closed_runners += 1


@dataclass
class ToyProject:
    """Everything that a test of the engine holds in its hands."""

    home: Path
    clock: FakeClock = field(default_factory=FakeClock)
    fault: ToyFault = field(default_factory=ToyFault)
    during: Callable[[TrialSpec], None] = lambda spec: None
    metrics: Callable[[TrialSpec], Mapping[str, float]] = lambda spec: {"auc": 0.9 + spec.seed / 1e4}
    kept: Callable[[TrialSpec], KeptCheckpoint | None] = lambda spec: None
    words_seen: list[tuple[Arm, str]] = field(default_factory=list)
    closed_runners: int = 0

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "toy.yaml").write_text(TARGET)
        self.ledger = MemoryLedger(self.clock)
        for name in (SWEEPER, own_beat(host())):
            self.ledger.beat(name)
        self.workspaces = ToyWorkspaces(self.home, "python", from_credentials({}))

    def settings(self, **changes: Any) -> Settings:
        """An inventory with one disposable target."""
        entry = TargetEntry(
            file="toy.yaml", environment="lab", disposable=True, families=("toy",), identities=one_user("toy")
        )
        told: dict[str, Any] = {
            "root": self.home,
            "home": self.home,
            "experiments_dir": self.home,
            "lanes": 1,
            "max_parallel_experiments": 1,
            "ledger_url": "",
            "mlflow_uri": "",
            "python": "python",
            "environments": ("lab",),
            "targets": {"toy": entry},
        }
        return Settings.model_validate({**told, **changes})

    def engine(self, **changes: Any) -> Engine:
        """An engine as another process would build it: it shares nothing with an earlier one but the ledger."""
        recorder = Recorder()
        clients = self.workspaces.clients
        loop = TrialLoop(self.ledger, self.clock, recorder, self.workspaces, clients, lambda plan: ToyRunner(self))
        settings = self.settings(**changes)
        publisher = NoPublisher()
        return Engine(
            EngineParts(settings, self.ledger, self.clock, clients, self.workspaces, publisher, recorder, loop)
        )

    def sweeper(self) -> Sweeper:
        """A sweeper on the same ledger."""
        return Sweeper(self.ledger, self.clock, self.workspaces.clients, self.workspaces, Recorder())

    def kinds(self, run_id: str = "run-1") -> list[RecordKind]:
        """Kinds of a run's records, in order."""
        return [stored.record.kind for stored in self.ledger.records(run_id=run_id)]

    def notes(self, kind: RecordKind, run_id: str = "run-1") -> list[str]:
        """Texts of a run's notes of one kind."""
        found = self.ledger.records(run_id=run_id, kinds=[kind])
        return [stored.record.payload.text for stored in found if stored.record.payload is not None]  # type: ignore[union-attr]

    def word(self, run_id: str = "run-1") -> str:
        """What is in the run's file now."""
        path = self.home / "runs" / run_id / "clone" / "word.csv"
        return path.read_text() if path.exists() else HEALTHY


class NoPublisher:
    """Publishes nowhere."""

    def publish(self, run_id: str) -> str:
        """A made-up place."""
        return f"nowhere/{run_id}"


def experiment(**changes: Any) -> Experiment:
    """Two seeds, one fault, one check that a healthy toy passes."""
    check = {"name": "auc", "probe": "model.metric", "params": {"metric": "auc"}}
    told = {
        "name": "toy",
        "hypothesis": "The toy does not mind a word.",
        "owner": "tests",
        "target": "toy",
        "steady_state": [{**check, "tolerance": {"type": "range", "min": 0.5}, "when": "under_fault"}],
        "method": [{"name": "write", "fault": KIND, "target": "data"}],
        "guards": {"lease": timedelta(seconds=60)},
        "analysis": {"seeds": 2, "base_seed": 1},
    }
    return Experiment.model_validate({**told, **changes})


def request(run_id: str = "run-1", **changes: Any) -> RunRequest:
    """Ask for the toy experiment."""
    return RunRequest(run_id=run_id, experiment=experiment(**changes))


def register(monkeypatch: pytest.MonkeyPatch, fault: ToyFault) -> None:
    """Let the registry know the toy fault, besides the real ones."""
    real = registry.fault
    monkeypatch.setattr(registry, "fault", lambda kind: fault if kind == KIND else real(kind))
