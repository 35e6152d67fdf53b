"""DVC's content-addressed store of one folder: files named by their MD5, copied or reflinked, never hardlinked."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 1 << 20
FICLONE = 0x40049409  # ioctl of linux/fs.h: share the extents, copy on write
_NO_REFLINK = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EPERM, errno.ENOSYS, errno.ETXTBSY}


class WrongContentError(OSError):
    """The bytes are not those that the name promises."""


@dataclass(frozen=True)
class Objects:
    """A cache or a local remote: <root>/files/md5/ab/cdef..."""

    root: Path

    def path(self, md5: str) -> Path:
        """Where the object of that MD5 lies, whether or not it is there; a manifest's MD5 ends in `.dir`."""
        return self.root / "files" / "md5" / md5[:2] / md5[2:]

    def holds(self, md5: str) -> bool:
        """Whether it is there *and* has the right bytes: DVC trusts a read-only object, and misses a poisoned one."""
        try:
            return md5_of(self.path(md5)) == _content_md5(md5)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def names(self) -> list[str]:
        """MD5 of each object by name, sorted; the bytes are not read."""
        return sorted(path.parent.name + path.name for path in self.files() if len(path.name) >= 30)

    def files(self) -> Iterator[Path]:
        """All files below the root, sorted."""
        return iter(sorted(path for path in self.root.rglob("*") if path.is_file()))

    def put(self, source: Path, md5: str) -> None:
        """Copy a file in, read only; raises WrongContentError, keeping nothing, when it is not what ``md5`` says."""
        target = self.path(md5)
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_verified(source, target, _content_md5(md5), mode=0o444)

    def drop(self, md5: str) -> None:
        """Remove an object; no error when it is not there."""
        path = self.path(md5)
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()

    def keep_only(self, names: list[str]) -> int:
        """Remove all objects but these, and half-written ones; returns how many went."""
        wanted = {self.path(md5) for md5 in names}
        extra = [path for path in self.files() if path not in wanted]
        for path in extra:
            path.unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()
        return len(extra)


def _content_md5(name: str) -> str:
    return name.removesuffix(".dir")


def md5_of(path: Path) -> str:
    """MD5 of a file in hexadecimal, in constant memory.  MD5 because DVC names objects so; not for secrecy."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def copy_verified(source: Path, target: Path, md5: str, *, mode: int = 0o644) -> None:
    """Replace ``target`` atomically by the bytes of ``source``; raises WrongContentError when they are not ``md5``."""
    partial = target.with_name(f".{target.name}.squall-partial")
    partial.unlink(missing_ok=True)
    try:
        if copy_file(source, partial) != md5:
            raise WrongContentError(f"{source} does not have the MD5 {md5}")
        partial.chmod(mode)
        sync(partial)
        os.replace(partial, target)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def copy_file(source: Path, target: Path) -> str:
    """Copy by reflink where the file system can, else byte by byte; returns the MD5 of what was written."""
    with source.open("rb") as reader, target.open("xb") as writer:
        if _reflink(reader.fileno(), writer.fileno()):
            return hashlib.file_digest(reader, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        digest = hashlib.md5(usedforsecurity=False)
        while chunk := reader.read(CHUNK_BYTES):
            digest.update(chunk)
            writer.write(chunk)
        return digest.hexdigest()


def _reflink(reader: int, writer: int) -> bool:
    try:
        import fcntl

        fcntl.ioctl(writer, FICLONE, reader)
    except ImportError:
        return False
    except OSError as error:
        if error.errno in _NO_REFLINK:
            return False
        raise
    return True


def sync(path: Path) -> None:
    """Make the bytes durable before anything says that they are there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
