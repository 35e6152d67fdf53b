"""Which faults and probes exist: a table of strings for ours, entry points for everyone else's.

Listing kinds imports nothing; a kind is imported when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from pydantic import JsonValue, ValidationError

from chaos_tasks.errors import DuplicateKind, GuardTripped, UnknownKind
from chaos_tasks.faults.base import Fault, FaultParams
from chaos_tasks.probes.base import PairProbe, Probe, ProbeParams
from chaos_tasks.probes.live import LiveProbe

AnyFault = Fault[Any]
AnyProbe = Probe[Any]
AnyPairProbe = PairProbe[Any]
AnyLiveProbe = LiveProbe[Any]

OURS = "squall"

FAULTS: Mapping[str, str] = {
    "airflow.task_kill": "chaos_tasks.faults.process.task_kill:TaskKill",
    "cloud.deactivate_key": "chaos_tasks.faults.cloud.deactivate_key:DeactivateKey",
    "cloud.deny_access": "chaos_tasks.faults.cloud.deny_access:DenyAccess",
    "cloud.stop_instance": "chaos_tasks.faults.cloud.stop_instance:StopInstance",
    "data.duplicate_rows": "chaos_tasks.faults.data.duplicate_rows:DuplicateRows",
    "data.image_damage": "chaos_tasks.faults.data.image_damage:ImageDamage",
    "data.label_flip": "chaos_tasks.faults.data.label_flip:LabelFlip",
    "data.missing_values": "chaos_tasks.faults.data.missing_values:MissingValues",
    "data.object_bitrot": "chaos_tasks.faults.data.object_bitrot:ObjectBitrot",
    "data.schema_drift": "chaos_tasks.faults.data.schema_drift:SchemaDrift",
    "data.stale_version": "chaos_tasks.faults.data.stale_version:StaleVersion",
    "data.text_damage": "chaos_tasks.faults.data.text_damage:TextDamage",
    "data.unit_change": "chaos_tasks.faults.data.unit_change:UnitChange",
    "process.kill": "chaos_tasks.faults.process.kill:Kill",
    "process.pause": "chaos_tasks.faults.process.pause:Pause",
    "process.torn_checkpoint": "chaos_tasks.faults.process.torn_checkpoint:TornCheckpoint",
    "stream.delay": "chaos_tasks.faults.stream.delay:Delay",
    "stream.drop": "chaos_tasks.faults.stream.drop:Drop",
}

PROBES: Mapping[str, str] = {
    "dvc.metric": "chaos_tasks.probes.dvc_reads:DvcMetric",
    "dvc.param": "chaos_tasks.probes.dvc_reads:DvcParam",
    "gate.refused": "chaos_tasks.probes.gate:GateRefused",
    "history.metric": "chaos_tasks.probes.history:HistoryMetric",
    "model.fairness_gap": "chaos_tasks.probes.fairness:ModelFairnessGap",
    "model.metric": "chaos_tasks.probes.metric:ModelMetric",
    "model.slice_metric": "chaos_tasks.probes.metric:SliceMetric",
    "model.tail": "chaos_tasks.probes.tail:Tail",
    "response.detect_s": "chaos_tasks.probes.response:DetectSeconds",
    "response.ettr": "chaos_tasks.probes.response:TrainingRatio",
    "response.recover_s": "chaos_tasks.probes.response:RecoverSeconds",
    "signal.fired": "chaos_tasks.probes.signal:SignalFired",
    "workload.completed": "chaos_tasks.probes.workload:Completed",
    "workload.duration_s": "chaos_tasks.probes.workload:DurationSeconds",
    "workload.exit_code": "chaos_tasks.probes.workload:ExitCode",
    "workload.lost_steps": "chaos_tasks.probes.workload:LostSteps",
    "workload.recover_s": "chaos_tasks.probes.workload:RecoverSeconds",
    "workload.resumed": "chaos_tasks.probes.workload:Resumed",
}

PAIR_PROBES: Mapping[str, str] = {
    "rows.fairness_gap": "chaos_tasks.probes.fairness:FairnessGap",
    "rows.metric": "chaos_tasks.probes.rows:RowsMetric",
    "rows.prediction_shift": "chaos_tasks.probes.rows:PredictionShift",
    "rows.worst_slice": "chaos_tasks.probes.rows:WorstSlice",
    "series.mean": "chaos_tasks.probes.series:SeriesMean",
    "series.tail": "chaos_tasks.probes.series:SeriesTail",
}
"""Checks of unit `row` or `block`: they compare the control and the treatment trial of one seed."""

LIVE_PROBES: Mapping[str, str] = {
    "live.alarms": "chaos_tasks.probes.live_files:LiveAlarms",
    "live.http": "chaos_tasks.probes.live_http:LiveHttp",
    "live.series": "chaos_tasks.probes.live_files:LiveSeries",
    "live.stalled_s": "chaos_tasks.probes.live_files:LiveStalled",
}
"""Stop conditions: they are read while a fault is in."""

_GROUPS: Mapping[str, tuple[str, Mapping[str, str]]] = {  # entry-point group -> noun, and our own table
    "squall.faults": ("fault", FAULTS),
    "squall.probes": ("probe", PROBES),
    "squall.pair_probes": ("pair probe", PAIR_PROBES),
    "squall.live_probes": ("live probe", LIVE_PROBES),
}


@lru_cache(maxsize=4)
def _table(group: str) -> Mapping[str, tuple[str, str]]:
    """kind -> (module:Class, distribution that registers it)."""
    table = {kind: (path, OURS) for kind, path in _GROUPS[group][1].items()}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        owner = _distribution(entry)
        if entry.name in table:
            raise DuplicateKind(
                f"{entry.name} is registered by both {table[entry.name][1]} and {owner}",
                remedy=f"uninstall one of them, or rename the entry point in {owner}",
            )
        table[entry.name] = (entry.value, owner)
    return table


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unnamed distribution"


def fault_kinds() -> list[str]:
    """All registered kinds of fault, sorted."""
    return sorted(_table("squall.faults"))


def probe_kinds() -> list[str]:
    """All registered kinds of probe, sorted."""
    return sorted(_table("squall.probes"))


def pair_probe_kinds() -> list[str]:
    """All registered kinds of probe that compare a pair of trials, sorted."""
    return sorted(_table("squall.pair_probes"))


def live_probe_kinds() -> list[str]:
    """All registered kinds of probe that stop conditions may name, sorted."""
    return sorted(_table("squall.live_probes"))


def fault(kind: str) -> AnyFault:
    """The fault of that kind; raises UnknownKind listing the near ones."""
    return cast(AnyFault, _load("squall.faults", kind))


def probe(kind: str) -> AnyProbe:
    """The probe of that kind; raises UnknownKind listing the near ones."""
    return cast(AnyProbe, _load("squall.probes", kind))


def pair_probe(kind: str) -> AnyPairProbe:
    """The probe of that kind that compares a pair of trials; raises UnknownKind listing the near ones."""
    return cast(AnyPairProbe, _load("squall.pair_probes", kind))


def live_probe(kind: str) -> AnyLiveProbe:
    """The live probe of that kind; raises UnknownKind listing the near ones."""
    return cast(AnyLiveProbe, _load("squall.live_probes", kind))


@lru_cache(maxsize=256)
def _load(group: str, kind: str) -> object:
    table = _table(group)
    if kind not in table:
        noun = _GROUPS[group][0]
        raise UnknownKind(f"no {noun} is called {kind!r}", remedy=_suggest(kind, table, noun.split()[-1]))
    module, _, name = table[kind][0].partition(":")
    return getattr(import_module(module), name)()


def _suggest(kind: str, table: Iterable[str], noun: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(kind, list(table), n=3, cutoff=0.5)
    known = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{known}`squall {noun}s` lists all of them"


def fault_params(kind: str, params: Mapping[str, JsonValue]) -> FaultParams:
    """The typed parameters; raises pydantic's ValidationError for wrong ones."""
    return fault(kind).params_type.model_validate(dict(params))


def probe_params(kind: str, params: Mapping[str, JsonValue]) -> ProbeParams:
    """The typed parameters; raises pydantic's ValidationError for wrong ones."""
    return probe(kind).params_type.model_validate(dict(params))


def pair_probe_params(kind: str, params: Mapping[str, JsonValue]) -> ProbeParams:
    """The typed parameters; raises pydantic's ValidationError for wrong ones."""
    return pair_probe(kind).params_type.model_validate(dict(params))


def live_probe_params(kind: str, params: Mapping[str, JsonValue]) -> ProbeParams:
    """The typed parameters; raises pydantic's ValidationError for wrong ones."""
    return live_probe(kind).params_type.model_validate(dict(params))


def with_intensity(kind: str, params: Mapping[str, JsonValue], intensity: float) -> Mapping[str, JsonValue]:
    """The parameters with the kind's intensity replaced; raises GuardTripped when it has none or refuses the value."""
    field = fault(kind).params_type.intensity_field
    if field is None:
        raise GuardTripped(f"{kind} has no intensity", remedy="leave `intensity` empty for this experiment")
    changed = {**params, field: intensity}
    try:
        fault_params(kind, changed)
    except ValidationError as error:
        cause = error.errors()[0]["msg"]
        raise GuardTripped(
            f"{kind}: {field} = {intensity} is refused: {cause}", remedy="choose another intensity"
        ) from error
    return changed
