"""Lets the tests import the workload's scripts, which are no package, by their own names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

DATA = Path(__file__).parents[3] / "data"
for folder in (DATA / "pipeline", DATA / "stream"):
    sys.path.append(str(folder))  # last, so that they hide nobody's module


@pytest.fixture
def data() -> Path:
    return DATA
