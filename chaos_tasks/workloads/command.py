"""Turn a target's command line into arguments: placeholders filled, split like a shell would, and no shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.target import AirflowDagWorkload, DvcStageWorkload, MlflowProjectWorkload, Target
from chaos_tasks.model.trial import Arm
from chaos_tasks.workloads.airflow_dag import PLACEHOLDER, dag_command
from chaos_tasks.workloads.dvc_stage import stage_command
from chaos_tasks.workloads.mlflow_project import project_command, tracking_environment


def render(target: Target, values: Mapping[str, str], arm: Arm = Arm.CONTROL) -> tuple[str, ...]:
    """Arguments of one trial; raises WorkloadError listing the known placeholders when one is unknown."""
    if isinstance(target.workload, DvcStageWorkload):
        return stage_command(target.workload, target.reads, values)
    if isinstance(target.workload, MlflowProjectWorkload):
        where = f"workload.parameters of {target.name}"
        return project_command(target.workload, target.reads, values, lambda text: fill(text, values, what=where))
    if isinstance(target.workload, AirflowDagWorkload):
        what = f"workload.conf of {target.name}"
        return dag_command(target, values, lambda text: fill(text, values, what=what), arm)
    return render_line(target.workload.run, values, what=f"workload.run of {target.name}")


def render_environment(target: Target, values: Mapping[str, str]) -> dict[str, str]:
    """The workload's extra environment with placeholders filled."""
    workload = target.workload
    where = f"workload.environment of {target.name}"
    tracking = tracking_environment(values) if isinstance(workload, MlflowProjectWorkload) and values["out"] else {}
    own = {name: fill(text, values, what=where) for name, text in workload.environment.items()}
    elsewhere = {
        name: fill(text, values, what=f"writes {what} of {target.name}")
        for what, told in target.redirections.items()
        for name, text in told.items()
    }
    return {**own, **tracking, **elsewhere}


def render_line(line: str, values: Mapping[str, str], *, what: str) -> tuple[str, ...]:
    """Split first and fill after, so that a value with a space or a quote stays one argument."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise WorkloadError(f"{what} cannot be split: {error}", remedy=f"mend the quotes in {line!r}") from error
    if not words:
        raise WorkloadError(f"{what} is empty", remedy="name a program to run")
    return tuple(fill(word, values, what=what) for word in words)


def fill(text: str, values: Mapping[str, str], *, what: str) -> str:
    """The text with each {name} replaced, once: a value that contains braces is not looked at again."""

    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        if name not in values:
            known = ", ".join("{" + key + "}" for key in sorted(values))
            raise WorkloadError(f"{what} uses {{{name}}}, which is unknown", remedy=f"the placeholders are {known}")
        return values[name]

    return PLACEHOLDER.sub(value_of, text)


def resource_values(target: Target) -> dict[str, str]:
    """`resource.field` -> value for each declared resource; what a redirection changes is laid over it."""
    return {
        f"{name}.{field}": str(value)
        for name, resource in target.resources.items()
        for field, value in resource.model_dump(mode="json").items()
        if field != "type"
    }
