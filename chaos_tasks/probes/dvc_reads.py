"""What DVC itself shows of a trial: a metric of `dvc metrics show`, and a parameter that its clone ran with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.trial import Trial
from chaos_tasks.probes.base import Measurement, ProbeParams
from chaos_tasks.probes.metric import require_completed
from chaos_tasks.probes.predictions import read_file

SHOWN = "dvc-shown.json"
"""Written beside the trial's files by its wrapper (`workloads.dvc_repro --show`), where a check asks for it."""

KINDS = ("dvc.metric", "dvc.param")


class DvcMetricParams(ProbeParams):
    """Which number of which metrics file."""

    name: str = Field(min_length=1, description="Dotted name in the file, e.g. test.auc.")
    file: str = Field("", description="Metrics file as dvc.yaml declares it; empty: the only one that has the name.")
    unit: str = Field("", description="For people: min, %, USD.")


class DvcParamParams(ProbeParams):
    """Which parameter."""

    name: str = Field(
        min_length=1, description="Dotted name as `dvc.api.params_show` has it, e.g. train.lr, or FILE:train.lr."
    )
    unit: str = Field("", description="For people.")


class DvcMetric:
    """A number of a metrics file that dvc.yaml declares.  NaN there is a measurement; absence is not."""

    kind: ClassVar[str] = "dvc.metric"
    summary: ClassVar[str] = "A number of `dvc metrics show`, as the stage left it in the trial's clone"
    params_type: ClassVar[type[DvcMetricParams]] = DvcMetricParams
    oracle: ClassVar[bool] = False  # the stage measures itself, on whatever data it was given

    def measure(self, trial: Trial, params: DvcMetricParams) -> Measurement:
        """Read it; raises ProbeError where no file has it, or more than one, and for a trial that did not end."""
        require_completed(trial)
        files = _shown(trial, "metrics")
        if params.file and params.file not in files:
            raise ProbeError(
                f"dvc.yaml of trial {trial.id} declares no metrics file {params.file!r} that it left "
                f"(it has: {_names(files)})",
                remedy="mend `file`, or declare it under `metrics` of the stage",
            )
        wanted = {params.file: files[params.file]} if params.file else files
        found = {file: value for file, content in wanted.items() if (value := _at(content, params.name)) is not None}
        if len(found) != 1:
            raise ProbeError(
                f"{params.name!r} is in {len(found)} of the metrics files of trial {trial.id} "
                f"({_names(found or wanted)})",
                remedy="name the `file`" if found else "mend `name`, or let the stage write it",
            )
        (value,) = found.values()
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ProbeError(f"{params.name!r} of trial {trial.id} is no number", remedy="name a number of the file")
        return Measurement(value=value, unit=params.unit)


class DvcParam:
    """A parameter of the clone, as the stage ran with it."""

    kind: ClassVar[str] = "dvc.param"
    summary: ClassVar[str] = "A parameter that the stage of a trial ran with"
    params_type: ClassVar[type[DvcParamParams]] = DvcParamParams
    oracle: ClassVar[bool] = False

    def measure(self, trial: Trial, params: DvcParamParams) -> Measurement:
        """Read it; raises ProbeError for one that is not there or no single value, and for a trial that did not end."""
        require_completed(trial)
        shown = _shown(trial, "params")
        value = shown[params.name] if params.name in shown else _at(shown, params.name)
        if not isinstance(value, bool | int | float | str):
            what = "is not there" if value is None else "is no single value"
            raise ProbeError(
                f"parameter {params.name!r} of trial {trial.id} {what} (there are: {_names(shown)})",
                remedy="mend `name`; `dvc.api.params_show()` lists them",
            )
        return Measurement(value=value, unit=params.unit)


def _shown(trial: Trial, part: str) -> Mapping[str, object]:
    try:
        content = json.loads(read_file(trial, SHOWN))
    except ProbeError as error:
        raise ProbeError(
            f"trial {trial.id} left nothing that DVC shows",
            remedy="ask it of a target whose workload is a `dvc_stage`, and of trials that were run for this check",
        ) from error
    except ValueError as error:
        raise ProbeError(f"{SHOWN} of trial {trial.id} is torn", remedy="run the trial again") from error
    found = content.get(part) if isinstance(content, dict) else None
    return found if isinstance(found, dict) else {}


def _at(content: object, name: str) -> object:
    """The value under a dotted name, whose parts may have dots themselves; None where there is none."""
    if not isinstance(content, Mapping):
        return None
    if name in content:
        return content[name]
    for key, inner in content.items():
        if name.startswith(f"{key}.") and (found := _at(inner, name[len(str(key)) + 1 :])) is not None:
            return found
    return None


def _names(content: Mapping[str, object]) -> str:
    shown = sorted(map(str, content))[:8]
    return ", ".join(shown) + (", ..." if len(content) > len(shown) else "") if shown else "nothing"
