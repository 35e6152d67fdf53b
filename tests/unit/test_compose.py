"""docker-compose.yaml is safe as written: pinned, healthy, without default secrets, closed to other machines.

No engine is needed; `docker compose config`, which needs none either, is asked where it is installed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yaml"
ONE_SHOT = {"initialise"}
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z0-9_]+)([^}]*)\}")
PINNED = re.compile(r"^[a-z0-9./-]+:(?!latest)[\w.-]*\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$")
DOCUMENTED_BY_PROVIDER = {("celery", "result_backend")}  # documented there without a default, so Airflow lists it late


class StrictLoader(yaml.SafeLoader):
    """Refuses a key that comes twice, which YAML forbids and PyYAML lets pass."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.value != "<<"]
        repeated = {key for key in keys if keys.count(key) > 1}
        if repeated:
            raise yaml.constructor.ConstructorError(None, None, f"repeated: {repeated}", node.start_mark)
        return super().construct_mapping(node, deep)


DOCUMENT: dict[str, Any] = yaml.load(COMPOSE.read_text(encoding="utf-8"), StrictLoader)
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def variables() -> dict[str, str]:
    """Each variable of the file, with what follows its name."""
    return dict(VARIABLE.findall(re.sub(r"(?m)^\s*#.*$", "", COMPOSE.read_text(encoding="utf-8"))))


def mounts(service: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    for mount in service.get("volumes", []):
        source, target, *mode = mount.split(":")
        yield source, target, mode == ["ro"]


@each_service
def test_images_are_pinned_to_an_exact_version(name: str) -> None:
    assert PINNED.match(SERVICES[name]["image"]), SERVICES[name]["image"]


def test_the_base_image_is_pinned_too() -> None:
    text = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", text, flags=re.MULTILINE)
    assert bases
    assert all(PINNED.match(base) for base in bases)


@each_service
def test_a_service_has_a_health_check_or_runs_once(name: str) -> None:
    service = SERVICES[name]
    if name in ONE_SHOT:
        assert service["restart"] == "no"
    else:
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
        assert service["restart"] in {"always", "unless-stopped"}


@each_service
def test_a_service_runs_without_root_and_within_limits(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "network_mode", "cap_add"} & set(service)


@each_service
def test_a_service_waits_for_health_or_completion(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
        assert how == {"condition": wanted}, other


@each_service
def test_ports_are_open_on_loopback_only(name: str) -> None:
    ports = SERVICES[name].get("ports", [])
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert not ports or "front" in SERVICES[name]["networks"]


def test_nothing_is_published_by_the_network_of_databases() -> None:
    assert DOCUMENT["networks"]["control"] == {"internal": True}
    assert all(SERVICES[name]["networks"] == ["control"] for name in ("postgres", "redis"))


def test_no_variable_has_a_default_and_the_example_names_them_all_without_values() -> None:
    found = variables()
    assert found
    assert [name for name, rest in found.items() if rest != f":?set {name} in .env"] == []
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    named = [line for line in lines if line and not line.startswith("#")]
    assert sorted(named) == sorted(f"{name}=" for name in found)


def test_what_looks_like_a_secret_comes_from_a_variable() -> None:
    secret = re.compile(r"PASSWORD$|SECRET|FERNET|_KEY$|KEY_ID$")
    told = {
        (name, key): str(value)
        for name, service in SERVICES.items()
        for key, value in service.get("environment", {}).items()
        if secret.search(key)
    }
    assert told
    assert [where for where, value in told.items() if not VARIABLE.fullmatch(value)] == []


def test_the_filled_in_file_is_never_committed() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert ".env" in (ROOT / ".dockerignore").read_text(encoding="utf-8").split()


@each_service
def test_mounted_files_exist_and_are_read_only_and_volumes_are_declared(name: str) -> None:
    for source, _, read_only in mounts(SERVICES[name]):
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert read_only, source
        else:
            assert source in DOCUMENT["volumes"]


def test_the_dockerfile_copies_what_exists() -> None:
    text = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+)$", text, flags=re.MULTILINE):
        *sources, _ = line.split()
        assert [source for source in sources if not (ROOT / source).exists()] == []


def test_all_that_touch_workloads_share_processes_host_name_and_folders() -> None:
    hands = ["worker", "control-worker", "revert-worker", "sweeper"]
    for key in ("pid", "hostname", "volumes", "user", "secrets"):
        assert len({json.dumps(SERVICES[name][key]) for name in hands}) == 1, key
    assert SERVICES["worker"]["pid"] == "service:processes"
    assert SERVICES["processes"]["init"] is True


def test_airflow_has_every_option_that_is_set(tmp_path: Path) -> None:
    names = {key for service in SERVICES.values() for key in service.get("environment", {}) if "__" in key}
    wanted = sorted(tuple(name.lower().removeprefix("airflow__").split("__")) for name in names)
    code = (
        "import json; from airflow.configuration import conf; d = conf.configuration_description; "
        "print(json.dumps([[s, o] for s in d for o in d[s].get('options', {})]))"
    )
    told = in_airflow(code, tmp_path)
    known = {tuple(pair) for pair in json.loads(told)} | DOCUMENTED_BY_PROVIDER
    assert len(wanted) > 15
    assert [option for option in wanted if option not in known] == []


def test_control_tasks_and_reverts_go_to_queues_of_their_own_that_somebody_listens_to(tmp_path: Path) -> None:
    code = f"""
import json, sys
sys.path.insert(0, {str(ROOT / "docker")!r})
from airflow.dag_processing.dagbag import DagBag
queues = set()
for name in ("nightly", "sweeper", "experiments"):
    bag = DagBag({str(ROOT / "dags")!r} + f"/{{name}}.py", bundle_path=None)
    assert not bag.import_errors, bag.import_errors
    queues |= {{(task.pool, task.queue) for dag in bag.dags.values() for task in dag.tasks}}
print(json.dumps(sorted(queues)))
"""
    assert json.loads(in_airflow(code, tmp_path)) == [
        ["squall_control", "squall_control"],
        ["squall_revert", "squall_revert"],
        ["squall_work", "default"],
        ["squall_work", "squall_control"],  # inject: it takes the lane of its trials, and no workload runs in it
    ]
    listened = {name: SERVICES[name]["command"] for name in ("worker", "control-worker", "revert-worker")}
    assert {name: command[command.index("-q") + 1] for name, command in listened.items()} == {
        "worker": "default",
        "control-worker": "squall_control",
        "revert-worker": "squall_revert",
    }


def in_airflow(code: str, home: Path) -> str:
    """The last line that a Python with an Airflow of its own prints."""
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1]


def pins(path: Path) -> dict[str, set[str]]:
    """Versions by package; the lock has several of one where they depend on the Python."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([a-z0-9._-]+)==([^\s;]+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE
    ):
        found.setdefault(name, set()).add(version)
    return found


def test_the_image_has_the_versions_of_the_lock_and_a_celery_that_works() -> None:
    image, lock = pins(ROOT / "docker" / "requirements.txt"), pins(ROOT / "requirements" / "lock.txt")
    assert [name for name, versions in image.items() if not versions <= lock.get(name, versions)] == []
    assert {"apache-airflow", "apache-airflow-providers-celery", "celery", "mlflow"} <= set(image)
    celery = tuple(int(part) for part in image["celery"].pop().split(".")[:2])
    assert (5, 5) <= celery < (5, 7)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "celery>=5.5,<5.7" in project["optional-dependencies"]["celery"]
    assert "celery<5.7" in (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").split()
    assert SERVICES["worker"]["image"] == f"squall:{project['version']}"


def has_compose() -> bool:
    docker = shutil.which("docker")
    return bool(docker) and not subprocess.run([str(docker), "compose", "version"], capture_output=True).returncode


@pytest.mark.skipif(not has_compose(), reason="needs the docker command line with its compose plugin")
def test_compose_itself_accepts_the_file_filled_in_and_refuses_it_empty() -> None:
    command = ["docker", "compose", "--file", str(COMPOSE), "--env-file", os.devnull, "config", "--quiet"]
    bare = {key: value for key, value in os.environ.items() if key not in variables()}
    filled = {**bare, **{name: "7" for name in variables()}}
    accepted = subprocess.run(command, env=filled, capture_output=True, text=True, check=False)
    assert accepted.returncode == 0, accepted.stderr
    refused = subprocess.run(command, env=bare, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "in .env" in refused.stderr
