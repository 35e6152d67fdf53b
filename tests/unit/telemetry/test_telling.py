"""Telling harms nobody: it waits for nobody, survives every error, and says each once."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chaos_tasks.errors import LedgerError
from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.record import Note, Record, RecordKind, Stored
from chaos_tasks.telemetry.measures import Measure, measures_of
from chaos_tasks.telemetry.sinks import TelemetryError
from chaos_tasks.telemetry.spans import Span, spans_of
from chaos_tasks.telemetry.statsd import PACKET, StatsdSink, line_of, packets
from chaos_tasks.telemetry.telling import REST_S, ROOM, Teller
from chaos_tasks.testing.clock import FakeClock
from tests.ledger_samples import NOON


@dataclass
class Sink:
    """Keeps what it is told, or does something else."""

    name: str = "test"
    act: Callable[[], object] = lambda: None
    got: list[str] = field(default_factory=list)
    flushed: int = 0

    def measure(self, measures: Sequence[Measure]) -> None:
        """Keep the names."""
        self.act()
        self.got += [one.name for one in measures]

    def spans(self, spans: Sequence[Span]) -> None:
        """Keep the names."""
        self.got += [one.name for one in spans]

    def flush(self) -> None:
        """Count."""
        self.flushed += 1


def record(kind: RecordKind = RecordKind.STOP_TRIGGERED, key: str = "1") -> Record:
    return Record(kind=kind, idem_key=key, occurred_at=NOON, run_id="run", payload=Note(text="stopped"))


STORED = Stored(seq=0, leaf_sha256="0" * 64, record=record())


def teller(*sinks: Sink, clock: FakeClock | None = None) -> Teller:
    return Teller(sinks, lambda _: (), clock or FakeClock())


def test_every_kind_of_record_is_counted_or_left_out_whatever_its_payload() -> None:
    for kind in RecordKind:
        for payload in (None, Note(text="a text that nobody may see")):
            found = measures_of(record(kind).model_copy(update={"payload": payload}))
            assert not any("nobody" in text for one in found for _, text in one.labels)


def test_what_is_heard_is_told_and_flushed_when_the_process_ends() -> None:
    sink = Sink()
    told = teller(sink)
    told.hear(STORED)
    told.close()
    assert (sink.got, sink.flushed) == (["stops"], 1)


def test_a_sink_that_fails_is_said_once_left_alone_and_asked_again_later(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    refuses = True

    def act() -> None:
        if refuses:
            raise TelemetryError("nobody is there")

    bad, good = Sink("bad", act), Sink("good")
    told = teller(bad, good, clock=clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            told.hear(STORED)
            told.close()
            clock.advance(REST_S / 2)
    assert [one.getMessage() for one in caplog.records] == [
        "telemetry through bad fails, and is left out: nobody is there"
    ]
    assert (good.got, bad.got) == (["stops"] * 3, [])
    refuses = False
    clock.advance(2 * REST_S)
    told.hear(STORED)
    told.close()
    assert bad.got == ["stops"]


def test_nobody_waits_for_a_sink_that_hangs() -> None:
    released = threading.Event()
    told = teller(Sink(act=lambda: released.wait(60)))
    for _ in range(ROOM + 50):
        told.hear(STORED)
    told.close(within_s=0.01)
    released.set()


def test_a_child_process_tells_by_itself() -> None:
    told, (reads, writes) = teller(Sink()), os.pipe()
    told.hear(STORED)
    if (child := os.fork()) == 0:
        own = Sink()
        told._receivers[0].sink = own
        told.hear(STORED)
        told.close()
        os.write(writes, str(own.got).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reads, 100) == b"['stops']"
    told.close()


def test_a_record_is_heard_once_it_is_committed_and_never_twice(tmp_path: Path) -> None:
    heard: list[str] = []
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db", lambda stored: heard.append(stored.record.idem_key))
    ledger.append(record(key="a"))
    ledger.append(record(key="a"))
    with pytest.raises(LedgerError, match="no handle"):
        ledger.transition("none", to=Phase.INJECTING, expect=[Phase.ARMED], epoch=1, record=record(key="b"))
    assert heard == ["a"]
    ledger.close()


def test_a_run_without_a_verdict_has_no_spans() -> None:
    assert spans_of([STORED]) == ()


def test_a_line_has_the_labels_in_its_name_or_as_tags() -> None:
    counted = Measure(name="injects", labels=(("kind", "data.label_flip"), ("result", "effective")))
    assert line_of(counted, "squall", tags=False) == "squall.injects.data_label_flip.effective:1|c"
    assert line_of(counted, "", tags=True) == "injects:1|c|#kind:data_label_flip,result:effective"
    assert line_of(Measure(name="run.duration", seconds=1.5), "squall", tags=True) == "squall.run.duration:1500.000|ms"


def test_no_label_can_make_a_line_of_its_own() -> None:
    nasty = Measure(name="runs", labels=(("experiment", "a:1|c\nb"), ("empty", "")))
    assert line_of(nasty, "squall", tags=False) == "squall.runs.a_1_c_b.none:1|c"


def test_packets_hold_whole_lines_and_stay_small() -> None:
    lines = [f"squall.line.{number}:1|c" for number in range(500)]
    found = packets(lines)
    assert max(map(len, found)) <= PACKET
    assert b"\n".join(found).decode().split("\n") == lines


def test_a_host_that_nobody_knows_is_an_error_of_the_sink() -> None:
    sink = StatsdSink("no-such-host.invalid", 8125, "squall", tags=False)
    sink.measure([Measure(name="runs")])
    with pytest.raises(TelemetryError, match=r"no-such-host.invalid:8125 cannot be told"):
        sink.flush()
