"""The form of a manual run: what a person may override, with the ranges that the faults themselves declare."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from chaos_tasks import registry
from chaos_tasks.model.experiment import Experiment

_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def form_of(experiment: Experiment) -> dict[str, Param]:
    """Fields of an experiment's form, each empty by default: empty means as the file says."""
    form: dict[str, Param] = {}
    limits = _intensity_limits(experiment)
    if limits is not None:
        form["intensity"] = _optional("number", "Intensity", "Replaces the intensity of every step.", **limits)
    form["seeds"] = _optional("integer", "Seeds", "Number of paired trials.", minimum=1, maximum=200)
    if all(step.fires_during for step in experiment.method):
        form["hold_s"] = _optional("number", "Hold (seconds)", "How long the fault stays in.", minimum=0)
    form["base_seed"] = _optional("integer", "First seed", "By default it comes from the date.")
    form["outside_window"] = _reason()
    return form


def on_demand_form(names: list[str]) -> dict[str, Param]:
    """The same fields for any experiment, with the choice of one."""
    return {
        "experiment": Param(
            names[0] if names else None,
            type="string" if names else ["null", "string"],
            enum=names or [None],
            title="Experiment",
            description="Runs it now, in its own DAG.",
        ),
        "intensity": _optional("number", "Intensity", "Replaces the intensity of every step.", minimum=0),
        "seeds": _optional("integer", "Seeds", "Number of paired trials.", minimum=1, maximum=200),
        "hold_s": _optional("number", "Hold (seconds)", "For faults fired during the workload.", minimum=0),
        "base_seed": _optional("integer", "First seed", "By default it comes from the date."),
        "outside_window": _reason(),
    }


def _reason() -> Param:
    return Param(
        None,
        type=["null", "string"],
        maxLength=300,
        title="Reason to run outside of the change windows",
        description="Goes on record with your name. Empty: wait for a window.",
    )


def _optional(kind: str, title: str, description: str, **limits: Any) -> Param:
    text = f"{description} Empty: as the file says."
    return Param(None, type=["null", kind], title=title, description=text, **limits)


def _intensity_limits(experiment: Experiment) -> dict[str, float] | None:
    """The range that the fault declares, or None when a step has no intensity to replace.

    With several steps the form only asks for a number; `arm` checks it against each of them.
    """
    kinds = [registry.fault(step.fault).params_type for step in experiment.method]
    fields = [kind.intensity_field for kind in kinds]
    if None in fields or experiment.ramp is not None:  # a ramp chooses its intensities itself
        return None
    if len(kinds) > 1:
        return {"minimum": 0}
    schema = kinds[0].model_json_schema()["properties"][fields[0]]
    return {"minimum": 0, **{bound: schema[bound] for bound in _BOUNDS if bound in schema}}
