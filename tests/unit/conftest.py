"""What unit tests of whole runs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.toy_project import ToyProject, register


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyProject:
    """A whole engine on a toy, whose fault the registry knows."""
    made = ToyProject(tmp_path / "home")
    register(monkeypatch, made.fault)
    return made
