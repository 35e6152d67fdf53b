"""Run a command of the lab to its end; a failure shows what the command said."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from chaos_tasks.errors import SetupError

SHOWN = 2000


def run_to_end(
    argv: Sequence[str], *, cwd: Path, what: str, env: Mapping[str, str] | None = None, timeout_s: float = 300.0
) -> str:
    """The command's output; SetupError, with the end of what it printed, if it fails or takes too long."""
    try:
        done = subprocess.run(  # the argv is built by this package
            tuple(argv),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise SetupError(f"{what}: {argv[0]} is missing", remedy="run `make setup`") from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{what} did not end within {timeout_s:g} s") from error
    if done.returncode != 0:
        raise SetupError(f"{what} failed ({done.returncode}):\n{(done.stdout + done.stderr)[-SHOWN:]}")
    return done.stdout
