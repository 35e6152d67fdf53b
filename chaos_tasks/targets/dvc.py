"""Data versions of a Git+DVC repository: resolve one, clone it apart from its source, change and restore the clone.

A data file is tracked by itself or lies in a tracked directory; of a directory, a clone holds the manifest and the
files that were asked for, and all else is known by name and absent; or the directory is the data (images, texts), and
all of it is there.

The source is only ever read, as text and bytes: it is never opened with DVC, which would write below its `.dvc/tmp`,
and no link to it is made.  Pointers and cache objects of a clone are written here, in DVC 3's layout, so that a crash
leaves no lock of DVC's behind; fetching from a source's remote is DVC's own work (its command line, in a folder apart).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from chaos_tasks.errors import SetupError
from chaos_tasks.model.base import Value, canonical
from chaos_tasks.model.formats import FOLDERS
from chaos_tasks.model.target import DvcSource
from chaos_tasks.targets import dvc_alone, dvc_config, git, manifests
from chaos_tasks.targets.directories import discard, is_laid_out, keep_folder, keeps_bytes, lay_out
from chaos_tasks.targets.dvc_bytes import bring, file_of, git_clone, inside, look_up, readable
from chaos_tasks.targets.dvc_bytes import dvc_command as dvc_command
from chaos_tasks.targets.dvc_bytes import local_folder as local_folder
from chaos_tasks.targets.objects import Objects, copy_verified, md5_of, sync
from chaos_tasks.targets.pointers import DataFile, Output, expect_kind, find_output, replace_output


class SourceVersion(Value):
    """One version of a source's data: its commit, and the output that holds each data file there."""

    commit: str
    data: Mapping[str, Output]
    sealed: Output | None = None
    data_digest: str = Field(description="SHA-256 of the pointers of the data and the sealed set.")


class CloneMarker(Value):
    """Written last into a finished clone."""

    source: str
    source_commit: str
    base: str = Field(description="First commit of the clone's own: the source's, without addresses.")
    materialised: tuple[str, ...]


# --- the source ------------------------------------------------------------------------------------------------------


def resolve(source: DvcSource) -> SourceVersion:
    """The version that `source.rev` names, without touching the source; raises SetupError saying what is missing."""
    with readable(source.repo) as folder:
        commit = git.commit_of(folder, source.rev)
        if commit is None:
            raise SetupError(
                f"{source.repo} has no branch, tag or commit {source.rev!r}",
                remedy="correct `source.rev` in the target file",
            )
        return version_at(folder, source, commit)


def s3_remotes(source: DvcSource, commit: str) -> list[dict[str, str]]:
    """Sections of the source's remotes that are in S3, as its configuration has them at a commit."""
    with readable(source.repo) as folder:
        sections = dvc_config.source_sections(folder, commit, local_folder(source.repo))
    remotes = dvc_config.remotes_only(sections)
    return [dict(one) for name, one in remotes.items() if name != "core" and str(one.get("url")).startswith("s3://")]


def version_at(folder: Path, source: DvcSource, commit: str) -> SourceVersion:
    """What the pointers say at one commit."""
    where = f"{source.repo} at {commit[:12]}"
    if git.show(folder, commit, ".dvc/config") is None:
        raise SetupError(f"{where} is no DVC repository: .dvc/config is missing", remedy="run `dvc init` and commit")

    reader = git.reader(folder, commit)
    data = {path: find_output(reader, path, where) for path in source.data}
    for path, output in data.items():
        expect_kind(output, path, where, folder=source.format in FOLDERS)
    sealed = find_output(reader, source.sealed, where) if source.sealed else None
    return SourceVersion(commit=commit, data=data, sealed=sealed, data_digest=_data_digest(data, source.sealed, sealed))


def _data_digest(data: Mapping[str, Output], sealed_path: str | None, sealed: Output | None) -> str:
    """Of a file in a tracked directory the manifest counts: any change in the directory is a new version."""
    import hashlib

    named = {path: output.md5 for path, output in data.items()}
    return hashlib.sha256(
        canonical({"data": named, "sealed": {sealed_path or "": sealed.md5 if sealed else ""}})
    ).hexdigest()


def export(
    source: DvcSource, version: SourceVersion, path: str, dest: Path, environment: Mapping[str, str] | None = None
) -> None:
    """Copy one file of a version out (the sealed set, say), checked by MD5; a finished copy is kept."""
    output = _output_in(source, version, path)
    if dest.is_file() and md5_of(dest) == output.md5:
        return
    dest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".squall-export-", dir=dest.parent) as temporary:
        objects = Objects(Path(temporary))
        file = bring(source.repo, version.commit, path, output, objects, environment)
        if file.is_directory:
            lay_out(objects, file, dest)
        else:
            copy_verified(objects.path(file.md5), dest, file.md5)


def _output_in(source: DvcSource, version: SourceVersion, path: str) -> Output:
    return version.sealed if path == source.sealed and version.sealed else version.data[path]


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
    outputs = {path: _output_in(source, version, path) for path in materialise}
    git_clone(source.repo, partial, version.commit, [output.pointer for output in outputs.values()])
    base = _isolate(partial, dest)
    for path, output in outputs.items():
        place_file(partial, path, bring(source.repo, version.commit, path, output, cache_of(partial), environment))
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


def output_of(clone: Path, path: str, revision: str = "HEAD") -> Output:
    """The output that holds a file at a revision of the clone; raises SetupError when it is not tracked there."""
    return find_output(git.reader(clone, revision), path, f"{clone.name} at {revision[:12]}")


def pointed(clone: Path, path: str, revision: str = "HEAD") -> DataFile:
    """What pointer and manifest say of a file; raises SetupError when it is not tracked, or its manifest not here."""
    return file_of(cache_of(clone), output_of(clone, path, revision), path)


def obtain(clone: Path, path: str, revision: str, environment: Mapping[str, str] | None = None) -> DataFile:
    """Put the bytes that a file has at a commit of the source into the clone's cache, by copy; returns which."""
    output, marker = output_of(clone, path, revision), read_marker(clone)
    return bring(marker.source, revision, path, output, cache_of(clone), environment)


def seek(clone: Path, path: str, revision: str, environment: Mapping[str, str] | None = None) -> DataFile:
    """Which bytes a file has at a commit of the source; the manifest is brought, the bytes are not."""
    output, marker = output_of(clone, path, revision), read_marker(clone)
    return look_up(marker.source, revision, path, output, cache_of(clone), environment or {})


def keeps(clone: Path, path: str) -> bool:
    """Whether the clone's cache has the file's right bytes, and its directory's manifest."""
    output, cache = output_of(clone, path), cache_of(clone)
    if output.is_directory and not cache.holds(output.md5):
        return False
    return keeps_bytes(cache, file_of(cache, output, path))


def place_file(clone: Path, path: str, file: DataFile) -> None:
    """Write a file's bytes from the clone's cache into its working tree, by copy or reflink."""
    target = clone / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.is_directory:
        lay_out(cache_of(clone), file, target)
    else:
        copy_verified(cache_of(clone).path(file.md5), target, file.md5)


def commit_version(clone: Path, paths: Sequence[str], message: str) -> tuple[str, dict[str, DataFile]]:
    """Track the files' present bytes as a new version and commit it; returns the commit and what each file is now.

    Same result as `dvc add` and `git commit`; same bytes and message on the same commit give the same commit id.
    """
    files = {path: _track(clone, path) for path in paths}
    git.git(clone, "add", "--", *(output_of(clone, path).pointer for path in paths))
    git.git(clone, "commit", "--quiet", "--allow-empty", "-m", message)
    return head(clone), files


def _track(clone: Path, path: str) -> DataFile:
    working, cache = clone / path, cache_of(clone)
    output = find_output(git.working_reader(clone), path, clone.name)
    if working.is_dir():
        file, files = keep_folder(cache, working)
        _point_at(clone, output, file.md5, file.size or 0, files)
        return file
    file = DataFile(md5=md5_of(working), size=working.stat().st_size)
    cache.put(working, file.md5)
    if output.is_directory:
        _point_inside(clone, path, output, file)
    else:
        _point_at(clone, output, file.md5, file.size or 0)
    return file


def _point_inside(clone: Path, path: str, output: Output, file: DataFile) -> None:
    """A manifest with one entry changed; of the directory's size, the file's part."""
    cache = cache_of(clone)
    old = cache.path(inside(cache, output, path).md5)
    grown = (file.size or 0) - old.stat().st_size
    manifest = manifests.with_entry(cache, output.md5, output.inside(path), file.md5)
    _point_at(clone, output, manifest, max(0, output.size + grown))


def _point_at(clone: Path, output: Output, md5: str, size: int, files: int | None = None) -> None:
    """Let the pointer in the working tree say these bytes; nothing is committed."""
    pointer = clone / output.pointer
    pointer.write_text(replace_output(pointer.read_text(), output, md5, size, files))


def reset_to(clone: Path, commit: str, environment: Mapping[str, str] | None = None) -> list[str]:
    """Bring the clone back to a commit, its materialised files and cache included; returns what had to be rewritten.

    Scrubs: an object whose bytes are wrong is fetched again by content from the source, since `dvc checkout --force`
    would hand out a poisoned one.  Safe to call again after a crash.
    """
    marker = read_marker(clone)
    git.drop_stale_locks(clone)
    git.git(clone, "reset", "--quiet", "--hard", commit)
    outputs, cache, rewritten = {path: output_of(clone, path) for path in marker.materialised}, cache_of(clone), []
    right = {md5 for md5 in {output.md5 for output in outputs.values()} if cache.holds(md5)}
    for path, output in outputs.items():
        kept = output.md5 in right and (not output.is_directory or keeps_bytes(cache, file_of(cache, output, path)))
        if not kept:
            bring(marker.source, marker.source_commit, path, output, cache, environment)
            rewritten.append(f"cache:{path}")
        file = file_of(cache, output, path)
        if not is_placed(clone, path, file):
            place_file(clone, path, file)
            rewritten.append(path)
        for left in (f".{Path(path).name}.squall-*", f"{dvc_alone.PREFIX}*"):
            for partial in (clone / path).parent.glob(left):
                discard(partial)
    return rewritten


def is_placed(clone: Path, path: str, file: DataFile) -> bool:
    """Whether the working tree has exactly those bytes."""
    working = clone / path
    if file.is_directory:
        return is_laid_out(cache_of(clone), file, working)
    return working.is_file() and file.size in (None, working.stat().st_size) and md5_of(working) == file.md5
