"""What a running lab is made of, as one owner-only file that others load."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_serializer

from chaos_tasks.errors import SetupError
from chaos_tasks.lab import signing_keys
from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.lab.machine_people import MachinePeople
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.lab.private_files import write_private
from chaos_tasks.settings import ENDPOINTS_FILE, Endpoints

FOLDER = "lab"
STATE_FILE = "lab.json"
CREDENTIALS_FILE = "credentials.json"


class Identities(BaseModel):
    """The principals of the lab's S3; the target, the fault and its undo never share one."""

    model_config = ConfigDict(frozen=True)

    admin: Credentials
    pipeline: Credentials
    injector: Credentials
    reverter: Credentials
    auditor: Credentials | None = None


class LabState(BaseModel):
    """Where everything is; an empty string is a part that was not started."""

    model_config = ConfigDict(frozen=True)

    home: Path
    ports: LabPorts
    ledger_url: str = ""
    airflow_database: str = ""
    mlflow_uri: str = ""
    mlflow_artifacts: str = ""
    mlflow_ui_url: str = ""
    s3_endpoint: str = ""
    identities: Identities | None = None
    sealer: Credentials | None = None
    redis_url: str = ""
    broker_url: str = ""
    aws_endpoint: str = ""
    ec2_instance: str = ""
    machines: MachinePeople | None = None
    airflow_url: str = ""
    airflow_user: str = ""
    airflow_password: SecretStr = SecretStr("")
    airflow_operator: SecretStr = SecretStr("")
    """Password of the user `operator`, as whom targets that are DAGs are run; not the administrator."""
    reference_repo: str = ""

    @field_serializer("airflow_password", "airflow_operator", when_used="json")
    def _in_full(self, value: SecretStr) -> str:
        # JSON of this value is written by `save` only.
        return value.get_secret_value()

    def variables(self) -> dict[str, str]:
        """For ${NAME} in target files."""
        told = {
            "SQUALL_S3_ENDPOINT": self.s3_endpoint,
            "SQUALL_AWS_ENDPOINT": self.aws_endpoint,
            "SQUALL_EC2_INSTANCE": self.ec2_instance,
            "SQUALL_EC2_PID_FILE": str(instance_file(self.home, self.ec2_instance)) if self.ec2_instance else "",
            "SQUALL_REDIS_URL": self.redis_url,
            "SQUALL_FLIGHTS_REPO": self.reference_repo,
            "SQUALL_MLFLOW_ARTIFACTS": self.mlflow_artifacts,
            "SQUALL_AIRFLOW_URL": self.airflow_url,
        }
        return {name: value for name, value in told.items() if value}


def lab_folder(home: Path) -> Path:
    """Where the servers keep their data, logs and pid files."""
    return home / FOLDER


def instance_file(home: Path, instance_id: str) -> Path:
    """Where the process group that runs on an instance is registered."""
    return lab_folder(home) / "instances" / f"{instance_id}.json"


def load_state(home: Path) -> LabState | None:
    """The lab of this home; None if it was never started or has been taken down."""
    path = lab_folder(home) / STATE_FILE
    try:
        return LabState.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValidationError:
        # The cause is dropped on purpose: pydantic quotes the input, and the input is secrets.
        raise SetupError(f"{path} is damaged or of another version", remedy="squall down, then squall up") from None


def save(state: LabState) -> None:
    """Write the lab's own file, and the two by which settings find servers and credentials."""
    write_private(lab_folder(state.home) / STATE_FILE, state.model_dump_json(indent=1))
    credentials = lab_folder(state.home) / CREDENTIALS_FILE
    people = named(state)
    if people:
        write_private(credentials, json.dumps(people, indent=1))
    ends = Endpoints(
        ledger_url=state.ledger_url,
        mlflow_uri=state.mlflow_uri,
        mlflow_ui_url=state.mlflow_ui_url,
        airflow_url=state.airflow_url,
        credentials_file=str(credentials) if people else "",
        variables=state.variables(),
        keys=signing_keys.files(state.home),
        checkpoints=signing_keys.places(state.home, state.s3_endpoint if state.sealer else ""),
    )
    write_private(state.home / ENDPOINTS_FILE, ends.model_dump_json(indent=1))


def forget(home: Path) -> None:
    """Settings find no servers any more; keys, passwords and data stay for the next start."""
    (home / ENDPOINTS_FILE).unlink(missing_ok=True)


def named(state: LabState) -> dict[str, dict[str, str]]:
    """The logins of the lab's people by the names that squall.toml and target files use."""
    # Not the administrators: nothing that runs an experiment may have their keys.
    people, machines = state.identities, state.machines
    keys: dict[str, Credentials | None] = {
        "pipeline": people.pipeline if people else None,
        "injector": people.injector if people else None,
        "reverter": people.reverter if people else None,
        "auditor": people.auditor if people else None,
        "machines-injector": machines.injector if people and machines else None,
        "machines-reverter": machines.reverter if people and machines else None,
        "machines-auditor": machines.auditor if people and machines else None,
        "sealer": state.sealer if people else None,
    }
    found = {
        name: {"access_key_id": key.access_key, "secret_access_key": key.secret}
        for name, key in keys.items()
        if key is not None
    }
    operator = state.airflow_operator.get_secret_value()
    return {**found, **({"airflow": {"user": "operator", "password": operator}} if operator else {})}
