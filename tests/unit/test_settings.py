"""Settings come from the file, then running servers, then the environment; what is wrong names its field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaos_tasks.errors import InvalidFile, SetupError, SquallError
from chaos_tasks.settings import Settings, find_settings, read_settings

FILE = """\
[squall]
home = "home"
lanes = 3

[targets.tiny]
file = "tiny.yaml"
environment = "lab"
families = ["data"]
"""


def written(folder: Path, text: str = FILE) -> Path:
    path = folder / "squall.toml"
    path.write_text(text)
    return path


def told(folder: Path, **environment: str) -> Settings:
    return find_settings(environment, folder)


def test_paths_are_relative_to_the_file_and_not_to_where_one_stands(tmp_path: Path) -> None:
    written(tmp_path)
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    settings = told(deep)
    assert settings.home == tmp_path / "home"
    assert settings.experiments_dir == tmp_path / "dags" / "experiments"
    assert settings.target_path("tiny") == tmp_path / "tiny.yaml"
    assert settings.ledger_url == f"sqlite:///{tmp_path}/home/ledger.db"


def test_the_environment_wins_over_servers_and_servers_over_defaults(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "home").mkdir()
    ends = {"ledger_url": "postgresql://servers/ledger", "variables": {"REPO": "servers", "ONLY": "servers"}}
    (tmp_path / "home" / "endpoints.json").write_text(json.dumps(ends))
    assert told(tmp_path).ledger_url == "postgresql://servers/ledger"
    settings = told(tmp_path, SQUALL_LEDGER_URL="sqlite:///mine.db", REPO="mine")
    assert settings.ledger_url == "sqlite:///mine.db"
    assert (settings.variables["REPO"], settings.variables["ONLY"]) == ("mine", "servers")


def test_the_file_wins_over_servers_where_it_names_a_url(tmp_path: Path) -> None:
    written(tmp_path, FILE + '\n[ledger]\nurl = "postgresql://file/ledger"\n')
    assert told(tmp_path).ledger_url == "postgresql://file/ledger"


def test_an_unknown_target_lists_the_inventory(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(SetupError, match="known: tiny") as caught:
        told(tmp_path).entry("huge")
    assert "[targets.huge]" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "line", "field", "cause"),
    [
        ("[squall]\nhome = \n", 2, "", "TOML syntax"),
        ("[squall]\n\nhoem = 'x'\n", 3, "squall.hoem", "unknown field `hoem`"),
        (FILE + "colour = 'red'\n", 9, "targets.tiny.colour", "unknown field `colour`"),
        ("[targets.tiny]\nfile = 'x'\n", 1, "targets.tiny.environment", "`environment` is missing"),
        ("[squall]\nlanes = 0\n", 2, "squall.lanes", "greater than or equal to 1"),
    ],
)
def test_a_wrong_file_names_line_field_and_remedy(tmp_path: Path, text: str, line: int, field: str, cause: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        read_settings(written(tmp_path, text), {})
    (problem,) = caught.value.problems
    assert (problem.line, problem.field) == (line, field)
    assert cause in problem.cause
    assert problem.remedy


@pytest.mark.parametrize("lanes", ["many", "0", "-1", "100000"])
def test_lanes_from_the_environment_that_are_no_sensible_number_are_refused(tmp_path: Path, lanes: str) -> None:
    written(tmp_path)
    with pytest.raises(SquallError, match="SQUALL_LANES"):
        told(tmp_path, SQUALL_LANES=lanes)


def test_a_file_that_is_no_text_or_a_folder_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "squall.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidFile, match="UTF-8"):
        told(tmp_path)
    with pytest.raises(SetupError) as caught:
        told(tmp_path, SQUALL_CONFIG=str(tmp_path))
    assert caught.value.remedy


def test_without_a_file_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no squall\.toml") as caught:
        told(tmp_path)
    assert "SQUALL_CONFIG" in caught.value.remedy


def test_endpoints_that_cannot_be_read_ask_for_a_restart(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "endpoints.json").write_text("{")
    with pytest.raises(SetupError, match=r"endpoints.json cannot be read"):
        told(tmp_path)


FENCED = """
[[calendar.windows]]
environments = ["lab"]
days = ["mon", "fri"]
opens = "22:00"
closes = 06:00:00
zone = "Europe/Zurich"

[[calendar.freezes]]
begins = 2026-12-20
ends = 2027-01-03T12:00:00+01:00
reason = "year end"

[limits]
experiments_per_night = 60
[limits.environments.lab]
share = 0.2
[limits.targets.tiny]
max_risk = "medium"
"""


def test_windows_freezes_and_limits_are_read_as_toml_writes_them(tmp_path: Path) -> None:
    written(tmp_path, FILE + FENCED)
    settings = told(tmp_path)
    (window,), (freeze,) = settings.calendar.windows, settings.calendar.freezes
    assert (window.opens.hour, window.closes.hour, window.days) == (22, 6, ("mon", "fri"))
    assert (freeze.begins.tzinfo, freeze.ends.isoformat()) == (None, "2027-01-03T12:00:00+01:00")
    assert [scope for scope, _ in settings.limits.scopes("lab", "tiny")] == [
        "everything",
        "environment lab",
        "target tiny",
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("[limits.targets.tinny]\nshare = 0.1", "names tinny, which the inventory does not have"),
        ('[[calendar.windows]]\nenvironments = ["prod"]', "names prod, which"),
        ('[[calendar.windows]]\nzone = "Europe/Atlantis"', "no time zone"),
        ("[limits]\nshare = 2", "less than or equal to 1"),
        ("[limits]\nshares = 0.2", "did you mean `share`"),
        ('[[calendar.freezes]]\nbegins = 2026-12-20\nreason = "none"', "`ends` is missing"),
    ],
)
def test_a_limit_that_would_not_bind_anything_is_an_error(tmp_path: Path, wrong: str, said: str) -> None:
    with pytest.raises(InvalidFile, match=said):
        read_settings(written(tmp_path, f"{FILE}\n{wrong}\n"), {})
