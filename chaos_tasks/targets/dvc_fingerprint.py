"""Fingerprints of a clone and of a source: equal before and after, or something was changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from chaos_tasks.model.base import canonical
from chaos_tasks.model.handle import Fingerprint
from chaos_tasks.targets import dvc_config, git
from chaos_tasks.targets.dvc import cache_of, output_of, read_marker, remote_of
from chaos_tasks.targets.dvc_bytes import inside
from chaos_tasks.targets.manifests import entries
from chaos_tasks.targets.objects import Objects, md5_of
from chaos_tasks.targets.pointers import Output, find_output

COVERS = (
    "HEAD and its branch, all refs, the state of tracked files and of the index, the pointers and bytes of "
    "materialised data files, every object of the clone's cache and of its own remote"
)
LEAVES_OUT = "untracked and ignored files, unreachable Git objects, reflogs, modification times, file modes"


def fingerprint(clone: Path) -> Fingerprint:
    """State of a clone; costs one read of the materialised files and of their objects."""
    marker = read_marker(clone)
    state = {
        "git": _git_state(clone) | {"status": git.git(clone, "status", "--porcelain=v1", "-z", "--untracked-files=no")},
        "files": {path: _content(clone / path) for path in marker.materialised},
        "pointers": {path: _content(clone / output_of(clone, path).pointer) for path in marker.materialised},
        "config": [_content(clone / ".dvc" / name) for name in ("config", "config.local")],
        "cache": dict(_objects(cache_of(clone))),
        "remote": dict(_objects(remote_of(clone))),
    }
    return Fingerprint(digest=_digest(state), covers=COVERS, leaves_out=LEAVES_OUT)


def fingerprint_source(repo: Path) -> Fingerprint:
    """State of a source folder, to prove that it was left alone: with the mode and link count of every cached byte."""
    sections = dvc_config.source_sections(repo, "HEAD", repo)
    remotes = [Path(values["url"]) for name, values in sections.items() if name.startswith("remote ")]
    state = {
        "git": _git_state(repo),
        "index": _content(repo / ".git" / "index"),
        "tree": dict(_everything(repo, but=("tmp",))),
        "cache": dict(_everything(dvc_config.source_cache(repo, sections))),
        "remotes": [dict(_everything(remote)) for remote in remotes if remote.is_dir()],
        "dvc_tmp": (repo / ".dvc" / "tmp").exists() and sorted(path.name for path in (repo / ".dvc" / "tmp").iterdir()),
    }
    return Fingerprint(
        digest=_digest(state),
        covers="HEAD, refs, index, every file with its mode and links, the cache, and remotes that are folders",
        leaves_out="modification times, the contents of .dvc/tmp, remotes that are not folders",
    )


SEAL_COVERS = (
    "HEAD and its branch, all refs, the index, the state of tracked files, the output of each named file (in a tracked "
    "directory its manifest, which names the MD5 of every file there), and the bytes, mode and link count of those "
    "manifests and files in the cache and in remotes that are folders"
)
SEAL_LEAVES_OUT = (
    "whether the bytes of any other file are still in cache or remote and are what the manifest says, untracked files, "
    "modification times, .dvc/tmp, remotes that are not folders"
)


def fingerprint_touched(repo: Path, paths: Sequence[str]) -> Fingerprint:
    """State of a source folder as far as these data files go: neither all its bytes nor all its keys are read.

    Costs one read of the named files and of their directories' manifests.
    """
    sections = dvc_config.source_sections(repo, "HEAD", repo)
    roots = [dvc_config.source_cache(repo, sections)]
    roots += [Path(values["url"]) for name, values in sections.items() if name.startswith("remote ")]
    outputs = [find_output(git.reader(repo, "HEAD"), path, str(repo)) for path in paths]
    stores = [Objects(root) for root in roots]
    state = {
        "git": _git_state(repo) | {"status": git.git(repo, "status", "--porcelain=v1", "-z", "--untracked-files=no")},
        "index": _content(repo / ".git" / "index"),
        "outputs": [output.model_dump(mode="json") for output in outputs],
        "kept": [dict(_kept(store, outputs, paths)) for store in stores],
    }
    return Fingerprint(digest=_digest(state), covers=SEAL_COVERS, leaves_out=SEAL_LEAVES_OUT)


def _kept(store: Objects, outputs: Sequence[Output], paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    for path, output in zip(paths, outputs, strict=True):
        names = [output.md5]
        if output.is_directory and store.path(output.md5).is_file():
            whole = not output.holds(path)
            manifest = store.path(output.md5)
            names += [one.md5 for one in entries(manifest)] if whole else [inside(store, output, path).md5]
        for name in names:
            yield name, _whole(store.path(name)) if store.path(name).is_file() else "absent"


def _git_state(folder: Path) -> dict[str, Any]:
    return {
        "head": git.git(folder, "rev-parse", "HEAD"),
        "branch": git.attempt(folder, "symbolic-ref", "-q", "HEAD").stdout.decode(),
        "refs": git.git(folder, "for-each-ref", "--format=%(refname) %(objectname)"),
    }


def _objects(objects: Objects) -> Iterator[tuple[str, str]]:
    for path in objects.files():
        yield str(path.relative_to(objects.root)), md5_of(path)


def _everything(root: Path, but: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_symlink():
            yield str(relative), f"-> {path.readlink()}"
        elif path.is_file() and not (set(relative.parts) & set(but)):
            yield str(relative), _whole(path)


def _whole(path: Path) -> str:
    """Bytes, mode and number of links."""
    state = path.stat()
    return f"{md5_of(path)} {state.st_mode:o} {state.st_nlink}"


def _content(path: Path) -> str:
    if path.is_dir():
        return _digest(dict(_everything(path)))
    return md5_of(path) if path.is_file() else "absent"


def _digest(state: object) -> str:
    return hashlib.sha256(canonical(state)).hexdigest()
