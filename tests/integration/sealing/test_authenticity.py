"""What the owner of the database does to the log shows against the heads that left the house."""

from __future__ import annotations

import dataclasses

import pytest

from chaos_tasks.auditing.answers import FIVE, Question, State
from chaos_tasks.auditing.authenticity import Held
from chaos_tasks.auditing.whole import Evidence, audit
from chaos_tasks.ledger import merkle
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Note as NotePayload
from chaos_tasks.model.record import Record, RecordKind
from chaos_tasks.sealing.keyring import rotation
from chaos_tasks.signing.checkpoint import Checkpoint
from chaos_tasks.signing.keys import SigningKey
from chaos_tasks.signing.note import Note
from tests.integration.sealing.conftest import ORIGIN, Bench
from tests.ledger_samples import NOON


def evidence(bench: Bench, *more: Held) -> Evidence:
    heads = [Held(each.name, each.text) for each in bench.sealer.found([])]
    return Evidence(heads=(*heads, *more), keys=bench.sealer.keys.known(), origin=ORIGIN)


def test_without_any_head_authenticity_is_not_shown_and_never_passes(bench: Bench) -> None:
    bench.grow(3)
    found = audit(bench.ledger, evidence(bench))
    assert (found.integrity.state, found.authenticity.state) == (State.SHOWN, State.NOT_SHOWN)
    assert found.reperformance.state is State.NOT_SHOWN
    assert not found.passes([Question.AUTHENTICITY])
    assert not found.passes(FIVE)
    assert found.passes([Question.INTEGRITY])


def test_heads_that_the_log_extends_show_how_much_is_signed(bench: Bench) -> None:
    for count in (3, 4):
        bench.grow(count)
        bench.sealer.seal(why="test")
    found = audit(bench.ledger, evidence(bench))
    assert found.authenticity.state is State.SHOWN
    assert "the first 8 of 9 records are under 4 signed heads" in found.authenticity.sentence
    assert "by no witness" in found.authenticity.sentence


@pytest.mark.parametrize(("size", "word"), [(3, "cut off"), (6, "rebuilt"), (9, "rebuilt")])
def test_a_rebuilt_log_is_whole_in_itself_and_fails_against_its_heads(bench: Bench, size: int, word: str) -> None:
    bench.grow(6)
    bench.sealer.seal(why="test")
    bench.rebuild(size)
    found = audit(bench.ledger, evidence(bench))
    assert (found.integrity.state, found.authenticity.state) == (State.SHOWN, State.FAILED)
    assert word in found.authenticity.first[0].what
    assert not found.passes([Question.INTEGRITY])  # what failed is never left out by not asking for it


def test_a_cut_tail_is_caught(bench: Bench) -> None:
    bench.grow(6)
    bench.sealer.seal(why="test")
    frontier: tuple[bytes, ...] = ()
    for at, row in zip(range(5), bench.ledger.raw_rows(), strict=False):
        frontier, _ = merkle.push(frontier, at, row.leaf)
    edge = b"".join(frontier).hex()
    bench.sql("DELETE FROM squall_record WHERE seq >= 5", f"UPDATE squall_head SET size = 5, frontier = x'{edge}'")
    found = audit(bench.ledger, evidence(bench))
    assert (found.integrity.state, found.authenticity.state) == (State.SHOWN, State.FAILED)
    assert found.authenticity.first[0].what.endswith("signs 6 records, 5 are here: the newest were cut off")


def test_a_forged_head_and_one_of_an_unknown_key_are_caught(bench: Bench) -> None:
    bench.grow(4)
    bench.sealer.seal(why="test")
    head = Checkpoint(ORIGIN, 4, bytes(32))
    own = str(Note(head.text).signed_by(bench.key))
    forged = own.replace(ORIGIN + "\n4\n", ORIGIN + "\n3\n")
    unknown = str(Note(head.text).signed_by(SigningKey.generate(ORIGIN)))
    others = str(Note(Checkpoint("other/log", 4, bytes(32)).text).signed_by(bench.key))
    for text, word in (
        (forged, "does not belong"),
        (unknown, "no known key"),
        (own, "rebuilt"),
        (others, "not of"),
        ("garbage", "no signed note"),
    ):
        found = audit(bench.ledger, evidence(bench, Held("mail", text)))
        assert found.authenticity.state is State.FAILED, word
        assert any(word in each.what for each in found.authenticity.first), (word, found.authenticity.first)


def test_a_report_key_may_not_sign_heads(bench: Bench) -> None:
    bench.grow(2)
    report = SigningKey.generate(f"{ORIGIN}/report")
    head = Note(Checkpoint(ORIGIN, 2, bench.ledger.head().root).text).signed_by(report)
    told = evidence(bench, Held("mail", str(head)))
    told = dataclasses.replace(told, keys=(*told.keys, report.verify_key))
    assert audit(bench.ledger, told).authenticity.state is State.FAILED


def test_a_place_that_cannot_be_read_leaves_it_not_shown(bench: Bench) -> None:
    bench.grow(2)
    bench.sealer.seal(why="test")
    told = dataclasses.replace(evidence(bench), unread=("s3://gone: no answer",))
    found = audit(bench.ledger, told)
    assert (found.authenticity.state, "s3://gone" in found.authenticity.sentence) == (State.NOT_SHOWN, True)


def test_a_rotated_key_is_known_by_both_signatures_and_by_nothing_less(bench: Bench) -> None:
    new, thief = SigningKey.generate(ORIGIN), SigningKey.generate(ORIGIN)
    bench.grow(2)
    bench.sealer.seal(why="test")
    one_sided = Note(rotation("log", bench.key, thief).text).signed_by(thief)
    for note in (rotation("log", bench.key, new), one_sided):
        bench.ledger.append(
            Record(
                kind=RecordKind.KEY_ROTATED,
                idem_key=f"key/{bench.ledger.size()}",
                occurred_at=NOON,
                run_id="keys",
                recorder=Recorder(),
                payload=NotePayload(text="rotated", facts={"note": str(note)}),
            )
        )
    head = Checkpoint(ORIGIN, bench.ledger.size(), bench.ledger.head().root).text
    good, bad = (Held("mail", str(Note(head).signed_by(key))) for key in (new, thief))
    assert audit(bench.ledger, evidence(bench, good)).authenticity.state is State.SHOWN
    assert audit(bench.ledger, evidence(bench, bad)).authenticity.state is State.FAILED
