"""Each format adapter passes every mutator that claims it: the promises of a mutation, without a repository.

One life on a clone per format (inject, crash, revert, by the checks that all faults pass) stands beside it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import JsonValue

from chaos_tasks import registry
from chaos_tasks.errors import InjectError
from chaos_tasks.faults.data.version import Change, VersionFault
from chaos_tasks.model.formats import ALL, FOLDERS, CsvDialect, Form, Format
from chaos_tasks.model.handle import Handle
from chaos_tasks.model.place import DvcPlace
from chaos_tasks.model.target import DvcSource
from chaos_tasks.targets import dvc
from chaos_tasks.targets.formats import files
from chaos_tasks.targets.formats.base import FileFormat
from chaos_tasks.targets.formats.files import file_format, rewrite
from chaos_tasks.testing import conformance
from tests.conformance.arrange_data import contexts
from tests.dvc_sources import make_source
from tests.format_data import NAMES, content, make, table

ROWS = 60
COLUMNS: Mapping[Format, Mapping[str, str]] = {
    "npy": {"number": "0", "label": "2"},
    "npz": {"number": "features.0", "label": "late"},
    "images": {"label": "label"},
    "texts": {"label": "label"},
}
"""Names of columns where they are not those of a table."""

VERSIONED = ("data.object_bitrot", "data.stale_version")
"""Faults that need versions, not rows: `test_a_version_fault_acts_on_the_format` has them."""


def params_of(kind: str, form: Format, fraction: float) -> dict[str, JsonValue]:
    """Parameters that have an effect on the data of `make`."""
    named = {"number": "x", "label": "late", "text": "note", **COLUMNS.get(form, {})}
    if kind == "data.schema_drift":
        return {"change": "rename", "column": "x", "to": "y"}
    if kind == "data.missing_values":
        return {"columns": [named["number"]], "fraction": fraction}
    if kind == "data.label_flip":
        return {"column": named["label"], "fraction": fraction}
    if kind == "data.unit_change":
        return {"column": named["number"], "factor": 0.3048, "fraction": fraction}
    if kind == "data.text_damage" and form in ("parquet", "csv", "jsonl"):
        return {"column": named["text"], "fraction": fraction}
    return {"fraction": fraction}


def claims() -> list[tuple[str, Format]]:
    """All pairs that are claimed."""
    found = []
    for kind in registry.fault_kinds():
        fault = registry.fault(kind)
        if isinstance(fault, VersionFault):
            found += [(kind, form) for form in fault.formats]
    return found


MUTATIONS = [pair for pair in claims() if pair[0] not in VERSIONED]


def apply(
    kind: str,
    form: Format,
    path: Path,
    fraction: float,
    scratch: Path,
    seed: int = 7,
    *,
    dialect: CsvDialect | None = None,
    params: Mapping[str, JsonValue] | None = None,
) -> Change:
    """Only the mutation."""
    fault, params = registry.fault(kind), params or params_of(kind, form, fraction)
    place = DvcPlace(clone="-", source="-", commit="-", data=(path.name,), format=form, csv=dialect)
    handle = Handle(id="h", run_id="r", step="s", kind=kind, place=place, params=params, prior={}, seed=seed, epoch=1)
    typed = fault.params_type.model_validate(params)
    changed: Change = fault.change(handle, path, typed, contexts(scratch)())  # type: ignore[attr-defined]
    return changed


def copy_of(form: Format, folder: Path) -> Path:
    """Data of its own."""
    path = folder / NAMES[form]
    make(form, path, ROWS)
    return path


def hits(change: Change) -> int:
    """How many rows the evidence says were hit."""
    counted = change.evidence.get("changed", change.evidence.get("repeated"))
    return sum(map(int, map(str, counted.values()))) if isinstance(counted, dict) else int(str(counted))


@pytest.mark.parametrize(("kind", "form"), MUTATIONS)
def test_a_mutator_keeps_its_promises_on_a_format(kind: str, form: Format, tmp_path: Path) -> None:
    first, again, other = (copy_of(form, tmp_path / name) for name in ("first", "again", "other"))
    before = content(first)
    change = apply(kind, form, first, 0.5, tmp_path / "s1")
    assert change.effective
    assert content(first) != before
    rows = file_format(form).rows(again)
    assert rows == (ROWS // 3 if form in FOLDERS else ROWS)
    if kind != "data.schema_drift":
        assert change.evidence["rows"] == rows
        assert 0 < hits(change) <= round(0.5 * rows)
    apply(kind, form, again, 0.5, tmp_path / "s2")
    assert content(again) == content(first)  # the seed decides all of it
    if kind != "data.schema_drift":
        apply(kind, form, other, 0.5, tmp_path / "s3", seed=8)
        assert content(other) != content(first)
    assert not [path for path in first.parent.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(("kind", "form"), [pair for pair in MUTATIONS if pair[1] != "parquet"])
def test_batches_of_any_size_give_the_same_bytes(
    kind: str, form: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = copy_of(form, tmp_path / "large"), copy_of(form, tmp_path / "small")
    apply(kind, form, large, 0.5, tmp_path / "s1")
    whole = file_format(form)

    def in_small_batches(name: Form) -> FileFormat:
        made: FileFormat = type(whole)(7 if name == "csv" else 200)  # type: ignore[call-arg]  # rows, or bytes
        return made

    for module in (files, *_users()):
        monkeypatch.setattr(module, "file_format", in_small_batches)
    assert len(list(in_small_batches(form).batches(small))) > 1
    apply(kind, form, small, 0.5, tmp_path / "s2")
    assert content(small) == content(large)


def _users() -> list[object]:
    """Modules that look adapters up."""
    import sys

    found = [module for name, module in sys.modules.items() if name.startswith("chaos_tasks.faults.data.")]
    return [module for module in found if hasattr(module, "file_format")]


DIALECTS: Mapping[str, CsvDialect] = {
    "headerless": CsvDialect(header=False, columns=("x", "count", "note", "late")),
    "latin-1": CsvDialect(encoding="latin-1"),
    "semicolons": CsvDialect(delimiter=";"),
    "all-of-it": CsvDialect(header=False, columns=("x", "count", "note", "late"), delimiter="\t", encoding="latin-1"),
}


def _in(dialect: CsvDialect, path: Path) -> Path:
    """The rows of `make`, as the dialect has them; every other note is in quotes that nobody needs."""
    rows = table(ROWS).to_pylist()
    lines = [list(rows[0])] if dialect.header else []
    lines += [["" if value is None else str(value) for value in row.values()] for row in rows]
    for number, line in enumerate(lines):
        line[2] = f'"{line[2]}"' if number % 2 else line[2]
    path.parent.mkdir(parents=True)
    text = "\r\n".join(dialect.delimiter.join(line) for line in lines)
    path.write_bytes(text.encode(dialect.encoding))
    return path


def _drift(dialect: CsvDialect) -> dict[str, JsonValue]:
    return {"change": "rename", "column": "x", "to": "y"} if dialect.header else {"change": "drop", "column": "x"}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize("kind", [kind for kind, form in MUTATIONS if form == "csv"])
def test_a_mutator_keeps_its_promises_in_a_dialect_of_csv(kind: str, dialect: CsvDialect, tmp_path: Path) -> None:
    path = _in(dialect, tmp_path / "raw" / "a.csv")
    before = path.read_bytes().split(b"\r\n")
    params = _drift(dialect) if kind == "data.schema_drift" else params_of(kind, "csv", 0.2)
    change = apply(kind, "csv", path, 0.2, tmp_path / "s1", dialect=dialect, params=params)
    assert change.effective
    after = path.read_bytes().split(b"\r\n")
    if kind == "data.schema_drift":
        assert [line.split(dialect.delimiter.encode())[-1] for line in after] == [
            line.split(dialect.delimiter.encode())[-1] for line in before
        ]
        assert (after[0].startswith(b"y")) if dialect.header else (after != before)
    elif kind == "data.duplicate_rows":
        assert set(after) == set(before)
        assert len(after) == len(before) + hits(change)
    else:
        assert 0 < sum(old != new for old, new in zip(before, after, strict=True)) <= hits(change)
    assert dialect.header == (b"late" in after[0].split(dialect.delimiter.encode()))
    if kind != "data.schema_drift":
        assert file_format(dialect).rows(path) == len(after) - dialect.header


def test_a_column_without_a_name_in_the_file_cannot_be_renamed(tmp_path: Path) -> None:
    dialect = DIALECTS["headerless"]
    path = _in(dialect, tmp_path / "raw" / "a.csv")
    before = path.read_bytes()
    rename: dict[str, JsonValue] = {"change": "rename", "column": "x", "to": "y"}
    with pytest.raises(InjectError, match="has no header"):
        apply("data.schema_drift", "csv", path, 0.2, tmp_path / "s1", dialect=dialect, params=rename)
    assert path.read_bytes() == before


def test_a_letter_that_the_encoding_does_not_have_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    path = _in(DIALECTS["latin-1"], tmp_path / "raw" / "a.csv")
    path.write_bytes(path.read_bytes().replace("ü".encode("latin-1"), b"ue"))
    before = path.read_bytes()
    params: dict[str, JsonValue] = {"column": "note", "fraction": 0.5, "damage": "encoding"}
    with pytest.raises(InjectError, match="a letter that latin-1 does not have"):
        apply("data.text_damage", "csv", path, 0.5, tmp_path / "s1", dialect=DIALECTS["latin-1"], params=params)
    assert path.read_bytes() == before


@pytest.mark.parametrize("form", ALL)
def test_what_is_not_changed_comes_back_to_the_letter(form: Format, tmp_path: Path) -> None:
    path = copy_of(form, tmp_path)
    rewrite(form, path, lambda batch, first: batch)  # written by us once: an archive's dates, say
    before = content(path)
    rewrite(form, path, lambda batch, first: batch)
    assert content(path) == before


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in claims()}))
def test_a_format_that_is_not_claimed_is_refused_before_anything_is_touched(kind: str, tmp_path: Path) -> None:
    fault = registry.fault(kind)
    assert isinstance(fault, VersionFault)
    ctx = contexts(tmp_path)()
    for form in set(ALL) - set(fault.formats):
        params = params_of(kind, form, 0.5) if kind not in VERSIONED else {}
        place = DvcPlace(clone=str(tmp_path), source="-", commit="-", data=("a",), format=form)
        with pytest.raises(InjectError, match=f"does not act on data of the format {form}") as refused:
            fault.snapshot(place, fault.params_type.model_construct(**params), ctx)
        assert fault.formats[0] in str(refused.value.remedy)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[Format, DvcSource]:
    """One repository with data of each format in two versions."""
    folder = tmp_path_factory.mktemp("formats")

    def write(path: Path, version: int, number: int) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        form = ALL[number]
        make(form, path, ROWS + 3 * version, seed=version)

    source = make_source(folder, paths=[NAMES[form] for form in ALL], write=write)
    return {form: DvcSource(repo=str(source.repo), rev="main", data=(NAMES[form],), format=form) for form in NAMES}


@pytest.mark.parametrize("form", [form for form in ALL if form not in ("parquet", "csv", "images")])
def test_a_fault_lives_and_ends_on_a_clone(form: Format, sources: dict[Format, DvcSource], tmp_path: Path) -> None:
    """The others have all thirteen checks in test_faults.py; what differs between formats is in the mutation alone."""

    def arrange() -> conformance.Arrangement:
        place = place_of(sources[form], tmp_path / "clone")
        return conformance.Arrangement(
            registry.fault("data.duplicate_rows"), place, {"fraction": 0.5}, contexts(tmp_path)
        )

    conformance.check_revert_restores(arrange)


def place_of(source: DvcSource, clone: Path) -> DvcPlace:
    """A place on a clone of its own."""
    version = dvc.resolve(source)
    dvc.open_clone(source, version, clone, materialise=source.data)
    return DvcPlace(clone=str(clone), source=source.repo, commit=version.commit, data=source.data, format=source.format)


@pytest.mark.parametrize("form", ["jsonl", "texts"])
def test_a_version_fault_acts_on_the_format(form: Format, sources: dict[Format, DvcSource], tmp_path: Path) -> None:
    fault = registry.fault("data.stale_version")
    arranged = conformance.Arrangement(
        fault, place_of(sources[form], tmp_path / "clone"), {"versions_back": 1}, contexts(tmp_path)
    )
    make(form, tmp_path / "old", ROWS + 3, seed=1)
    case = conformance._Case(arranged)
    before, handle = case.digest(), case.arm()
    assert case.inject(handle).effective
    assert content(tmp_path / "clone" / NAMES[form]).keys() == _names(form, tmp_path / "old")
    case.revert(handle)
    assert case.digest() == before


def _names(form: Format, path: Path) -> set[str]:
    return set(content(path)) if form in FOLDERS else {Path(NAMES[form]).name}
