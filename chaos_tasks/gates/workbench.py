"""A scratch clone: mutants are put on it, prepared, shown to the gate and trained on, by the target's commands."""

from __future__ import annotations

import hashlib
import shutil
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from chaos_tasks import registry
from chaos_tasks.errors import GuardTripped, InjectError, SetupError, WorkloadError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.data.version import VersionFault
from chaos_tasks.gates.mutants import params_of
from chaos_tasks.gates.profile import Profile, profile
from chaos_tasks.gates.values import Cost, Harm, Mutant, Passing
from chaos_tasks.model.handle import Handle
from chaos_tasks.model.place import DvcPlace
from chaos_tasks.model.target import CommandWorkload, SetupStep, Target
from chaos_tasks.ports import Clients, Clock
from chaos_tasks.targets import dvc, git
from chaos_tasks.targets.dvc import SourceVersion
from chaos_tasks.workloads.command import resource_values
from chaos_tasks.workloads.harvest import read_metrics, sha256_of
from chaos_tasks.workloads.setup import run_setup

TRAIN = SetupStep(name="train", run="")
KEPT = 4
"""Prepared mutants that stay on disk: a search often comes back to the last few."""

Worsening = tuple[float, ...]


@dataclass(frozen=True)
class Passage:
    """How far a mutant came, and which step stopped it."""

    passing: Passing
    stopped_by: str = ""


class Bench(Protocol):
    """What a search needs to know about mutants."""

    def passage(self, mutant: Mutant) -> Passage:
        """Prepare it and ask the gate."""

    def pair(self, mutant: Mutant, number: int) -> Worsening | None:
        """Worsening by measure of harm of one training on the mutant against its control; None when it crashed."""

    def cost(self) -> Cost:
        """What has been used so far."""


@dataclass
class Counted:
    """What was run."""

    trainings: int = 0
    controls: int = 0
    gate_runs: int = 0
    preparations: int = 0


@dataclass
class _Prepared:
    folder: Path
    digest: str
    failed_at: str = ""
    refused_by: str | None = None  # None: the gate was not asked yet


@dataclass
class Workbench:
    """One target at one version.  Nothing outside of ``folder`` is written; the source is only read."""

    target: Target
    workload: CommandWorkload
    folder: Path
    python: str
    harms: tuple[Harm, ...]
    clock: Clock
    clients: Clients
    version: SourceVersion
    base_seed: int = 0
    counted: Counted = field(default_factory=Counted)
    started: float = 0.0
    _in_place: Mutant | str | None = None  # a commit, or None for the clean version
    _prepared: OrderedDict[str, _Prepared] = field(default_factory=OrderedDict)
    _controls: dict[int, tuple[float, ...]] = field(default_factory=dict)
    _clean: _Prepared | None = None

    @classmethod
    def open(
        cls,
        target: Target,
        folder: Path,
        *,
        python: str,
        harms: Sequence[Harm],
        clock: Clock,
        clients: Clients,
        base_seed: int = 0,
    ) -> Self:
        """Clone, copy the sealed set out, and prepare the clean version.

        Raises GuardTripped where there is no gate to test or it refuses the clean version, and SetupError where the
        target cannot be used.
        """
        workload = _testable(target)
        if not harms:
            raise SetupError("no measure of harm is named", remedy="give --metric and --margin")
        version = dvc.resolve(target.source)
        dvc.open_clone(target.source, version, folder / "clone", materialise=target.source.data)
        if target.source.sealed:
            dvc.export(
                target.source, version, target.source.sealed, folder / "sealed" / Path(target.source.sealed).name
            )
        bench = cls(target, workload, folder, python, tuple(harms), clock, clients, version, base_seed)
        bench.started = clock.monotonic()
        bench._check_clean()
        return bench

    @property
    def clone(self) -> Path:
        """The scratch clone."""
        return self.folder / "clone"

    @property
    def gates(self) -> tuple[SetupStep, ...]:
        """The set-up steps that are gates."""
        return tuple(step for step in self.workload.setup if step.gate)

    def profiles(self) -> list[Profile]:
        """The shape of each data file of the clean version."""
        self._restore()
        return [profile(self.clone, path, self.target.source.format) for path in self.target.source.data]

    def versions(self) -> tuple[str, ...]:
        """Commits at which data files changed, up to this version, the latest first."""
        pointers = sorted({dvc.output_of(self.clone, path).pointer for path in self.target.source.data})
        return tuple(git.git(self.clone, "log", "--format=%H", self.version.commit, "--", *pointers).split())

    # --- the protocol -----------------------------------------------------------------------------------------------

    def passage(self, mutant: Mutant) -> Passage:
        """Prepare it and ask the gate; what is prepared alike is equivalent, and nobody is asked."""
        try:
            prepared = self._prepare(mutant)
        except InjectError as error:
            return Passage(Passing.INVALID, error.message)
        if prepared.failed_at:
            return Passage(Passing.INVALID, prepared.failed_at)
        if prepared.digest == self._clean_version().digest:
            return Passage(Passing.EQUIVALENT)
        if prepared.refused_by is None:
            self._put(mutant)
            prepared.refused_by = self._ask_gates(prepared.folder)
        return Passage(Passing.REFUSED, prepared.refused_by) if prepared.refused_by else Passage(Passing.PASSED)

    def pair(self, mutant: Mutant, number: int) -> Worsening | None:
        """One training on the mutant's data, refused or not, against the control of the same seed."""
        control = self.control(number)
        prepared = self._prepare(mutant)
        self._put(mutant)
        treated = self._train(prepared.folder, self.base_seed + number)
        if treated is None:
            treated = self._again(mutant, prepared, self.base_seed + number)
        if treated is None:
            return None
        signs = (1.0 if harm.better == "lower" else -1.0 for harm in self.harms)
        return tuple(sign * (after - before) for sign, after, before in zip(signs, treated, control, strict=True))

    def cost(self) -> Cost:
        """Counts, and seconds since the workbench was opened."""
        done = self.counted
        return Cost(
            trainings=done.trainings,
            controls=done.controls,
            gate_runs=done.gate_runs,
            preparations=done.preparations,
            seconds=self.clock.monotonic() - self.started,
        )

    # --- for proposals ----------------------------------------------------------------------------------------------

    def tables(self, mutant: Mutant | None) -> Mapping[str, Path]:
        """Tables of a mutant (None: the clean version) by name: data files, and what preparation wrote.

        They lie there until the next call.
        """
        prepared = self._clean_version() if mutant is None else self._prepare(mutant)
        self._put(mutant)
        return self._named(prepared)

    def tables_at(self, commit: str) -> Mapping[str, Path]:
        """Tables of another version of the same data; what cannot be prepared has no prepared ones."""
        prepared = self._prepare(commit)
        self._put(commit)
        return self._named(prepared)

    def _named(self, prepared: _Prepared) -> Mapping[str, Path]:
        suffix = f"*.{self.target.source.format}"
        made = {} if prepared.failed_at else {f"prepared/{one.name}": one for one in prepared.folder.rglob(suffix)}
        return {**{path: self.clone / path for path in self.target.source.data}, **dict(sorted(made.items()))}

    # --- one mutant ---------------------------------------------------------------------------------------------------

    def _put(self, wanted: Mutant | str | None) -> None:
        """Let the working tree of the clone hold exactly this mutant, or the data of this commit."""
        if wanted == self._in_place:
            return
        self._restore()
        if isinstance(wanted, str):
            self._in_place = wanted
            for path in self.target.source.data:
                dvc.place_file(self.clone, path, dvc.obtain(self.clone, path, wanted))
        elif wanted is not None:
            self._mutate(wanted)

    def _mutate(self, mutant: Mutant) -> None:
        fault = registry.fault(mutant.family.kind)
        if not isinstance(fault, VersionFault):
            raise GuardTripped(f"{mutant.family.kind} changes no data version", remedy="leave it out")
        params = fault.params_type.model_validate(dict(params_of(mutant)))
        ctx = FaultContext(clock=self.clock, clients=self.clients, scratch=self.folder / "scratch")
        self._in_place = mutant
        try:
            fault.change(self._handle(mutant), self.clone / mutant.family.path, params, ctx)
        except InjectError:
            self._restore(force=True)
            raise

    def _handle(self, mutant: Mutant) -> Handle:
        source = self.target.source
        place = DvcPlace(
            clone=str(self.clone),
            source=source.repo,
            commit=self.version.commit,
            data=source.data,
            format=source.format,
        )
        return Handle(
            id=f"gate/{mutant.content_sha256[:12]}",
            run_id="gate",
            step="mutant",
            kind=mutant.family.kind,
            place=place,
            params=params_of(mutant),
            prior={},
            seed=mutant.seed,
        )

    def _restore(self, *, force: bool = False) -> None:
        if self._in_place is None and not force:
            return
        for path in self.target.source.data:
            file = dvc.pointed(self.clone, path)
            if not dvc.is_placed(self.clone, path, file):
                dvc.place_file(self.clone, path, file)
        self._in_place = None

    def _prepare(self, wanted: Mutant | str | None) -> _Prepared:
        """Run the steps that are no gate; the last few results stay on disk."""
        key = wanted.content_sha256[:20] if isinstance(wanted, Mutant) else wanted or "clean"
        if key in self._prepared:
            self._prepared.move_to_end(key)
            return self._prepared[key]
        self._put(wanted)
        folder = self.folder / "prepared" / key
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.counted.preparations += 1
        failed = self._steps(folder, [step for step in self.workload.setup if not step.gate])
        self._prepared[key] = _Prepared(folder, "" if failed else self._digest(folder), failed)
        self._forget()
        return self._prepared[key]

    def _forget(self) -> None:
        while len(self._prepared) > KEPT:
            _, old = self._prepared.popitem(last=False)
            if old is not self._clean:
                shutil.rmtree(old.folder, ignore_errors=True)

    def _steps(self, folder: Path, steps: Sequence[SetupStep]) -> str:
        """Run set-up steps; the name of the first that failed, or nothing."""
        results = run_setup(
            self._with_steps(steps),
            self._values(folder),
            cwd=self.clone,
            log_dir=self.folder / "logs",
            clock=self.clock,
        )
        return next((one.name for one in results if one.exit_code != 0), "")

    def _ask_gates(self, folder: Path) -> str:
        """Each gate for itself; the name of the first that refuses, or nothing."""
        for gate in self.gates:
            self.counted.gate_runs += 1
            if refused := self._steps(folder, [gate]):
                return refused
        return ""

    def _with_steps(self, steps: Sequence[SetupStep]) -> Target:
        return self.target.model_copy(update={"workload": self.workload.model_copy(update={"setup": tuple(steps)})})

    def _values(self, prepared: Path) -> dict[str, str]:
        sealed = self.target.source.sealed
        return {
            **resource_values(self.target),
            "python": self.python,
            "data": str(self.clone),
            "repo": str(self.clone),
            "prepared": str(prepared),
            "sealed": str(self.folder / "sealed" / Path(sealed).name) if sealed else "",
        }

    def _digest(self, prepared: Path) -> str:
        """Of all that a training can read: what was prepared, and the data where its command line names them."""
        told = hashlib.sha256()
        files = [path for path in sorted(prepared.rglob("*")) if path.is_file()]
        command = f"{self.workload.run} {dict(self.workload.environment)}"
        if not files or "{data}" in command or "{repo}" in command:
            files += [self.clone / path for path in self.target.source.data]
        for path in files:
            told.update(f"{path.name}\0{sha256_of(path)}\n".encode())
        return told.hexdigest()

    # --- trainings ------------------------------------------------------------------------------------------------

    def control(self, number: int) -> tuple[float, ...]:
        """Metrics of the clean version under one seed; trained once.  Raises WorkloadError when that fails."""
        if number not in self._controls:
            clean = self._clean_version()
            self._put(None)
            found = self._train(clean.folder, self.base_seed + number)
            self.counted.controls += 1
            if found is None:
                raise self._broken()
            self._controls[number] = found
        return self._controls[number]

    def _again(self, mutant: Mutant, prepared: _Prepared, seed: int) -> tuple[float, ...] | None:
        """After a crash: it is the mutant's own when the clean version trains right after it and the mutant does not.

        Raises WorkloadError when the clean version fails as well: then it is the machine or the workload.
        """
        self._put(None)
        if self._train(self._clean_version().folder, seed) is None:
            raise self._broken()
        self._put(mutant)
        return self._train(prepared.folder, seed)

    def _broken(self) -> WorkloadError:
        return WorkloadError(
            f"the workload of {self.target.name} failed on clean data",
            remedy=f"run one clean trial by hand; its log is {self.folder / 'logs' / 'setup-train.log'}",
        )

    def _train(self, prepared: Path, seed: int) -> tuple[float, ...] | None:
        self.counted.trainings += 1
        out, checkpoints = self.folder / "trial" / "out", self.folder / "trial" / "checkpoints"
        shutil.rmtree(self.folder / "trial", ignore_errors=True)
        for path in (out, checkpoints):
            path.mkdir(parents=True)
        values = {**self._values(prepared), "seed": str(seed), "out": str(out), "checkpoints": str(checkpoints)}
        step = TRAIN.model_copy(update={"run": self.workload.run})
        (result,) = run_setup(
            self._with_steps([step]), values, cwd=self.clone, log_dir=self.folder / "logs", clock=self.clock
        )
        return None if result.exit_code else self._metrics(out / self.target.reads.metrics)

    def _metrics(self, path: Path) -> tuple[float, ...]:
        try:
            numbers, slices = read_metrics(path)
        except (OSError, ValueError) as error:
            raise WorkloadError(
                f"{path} cannot be read: {error}", remedy="mend `reads.metrics` of the target"
            ) from error
        return tuple(_metric(slices.get(harm.slice, {}) if harm.slice else numbers, harm) for harm in self.harms)

    # --- the clean version --------------------------------------------------------------------------------------------

    def _clean_version(self) -> _Prepared:
        if self._clean is None:
            self._clean = self._prepare(None)
        return self._clean

    def _check_clean(self) -> None:
        clean = self._clean_version()
        if clean.failed_at:
            raise SetupError(
                f"set-up step {clean.failed_at} of {self.target.name} fails on the clean version",
                remedy=f"read {self.folder / 'logs'}",
            )
        self._put(None)
        if refused := self._ask_gates(clean.folder):
            raise GuardTripped(
                f"gate {refused} of {self.target.name} refuses the clean version {self.version.commit[:12]}",
                remedy="mend the gate or the data first: a gate that refuses everything lets nothing through",
            )


def _metric(numbers: Mapping[str, float], harm: Harm) -> float:
    if harm.metric not in numbers:
        raise WorkloadError(
            f"the workload wrote no {harm.name}", remedy=f"choose from {', '.join(sorted(numbers)) or 'nothing'}"
        )
    return numbers[harm.metric]


def _testable(target: Target) -> CommandWorkload:
    workload = target.workload
    if not isinstance(workload, CommandWorkload):
        raise SetupError(
            f"target {target.name} is a {workload.type}: gate testing runs set-up steps and a command of their own",
            remedy="write a target file with `workload: {type: command}` for the same pipeline",
        )
    if target.source.form not in ("parquet", "csv"):
        how = "in a dialect" if target.source.csv else ""
        raise SetupError(
            f"the data of {target.name} are {target.source.format} {how}: gate testing compares Parquet and plain CSV",
            remedy="test the gate by hand with `squall run` and the faults that claim the format",
        )
    if not any(step.gate for step in workload.setup):
        raise GuardTripped(
            f"target {target.name} has no gate", remedy="mark the set-up step that checks the data with `gate: true`"
        )
    return workload
