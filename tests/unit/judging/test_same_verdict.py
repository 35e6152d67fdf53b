"""Same evidence, same verdict, on any machine: judging is a pure function of what the records hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.model.experiment import Analysis, Check, Exactly, NonInferiority, Range, Unit, When
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.trial import PairObservation
from tests.unit.judging.cases import AUC, T0, facts, handle, paired, plan, signal
from tests.unit.judging.judging_program import Stored

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(__file__).parent / "stored"
EVIDENCE, VERDICT = FOLDER / "evidence.json", FOLDER / "verdict.json"

WORDS = {"sentence", "estimand", "method"}

MACHINES = {
    "hash seed 0": {"PYTHONHASHSEED": "0"},
    "hash seed 1, many threads": {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "8", "OPENBLAS_NUM_THREADS": "8"},
    "hash seed 4242, one thread": {"PYTHONHASHSEED": "4242", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    "another processor": {
        "PYTHONHASHSEED": "7",
        "OPENBLAS_CORETYPE": "Prescott",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
    },
    "another place": {"PYTHONHASHSEED": "8", "TZ": "Pacific/Auckland", "LC_ALL": "C"},
}
"""Environments that have changed the result of programs that did not look out for them."""


def evidence() -> Stored:
    """A run with every kind of check; written to the stored file by `WRITE_FIXTURE=1 pytest` only."""
    relative = Check(
        name="log-loss",
        probe="model.metric",
        params={"metric": "log_loss"},
        tolerance=NonInferiority(margin=0.03, better="lower", relative=True),
    )
    rows = AUC.model_copy(update={"name": "rows", "unit": Unit.ROW})
    fast = Check(name="fast", probe="workload.duration_s", tolerance=Range(max=20.0), when=When.UNDER_FAULT)
    done = Check(name="done", probe="workload.completed", tolerance=Exactly(value=True), when=When.UNDER_FAULT)
    readings: dict[str, tuple[list[Any], list[Any]]] = {
        "auc": ([0.9021, 0.9113, 0.8932, 0.9208, 0.9047], [0.8713, 0.8795, 0.8641, 0.8888, 0.8739]),
        "log-loss": ([0.412, 0.42, 0.409, 0.4151, 0.4178], [0.4131, 0.4189, 0.4112, 0.4149, 0.4183]),
        "fast": ([10.0] * 5, [11.2, 10.9, 12.3, 11.1, 10.7]),
        "done": ([True] * 5, [True] * 5),
    }
    trials, observations = paired(*readings["auc"], signals=(signal("drift"),))
    for name in ("log-loss", "fast", "done"):
        observations += paired(*readings[name], check=name)[1]
    pairs = tuple(
        PairObservation(
            check="rows",
            seed=seed,
            control_id=f"run-labels-control-{seed}",
            treatment_id=f"run-labels-treatment-{seed}",
            estimate=0.0021,
            low=-0.0008,
            high=0.0049,
            level=0.9,
            margin=0.01,
            log_e_pass=7.3,
            log_e_fail=-21.9,
            n_rows=21467,
            method="DeLong",
        )
        for seed in (100, 101)
    )
    return Stored(
        plan=plan([AUC, relative, rows, fast, done], seeds=8, analysis=Analysis(seeds=8)),
        trials=tuple(trials),
        observations=tuple(observations),
        pairs=pairs,
        handles=(handle(Phase.REVERTED),),
        facts=facts(),
        now=T0 + timedelta(hours=1),
    )


def judged_under(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.unit.judging.judging_program", str(EVIDENCE)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture(scope="module", autouse=True)
def _written_on_request() -> None:
    if os.environ.get("WRITE_FIXTURE"):
        FOLDER.mkdir(exist_ok=True)
        EVIDENCE.write_bytes(evidence().canonical() + b"\n")
        verdict = json.loads(evidence().judged().canonical())
        VERDICT.write_text(json.dumps(verdict, indent=1) + "\n", encoding="utf-8")


def test_the_verdict_is_the_same_bytes_whatever_the_process_and_the_processor() -> None:
    started = {name: judged_under(environment) for name, environment in MACHINES.items()}
    found = {name: process.communicate() for name, process in started.items()}
    assert [errors.decode() for name, (_, errors) in found.items() if started[name].returncode] == []
    here = Stored.model_validate_json(EVIDENCE.read_bytes()).judged().canonical()
    assert {name for name, (verdict, _) in found.items() if verdict != here} == set()


def test_the_verdict_is_the_one_that_was_stored() -> None:
    """Answers exactly; numbers but for last digits, which C libraries round differently; words may be improved."""
    verdict = json.loads(Stored.model_validate_json(EVIDENCE.read_bytes()).judged().canonical())
    assert_same(verdict, json.loads(VERDICT.read_text(encoding="utf-8")), "verdict")


def test_evidence_survives_the_record() -> None:
    stored = Stored.model_validate_json(EVIDENCE.read_bytes())
    assert Stored.model_validate_json(stored.canonical()) == stored


def assert_same(found: Any, wanted: Any, where: str) -> None:
    """Fields that a later version added may be missing in what was stored."""
    if isinstance(wanted, dict):
        for key in wanted.keys() - WORDS:
            value = wanted[key]
            assert_same(found[key], value, f"{where}.{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), where
        for index, (one, other) in enumerate(zip(found, wanted, strict=True)):
            assert_same(one, other, f"{where}[{index}]")
    elif isinstance(wanted, float) and isinstance(found, float):
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12), where
    else:
        assert found == wanted, where
