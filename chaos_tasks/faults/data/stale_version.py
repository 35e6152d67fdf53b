"""Yesterday's data: the pointer says an older version, as after a failed export or a lost push."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from chaos_tasks.errors import InjectError, SetupError
from chaos_tasks.faults.base import FaultContext
from chaos_tasks.faults.data.version import Change, VersionFault, VersionParams, clone_of, path_of
from chaos_tasks.model.handle import Handle
from chaos_tasks.targets import dvc, git
from chaos_tasks.targets.pointers import DataFile, pointer_name


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

    def change(self, handle: Handle, file: Path, params: StaleVersionParams, ctx: FaultContext) -> Change:
        """Place the old bytes where the new ones were."""
        clone, path = clone_of(handle.place), path_of(handle.place, params)
        commit, old = find_older(clone, path, params)
        marker = dvc.read_marker(clone)
        dvc.bring(marker.source, commit, path, old, dvc.cache_of(clone), _credentials(ctx))
        dvc.place_file(clone, path, old)
        return Change(
            summary=f"{path} set to its version of commit {commit[:12]}",
            effective=True,  # the file's MD5 decides whether it changed
            evidence={"stale_commit": commit, "stale_md5": old.md5, "stale_bytes": old.size},
        )


def _credentials(ctx: FaultContext) -> Mapping[str, str]:
    """For the source's remote, should its cache lack the bytes; a remote that is a folder needs none."""
    try:
        return ctx.clients.environment(ctx.injector)
    except SetupError:
        return {}


def find_older(clone: Path, path: str, params: StaleVersionParams) -> tuple[str, DataFile]:
    """The commit and content of the older version; raises InjectError when there is none."""
    if params.rev is not None:
        commit = git.commit_of(clone, params.rev)
        if commit is None:
            raise InjectError(f"the clone has no tag or commit {params.rev}", remedy="name a tag of the source")
        return commit, dvc.pointed(clone, path, commit)
    log = git.git(clone, "log", "--format=%H", "HEAD", "--", pointer_name(path)).split()
    back = params.versions_back or 0
    if back >= len(log):
        raise InjectError(
            f"{path} has only {len(log)} versions", remedy=f"choose versions_back of at most {len(log) - 1}"
        )
    return log[back], dvc.pointed(clone, path, log[back])
