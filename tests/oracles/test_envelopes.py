"""securesystemslib accepts our DSSE envelopes, and refuses them once they are changed."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from chaos_tasks.evidence.pack import ATTESTATIONS, MANIFEST
from chaos_tasks.signing.dsse import seal
from chaos_tasks.signing.keys import SigningKey
from tests.oracles.conftest import Ask
from tests.unit.evidence.packs import PERSON_KEY, REPORT_KEY, made

VERIFY = """
import json, sys
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
envelope = Envelope.from_dict(json.load(open(sys.argv[1])))
told = [each.split("=") for each in sys.argv[2:]]
keys = [SSlibKey(keyid, "ed25519", "ed25519", {"public": public}) for keyid, public in told]
try:
    accepted = envelope.verify(keys, len(keys))
except VerificationError:
    sys.exit(3)
print(len(accepted))
"""
ONE, TWO = SigningKey("one", b"\x01" * 32), SigningKey("two", b"\x02" * 32)


def ask(oracle: Ask, path: Path, envelope: bytes, *keys: SigningKey) -> tuple[int, str, str]:
    path.write_bytes(envelope)
    answer = oracle(VERIFY, path, *(f"{key.verify_key.hint}={key.verify_key.public.hex()}" for key in keys))
    return answer.returncode, answer.stdout.strip(), answer.stderr


@pytest.mark.parametrize("keys", [(ONE,), (ONE, TWO)], ids=["one key", "two keys"])
def test_an_envelope_of_ours_is_accepted(oracle: Ask, tmp_path: Path, keys: tuple[SigningKey, ...]) -> None:
    assert ask(oracle, tmp_path / "e.json", seal(b'{"a":1}', *keys), *keys) == (0, str(len(keys)), "")


def test_a_changed_envelope_and_one_of_another_key_are_refused(oracle: Ask, tmp_path: Path) -> None:
    envelope = json.loads(seal(b'{"a":1}', ONE))
    other = base64.b64encode(b'{"a":2}').decode()
    for field, value in (("payload", other), ("payloadType", "text/plain")):
        changed = json.dumps({**envelope, field: value}).encode()
        assert ask(oracle, tmp_path / "e.json", changed, ONE) == (3, "", "")
    assert ask(oracle, tmp_path / "e.json", json.dumps(envelope).encode(), TWO) == (3, "", "")


def test_the_manifest_and_the_attestations_of_a_pack_are_accepted(oracle: Ask, tmp_path: Path) -> None:
    files = made(tmp_path, signers=(REPORT_KEY, PERSON_KEY)).files
    assert ask(oracle, tmp_path / "e.json", files[MANIFEST], REPORT_KEY, PERSON_KEY) == (0, "2", "")
    attestations = files[ATTESTATIONS].splitlines()
    assert attestations
    for envelope in attestations:
        assert ask(oracle, tmp_path / "e.json", envelope, REPORT_KEY) == (0, "1", "")
