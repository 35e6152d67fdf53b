"""Carries clones and trial files between hosts by an S3 bucket: content-addressed, and checked by SHA-256.

Where a store is configured, a clone's state in the store is the place that a fault acts on, and a folder on disk only a
copy of it: it is brought before an act and given back whole after it.  A crash in mid-act leaves the store as it was.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from pydantic import JsonValue, ValidationError

from chaos_tasks.errors import Fenced, SetupError, WorkloadError
from chaos_tasks.faults.base import FaultContext, FaultParams
from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, Receipt
from chaos_tasks.model.place import DvcPlace, Place
from chaos_tasks.ports import Clients
from chaos_tasks.registry import AnyFault

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CREDENTIALS = "store"
SMALL_BYTES = 1 << 20
"""Smaller files travel together in one archive; larger ones each under its digest, so that only changed ones do."""

LEFT_OUT = (".dvc/tmp/", ".git/index.lock")
R = TypeVar("R")


P = ParamSpec("P")


def _reaching(method: Callable[P, R]) -> Callable[P, R]:
    """Errors of the network and the server become one of ours, so that a place out of reach proves nothing."""

    @wraps(method)
    def reaching(*args: P.args, **kwargs: P.kwargs) -> R:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return method(*args, **kwargs)
        except (BotoCoreError, ClientError) as error:
            raise WorkloadError(
                f"the store cannot be used: {type(error).__name__}", remedy="check SQUALL_STORE and its credentials"
            ) from error

    return reaching


class Large(Value):
    """A file that travels alone."""

    sha256: str
    mode: int


class CloneState(Value):
    """One state of a clone and its remote; the nonce tells it from an equal one that was given later."""

    nonce: str
    archive: str
    large: Mapping[str, Large]


@dataclass(frozen=True)
class Carrier:
    """Brings and gives; ``home`` is Squall's home, the same path on every host, each with a disk of its own."""

    home: Path
    clients: Clients
    bucket: str
    prefix: str
    endpoint: str = ""
    region: str = ""

    @classmethod
    def of(cls, variables: Mapping[str, str], home: Path, clients: Clients) -> Carrier | None:
        """The store that SQUALL_STORE (s3://bucket/prefix) names; None without one: all share one home."""
        url = variables.get("SQUALL_STORE", "")
        if not url:
            return None
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not url.startswith("s3://") or not bucket:
            raise SetupError(f"SQUALL_STORE is {url!r}", remedy="set it to s3://BUCKET/PREFIX, or leave it out")
        endpoint, region = variables.get("SQUALL_STORE_ENDPOINT", ""), variables.get("SQUALL_STORE_REGION", "us-east-1")
        return cls(home, clients, bucket, prefix.strip("/"), endpoint, region)

    # --- clones -----------------------------------------------------------------------------------------------

    @_reaching
    def knows(self, clone: Path) -> bool:
        """Whether a state of the clone is in the store."""
        return self._state(clone) is not None

    @_reaching
    def bring(self, clone: Path) -> None:
        """Make the folder what the store says; nothing to do where it is that already."""
        state = self._state(clone)
        if state is None or (clone.is_dir() and self._held(clone) == state.nonce):
            return
        self.drop(clone)
        arriving = clone.with_name(f".{clone.name}.arriving")
        shutil.rmtree(arriving, ignore_errors=True)
        arriving.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(self._get(state.archive, of=clone))) as archive:
            archive.extractall(arriving, filter="tar")
        for name, large in state.large.items():
            path = arriving / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._get(large.sha256, of=clone))
            path.chmod(large.mode)
        for folder in _folders(clone):
            (arriving / folder.name).mkdir(exist_ok=True)
            (arriving / folder.name).replace(folder)
        shutil.rmtree(arriving)
        clone.with_name(f"{clone.name}.done").touch()
        self._hold(clone, state.nonce)

    @_reaching
    def give(self, clone: Path) -> None:
        """Make the folder's state the newest; raises Fenced when another host has given one since it was brought."""
        brought, current = self._held(clone, acting=True), self._state(clone)
        if (current.nonce if current else "") != brought:
            raise Fenced(f"{clone.name} was changed from another host meanwhile", remedy="leave it to the new holder")
        buffer, large = io.BytesIO(), dict[str, Large]()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path, name in _members(clone):
                if path.is_file() and not path.is_symlink() and path.stat().st_size > SMALL_BYTES:
                    large[name] = Large(sha256=self._put(path.read_bytes(), of=clone), mode=path.stat().st_mode & 0o777)
                else:
                    archive.add(path, name, recursive=False)
        state = CloneState(nonce=secrets.token_hex(16), archive=self._put(buffer.getvalue(), of=clone), large=large)
        self._s3().put_object(Bucket=self.bucket, Key=self._key(clone), Body=state.model_dump_json().encode())
        self._hold(clone, state.nonce)

    def acting(self, clone: Path, act: Callable[[], R]) -> R:
        """Bring, act, give; a crash in between leaves the store as it was, and this host without a copy to trust."""
        self.bring(clone)
        held = _mark(clone)
        if held.exists():
            held.replace(held.with_suffix(".acting"))
        done = act()
        self.give(clone)
        return done

    def drop(self, clone: Path) -> None:
        """Remove this host's copy: what a fault has changed shall lie nowhere longer than it is needed."""
        for path in (_mark(clone), _mark(clone).with_suffix(".acting"), clone.with_name(f"{clone.name}.done")):
            path.unlink(missing_ok=True)
        for folder in _folders(clone):
            shutil.rmtree(folder, ignore_errors=True)

    @_reaching
    def delete(self, clone: Path) -> list[tuple[str, int]]:
        """Delete every object of a clone, its older versions too where the bucket keeps them; returns what was there.

        Raises WorkloadError when something is still listed afterwards.
        """
        there = [*self._listed(self._key(clone)), *self._listed(self._key(clone).removesuffix(".json") + "/")]
        for key, _, version in there:
            told = {"VersionId": version} if version else {}
            self._s3().delete_object(Bucket=self.bucket, Key=key, **told)  # type: ignore[arg-type]
        if self._listed(self._key(clone)) or self._listed(self._key(clone).removesuffix(".json") + "/"):
            raise WorkloadError(
                f"objects of {clone.name} are still in the store after their deletion",
                remedy="look at the bucket's versioning, its object lock and the rights of the store's credentials",
            )
        return [(key, size) for key, size, _ in there]

    def _listed(self, prefix: str) -> list[tuple[str, int, str]]:
        """Key, size and version of what begins so; delete markers too, of size 0."""
        s3 = self._s3()
        versioned: str | None = s3.get_bucket_versioning(Bucket=self.bucket).get("Status")
        if not versioned:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return [(one["Key"], one["Size"], "") for page in pages for one in page.get("Contents", [])]
        found: list[tuple[str, int, str]] = []
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix):
            found += [(one["Key"], one["Size"], one["VersionId"]) for one in page.get("Versions", [])]
            found += [(one["Key"], 0, one["VersionId"]) for one in page.get("DeleteMarkers", [])]
        return found

    # --- files of trials --------------------------------------------------------------------------------------

    @_reaching
    def keep(self, folder: Path, files: Mapping[str, str]) -> None:
        """Put files of a trial under their digests."""
        for name in files:
            if (folder / name).is_file():
                self._put((folder / name).read_bytes())

    @_reaching
    def fetch(self, folder: Path, files: Mapping[str, str]) -> None:
        """Lay files out that are not there; one that the store lacks is left out, and whoever needs it says so."""
        for name, digest in files.items():
            path = folder / name
            if not path.exists() and self._has(digest):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self._get(digest))

    # --- the bucket -------------------------------------------------------------------------------------------

    def _s3(self) -> S3Client:
        return self.clients.s3(CREDENTIALS, endpoint=self.endpoint, region=self.region)

    def _named(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _key(self, clone: Path) -> str:
        return self._named(f"clones/{clone.relative_to(self.home)}.json")

    def _state(self, clone: Path) -> CloneState | None:
        s3 = self._s3()
        try:
            text = s3.get_object(Bucket=self.bucket, Key=self._key(clone))["Body"].read()
            return CloneState.model_validate_json(text)
        except s3.exceptions.NoSuchKey:
            return None
        except ValidationError as error:
            raise WorkloadError(f"{self._key(clone)} in the store is damaged", remedy="look at that object") from error

    def _object(self, digest: str, of: Path | None) -> str:
        """A clone's bytes lie below its own key, so that they can all be deleted with it."""
        return self._named(f"clones/{of.relative_to(self.home)}/{digest}" if of else f"objects/{digest}")

    def _put(self, content: bytes, *, of: Path | None = None) -> str:
        digest = hashlib.sha256(content).hexdigest()
        if not self._has(digest, of=of):
            self._s3().put_object(Bucket=self.bucket, Key=self._object(digest, of), Body=content)
        return digest

    def _has(self, digest: str, *, of: Path | None = None) -> bool:
        found = self._s3().list_objects_v2(Bucket=self.bucket, Prefix=self._object(digest, of), MaxKeys=1)
        return found.get("KeyCount", 0) > 0

    def _get(self, digest: str, *, of: Path | None = None) -> bytes:
        content = self._s3().get_object(Bucket=self.bucket, Key=self._object(digest, of))["Body"].read()
        if hashlib.sha256(content).hexdigest() != digest:
            raise WorkloadError(f"object {digest[:12]} of the store is damaged", remedy="look at the bucket's disk")
        return content

    def _held(self, clone: Path, *, acting: bool = False) -> str:
        mark = _mark(clone).with_suffix(".acting") if acting else _mark(clone)
        try:
            return str(json.loads(mark.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return ""

    def _hold(self, clone: Path, nonce: str) -> None:
        _mark(clone).with_suffix(".acting").unlink(missing_ok=True)
        _mark(clone).write_text(json.dumps(nonce), encoding="utf-8")


class CarriedFault:
    """A fault whose clones are carried: every look and act begins with what the store says."""

    def __init__(self, fault: AnyFault, carrier: Carrier) -> None:
        self._fault, self._carrier = fault, carrier

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fault, name)

    def snapshot(self, place: Place, params: FaultParams, ctx: FaultContext) -> Mapping[str, JsonValue]:
        """As the fault."""
        self._bring(place)
        return self._fault.snapshot(place, params, ctx)

    def inspect(self, handle: Handle, params: FaultParams, ctx: FaultContext) -> Finding:
        """As the fault."""
        self._bring(handle.place)
        return self._fault.inspect(handle, params, ctx)

    def fingerprint(self, place: Place, ctx: FaultContext) -> Fingerprint:
        """As the fault."""
        self._bring(place)
        return self._fault.fingerprint(place, ctx)

    def inject(self, handle: Handle, params: FaultParams, ctx: FaultContext) -> Receipt:
        """As the fault; nothing is in before the store has it."""
        return self._act(handle.place, lambda: self._fault.inject(handle, params, ctx))

    def revert(self, handle: Handle, params: FaultParams, ctx: FaultContext) -> Receipt:
        """As the fault."""
        return self._act(handle.place, lambda: self._fault.revert(handle, params, ctx))

    def _bring(self, place: Place) -> None:
        if isinstance(place, DvcPlace):
            self._carrier.bring(Path(place.clone))

    def _act(self, place: Place, act: Callable[[], Receipt]) -> Receipt:
        return self._carrier.acting(Path(place.clone), act) if isinstance(place, DvcPlace) else act()


def carried(fault: AnyFault, carrier: Carrier | None) -> AnyFault:
    """The fault as it is where all share one home; else with its clones carried."""
    return fault if carrier is None else cast(AnyFault, CarriedFault(fault, carrier))


def _mark(clone: Path) -> Path:
    return clone.with_name(f"{clone.name}.held")


def _folders(clone: Path) -> tuple[Path, Path]:
    return clone, clone.with_name(f"{clone.name}.remote")


def _members(clone: Path) -> Iterator[tuple[Path, str]]:
    for folder in _folders(clone):
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder).as_posix()
            if not any(f"{inside}/".startswith(out) or inside == out for out in LEFT_OUT):
                yield path, f"{folder.name}/{inside}"
