"""Opening MLflow's database: one process at a time, and nobody waits for ever."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from chaos_tasks.errors import SetupError
from chaos_tasks.tracking import reach


def test_who_holds_the_database_open_for_too_long_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may stand still, and everybody's publishing with it."""
    monkeypatch.setattr(reach, "OPENING_S", 0.2)
    with (tmp_path / "m.db.opening").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with (
            pytest.raises(SetupError, match=r"another process has been opening .*m\.db"),
            reach.alone(f"sqlite:///{tmp_path}/m.db"),
        ):
            pass
    with reach.alone(f"sqlite:///{tmp_path}/m.db"):
        pass


@pytest.mark.parametrize("rest", ["", "/", "/:memory:"])
def test_a_database_in_memory_is_nobody_elses_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rest: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with reach.reachable(f"sqlite://{rest}"), reach.alone(f"sqlite://{rest}"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_parameters_behind_the_file_are_not_part_of_its_name(tmp_path: Path) -> None:
    with reach.alone(f"sqlite:///{tmp_path}/m.db?timeout=5"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["m.db.opening"]
