"""Evidence under the real scheduler: packs that leave by a DAG, an alias that waits, and canaries that get nowhere.

One story, in order: a run holds and lets a model be promoted; a second one dies quoting secrets, deviates, and lets no
other version be; the export packs both; then every byte that Airflow and Squall keep is searched.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from chaos_tasks.lab import signing_keys
from chaos_tasks.lab.airflow_api import DagRun
from chaos_tasks.lab.seaweedfs import s3_client
from chaos_tasks.lab.state import LabState, load_state
from chaos_tasks.lab.waiting import wait_until
from chaos_tasks.model.record import Note, RecordKind
from chaos_tasks.model.verdict import Outcome
from squall_operators.run_ids import run_id_of
from tests.canaries import CANARIES, found_in
from tests.system import spilling_target
from tests.system.conftest import Lab

CHAMPION, EXPORT = "champion", "chaos_audit_export"
MODEL = "late-flights"
PERIOD = {"since": "2020-01-01", "until": "2120-01-01", "targets": spilling_target.NAME}
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own way to SQLAlchemy


@dataclass
class Story:
    """What happened, and where an alias pointed meanwhile."""

    lab: Lab
    state: LabState
    held: DagRun
    deviated: DagRun
    promoted: DagRun
    refused: DagRun
    aliases: list[str]
    exported: DagRun
    undeclared: DagRun

    @property
    def pack(self) -> Path:
        """The folder of the pack."""
        return Path(str(self.lab.api.xcom(EXPORT, self.exported.run_id, "export")))


@pytest.fixture(scope="module")
def story(lab: Lab) -> Iterator[Story]:
    state = load_state(lab.project.home)
    assert state is not None
    wait_until(lambda: CHAMPION in lab.api.dag_ids(), what="the DAG that promotes", timeout_s=120)
    registry = Models(lab)
    versions, aliases = [registry.register(f"weights {number}") for number in (1, 2)], [registry.alias()]
    held = lab.end(lab.start(spilling_target.NAME))
    promoted = lab.end(lab.api.trigger(CHAMPION, {"model": versions[0]}))
    aliases.append(registry.alias())
    spilling_target.behave(lab.project, "crash")
    deviated = lab.end(lab.start(spilling_target.NAME))
    refused = lab.end(lab.api.trigger(CHAMPION, {"model": versions[1]}))
    aliases.append(registry.alias())
    exported = lab.end(lab.api.trigger(EXPORT, {**PERIOD, "to": f"s3://{signing_keys.BUCKET}/packs"}))
    undeclared = lab.end(lab.api.trigger(EXPORT, {**PERIOD, "to": "s3://somebody-elses/packs"}))
    yield Story(lab, state, held, deviated, promoted, refused, aliases, exported, undeclared)
    spilling_target.behave(lab.project, "well")


class Models:
    """The registry of the lab's MLflow, as somebody who registers models sees it."""

    def __init__(self, lab: Lab) -> None:
        from mlflow.tracking import MlflowClient

        uri = f"sqlite:///{lab.project.home}/mlflow.db"
        self.client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self.folder = lab.project.root / "models"
        self.client.create_registered_model(MODEL)

    def register(self, weights: str) -> str:
        """One more version."""
        folder = self.folder / hashlib.sha256(weights.encode()).hexdigest()[:8]
        folder.mkdir(parents=True)
        (folder / "weights.bin").write_text(weights)
        return f"models:/{MODEL}/{self.client.create_model_version(MODEL, source=folder.as_uri()).version}"

    def alias(self) -> str:
        """The version that is the champion; empty when none is."""
        return str(self.client.get_registered_model(MODEL).aliases.get("champion", ""))


def test_an_alias_is_set_after_a_run_that_held_and_stays_after_one_that_deviated(story: Story) -> None:
    runs = [story.lab.verdict(run_id_of(run.dag_id, run.run_id)) for run in (story.held, story.deviated)]
    assert [run.outcome for run in runs if run] == [Outcome.HELD, Outcome.DEVIATED]
    assert (story.promoted.state, story.refused.state) == ("success", "failed")
    assert story.aliases == ["", "1", "1"]
    said = story.lab.api.log(CHAMPION, story.refused.run_id, "promote")
    assert f"models:/{MODEL}/2 is not shown to tolerate {spilling_target.FAULT}" in said
    (record,) = story.lab.ledger.records(kinds=[RecordKind.MODEL_PROMOTED])
    assert isinstance(record.record.payload, Note)
    promoted = story.lab.api.xcom(CHAMPION, story.promoted.run_id, "promote")
    assert (record.record.payload.facts["alias"], record.record.payload.facts["model_sha256"]) == ("champion", promoted)


def test_a_pack_goes_to_s3_and_to_mlflow_and_holds_there(story: Story, tmp_path: Path) -> None:
    assert story.exported.state == "success"
    assert story.state.identities is not None
    s3 = s3_client(story.state.s3_endpoint, story.state.identities.admin)
    (key,) = (one["Key"] for one in s3.list_objects_v2(Bucket=signing_keys.BUCKET, Prefix="packs/")["Contents"])
    content = s3.get_object(Bucket=signing_keys.BUCKET, Key=key)["Body"].read()
    (issued,) = story.lab.ledger.records(kinds=[RecordKind.REPORT_ISSUED])
    assert isinstance(issued.record.payload, Note)
    assert issued.record.payload.facts["archive_sha256"] == hashlib.sha256(content).hexdigest()
    (tmp_path / "pack.zip").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "pack.zip") as inside:
        inside.extractall(tmp_path / "pack")
    keys = tmp_path / "keys"
    keys.write_text("".join(one.read_text() for one in (story.lab.project.home / "keys").glob("*.vkey")))
    command = [sys.executable, "-I", str(tmp_path / "pack" / "verify.py"), "--vkey", str(keys)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    (shown,) = _shown(story.lab)
    assert sorted(shown) == sorted(path.name for path in story.pack.iterdir())


def _shown(lab: Lab) -> list[list[str]]:
    """The files of each pack in MLflow."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{lab.project.home}/mlflow.db")
    ids = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(ids, "tags.`squall.kind` = 'evidence'")
    return [[file.path for file in client.list_artifacts(run.info.run_id)] for run in runs]


def test_a_bucket_that_nobody_declared_is_refused_at_once_and_in_words(story: Story) -> None:
    assert story.undeclared.state == "failed"
    (task,) = story.lab.api.task_instances(EXPORT, story.undeclared.run_id)
    assert task.try_number == 1
    assert "the bucket 'somebody-elses' is declared nowhere" in story.lab.api.log(
        EXPORT, story.undeclared.run_id, "export"
    )


def test_no_canary_is_in_a_row_of_airflows_database_or_of_the_ledger(story: Story) -> None:
    """XCom is a table of it, as are rendered fields, the audit log and the confs of runs."""
    for address in (story.state.airflow_database.replace("+psycopg2", ""), story.state.ledger_url):
        rows = dict(_tables(address))
        assert {name: found for name, text in rows.items() if (found := _found_in(text))} == {}
        if "xcom" in rows:
            assert story.pack.name in rows["xcom"], "of this export, so that something was searched"
            assert story.held.run_id in rows["rendered_task_instance_fields"]
        else:
            assert run_id_of(story.deviated.dag_id, story.deviated.run_id) in rows["squall_record"]


def _tables(address: str) -> Iterator[tuple[str, str]]:
    """Each table of a database and all of its rows as text; bytes are in hexadecimal digits."""
    with psycopg.connect(address) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (name,) in names:
            rows = connection.execute(f'SELECT t::text FROM "{name}" t'.encode()).fetchall()
            yield str(name), "\n".join(row[0] for row in rows)


def _found_in(text: str) -> list[str]:
    return [name for name, canary in CANARIES.items() if canary in text or canary.encode().hex() in text]


def test_no_canary_is_in_a_log_of_a_task_or_in_any_file_that_squall_wrote(story: Story) -> None:
    home = story.lab.project.home
    data = {"postgres", "s3"}  # the servers' own: their rows and objects are searched by the other tests
    searched = [
        path
        for path in home.rglob("*")
        if path.is_file()
        and not data & set(path.relative_to(home).parts)
        and not {"clone", "checkouts"} & set(path.parts)
    ]
    logs = [path for path in searched if f"dag_id=chaos_{spilling_target.NAME}" in path.parts]
    assert any("exercise" in str(path) and "attempt" in path.name for path in logs), "no log of a task was searched"
    workloads = [
        path.read_text() for path in searched if path.name == "workload.log" and "password is" in path.read_text()
    ]
    assert workloads, "the workload printed nothing"
    assert all("password is [redacted: known_secret]" in text for text in workloads)
    leaks = {str(path.relative_to(home)): found for path in searched if (found := found_in(_content(path)))}
    assert leaks == {}


def _content(path: Path) -> bytes:
    if path.suffix != ".zip":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return b"\n".join(archive.read(name) for name in archive.namelist())
