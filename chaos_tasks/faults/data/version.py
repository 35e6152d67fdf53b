"""What all faults of data versions share: a bad version is committed and tagged in the clone, and taken back.

The tag `squall/<handle id>` is written last, so it says that the injection is complete; a note kept with the clone
(`.git/squall/<handle id>.json`) says that it began, and holds the evidence.  Both live with the clone and not in
scratch, so another worker can inspect and revert.  Faults on one clone are reverted in the reverse order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from pydantic import Field, JsonValue

from chaos_tasks.errors import InjectError, RevertError, SetupError, SquallError
from chaos_tasks.faults.base import FaultContext, FaultParams
from chaos_tasks.model.base import Value
from chaos_tasks.model.formats import TABLES, Format
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, Receipt, Reversibility
from chaos_tasks.model.place import DvcPlace, Place
from chaos_tasks.targets import dvc, dvc_fingerprint, git
from chaos_tasks.targets.pointers import DataFile


class VersionParams(FaultParams):
    """Parameters of a fault that acts on one data file."""

    path: str | None = Field(None, description="Data file in the repository; by default the target's first one.")


class Prior(Value):
    """The clone before the fault."""

    commit: str
    file: DataFile
    cache: tuple[str, ...] = Field(description="MD5s of the objects in the clone's cache.")
    remote: tuple[str, ...] = Field(description="MD5s of the objects in the clone's own remote.")


class Change(Value):
    """What a fault did to the file: counts, digests and column names only."""

    summary: str
    effective: bool
    evidence: Mapping[str, JsonValue]


P = TypeVar("P", bound=VersionParams)


class VersionFault(ABC, Generic[P]):
    """A fault that makes a new, bad version of one data file in a clone; subclasses say how."""

    kind: ClassVar[str]
    reversibility: ClassVar[Reversibility] = Reversibility.RESTORES
    place_types: ClassVar[tuple[type[Value], ...]] = (DvcPlace,)
    policy: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # nothing outside the clone is asked for
    formats: ClassVar[tuple[Format, ...]] = TABLES
    """Which formats it claims to act on; shown in docs/faults.md, and held to it by tests/conformance."""

    @abstractmethod
    def change(self, handle: Handle, file: Path, params: P, ctx: FaultContext) -> Change:
        """Change the file in the clone's working tree; called on a clone in its prior state."""

    def blast_radius(self, place: Place, params: P) -> float:
        """Every row, unless a subclass knows better."""
        return 1.0

    def snapshot(self, place: Place, params: P, ctx: FaultContext) -> Mapping[str, JsonValue]:
        """The commit, the file's MD5 and the names of all objects of the clone."""
        clone, path = clone_of(place), path_of(place, params)
        self._require_claim(place)
        prior = Prior(
            commit=dvc.head(clone),
            file=dvc.pointed(clone, path),
            cache=tuple(dvc.cache_of(clone).names()),
            remote=tuple(dvc.remote_of(clone).names()),
        )
        return dict(prior.model_dump(mode="json"))

    def _require_claim(self, place: Place) -> None:
        if isinstance(place, DvcPlace) and place.format not in self.formats:
            raise InjectError(
                f"{self.kind} does not act on data of the format {place.format}",
                remedy=f"it acts on {', '.join(self.formats)}; `source.format` of the target says what its data are",
            )

    def inject(self, handle: Handle, params: P, ctx: FaultContext) -> Receipt:
        """Change, commit, tag.  A half-made injection is taken back and made again; a complete one is only reported."""
        clone, path = clone_of(handle.place), path_of(handle.place, params)
        note = dvc.read_note(clone, note_name(handle))
        if note is not None and _tagged(clone, handle):
            return _receipt(ctx, Change.model_validate(note["change"]))
        prior = prior_of(handle)
        if dvc.head(clone) != prior.commit and note is None:
            raise InjectError(
                f"the clone {clone.name} is no longer at the commit of the snapshot",
                handle_id=handle.id,
                remedy="arm the fault again",
            )
        _restore(clone, prior)
        dvc.write_note(clone, note_name(handle), {"phase": "injecting"})
        change = self._make_version(handle, clone, path, params, ctx)
        dvc.write_note(clone, note_name(handle), {"phase": "injecting", "change": change.model_dump(mode="json")})
        git.git(clone, "tag", "--force", tag_of(handle), "HEAD")
        return _receipt(ctx, change)

    def _make_version(self, handle: Handle, clone: Path, path: str, params: P, ctx: FaultContext) -> Change:
        old = prior_of(handle).file
        try:
            change = self.change(handle, clone / path, params, ctx)
        except InjectError as error:
            raise InjectError(error.message, handle_id=handle.id, remedy=error.remedy) from error
        commit, files = dvc.commit_version(clone, [path], f"{self.kind} ({handle.id})")
        new = files[path]
        evidence = {**change.evidence, "file": path, "old_md5": old.md5, "new_md5": new.md5, "commit": commit}
        return change.model_copy(update={"evidence": evidence, "effective": change.effective and new.md5 != old.md5})

    def revert(self, handle: Handle, params: P, ctx: FaultContext) -> Receipt:
        """Back to the commit and bytes of the snapshot; the fault's own tag and objects go."""
        clone, prior = clone_of(handle.place), prior_of(handle)
        try:
            git.drop_stale_locks(clone)
            rewritten = _restore(clone, prior)
            git.attempt(clone, "tag", "--delete", tag_of(handle))
            dvc.write_note(clone, note_name(handle), {"phase": "reverted"})
            restored = self._is_prior(clone, path_of(handle.place, params), prior)
        except (SquallError, OSError) as error:
            raise RevertError(
                f"{self.kind}: the clone {clone} is not restored: {error}",
                handle_id=handle.id,
                remedy="nothing outside the clone is affected; remove the clone and run again",
            ) from error
        evidence: dict[str, JsonValue] = {"commit": prior.commit, "md5": prior.file.md5, "rewritten": len(rewritten)}
        return Receipt(at=ctx.clock.now(), effective=restored, summary="data version restored", evidence=evidence)

    def inspect(self, handle: Handle, params: P, ctx: FaultContext) -> Finding:
        """Judged by the clone alone: tag, commit, and the bytes of the file and of its objects."""
        clone, path = clone_of(handle.place), path_of(handle.place, params)
        try:
            note = dvc.read_note(clone, note_name(handle)) or {}
            if _tagged(clone, handle):
                return Finding.INJECTED if self.is_in(clone, path, note) else Finding.PARTIAL
            if not self._is_prior(clone, path, prior_of(handle)):
                return Finding.PARTIAL
        except (SetupError, OSError):
            return Finding.UNKNOWN
        return Finding.REVERTED if note.get("phase") == "reverted" else Finding.ARMED

    def is_in(self, clone: Path, path: str, note: Mapping[str, object]) -> bool:
        """Whether a tagged injection is still what the working tree holds."""
        return dvc.is_placed(clone, path, dvc.pointed(clone, path))

    def _is_prior(self, clone: Path, path: str, prior: Prior) -> bool:
        return (
            dvc.head(clone) == prior.commit
            and dvc.is_placed(clone, path, prior.file)
            and dvc.cache_of(clone).names() == list(prior.cache)
            and dvc.remote_of(clone).names() == list(prior.remote)
            and dvc.keeps(clone, path)
        )

    def fingerprint(self, place: Place, ctx: FaultContext) -> Fingerprint:
        """Of the clone."""
        return dvc_fingerprint.fingerprint(clone_of(place))


def clone_of(place: Place) -> Path:
    """The folder; raises InjectError for a place of another type."""
    if not isinstance(place, DvcPlace):
        raise InjectError(f"a data fault cannot act on a place of type {place.type}", remedy="set `target: data`")
    return Path(place.clone)


def path_of(place: Place, params: VersionParams) -> str:
    """The data file that the fault acts on."""
    if not isinstance(place, DvcPlace):
        raise InjectError(f"a data fault cannot act on a place of type {place.type}", remedy="set `target: data`")
    path = params.path or place.data[0]
    if path not in place.data:
        raise InjectError(f"{path} is not among the data of the target", remedy=f"choose from {', '.join(place.data)}")
    return path


def prior_of(handle: Handle) -> Prior:
    """The snapshot, typed."""
    return Prior.model_validate(dict(handle.prior))


def note_name(handle: Handle) -> str:
    """Firings are called <id>/<n>; neither a file nor a tag can lie below a file or tag of the same name."""
    return handle.id.replace("/", ".")


def tag_of(handle: Handle) -> str:
    """Name of the tag of a complete injection."""
    return f"squall/{note_name(handle)}"


def _tagged(clone: Path, handle: Handle) -> bool:
    """Whether the tag is there and what is checked out descends from it."""
    tag = f"refs/tags/{tag_of(handle)}"
    return git.attempt(clone, "merge-base", "--is-ancestor", tag, "HEAD").returncode == 0


def _restore(clone: Path, prior: Prior) -> list[str]:
    rewritten = dvc.reset_to(clone, prior.commit)
    dvc.cache_of(clone).keep_only(list(prior.cache))
    dvc.remote_of(clone).keep_only(list(prior.remote))
    return rewritten


def _receipt(ctx: FaultContext, change: Change) -> Receipt:
    return Receipt(at=ctx.clock.now(), effective=change.effective, summary=change.summary, evidence=change.evidence)
