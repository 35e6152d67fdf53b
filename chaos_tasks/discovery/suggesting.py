"""A first set of experiments for a target: the faults that it can suffer, by what they would teach for their cost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from chaos_tasks import catalogue, registry
from chaos_tasks.discovery.knowing import DataFile, Known
from chaos_tasks.model.base import Value
from chaos_tasks.model.target import Ec2InstanceResource, RedisStreamResource, S3Resource, Target
from chaos_tasks.settings import TargetEntry

SEEDS = 8
LOWER_IS_BETTER = re.compile(
    r"loss|rmse|mse|mae|mape|error|perplexity|brier|ece|(^|_)time|duration|cost", re.IGNORECASE
)
BETWEEN_0_AND_1 = re.compile(r"acc|auc|f1|precision|recall|r2|score|iou|dice|bleu|rouge|map", re.IGNORECASE)


class Suggestion(Value):
    """One experiment, ready to run."""

    name: str
    fault: str
    hypothesis: str
    why: str
    trainings: int
    checks: tuple[Mapping[str, Any], ...]
    step: Mapping[str, Any]
    analysis: Mapping[str, Any]
    guards: Mapping[str, Any] = {}


class Refused(Value):
    """A kind of fault that nothing is suggested for, and why."""

    fault: str
    why: str


class Suggestions(Value):
    """In the order of value for cost."""

    experiments: tuple[Suggestion, ...]
    refused: tuple[Refused, ...]


Maker = Callable[[Target, Known], Suggestion | str]
OfTable = Callable[[Target, Known, DataFile], Suggestion | str]


def suggest(target: Target, entry: TargetEntry, known: Known) -> Suggestions:
    """Suggestions and refusals; pure."""
    made: list[Suggestion] = []
    refused: list[Refused] = []
    for kind, maker in MAKERS.items():
        why = catalogue.ruled_out(kind, target, disposable=entry.disposable)
        if not why and kind.partition(".")[0] not in entry.families:
            why = f"family {kind.partition('.')[0]} is not allowed by squall.toml"
        result = why or maker(target, known)
        if isinstance(result, str):
            refused.append(Refused(fault=kind, why=result))
        else:
            made.append(result)
    others = [kind for kind in registry.fault_kinds() if kind not in MAKERS]
    refused += [Refused(fault=kind, why="nothing is suggested for it; docs/faults.md has it") for kind in others]
    return Suggestions(experiments=tuple(made), refused=tuple(refused))


def text_of(target: Target, owner: str, one: Suggestion, seconds: float | None) -> str:
    """The experiment file."""
    about = f", about {_time(seconds * one.trainings)} of trials" if seconds else ""
    lines = [
        f"# Suggested by `squall suggest`. {one.why}",
        f"# Cost: at most {one.trainings} trainings{about}; margins are a first guess, and yours to set.",
        "version: 1",
        f"name: {one.name}",
        f"hypothesis: {json.dumps(one.hypothesis, ensure_ascii=False)}",
        f"owner: {json.dumps(owner)}",
        "nightly: false  # until you have looked at it once",
        f"target: {target.name}",
        "steady_state:",
        *(line for check in one.checks for line in _entry(check)),
        "method:",
        *_entry(one.step),
        *([f"guards: {_flow(one.guards)}"] if one.guards else []),
        f"analysis: {_flow(one.analysis)}",
    ]
    return "\n".join(lines) + "\n"


def _entry(fields: Mapping[str, Any]) -> Iterator[str]:
    for number, (key, value) in enumerate(fields.items()):
        yield f"  {'- ' if number == 0 else '  '}{key}: {_flow(value)}"


def _flow(value: Any) -> str:
    """A value on one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_./-]*", value) and value not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null", "Yes", "No", "On", "Off", "True", "False"})


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


# --- what is asked ---------------------------------------------------------------------------------------------------


def _completes(value: bool = True, when: str = "under_fault") -> dict[str, Any]:
    name = "completes" if value else "nothing-shipped"
    tolerance = {"type": "exactly", "value": value}
    return {"name": name, "probe": "workload.completed", "tolerance": tolerance, "when": when}


def model_checks(known: Known) -> list[dict[str, Any]]:
    """The one or two numbers that say how good the model is; by their names, as a first guess."""
    metrics = known.control.metrics if known.control else {}
    named = [one for one in metrics if BETWEEN_0_AND_1.search(one) or LOWER_IS_BETTER.search(one)]
    ranked = sorted(named, key=lambda one: ("train" in one.lower(), one.count("."), len(one), one))
    return [_metric(one, metrics[one]) for one in ranked[:2]]


def _metric(name: str, value: float) -> dict[str, Any]:
    lower = bool(LOWER_IS_BETTER.search(name))
    share = not lower and 0 <= value <= 1
    margin: dict[str, Any] = {"margin": 0.02} if share else {"margin": 0.05, "relative": True}
    tolerance = {"type": "non_inferiority", **margin, "better": "lower" if lower else "higher"}
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50]
    return {"name": slug, "probe": "model.metric", "params": {"metric": name}, "tolerance": tolerance}


def _quality(known: Known) -> tuple[tuple[dict[str, Any], ...], dict[str, Any], int, str]:
    """Checks, analysis, trainings and the words for them: the model's numbers where they are known, else completion."""
    found = model_checks(known)
    if found:
        names = " and ".join(check["params"]["metric"] for check in found)
        return tuple(found), {"seeds": SEEDS}, 2 * SEEDS, f"{names} stay within the margin of control"
    return (_completes(),), {"seeds": 2}, 4, "the run still completes"


def _name(target: Target, what: str) -> str:
    return f"{target.name[: 59 - len(what)].rstrip('-')}-{what}"


def _table(known: Known, *, label: bool = False) -> DataFile | str:
    if not known.files:
        return "; ".join(known.troubles) or "the target has no data that can be looked at"
    found = [one for one in known.files if one.label] if label else list(known.files)
    return found[0] if found else "no column looks like a label"


def _of_a_table(make: OfTable, *, label: bool = False) -> Maker:
    """A maker that needs a table of data: without one, the reason is the answer."""

    def maker(target: Target, known: Known) -> Suggestion | str:
        file = _table(known, label=label)
        return file if isinstance(file, str) else make(target, known, file)

    return maker


_of_a_labelled_table = partial(_of_a_table, label=True)


def _feature(file: DataFile) -> str | None:
    return next((one for one in file.columns if one != file.label and one), None)


def _data_step(name: str, fault: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "fault": fault, "target": "data", "params": params}


# --- one maker per kind ----------------------------------------------------------------------------------------------


@_of_a_labelled_table
def _label_flip(target: Target, known: Known, file: DataFile) -> Suggestion | str:
    params: dict[str, Any] = {"path": file.path, "column": file.label, "fraction": 0.2}
    if not file.label_values:
        return f"{file.label} ({file.why_label}) has many values; name a `threshold` yourself"
    if len(file.label_values) < 2:
        return f"{file.label} ({file.why_label}) has one value only"
    if len(file.label_values) > 2:
        from_value, to_value = file.label_values[:2]
        params |= {"fraction": 0.5, "from_value": from_value, "to_value": to_value}
    checks, analysis, trainings, words = _quality(known)
    return Suggestion(
        name=_name(target, "label-flip"),
        fault="data.label_flip",
        hypothesis=f"With {params['fraction']:.0%} of the labels flipped, the data are refused, or {words}.",
        why=f"Wrong labels leave every task green, so nobody looks: {file.label} is the label ({file.why_label}).",
        trainings=trainings,
        checks=checks,
        step=_data_step("flip", "data.label_flip", params),
        analysis=analysis,
        guards={"blast_radius": 0.6},
    )


@_of_a_table
def _missing_values(target: Target, known: Known, file: DataFile) -> Suggestion | str:
    column = _feature(file)
    if column is None:
        return f"{file.path} has no column but its label"
    checks, analysis, trainings, words = _quality(known)
    return Suggestion(
        name=_name(target, "missing-values"),
        fault="data.missing_values",
        hypothesis=f"With 30 % of {column} missing, the data are refused, or {words}.",
        why="A broken join or sensor; many libraries fill the gap without a word.",
        trainings=trainings,
        checks=checks,
        step=_data_step("lose", "data.missing_values", {"path": file.path, "columns": [column], "fraction": 0.3}),
        analysis=analysis,
        guards={"blast_radius": 0.35},
    )


@_of_a_table
def _damage(target: Target, known: Known, file: DataFile) -> Suggestion | str:
    """Images, or texts where nothing but text is in the data."""
    images = target.source.format == "images"
    if not images and target.source.format not in ("text", "texts"):
        return "which column is text is not known; name it as `column` yourself"
    what, how, fault = ("images", "noise", "data.image_damage") if images else ("texts", "typos", "data.text_damage")
    checks, analysis, trainings, words = _quality(known)
    params = {"path": file.path, "fraction": 0.3, "damage": how}
    return Suggestion(
        name=_name(target, f"{what}-damaged"),
        fault=fault,
        hypothesis=f"With {how} in 30 % of the {what}, the data are refused, or {words}.",
        why="A worn sensor, a bad scan, hurried typing: each file still opens, so nothing stops.",
        trainings=trainings,
        checks=checks,
        step=_data_step("damage", fault, params),
        analysis=analysis,
        guards={"blast_radius": 0.35},
    )


@_of_a_table
def _schema_drift(target: Target, known: Known, file: DataFile) -> Suggestion | str:
    column = _feature(file)
    if column is None:
        return f"{file.path} has no column but its label"
    named = target.source.csv is None or target.source.csv.header
    change = {"change": "rename", "to": f"{column}_new"} if named else {"change": "drop"}
    params = {"path": file.path, "column": column, **change}
    return Suggestion(
        name=_name(target, "column-renamed" if named else "column-dropped"),
        fault="data.schema_drift",
        hypothesis=f"A supplier that {change['change']}s {column} stops the run loudly, before a model is made.",
        why="One training of each arm tells; a pipeline that goes on takes whatever columns come.",
        trainings=2,
        checks=(_completes(False),),
        step=_data_step(change["change"], "data.schema_drift", params),
        analysis={"seeds": 1},
    )


@_of_a_table
def _stale_version(target: Target, known: Known, file: DataFile) -> Suggestion | str:
    if file.versions < 2:
        return f"{file.path} has one version only; nothing older could be served"
    checks, analysis, trainings, words = _quality(known)
    return Suggestion(
        name=_name(target, "stale-data"),
        fault="data.stale_version",
        hypothesis=f"Training on the version before the newest, since that never arrived, {words}.",
        why=f"{file.path} has {file.versions} versions; a load that did not run leaves everything green.",
        trainings=trainings,
        checks=checks,
        step=_data_step("stale", "data.stale_version", {"path": file.path, "versions_back": 1}),
        analysis=analysis,
    )


@_of_a_table
def _duplicate_rows(target: Target, known: Known, file: DataFile) -> Suggestion | str:
    checks, analysis, trainings, words = _quality(known)
    return Suggestion(
        name=_name(target, "duplicate-rows"),
        fault="data.duplicate_rows",
        hypothesis=f"With 30 % of the rows delivered twice, {words}.",
        why="A load that is run again; rows on both sides of a random split make a test look better than it is.",
        trainings=trainings,
        checks=checks,
        step=_data_step("repeat", "data.duplicate_rows", {"path": file.path, "fraction": 0.3}),
        analysis=analysis,
        guards={"blast_radius": 0.35},
    )


@_of_a_table
def _object_bitrot(target: Target, known: Known, file: DataFile) -> Suggestion | str:
    return Suggestion(
        name=_name(target, "bit-rot"),
        fault="data.object_bitrot",
        hypothesis="A stored object with flipped bits never becomes a model: the run fails, or the data are refused.",
        why="One training of each arm tells; in a text file flipped bits are read as other values.",
        trainings=2,
        checks=(_completes(False),),
        step=_data_step("flip-bits", "data.object_bitrot", {"path": file.path, "where": "cache", "flips": 64}),
        analysis={"seeds": 1},
    )


def _when(target: Target, known: Known) -> dict[str, Any] | str:
    """In the middle of a trial, as its last control lasted."""
    if known.control is None:
        return "how long a trial lasts is not known yet: run `squall doctor` on the target first"
    return {"at": "elapsed", "after": f"{max(50, round(known.control.wall_s * 500))}ms"}


def _kill(target: Target, known: Known) -> Suggestion | str:
    when = _when(target, known)
    if isinstance(when, str):
        return when
    restarts = target.workload.restarts
    back = f"it is started again ({restarts} restarts) and" if restarts else "somebody starts it again, or"
    return Suggestion(
        name=_name(target, "killed"),
        fault="process.kill",
        hypothesis=f"When the run is killed half-way, {back} it ends with a model.",
        why="What the OOM killer and a lost spot node do; " + ("" if restarts else "`workload.restarts` is 0 today."),
        trainings=4,
        checks=(_completes(),),
        step={
            "name": "kill", "fault": "process.kill", "target": "workload", "params": {"signal": "KILL"},
            "trigger": when, "draw": "per_trial",
        },
        analysis={"seeds": 2},
    )  # fmt: skip


def _pause(target: Target, known: Known) -> Suggestion | str:
    when = _when(target, known)
    if isinstance(when, str):
        return when
    return Suggestion(
        name=_name(target, "paused"),
        fault="process.pause",
        hypothesis="A run that hangs for two seconds goes on and completes.",
        why="A stalled disk or a noisy neighbour; a run that holds a connection may not survive it.",
        trainings=4,
        checks=(_completes(),),
        step={
            "name": "pause", "fault": "process.pause", "target": "workload", "trigger": when, "hold": "2s",
            "draw": "per_trial",
        },
        analysis={"seeds": 2},
    )  # fmt: skip


def _torn_checkpoint(target: Target, known: Known) -> Suggestion | str:
    if target.reads.checkpoints is None:
        return "the target declares no checkpoints (`reads.checkpoints`)"
    when = _when(target, known)
    if isinstance(when, str):
        return when
    return Suggestion(
        name=_name(target, "torn-checkpoint"),
        fault="process.torn_checkpoint",
        hypothesis="A checkpoint torn by a crash during its write is recognised, and training resumes from one before.",
        why="Few loaders check what they load.",
        trainings=4,
        checks=(_completes(),),
        step={
            "name": "tear", "fault": "process.torn_checkpoint", "target": "workload", "params": {"keep_fraction": 0.6},
            "trigger": when, "draw": "per_trial",
        },
        analysis={"seeds": 2},
    )  # fmt: skip


def _on_resource(
    sort: type[Value], what: str, fault: str, hypothesis: str, why: str, params: Mapping[str, Any]
) -> Maker:
    def make(target: Target, known: Known) -> Suggestion | str:
        name = next((name for name, one in target.resources.items() if isinstance(one, sort)), None)
        if name is None:
            return "the target declares no such resource"
        step: dict[str, Any] = {"name": what, "fault": fault, "target": name, "params": params}
        if fault == "cloud.stop_instance":
            when = _when(target, known)
            if isinstance(when, str):
                return when
            step |= {"trigger": when, "hold": "1s", "draw": "per_trial"}
        checks, analysis, trainings, words = _quality(known)
        completes = () if any(one["name"] == "completes" for one in checks) else (_completes(),)
        return Suggestion(
            name=_name(target, what),
            fault=fault,
            hypothesis=f"{hypothesis} and {words}.",
            why=why,
            trainings=trainings,
            checks=(*completes, *checks),
            step=step,
            analysis=analysis,
        )

    return make


MAKERS: Mapping[str, Maker] = {  # silent harm first, then what one training tells, then what is seen anyway
    "data.label_flip": _label_flip,
    "data.schema_drift": _schema_drift,
    "data.missing_values": _missing_values,
    "data.image_damage": _damage,
    "data.text_damage": _damage,
    "data.stale_version": _stale_version,
    "data.object_bitrot": _object_bitrot,
    "process.kill": _kill,
    "cloud.deny_access": _on_resource(
        S3Resource,
        "access-denied",
        "cloud.deny_access",
        "When its objects may not be read, the run completes",
        "A policy that was tightened; what is done with an old model is seldom told.",
        {"via": "bucket_policy"},
    ),
    "cloud.deactivate_key": _on_resource(
        S3Resource,
        "key-deactivated",
        "cloud.deactivate_key",
        "When its key is inactive, the run completes",
        "A key that was rotated.",
        {},
    ),
    "stream.delay": _on_resource(
        RedisStreamResource,
        "late-records",
        "stream.delay",
        "With two records in five late by 2 s, the run completes",
        "A slow partition; decisions are then made without what is late.",
        {"fraction": 0.4, "delay_ms": 2000, "reorder": True},
    ),
    "stream.drop": _on_resource(
        RedisStreamResource,
        "lost-records",
        "stream.drop",
        "With 2 % of the records lost, the run completes",
        "Records that never arrive leave no error anywhere.",
        {"fraction": 0.02},
    ),
    "process.torn_checkpoint": _torn_checkpoint,
    "cloud.stop_instance": _on_resource(
        Ec2InstanceResource,
        "instance-stopped",
        "cloud.stop_instance",
        "When its machine stops for a second, it resumes",
        "Spot interruptions.",
        {},
    ),
    "data.duplicate_rows": _duplicate_rows,
    "process.pause": _pause,
}
