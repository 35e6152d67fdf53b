"""Git by subprocess: no hooks, no prompts, no optional locks, a fixed identity and date for commits of ours."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from chaos_tasks.errors import SetupError
from chaos_tasks.redacting import reveal

IDENTITY = {
    "GIT_AUTHOR_NAME": "squall",
    "GIT_AUTHOR_EMAIL": "squall@localhost",
    "GIT_AUTHOR_DATE": "2000-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "squall",
    "GIT_COMMITTER_EMAIL": "squall@localhost",
    "GIT_COMMITTER_DATE": "2000-01-01T00:00:00Z",
}
# safe.directory: a source owned by another user is only read here.
# hooksPath: a clone must not run the `dvc checkout` hooks of a template.
_SETTINGS = (
    ("safe.directory", "*"),
    ("core.hooksPath", os.devnull),
    ("core.autocrlf", "false"),
    ("commit.gpgSign", "false"),
    ("tag.gpgSign", "false"),
    ("gc.auto", "0"),
    ("advice.detachedHead", "false"),
)
_OF_THE_CALLER = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that Git runs with."""
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_THE_CALLER}
    settings = {"GIT_CONFIG_COUNT": str(len(_SETTINGS))}
    for index, (key, value) in enumerate(_SETTINGS):
        settings |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    return {**inherited, **settings, **quiet, **IDENTITY, **(extra or {})}


def git(folder: Path | None, *arguments: str, extra: Mapping[str, str] | None = None) -> str:
    """Standard output of one command; raises SetupError with Git's own words."""
    done = attempt(folder, *arguments, extra=extra)
    if done.returncode:
        raise SetupError(
            f"git {arguments[0]} failed in {folder or 'no folder'}: {done.stderr.decode(errors='replace').strip()}",
            remedy="repair the repository, or the access to it, and try again",
        )
    return done.stdout.decode(errors="surrogateescape")


def attempt(
    folder: Path | None, *arguments: str, extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """One command, whatever its exit code."""
    where = [] if folder is None else ["-C", str(folder)]
    told = [reveal(one, os.environ) for one in arguments]  # an address may name the variable that holds it
    return subprocess.run(["git", *where, *told], env=environment(extra), capture_output=True, check=False)


def show(folder: Path, revision: str, path: str) -> str | None:
    """Text of a file at a revision, or None when it is not there."""
    done = attempt(folder, "show", f"{revision}:{path}")
    return done.stdout.decode() if done.returncode == 0 else None


def reader(folder: Path, revision: str) -> Callable[[str], str | None]:
    """What `show` says at one revision."""
    return lambda path: show(folder, revision, path)


def working_reader(folder: Path) -> Callable[[str], str | None]:
    """The same of the working tree."""

    def read(path: str) -> str | None:
        try:
            return (folder / path).read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None

    return read


def count_files(folder: Path, revision: str, suffix: str) -> int:
    """How many tracked files end so."""
    names = git(folder, "ls-tree", "-r", "-z", "--name-only", revision).split("\0")
    return sum(name.endswith(suffix) for name in names)


def leave_out(folder: Path, pattern: str, but: Iterable[str]) -> None:
    """From the next checkout on, leave files of that name out of the working tree, but for these patterns."""
    (folder / ".git" / "info").mkdir(exist_ok=True)
    (folder / ".git" / "info" / "sparse-checkout").write_text("\n".join(["/*", f"!{pattern}", *but]) + "\n")
    git(folder, "config", "core.sparseCheckout", "true")


def escaped(path: str) -> str:
    """A path as a pattern that matches nothing else."""
    return re.sub(r"([\\*?\[\]#! ])", r"\\\1", path)


def commit_of(folder: Path, revision: str) -> str | None:
    """The commit that a branch, tag or id names, or None.  A branch known only from the remote is found too."""
    for name in (revision, f"refs/remotes/origin/{revision}"):
        done = attempt(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if done.returncode == 0:
            return done.stdout.decode().strip()
    return None


def drop_stale_locks(folder: Path) -> None:
    """Remove what a killed Git left.  Only for a clone of ours, whose holder has been fenced."""
    for lock in [*(folder / ".git").glob("*.lock"), *(folder / ".git" / "refs").rglob("*.lock")]:
        lock.unlink(missing_ok=True)
