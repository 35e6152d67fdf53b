"""Data faults: each on a clone of its own of a small repository that is made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import cast

import pytest
from pydantic import JsonValue

from chaos_tasks import registry
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.model.place import DvcPlace
from chaos_tasks.model.target import DvcSource
from chaos_tasks.ports import Clients
from chaos_tasks.targets import dvc
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.conformance import Arrangement
from tests.dvc_sources import PARQUET, PARTS, Source, make_directory_source, make_source
from tests.format_data import make

Builder = Callable[[Path, pytest.FixtureRequest], Arrangement]


class NoClients:
    """Data faults reach no server; a source's remote may need credentials, which these tests' does not."""

    def environment(self, credentials: str) -> dict[str, str]:
        return {}


@lru_cache(maxsize=4)
def shared_source(folder: Path, link: str = "copy") -> Source:
    """One source for all tests of a session: nothing may change it."""
    return make_source(folder / f"source-{link}", link=link)


def make_place(source: Source, clone: Path, path: str = PARQUET) -> DvcPlace:
    """A place on a new clone."""
    spec = source.spec(path)
    version = dvc.resolve(spec)
    dvc.open_clone(spec, version, clone, materialise=[path])
    return DvcPlace(
        clone=str(clone), source=spec.repo, commit=version.commit, data=tuple(version.data), format=spec.format
    )


def contexts(folder: Path) -> Callable[[], FaultContext]:
    """Each context has an empty scratch of its own."""
    numbers = count()

    def make_context() -> FaultContext:
        scratch = folder / f"scratch-{next(numbers)}"
        scratch.mkdir(parents=True)
        return FaultContext(clock=FakeClock(), clients=cast(Clients, NoClients()), scratch=scratch)

    return make_context


@lru_cache(maxsize=1)
def shared_directory_source(folder: Path) -> Source:
    """The same, with one tracked directory."""
    return make_directory_source(folder / "source-directory")


def arranged(kind: str, params: Mapping[str, JsonValue], *, inside: bool = False) -> Builder:
    """A builder for one kind: on a file tracked by itself, or on one inside a tracked directory."""

    def build(tmp_path: Path, request: pytest.FixtureRequest) -> Arrangement:
        folder = request.getfixturevalue("tmp_path_factory").getbasetemp() / "shared-dvc"
        source = shared_directory_source(folder) if inside else shared_source(folder)
        return Arrangement(
            fault=registry.fault(kind),
            place=make_place(source, tmp_path / "clone", PARTS[2] if inside else PARQUET),
            params=params,
            make_context=contexts(tmp_path),
        )

    return build


PARAMS: Mapping[str, Mapping[str, JsonValue]] = {
    "data.duplicate_rows": {"fraction": 0.1},
    "data.label_flip": {"column": "late", "fraction": 0.1},
    "data.missing_values": {"columns": ["temp", "carrier"], "fraction": 0.2},
    "data.object_bitrot": {"where": "cache", "flips": 3},
    "data.schema_drift": {"change": "rename", "column": "temp", "to": "temperature"},
    "data.stale_version": {"versions_back": 1},
    "data.text_damage": {"column": "carrier", "fraction": 0.2},
    "data.unit_change": {"column": "distance", "factor": 0.3048, "fraction": 0.5},
}

IMAGES = "raw/images"


@lru_cache(maxsize=1)
def shared_images(folder: Path) -> Source:
    """A tracked directory of images, and a file beside it."""

    def write(path: Path, version: int, number: int) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        make("images", path, rows=6 + 3 * version, seed=version)

    return make_source(folder / "source-images", paths=[IMAGES], write=write)


def on_images(params: Mapping[str, JsonValue]) -> Builder:
    """A builder for the fault whose data are a directory."""

    def build(tmp_path: Path, request: pytest.FixtureRequest) -> Arrangement:
        folder = request.getfixturevalue("tmp_path_factory").getbasetemp() / "shared-dvc"
        spec = DvcSource(repo=str(shared_images(folder).repo), rev="main", data=(IMAGES,), format="images")
        version, clone = dvc.resolve(spec), tmp_path / "clone"
        dvc.open_clone(spec, version, clone, materialise=[IMAGES])
        place = DvcPlace(
            clone=str(clone), source=spec.repo, commit=version.commit, data=tuple(version.data), format=spec.format
        )
        return Arrangement(registry.fault("data.image_damage"), place, params, contexts(tmp_path))

    return build


ARRANGEMENTS: dict[str, Builder] = {kind: arranged(kind, params) for kind, params in PARAMS.items()} | {
    "data.image_damage": on_images({"fraction": 0.5})
}
