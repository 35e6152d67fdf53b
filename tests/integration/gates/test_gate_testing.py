"""A gate is tested by its own commands on copies: escapes are found, closed, and the source stays as it was."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.cli.main import run
from chaos_tasks.clients import from_environment
from chaos_tasks.clock import SystemClock
from chaos_tasks.errors import GuardTripped, SetupError, WorkloadError
from chaos_tasks.gates import tables
from chaos_tasks.gates.harming import HarmRule
from chaos_tasks.gates.mutants import families
from chaos_tasks.gates.proposing import refused_by
from chaos_tasks.gates.session import earlier, propose_checks, run_gate_test
from chaos_tasks.gates.values import Family, Harm, Mutant, Passing
from chaos_tasks.gates.workbench import Workbench
from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.target import Target
from tests.dvc_sources import PARQUET
from tests.integration.gates.small_pipeline import make

HARM = Harm(metric="auc", margin=0.05)

TOML = """\
[squall]
home = "home"
environments = ["lab"]
[targets.small]
file = "small.yaml"
environment = "lab"
families = ["data"]
[targets.shielded]
file = "small.yaml"
environment = "lab"
families = ["process"]
"""


def opened(target: Target, folder: Path, harm: Harm = HARM) -> Workbench:
    clients = from_environment({})
    return Workbench.open(target, folder, python=sys.executable, harms=[harm], clock=SystemClock(), clients=clients)


def digests(folder: Path) -> dict[str, str]:
    """Every byte below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def flips(bench: Workbench) -> Family:
    found, _ = families(bench.profiles())
    return next(one for one in found if one.kind == "data.label_flip" and one.columns == ("late",) and not one.group)


def test_escapes_are_found_and_closed_and_the_source_stays_as_it_was(tmp_path: Path) -> None:
    source, target = make(tmp_path)
    before = digests(source.repo), digests(source.remote)
    bench = opened(target, tmp_path / "work")
    rng = np.random.default_rng(1)
    report = run_gate_test(
        bench,
        HarmRule((HARM,)),
        rng=rng,
        budget=24,
        samples=2,
        only=lambda one: one.columns == ("late",) and one.kind == "data.label_flip" and not one.group,
    )
    (escape,) = report.escapes
    assert 0.04 < escape.mutant.intensity < 0.12  # harm begins at 5 % of wrong labels
    assert report.score is not None
    assert report.cost.trainings <= 24
    proposal = propose_checks(bench, [one.mutant for one in report.tried if one.escaped], rng=rng)
    assert proposal.open == ()
    other = Mutant(family=flips(bench), intensity=0.3, seed=99)
    assert refused_by(proposal.checks, tables.read(bench.tables(other), "parquet"))
    assert refused_by(proposal.checks, tables.read(bench.tables(None), "parquet")) == ()
    assert (digests(source.repo), digests(source.remote)) == before


def test_a_mutant_of_a_column_that_is_not_used_is_equivalent_and_is_not_trained_on(tmp_path: Path) -> None:
    _, target = make(tmp_path)
    bench = opened(target, tmp_path / "work")
    found, _ = families(bench.profiles())
    unused = next(one for one in found if one.kind == "data.missing_values" and one.columns == ("temp",))
    assert bench.passage(Mutant(family=unused, intensity=0.5, seed=1)).passing is Passing.EQUIVALENT
    assert (bench.counted.trainings, bench.counted.gate_runs) == (0, 1)  # one gate run on the clean version


def test_each_mutant_starts_from_the_clean_version(tmp_path: Path) -> None:
    _, target = make(tmp_path)
    bench = opened(target, tmp_path / "work")
    one = Mutant(family=flips(bench), intensity=0.2, seed=1)
    first = digests_of(bench, one)
    bench.pair(Mutant(family=flips(bench), intensity=0.9, seed=2), 0)
    assert digests_of(bench, None) != first
    assert digests_of(bench, one) == first


def digests_of(bench: Workbench, mutant: Mutant | None) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in bench.tables(mutant).values()]


def test_refused_and_crashed_mutants_are_told_apart_and_the_refused_one_can_be_trained_on(tmp_path: Path) -> None:
    _, target = make(tmp_path)
    bench = opened(target, tmp_path / "work")
    flipped = Mutant(family=flips(bench), intensity=1.0, seed=1)
    assert bench.passage(flipped).passing is Passing.REFUSED
    pair = bench.pair(flipped, 0)
    assert pair is not None
    assert pair[0] > 0.9
    found, _ = families(bench.profiles())
    dropped = next(one for one in found if one.kind == "data.schema_drift" and one.columns == ("late",))
    assert bench.passage(Mutant(family=dropped, intensity=1.0, seed=1)).passing is Passing.INVALID


def test_a_crash_counts_as_the_mutants_own_only_while_the_clean_version_trains(tmp_path: Path) -> None:
    _, target = make(tmp_path)
    bench = opened(target, tmp_path / "work")
    found, _ = families(bench.profiles())
    lost = next(one for one in found if one.kind == "data.missing_values" and one.columns == ("late",))
    mutant = Mutant(family=lost, intensity=0.1, seed=1)
    assert bench.pair(mutant, 0) is None
    assert bench.counted.trainings == 4  # control, mutant, and both again
    (tmp_path / "scripts" / "train.py").unlink()
    with pytest.raises(WorkloadError, match="failed on clean data"):
        bench.pair(mutant, 0)


def test_tables_of_earlier_versions_are_prepared_too(tmp_path: Path) -> None:
    _, target = make(tmp_path)
    bench = opened(target, tmp_path / "work")
    latest = tables.read(bench.tables(None), "parquet")
    (before,) = earlier(bench, latest)
    assert latest.keys() == before.keys() == {PARQUET, "prepared/train.parquet"}
    assert len(before[PARQUET]) == len(latest[PARQUET]) - 100


def test_a_gate_that_refuses_the_clean_version_is_not_tested(tmp_path: Path) -> None:
    _, target = make(tmp_path, highest_rate=0.0)
    with pytest.raises(GuardTripped, match="refuses the clean version"):
        opened(target, tmp_path / "work")


def test_a_target_without_a_gate_has_nothing_to_test(tmp_path: Path) -> None:
    _, target = make(tmp_path)
    steps = target.workload.setup[:1]
    bare = target.model_copy(update={"workload": target.workload.model_copy(update={"setup": steps})})
    with pytest.raises(GuardTripped, match="no gate"):
        opened(bare, tmp_path / "work")


def test_a_metric_that_the_workload_does_not_write_is_named(tmp_path: Path) -> None:
    _, target = make(tmp_path)
    bench = opened(target, tmp_path / "work", Harm(metric="recall", margin=0.1))
    with pytest.raises(WorkloadError, match="no recall"):
        bench.control(0)


def test_no_measure_of_harm_no_test(tmp_path: Path) -> None:
    _, target = make(tmp_path)
    with pytest.raises(SetupError, match="no measure of harm"):
        Workbench.open(
            target, tmp_path, python=sys.executable, harms=[], clock=SystemClock(), clients=from_environment({})
        )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    _, target = make(tmp_path)
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(target.model_dump(mode="json", exclude_none=True)))
    (tmp_path / "squall.toml").write_text(TOML)
    monkeypatch.setenv("SQUALL_CONFIG", str(tmp_path / "squall.toml"))
    return tmp_path


def test_the_command_writes_report_checks_and_record(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = project / "results"
    asked = ("--metric", "auc", "--margin", "0.05", "--budget-trainings", "14", "--seed", "3", "--out", str(out))
    code = run(["gate", "test", "small", *asked, "--quiet"])
    said = capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert code == (ExitCode.DEVIATED if report["escapes"] else ExitCode.HELD)
    assert report["cost"]["trainings"] <= 14
    assert "Mutation score" in said
    assert not list((project / "home" / "gates").rglob("work-*"))
    ledger = open_ledger(f"sqlite:///{project}/home/ledger.db")
    (stored,) = ledger.records(kinds=(RecordKind.GATE_TESTED,))
    ledger.close()
    assert stored.record.subjects[1].git_commit == report["commit"]
    if report["escapes"]:
        assert run(["gate", "propose", "small", "--report", str(out / "report.json")]) == ExitCode.HELD
        assert json.loads((out / "checks.json").read_text())["checks"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("test", "shielded"), "allows no data faults"),
        (("test", "unknown"), "not in the inventory"),
        (("test", "small"), "harm is not declared"),
        (("test", "small", "--metric", "auc"), "go together"),
        (("propose", "small", "--report", "squall.toml"), "no gate report"),
    ],
)
def test_a_wrong_start_ends_in_one_message(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    told = [str(project / one) if one == "squall.toml" else one for one in arguments]
    assert run(["gate", *told]) != 0
    assert said in capsys.readouterr().err
