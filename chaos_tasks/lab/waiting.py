"""Wait until something holds, with a deadline and a sentence that says what was waited for."""

from __future__ import annotations

import time
from collections.abc import Callable

from chaos_tasks.errors import SetupError


class NotReadyError(SetupError):
    """The deadline passed before the awaited condition held."""


def wait_until(
    check: Callable[[], bool],
    *,
    what: str,
    timeout_s: float = 30.0,
    interval_s: float = 0.05,
    remedy: str = "",
) -> float:
    """Return the seconds waited; raise NotReadyError, naming `what`, once `timeout_s` has passed."""
    started = time.monotonic()
    while not check():
        waited = time.monotonic() - started
        if waited > timeout_s:
            raise NotReadyError(f"{what} did not happen within {timeout_s:g} s", remedy=remedy)
        time.sleep(interval_s)
    return time.monotonic() - started
