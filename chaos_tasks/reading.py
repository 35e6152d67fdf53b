"""Read a file that a person named: whole, and never more than memory can bear."""

from __future__ import annotations

import errno
from pathlib import Path

MOST_BYTES = 64 * 2**20
"""More than any file of ours has; a device such as /dev/zero has no end."""


def whole(path: Path) -> bytes:
    """Its bytes; raises OSError, also for one that has no end."""
    with path.open("rb") as file:
        found = file.read(MOST_BYTES + 1)
    if len(found) > MOST_BYTES:
        raise OSError(errno.EINVAL, f"it has more than {MOST_BYTES >> 20} MB, or no end", str(path))
    return found


def text(path: Path, *, errors: str = "strict") -> str:
    """Its text, with line ends as Python has them; raises OSError, and UnicodeDecodeError where it is no UTF-8."""
    return whole(path).decode("utf-8", errors).replace("\r\n", "\n").replace("\r", "\n")
