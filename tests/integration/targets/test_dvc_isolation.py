"""Whatever is done in a clone, its source, the source's cache and the source's remote stay as they are.

Run as root these tests are harder still: the cache's mode 0444 protects nothing then.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import JsonValue

from chaos_tasks import registry
from chaos_tasks.model.handle import Finding
from chaos_tasks.targets import dvc, git
from chaos_tasks.targets.dvc_fingerprint import fingerprint, fingerprint_source
from chaos_tasks.testing.conformance import Arrangement, _Case
from tests.conformance.arrange_data import PARAMS, contexts, make_place
from tests.dvc_sources import PARQUET, Source, make_source

LINKS = ("copy", "hardlink", "symlink", "reflink,copy")
FAULTS: list[tuple[str, Mapping[str, JsonValue]]] = [
    *PARAMS.items(),
    ("data.object_bitrot", {"where": "remote", "flips": 2}),
]


@pytest.fixture(scope="module", params=LINKS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    return make_source(tmp_path_factory.mktemp("linked"), link=request.param)


@pytest.fixture
def clone(source: Source, tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    make_place(source, folder)
    return folder


def test_every_data_fault_and_its_revert_leave_the_source_untouched(source: Source, tmp_path: Path) -> None:
    before = fingerprint_source(source.repo)
    place = make_place(source, tmp_path / "clone")
    pristine = fingerprint(tmp_path / "clone")
    for number, (kind, params) in enumerate(FAULTS):
        case = _Case(Arrangement(registry.fault(kind), place, params, contexts(tmp_path / str(number))))
        handle = case.arm()
        assert case.inject(handle).effective
        assert case.finding(handle) is Finding.INJECTED
        assert fingerprint_source(source.repo) == before, f"{kind} reached the source"
        case.revert(handle)
        assert fingerprint(tmp_path / "clone") == pristine
    assert fingerprint_source(source.repo) == before


def test_a_clone_shares_no_inode_with_its_source(source: Source, clone: Path) -> None:
    theirs = set(_inodes(source.repo)) | set(_inodes(source.remote))
    assert theirs.isdisjoint(_inodes(clone))
    assert not any(path.is_symlink() for path in clone.rglob("*"))


def test_a_clone_has_no_address_of_its_source(source: Source, clone: Path) -> None:
    for file in (".dvc/config", ".dvc/config.local", ".git/config"):
        text = (clone / file).read_text()
        assert str(source.repo) not in text
        assert str(source.remote) not in text
    assert git.git(clone, "remote") == ""
    assert not (clone / ".git/objects/info/alternates").exists()


@pytest.mark.parametrize("source", ["hardlink"], indirect=True)
def test_a_push_and_a_commit_in_the_clone_stay_in_the_clone(source: Source, clone: Path) -> None:
    """As a user, or a `dvc repro`, would do it, and straight into the file."""
    before = fingerprint_source(source.repo)
    (clone / PARQUET).write_bytes(b"not parquet")
    assert dvc.dvc_command(clone, "commit", "--force", f"{PARQUET}.dvc").returncode == 0
    assert dvc.dvc_command(clone, "push", f"{PARQUET}.dvc").returncode == 0
    assert len(dvc.remote_of(clone).names()) == 1
    assert fingerprint_source(source.repo) == before


def test_only_the_named_files_are_fetched(source: Source, clone: Path) -> None:
    assert len(dvc.cache_of(clone).names()) == 1
    assert not (clone / "raw/flights.csv").exists()
    assert source.repo.exists()


def _inodes(root: Path) -> Iterator[tuple[int, int]]:
    for folder, _, names in os.walk(root):
        for name in names:
            state = (Path(folder) / name).lstat()
            yield state.st_dev, state.st_ino
