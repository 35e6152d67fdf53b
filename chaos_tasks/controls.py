"""Control trials that need not be run again: kept under a digest of everything that their readings follow from.

Command, code, data, parameters, seed, installed packages and processor are in the key; only experiments whose margin
checks are all marked `deterministic` take part.  Once per campaign one such control is run again all the same (an A/A
test); one that comes out otherwise is not used any more.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from chaos_tasks.model.base import Value, canonical
from chaos_tasks.model.experiment import When
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.target import AirflowDagWorkload
from chaos_tasks.model.trial import Arm, Observation, Trial, TrialStatus
from chaos_tasks.ports import LedgerReader
from chaos_tasks.runs import Run
from chaos_tasks.trialing import trial_id


class Banked(Value):
    """Where the log has the control trial that may be used again."""

    run_id: str
    trial_id: str


@dataclass(frozen=True)
class ControlBank:
    """Pointers into the log, in files below Squall's home; what they point at is read from the log itself."""

    ledger: LedgerReader
    home: Path
    python: str

    def find(self, plan: Plan, seed: int, rung: str = "") -> Trial | None:
        """A control of another run under the same key, as one of this run; None when there is none to trust."""
        if plan.fresh_controls or not reusable(plan):
            return None
        try:
            banked = Banked.model_validate_json(self._file(plan, seed, rung).read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            return None
        if banked.run_id == plan.run_id:
            return None
        ends = Run(self.ledger, banked.run_id).ended_trials(Arm.CONTROL)
        found = next((end.trial for end in ends if end.trial.id == banked.trial_id), None)
        if found is None or found.status is not TrialStatus.COMPLETED or not _files_are_there(found):
            return None
        own = {"id": trial_id(plan, Arm.CONTROL, seed, rung), "run_id": plan.run_id, "reused_from": found.id}
        return found.model_copy(update=own)

    def keep(self, plan: Plan, trial: Trial) -> None:
        """Let later runs use this control; the first one under its key stays."""
        if trial.status is not TrialStatus.COMPLETED or trial.reused_from or not reusable(plan):
            return
        path = self._file(plan, trial.seed, trial.rung)
        path.parent.mkdir(parents=True, exist_ok=True)
        own = path.with_suffix(f".{os.getpid()}")
        own.write_text(Banked(run_id=trial.run_id, trial_id=trial.id).model_dump_json(), encoding="utf-8")
        own.replace(path)

    def forget(self, plan: Plan, seed: int, rung: str = "") -> None:
        """Never use this control again."""
        self._file(plan, seed, rung).unlink(missing_ok=True)

    def claim_check(self, plan: Plan) -> bool:
        """Whether this run is the one of its campaign that runs a known control again; True once per campaign."""
        if not plan.campaign_id:
            return False
        folder = self._folder / "checked"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            (folder / hashlib.sha256(plan.campaign_id.encode()).hexdigest()[:16]).open("x").close()
        except FileExistsError:
            return False
        return True

    @property
    def _folder(self) -> Path:
        return self.home / "cache" / "controls"

    def _file(self, plan: Plan, seed: int, rung: str) -> Path:
        return self._folder / f"{control_key(plan, seed, rung, self.python)}.json"


def reusable(plan: Plan) -> bool:
    """Whether every check that reads a control says that its reading is deterministic, and all of its code is known."""
    if isinstance(plan.target.workload, AirflowDagWorkload):
        return False  # the DAG's own code is in none of what the key knows
    reading = [check for check in plan.experiment.steady_state if check.when is When.ALWAYS]
    return bool(reading) and all(check.deterministic for check in reading)


def differing(ours: Sequence[Observation], theirs: Sequence[Observation]) -> list[str]:
    """Names of the checks that read two things from two runs of one control."""
    known = {observation.check: observation.value for observation in theirs}
    return [one.check for one in ours if one.check in known and not _same(one.value, known[one.check])]


def control_key(plan: Plan, seed: int, rung: str, python: str) -> str:
    """Digest of all that a control's readings follow from."""
    target = plan.target
    told = {
        "workload": target.workload.model_dump(mode="json"),
        "reads": target.reads.model_dump(mode="json"),
        "resources": {name: one.model_dump(mode="json") for name, one in target.resources.items()},
        "repo": target.source.repo,
        "commit": plan.source_commit,
        "data": plan.data_digest,
        "fork": plan.experiment.analysis.fork.model_dump(mode="json") if plan.experiment.analysis.fork else None,
        "seed": seed,
        "rung": rung,
        "packages": packages_digest(python),
        "machine": _machine(),
    }
    return hashlib.sha256(canonical(told)).hexdigest()[:32]


def _same(one: object, other: object) -> bool:
    return one == other or (one != one and other != other)  # NaN is the one value unlike itself


def _files_are_there(trial: Trial) -> bool:
    """Whether what probes may read is still what the record says, and what forks start from is there."""
    kept = [Path(trial.kept.folder) / name for name in trial.kept.files] if trial.kept else []
    if not all(path.is_file() for path in kept):
        return False
    for name, digest in trial.files.items():
        path = Path(trial.out) / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return False
    return True


@lru_cache(maxsize=8)
def packages_digest(python: str) -> str:
    """Digest of the packages beside an interpreter, by the names of their metadata folders: name and version."""
    root = Path(python).absolute().parent.parent
    found = sorted(path.name for path in root.glob("lib/python*/site-packages/*.dist-info"))
    return hashlib.sha256("\n".join([python, *found]).encode()).hexdigest()


@lru_cache(maxsize=1)
def _machine() -> str:
    """Processor, and whether a GPU is there: floating-point results depend on both."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    gpus = sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
    return " ".join(
        [platform.machine(), model or platform.processor(), *gpus, os.environ.get("CUDA_VISIBLE_DEVICES", "")]
    )
