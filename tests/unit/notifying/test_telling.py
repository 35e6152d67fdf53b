"""People are told once, with a signature that a receiver can check; what cannot be told changes nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from chaos_tasks.errors import LedgerError
from chaos_tasks.model.notice import Notice, NoticeKind, Sight
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Note, RecordKind, Stored
from chaos_tasks.notifying.channels import (
    SIGNATURE,
    TIMESTAMP,
    Channel,
    FileChannel,
    WebhookChannel,
    channels_of,
    signature,
)
from chaos_tasks.notifying.delivery import DeliveryError
from chaos_tasks.notifying.telling import NOBODY, Later, LedgerNotifier
from chaos_tasks.settings import Notify, Webhook
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.unit.notifying.receiver import receiving

AT = FakeClock().now()
SECRET = "a secret that no text may show"


def notice(**changes: object) -> Notice:
    told: dict[str, object] = {
        "kind": NoticeKind.UNREVERTED,
        "about": "run-1/write",
        "sentence": "toy.word is still in",
        "occurred_at": AT,
        "run_id": "run-1",
        "look_at": (Sight(name="where", text="there"), Sight(name="before", text="abc")),
        "command": "squall revert run-1/write",
    }
    return Notice.model_validate({**told, **changes})


def hook(url: str, *, variables: Mapping[str, str] | None = None, **changes: object) -> WebhookChannel:
    webhook = Webhook.model_validate({"url": url, "timeout_s": 2.0, "tries": 3, **changes})
    return WebhookChannel("oncall", webhook, variables or {}, FakeClock())


class Told:
    """A channel that keeps what it was sent, or raises."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.name = "told" if trouble is None else "troubled"
        self.notices: list[Notice] = []
        self.trouble = trouble

    def send(self, notice: Notice) -> int:
        if self.trouble is not None:
            raise self.trouble
        self.notices.append(notice)
        return 1


def notifier(ledger: MemoryLedger, *channels: Channel, clock: FakeClock | None = None) -> LedgerNotifier:
    return LedgerNotifier(ledger, clock or FakeClock(), Recorder(), channels, timedelta(hours=1))


def notes(ledger: MemoryLedger, kind: RecordKind, run_id: str = "run-1") -> list[Note]:
    stored: list[Stored] = list(ledger.records(run_id=run_id, kinds=(kind,)))
    return [one.record.payload for one in stored if isinstance(one.record.payload, Note)]


def test_the_text_says_what_to_look_at_and_what_to_type() -> None:
    assert notice().text.splitlines() == [
        "unreverted: toy.word is still in",
        "  where   there",
        "  before  abc",
        "  -> squall revert run-1/write",
    ]


def test_a_receiver_can_check_who_sent_it() -> None:
    with receiving() as receiver:
        channel = hook(receiver.url, variables={"KEY": SECRET}, secret_variable="KEY")
        assert channel.send(notice()) == 1
    posted = receiver.posted[0]
    assert json.loads(posted.body)["notice"]["command"] == "squall revert run-1/write"
    assert json.loads(posted.body)["text"] == notice().text
    expected = "sha256=" + signature(SECRET, posted.headers[TIMESTAMP], posted.body)
    assert posted.headers[SIGNATURE] == expected
    assert signature("another", posted.headers[TIMESTAMP], posted.body) not in expected
    assert SECRET not in str(posted) + repr(channel)


@pytest.mark.parametrize("codes", [(503, 200), (500, 429, 200)])
def test_a_receiver_in_trouble_is_tried_again(codes: tuple[int, ...]) -> None:
    with receiving(*codes) as receiver:
        assert hook(receiver.url).send(notice()) == len(codes)
    assert len({posted.body for posted in receiver.posted}) == 1


def test_the_tries_come_to_an_end() -> None:
    with receiving(503) as receiver, pytest.raises(DeliveryError, match="answered 503") as caught:
        hook(receiver.url).send(notice())
    assert (len(receiver.posted), caught.value.tries) == (3, 3)


@pytest.mark.parametrize("code", [400, 401, 404, 302, 307])
def test_a_refusal_and_a_redirect_are_final(code: int) -> None:
    with receiving(code) as receiver, pytest.raises(DeliveryError, match=str(code)):
        hook(receiver.url).send(notice())
    assert [posted.path for posted in receiver.posted] == ["/hook"]


def test_a_receiver_that_hangs_is_given_up() -> None:
    with receiving(None) as receiver, pytest.raises(DeliveryError, match="no answer"):
        hook(receiver.url, timeout_s=0.1, tries=2).send(notice())
    assert len(receiver.posted) == 2


@pytest.mark.parametrize("url", ["file:///etc/passwd", "nowhere", "http://", "http://127.0.0.1:1/x", "https://[::bad/"])
def test_an_address_that_cannot_be_used_is_an_answer_not_a_traceback(url: str) -> None:
    with pytest.raises(DeliveryError) as caught:
        hook(url, tries=1).send(notice())
    assert url not in str(caught.value)


def test_an_address_may_be_a_secret_of_the_environment() -> None:
    with receiving() as receiver:
        hook("${HOOK}", variables={"HOOK": receiver.url}).send(notice())
        assert len(receiver.posted) == 1
    with pytest.raises(DeliveryError, match="the variable HOOK is not set"):
        hook("${HOOK}").send(notice())
    with pytest.raises(DeliveryError, match="KEY"):
        hook("http://127.0.0.1:1/", secret_variable="KEY").send(notice())


def test_a_file_gets_a_line_per_notice_that_only_its_owner_reads(tmp_path: Path) -> None:
    channel = FileChannel(tmp_path / "deep" / "notices.jsonl")
    channel.send(notice())
    channel.send(notice(about="run-2/write", sentence="ümlaut"))
    lines = [json.loads(line) for line in channel.path.read_text(encoding="utf-8").splitlines()]
    assert [line["about"] for line in lines] == ["run-1/write", "run-2/write"]
    assert channel.path.stat().st_mode & 0o077 == 0
    with pytest.raises(DeliveryError, match="cannot be written"):
        FileChannel(tmp_path / "deep").send(notice())


def test_what_was_told_is_on_record_and_not_told_again_for_an_hour() -> None:
    ledger, told, clock = MemoryLedger(FakeClock()), Told(), FakeClock()
    tell = notifier(ledger, told, clock=clock)
    tell.tell(notice(occurred_at=clock.now()))
    clock.advance(1800)
    tell.tell(notice(occurred_at=clock.now()))
    assert len(told.notices) == 1
    clock.advance(1801)
    tell.tell(notice(occurred_at=clock.now()))
    assert len(told.notices) == 2
    tell.tell(notice(about="run-1/other", occurred_at=clock.now()))
    assert len(told.notices) == 3
    facts = notes(ledger, RecordKind.NOTICE_SENT)[0].facts
    assert facts == {"notice": "unreverted", "about": "run-1/write", "channel": "told", "tries": 1, "why": ""}


@pytest.mark.parametrize("trouble", [DeliveryError("no answer", tries=3), RuntimeError(SECRET)])
def test_one_channel_that_fails_is_recorded_and_keeps_the_others_from_nothing(trouble: Exception) -> None:
    ledger, told = MemoryLedger(FakeClock()), Told()
    tell = notifier(ledger, Told(trouble), told)
    tell.tell(notice())
    tell.tell(notice(occurred_at=AT + timedelta(seconds=5)))
    failed = notes(ledger, RecordKind.NOTICE_FAILED)
    assert len(failed) == 2  # not delivered, so that it is tried again the next time
    assert SECRET not in str(failed)
    assert len(told.notices) == 1


def test_a_ledger_that_is_gone_keeps_nobody_from_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, told = MemoryLedger(FakeClock()), Told()

    def gone(*args: object, **more: object) -> None:
        raise LedgerError("no ledger server answers")

    monkeypatch.setattr(ledger, "records", gone)
    monkeypatch.setattr(ledger, "append", gone)
    notifier(ledger, told).tell(notice(run_id=""))
    assert len(told.notices) == 1


def test_a_notice_about_no_run_is_recorded_apart() -> None:
    ledger = MemoryLedger(FakeClock())
    notifier(ledger, Told()).tell(notice(run_id="", about="sweeper"))
    assert len(notes(ledger, RecordKind.NOTICE_SENT, NOBODY)) == 1


def test_telling_later_keeps_nobody_waiting_and_tells_all_at_its_end() -> None:
    with receiving(None) as slow:
        ledger = MemoryLedger(FakeClock())
        later = Later(notifier(ledger, hook(slow.url, timeout_s=0.3, tries=1), told := Told()))
        for number in range(3):
            later.tell(notice(about=f"run-1/{number}"))
        later.close(within_s=10)
    assert [one.about for one in told.notices] == ["run-1/0", "run-1/1", "run-1/2"]


def test_settings_make_the_channels_and_an_empty_file_is_none(tmp_path: Path) -> None:
    webhooks = {"pager": Webhook(url="http://127.0.0.1:1/")}
    made = channels_of(Notify(webhooks=webhooks), tmp_path, {}, FakeClock())
    assert [channel.name for channel in made] == ["file", "pager"]
    assert channels_of(Notify(file=""), tmp_path, {}, FakeClock()) == ()
