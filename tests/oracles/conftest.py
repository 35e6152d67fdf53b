"""Independent implementations run in an interpreter of their own: `make audit-oracles` makes it and names it here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Ask = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def oracle() -> Ask:
    """Runs a Python text, with arguments, where the independent implementations are installed."""
    python = os.environ.get("SQUALL_ORACLES", "")
    if not python:
        pytest.skip("`make audit-oracles` runs these beside the independent implementations")

    def ask(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [python, "-c", code, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    return ask
