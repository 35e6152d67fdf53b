"""Tells a notice through every channel, once, and puts on record what came of it; it never raises."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, Full, Queue

from chaos_tasks.errors import LedgerError, SetupError
from chaos_tasks.model.notice import Notice
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Note, Record, RecordKind, Stored
from chaos_tasks.notifying.channels import Channel
from chaos_tasks.notifying.delivery import DeliveryError
from chaos_tasks.notifying.notices import why_of
from chaos_tasks.ports import Clock, Ledger, Notifier
from chaos_tasks.redacting import redact

log = logging.getLogger(__name__)

NOBODY = "notices"  # the run that notices about no run are recorded under
ROOM = 200  # notices that wait for a slow receiver; what comes on top is in the log and the ledger all the same


@dataclass(frozen=True)
class LedgerNotifier:
    """Implements ports.Notifier.  What was told lately is not told again; a channel that fails changes nothing else."""

    ledger: Ledger
    clock: Clock
    recorder: Recorder
    channels: Sequence[Channel]
    repeat_after: timedelta

    def tell(self, notice: Notice) -> None:
        """Send through every channel that has not had it lately; no secret goes out."""
        notice = Notice.model_validate(redact(notice.model_dump(mode="json"))[0])
        log.info("%s", notice.text)
        for channel in self.channels:
            try:
                if not self._told_lately(notice, channel.name):
                    self._send(notice, channel)
            except Exception:  # a notifier must never decide how a run ends
                log.exception("notice %s through %s: an error of Squall's own", notice.about, channel.name)

    def _send(self, notice: Notice, channel: Channel) -> None:
        try:
            tries = channel.send(notice)
        except DeliveryError as error:
            log.error("notice %s not delivered through %s: %s", notice.about, channel.name, error)
            self._record(RecordKind.NOTICE_FAILED, notice, channel.name, error.tries, str(error))
        except Exception as error:  # noqa: BLE001  a channel of somebody else's
            self._record(RecordKind.NOTICE_FAILED, notice, channel.name, 1, why_of(error))
        else:
            self._record(RecordKind.NOTICE_SENT, notice, channel.name, tries, "")

    def _told_lately(self, notice: Notice, channel: str) -> bool:
        """A ledger that cannot be read is no reason to keep quiet."""
        try:
            sent = self._stored(notice, RecordKind.NOTICE_SENT)
        except (LedgerError, SetupError):
            return False
        since = notice.occurred_at - self.repeat_after
        return any(_is_same(one, notice, channel) and one.record.occurred_at > since for one in sent)

    def _record(self, kind: RecordKind, notice: Notice, channel: str, tries: int, why: str) -> None:
        facts = {"notice": notice.kind.value, "about": notice.about, "channel": channel, "tries": tries, "why": why}
        with suppress(LedgerError, SetupError):  # it was said, or could not be: both stand without a record
            count = len(self._stored(notice, kind))
            self.ledger.append(
                Record(
                    kind=kind,
                    idem_key=f"{notice.run_id or NOBODY}/{kind.value}/{channel}/{notice.about}/{count}",
                    occurred_at=self.clock.now(),
                    run_id=notice.run_id or NOBODY,
                    experiment=notice.experiment,
                    environment=notice.environment,
                    recorder=self.recorder,
                    payload=Note(text=notice.sentence, facts=dict(facts)),
                )
            )

    def _stored(self, notice: Notice, kind: RecordKind) -> list[Stored]:
        return list(self.ledger.records(run_id=notice.run_id or NOBODY, kinds=(kind,)))


class Later:
    """Tells from a thread of its own, so that a slow receiver never keeps a revert waiting."""

    def __init__(self, inner: Notifier) -> None:
        self._inner = inner
        self._waiting: Queue[Notice] = Queue(ROOM)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="notices", daemon=True)
        self._thread.start()

    def tell(self, notice: Notice) -> None:
        """Returns at once."""
        try:
            self._waiting.put_nowait(notice)
        except Full:
            log.error("too many notices wait; not told: %s", notice.text)

    def close(self, *, within_s: float) -> None:
        """Tell what still waits, for a while."""
        self._ending.set()
        self._thread.join(within_s)

    def _work(self) -> None:
        while not (self._ending.is_set() and self._waiting.empty()):
            with suppress(Empty):
                self._inner.tell(self._waiting.get(timeout=0.2))


def _is_same(stored: Stored, notice: Notice, channel: str) -> bool:
    payload = stored.record.payload
    if not isinstance(payload, Note):
        return False
    told = (payload.facts.get("notice"), payload.facts.get("about"), payload.facts.get("channel"))
    return told == (notice.kind.value, notice.about, channel)
