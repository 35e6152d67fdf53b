"""A head leaves the house signed, in several places, and never twice in two stories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from chaos_tasks.clients import from_credentials
from chaos_tasks.errors import LedgerError, SetupError
from chaos_tasks.lab import identities
from chaos_tasks.lab.seaweedfs import S3Server
from chaos_tasks.ledger import merkle
from chaos_tasks.model.record import Note as NotePayload
from chaos_tasks.model.record import RecordKind
from chaos_tasks.model.sealing import S3Place
from chaos_tasks.sealing.s3 import Bucket
from chaos_tasks.sealing.witnesses import Witness as Asked
from chaos_tasks.signing.checkpoint import Checkpoint
from chaos_tasks.signing.keys import SigningKey
from chaos_tasks.signing.note import Note
from tests.integration.sealing.conftest import Bench
from tests.ledger_samples import note
from tests.servers import unique
from tests.witness import Witness, running


def test_a_head_is_kept_in_each_place_and_each_receipt_is_on_record(bench: Bench) -> None:
    bench.grow(5)
    root = bench.ledger.head().root
    sealed = bench.sealer.seal(why="test")
    assert sealed is not None
    assert (sealed.size, sealed.kept) == (5, 2)
    for place in bench.sealer.places:
        assert list(place.notes().values()) == [sealed.note]
    opened = Checkpoint.parse(Note.parse(sealed.note).opened([bench.key.verify_key]))
    assert (opened.size, opened.root) == (5, root)
    recorded = next(iter(bench.ledger.records(kinds=(RecordKind.CHECKPOINT_SIGNED,)))).record.payload
    assert isinstance(recorded, NotePayload)
    assert [each["receipt"] for each in recorded.facts["published"]] == [each.receipt for each in sealed.published]  # type: ignore[index, union-attr, call-overload]
    assert bench.told.notices == []


def test_nothing_is_signed_again_while_only_heads_were_recorded(bench: Bench) -> None:
    bench.grow(3)
    assert bench.sealer.seal(why="test") is not None
    assert bench.sealer.seal(why="test") is None
    bench.grow(1)
    again = bench.sealer.seal(why="test")
    assert again is not None
    assert again.size == 5


@pytest.mark.parametrize("size", [0, 4, 6, 9])
def test_a_log_that_was_rebuilt_is_refused_and_told(bench: Bench, size: int) -> None:
    bench.grow(6)
    bench.sealer.seal(why="test")
    bench.rebuild(size)
    with pytest.raises(LedgerError, match="does not extend"):
        bench.sealer.seal(why="test")
    assert ["does not extend" in each.sentence for each in bench.told.notices] == [True]
    assert all(len(place.notes()) == 1 for place in bench.sealer.places)


def test_a_cut_tail_is_refused(bench: Bench) -> None:
    bench.grow(6)
    frontier, before = (), bench.ledger.raw_rows()
    for at, row in zip(range(4), before, strict=False):
        frontier, _ = merkle.push(frontier, at, row.leaf)
    bench.sealer.seal(why="test")
    edge = b"".join(frontier).hex()
    bench.sql("DELETE FROM squall_record WHERE seq >= 4", f"UPDATE squall_head SET size = 4, frontier = x'{edge}'")
    with pytest.raises(LedgerError, match="does not extend the 6 records"):
        bench.sealer.seal(why="test")


def test_a_place_that_holds_a_head_of_an_unknown_key_is_refused(bench: Bench) -> None:
    bench.grow(2)
    stranger = SigningKey.generate(bench.key.name)
    forged = Note(Checkpoint(bench.key.name, 2, bench.ledger.head().root).text).signed_by(stranger)
    bench.sealer.places[0].publish("forged", str(forged))
    with pytest.raises(Exception, match="no known key"):
        bench.sealer.seal(why="test")
    assert len(bench.told.notices) == 1


def test_a_place_that_fails_is_told_and_the_other_has_the_head(bench: Bench) -> None:
    bench.grow(2)
    (bench.folder / "repo").write_text("a file where the repository should be")
    sealed = bench.sealer.seal(why="test")
    assert sealed is not None
    assert sealed.kept == 1
    assert [each.about for each in bench.told.notices] == ["checkpoints"]


def test_git_keeps_what_somebody_deletes(bench: Bench) -> None:
    bench.grow(2)
    bench.sealer.seal(why="test")
    repo = bench.folder / "repo"
    for command in (
        ["rm", "-rq", "checkpoints"],
        ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "gone"],
    ):
        subprocess.run(["git", "-C", repo, *command], check=True)
    assert len(bench.sealer.places[1].notes()) == 1


def test_a_name_that_is_taken_by_other_content_is_refused_everywhere(bench: Bench) -> None:
    for place in bench.sealer.places:
        place.publish("one", "first\n")
        assert place.publish("one", "first\n")
        with pytest.raises(SetupError, match="something else"):
            place.publish("one", "second\n")


def test_a_bucket_keeps_the_first_version_of_each_head(bench: Bench, s3_lab: S3Server, tmp_path: Path) -> None:
    owner = identities.ensure_sealer(s3_lab, tmp_path)
    clients = from_credentials({"sealer": {"access_key_id": owner.access_key, "secret_access_key": owner.secret}})
    place = S3Place(bucket=identities.SEALER_BUCKET, prefix=f"{unique('p')}/", endpoint=s3_lab.endpoint)
    bucket = Bucket(place, clients)
    bench.grow(2)
    sealed = bench.with_parts(places=(bucket,)).seal(why="test")
    assert sealed is not None
    assert "version" in sealed.published[0].receipt
    name = next(iter(bucket.notes()))
    with pytest.raises(SetupError, match="something else"):
        bucket.publish(name, "other\n")
    admin, key = s3_lab.client("s3"), f"{place.prefix}{name}.checkpoint"
    admin.put_object(Bucket=place.bucket, Key=key, Body=b"overwritten by its owner")
    assert bucket.notes() == {name: sealed.note}
    admin.delete_object(Bucket=place.bucket, Key=key)
    assert bucket.notes() == {name: sealed.note}


def test_a_witness_signs_what_extends_and_refuses_a_fork(bench: Bench) -> None:
    witness = Witness(bench.key.verify_key)
    with running(witness) as place:
        sealer = bench.with_parts(witnesses=(Asked(place),))
        for size in (3, 7):
            bench.grow(size - bench.ledger.size())
            sealed = sealer.seal(why="test")
            assert sealed is not None
            signers = Note.parse(sealed.note).signers([bench.key.verify_key, witness.key.verify_key])
            assert signers == (bench.key.verify_key, witness.key.verify_key)
        assert witness.last is not None
        assert witness.last.size == 7
        bench.rebuild(9)  # by somebody who emptied the places too, and has the log key
        forked = sealer.__class__(**{**sealer.__dict__, "places": ()}).seal(why="test")
        assert forked is not None
        assert "422" in forked.published[0].error
        assert "refuses" in bench.told.notices[0].sentence


def test_a_proof_shows_one_record_under_a_published_head(bench: Bench) -> None:
    bench.grow(7)
    with pytest.raises(LedgerError, match="no published checkpoint"):
        bench.sealer.prove(3)
    bench.sealer.seal(why="test")
    proof = bench.sealer.prove(3)
    head = Checkpoint.parse(Note.parse(proof.checkpoint).opened([bench.key.verify_key]))
    leaf = merkle.leaf_hash(list(bench.ledger.raw_rows())[3].entry.header)
    assert merkle.verify_inclusion(3, head.size, leaf, proof.path, head.root)


def test_two_processes_that_sign_one_head_do_not_collide(bench: Bench) -> None:
    bench.grow(3)
    first = bench.sealer.seal(why="one")
    again = Note.parse(first.note if first else "")
    for place in bench.sealer.places:
        assert place.publish(next(iter(place.notes())), str(again))


def test_without_a_log_key_the_end_of_a_run_signs_nothing(bench: Bench) -> None:
    bench.grow(1)
    (bench.folder / "keys" / "log.key").unlink()
    assert bench.sealer.after("a run") is None
    with pytest.raises(SetupError, match="cannot be read"):
        bench.sealer.seal(why="a person")
    assert bench.ledger.size() == 1
    assert bench.ledger.append(note("still/written")).seq == 1
