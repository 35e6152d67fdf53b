"""Command lines are filled and split without a shell."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.target import CommandWorkload, DvcSource, DvcStageWorkload, RedisStreamResource, Target
from chaos_tasks.workloads.command import render, render_environment, render_line, resource_values
from chaos_tasks.workloads.environment import clean


def target(workload: CommandWorkload | DvcStageWorkload) -> Target:
    stream = RedisStreamResource(url="redis://127.0.0.1:1/0", key="flights")
    return Target(
        name="tiny", source=DvcSource(repo="r", data=("d.csv",)), workload=workload, resources={"stream": stream}
    )


@given(st.lists(st.text(st.characters(exclude_characters="{}\0")), min_size=1), st.text())
def test_each_word_stays_one_argument_whatever_a_value_holds(words: list[str], value: str) -> None:
    line = shlex.join([*words, "{out}"])
    assert render_line(line, {"out": value}, what="run") == (*words, value)


def test_a_value_with_braces_is_not_looked_at_again() -> None:
    assert render_line("a {out}", {"out": "{seed}"}, what="run") == ("a", "{seed}")


def test_resource_fields_and_the_environment_are_filled() -> None:
    workload = CommandWorkload(run="train --url {stream.url} --seed={seed}", environment={"OUT": "{out}/x"})
    values = {**resource_values(target(workload)), "seed": "3", "out": "/o"}
    assert render(target(workload), values) == ("train", "--url", "redis://127.0.0.1:1/0", "--seed=3")
    assert render_environment(target(workload), values) == {"OUT": "/o/x"}


def test_an_unknown_placeholder_lists_the_known_ones() -> None:
    with pytest.raises(WorkloadError, match=r"\{sead\}") as caught:
        render(target(CommandWorkload(run="train {sead}")), {"seed": "1", "out": "o"})
    assert "{out}, {seed}" in caught.value.remedy


@pytest.mark.parametrize("line", ["", "   ", "a 'b"])
def test_a_line_that_is_no_command_is_refused(line: str) -> None:
    with pytest.raises(WorkloadError):
        render_line(line, {}, what="run")


def test_a_dvc_stage_runs_through_the_wrapper() -> None:
    values = {"python": "py", "repo": "/clone", "out": "/o", "seed": "5"}
    command = render(target(DvcStageWorkload(stage="train", seed_param="train.seed")), values)
    assert command[:3] == ("py", "-m", "chaos_tasks.workloads.dvc_repro")
    assert "train.seed=5" in command
    with pytest.raises(WorkloadError, match="repo"):
        render(target(DvcStageWorkload(stage="train")), {**values, "repo": ""})


def test_no_secret_of_ours_is_inherited() -> None:
    inherited = {"PATH": "/bin", "AIRFLOW__CORE__SQL": "x", "AWS_SECRET_ACCESS_KEY": "y", "SQUALL_LEDGER_URL": "z"}
    assert clean(inherited, {"GIVEN": "1"}) == {"PATH": "/bin", "GIVEN": "1"}
