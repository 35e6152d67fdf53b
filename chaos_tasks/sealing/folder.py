"""A folder of signed heads: each a file that is written once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos_tasks.errors import SetupError

SUFFIX = ".checkpoint"


@dataclass(frozen=True)
class Folder:
    """Nothing in it is replaced by us; who owns the folder can, so it had better be another's."""

    path: Path

    @property
    def name(self) -> str:
        """By path."""
        return f"folder {self.path}"

    def publish(self, file: str, text: str) -> str:
        """Write the file and its name to the disk; the receipt is its path."""
        target = self.path / f"{file}{SUFFIX}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            _write_once(target, text)
        except FileExistsError:
            if target.read_text(encoding="utf-8") != text:
                raise SetupError(f"{target} is there already, and says something else") from None
        except OSError as error:
            raise SetupError(f"{target} cannot be written: {error.strerror}", remedy="mend the folder") from error
        return str(target)

    def notes(self) -> Mapping[str, str]:
        """All files; an absent folder has none yet."""
        try:
            found = sorted(self.path.glob(f"*{SUFFIX}"))
            return {path.name.removesuffix(SUFFIX): path.read_text(encoding="utf-8") for path in found}
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError(f"{self.path} cannot be read ({type(error).__name__})", remedy="mend it") from error


def _write_once(target: Path, text: str) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o444)
        os.link(temporary, target)  # whole or not at all, and never over another
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
