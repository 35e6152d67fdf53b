"""Yesterday's data: the pointer says an older version, as after a failed export or a lost push."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from chaos_tasks.errors import InjectError, SetupError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.data.version import Change, VersionFault, VersionParams, clone_of, path_of
from chaos_tasks.model.formats import ALL
from chaos_tasks.model.handle import Handle
from chaos_tasks.targets import dvc, git
from chaos_tasks.targets.pointers import DataFile


class StaleVersionParams(VersionParams):
    """Which older version."""

    intensity_field: ClassVar[str | None] = "versions_back"
    rev: str | None = Field(None, description="Tag or commit of the older version; give this or `versions_back`.")
    versions_back: int | None = Field(
        None, ge=1, le=1000, description="How many versions of this file back (1 = the one before); or give `rev`."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.rev is None) == (self.versions_back is None):
            raise ValueError("give either `rev` or `versions_back`")
        return self


class StaleVersion(VersionFault[StaleVersionParams]):
    """The old bytes come from the source's cache or remote, by copy."""

    kind = "data.stale_version"
    summary = "Serve an older version of the data under the newest name"
    cause = "An export that failed silently, or a pointer committed without its push: the pipeline trains on old data"
    params_type = StaleVersionParams
    formats = ALL
    policy: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "inject": ("s3:GetObject", "s3:ListBucket")  # of the source's remote, where that is S3 and its cache lacks them
    }

    def change(self, handle: Handle, file: Path, params: StaleVersionParams, ctx: FaultContext) -> Change:
        """Place the old bytes where the new ones were."""
        clone, path = clone_of(handle.place), path_of(handle.place, params)
        commit, old = find_older(clone, path, params, _credentials(ctx))
        dvc.place_file(clone, path, old)
        return Change(
            summary=f"{path} set to its version of commit {commit[:12]}",
            effective=True,  # the file's MD5 decides whether it changed
            evidence={
                "stale_commit": commit,
                "stale_md5": old.md5,
                "stale_bytes": file.stat().st_size if file.is_file() else old.size,
            },
        )


def _credentials(ctx: FaultContext) -> Mapping[str, str]:
    """For the source's remote, should its cache lack the bytes; a remote that is a folder needs none."""
    try:
        return ctx.clients.environment(ctx.injector)
    except SetupError:
        return {}


def find_older(
    clone: Path, path: str, params: StaleVersionParams, environment: Mapping[str, str]
) -> tuple[str, DataFile]:
    """The commit and content of the older version, brought into the clone's cache; raises InjectError without one."""
    if params.rev is not None:
        commit = git.commit_of(clone, params.rev)
        if commit is None:
            raise InjectError(f"the clone has no tag or commit {params.rev}", remedy="name a tag of the source")
        return commit, dvc.obtain(clone, path, commit, environment)
    return _some_back(clone, path, params.versions_back or 0, environment)


def _some_back(clone: Path, path: str, back: int, environment: Mapping[str, str]) -> tuple[str, DataFile]:
    """In a tracked directory a commit of the pointer is a version of this file only where its own bytes changed."""
    output = dvc.output_of(clone, path)
    log = git.git(clone, "log", "--format=%H", "HEAD", "--", output.pointer).split()
    by_itself = output.path == path and output.pointer.endswith(".dvc")
    versions = log if by_itself else list(_changes(clone, path, log, back, environment))
    if back >= len(versions):
        raise InjectError(
            f"{path} has only {len(versions)} versions", remedy=f"choose versions_back of at most {len(versions) - 1}"
        )
    return versions[back], dvc.obtain(clone, path, versions[back], environment)


def _changes(clone: Path, path: str, log: list[str], back: int, environment: Mapping[str, str]) -> Iterator[str]:
    """Commits at which the file's bytes are others than at the one before in this list, no more than are needed."""
    last = ""
    for commit in log:
        try:
            file = dvc.seek(clone, path, commit, environment)
        except SetupError:  # not tracked there, or not in that directory yet
            return
        if file.md5 != last:
            yield commit
            back -= 1
        if back < 0:
            return
        last = file.md5
