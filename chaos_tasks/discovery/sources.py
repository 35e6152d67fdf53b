"""Where a pipeline's data versions come from: its own DVC repository, or a private mirror of its folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from chaos_tasks.discovery import data_files, mirror
from chaos_tasks.discovery.csv_writing import Writing, alike, together, writing_of
from chaos_tasks.discovery.found import Guess, Pipeline, Source
from chaos_tasks.model.formats import CsvDialect
from chaos_tasks.targets import git

_MIRRORED = "${SQUALL_HOME}/mirrors/%s"


def source_of(pipeline: Pipeline, home: Path, name: str, *, write: bool = True) -> Source:
    """The source; makes the mirror where one is needed, unless told to write nothing."""
    usable, left_out = _usable(pipeline)
    form = _common(pipeline.root, usable)
    for path in usable:
        if data_files.format_of(path, pipeline.root) != form:
            left_out[path] = f"is no {form}; a target has data of one format"
    writing = _written(pipeline.root, [path for path in usable if path not in left_out], left_out)
    data = tuple(path for path in usable if path not in left_out)
    repo, rev = _repo(pipeline, home, name, data, write=write)
    return Source(repo=repo, rev=rev, data=data, format=form, left_out=left_out, csv=writing)


def _repo(pipeline: Pipeline, home: Path, name: str, data: tuple[str, ...], *, write: bool) -> tuple[Guess, str]:
    branch = _dvc_branch(pipeline.root, data)
    if branch is not None:
        why = "its own Git+DVC repository: only read, faults act on a clone"
        return Guess(value=str(pipeline.root), why=why), branch
    if write:
        mirror.make(pipeline.root, home / "mirrors" / name, data)
    commit = mirror.commit_of(pipeline.root)
    what = f"commit {commit[:12]}" if commit else "its files as they are now"
    why = f"a private copy of {what}, since its data are not in DVC; `squall init --renew` renews it"
    return Guess(value=_MIRRORED % name, why=why), "main"


def _written(root: Path, paths: list[str], left_out: dict[str, str]) -> Writing | None:
    """The dialect of the CSV files; those that are written in another way than the first are left out."""
    found = {path: writing_of(root / path) for path in paths if path.endswith(".csv") and (root / path).is_file()}
    first = next(iter(found), None)
    if first is None:
        return None
    for path, one in found.items():
        if not alike(found[first], one):
            left_out[path] = f"is written in another way than {first} (header or delimiter); a target has one"
    chosen = together([one for path, one in found.items() if path not in left_out])
    return None if chosen.dialect == CsvDialect() else chosen


def _usable(pipeline: Pipeline) -> tuple[list[str], dict[str, str]]:
    usable: list[str] = []
    left_out: dict[str, str] = {}
    for one in pipeline.data:
        path = pipeline.root / one.value
        why = ""
        if data_files.format_of(one.value, pipeline.root) is None:
            why = f"{path.suffix or 'this'} is no format that data faults change ({', '.join(data_files.formats())})"
        elif not path.exists() and not _can_be_brought(pipeline.root, one.value):
            why = (
                "is not there, and neither DVC's cache nor a remote has it: run `dvc pull`, then `squall init --force`"
            )
        if why:
            left_out[one.value] = why
        else:
            usable.append(one.value)
    return usable, left_out


def _can_be_brought(root: Path, path: str) -> bool:
    """Whether DVC tracks it, and its bytes are in the cache or a remote is named."""
    if not (root / f"{path}.dvc").is_file():
        return False
    from chaos_tasks.errors import SquallError

    try:
        return _bytes_are_there(root, path)
    except SquallError:
        return False


def _common(root: Path, paths: list[str]) -> str:
    counted = Counter(data_files.format_of(path, root) or "" for path in paths)
    return counted.most_common(1)[0][0] if counted else "csv"


def _dvc_branch(root: Path, data: tuple[str, ...]) -> str | None:
    """The branch of a repository that is a DVC one with all these files; None where a mirror is needed."""
    top = git.attempt(root, "rev-parse", "--show-toplevel")
    if top.returncode or Path(top.stdout.decode().strip()).resolve() != root.resolve():
        return None
    commit = git.commit_of(root, "HEAD")
    if commit is None or git.show(root, commit, ".dvc/config") is None or not data:
        return None
    if any(git.show(root, commit, f"{path}.dvc") is None for path in data):
        return None
    if any(not _bytes_are_there(root, path) for path in data):
        return None
    found = git.attempt(root, "symbolic-ref", "--short", "HEAD")
    return found.stdout.decode().strip() if found.returncode == 0 else commit


def _bytes_are_there(root: Path, path: str) -> bool:
    """A file whose bytes DVC can bring: in the cache, or in a remote; a plain one in the folder needs a mirror."""
    from chaos_tasks.targets import dvc_config
    from chaos_tasks.targets.objects import Objects
    from chaos_tasks.targets.pointers import find_output

    commit = git.commit_of(root, "HEAD") or ""
    sections = dvc_config.source_sections(root, commit, root)
    output = find_output(git.reader(root, commit), path, str(root))
    if Objects(dvc_config.source_cache(root, sections)).path(output.md5).is_file():
        return True
    return any(name.startswith("remote ") for name in sections) and not (root / path).exists()
