"""Signed notes, checkpoints, cosignatures and proofs against the published examples."""

from __future__ import annotations

import base64

import pytest

from chaos_tasks.errors import SignatureInvalid
from chaos_tasks.signing.checkpoint import Checkpoint
from chaos_tasks.signing.cosignature import cosign, signed_at
from chaos_tasks.signing.keys import COSIGNATURE, SigningKey, VerifyKey
from chaos_tasks.signing.note import Note
from chaos_tasks.signing.proof import InclusionProof

# The key, the text and the note of the reference implementation's documentation (golang.org/x/mod/sumdb/note).
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NOTE = (
    TEXT + "\n— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# The example of c2sp.org/tlog-checkpoint.
CHECKPOINT = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)


def test_the_published_note_verifies_and_is_made_again_byte_by_byte() -> None:
    assert Note.parse(NOTE).opened([VerifyKey.parse(VKEY)]) == TEXT
    assert str(Note(TEXT).signed_by(SigningKey.parse(SKEY))) == NOTE
    assert SigningKey.parse(SKEY).verify_key.vkey == VKEY
    assert SigningKey.parse(SKEY).private_line() == SKEY


def test_the_published_checkpoint_reads_as_origin_size_and_root() -> None:
    note = Note.parse(CHECKPOINT)
    checkpoint = Checkpoint.parse(note.text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert base64.b64encode(checkpoint.root) == b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    assert checkpoint.text == note.text
    assert str(note) == CHECKPOINT
    assert note.signatures[0].name == checkpoint.origin


def test_a_changed_byte_of_the_text_or_the_signature_is_refused() -> None:
    key = VerifyKey.parse(VKEY)
    for forged in (NOTE.replace("answer", "Answer"), NOTE.replace("ZJkuBS9", "ZJkuBS8")):
        with pytest.raises(SignatureInvalid, match="does not belong"):
            Note.parse(forged).opened([key])


def test_signatures_of_unknown_keys_are_ignored_and_never_enough() -> None:
    known, stranger = SigningKey.generate("a.example/log"), SigningKey.generate("a.example/log")
    note = Note("said\n").signed_by(stranger)
    with pytest.raises(SignatureInvalid, match="no known key"):
        note.opened([known.verify_key])
    assert note.signed_by(known).signers([known.verify_key]) == (known.verify_key,)


def test_one_key_that_signs_twice_is_refused() -> None:
    key = SigningKey.generate("a.example/log")
    with pytest.raises(SignatureInvalid, match="twice"):
        Note("said\n").signed_by(key, key).signers([key.verify_key])


NO_NOTES = (
    *("", "text\n", "text\n\n", "text\n\n— a.example AAAA\n", "text\n\n- a.example AAAAAAA=\n"),
    *("te\rxt\n\n— a AAAAAAA=\n", "text\n\n— a.example AAAAAAA=", "text\n\n— a+b AAAAAAA=\n"),
    *("text\n\n—  AAAAAAA=\n", "text\n\n— a A A\n"),
)


@pytest.mark.parametrize("raw", NO_NOTES)
def test_what_is_no_note_is_refused(raw: str) -> None:
    with pytest.raises(SignatureInvalid):
        Note.parse(raw)


def test_the_text_of_a_note_may_have_empty_lines() -> None:
    key = SigningKey.generate("a.example/log")
    note = Note("one\n\ntwo\n").signed_by(key)
    assert Note.parse(str(note)).opened([key.verify_key]) == "one\n\ntwo\n"


ROOT = base64.b64encode(bytes(32)).decode()
BODIES = ("", "o\n1\n", f"o\n01\n{ROOT}\n", f"o\n-1\n{ROOT}\n", f"\n1\n{ROOT}\n", "o\n1\nAAAA\n", f"o\n١\n{ROOT}\n")


@pytest.mark.parametrize("text", [*BODIES, f"o\n1\n{ROOT}", f"o\n1\n{ROOT}\n\n"])
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(SignatureInvalid):
        Checkpoint.parse(text)


def test_a_witness_signs_the_text_and_the_time() -> None:
    witness = SigningKey.generate("witness.example/w1", COSIGNATURE)
    text = Checkpoint("a.example/log", 7, bytes(32)).text
    note = Note(text).signed_by(SigningKey.generate("a.example/log")).with_lines(cosign(witness, text, 1_790_000_000))
    assert note.signers([witness.verify_key]) == (witness.verify_key,)
    assert signed_at(note.signatures[1].signature) == 1_790_000_000
    later = bytearray(note.signatures[1].signature)
    later[7] ^= 1
    moved = Note(text, (note.signatures[1].__class__(witness.name, witness.verify_key.id, bytes(later)),))
    with pytest.raises(SignatureInvalid, match="does not belong"):
        moved.signers([witness.verify_key])


def test_a_proof_is_read_as_it_was_written() -> None:
    proof = InclusionProof(73894, (bytes(32), b"\x01" * 32), CHECKPOINT, extra=b"more")
    assert InclusionProof.parse(str(proof)) == proof
    assert str(proof).startswith("c2sp.org/tlog-proof@v1\nextra bW9yZQ==\nindex 73894\n")
    for broken in (str(proof).replace("@v1", "@v2"), str(proof).replace("73894", "073894"), "c2sp.org/tlog-proof@v1\n"):
        with pytest.raises(SignatureInvalid):
            InclusionProof.parse(broken)


@pytest.mark.parametrize("bad", ["", "a", "a+b", VKEY[:-4], VKEY.replace("c74f", "c74e"), "a b+c74f20a3+AR", SKEY])
def test_what_is_no_vkey_is_refused(bad: str) -> None:
    with pytest.raises(SignatureInvalid):
        VerifyKey.parse(bad)
