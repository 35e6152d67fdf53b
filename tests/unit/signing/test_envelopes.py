"""Envelopes fail closed, and statements have exact bytes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from pydantic import ValidationError

from chaos_tasks.errors import SignatureInvalid
from chaos_tasks.signing.dsse import open_envelope, pae, seal
from chaos_tasks.signing.keys import SigningKey, VerifyKey
from chaos_tasks.signing.statement import Statement, SubjectDigest

TOOL, PERSON, OTHER = (SigningKey(name, bytes([n]) * 32) for n, name in enumerate(("tool", "person", "other"), 1))


def changed(envelope: bytes, **fields: Any) -> bytes:
    return json.dumps({**json.loads(envelope), **fields}).encode()


def test_the_encoding_is_that_of_the_specification() -> None:
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("http://example.com/HelloWorld", b"hello world") == expected


def test_what_was_sealed_is_opened_with_who_sealed_it() -> None:
    envelope = seal(b"{}", TOOL, PERSON)
    opened = open_envelope(envelope, [PERSON.verify_key, TOOL.verify_key], need=2)
    assert (opened.payload, opened.signers) == (b"{}", (TOOL.verify_key, PERSON.verify_key))
    assert seal(b"{}", TOOL, PERSON) == envelope


def test_each_change_of_an_envelope_is_refused() -> None:
    envelope = seal(b'{"a":1}', TOOL)
    signature = json.loads(envelope)["signatures"][0]
    wrong = [
        changed(envelope, payload=base64.b64encode(b'{"a":2}').decode()),
        changed(envelope, payloadType="text/plain"),
        changed(envelope, signatures=[]),
        changed(envelope, signatures=[signature, signature]),
        changed(envelope, signatures=[{"keyid": signature["keyid"]}]),
        changed(envelope, signatures=[{"sig": signature["sig"][:-4] + "AAA="}]),
        envelope[:-1] + b',"payload":""}',
        b"[]",
        b"\xff",
        seal(b'{"a":1}', OTHER),
        seal(b'{"a":1}', TOOL, OTHER),
    ]
    for raw in wrong:
        with pytest.raises(SignatureInvalid):
            open_envelope(raw, [TOOL.verify_key])


def test_keyid_is_a_hint_that_nobody_trusts() -> None:
    envelope = seal(b"{}", TOOL)
    signature = json.loads(envelope)["signatures"][0]
    lying = changed(envelope, signatures=[{**signature, "keyid": OTHER.verify_key.hint}])
    assert open_envelope(lying, [TOOL.verify_key]).signers == (TOOL.verify_key,)
    forged = json.loads(seal(b"{}", OTHER))["signatures"][0]
    with pytest.raises(SignatureInvalid):
        open_envelope(changed(envelope, signatures=[{**forged, "keyid": TOOL.verify_key.hint}]), [TOOL.verify_key])


def test_one_key_under_two_names_counts_once() -> None:
    again = VerifyKey("alias", TOOL.verify_key.public)
    with pytest.raises(SignatureInvalid, match="2 must"):
        open_envelope(seal(b"{}", TOOL), [TOOL.verify_key, again], need=2)


def test_strangers_may_sign_as_well_where_that_is_said() -> None:
    opened = open_envelope(seal(b"{}", OTHER, TOOL), [TOOL.verify_key], strangers=True)
    assert opened.signers == (TOOL.verify_key,)
    with pytest.raises(SignatureInvalid):
        open_envelope(seal(b"{}", OTHER), [TOOL.verify_key], strangers=True)


def test_a_statement_has_canonical_bytes_and_is_read_back() -> None:
    statement = Statement(
        subject=(SubjectDigest(name="a", digest={"sha256": "0" * 64}),),
        predicate_type="https://in-toto.io/attestation/test-result/v0.1",
        predicate={"result": "PASSED", "n": 42, "value": "0.25"},
    )
    raw = statement.to_bytes()
    assert raw.startswith(b'{"_type":"https://in-toto.io/Statement/v1","predicate":{"n":42,"result":"PASSED"')
    assert Statement.from_bytes(raw) == statement


@pytest.mark.parametrize(
    "digest", [{}, {"sha256": "0"}, {"sha256": "A" * 64}, {"md5": "0" * 31}, {"gitCommit": "0" * 64}]
)
def test_a_digest_that_is_not_whole_is_refused(digest: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SubjectDigest(name="a", digest=digest)


def test_a_number_with_a_point_is_refused_wherever_it_stands() -> None:
    with pytest.raises(ValidationError, match="decimal text"):
        Statement(
            subject=(SubjectDigest(name="a", digest={"sha256": "0" * 64}),),
            predicate_type="https://example.org/p",
            predicate={"deep": [{"value": 0.5}]},
        )
