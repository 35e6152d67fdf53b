"""Which corruptions to try: the registered data faults, on the columns that the data files themselves have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from chaos_tasks import registry
from chaos_tasks.gates.profile import SMALLEST_GROUP, Column, Profile
from chaos_tasks.gates.values import Family, Mutant

if TYPE_CHECKING:
    import numpy as np

FAMILY = "data."
MOST_LOST = 0.95
"""A column that is gone as a whole is schema drift, which has its own families."""
NO_CONTENT = {"data.object_bitrot": "damages the stored object, not what a readable version says"}


def families(profiles: Sequence[Profile], *, versions: int = 1) -> tuple[tuple[Family, ...], Mapping[str, str]]:
    """All families, and for each kind that is not searched the reason.

    ``versions``: how many versions the data has, this one included.
    """
    found: list[Family] = []
    left_out: dict[str, str] = {}
    for kind in registry.fault_kinds():
        if not kind.startswith(FAMILY):
            continue
        if kind in NO_CONTENT:
            left_out[kind] = NO_CONTENT[kind]
        elif kind not in _MAKERS:
            left_out[kind] = "nobody has said which parameters to try"
        else:
            found += [one for each in profiles for one in _MAKERS[kind](each, versions)]
    return tuple(found), left_out


def params_of(mutant: Mutant) -> Mapping[str, JsonValue]:
    """The fault's parameters with the mutant's intensity; raises GuardTripped when the fault refuses it."""
    family = mutant.family
    if not family.graded:
        return family.params
    return registry.with_intensity(family.kind, family.params, mutant.intensity)


def strata(found: Sequence[Family]) -> dict[str, list[Family]]:
    """Families by stratum, in a fixed order."""
    grouped: dict[str, list[Family]] = {}
    for family in sorted(found, key=lambda one: (one.stratum, one.canonical())):
        grouped.setdefault(family.stratum, []).append(family)
    return grouped


def draw_intensity(family: Family, rng: np.random.Generator) -> float:
    """Uniform within [floor, top]; whole where the kind needs it."""
    if not family.graded or family.floor == family.top:
        return family.top
    drawn = float(rng.uniform(family.floor, family.top))
    return float(round(drawn)) if family.whole else drawn


# --- families of each kind -------------------------------------------------------------------------------------------


def _label_flip(file: Profile, versions: int) -> Iterator[Family]:
    """Flags, all rows and group by group; numbers by reflection about their median."""
    for column in file.columns:
        if column.is_flag:
            yield _flip(file, column)
            for other in file.columns:
                if other.name != column.name and other.varies:
                    yield from (_flip_group(file, column, other, value) for value in _groups(other))
        elif column.is_number and column.varies and _is_inside(column):
            yield _flip(file, column, threshold=column.middle)


def _groups(column: Column) -> list[JsonValue]:
    return [value for value, share in sorted(column.groups.items(), key=str) if SMALLEST_GROUP <= share < 1]


def _is_inside(column: Column) -> bool:
    """The fault needs values on both sides of the threshold."""
    assert column.low is not None and column.middle is not None and column.high is not None  # noqa: S101, PT018
    return column.low < column.middle <= column.high


def _flip(file: Profile, column: Column, *, group: str = "", **params: JsonValue | Mapping[str, JsonValue]) -> Family:
    return Family(
        kind="data.label_flip",
        path=file.path,
        columns=(column.name,),
        params={"path": file.path, "column": column.name, **params},
        group=group,
    )


def _flip_group(file: Profile, column: Column, other: Column, value: JsonValue) -> Family:
    family = _flip(file, column, where={other.name: value}, group=other.name)
    return family.model_copy(update={"rows": other.groups[value]})


def _missing_values(file: Profile, versions: int) -> Iterator[Family]:
    """By chance; where the value itself is high; and where a flag is set."""
    flags = [column.name for column in file.columns if column.is_flag and column.is_number]
    for column in file.columns:
        if column.nulls == file.rows:
            continue
        yield _lost(file, column, mechanism="mcar")
        if column.is_number and column.varies:
            yield _lost(file, column, mechanism="mnar")
        for flag in flags:
            if flag != column.name:
                yield _lost(file, column, mechanism="mar", given=flag)


def _lost(file: Profile, column: Column, **params: JsonValue) -> Family:
    return Family(
        kind="data.missing_values",
        path=file.path,
        columns=(column.name,),
        params={"path": file.path, "columns": [column.name], **params},
        top=MOST_LOST,
    )


def _duplicate_rows(file: Profile, versions: int) -> Iterator[Family]:
    yield Family(kind="data.duplicate_rows", path=file.path, columns=(), params={"path": file.path})


def _schema_drift(file: Profile, versions: int) -> Iterator[Family]:
    for column in file.columns:
        changes: list[Mapping[str, JsonValue]] = [{"change": "drop"}, {"change": "rename", "to": f"{column.name}_new"}]
        if column.is_number:
            changes.append({"change": "retype", "to": "string"})
        for change in changes:
            yield Family(
                kind="data.schema_drift",
                path=file.path,
                columns=(column.name,),
                params={"path": file.path, "column": column.name, **change},
                graded=False,
            )


def _stale_version(file: Profile, versions: int) -> Iterator[Family]:
    if versions > 1:
        yield Family(
            kind="data.stale_version",
            path=file.path,
            columns=(),
            params={"path": file.path},
            floor=1.0,
            top=float(versions - 1),
            whole=True,
        )


_MAKERS: Mapping[str, Callable[[Profile, int], Iterator[Family]]] = {
    "data.duplicate_rows": _duplicate_rows,
    "data.label_flip": _label_flip,
    "data.missing_values": _missing_values,
    "data.schema_drift": _schema_drift,
    "data.stale_version": _stale_version,
}
"""How to find parameters for a kind: from a file's profile and its number of versions."""
