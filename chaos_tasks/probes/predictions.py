"""Predictions of a trial, or of a pair row by row: read, proved to be the ones that were recorded, and matched.

Rows live here only as long as a probe computes; what leaves is numbers, names of groups and digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.target import Predictions
from chaos_tasks.model.trial import Trial
from chaos_tasks.probes.metric import require_completed

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Array = np.ndarray[Any, np.dtype[Any]]

MAX_GROUPS = 500
"""A column with more values identifies rows rather than groups; its values would end up in records."""
ABSENT = "(none)"
"""Group of the rows whose group is null."""


@dataclass(frozen=True)
class Groups:
    """Place of each row's value among the names of a column's values."""

    codes: Array
    names: tuple[str, ...]


@dataclass(frozen=True)
class Scored:
    """One trial's predictions, in the order of the file.  A score that is null is NaN."""

    keys: Array
    labels: Array  # 0 or 1
    scores: Array
    groups: Mapping[str, Groups]
    sha256: str


@dataclass(frozen=True)
class Pair:
    """Both trials' predictions of the same rows, in an order drawn from their seed."""

    labels: Array
    control: Array
    treatment: Array
    groups: Mapping[str, Groups]
    files: Mapping[str, str]
    seed: int

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.labels)

    def rows(self, chosen: Array) -> Pair:
        """Those rows only."""
        groups = {name: Groups(group.codes[chosen], group.names) for name, group in self.groups.items()}
        arms = self.control[chosen], self.treatment[chosen]
        return Pair(self.labels[chosen], *arms, groups, self.files, self.seed)

    def rng(self, purpose: str) -> np.random.Generator:
        """The same draws for the same seed and purpose, on any machine."""
        return generator(self.seed, purpose)


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Draws that depend on the seed and on what they are for."""
    import numpy as np

    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{purpose}/{seed}".encode()).digest()[:16]))


def scored(trial: Trial, layout: Predictions, columns: Sequence[str] = ()) -> Scored:
    """Read one trial's predictions with the group ``columns``; raises ProbeError for what cannot be used."""
    require_completed(trial)
    table, digest = read_table(trial, layout.path, (layout.key, layout.label, layout.score, *columns))
    keys, labels = _keys(table[layout.key]), numbers(table[layout.label])
    if not len(labels):
        raise ProbeError(f"trial {trial.id} predicted no row", remedy="see what its evaluation set holds")
    if not ((labels == 0) | (labels == 1)).all():
        raise ProbeError(
            f"{layout.label} of trial {trial.id} holds something else than 0 and 1",
            remedy="name the column of a yes-or-no label in `reads.predictions`",
        )
    groups = {name: _groups(table[name], name, trial) for name in columns}
    return Scored(keys, labels, numbers(table[layout.score]), groups, digest)


def matched(control: Trial, treatment: Trial, layout: Predictions | None, columns: Sequence[str] = ()) -> Pair:
    """Both trials' predictions by key.  Groups and labels are the control's; raises ProbeError unless they are of the
    same rows with the same labels: what one model did not predict cannot be compared."""
    import numpy as np

    if layout is None:
        raise ProbeError("the target declares no predictions", remedy="declare `reads.predictions` in the target file")
    if control.seed != treatment.seed:
        raise ProbeError(
            f"{control.id} and {treatment.id} are of other seeds", remedy="compare trials of the same seed"
        )
    one, other = scored(control, layout, columns), scored(treatment, layout)
    at, also = np.argsort(one.keys, kind="stable"), np.argsort(other.keys, kind="stable")
    for trial, keys in ((control, one.keys[at]), (treatment, other.keys[also])):
        if (keys[1:] == keys[:-1]).any():
            raise ProbeError(f"{trial.id} predicted a row twice", remedy=f"make {layout.key} unique")
    if not np.array_equal(one.keys[at], other.keys[also]):
        common = len(np.intersect1d(one.keys, other.keys, assume_unique=True))
        raise ProbeError(
            f"{control.id} predicted {len(at)} rows and {treatment.id} {len(also)}, of which {common} are the same",
            remedy="judge both on the sealed evaluation set, in full",
        )
    if not np.array_equal(one.labels[at], other.labels[also]):
        raise ProbeError(
            f"{control.id} and {treatment.id} were judged by other labels", remedy="judge both on the sealed set"
        )
    drawn = generator(control.seed, "order of rows").permutation(len(at))
    files = {"control": one.sha256, "treatment": other.sha256}
    whole = Pair(one.labels[at], one.scores[at], other.scores[also], _ordered(one.groups, at), files, control.seed)
    return whole.rows(drawn)


def _ordered(groups: Mapping[str, Groups], order: Array) -> dict[str, Groups]:
    return {name: Groups(group.codes[order], group.names) for name, group in groups.items()}


def read_table(trial: Trial, name: str, columns: Sequence[str]) -> tuple[pa.Table, str]:
    """Columns of a Parquet or CSV file that a trial left, and its SHA-256.

    Raises ProbeError for a file that is not there, is not the one that was recorded, or lacks a column.
    """
    content = read_file(trial, name)
    digest = hashlib.sha256(content).hexdigest()
    recorded = trial.files.get(name)
    if recorded is not None and recorded != digest:
        raise ProbeError(f"{name} of trial {trial.id} has changed since it was recorded", remedy="run the trial again")
    table = _parse(content, name, trial)
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise ProbeError(
            f"{name} of trial {trial.id} has no column {', '.join(missing)} (it has: {', '.join(table.column_names)})",
            remedy="mend the name, or let the workload write the column",
        )
    return table.select(list(dict.fromkeys(columns))), digest


def read_file(trial: Trial, name: str) -> bytes:
    """A file that a trial left; raises ProbeError when it is not there or lies outside of the trial's folder."""
    folder = Path(trial.out or "/nowhere").resolve()
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise ProbeError(f"{name} lies outside of the folder of trial {trial.id}", remedy="name a file below {out}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ProbeError(
            f"trial {trial.id} left no readable {name} ({type(error).__name__})", remedy="let the workload write it"
        ) from error


def _parse(content: bytes, name: str, trial: Trial) -> pa.Table:
    import pyarrow as pa
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    source = pa.BufferReader(content)
    try:
        if name.endswith(".parquet"):
            return pq.ParquetFile(source).read()  # read_table would import pandas
        if name.endswith(".csv"):
            return pacsv.read_csv(source)
    except (pa.ArrowException, OSError) as error:
        raise ProbeError(
            f"{name} of trial {trial.id} cannot be read ({type(error).__name__})", remedy="see what wrote it"
        ) from error
    raise ProbeError(f"{name} is neither Parquet nor CSV", remedy="let the workload write one of them")


def numbers(column: pa.ChunkedArray) -> Array:
    """As float64, null as NaN; raises ProbeError for what are no numbers.  `to_numpy` would import pandas."""
    import numpy as np
    import pyarrow as pa

    try:
        cast = column.cast(pa.float64()).combine_chunks()
    except pa.ArrowException as error:
        raise ProbeError(f"a column of {column.type} holds no numbers", remedy="name a column of numbers") from error
    bare = pa.Array.from_buffers(pa.float64(), len(cast), [None, cast.buffers()[1]], offset=cast.offset)
    found = np.from_dlpack(bare) if len(cast) else np.empty(0)
    return np.where(np.from_dlpack(cast.is_null().cast(pa.uint8())), np.nan, found) if cast.null_count else found


def _keys(column: pa.ChunkedArray) -> Array:
    """Integers as they are, all else as text."""
    import numpy as np
    import pyarrow as pa

    if column.null_count:
        raise ProbeError("a row has no key", remedy="let the workload write a key for each row")
    if pa.types.is_integer(column.type):
        return np.from_dlpack(column.cast(pa.int64()).combine_chunks()) if len(column) else np.empty(0, np.int64)
    codes, names = _distinct(column)
    return np.array(names)[codes] if len(codes) else np.empty(0, "U1")


def _groups(column: pa.ChunkedArray, name: str, trial: Trial) -> Groups:
    codes, names = _distinct(column)
    if len(names) > MAX_GROUPS:
        raise ProbeError(
            f"{name} of trial {trial.id} has {len(names)} values, more than {MAX_GROUPS}: it names rows, not groups",
            remedy="choose a column with few values",
        )
    return Groups(codes, tuple(names))


def _distinct(column: pa.ChunkedArray) -> tuple[Array, list[str]]:
    """Places of the values among their sorted texts."""
    import numpy as np
    import pyarrow as pa

    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    seen = plain.combine_chunks().dictionary_encode(null_encoding="encode")
    texts = [ABSENT if value is None else str(value) for value in seen.dictionary.to_pylist()]
    names = sorted(set(texts))
    place = {text: at for at, text in enumerate(names)}
    order = np.array([place[text] for text in texts], dtype=np.int64)
    codes = np.asarray(np.from_dlpack(seen.indices), np.int64) if len(seen) else np.empty(0, np.int64)
    return order[codes] if len(order) else codes, names
