"""Runs of the engine are decided again with the same answers: plain ones, ladders, nights, ramps; and edits of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chaos_tasks.auditing import redeciding
from chaos_tasks.auditing.redeciding import Redone, Row, redecide
from chaos_tasks.searching.ramping import Ramps
from tests.unit.auditing.records import row_of
from tests.unit.searching.test_ramping import breaking_at, ramp_request, respond
from tests.unit.test_long_trainings import RUNGS, TARGET, agreed, asked, metrics, night
from tests.unit.toy_project import ToyProject, register


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyProject:
    project = ToyProject(tmp_path / "home")
    register(monkeypatch, project.fault)
    kept_lines = [line for line in TARGET.splitlines() if not line.startswith("workload")]
    (project.home / "toy.yaml").write_text("\n".join([*kept_lines, RUNGS]))
    return project


def rows_of(toy: ToyProject) -> list[Row]:
    return [row_of(one) for one in toy.ledger.records()]


def again(rows: list[Row]) -> dict[str, Redone]:
    return {one.run_id: one for one in redecide(rows)}


def agreed_with(toy: ToyProject) -> dict[str, Redone]:
    found = again(rows_of(toy))
    assert [(one.run_id, one.differences, one.not_shown) for one in found.values()] == [
        (run_id, (), "") for run_id in found
    ]
    return found


@pytest.mark.parametrize("worse", [0.0, 0.0095, 0.1])
def test_a_plain_run_comes_out_the_same(toy: ToyProject, worse: float) -> None:
    metrics(toy, {"whole": worse})
    verdict = toy.engine().run(asked())
    assert agreed_with(toy)["run-1"].outcome == verdict.outcome.value


@pytest.mark.parametrize(("times", "worse"), [(0, {"quarter": 0.1}), (28, {}), (29, {}), (0, {"half": 0.1})])
def test_a_ladder_comes_out_the_same(toy: ToyProject, times: int, worse: dict[str, float]) -> None:
    metrics(toy, worse)
    agreed(toy, toy.engine().plan(asked(ladder=["quarter"])), times)
    toy.engine().run(asked(ladder=["quarter", "half"]))
    agreed_with(toy)


def test_a_rung_that_was_not_to_be_trusted_is_found(toy: ToyProject) -> None:
    metrics(toy, {})
    agreed(toy, toy.engine().plan(asked(ladder=["quarter"])), 29)
    toy.engine().run(asked(ladder=["quarter"]))
    rows = [_with_agreement(row, 28) for row in rows_of(toy)]
    found = again(rows)["run-1"]
    assert any("the log's answer is of quarter" in text for text in found.differences)


def _with_agreement(row: Row, times: int) -> Row:
    if row.kind != "experiment.registered" or row.payload is None:
        return row
    plan = {**row.payload["plan"]}
    plan["rungs"] = [{**one, "agreed": times} for one in plan["rungs"]]
    return Row(row.seq, row.kind, row.run_id, row.occurred_at, {**row.payload, "plan": plan}, row.outcome)


def test_nights_come_out_the_same_and_only_with_the_nights_before(toy: ToyProject) -> None:
    metrics(toy, {}, noise=1e-3)
    night(toy, 1)
    night(toy, 2)
    found = agreed_with(toy)
    assert (found["night-1"].outcome, found["night-2"].outcome) == ("inconclusive", "held")
    alone = again([row for row in rows_of(toy) if row.run_id == "night-2"])["night-2"]
    assert "it continues night-1, whose records are not all here" in alone.not_shown


def test_a_ramp_comes_out_the_same_and_a_turned_level_turns_it(
    toy: ToyProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ToyProject(tmp_path / "plain")
    register(monkeypatch, plain.fault)
    respond(plain, breaking_at(0.18))
    Ramps(plain.engine()).run(ramp_request())
    found = agreed_with(plain)
    assert found["ramp-1"].outcome == "deviated"
    deviated = {run_id for run_id, one in found.items() if one.outcome == "deviated" and run_id != "ramp-1"}
    rows = [row for row in rows_of(plain) if not (row.run_id in deviated and row.kind == "trial.ended")]
    assert any("the log says deviated" in text for text in again(rows)["ramp-1"].differences)


def test_the_judge_runs_alone_with_the_standard_library(tmp_path: Path) -> None:
    copy = tmp_path / "redeciding.py"
    copy.write_bytes(Path(redeciding.__file__).read_bytes())
    code = "import sys, redeciding; print(sorted(n for n in sys.modules if n.startswith('chaos')), redeciding.redecide)"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[] <function redecide")
