"""The files of the lab: owner-only, complete enough to find everything, and silent about secrets when printed."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from chaos_tasks.clients import from_environment
from chaos_tasks.errors import SetupError
from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.lab.state import Identities, LabState, forget, load_state, save
from chaos_tasks.settings import Endpoints


@pytest.fixture
def lab(tmp_path: Path) -> LabState:
    names = ("admin", "pipeline", "injector", "reverter")
    identities = Identities(
        **{name: Credentials(access_key=f"AK{name}", secret_key=SecretStr(f"SK{name}")) for name in names}
    )
    return LabState(
        home=tmp_path,
        ports=LabPorts(),
        ledger_url="postgresql://postgres@/squall?host=/run",
        s3_endpoint="http://127.0.0.1:8333",
        identities=identities,
        ec2_instance="i-1",
        airflow_password=SecretStr("swordfish"),
    )


def test_what_is_saved_is_loaded_again(lab: LabState) -> None:
    save(lab)
    assert load_state(lab.home) == lab


def test_no_state_is_none(tmp_path: Path) -> None:
    assert load_state(tmp_path) is None


def test_every_file_is_for_its_owner_only(lab: LabState) -> None:
    save(lab)
    files = [path for path in lab.home.rglob("*") if path.is_file()]
    assert len(files) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_printing_it_shows_no_secret(lab: LabState) -> None:
    assert "swordfish" not in repr(lab)
    assert "SK" not in repr(lab)


def test_the_administrator_is_not_among_the_named_credentials(lab: LabState) -> None:
    save(lab)
    path = lab.home / "lab" / "credentials.json"
    assert set(json.loads(path.read_text())) == {"pipeline", "injector", "reverter"}
    clients = from_environment({"SQUALL_CREDENTIALS": str(path)})
    assert clients.environment("pipeline") == {"AWS_ACCESS_KEY_ID": "AKpipeline", "AWS_SECRET_ACCESS_KEY": "SKpipeline"}


def test_settings_find_the_lab_until_it_is_forgotten(lab: LabState) -> None:
    save(lab)
    ends = Endpoints.model_validate_json((lab.home / "endpoints.json").read_text())
    assert ends.ledger_url == lab.ledger_url
    assert ends.variables["SQUALL_EC2_PID_FILE"] == str(lab.home / "lab" / "instances" / "i-1.json")
    assert "SQUALL_REDIS_URL" not in ends.variables
    forget(lab.home)
    assert not (lab.home / "endpoints.json").exists()


def test_a_damaged_file_is_a_setup_error_that_quotes_nothing(lab: LabState) -> None:
    save(lab)
    path = lab.home / "lab" / "lab.json"
    path.write_text(path.read_text().replace('"ports"', '"porst"'))
    with pytest.raises(SetupError) as found:
        load_state(lab.home)
    assert "swordfish" not in str(found.value)
    assert found.value.__cause__ is None
