"""A pack is the same bytes twice, is checked without Squall, and no change to it goes unseen."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.auditing import redeciding
from chaos_tasks.evidence import verifier
from chaos_tasks.evidence.pack import ATTESTATIONS, CHECKPOINT, KEYS, LEAVES, MANIFEST, RECORDS, RESULTS, zipped
from chaos_tasks.signing import dsse
from chaos_tasks.signing.checkpoint import Checkpoint
from chaos_tasks.signing.keys import SigningKey
from chaos_tasks.signing.note import Note
from tests.unit.evidence.packs import LOG_KEY, ORIGIN, PERSON_KEY, REPORT_KEY, STRANGER, TRUSTED, Made, made

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def with_paths(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("paths"), with_leaves=False)


def checked(files: Files) -> dict[str, str]:
    """The answers about a pack in memory."""
    keys = [verifier.parse_vkey(one) for one in TRUSTED]
    check = verifier.Check(files, keys, redeciding).run()
    return {name: check.answer(name) for name in verifier.ANSWERS}


def test_an_honest_pack_holds_in_all_but_what_this_night_really_left_open(pack: Made) -> None:
    """One run of the made-up night was never put back: the pack says so in its outcome, and holds."""
    assert set(checked(pack.files).values()) == {verifier.HOLDS}


def test_records_may_bring_their_own_paths(with_paths: Made) -> None:
    assert LEAVES not in with_paths.files
    assert set(checked(with_paths.files).values()) == {verifier.HOLDS}


def test_built_twice_it_is_the_same_bytes(tmp_path: Path, pack: Made) -> None:
    """But for the salts of the ledger, which are drawn when a record is written."""
    one, other = zipped(pack.files), zipped(dict(reversed(pack.files.items())))
    assert one == other
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    again = made(tmp_path / "one").files, made(tmp_path / "other").files
    for name in set(pack.files) - {RECORDS, LEAVES, CHECKPOINT, MANIFEST, "report.html", "report.md", "report.json"}:
        if name not in {ATTESTATIONS, RESULTS}:
            assert again[0][name] == again[1][name], name


def test_the_verifier_runs_alone_on_a_zip(tmp_path: Path, pack: Made) -> None:
    """In an interpreter that cannot import Squall, from another folder."""
    (tmp_path / "pack.zip").write_bytes(zipped(pack.files))
    for name in ("verify.py", "redeciding.py"):
        (tmp_path / name).write_bytes(pack.files[name])
    (tmp_path / "keys").write_text("\n".join(TRUSTED))
    command = [sys.executable, "-I", "verify.py", "pack.zip", "--vkey", "keys"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count("holds") == 6
    (tmp_path / "redeciding.py").unlink()
    alone = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (alone.returncode, alone.stdout.count("holds")) == (3, 5)
    assert "redeciding.py does not lie beside this file" in alone.stdout


def test_the_verifier_imports_nothing_of_ours(pack: Made) -> None:
    tree = ast.parse(pack.files["verify.py"])
    names = {
        alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    names |= {(node.module or "").partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= sys.stdlib_module_names | {"cryptography"}


def test_without_a_key_authenticity_is_not_shown(tmp_path: Path, pack: Made) -> None:
    (tmp_path / "pack.zip").write_bytes(zipped(pack.files))
    check = verifier.verify(str(tmp_path / "pack.zip"))
    assert check.answer("authenticity") == verifier.NOT_SHOWN
    assert verifier.main([str(tmp_path / "pack.zip")]) == 3


def test_two_people_may_sign(tmp_path: Path) -> None:
    files = made(tmp_path, signers=(REPORT_KEY, PERSON_KEY)).files
    keys = [verifier.parse_vkey(PERSON_KEY.verify_key.vkey)]
    _, signers = verifier.open_envelope(files[MANIFEST], keys)
    assert signers == [PERSON_KEY.name]


@pytest.mark.parametrize("content", [b"", b"{}", b"no json", b'{"payloadType": 1}'])
def test_what_is_no_pack_is_said_to_be_none(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    assert verifier.main([str(tmp_path)]) == 2
    assert "no evidence pack" in capsys.readouterr().out


# --- tampering: who, with which keys, does what, and which answer tells -------------------------------------------

Change = Callable[[Files], None]


def _edit_file(name: str) -> Change:
    def change(files: Files) -> None:
        files[name] = files[name].replace(b"deviated", b"held    ", 1)

    return change


def _edit_verifier(files: Files) -> None:
    files["verify.py"] = files["verify.py"].replace(b"does not hold", b"holds", 1)


def _drop(name: str) -> Change:
    return lambda files: (files.pop(name), None)[1]


def _add(files: Files) -> None:
    files["extra.txt"] = b"all is well"


def _records(change: Callable[[list[Any]], None]) -> Change:
    def apply(files: Files) -> None:
        lines = [json.loads(line) for line in files[RECORDS].splitlines()]
        change(lines)
        files[RECORDS] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    return apply


def _edit_header(lines: list[Any]) -> None:
    header = base64.b64decode(lines[3]["header"])
    lines[3]["header"] = base64.b64encode(header.replace(b"lab", b"dev")).decode()


def _edit_payload(lines: list[Any]) -> None:
    verdict = next(one for one in lines if b"evaluate.verdict" in base64.b64decode(one["header"]))
    payload = base64.b64decode(verdict["payload"])
    verdict["payload"] = base64.b64encode(payload.replace(b"deviated", b"held", 1)).decode()


def _swap_payloads(lines: list[Any]) -> None:
    for key in ("payload", "salt"):
        lines[1][key], lines[2][key] = lines[2][key], lines[1][key]


def _cut_tail(lines: list[Any]) -> None:
    del lines[-3:]


def _drop_revert(lines: list[Any]) -> None:
    lines[:] = [one for one in lines if b"revert.verified" not in base64.b64decode(one["header"])]


def _drop_a_run(lines: list[Any]) -> None:
    lines[:] = [one for one in lines if b"/label-flip" not in base64.b64decode(one["header"])]


def _reorder(lines: list[Any]) -> None:
    lines[4], lines[5] = lines[5], lines[4]


def _renumber(lines: list[Any]) -> None:
    lines[4]["seq"], lines[5]["seq"] = lines[5]["seq"], lines[4]["seq"]
    lines[4], lines[5] = lines[5], lines[4]


def _double(lines: list[Any]) -> None:
    lines.append(lines[-1])


def _resign(key: SigningKey) -> Change:
    """Sign the manifest again over the files as they are now."""

    def apply(files: Files) -> None:
        envelope = json.loads(files[MANIFEST])
        statement = json.loads(base64.b64decode(envelope["payload"]))
        for one in statement["subject"]:
            if one["name"] in files:
                one["digest"]["sha256"] = hashlib.sha256(files[one["name"]]).hexdigest()
        statement["subject"] = [one for one in statement["subject"] if one["name"] in files]
        files[MANIFEST] = dsse.seal(json.dumps(statement).encode(), key)

    return apply


def _all(*changes: Change) -> Change:
    def apply(files: Files) -> None:
        for change in changes:
            change(files)

    return apply


def _other_root(files: Files) -> None:
    """Leaves and checkpoint of a log that was rebuilt, signed by a key of the same name."""
    leaves = [files[LEAVES][i : i + 32] for i in range(0, len(files[LEAVES]), 32)][:-3]
    files[LEAVES] = b"".join(leaves)
    head = Checkpoint(origin=ORIGIN, size=len(leaves), root=verifier.root_of(leaves))
    files[CHECKPOINT] = str(Note(head.text).signed_by(STRANGER)).encode()


def _edit_checkpoint(files: Files) -> None:
    lines = files[CHECKPOINT].decode().split("\n")
    lines[1] = str(int(lines[1]) - 1)
    files[CHECKPOINT] = "\n".join(lines).encode()


def _rebuild(files: Files) -> None:
    """Whoever has the report key only: another verdict, a log that fits it, the checkpoint as it was."""
    lines = [json.loads(line) for line in files[RECORDS].splitlines()]
    verdict = next(one for one in lines if b'"deviated"' in base64.b64decode(one["header"]))
    header = base64.b64decode(verdict["header"]).replace(b'"deviated"', b'"held"')
    verdict["header"] = base64.b64encode(header).decode()
    files[RECORDS] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    leaves = bytearray(files[LEAVES])
    leaves[32 * verdict["seq"] : 32 * verdict["seq"] + 32] = verifier.leaf_hash(header)
    files[LEAVES] = bytes(leaves)


def _drop_attestation(files: Files) -> None:
    files[ATTESTATIONS] = b"\n".join(files[ATTESTATIONS].splitlines()[1:]) + b"\n"


def _forge_attestation(files: Files) -> None:
    first, *rest = files[ATTESTATIONS].splitlines()
    statement = base64.b64decode(json.loads(first)["payload"]).replace(b'"FAILED"', b'"PASSED"')
    files[ATTESTATIONS] = b"\n".join([dsse.seal(statement, STRANGER), *rest]) + b"\n"


def _soften_attestation(field: bytes, other: bytes) -> Change:
    """Another word in the attestation of a run that deviated, and the report key's own signature under it."""

    def apply(files: Files) -> None:
        lines = files[ATTESTATIONS].splitlines()
        statements = [base64.b64decode(json.loads(line)["payload"]) for line in lines]
        place = next(nth for nth, one in enumerate(statements) if b'"outcome":"deviated"' in one)
        assert statements[place].count(field) == 1
        lines[place] = dsse.seal(statements[place].replace(field, other), REPORT_KEY)
        files[ATTESTATIONS] = b"\n".join(lines) + b"\n"

    return apply


def _double_attestation(files: Files) -> None:
    """A second, softer one beside the true one."""
    before = files[ATTESTATIONS]
    _soften_attestation(b'"outcome":"deviated"', b'"outcome":"held"')(files)
    files[ATTESTATIONS] = before + files[ATTESTATIONS]


def _strip_signatures(files: Files) -> None:
    envelope = json.loads(files[MANIFEST])
    envelope["signatures"] = []
    files[MANIFEST] = json.dumps(envelope).encode()


def _swap_keys(files: Files) -> None:
    files[KEYS] = f"{STRANGER.verify_key.vkey}\n".encode()


MINE = _resign(REPORT_KEY)
TAMPERING: dict[str, tuple[Change, str]] = {
    "a reader edits the results": (_edit_file(RESULTS), "files"),
    "a reader edits the page": (_edit_file("report.html"), "files"),
    "a reader drops a document": (_drop("poam.json"), "files"),
    "a reader adds a document": (_add, "files"),
    "a reader edits the verifier": (_edit_verifier, "files"),
    "a reader replaces the keys": (_swap_keys, "files"),
    "a reader strips the signatures": (_strip_signatures, "authenticity"),
    "another key signs the manifest": (_all(_edit_file(RESULTS), _resign(STRANGER)), "authenticity"),
    "another key signs another head": (_all(_other_root, MINE), "authenticity"),
    "the checkpoint's size is edited": (_all(_edit_checkpoint, MINE), "authenticity"),
    "the checkpoint is dropped": (_all(_drop(CHECKPOINT), MINE), "authenticity"),
    "report key: a header is edited": (_all(_records(_edit_header), MINE), "integrity"),
    "report key: a verdict's payload is edited": (_all(_records(_edit_payload), MINE), "integrity"),
    "report key: payloads are swapped": (_all(_records(_swap_payloads), MINE), "integrity"),
    "report key: records change places": (_all(_records(_reorder), MINE), "integrity"),
    "report key: records change numbers": (_all(_records(_renumber), MINE), "integrity"),
    "report key: a record is doubled": (_all(_records(_double), MINE), "integrity"),
    "report key: a log is rebuilt around another verdict": (_all(_rebuild, MINE), "integrity"),
    "report key: leaves are cut": (_all(_other_root, MINE), "integrity"),
    "report key: the tail of the records is cut": (_all(_records(_cut_tail), MINE), "completeness"),
    "report key: an undo is dropped": (_all(_records(_drop_revert), MINE), "completeness"),
    "report key: a run is dropped": (_all(_records(_drop_a_run), MINE), "completeness"),
    "report key: an attestation is dropped": (_all(_drop_attestation, MINE), "completeness"),
    "report key: an attestation says another outcome": (
        _all(_soften_attestation(b'"outcome":"deviated"', b'"outcome":"held"'), MINE),
        "completeness",
    ),
    "report key: an attestation says another result": (
        _all(_soften_attestation(b'"result":"FAILED"', b'"result":"PASSED"'), MINE),
        "completeness",
    ),
    "report key: a second attestation says another outcome": (_all(_double_attestation, MINE), "completeness"),
    "another key signs an attestation": (_all(_forge_attestation, MINE), "authenticity"),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_each_manipulation_is_told_by_the_answer_that_should(name: str, pack: Made) -> None:
    change, answer = TAMPERING[name]
    files = dict(pack.files)
    change(files)
    assert checked(files)[answer] != verifier.HOLDS, name


def test_who_has_both_keys_can_rewrite_a_verdict_and_only_the_second_judge_or_an_older_checkpoint_tells(
    pack: Made,
) -> None:
    """Numbers and verdict changed together are told by no judge: so checkpoints go where their owner cannot reach."""
    files = dict(pack.files)
    _rebuild(files)
    leaves = [files[LEAVES][i : i + 32] for i in range(0, len(files[LEAVES]), 32)]
    head = Checkpoint(origin=ORIGIN, size=len(leaves), root=verifier.root_of(leaves))
    files[CHECKPOINT] = str(Note(head.text).signed_by(LOG_KEY)).encode()
    envelope = json.loads(files[MANIFEST])
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"]["ledger"]["root"] = head.root.hex()
    files[MANIFEST] = dsse.seal(json.dumps(statement).encode(), REPORT_KEY)
    MINE(files)
    found = checked(files)
    assert (found["integrity"], found["re-performance"]) == (verifier.HOLDS, verifier.FAILS)
    assert head.root != pack.ledger.head().root
