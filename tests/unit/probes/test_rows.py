"""Pairs of models on the same rows: harm is found where it is, overall, in a slice, or as a move."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from chaos_tasks import registry
from chaos_tasks.errors import ProbeError
from chaos_tasks.model.experiment import NonInferiority
from chaos_tasks.model.trial import PairMeasured
from chaos_tasks.probes.base import PairQuestion
from tests.predictions import LAYOUT, Columns, drawn, pair

MARGINS = {"accuracy": 0.03, "log_loss": 0.1, "brier": 0.03, "auc": 0.03, "ece": 0.03}
METRICS = list(MARGINS)


def ask(
    folder: Path,
    kind: str,
    control: Columns,
    treatment: Columns,
    *,
    margin: float,
    relative: bool = False,
    **params: Any,
) -> PairMeasured:
    probe, typed = registry.pair_probe(kind), registry.pair_probe_params(kind, params)
    tolerance = NonInferiority(margin=margin, better=probe.better(typed) or "lower", relative=relative)
    question = PairQuestion(tolerance=tolerance, alpha=0.05, predictions=LAYOUT)
    return probe.compare(*pair(folder, control, treatment), typed, question)


def held(found: PairMeasured) -> bool:
    assert found.high is not None
    assert found.margin is not None
    return found.high < found.margin


def deviated(found: PairMeasured) -> bool:
    assert found.low is not None
    assert found.margin is not None
    return found.low > found.margin


@pytest.mark.parametrize(("metric", "margin"), MARGINS.items())
def test_the_same_model_holds_and_a_spoilt_one_deviates(tmp_path: Path, metric: str, margin: float) -> None:
    clean, spoilt = drawn(4000), drawn(4000, shift=1.5, noise=3.0)
    same = ask(tmp_path / "a", "rows.metric", clean, clean, margin=margin, metric=metric)
    worse = ask(tmp_path / "b", "rows.metric", clean, spoilt, margin=margin, metric=metric)
    assert held(same)
    assert deviated(worse)
    assert (worse.log_e_fail or 0) > math.log(20)
    assert (same.log_e_pass or 0) > (same.log_e_fail or 0)


@pytest.mark.parametrize("metric", METRICS)
def test_the_estimate_is_the_difference_of_the_two_metrics(tmp_path: Path, metric: str) -> None:
    found = ask(tmp_path, "rows.metric", drawn(), drawn(noise=0.5), margin=0.2, metric=metric)
    assert found.control is not None
    assert found.treatment is not None
    sign = 1 if metric in ("accuracy", "auc") else -1
    assert found.estimate == pytest.approx(sign * (found.control - found.treatment))


@pytest.mark.parametrize("metric", METRICS)
def test_a_relative_margin_is_a_share_of_the_controls_metric(tmp_path: Path, metric: str) -> None:
    clean, other = drawn(), drawn(noise=0.3)
    found = ask(tmp_path / "a", "rows.metric", clean, other, margin=0.1, relative=True, metric=metric)
    plain = ask(tmp_path / "b", "rows.metric", clean, other, margin=0.3, metric=metric)
    assert found.margin == pytest.approx(0.1 * (found.control or 0))
    assert found.estimate == pytest.approx(plain.estimate)


def test_metrics_agree_with_scikit_learn(tmp_path: Path) -> None:
    from sklearn import metrics

    columns = drawn(seed=4)
    scores, labels = columns["score"].astype(float), columns["late"]
    wanted = {
        "accuracy": metrics.accuracy_score(labels, scores >= 0.5),
        "brier": metrics.brier_score_loss(labels, scores),
        "auc": metrics.roc_auc_score(labels, scores),
        "log_loss": metrics.log_loss(labels, scores.clip(1e-3, 1 - 1e-3)),
    }
    for metric, value in wanted.items():
        found = ask(tmp_path / metric, "rows.metric", columns, columns, margin=0.1, metric=metric)
        assert found.control == pytest.approx(value)


def test_a_slice_is_measured_on_its_own_rows(tmp_path: Path) -> None:
    clean, hurt = drawn(), drawn(hurt="LGA")
    harmed = ask(tmp_path / "a", "rows.metric", clean, hurt, margin=0.1, metric="auc", slice="origin=LGA")
    spared = ask(tmp_path / "b", "rows.metric", clean, hurt, margin=0.1, metric="auc", slice="origin=JFK")
    assert deviated(harmed)
    assert (spared.estimate, held(spared)) == (0, True)
    assert harmed.n_rows + spared.n_rows < 3000


def test_an_unknown_or_small_slice_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="no row has origin = 'ORD'"):
        ask(tmp_path / "a", "rows.metric", drawn(), drawn(), margin=0.1, metric="auc", slice="origin=ORD")
    with pytest.raises(ProbeError, match="fewer than 2000"):
        ask(
            tmp_path / "b", "rows.metric", drawn(), drawn(), margin=0.1, metric="auc", slice="origin=JFK", min_rows=2000
        )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("rows.metric", {"metric": "auc"}),
        ("rows.worst_slice", {"columns": ["origin"]}),
        ("rows.prediction_shift", {}),
        ("rows.fairness_gap", {"group": "origin"}),
    ],
)
def test_a_treatment_that_returns_no_number_is_measured_and_a_control_is_an_error(
    tmp_path: Path, kind: str, params: dict[str, Any], bad: float
) -> None:
    broken = drawn()
    broken["score"][5] = bad
    found = ask(tmp_path / "a", kind, drawn(), broken, margin=0.1, **params)
    assert found.n_not_numbers == 1
    assert found.estimate is not None
    assert math.isnan(found.estimate)
    with pytest.raises(ProbeError, match="the control returned no usable score"):
        ask(tmp_path / "b", kind, broken, drawn(), margin=0.1, **params)


def test_a_score_beyond_one_is_no_chance(tmp_path: Path) -> None:
    broken = drawn()
    broken["score"][5] = 1.5
    assert ask(tmp_path / "a", "rows.metric", drawn(), broken, margin=0.1, metric="brier").n_not_numbers == 1
    assert ask(tmp_path / "b", "rows.metric", drawn(), broken, margin=0.1, metric="auc").n_not_numbers == 0


def test_one_label_has_no_auc(tmp_path: Path) -> None:
    alike = {**drawn(), "late": np.zeros(3000, np.int8)}
    with pytest.raises(ProbeError, match="no row has label 1"):
        ask(tmp_path, "rows.metric", alike, alike, margin=0.1, metric="auc")


def test_constant_scores_hold_against_themselves(tmp_path: Path) -> None:
    constant = {**drawn(), "score": np.full(3000, 0.25, np.float32)}
    for metric in METRICS:
        assert held(ask(tmp_path / metric, "rows.metric", constant, constant, margin=0.05, metric=metric))


@pytest.mark.parametrize(("margin", "relative", "cause"), [(1.0, False, "more than"), (0.1, True, "means nothing")])
def test_a_margin_that_means_nothing_is_refused(tmp_path: Path, margin: float, relative: bool, cause: str) -> None:
    wrong = {**drawn(), "score": (1 - drawn()["late"]).astype(np.float32)}
    with pytest.raises(ProbeError, match=cause):
        ask(tmp_path, "rows.metric", wrong, wrong, margin=margin, relative=relative, metric="accuracy")


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "auc"])
def test_harm_to_one_slice_is_found_and_named(tmp_path: Path, metric: str) -> None:
    params: dict[str, Any] = {"metric": metric, "columns": ["origin"]}
    found = ask(tmp_path, "rows.worst_slice", drawn(), drawn(hurt="EWR"), margin=0.05, **params)
    assert deviated(found)
    assert (found.worst, found.n_groups, found.left_out) == ("origin=EWR", 3, ())
    assert (found.log_e_fail or 0) > math.log(20)


@pytest.mark.parametrize("relative", [False, True])
def test_a_model_spoilt_nowhere_holds_in_its_worst_slice(tmp_path: Path, relative: bool) -> None:
    found = ask(
        tmp_path, "rows.worst_slice", drawn(), drawn(noise=0.02), margin=0.1, relative=relative, columns=["origin"]
    )
    assert held(found)
    assert (found.log_e_pass or 0) > math.log(20)


def test_a_slice_of_few_rows_is_left_out_by_name_and_none_left_is_an_error(tmp_path: Path) -> None:
    columns = {**drawn(), "origin": np.where(np.arange(3000) < 20, "tiny", "main")}
    found = ask(tmp_path / "a", "rows.worst_slice", columns, columns, margin=0.1, columns=["origin"])
    assert found.left_out == ("origin=tiny",)
    with pytest.raises(ProbeError, match="none of 2 slices has 5000 rows"):
        ask(tmp_path / "b", "rows.worst_slice", columns, columns, margin=0.1, columns=["origin"], min_rows=5000)


@pytest.mark.parametrize("measure", ["mean_move", "flips", "wasserstein", "psi"])
def test_a_move_is_seen_and_standing_still_holds(tmp_path: Path, measure: str) -> None:
    kind = "rows.prediction_shift"
    assert held(ask(tmp_path / "a", kind, drawn(), drawn(), margin=0.05, measure=measure))
    assert deviated(ask(tmp_path / "b", kind, drawn(), drawn(shift=1.5), margin=0.05, measure=measure))


def test_a_relative_margin_of_a_move_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="means nothing"):
        ask(tmp_path, "rows.prediction_shift", drawn(), drawn(), margin=0.1, relative=True)


def test_a_gap_that_a_fault_opened_is_found_on_the_same_rows(tmp_path: Path) -> None:
    params: dict[str, Any] = {"group": "origin", "gap": "tpr"}
    found = ask(tmp_path, "rows.fairness_gap", drawn(9000), drawn(9000, hurt="JFK"), margin=0.02, **params)
    assert deviated(found)
    assert found.worst == "origin=LGA against origin=JFK"
    assert found.n_groups == 3


def test_groups_too_small_for_a_gap_are_named_and_one_group_has_none(tmp_path: Path) -> None:
    columns = {
        **drawn(),
        "origin": np.where(np.arange(3000) < 20, "tiny", np.where(np.arange(3000) % 2, "odd", "even")),
    }
    found = ask(tmp_path / "a", "rows.fairness_gap", columns, columns, margin=0.1, group="origin")
    assert found.left_out == ("origin=tiny",)
    alike = {**drawn(), "origin": ["one"] * 3000}
    with pytest.raises(ProbeError, match="1 of 1 groups"):
        ask(tmp_path / "b", "rows.fairness_gap", alike, alike, margin=0.1, group="origin")


def test_a_worst_slice_needs_a_column() -> None:
    with pytest.raises(ValidationError):
        registry.pair_probe_params("rows.worst_slice", {"columns": []})
