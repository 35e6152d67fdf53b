"""One file of a tracked directory in a clone: what DVC makes of it, where bytes come from, and what stays absent."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from chaos_tasks import registry
from chaos_tasks.errors import SetupError
from chaos_tasks.faults.data import object_bitrot
from chaos_tasks.model.handle import Finding
from chaos_tasks.model.target import DvcSource
from chaos_tasks.targets import dvc, dvc_alone, dvc_bytes, git
from chaos_tasks.targets.dvc_fingerprint import fingerprint, fingerprint_source, fingerprint_touched
from chaos_tasks.testing.conformance import Arrangement, _Case
from chaos_tasks.testing.crash import Crash
from tests.conformance.arrange_data import PARAMS, contexts, make_place
from tests.dvc_sources import DIRECTORY, PARQUET, PARTS, Source, make_directory_source, make_source, table, write_table

PART = PARTS[3]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return make_directory_source(tmp_path_factory.mktemp("directory"), rows=200)


@pytest.fixture
def clone(source: Source, tmp_path: Path) -> Path:
    make_place(source, tmp_path / "clone", PART)
    return tmp_path / "clone"


def test_only_the_named_file_and_the_manifest_are_brought(clone: Path) -> None:
    assert [path for path in PARTS if (clone / path).exists()] == [PART]
    output = dvc.output_of(clone, PART)
    assert dvc.cache_of(clone).names() == sorted([output.md5, dvc.pointed(clone, PART).md5])


def test_dvc_knows_the_rest_as_absent_and_the_file_as_clean(clone: Path) -> None:
    status = dvc.dvc_command(clone, "data", "status", "--granular", "--json")
    said = json.loads(status.stdout)
    changed = said.get("uncommitted", {})
    assert {path for path in PARTS if path in changed.get("deleted", ())} == set(PARTS) - {PART}
    assert PART not in str({kind: paths for kind, paths in changed.items() if kind != "deleted"})


def test_a_bad_version_is_byte_for_byte_what_dvc_add_would_write(source: Source, clone: Path, tmp_path: Path) -> None:
    write_table(clone / PART, table(50, seed=99))
    dvc.commit_version(clone, [PART], "a bad version")
    shutil.copytree(source.repo, tmp_path / "theirs")
    shutil.copyfile(clone / PART, tmp_path / "theirs" / PART)
    assert dvc.dvc_command(tmp_path / "theirs", "add", DIRECTORY).returncode == 0
    assert (clone / f"{DIRECTORY}.dvc").read_text() == (tmp_path / "theirs" / f"{DIRECTORY}.dvc").read_text()


def test_real_dvc_pulls_the_file_by_its_path_from_the_clone_s_own_remote(clone: Path) -> None:
    file, output = dvc.pointed(clone, PART), dvc.output_of(clone, PART)
    for name in (file.md5, output.md5):
        dvc.remote_of(clone).put(dvc.cache_of(clone).path(name), name)
        dvc.cache_of(clone).drop(name)
    (clone / PART).unlink()
    done = dvc.dvc_command(clone, "pull", PART)
    assert done.returncode == 0, done.stderr
    assert dvc.is_placed(clone, PART, file)


@pytest.mark.parametrize("kept", ["manifest", "nothing"])
def test_what_the_cache_lacks_comes_from_the_remote_by_its_name(tmp_path: Path, kept: str) -> None:
    cold = make_directory_source(tmp_path / "cold", rows=50)
    for path in (cold.repo / ".dvc" / "cache").rglob("*"):
        if path.is_file() and not (kept == "manifest" and path.suffix == ".dir"):
            path.unlink()
    before = fingerprint_source(cold.repo)
    make_place(cold, tmp_path / "clone", PART)
    assert (tmp_path / "clone" / PART).is_file()
    assert len(dvc.cache_of(tmp_path / "clone").names()) == 2
    assert fingerprint_source(cold.repo) == before


def test_bytes_that_are_nowhere_are_named(tmp_path: Path) -> None:
    empty = make_directory_source(tmp_path / "empty", rows=50)
    shutil.rmtree(empty.repo / ".dvc" / "cache")
    shutil.rmtree(empty.remote)
    with pytest.raises(SetupError, match=DIRECTORY):
        make_place(empty, tmp_path / "clone", PART)


def test_a_file_that_the_directory_does_not_have_is_named(source: Source, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"has no file never\.parquet"):
        make_place(source, tmp_path / "clone", f"{DIRECTORY}/never.parquet")


def test_a_poisoned_manifest_is_scrubbed(clone: Path) -> None:
    before, commit = fingerprint(clone), dvc.head(clone)
    manifest = dvc.cache_of(clone).path(dvc.output_of(clone, PART).md5)
    manifest.chmod(0o644)
    manifest.write_bytes(b"[]")
    assert dvc.reset_to(clone, commit) == [f"cache:{PART}"]
    assert fingerprint(clone) == before


def test_the_repository_of_one_file_goes_too_where_its_maker_was_killed(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its damaged copy would lie among the data, untracked, where no fingerprint looks."""
    file, commit = dvc.pointed(clone, PART), dvc.head(clone)

    def die(*_: object) -> None:
        raise Crash

    monkeypatch.setattr(dvc_alone, "dvc_command", die)
    monkeypatch.setattr(tempfile.TemporaryDirectory, "__exit__", lambda *_: None)  # a killed process cleans nothing up
    monkeypatch.setattr(tempfile.TemporaryDirectory, "_cleanup", lambda *_, **__: None, raising=False)
    with pytest.raises(Crash):
        dvc_alone.ask("checkout", dvc.cache_of(clone), dvc.remote_of(clone), file.md5, file.size or 0, clone / PART)
    folder = (clone / PART).parent
    assert [path.name for path in folder.iterdir()] != [Path(PART).name]
    dvc.reset_to(clone, commit)
    assert [path.name for path in folder.iterdir()] == [Path(PART).name]


def test_every_data_fault_leaves_the_source_untouched_and_the_seal_says_so(source: Source, tmp_path: Path) -> None:
    before, seal = fingerprint_source(source.repo), fingerprint_touched(source.repo, [PART])
    place = make_place(source, tmp_path / "clone", PART)
    pristine = fingerprint(tmp_path / "clone")
    for number, (kind, params) in enumerate([*PARAMS.items(), ("data.object_bitrot", {"where": "remote", "flips": 2})]):
        case = _Case(Arrangement(registry.fault(kind), place, params, contexts(tmp_path / str(number))))
        handle = case.arm()
        assert case.inject(handle).effective, kind
        assert case.finding(handle) is Finding.INJECTED
        assert [path for path in PARTS if (tmp_path / "clone" / path).exists()] == [PART]
        case.revert(handle)
        assert fingerprint(tmp_path / "clone") == pristine, kind
    assert fingerprint_source(source.repo) == before
    assert fingerprint_touched(source.repo, [PART]) == seal


@pytest.mark.parametrize("where", ["cache", "remote"])
def test_dvc_asked_for_the_object_alone_does_what_it_does_in_the_directory(
    where: str, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, params = registry.fault("data.object_bitrot"), {"where": where, "flips": 3}
    said = []
    for name, large in (("in it", 1 << 20), ("alone", 0)):
        monkeypatch.setattr(object_bitrot, "LARGE_MANIFEST", large)
        place = make_place(source, tmp_path / name, PART)
        case = _Case(Arrangement(fault, place, params, contexts(tmp_path / f"{name}.scratch")))
        before, handle = case.digest(), case.arm()
        receipt = case.inject(handle)
        typed, ctx = fault.params_type.model_validate(params), contexts(tmp_path / f"{name}.look")()
        assert fault.inspect(handle, typed, ctx) is Finding.INJECTED
        content = (tmp_path / name / PART).read_bytes() if (tmp_path / name / PART).exists() else b""
        names = dvc.cache_of(tmp_path / name).names(), dvc.remote_of(tmp_path / name).names()
        said.append((receipt.summary, receipt.effective, dict(receipt.evidence), content, names))
        case.revert(handle)
        assert case.digest() == before
        assert not list((tmp_path / name / PART).parent.glob(".squall-*"))
    assert said[0] == said[1]


@pytest.mark.parametrize("harm", ["object", "manifest", "mode", "index", "ref", "remote"])
def test_the_seal_sees_what_it_covers(tmp_path: Path, harm: str) -> None:
    mine = make_directory_source(tmp_path, rows=20)
    before = fingerprint_touched(mine.repo, [PART])
    manifest = dvc.output_of(mine.repo, PART).md5
    cache, remote = dvc.cache_of(mine.repo), dvc_bytes.Objects(mine.remote)
    file = dvc_bytes.inside(cache, dvc.output_of(mine.repo, PART), PART).md5
    if harm in ("object", "manifest", "remote"):
        spoiled = (remote if harm == "remote" else cache).path(manifest if harm == "manifest" else file)
        spoiled.chmod(0o644)
        spoiled.write_bytes(spoiled.read_bytes() + b" ")
        spoiled.chmod(0o444)
    elif harm == "mode":
        cache.path(file).chmod(0o644)
    elif harm == "index":
        (mine.repo / "new.txt").write_text("new")
        git.git(mine.repo, "add", "new.txt")
    else:
        git.git(mine.repo, "tag", "new")
    assert fingerprint_touched(mine.repo, [PART]) != before


def test_a_version_of_a_file_is_a_commit_that_changed_its_own_bytes(tmp_path: Path) -> None:
    """Between this file's two versions another file of the directory changed twice."""
    mine = make_directory_source(tmp_path / "made", rows=20)
    newest = dvc_bytes.inside(dvc.cache_of(mine.repo), dvc.output_of(mine.repo, PART), PART)
    older = dvc_bytes.inside(dvc.cache_of(mine.repo), dvc.output_of(mine.repo, PART, "v1"), PART)
    for seed in (7, 8):
        write_table(mine.repo / PARTS[0], table(20, seed=seed))
        assert dvc.dvc_command(mine.repo, "add", DIRECTORY).returncode == 0
        git.git(mine.repo, "commit", "--quiet", "-am", f"another file {seed}")
    place = make_place(mine, tmp_path / "clone", PART)
    fault = registry.fault("data.stale_version")
    case = _Case(Arrangement(fault, place, {"versions_back": 1}, contexts(tmp_path / "scratch")))
    assert dvc.pointed(tmp_path / "clone", PART).md5 == newest.md5
    assert case.inject(case.arm()).effective
    assert dvc.pointed(tmp_path / "clone", PART).md5 == older.md5


def test_an_output_of_a_stage_can_be_hurt_and_the_stages_after_it_see_it(tmp_path: Path) -> None:
    staged = tmp_path / "staged"
    git.git(None, "init", "--quiet", "-b", "main", str(staged))
    assert dvc.dvc_command(staged, "init", "--quiet").returncode == 0
    write_table(staged / "made.parquet", table(200))
    (staged / "dvc.yaml").write_text(
        "stages:\n  make:\n    cmd: mkdir -p out && cp made.parquet out/a.parquet\n    deps: [made.parquet]\n"
        "    outs: [out]\n  use:\n    cmd: cp out/a.parquet used.parquet\n    deps: [out]\n    outs: [used.parquet]\n"
    )
    assert dvc.dvc_command(staged, "repro").returncode == 0
    git.git(staged, "add", "-A")
    git.git(staged, "commit", "--quiet", "-m", "first")
    path = "out/a.parquet"
    place = make_place(Source(staged, tmp_path / "none"), tmp_path / "clone", path)
    params = PARAMS["data.missing_values"]
    case = _Case(Arrangement(registry.fault("data.missing_values"), place, params, contexts(tmp_path / "scratch")))
    before, handle = case.digest(), case.arm()
    case.inject(handle)
    status = json.loads(dvc.dvc_command(tmp_path / "clone", "status", "--json", "use").stdout)
    assert {"changed deps": {"out": "modified"}} in status["use"]
    case.revert(handle)
    assert case.digest() == before


def test_of_very_many_pointers_only_those_of_the_data_are_laid_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc_bytes, "POINTERS_LAID_OUT", 1)
    names = ("raw/a b.parquet", "raw/[x].parquet", PARQUET)
    many = make_source(tmp_path / "many", rows=50, paths=names)
    before = fingerprint_source(many.repo)
    for number, name in enumerate(names):
        clone = tmp_path / f"clone-{number}"
        place = make_place(many, clone, name)
        assert [path.relative_to(clone).as_posix() for path in clone.rglob("*.dvc") if path.is_file()] == [
            f"{name}.dvc"
        ]
        assert (clone / ".dvc" / "config").is_file()
        assert git.git(clone, "status", "--porcelain") == ""
        case = _Case(
            Arrangement(registry.fault("data.stale_version"), place, {"versions_back": 1}, contexts(clone / ".dvc/tmp"))
        )
        pristine, handle = case.digest(), case.arm()
        assert case.inject(handle).effective
        assert git.git(clone, "show", "--name-only", "--format=", "HEAD").splitlines() == [f"{name}.dvc"]
        case.revert(handle)
        assert case.digest() == pristine
    assert fingerprint_source(many.repo) == before


def test_the_sealed_set_may_lie_in_a_directory_too(source: Source, tmp_path: Path) -> None:
    spec = DvcSource(repo=str(source.repo), rev="main", data=(PARTS[0],), sealed=PART, format="parquet")
    dvc.export(spec, dvc.resolve(spec), PART, tmp_path / "sealed.parquet")
    assert (tmp_path / "sealed.parquet").read_bytes() == (source.repo / PART).read_bytes()
