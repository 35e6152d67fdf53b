"""Who is at the keyboard, as far as the machine knows: a claim, since whoever owns the machine can be anybody on it."""

from __future__ import annotations

import socket
from contextlib import suppress
from getpass import getuser


def me() -> str:
    """user@host."""
    name = "somebody"
    with suppress(OSError, KeyError):
        name = getuser()
    return f"{name}@{socket.gethostname()}"


def asker() -> str:
    """The same, as who asked for a run is written."""
    return f"user:{me()}"
