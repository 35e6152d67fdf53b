"""One `up`: independent parts at the same time, each waiting only for what it needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

from pydantic import SecretStr

from chaos_tasks.errors import SquallError
from chaos_tasks.lab import (
    cluster,
    identities,
    instances,
    machine_people,
    mlflow_server,
    moto_server,
    postgres,
    processes,
    redis_server,
    reference,
    seaweedfs,
)
from chaos_tasks.lab.cluster import Cluster
from chaos_tasks.lab.mlflow_server import Bucket, MlflowServer
from chaos_tasks.lab.parts import SWEEPER, LabOptions, Part
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.lab.private_files import write_private
from chaos_tasks.lab.processes import DaemonSpec
from chaos_tasks.lab.signing_keys import make_keys
from chaos_tasks.lab.state import CREDENTIALS_FILE, LabState, lab_folder, load_state, save

Step = Callable[[], None]

BROKER_DATABASE = 1
"""Of Redis; the streams of targets are in 0."""


class Starting:
    """Holds what is known so far; used once."""

    def __init__(
        self, options: LabOptions, ports: LabPorts, wanted: frozenset[Part], report: Callable[[str], None]
    ) -> None:
        self._options = options
        self._ports = ports
        self._wanted = wanted
        self._report = report
        self._home = options.home.absolute()
        self._folder = lab_folder(self._home)
        # Parts that an earlier `up` started and this one was not asked for stay known.
        self._known = (load_state(self._home) or LabState(home=self._home, ports=ports)).model_copy(
            update={"home": self._home, "ports": ports}
        )
        self._lock = Lock()
        self._begun = monotonic()

    def run(self) -> LabState:
        """Everything that was asked for; raises the first error after all parts had their turn."""
        servers = {
            Part.POSTGRES: self._postgres,
            Part.S3: self._s3,
            Part.REDIS: self._redis,
            Part.AWS: self._aws,
        }
        users = {
            Part.SWEEPER: self._sweeper,
            Part.AIRFLOW: self._airflow,
            Part.MLFLOW: self._mlflow,
            Part.REFERENCE: self._reference,
        }
        make_keys(self._home)
        try:
            self._together(servers)
            self._know_logins()
            save(self._known)  # who runs from now on finds the ledger and the logins
            if self._options.work_machines:  # which are told at their start, and only then, where these are
                self._together({part: users.pop(part) for part in (Part.MLFLOW, Part.REFERENCE)})
            self._together(users)
        finally:
            save(self._known)
        if Part.MLFLOW in self._wanted:
            self._mlflow_ui()
            save(self._known)
        return self._known

    def _together(self, steps: dict[Part, Step]) -> None:
        chosen = {part: step for part, step in steps.items() if part in self._wanted}
        with ThreadPoolExecutor(max(1, len(chosen))) as pool:
            futures = [pool.submit(self._timed, part, step) for part, step in chosen.items()]
        errors = [error for future in futures if (error := future.exception()) is not None]
        for error in errors[1:]:
            self._report(f"also failed: {error}")
        if errors:
            raise errors[0]

    def _timed(self, part: Part, step: Step) -> None:
        begun = monotonic()
        try:
            step()
        except SquallError:
            self._report(f"{part.value:10} failed after {monotonic() - begun:.1f} s")
            raise
        self._report(f"{part.value:10} up after {monotonic() - begun:.1f} s")

    def _know_logins(self) -> None:
        """Drawn before Airflow starts: the sweeper, which starts beside it, reads the logins once."""
        from chaos_tasks.lab.airflow_server import password_of

        if Part.AIRFLOW in self._wanted:
            self._know(airflow_operator=SecretStr(password_of(self._home, "operator")))

    def _know(self, **facts: Any) -> None:
        with self._lock:
            self._known = self._known.model_copy(update=facts)

    def _postgres(self) -> None:
        server = postgres.start(self._folder / "postgres", owner=self._home)
        self._know(
            ledger_url=server.dsn("squall"),
            airflow_database=server.dsn("airflow", "psycopg2"),
            mlflow_uri=server.dsn("mlflow", "psycopg2"),
        )

    def _s3(self) -> None:
        ports = seaweedfs.S3Ports.of(self._ports)
        server = seaweedfs.start(self._folder / "s3", ports, owner=self._home)
        self._know(
            s3_endpoint=server.endpoint,
            identities=identities.ensure(server, self._folder / "s3"),
            sealer=identities.ensure_sealer(server, self._folder / "s3"),
        )

    def _redis(self) -> None:
        server = redis_server.start(self._folder / "redis", self._ports.redis, owner=self._home)
        self._know(redis_url=server.url)

    def _aws(self) -> None:
        server = moto_server.start(self._folder / "aws", self._ports.aws, owner=self._home)
        moto_server.enforce_iam(server, after=None)
        instance = moto_server.ensure_instance(server)
        people, new = machine_people.ensure(server, self._folder / "aws")
        self._know(aws_endpoint=server.endpoint, ec2_instance=instance, machines=people)
        old = processes.load_alive(self._folder, instances.NAME)
        if new and old is not None:  # its key is of a server that has forgotten it
            processes.stop(old)
        instances.start(self._folder, server.endpoint, key=people.binder, owner=self._home)

    def _sweeper(self) -> None:
        spec = DaemonSpec(
            name=SWEEPER,
            argv=(processes.PYTHON, "-m", "chaos_tasks.lab.keeper", *self._options.sweeper),
            folder=self._folder,
            cwd=self._home,
            env={**processes.import_environment(), **self._options.environment()},
            owner=self._home,
        )
        if processes.load_alive(self._folder, SWEEPER) is None:
            processes.start(spec)

    def _airflow(self) -> None:
        from chaos_tasks.lab import airflow_server

        server_of_redis = self._known.redis_url.rpartition("/")[0]
        self._know(broker_url=f"{server_of_redis}/{BROKER_DATABASE}" if self._options.work_machines else "")
        settings = airflow_server.AirflowSettings(
            home=self._home,
            dags=self._options.dags.absolute(),
            database=self._known.airflow_database,
            port=self._ports.airflow,
            lanes=self._options.lanes or airflow_server.default_lanes(),
            extra_env=self._options.environment(),
            broker=self._known.broker_url,
        )
        server = airflow_server.start(settings)
        if self._options.work_machines:
            self._machines(airflow_server.environment(settings), settings.lanes)
        self._know(airflow_url=settings.url, airflow_user=server.user, airflow_password=SecretStr(server.password))
        airflow_server.await_ready(server, self._options.expected_dags)

    def _machines(self, env: Mapping[str, str], lanes: int) -> None:
        """What a worker finds in the files of Squall's home where it shares one, these are told."""
        told = {
            **self._known.variables(),
            "SQUALL_LEDGER_URL": self._known.ledger_url,
            "SQUALL_CREDENTIALS": str(self._credentials_with_store()),
            "SQUALL_STORE": f"s3://{identities.STORE_BUCKET}/squall",
            "SQUALL_STORE_ENDPOINT": self._known.s3_endpoint,
        }
        if self._known.mlflow_ui_url:
            told["SQUALL_MLFLOW_URI"] = self._known.mlflow_ui_url
        cluster.start(
            Cluster(self._home, self._options.work_machines, lanes, env={**env, **told}, sweeper=self._options.sweeper)
        )

    def _credentials_with_store(self) -> Path:
        """The credentials of the lab, and those of the bucket by which files cross between machines."""
        path = cluster.folder_of(self._home) / CREDENTIALS_FILE
        known = json.loads((self._folder / CREDENTIALS_FILE).read_text(encoding="utf-8"))
        if path.exists():  # others are made anew when their server has forgotten them
            known["store"] = json.loads(path.read_text(encoding="utf-8"))["store"]
        else:
            server = seaweedfs.start(self._folder / "s3", seaweedfs.S3Ports.of(self._ports), owner=self._home)
            key = identities.make_store(server)
            known["store"] = {"access_key_id": key.access_key, "secret_access_key": key.secret}
        write_private(path, json.dumps(known))
        return path

    def _mlflow(self) -> None:
        mlflow_server.upgrade_database(self._folder / "mlflow", self._known.mlflow_uri)
        if self._options.work_machines:
            self._start_mlflow()
            return
        artifacts = self._folder / "mlflow" / "artifacts"
        artifacts.mkdir(parents=True, exist_ok=True)
        self._know(mlflow_artifacts=artifacts.as_uri())

    def _mlflow_ui(self) -> None:
        server = self._start_mlflow()
        if self._options.wait_for_mlflow_ui or self._options.work_machines:  # those write by it
            mlflow_server.await_ready(server)

    def _start_mlflow(self) -> MlflowServer:
        folder, port = self._folder / "mlflow", self._ports.mlflow
        server = mlflow_server.running(folder, port)
        if server is None:
            artifacts = self._bucket() if self._options.work_machines else folder / "artifacts"
            server = mlflow_server.start(folder, port, self._known.mlflow_uri, artifacts, owner=self._home)
        self._know(mlflow_ui_url=server.url)
        return server

    def _bucket(self) -> Bucket:
        """With a key that nobody but MLflow's server has, drawn at each of its starts."""
        server = seaweedfs.start(self._folder / "s3", seaweedfs.S3Ports.of(self._ports), owner=self._home)
        key = identities.make_mlflow(server)
        return Bucket(f"s3://{identities.MLFLOW_BUCKET}", server.endpoint, key)

    def _reference(self) -> None:
        if self._known.identities is None:
            return
        repo = self._folder / "flights"
        spec = reference.ReferenceSpec(repo, self._known.s3_endpoint, self._known.identities.admin)
        reference.ensure(spec)
        self._know(reference_repo=str(repo))
