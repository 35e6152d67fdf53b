"""Data versions of a Git+DVC repository: resolve one, clone it apart from its source, change and restore the clone.

The source is only ever read, as text and bytes: it is never opened with DVC, which would write below its `.dvc/tmp`,
and no link to it is made.  Pointers and cache objects of a clone are written here, in DVC 3's layout, so that a crash
leaves no lock of DVC's behind; fetching from a source's remote is DVC's own work (its command line, in a folder apart).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import Field

from chaos_tasks.errors import SetupError
from chaos_tasks.model.base import Value, canonical
from chaos_tasks.model.target import DvcSource
from chaos_tasks.targets import dvc_config, git
from chaos_tasks.targets.objects import Objects, WrongContentError, copy_verified, md5_of, sync
from chaos_tasks.targets.pointers import DataFile, pointer_name, read_pointer, replace_pointer

BRANCH = "squall"
FETCH_TIMEOUT_S = 3600.0


class SourceVersion(Value):
    """One version of a source's data: its commit, and the bytes of each data file there."""

    commit: str
    data: Mapping[str, DataFile]
    sealed: DataFile | None = None
    data_digest: str = Field(description="SHA-256 of the pointers of the data and the sealed set.")


class CloneMarker(Value):
    """Written last into a finished clone."""

    source: str
    source_commit: str
    base: str = Field(description="First commit of the clone's own: the source's, without addresses.")
    materialised: tuple[str, ...]


# --- the source ------------------------------------------------------------------------------------------------------


def local_folder(repo: str) -> Path | None:
    """The source as a folder, or None when it is a URL."""
    plain = repo.removeprefix("file://")
    if Path(plain).expanduser().is_dir():
        return Path(plain).expanduser().resolve()
    remote = "://" in repo and not repo.startswith("file://")
    if remote or ("@" in repo and ":" in repo):
        return None
    raise SetupError(f"the source repository {repo} does not exist", remedy="correct `source.repo` in the target file")


@contextmanager
def _readable(repo: str) -> Iterator[Path]:
    """A folder in which Git can read the source's history."""
    folder = local_folder(repo)
    if folder is not None:
        if git.attempt(folder, "rev-parse", "--git-dir").returncode:
            raise SetupError(f"{repo} is no Git repository", remedy="run `git init` there, or correct `source.repo`")
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="squall-source-") as temporary:
        bare = Path(temporary) / "bare"
        git.git(None, "clone", "--quiet", "--bare", repo, str(bare))
        yield bare


def resolve(source: DvcSource) -> SourceVersion:
    """The version that `source.rev` names, without touching the source; raises SetupError saying what is missing."""
    with _readable(source.repo) as folder:
        commit = git.commit_of(folder, source.rev)
        if commit is None:
            raise SetupError(
                f"{source.repo} has no branch, tag or commit {source.rev!r}",
                remedy="correct `source.rev` in the target file",
            )
        return version_at(folder, source, commit)


def version_at(folder: Path, source: DvcSource, commit: str) -> SourceVersion:
    """What the pointers say at one commit."""
    where = f"{source.repo} at {commit[:12]}"
    if git.show(folder, commit, ".dvc/config") is None:
        raise SetupError(f"{where} is no DVC repository: .dvc/config is missing", remedy="run `dvc init` and commit")

    def pointed(path: str) -> DataFile:
        return read_pointer(git.show(folder, commit, pointer_name(path)), path, where)

    data = {path: pointed(path) for path in source.data}
    sealed = pointed(source.sealed) if source.sealed else None
    return SourceVersion(commit=commit, data=data, sealed=sealed, data_digest=_data_digest(data, source.sealed, sealed))


def _data_digest(data: Mapping[str, DataFile], sealed_path: str | None, sealed: DataFile | None) -> str:
    import hashlib

    named = {path: file.md5 for path, file in data.items()}
    return hashlib.sha256(
        canonical({"data": named, "sealed": {sealed_path or "": sealed.md5 if sealed else ""}})
    ).hexdigest()


def bring(
    repo: str, commit: str, path: str, file: DataFile, objects: Objects, environment: Mapping[str, str] | None = None
) -> None:
    """Put one file's bytes into ``objects``: from the source's cache by copy, else from its remote.  Checked by MD5."""
    if objects.holds(file.md5):
        return
    objects.drop(file.md5)
    if not _from_cache(repo, commit, file, objects):
        _from_remote(repo, commit, path, objects, environment or {})
    if not objects.holds(file.md5):
        raise SetupError(
            f"the bytes of {path} (MD5 {file.md5}) are neither in the cache nor in the remote of {repo}",
            remedy="run `dvc push` where the data was added, and check the credentials that read the remote",
        )


def _from_cache(repo: str, commit: str, file: DataFile, objects: Objects) -> bool:
    folder = local_folder(repo)
    if folder is None:
        return False
    cache = Objects(dvc_config.source_cache(folder, dvc_config.source_sections(folder, commit, folder)))
    with suppress(FileNotFoundError, WrongContentError):
        objects.put(cache.path(file.md5), file.md5)
        return True
    return False


def _from_remote(repo: str, commit: str, path: str, objects: Objects, environment: Mapping[str, str]) -> None:
    """`dvc fetch` in a throw-away clone whose cache is ours and whose remotes are the source's."""
    folder = local_folder(repo)
    with tempfile.TemporaryDirectory(prefix="squall-fetch-") as temporary:
        clone = Path(temporary) / "clone"
        _git_clone(repo, clone, commit)
        sections = dvc_config.remotes_only(dvc_config.source_sections(clone, commit, folder))
        local = {
            "core": {"site_cache_dir": str(Path(temporary) / "site"), "analytics": "false", "check_update": "false"},
            "cache": {"dir": str(objects.root.resolve())},
        }
        local["core"] |= sections.pop("core", {})
        (clone / ".dvc" / "config.local").write_text(dvc_config.dump({**local, **sections}))
        done = dvc_command(clone, "fetch", pointer_name(path), environment=environment)
        if done.returncode:
            raise SetupError(
                f"dvc fetch of {path} from the remote of {repo} failed: {_last_line(done.stderr)}",
                remedy="check the remote's address and the credentials that read it",
            )


def _last_line(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "it said nothing")


def dvc_command(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """DVC's command line, as a user would call it."""
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        env={**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONWARNINGS": "ignore", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=FETCH_TIMEOUT_S,
    )


def _git_clone(repo: str, target: Path, commit: str) -> None:
    """Objects of its own: no hardlinks and no alternates into the source."""
    folder = local_folder(repo)
    git.git(None, "clone", "--quiet", "--no-hardlinks", "--no-checkout", str(folder or repo), str(target))
    git.git(target, "checkout", "--quiet", "-B", BRANCH, commit)


def export(
    source: DvcSource, version: SourceVersion, path: str, dest: Path, environment: Mapping[str, str] | None = None
) -> None:
    """Copy one file of a version out (the sealed set, say), checked by MD5; a finished copy is kept."""
    file = version.sealed if path == source.sealed and version.sealed else version.data[path]
    if dest.is_file() and md5_of(dest) == file.md5:
        return
    dest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".squall-export-", dir=dest.parent) as temporary:
        objects = Objects(Path(temporary))
        bring(source.repo, version.commit, path, file, objects, environment)
        copy_verified(objects.path(file.md5), dest, file.md5)


# --- the clone -------------------------------------------------------------------------------------------------------


def cache_of(clone: Path) -> Objects:
    """The clone's own cache."""
    return Objects(clone / ".dvc" / "cache")


def remote_of(clone: Path) -> Objects:
    """The clone's own remote: a folder beside it."""
    return Objects(clone.with_name(f"{clone.name}.remote"))


def notes_of(clone: Path) -> Path:
    """Squall's own notes about a clone, where neither Git nor DVC looks."""
    return clone / ".git" / "squall"


def open_clone(
    source: DvcSource,
    version: SourceVersion,
    dest: Path,
    *,
    materialise: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Make a clone with a cache, site cache and remote of its own, and only ``materialise`` checked out.

    Idempotent: a finished clone of the same version is kept, a half-made one is made again.  Raises SetupError when
    something else lies at ``dest``.
    """
    wanted = CloneMarker(source=source.repo, source_commit=version.commit, base="", materialised=tuple(materialise))
    if dest.exists():
        _accept(dest, wanted)
        return
    partial = dest.with_name(f".{dest.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    dest.parent.mkdir(parents=True, exist_ok=True)
    _git_clone(source.repo, partial, version.commit)
    base = _isolate(partial, dest)
    for path in materialise:
        file = version.sealed if path == source.sealed and version.sealed else version.data[path]
        bring(source.repo, version.commit, path, file, cache_of(partial), environment)
        place_file(partial, path, file)
    write_note(partial, "clone", wanted.model_copy(update={"base": base}).model_dump(mode="json"))
    os.replace(partial, dest)


def _accept(dest: Path, wanted: CloneMarker) -> None:
    found = _read_marker(dest)
    if found is None or found.model_copy(update={"base": ""}) != wanted:
        made = f"a clone of {found.source} at {found.source_commit[:12]}" if found else "something else"
        raise SetupError(f"{dest} is {made}", remedy="remove it, or choose another workspace")


def _isolate(partial: Path, dest: Path) -> str:
    """Take every address of the source out of the clone, and commit that; returns the commit."""
    git.git(partial, "remote", "remove", "origin")
    git.git(partial, "config", "core.hooksPath", os.devnull)
    config = partial / ".dvc" / "config"
    config.write_text(dvc_config.clone_config(config.read_text()))
    (partial / ".dvc" / "config.local").write_text(
        dvc_config.clone_local_config(dest.absolute(), remote_of(dest.absolute()).root)
    )
    remote_of(dest).root.mkdir(parents=True, exist_ok=True)
    cache_of(partial).root.mkdir(parents=True, exist_ok=True)
    exclude = partial / ".git" / "info" / "exclude"
    exclude.parent.mkdir(exist_ok=True)
    with exclude.open("a") as file:  # a source whose .dvc/.gitignore is not committed
        file.write("/.dvc/config.local\n/.dvc/tmp\n/.dvc/cache\n")
    git.git(partial, "add", "--", ".dvc/config")
    git.git(partial, "commit", "--quiet", "--allow-empty", "-m", "Isolate this clone from its source")
    return head(partial)


def read_marker(clone: Path) -> CloneMarker:
    """What the clone was made from; raises SetupError when it is no finished clone of ours."""
    marker = _read_marker(clone)
    if marker is None:
        raise SetupError(
            f"{clone} is no clone made by Squall", remedy="make it with open_clone; a source is never changed"
        )
    return marker


def _read_marker(clone: Path) -> CloneMarker | None:
    note = read_note(clone, "clone")
    return None if note is None else CloneMarker.model_validate(note)


def write_note(clone: Path, name: str, note: Mapping[str, object]) -> None:
    """Keep a small JSON note with the clone, durable before this returns."""
    folder = notes_of(clone)
    folder.mkdir(exist_ok=True)
    partial = folder / f"{name}.partial"
    partial.write_text(json.dumps(note))
    sync(partial)
    os.replace(partial, folder / f"{name}.json")


def read_note(clone: Path, name: str) -> dict[str, object] | None:
    """A note, or None."""
    try:
        note = json.loads((notes_of(clone) / f"{name}.json").read_text())
    except FileNotFoundError:
        return None
    return dict(note)


def head(clone: Path) -> str:
    """The commit that is checked out."""
    return git.git(clone, "rev-parse", "HEAD").strip()


def pointed(clone: Path, path: str, revision: str = "HEAD") -> DataFile:
    """What the pointer of a file says at a revision of the clone; raises SetupError when it is not tracked there."""
    return read_pointer(git.show(clone, revision, pointer_name(path)), path, f"{clone.name} at {revision[:12]}")


def place_file(clone: Path, path: str, file: DataFile) -> None:
    """Write a file's bytes from the clone's cache into its working tree, by copy or reflink."""
    target = clone / path
    target.parent.mkdir(parents=True, exist_ok=True)
    copy_verified(cache_of(clone).path(file.md5), target, file.md5)


def commit_version(clone: Path, paths: Sequence[str], message: str) -> tuple[str, dict[str, DataFile]]:
    """Track the files' present bytes as a new version and commit it; returns the commit and what each file is now.

    Same result as `dvc add` and `git commit`; same bytes and message on the same commit give the same commit id.
    """
    files = {path: _track(clone, path) for path in paths}
    git.git(clone, "add", "--", *(pointer_name(path) for path in paths))
    git.git(clone, "commit", "--quiet", "--allow-empty", "-m", message)
    return head(clone), files


def _track(clone: Path, path: str) -> DataFile:
    working = clone / path
    file = DataFile(md5=md5_of(working), size=working.stat().st_size)
    cache_of(clone).put(working, file.md5)
    point_at(clone, path, file)
    return file


def point_at(clone: Path, path: str, file: DataFile) -> None:
    """Let the pointer in the working tree say ``file``; nothing is committed."""
    pointer = clone / pointer_name(path)
    pointer.write_text(replace_pointer(pointer.read_text(), path, file))


def reset_to(clone: Path, commit: str, environment: Mapping[str, str] | None = None) -> list[str]:
    """Bring the clone back to a commit, its materialised files and cache included; returns what had to be rewritten.

    Scrubs: an object whose bytes are wrong is fetched again by content from the source, since `dvc checkout --force`
    would hand out a poisoned one.  Safe to call again after a crash.
    """
    marker = read_marker(clone)
    git.drop_stale_locks(clone)
    git.git(clone, "reset", "--quiet", "--hard", commit)
    rewritten = []
    for path in marker.materialised:
        file = pointed(clone, path)
        if not cache_of(clone).holds(file.md5):
            bring(marker.source, marker.source_commit, path, file, cache_of(clone), environment)
            rewritten.append(f"cache:{path}")
        if not is_placed(clone, path, file):
            place_file(clone, path, file)
            rewritten.append(path)
        for partial in (clone / path).parent.glob(f".{Path(path).name}.squall-*"):
            partial.unlink(missing_ok=True)
    return rewritten


def is_placed(clone: Path, path: str, file: DataFile) -> bool:
    """Whether the working tree has exactly those bytes."""
    working = clone / path
    return working.is_file() and working.stat().st_size == file.size and md5_of(working) == file.md5
