"""An evidence pack of a real run, by the command line; checked by the verifier that lies in it, without Squall."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos_tasks.lab.seaweedfs import S3Server
from chaos_tasks.model.record import Note, RecordKind
from tests.integration.test_evidence_command import with_keys
from tests.tiny import Tiny, end, make_tiny

PERIOD = ("--since", "2020-01-01", "--until", "2120-01-01")


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Tiny]:
    """A tiny project."""
    (tmp_path / "project").mkdir()
    made = make_tiny(tmp_path / "project")
    yield made
    made.end_started()


def _check(pack: Path, keys: Path) -> subprocess.CompletedProcess[str]:
    """In an interpreter that sees neither Squall nor the current folder."""
    trusted = keys.parent / "trusted"
    trusted.write_text("".join(path.read_text() for path in sorted(keys.glob("*.vkey"))))
    command = [sys.executable, "-I", str(pack / "verify.py"), str(pack), "--vkey", str(trusted)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_pack_of_a_real_run_holds_and_every_document_is_in_it(tiny: Tiny, tmp_path: Path) -> None:
    keys = tmp_path / "evidence"
    with_keys(tiny, keys)
    assert tiny.squall("run", tiny.experiment(), "--run-id", "one", "--quiet").code == 0
    made = tiny.squall("report", *PERIOD, "--to", tmp_path / "copy")
    assert made.code == 0, made.out
    assert "What was tested?" in made.out
    assert "(not signed)" not in made.out
    (archive,) = (tmp_path / "copy").glob("*.zip")
    copy = tmp_path / "copy" / archive.stem.removeprefix("squall-evidence-")
    found = _check(copy, keys)
    assert found.returncode == 0, found.stdout + found.stderr
    assert {path.name for path in copy.iterdir()} >= {
        "report.html",
        "report.pdf",
        "report.md",
        "report.json",
        "runs.csv",
        "findings.csv",
        "assessment-plan.json",
        "assessment-results.json",
        "poam.json",
        "attestations.intoto.jsonl",
        "records.jsonl",
        "redeciding.py",
        "verify.py",
        "VERIFY.md",
    }
    with zipfile.ZipFile(archive) as inside:
        for name in inside.namelist():
            assert inside.read(name) == (copy / name).read_bytes(), name
    _the_pdf_carries_the_results(copy)
    (copy / "runs.csv").write_bytes((copy / "runs.csv").read_bytes().replace(b"held", b"fine"))
    assert "runs.csv is not the file that was signed" in _check(copy, keys).stdout


def test_a_pack_in_a_bucket_is_the_archive_on_record(
    tiny: Tiny, tmp_path: Path, s3_lab: S3Server, s3_bucket: str
) -> None:
    """Put under the credentials of the heads' bucket, fetched again, checked."""
    keys = tmp_path / "evidence"
    with_keys(tiny, keys)
    config = tiny.project.config
    place = f's3 = [{{bucket = "{s3_bucket}", endpoint = "{s3_lab.endpoint}"}}]\n'
    config.write_text(config.read_text().replace("[checkpoints]\n", f"[checkpoints]\n{place}"))
    credentials = tmp_path / "credentials.json"
    admin = {"access_key_id": s3_lab.admin.access_key, "secret_access_key": s3_lab.admin.secret}
    credentials.write_text(json.dumps({"sealer": admin}))
    credentials.chmod(0o600)
    tiny.environment = {"SQUALL_CREDENTIALS": str(credentials)}
    assert tiny.squall("run", tiny.experiment(), "--run-id", "one", "--quiet").code == 0
    made = end(tiny.start("report", *PERIOD, "--to", f"s3://{s3_bucket}/audit/2026"), timeout_s=180)
    assert made.code == 0, made.text
    s3 = s3_lab.client("s3")
    (key,) = (one["Key"] for one in s3.list_objects_v2(Bucket=s3_bucket, Prefix="audit/2026/")["Contents"])
    assert f"s3://{s3_bucket}/{key}" in made.out
    (tmp_path / "fetched.zip").write_bytes(content := s3.get_object(Bucket=s3_bucket, Key=key)["Body"].read())
    with tiny.ledger() as ledger:
        (issued,) = ledger.records(kinds=[RecordKind.REPORT_ISSUED])
    assert isinstance(issued.record.payload, Note)
    assert issued.record.payload.facts["archive_sha256"] == hashlib.sha256(content).hexdigest()
    with zipfile.ZipFile(tmp_path / "fetched.zip") as inside:
        inside.extractall(tmp_path / "fetched")
    found = _check(tmp_path / "fetched", keys)
    assert found.returncode == 0, found.stdout + found.stderr
    credentials.write_text(json.dumps({"sealer": {**admin, "access_key_id": "NOBODY"}}))
    refused = end(tiny.start("report", *PERIOD, "--to", f"s3://{s3_bucket}/audit"), timeout_s=180)
    assert refused.code != 0
    assert f"the pack cannot be put to s3://{s3_bucket}/audit" in refused.text
    assert "Traceback" not in refused.text


def test_a_bucket_of_its_own_is_declared_and_no_other_is_guessed(
    tiny: Tiny, tmp_path: Path, s3_lab: S3Server, s3_bucket: str
) -> None:
    """Under credentials of its own; a bucket that nobody declared is refused before a pack is made."""
    with_keys(tiny, tmp_path / "evidence")
    config = tiny.project.config
    place = f'bucket = "{s3_bucket}", credentials = "auditor", endpoint = "{s3_lab.endpoint}"'
    config.write_text(config.read_text() + f"\n[packs]\ns3 = [{{{place}}}]\n")
    credentials = tmp_path / "credentials.json"
    admin = {"access_key_id": s3_lab.admin.access_key, "secret_access_key": s3_lab.admin.secret}
    credentials.write_text(json.dumps({"auditor": admin}))
    credentials.chmod(0o600)
    tiny.environment = {"SQUALL_CREDENTIALS": str(credentials)}
    elsewhere = end(tiny.start("report", *PERIOD, "--to", "s3://somebody-elses/audit"), timeout_s=180)
    assert elsewhere.code != 0
    assert f"the bucket 'somebody-elses' is declared nowhere (known: {s3_bucket})" in elsewhere.text
    with tiny.ledger() as ledger:
        assert not list(ledger.records(kinds=[RecordKind.REPORT_ISSUED]))
    made = end(tiny.start("report", *PERIOD, "--to", f"s3://{s3_bucket}/packs"), timeout_s=180)
    assert made.code == 0, made.text
    (key,) = (one["Key"] for one in s3_lab.client("s3").list_objects_v2(Bucket=s3_bucket, Prefix="packs/")["Contents"])
    assert f"s3://{s3_bucket}/{key}" in made.out


def _the_pdf_carries_the_results(copy: Path) -> None:
    """It names both standards, its language and its title, and has the results inside, bit for bit."""
    raw = (copy / "report.pdf").read_bytes()
    for mark in (b"<pdfaid:part>3<", b"<pdfaid:conformance>A<", b"<pdfuaid:part>1<", b"/StructTreeRoot", b"/Lang"):
        assert mark in raw, mark
    wanted = hashlib.md5((copy / "assessment-results.json").read_bytes(), usedforsecurity=False).digest()
    assert b"assessment-results.json" in raw
    assert wanted.hex().upper().encode() in raw or wanted in raw or b"/AFRelationship" in raw


def test_the_next_pack_names_the_one_before(tiny: Tiny, tmp_path: Path) -> None:
    with_keys(tiny, tmp_path / "evidence")
    assert tiny.squall("run", tiny.experiment(), "--run-id", "one", "--quiet").code == 0
    for name in ("first", "second"):
        assert tiny.squall("report", *PERIOD, "--to", tmp_path / name).code == 0
    (one,), (other,) = ((tmp_path / name).glob("*/manifest.dsse.json") for name in ("first", "second"))
    assert _statement(other)["predicate"]["previousPack"] == hashlib.sha256(one.read_bytes()).hexdigest()
    assert _statement(one)["predicate"]["previousPack"] == ""


def _statement(manifest: Path) -> dict[str, dict[str, str]]:
    envelope = json.loads(manifest.read_text())
    found: dict[str, dict[str, str]] = json.loads(base64.b64decode(envelope["payload"]))
    return found


def test_without_keys_there_are_documents_and_it_is_said_that_nothing_is_signed(tiny: Tiny, tmp_path: Path) -> None:
    assert tiny.squall("run", tiny.experiment(), "--run-id", "one", "--quiet").code == 0
    made = tiny.squall("report", *PERIOD)
    assert made.code == 0
    assert "(not signed)" in made.out
    assert "Without a signed checkpoint" in made.out


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--since", "2026-02-01", "--until", "2026-01-01"), "before it begins"),
        (("--since", "2026-01-01", "--framework", "iso-9000"), "choose one of nist-800-53"),
        (("--since", "2026-01-01", "--sign-as", "nobody"), "names no key of 'nobody'"),
    ],
)
def test_what_cannot_be_asked_for_is_said(tiny: Tiny, tmp_path: Path, asked: tuple[str, ...], said: str) -> None:
    with_keys(tiny, tmp_path / "evidence")
    made = tiny.squall("report", *asked)
    assert made.code != 0
    assert said in made.out + made.err
    assert "Traceback" not in made.err
