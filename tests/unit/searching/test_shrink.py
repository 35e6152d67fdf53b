"""What is left out, in which order, and that nothing is claimed which did not deviate again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_tasks.model.experiment import Experiment
from chaos_tasks.searching.shrink import FINE_ENOUGH, Candidate, Tried, intensity_of, next_candidate, smallest

COLUMNS = ["a", "b", "c", "d", "e"]


def losing(columns: Sequence[str] = COLUMNS, fraction: float = 0.2, name: str = "lose") -> dict[str, object]:
    params = {"path": "rows.csv", "columns": list(columns), "fraction": fraction}
    return {"name": name, "fault": "data.missing_values", "target": "data", "params": params}


def flipping(where: Mapping[str, object], fraction: float = 0.2) -> dict[str, object]:
    params = {"path": "rows.csv", "column": "late", "fraction": fraction, "where": where}
    return {"name": "flip", "fault": "data.label_flip", "target": "data", "params": params}


def killing(name: str = "kill") -> dict[str, object]:
    return {"name": name, "fault": "process.kill", "target": "workload", "trigger": {"at": "progress", "step": 5}}


def experiment(*method: Mapping[str, object], **analysis: object) -> Experiment:
    check = {"name": "auc", "probe": "model.metric", "params": {"metric": "auc"}}
    return Experiment.model_validate(
        {
            "name": "some-loss",
            "hypothesis": "The model does not mind losses.",
            "owner": "tests",
            "target": "toy",
            "steady_state": [{**check, "tolerance": {"type": "range", "min": 0.5}}],
            "method": method or [losing()],
            "analysis": {"seeds": 1, **analysis},
        }
    )


def shrunk(
    start: Experiment, harms: Callable[[Experiment], bool], *, most: int = 1000, pairs: int = 0
) -> tuple[Experiment, list[Candidate]]:
    """Play the search against a rule that says what deviates."""
    tried: list[Tried] = []
    seen: list[Candidate] = []
    while len(tried) < most and (candidate := next_candidate(start, tried)) is not None:
        seen.append(candidate)
        tried.append(Tried(harms(candidate.experiment), pairs))
    return smallest(start, tried), seen


def columns_of(one: Experiment) -> list[str]:
    return list(one.method[0].params["columns"])  # type: ignore[arg-type]


def fraction_of(one: Experiment, step: int = 0) -> float:
    value = intensity_of(one.method[step])[1]
    assert value is not None
    return value


@settings(max_examples=25, deadline=None)
@given(st.sets(st.sampled_from(COLUMNS), min_size=1), st.floats(0.01, 0.2))
def test_what_is_needed_is_found_whatever_it_is(needed: set[str], least: float) -> None:
    found, tries = shrunk(experiment(), lambda one: needed <= set(columns_of(one)) and fraction_of(one) >= least)
    assert set(columns_of(found)) == needed
    assert fraction_of(found) >= least
    assert fraction_of(found) <= max(least / (1 - FINE_ENOUGH) * 1.1, 0.011)
    assert len(tries) <= 40


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**12), st.integers(0, 12))
def test_the_smallest_is_one_that_deviated_again_however_early_the_search_ends(bits: int, most: int) -> None:
    answers = iter([bool(bits >> index & 1) for index in range(most)])
    again: list[Experiment] = []

    def harms(one: Experiment) -> bool:
        if said := next(answers):
            again.append(one)
        return said

    start = experiment(losing(), losing(["a", "c"], name="lose-more"), seeds=6)
    found, tries = shrunk(start, harms, most=most)
    assert found == (again[-1] if again else start)
    assert len(tries) <= most
    assert len({one.experiment.content_sha256 for one in tries}) == len(tries)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**30))
def test_every_candidate_is_a_valid_experiment_and_differs_from_the_last_that_deviated(bits: int) -> None:
    start = experiment(losing(), flipping({"carrier": ["AA", "DL", "UA"]}), killing(), seeds=8)
    count, last = 0, start

    def harms(one: Experiment) -> bool:
        nonlocal count, last
        assert Experiment.model_validate_json(one.model_dump_json()) == one
        assert one != last
        count += 1
        if said := bool(bits >> (count % 30) & 1):
            last = one
        return said

    shrunk(start, harms)


def test_nothing_smaller_leaves_the_start() -> None:
    start = experiment()
    found, tries = shrunk(start, lambda one: False)
    assert found == start
    assert tries


def test_steps_go_first() -> None:
    start = experiment(killing("one"), losing(), killing("two"))
    found, tries = shrunk(start, lambda one: any(step.name == "lose" for step in one.method))
    assert [step.name for step in found.method] == ["lose"]
    assert tries[0].change.startswith("steps")
    assert columns_of(found) == ["a"]


def test_the_values_of_where_are_narrowed_as_columns_are() -> None:
    start = experiment(flipping({"carrier": ["AA", "DL", "UA", "WN"], "origin": "JFK"}))
    found, _ = shrunk(start, lambda one: "UA" in one.method[0].params["where"]["carrier"])  # type: ignore[index, call-overload, operator]
    assert found.method[0].params["where"] == {"carrier": ["UA"], "origin": "JFK"}


def test_whole_intensities_stay_whole() -> None:
    step = {"name": "stale", "fault": "data.stale_version", "params": {"path": "rows.csv", "versions_back": 9}}
    found, tries = shrunk(experiment(step), lambda one: fraction_of(one) >= 3)
    assert fraction_of(found) == 3
    assert all(isinstance(one.experiment.method[0].params["versions_back"], int) for one in tries)


def test_a_fault_without_intensity_or_lists_is_left_alone() -> None:
    assert shrunk(experiment(killing()), lambda one: True)[1] == []


def test_what_the_fault_refuses_is_not_tried() -> None:
    """`given` must name a column for mar; a list that loses its last element is never made."""
    found, tries = shrunk(experiment(losing(["a", "b"])), lambda one: True)
    assert all(columns_of(one.experiment) for one in tries)
    assert columns_of(found) == ["a"]


@pytest.mark.parametrize(("design", "pairs", "least", "seeds"), [("sequential", 3, 3, 3), ("fixed", 8, 3, 4)])
def test_seeds_come_down_to_what_the_design_needs(design: str, pairs: int, least: int, seeds: int) -> None:
    start = experiment(killing(), seeds=8, design=design)
    found, _ = shrunk(start, lambda one: one.analysis.seeds >= least, pairs=pairs if design == "sequential" else 0)
    assert found.analysis.seeds == seeds
    assert found.analysis.min_seeds <= seeds


def test_same_tries_same_candidate() -> None:
    start, tried = experiment(), [Tried(True), Tried(False), Tried(True)]
    assert next_candidate(start, tried) == next_candidate(start, list(tried))
