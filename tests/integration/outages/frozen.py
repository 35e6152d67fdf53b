"""A server that is stopped with all of its processes (SIGSTOP): the kernel takes connections and bytes for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from chaos_tasks.lab.postgres import Postgres


@contextmanager
def frozen(server: Postgres) -> Iterator[None]:
    """Nothing of it runs within the block; the postmaster is stopped first and goes on last, so that it starts none."""
    postmaster = psutil.Process(server.daemon.pid)
    postmaster.suspend()
    parts = postmaster.children(recursive=True)
    for part in parts:
        with suppress(psutil.NoSuchProcess):
            part.suspend()
    try:
        yield
    finally:
        for part in (*parts, postmaster):
            with suppress(psutil.NoSuchProcess):
                part.resume()
