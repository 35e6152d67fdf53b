"""Bytes of a source's data files: copied from its cache, else fetched from its remote, into a store of ours.

The source is only ever read, as text and bytes.  Fetching from its remote is DVC's own work, in a folder apart.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from chaos_tasks.errors import SetupError
from chaos_tasks.targets import dvc_config, git, manifests
from chaos_tasks.targets.objects import Objects, WrongContentError
from chaos_tasks.targets.pointers import DataFile, Output

BRANCH = "squall"
FETCH_TIMEOUT_S = 3600.0
POINTERS_LAID_OUT = 1000
"""From more `*.dvc` files on, a clone's working tree has those of its own data only: each costs Git a file, and DVC
reads all of them at each command."""


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
def readable(repo: str) -> Iterator[Path]:
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


def bring(
    repo: str, commit: str, path: str, output: Output, objects: Objects, environment: Mapping[str, str] | None = None
) -> DataFile:
    """Put the bytes of a file, or of all files of a directory, into ``objects``, with its manifest; returns which.

    From the source's cache by copy, else from its remote; checked by MD5.
    """
    told = environment or {}
    if not output.is_directory:
        if not _holds_or_copies(repo, commit, output.md5, objects):
            _fetch_pointed(repo, commit, output, objects, told)
        _expect(repo, path, output.md5, objects)
        return file_of(objects, output, path)
    if not output.holds(path):
        return _bring_whole(repo, commit, output, objects, told)
    file = look_up(repo, commit, path, output, objects, told)
    _bring_named(repo, commit, output, file.md5, objects, told)
    return file


def _bring_whole(repo: str, commit: str, output: Output, objects: Objects, environment: Mapping[str, str]) -> DataFile:
    """A directory: its files from the source's cache one by one, and what is missing in one `dvc fetch` of it."""
    _bring_named(repo, commit, output, output.md5, objects, environment)
    names = sorted({entry.md5 for entry in manifests.entries(objects.path(output.md5))})
    missing = [md5 for md5 in names if not _holds_or_copies(repo, commit, md5, objects)]
    if missing:
        _fetch_pointed(repo, commit, output, objects, environment)
    for md5 in missing:
        _expect(repo, output.path, md5, objects)
    return file_of(objects, output, output.path)


def look_up(
    repo: str, commit: str, path: str, output: Output, objects: Objects, environment: Mapping[str, str]
) -> DataFile:
    """Which bytes a file has: its pointer says it, or the manifest, which is brought."""
    if output.is_directory:
        _bring_named(repo, commit, output, output.md5, objects, environment)
    return file_of(objects, output, path)


def _bring_named(
    repo: str, commit: str, output: Output, md5: str, objects: Objects, environment: Mapping[str, str]
) -> None:
    if not _holds_or_copies(repo, commit, md5, objects):
        _fetch_named(repo, commit, output, md5, objects, environment)
    _expect(repo, output.path, md5, objects)


def file_of(objects: Objects, output: Output, path: str) -> DataFile:
    """What its pointer says of a file, or the manifest that lies in ``objects``."""
    if output.holds(path):
        return inside(objects, output, path)
    return DataFile(md5=output.md5, size=output.size)


def inside(objects: Objects, output: Output, path: str) -> DataFile:
    """What the manifest of a tracked directory says of a file; raises SetupError when it is not in there."""
    try:
        entry = manifests.find(objects.path(output.md5), output.inside(path))
    except FileNotFoundError as error:
        raise SetupError(
            f"the manifest of {output.path} ({output.md5}) is not in {objects.root}",
            remedy="open the clone again",
        ) from error
    if entry is None:
        raise SetupError(
            f"the tracked directory {output.path} ({output.md5}) has no file {output.inside(path)}",
            remedy="correct the path: `dvc list . --dvc-only -R` names the files",
        )
    return DataFile(md5=entry.md5, size=None)


def _expect(repo: str, path: str, md5: str, objects: Objects) -> None:
    if not objects.holds(md5):
        raise SetupError(
            f"the bytes of {path} (MD5 {md5}) are neither in the cache nor in the remote of {repo}",
            remedy="run `dvc push` where the data was added, and check the credentials that read the remote",
        )


def _holds_or_copies(repo: str, commit: str, md5: str, objects: Objects) -> bool:
    """Whether the object is there already, or could be copied from the source's cache."""
    if objects.holds(md5):
        return True
    objects.drop(md5)
    folder = local_folder(repo)
    if folder is None:
        return False
    cache = Objects(dvc_config.source_cache(folder, dvc_config.source_sections(folder, commit, folder)))
    with suppress(FileNotFoundError, WrongContentError):
        objects.put(cache.path(md5), md5)
        return True
    return False


def _fetch_pointed(repo: str, commit: str, output: Output, objects: Objects, environment: Mapping[str, str]) -> None:
    """`dvc fetch` of one pointer in a throw-away clone whose cache is ours and whose remotes are the source's."""
    with tempfile.TemporaryDirectory(prefix="squall-fetch-") as temporary:
        clone = Path(temporary) / "clone"
        git_clone(repo, clone, commit, [output.pointer])
        _configure(clone, dvc_config.source_sections(clone, commit, local_folder(repo)), objects, Path(temporary))
        target = output.pointer if output.pointer.endswith(".dvc") else output.path
        _expect_fetched(dvc_command(clone, "fetch", target, environment=environment), output.path, repo)


def _fetch_named(
    repo: str, commit: str, output: Output, md5: str, objects: Objects, environment: Mapping[str, str]
) -> None:
    """One object by its name: `dvc fetch` of a file in a directory would load a million entries to take one."""
    with tempfile.TemporaryDirectory(prefix="squall-fetch-") as temporary, readable(repo) as source:
        bare = Path(temporary) / "bare"
        (bare / ".dvc").mkdir(parents=True)
        (bare / ".dvc" / "config").write_text(dvc_config.dump({"core": {"no_scm": "true"}}))
        _configure(bare, dvc_config.source_sections(source, commit, local_folder(repo)), objects, Path(temporary))
        taken = Path(temporary) / "object"
        done = python_module(
            bare, "chaos_tasks.targets.dvc_fetch", output.remote, md5, str(taken), environment=environment
        )
        _expect_fetched(done, output.path, repo)
        with suppress(WrongContentError):
            objects.put(taken, md5)


def _configure(folder: Path, sections: Mapping[str, Any], objects: Objects, temporary: Path) -> None:
    """Let DVC in a folder of ours read the source's remotes, and write nowhere but here."""
    remotes = dvc_config.remotes_only(dict(sections))
    local = {
        "core": {"site_cache_dir": str(temporary / "site"), "analytics": "false", "check_update": "false"},
        "cache": {"dir": str(objects.root.resolve())},
    }
    local["core"] |= remotes.pop("core", {})
    (folder / ".dvc" / "config.local").write_text(dvc_config.dump({**local, **remotes}))


def _expect_fetched(done: subprocess.CompletedProcess[str], path: str, repo: str) -> None:
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
    return python_module(folder, "dvc", *arguments, environment=environment)


def python_module(
    folder: Path, module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A module that uses DVC, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONWARNINGS": "ignore", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=FETCH_TIMEOUT_S,
    )


def git_clone(repo: str, target: Path, commit: str, pointers: Sequence[str]) -> None:
    """Objects of its own: no hardlinks and no alternates into the source.

    Of very many pointers, only these are laid out in the working tree.
    """
    folder = local_folder(repo)
    git.git(None, "clone", "--quiet", "--no-hardlinks", "--no-checkout", str(folder or repo), str(target))
    if git.count_files(target, commit, ".dvc") > POINTERS_LAID_OUT:
        git.leave_out(target, "*.dvc", but=["/.dvc/", *(f"/{git.escaped(one)}" for one in pointers)])
    git.git(target, "checkout", "--quiet", "-B", BRANCH, commit)
