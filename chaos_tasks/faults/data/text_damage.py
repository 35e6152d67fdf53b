"""Damaged texts: typing errors, texts cut short, and letters broken by a wrong encoding."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from chaos_tasks.errors import InjectError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.data import columns
from chaos_tasks.faults.data.drawing import Mask, Scored, uniforms
from chaos_tasks.faults.data.rows import ColumnChange, change_columns, format_of, require_columns
from chaos_tasks.faults.data.version import Change, VersionFault, VersionParams
from chaos_tasks.model.formats import TABLES, Format
from chaos_tasks.model.handle import Handle
from chaos_tasks.model.place import Place
from chaos_tasks.targets.formats.files import file_format

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "data.text_damage"
WHOLE: Mapping[Format, str] = {"text": "text", "texts": "content"}
"""The column of formats that are text altogether."""

Damage = Callable[[str, float, np.random.Generator], str]


class TextDamageParams(VersionParams):
    """Which texts, how many of them, and what happens to each."""

    intensity_field: ClassVar[str | None] = "fraction"
    column: str | None = Field(None, description="Column of text; left out for `text` and `texts`.")
    fraction: float = Field(ge=0, le=1, description="Share (0..1) of the texts that are not empty, exactly.")
    damage: Literal["typos", "truncate", "encoding"] = Field(
        "typos",
        description="typos: letters swapped, doubled or lost; truncate: cut at the end; encoding: UTF-8 read as "
        "Latin-1 (a text of ASCII alone gets a broken letter at each place).",
    )
    strength: float = Field(
        0.1, gt=0, le=1, description="Share (0..1) of the letters of a damaged text that are hit, at least one."
    )


class TextDamage(VersionFault[TextDamageParams]):
    """What happens to a text depends on the seed and the text alone: equal texts are damaged in the same way."""

    kind = KIND
    summary = "Damage a share of the texts: typing errors, cut short, or a wrong encoding"
    cause = (
        "Hurried typing, a column that is too narrow, bytes decoded with the wrong code page (Karpukhin et al., 2019)"
    )
    params_type = TextDamageParams
    formats = (*TABLES, "text", "texts")

    def blast_radius(self, place: Place, params: TextDamageParams) -> float:
        """The fraction: the other texts are left alone."""
        return params.fraction

    def change(self, handle: Handle, file: Path, params: TextDamageParams, ctx: FaultContext) -> Change:
        """Damage, and say how many."""
        form = format_of(handle)
        name = params.column or (WHOLE.get(form) if isinstance(form, str) else None)
        if name is None:
            raise InjectError("a table has many columns", remedy="name the text's as `column`")
        require_columns(file_format(form).schema(file), file, [name])

        def score(batch: pa.RecordBatch, first: int) -> Scored:
            return uniforms(handle.seed, KIND, name, first, batch.num_rows), _present(batch.column(name), name)

        def mutate(batch: pa.RecordBatch, hit: Mask) -> pa.Array:
            return _damaged(batch.column(name), hit, handle.seed, params)

        (hit,) = change_columns(handle, file, ctx, [ColumnChange(name, (name,), score, mutate)], params.fraction)
        return Change(
            summary=f"{params.damage} in {hit.changed} of {hit.eligible} texts of {name}",
            effective=hit.changed > 0,
            evidence={"column": name, "damage": params.damage, **hit.evidence()},
        )


def _present(column: pa.Array, name: str) -> Mask:
    """Texts of two characters at least: shorter ones cannot be damaged in every way."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = columns.plain(column)
    if not (
        pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or pa.types.is_binary(values.type)
    ):
        raise InjectError(f"column {name} is no text ({values.type})", remedy="name a column of text")
    long = pc.fill_null(pc.greater(pc.binary_length(values), 1), False)
    return np.asarray(long.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _damaged(column: pa.Array, hit: Mask, seed: int, params: TextDamageParams) -> pa.Array:
    import pyarrow as pa

    values = columns.plain(column)
    act, binary = DAMAGES[params.damage], pa.types.is_binary(values.type)
    texts: list[str | bytes | None] = [None] * len(values)
    for row in np.flatnonzero(hit):
        value = values[int(row)].as_py()
        # Bytes that are no UTF-8 come back as they were.
        text = value.decode("utf-8", "surrogateescape") if binary else value
        damaged = act(text, params.strength, _generator(seed, text))
        texts[row] = damaged.encode("utf-8", "surrogateescape") if binary else damaged
    return columns.replaced(column, hit, pa.array(texts, values.type))


def _generator(seed: int, text: str) -> np.random.Generator:
    key = hashlib.blake2b(f"{seed}\0{KIND}\0{text}".encode("utf-8", "surrogateescape"), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


def _places(text: str, strength: float, generator: np.random.Generator) -> list[int]:
    """Places to hit, in order; the last letter is none, since it has no neighbour."""
    count = min(len(text) - 1, max(1, round(strength * len(text)))) if len(text) > 1 else 0
    return sorted(generator.choice(len(text) - 1, count, replace=False).tolist()) if count else []


def typos(text: str, strength: float, generator: np.random.Generator) -> str:
    """A letter lost, two neighbours swapped, or a letter doubled; two equal neighbours become one."""
    places = _places(text, strength, generator)
    parts, done = [], 0
    for place, way in zip(places, generator.integers(3, size=len(places)).tolist(), strict=True):
        if place < done:  # swapped already with the one before
            continue
        here, following = text[place], text[place + 1]
        parts.append(text[done:place])
        done = place + 1
        if way == 1 and here != following:
            parts.append(following + here)
            done = place + 2
        elif way == 2 and here != following:
            parts.append(here + here)
    return "".join((*parts, text[done:]))


def truncate(text: str, strength: float, generator: np.random.Generator) -> str:
    """Without its end; a first letter always stays."""
    return text[: max(1, len(text) - max(1, round(strength * len(text))))]


def wrong_encoding(text: str, strength: float, generator: np.random.Generator) -> str:
    """What UTF-8 looks like to a reader of Latin-1; where all is ASCII, the replacement character here and there."""
    if not text.isascii():
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    letters = list(text)
    for place in _places(text, strength, generator):
        letters[place] = "\ufffd"
    return "".join(letters)


DAMAGES: Mapping[str, Damage] = {"typos": typos, "truncate": truncate, "encoding": wrong_encoding}
