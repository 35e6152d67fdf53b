"""While the lever lies there nothing is injected, and a lever that cannot be read counts as pulled."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from chaos_tasks.errors import GuardTripped
from chaos_tasks.safety import lever

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def test_a_pulled_lever_stops_with_its_reason_until_it_is_released(tmp_path: Path) -> None:
    home = tmp_path / "not" / "there" / "yet"
    lever.check(home)
    lever.pull(home, "audit", NOW)
    with pytest.raises(GuardTripped, match="audit") as caught:
        lever.check(home)
    assert "squall resume" in caught.value.remedy
    assert lever.release(home)
    lever.check(home)
    assert not lever.release(home)


def test_an_empty_lever_is_pulled(tmp_path: Path) -> None:
    (tmp_path / lever.NAME).touch()
    assert lever.pulled(tmp_path) == "no reason given"


@pytest.mark.parametrize("content", [b"\xff\xfe", None], ids=["no text", "a folder"])
def test_a_lever_that_cannot_be_read_counts_as_pulled(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / lever.NAME
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(GuardTripped):
        lever.check(tmp_path)


def test_pulling_twice_keeps_it_pulled(tmp_path: Path) -> None:
    lever.pull(tmp_path, "one", NOW)
    lever.pull(tmp_path, "two", NOW)
    assert "two" in (lever.pulled(tmp_path) or "")
