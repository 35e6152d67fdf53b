"""A private Git+DVC repository with somebody's files, for pipelines whose data are not in DVC: theirs stay as they are.

Faults act on clones of the mirror, as on those of any DVC repository.  The same files make the same commit.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from chaos_tasks.errors import SetupError
from chaos_tasks.model.base import Value
from chaos_tasks.targets import git
from chaos_tasks.targets.directories import keep_folder
from chaos_tasks.targets.objects import Objects, md5_of

LARGEST_BYTES = 2 << 30
LEFT_OUT = frozenset(
    {".git", ".dvc", ".squall", ".venv", "venv", "env", "node_modules", "__pycache__", "mlruns", ".tox", ".mypy_cache"}
)
NOTE = "squall-mirror.json"
OURS = frozenset({"squall.target.yaml", "squall.toml"})


class MirrorNote(Value):
    """Of what a mirror is one."""

    root: str
    commit: str
    digest: str


def make(root: Path, dest: Path, data: Sequence[str]) -> str:
    """Make or renew the mirror of a folder; returns its commit.  Raises SetupError where the folder is too large."""
    files = _files(root)
    size = sum((root / path).stat().st_size for path in files)
    if size > LARGEST_BYTES:
        raise SetupError(
            f"{root} has {size / 2**30:.1f} GB outside of DVC, and a mirror copies {LARGEST_BYTES >> 30} GB at most",
            remedy="track the data with DVC (`dvc add`), and run `squall init` again",
        )
    _begin(dest)
    for old in _tracked(dest):
        (dest / old).unlink(missing_ok=True)
    cache = Objects(dest / ".dvc" / "cache")
    for one in data:
        if (root / one).exists():
            (dest / one).parent.mkdir(parents=True, exist_ok=True)
            _point(root / one, dest / one, cache)
    folders = {PurePosixPath(one) for one in data}
    for path in files:
        target = dest / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path not in folders and folders.isdisjoint(path.parents) and not _is_pointer_of(path, data):
            shutil.copyfile(root / path, target)
            target.chmod((root / path).stat().st_mode & 0o777)
    (dest / ".dvc" / "config").write_text("")
    (dest / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    return _commit(root, dest)


def note_of(mirror: Path) -> MirrorNote | None:
    """Of what it is a mirror; None where it is none."""
    try:
        return MirrorNote.model_validate_json((mirror / ".git" / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def commit_of(root: Path) -> str:
    """The commit of somebody's folder; empty where it is in no Git repository."""
    return (git.commit_of(root, "HEAD") or "") if git.attempt(root, "rev-parse", "--git-dir").returncode == 0 else ""


def digest_of(root: Path) -> str:
    """Of all files that a mirror has: whether it is still one."""
    import hashlib

    parts = [f"{path}:{md5_of(root / path)}" for path in _files(root)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _files(root: Path) -> list[PurePosixPath]:
    """What Git tracks, and what lies beside it (ignored data too); without what tools leave behind, and we."""
    found = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()]
    inside = [PurePosixPath(path.relative_to(root).as_posix()) for path in found]
    return [path for path in inside if not LEFT_OUT.intersection(path.parts) and not _is_ours(root / path)]


def _is_ours(file: Path) -> bool:
    """Written by `squall init` or `suggest`: the pipeline does not read it, so it makes no copy old."""
    if file.name in OURS:
        return True
    if file.suffix != ".yaml":
        return False
    with file.open("rb") as stream:
        return any(line.startswith(b"hypothesis:") for line in stream.readlines(4096))


def _begin(dest: Path) -> None:
    if dest.exists() and note_of(dest) is None and any(dest.iterdir()):
        raise SetupError(f"{dest} is no mirror made by Squall", remedy="remove it, or choose another --name")
    dest.mkdir(parents=True, exist_ok=True)
    if not (dest / ".git").exists():
        git.git(dest, "init", "--quiet", "--initial-branch", "main")
    (dest / ".dvc").mkdir(exist_ok=True)


def _tracked(dest: Path) -> list[str]:
    return [name for name in git.git(dest, "ls-files", "-z").split("\0") if name]


def _point(source: Path, target: Path, cache: Objects) -> None:
    """Into the cache, and a pointer to it; a directory by a manifest, as DVC has it."""
    counted = ""
    if source.is_dir():
        kept, count = keep_folder(cache, source)
        md5, size, counted = kept.md5, kept.size or 0, f"  nfiles: {count}\n"
    else:
        md5, size = md5_of(source), source.stat().st_size
        if not cache.holds(md5):
            cache.put(source, md5)
    pointer = f"outs:\n- md5: {md5}\n  size: {size}\n{counted}  hash: md5\n  path: {json.dumps(target.name)}\n"
    target.with_name(f"{target.name}.dvc").write_text(pointer, encoding="utf-8")


def _is_pointer_of(path: PurePosixPath, data: Sequence[str]) -> bool:
    return path.suffix == ".dvc" and str(path.with_suffix("")) in data


def _commit(root: Path, dest: Path) -> str:
    git.git(dest, "add", "--all", "--force", "--", ".", ":!.dvc/cache", ":!.dvc/tmp")
    if git.attempt(dest, "diff", "--cached", "--quiet").returncode or git.commit_of(dest, "HEAD") is None:
        git.git(dest, "commit", "--quiet", "--allow-empty", "-m", "Mirror the files of a pipeline")
    note = MirrorNote(root=str(root), commit=commit_of(root), digest=digest_of(root))
    (dest / ".git" / NOTE).write_text(note.model_dump_json(), encoding="utf-8")
    return git.commit_of(dest, "HEAD") or ""
