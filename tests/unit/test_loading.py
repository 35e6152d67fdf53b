"""A broken file becomes one error that names line, cause and remedy, and never hides the others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from chaos_tasks.errors import InvalidFile, Problem
from chaos_tasks.loading import load_experiment, load_experiments, load_files, load_target

BROKEN = Path(__file__).with_name("broken_files")
SAYS = {
    "after-without-recovery-trials": (10, "analysis.recovery_trials", "there are none", "1 or more"),
    "alias-to-itself": (1, "", "contains itself", "write the values out"),
    "boolean-spelled-no": (10, "nightly", "no may be a text or a boolean", "write true or false"),
    "duplicate-key": (10, "owner", "stands twice", "the first is on line 4"),
    "duration-without-unit": (11, "guards.lease", "write a number with a unit", "lease"),
    "empty-file": (1, "", "empty", "version: 1"),
    "empty-method": (8, "method", "`method` is empty", "name at least one"),
    "missing-field": (1, "hypothesis", "`hypothesis` is missing", "add `hypothesis:`"),
    "name-with-capitals": (2, "name", "'Tidy Data' is no name", "hyphens"),
    "nested-too-deeply": (1, "", "nested too deeply", "write the values out"),
    "not-utf-8": (1, "", "no UTF-8", "save it as UTF-8"),
    "parameter-out-of-range": (9, "method.0.params.fraction", "less than or equal to 1", "Share (0..1)"),
    "ramp-beyond-its-fault": (12, "ramp.levels.1", "fraction = 1.5 is refused", "squall faults"),
    "ramp-without-an-intensity": (11, "ramp.levels.0", "process.kill has no intensity", "squall faults"),
    "reserved-name": (2, "name", "taken by a DAG of Squall's own", "choose another"),
    "step-named-twice": (8, "method", "names flip twice", "name of its own"),
    "stop-when-names-no-check": (10, "guards.stop_when", "names finished", "the checks are done"),
    "tab-indentation": (9, "", "YAML syntax", "indentation"),
    "unknown-fault-kind": (9, "method.0.fault", "no fault is called 'data.lable_flip'", "data.label_flip"),
    "unknown-key-with-a-near-name": (4, "ownr", "unknown field `ownr`", "did you mean `owner`?"),
    "unknown-probe-kind": (7, "steady_state.0.probe", "no probe is called", "workload.completed"),
    "unknown-tolerance": (7, "steady_state.0.tolerance", "'about' is not one of", "choose one"),
    "unit-of-another-probe": (7, "steady_state.0.unit", "compares a pair of trials", "`unit: row`"),
    "wrong-parameter": (9, "method.0.params.fractoin", "unknown field `fractoin`", "did you mean `fraction`?"),
}


def test_each_broken_file_has_its_expectation() -> None:
    assert {path.stem for path in BROKEN.glob("*.yaml")} == set(SAYS)


@pytest.mark.parametrize("name", sorted(SAYS))
def test_a_broken_file_says_line_cause_and_remedy(name: str) -> None:
    line, field, cause, remedy = SAYS[name]
    with pytest.raises(InvalidFile) as caught:
        load_experiment(BROKEN / f"{name}.yaml")
    assert all(problem.remedy for problem in caught.value.problems)
    assert any(_fits(one, line, field, cause, remedy) for one in caught.value.problems), str(caught.value)


def _fits(problem: Problem, line: int, field: str, cause: str, remedy: str) -> bool:
    return (problem.line, problem.field) == (line, field) and cause in problem.cause and remedy in problem.remedy


def test_a_name_used_twice_is_an_error_of_the_later_file() -> None:
    loaded = load_experiments(BROKEN / "name-twice-in-a-folder")
    assert [one.path.stem for one in loaded.experiments] == ["first"]
    (error,) = loaded.errors
    assert error.path.endswith("second.yaml")
    assert error.problems[0].line == 2
    assert "first.yaml" in error.problems[0].cause


def test_one_look_shows_wrong_shapes_and_unknown_kinds_alike(tmp_path: Path) -> None:
    text = (BROKEN / "unknown-fault-kind.yaml").read_text().replace("owner:", "ownr:")
    (tmp_path / "both.yaml").write_text(text)
    with pytest.raises(InvalidFile) as caught:
        load_experiment(tmp_path / "both.yaml")
    assert {problem.field for problem in caught.value.problems} == {"owner", "ownr", "method.0.fault"}


def test_broken_files_hide_no_good_one(tmp_path: Path) -> None:
    shutil.copytree(BROKEN, tmp_path / "all")
    loaded = load_experiments(tmp_path / "all")
    assert [one.experiment.name for one in loaded.experiments] == ["tidy"]
    assert len(loaded.errors) == len(SAYS) + 1
    assert loaded.named("tidy") is loaded.experiments[0]
    assert loaded.named("absent") is None


def test_a_file_that_is_not_there_or_is_a_folder_is_invalid_too(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    assert len(load_files([tmp_path / "absent.yaml", tmp_path / "folder.yaml"]).errors) == 2


def test_a_target_names_the_variable_that_is_not_set(tmp_path: Path) -> None:
    path = tmp_path / "target.yaml"
    path.write_text(
        "name: tiny\nsource:\n  type: dvc\n  repo: ${TINY_REPO}\n  data: [rows.csv]\n"
        "workload: {type: command, run: 'true'}\n"
    )
    with pytest.raises(InvalidFile) as caught:
        load_target(path, {})
    assert _fits(caught.value.problems[0], 4, "source.repo", "${TINY_REPO} is not set", "TINY_REPO")
    assert load_target(path, {"TINY_REPO": "here"}).source.repo == "here"


def test_the_same_text_has_the_same_digest() -> None:
    first = BROKEN / "name-twice-in-a-folder" / "first.yaml"
    assert load_experiment(first).sha256 == load_experiment(first.with_name("second.yaml")).sha256
