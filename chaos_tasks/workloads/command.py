"""Turn a target's command line into arguments: placeholders filled, split like a shell would, and no shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from chaos_tasks.errors import WorkloadError
from chaos_tasks.model.target import CommandWorkload, DvcStageWorkload, Target
from chaos_tasks.workloads.dvc_stage import stage_command

PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*)\}")


def render(target: Target, values: Mapping[str, str]) -> tuple[str, ...]:
    """Arguments of one trial; raises WorkloadError listing the known placeholders when one is unknown."""
    if isinstance(target.workload, DvcStageWorkload):
        return stage_command(target.workload, target.reads, values)
    return render_line(target.workload.run, values, what=f"workload.run of {target.name}")


def render_environment(target: Target, values: Mapping[str, str]) -> dict[str, str]:
    """The workload's extra environment with placeholders filled."""
    workload: CommandWorkload | DvcStageWorkload = target.workload
    where = f"workload.environment of {target.name}"
    return {name: fill(text, values, what=where) for name, text in workload.environment.items()}


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
