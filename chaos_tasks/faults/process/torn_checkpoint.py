"""`process.torn_checkpoint`: the workload dies while it writes a checkpoint, and finds a torn one when it resumes.

It heals by itself, or does not: which is the question.  Revert puts the torn file right if it is still there as we left
it; once the workload has replaced or removed it, nothing of ours is left, and no prior state is promised.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from pydantic import Field, JsonValue

from chaos_tasks.errors import InjectError, RevertError
from chaos_tasks.faults.base import FaultContext, FaultParams
from chaos_tasks.faults.process import marks, stopping
from chaos_tasks.faults.process.places import process_place
from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, Receipt, Reversibility
from chaos_tasks.model.place import Place, ProcessPlace
from chaos_tasks.ports import Clock
from chaos_tasks.targets.process import ProcessIdentity, group

GONE_S = 5.0
POLL_S = 0.01
CHUNK = 1 << 20


class TornCheckpointParams(FaultParams):
    """How much of the file survives."""

    keep_fraction: float = Field(
        0.5, ge=0, lt=1, description="Share of the newest checkpoint's bytes that is kept, 0..1."
    )
    glob: str = Field("", description="Which files are checkpoints, below {checkpoints}; empty: as the target says.")
    kill: bool = Field(True, description="Whether the workload is killed too, so that it resumes from the torn file.")


class TornCheckpoint:
    """Cuts the newest checkpoint short, and kills the workload."""

    kind: ClassVar[str] = "process.torn_checkpoint"
    summary: ClassVar[str] = "Leave the newest checkpoint half-written, and kill the workload."
    cause: ClassVar[str] = "Power loss, a full disk or a kill during a checkpoint that is not written atomically."
    params_type: ClassVar[type[FaultParams]] = TornCheckpointParams
    reversibility: ClassVar[Reversibility] = Reversibility.SELF_HEALS
    place_types: ClassVar[tuple[type[Value], ...]] = (ProcessPlace,)
    policy: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    lasts_through_restart: ClassVar[bool] = True  # only the next launch reads the torn file

    def snapshot(self, place: Place, params: TornCheckpointParams, ctx: FaultContext) -> Mapping[str, JsonValue]:
        """The newest checkpoint now; raises InjectError when there is none to tear."""
        spot = process_place(place)
        file = newest(spot, params.glob)
        if file is None:
            raise InjectError(
                f"{spot.trial_id} has no checkpoint yet", remedy="fire later: a progress trigger beyond the first one"
            )
        return {"file": _relative(file, spot), "size": file.stat().st_size, "sha256": sha256_of(file)}

    def blast_radius(self, place: Place, params: TornCheckpointParams) -> float:
        """All of one trial's work may be lost."""
        return 1.0

    def inject(self, handle: Handle, params: TornCheckpointParams, ctx: FaultContext) -> Receipt:
        """Stop the workload so that it writes nothing newer, tear, then kill it."""
        place = process_place(handle.place)
        mark = marks.read(handle)
        if "file" not in mark:
            stopping.stop(handle, group(place))
            mark = _plan(handle, place, params, ctx.clock)
        file = Path(place.checkpoints) / str(mark["file"])
        if sha256_of(file) == mark["sha256"]:
            _tear(handle, file, _size(mark))
        if params.kill:
            _kill(handle, place, ctx.clock)
        else:
            _let_go(handle, place, ctx.clock)
        torn = sha256_of(file) == mark["torn_sha256"]
        dead = not _ours(handle, place)
        return Receipt(
            at=ctx.clock.now(),
            effective=torn and (dead or not params.kill),
            summary=f"{mark['file']} cut from {mark['size']} to {mark['torn_size']} bytes" + (", killed" * params.kill),
            evidence={**{name: mark[name] for name in mark if name != stopping.STOPPED}, "workload_gone": dead},
        )

    def revert(self, handle: Handle, params: TornCheckpointParams, ctx: FaultContext) -> Receipt:
        """Put the torn file right if it is still ours; let the workload go on if injection died with it stopped."""
        place = process_place(handle.place)
        still = _let_go(handle, place, ctx.clock)
        mark, restored = marks.read(handle), False
        if "file" in mark:
            if not mark.get("reverted"):
                restored = _restore(handle, place, mark)
                marks.write(handle, {**mark, "reverted": True})
            _remove_partial(handle, Path(place.checkpoints) / str(mark["file"]))
        marks.path_of(handle, "original").unlink(missing_ok=True)
        what = "the torn checkpoint is whole again" if restored else "no torn checkpoint of ours is left"
        what += f"; {still} processes do not go on yet" * bool(still)
        return Receipt(at=ctx.clock.now(), effective=not still, summary=what, evidence={"restored": restored})

    def inspect(self, handle: Handle, params: TornCheckpointParams, ctx: FaultContext) -> Finding:
        """Whether the file is as we tore it."""
        place, mark = process_place(handle.place), marks.read(handle)
        members = _ours(handle, place)
        if stopping.standing(handle, members):
            return Finding.PARTIAL
        if "file" not in mark:
            return Finding.ARMED
        if sha256_of(Path(place.checkpoints) / str(mark["file"])) != mark["torn_sha256"]:
            return Finding.REVERTED if mark.get("reverted") or not members else Finding.ARMED
        return Finding.PARTIAL if params.kill and members else Finding.INJECTED

    def fingerprint(self, place: Place, ctx: FaultContext) -> Fingerprint:
        """The newest checkpoint, and who of the group lives."""
        spot = process_place(place)
        file = newest(spot, "")
        state = [_relative(file, spot), sha256_of(file)] if file else []
        alive = [f"{one.pid}@{one.start_time:.2f}" for one in group(spot)]
        return Fingerprint(
            digest=hashlib.sha256(repr((state, alive)).encode()).hexdigest(),
            covers="name and bytes of the newest checkpoint, and the living processes of the group",
            leaves_out="older checkpoints",
        )


def newest(place: ProcessPlace, glob: str) -> Path | None:
    """The checkpoint written last; hidden files are other programs' temporaries."""
    folder = Path(place.checkpoints)
    files = [path for path in folder.glob(glob or place.checkpoint_glob or "**/*") if path.is_file()]
    seen = [path for path in files if not path.name.startswith(".")]
    return max(seen, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)


def sha256_of(path: Path) -> str:
    """Digest of the bytes, or an empty text where there is no file."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def _plan(handle: Handle, place: ProcessPlace, params: TornCheckpointParams, clock: Clock) -> dict[str, JsonValue]:
    """Keep a copy of the whole file and note what will be done, both on disk before the act."""
    file = newest(place, params.glob)
    if file is None:
        _let_go(handle, place, clock)
        raise InjectError(f"{place.trial_id} has no checkpoint any more", handle_id=handle.id, remedy="fire again")
    copy = marks.path_of(handle, "original")
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file.open("rb") as source, copy.open("wb") as target:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
    size = file.stat().st_size
    torn_size = min(int(size * params.keep_fraction), max(0, size - 1))
    mark: dict[str, JsonValue] = {
        "file": _relative(file, place),
        "size": size,
        "sha256": sha256_of(copy),
        "torn_size": torn_size,
        "torn_sha256": _sha256_of_prefix(copy, torn_size),
    }
    marks.write(handle, {**marks.read(handle), **mark})
    return mark


def _tear(handle: Handle, file: Path, size: int) -> None:
    """Put a short copy in the file's place, from files that a revert removes: whoever is late finds none, and fails."""
    torn = _torn_of(handle, file)
    with torn.open("wb") as target, marks.path_of(handle, "original").open("rb") as source:  # in this order: see above
        while size > 0 and (chunk := source.read(min(size, CHUNK))):
            target.write(chunk)
            size -= len(chunk)
    shutil.copymode(file, torn)
    os.replace(torn, file)


def _torn_of(handle: Handle, file: Path) -> Path:
    """Beside the checkpoint, since a rename stays within a file system; hidden, as a temporary file."""
    return file.with_name(f".{file.name}.{marks.path_of(handle).stem}.squall")


def _whole_of(handle: Handle, file: Path) -> Path:
    """The copy that is to take the torn file's place, beside it."""
    return file.with_name(f".{file.name}.{marks.path_of(handle).stem}.whole.squall")


def _remove_partial(handle: Handle, file: Path) -> None:
    """What an injection or an undo left that was killed before its rename."""
    for partial in (_torn_of(handle, file), _whole_of(handle, file)):
        partial.unlink(missing_ok=True)


def _restore(handle: Handle, place: ProcessPlace, mark: Mapping[str, JsonValue]) -> bool:
    """Copy the original back, at once, if the file is still as we tore it."""
    file, copy = Path(place.checkpoints) / str(mark["file"]), marks.path_of(handle, "original")
    seen = _version(file)
    if sha256_of(file) != mark["torn_sha256"]:
        return False
    if sha256_of(copy) != mark["sha256"]:
        raise RevertError(
            f"the copy of {mark['file']} is gone or damaged", handle_id=handle.id, remedy=f"delete {file} by hand"
        )
    partial = _whole_of(handle, file)
    shutil.copyfile(copy, partial)
    with suppress(FileNotFoundError):
        shutil.copystat(file, partial)  # the workload takes the newest: its time must not change
    if _version(file) != seen:  # the workload has written its next one meanwhile, and that is its own
        partial.unlink()
        return False
    os.replace(partial, file)
    return True


def _version(file: Path) -> tuple[int, ...]:
    """What changes whenever the file is written or replaced; empty where there is none."""
    try:
        state = file.stat()
    except FileNotFoundError:
        return ()
    return state.st_ino, state.st_mtime_ns, state.st_size


def _sha256_of_prefix(path: Path, size: int) -> str:
    digest, left = hashlib.sha256(), size
    with path.open("rb") as stream:
        while left > 0 and (chunk := stream.read(min(left, CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def _kill(handle: Handle, place: ProcessPlace, clock: Clock) -> None:
    deadline = clock.monotonic() + GONE_S
    while (members := _ours(handle, place)) and clock.monotonic() < deadline:
        for one in _leader_last(members, place):
            one.send(signal.SIGKILL)
        clock.sleep(POLL_S)


def _leader_last(members: Iterable[ProcessIdentity], place: ProcessPlace) -> list[ProcessIdentity]:
    return sorted(members, key=lambda one: one.pid == place.pid)


def _let_go(handle: Handle, place: ProcessPlace, clock: Clock) -> int:
    """Let the workload go on; how many are not known to."""
    stopping.let_go(handle, lambda: _ours(handle, place), clock)
    return len(stopping.standing(handle, _ours(handle, place)))


def _ours(handle: Handle, place: ProcessPlace) -> list[ProcessIdentity]:
    """The group as it is, and whom we stopped: once its leader has died, a group may not be known as ours."""
    members = {one.pid: one for one in (*group(place), *stopping.stopped_by_us(handle))}
    return list(members.values())


def _relative(file: Path, place: ProcessPlace) -> str:
    return file.relative_to(place.checkpoints).as_posix()


def _size(mark: Mapping[str, JsonValue]) -> int:
    size = mark["torn_size"]
    return size if isinstance(size, int) else 0
