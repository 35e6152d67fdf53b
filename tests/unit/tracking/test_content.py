"""What MLflow is shown of a check: its evidence at the step of each look, in numbers that its database can hold."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from chaos_tasks.judging.dossier import Dossier, read_dossier, read_dossiers
from chaos_tasks.judging.judge import judge
from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.verdict import CheckResult, EvidencePoint
from chaos_tasks.tracking.content import E_LIMIT, POINTS, RunView, experiment_view
from chaos_tasks.tracking.plots import write_plots
from tests.unit.judging.cases import facts, handle, log_of
from tests.unit.judging.test_response import KILLS, control, killed
from tests.unit.reports.gallery import gallery


@pytest.fixture(scope="module")
def dossiers() -> dict[str, Dossier]:
    return {dossier.experiment: dossier for dossier in read_dossiers(gallery())}


def steps(view: RunView, name: str) -> dict[int, float]:
    return {metric.step: metric.value for metric in view.metrics if metric.name == name}


def with_evidence(dossier: Dossier, points: tuple[EvidencePoint, ...]) -> Dossier:
    """The dossier with other evidence for its first check."""
    verdict = dossier.verdict
    assert verdict is not None
    check: CheckResult = verdict.checks[0].model_copy(update={"evidence": points})
    changed: Value = verdict.model_copy(update={"checks": (check, *verdict.checks[1:])})
    return Dossier(**{**vars(dossier), "verdict": changed})


def test_evidence_is_logged_at_the_number_of_units(dossiers: dict[str, Dossier]) -> None:
    view = experiment_view(dossiers["held-early"])
    grown = steps(view, "check.auc.log10_e_pass")
    assert list(grown) == [1, 2, 3, 4, 5]
    assert steps(view, "check.auc.decided_at") == {5: 3}
    needed = steps(view, "check.auc.log10_e_needed")
    assert set(needed.values()) == {-math.log10(0.05)}
    assert grown[3] >= needed[3] > grown[2]


def test_the_result_is_the_last_point(dossiers: dict[str, Dossier]) -> None:
    dossier = dossiers["silent-loss"]
    view = experiment_view(dossier)
    assert dossier.verdict is not None
    (check,) = dossier.verdict.checks
    for name, value in (("worse_by", check.estimate), ("low", check.low), ("high", check.high)):
        assert list(steps(view, f"check.auc.{name}").items())[-1] == (3, value)
    assert steps(view, "squall.trials_saved") == {0: 10}


def test_an_infinite_e_value_is_a_number_that_a_database_holds(dossiers: dict[str, Dossier]) -> None:
    points = (EvidencePoint(n=1, log_e_pass=-math.inf, log_e_fail=math.inf),)
    view = experiment_view(with_evidence(dossiers["silent-loss"], points))
    assert steps(view, "check.auc.log10_e_fail") == {1: E_LIMIT}
    assert steps(view, "check.auc.log10_e_pass") == {1: -E_LIMIT}


def test_of_very_many_looks_some_are_logged_the_last_among_them(dossiers: dict[str, Dossier]) -> None:
    points = tuple(EvidencePoint(n=n, log_e_pass=0.0, log_e_fail=float(n)) for n in range(1, 5002))
    shown = steps(experiment_view(with_evidence(dossiers["silent-loss"], points)), "check.auc.log10_e_fail")
    assert max(shown) == 5001
    assert POINTS / 2 < len(shown) <= POINTS


def test_each_check_has_a_tag_and_a_line_in_the_note(dossiers: dict[str, Dossier]) -> None:
    tags = experiment_view(dossiers["about-one-model"]).tags
    assert (tags["squall.check.auc"], tags["squall.check.log-loss-of-this-model"]) == ("not known", "failed")
    assert tags["squall.units"] == "row,seed"
    assert (
        "- `log-loss-of-this-model` failed: worse by 0.012 [0.011, 0.013], margin 0.010" in tags["mlflow.note.content"]
    )


def test_pictures_can_be_drawn_of_any_run(dossiers: dict[str, Dossier], tmp_path: Path) -> None:
    for name, dossier in dossiers.items():
        folder = tmp_path / name
        folder.mkdir()
        write_plots(dossier, folder)
        assert {path.name for path in folder.iterdir()} == {"checks.png", "timeline.png"}


def test_the_response_in_numbers_goes_along() -> None:
    trials = [control(), killed()]
    verdict = judge(KILLS, trials, [], [handle(Phase.REVERTED)], facts(), KILLS.planned_at)
    dossier = read_dossier(log_of(KILLS, trials, [], verdict))
    assert dossier is not None
    metrics = {metric.name: metric.value for metric in experiment_view(dossier).metrics}
    assert (metrics["squall.caught_up_s"], metrics["squall.ettr"]) == (4.0, 0.7)
