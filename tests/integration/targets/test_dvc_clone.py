"""A clone of one data version: where its bytes come from, and how it is mended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from chaos_tasks.targets import dvc
from chaos_tasks.targets.dvc_fingerprint import fingerprint, fingerprint_source
from chaos_tasks.targets.objects import md5_of
from tests.conformance.arrange_data import make_place
from tests.dvc_sources import PARQUET, Source, make_source


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return make_source(tmp_path_factory.mktemp("plain"))


@pytest.fixture
def own(plain: Source, tmp_path: Path) -> Path:
    make_place(plain, tmp_path / "clone")
    return tmp_path / "clone"


def test_dvc_agrees_that_the_clone_is_clean(own: Path) -> None:
    status = dvc.dvc_command(own, "status", f"{PARQUET}.dvc")
    assert "up to date" in status.stdout


def test_commit_version_writes_what_dvc_add_writes(own: Path) -> None:
    shutil.copy(own / f"{PARQUET}.dvc", own / PARQUET)
    dvc.commit_version(own, [PARQUET], "a new version")
    ours = (own / f"{PARQUET}.dvc").read_text()
    assert dvc.dvc_command(own, "add", PARQUET).returncode == 0
    assert (own / f"{PARQUET}.dvc").read_text() == ours


def test_a_poisoned_cache_is_scrubbed_and_the_object_taken_again_from_the_source(own: Path) -> None:
    before, commit = fingerprint(own), dvc.head(own)
    poisoned = dvc.cache_of(own).path(dvc.pointed(own, PARQUET).md5)
    poisoned.chmod(0o644)
    poisoned.write_bytes(b"poison")
    (own / PARQUET).write_bytes(b"poison")
    assert dvc.reset_to(own, commit) == [f"cache:{PARQUET}", PARQUET]
    assert fingerprint(own) == before


def test_bytes_come_from_the_remote_when_the_cache_lacks_them(tmp_path: Path) -> None:
    source = make_source(tmp_path / "cold", rows=50, paths=[PARQUET])
    shutil.rmtree(source.repo / ".dvc/cache")
    before = fingerprint_source(source.repo)
    make_place(source, tmp_path / "clone")
    assert (tmp_path / "clone" / PARQUET).is_file()
    assert fingerprint_source(source.repo) == before


def test_a_url_is_a_source_too(plain: Source, tmp_path: Path) -> None:
    spec = plain.spec().model_copy(update={"repo": f"file://{plain.repo}"})
    dvc.open_clone(spec, dvc.resolve(spec), tmp_path / "clone", materialise=[PARQUET])
    assert (tmp_path / "clone" / PARQUET).is_file()


def test_a_half_made_clone_is_made_again(plain: Source, own: Path, tmp_path: Path) -> None:
    whole = fingerprint(own)
    shutil.move(own, tmp_path / ".clone.partial")
    (tmp_path / ".clone.partial" / ".git" / "HEAD").unlink()
    make_place(plain, own)
    assert fingerprint(own) == whole


def test_a_finished_clone_is_kept(plain: Source, own: Path) -> None:
    inode = own.stat().st_ino
    make_place(plain, own)
    assert own.stat().st_ino == inode


def test_export_copies_one_file_and_checks_it(plain: Source, tmp_path: Path) -> None:
    spec = plain.spec()
    version = dvc.resolve(spec)
    dvc.export(spec, version, PARQUET, tmp_path / "out.parquet")
    assert md5_of(tmp_path / "out.parquet") == version.data[PARQUET].md5
