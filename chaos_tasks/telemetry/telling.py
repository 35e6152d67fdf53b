"""Hears of committed records, and tells sinks from a thread of its own; it never raises, and nobody waits for it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from queue import Empty, Full, Queue

from chaos_tasks.model.record import RecordKind, Stored
from chaos_tasks.ports import Clock
from chaos_tasks.telemetry.measures import measures_of
from chaos_tasks.telemetry.sinks import Sink, TelemetryError
from chaos_tasks.telemetry.spans import durations_of, spans_of

log = logging.getLogger(__name__)

ROOM = 2000
"""Records that wait for a slow receiver; what comes on top is not counted."""

FLUSH_S = 5.0
REST_S = 60.0
"""How long a sink that failed is left alone."""

CLOSE_S = 3.0
"""How long a process that ends waits for what is still to be told."""


@dataclass
class _Receiver:
    """A sink, and until when it is left alone."""

    sink: Sink
    rests_until: float = 0.0
    told: bool = False


@dataclass
class Teller:
    """The listener of a ledger.  ``read`` gives the records of a run, for the spans that are made of them."""

    sinks: Iterable[Sink]
    read: Callable[[str], Sequence[Stored]]
    clock: Clock
    _queue: Queue[Stored | None] = field(default_factory=lambda: Queue(ROOM))
    _thread: threading.Thread | None = None
    _pid: int = 0
    _starting: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._receivers = [_Receiver(sink) for sink in self.sinks]

    def hear(self, stored: Stored) -> None:
        """A record was committed."""
        if not self._receivers:
            return
        try:
            self._start()
            self._queue.put_nowait(stored)
        except (Full, RuntimeError):  # no thread may be started any more: the interpreter is going
            return

    def close(self, *, within_s: float = CLOSE_S) -> None:
        """Tell what waits, for a while."""
        thread = self._thread
        if thread is None or self._pid != os.getpid():
            return
        try:
            self._queue.put_nowait(None)
        except Full:
            return
        thread.join(within_s)
        self._thread = None

    def _start(self) -> None:
        if self._thread is not None and self._pid == os.getpid():
            return
        with self._starting:
            if self._thread is not None and self._pid == os.getpid():
                return
            self._queue, self._pid = Queue(ROOM), os.getpid()  # a fork has no thread, and its parent tells the rest
            self._thread = threading.Thread(target=self._work, name="telemetry", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        waits, queue = False, self._queue
        while True:
            try:
                stored = queue.get(timeout=FLUSH_S if waits else None)
            except Empty:
                waits = False
                self._each(lambda sink: sink.flush())
                continue
            if stored is None:
                self._each(lambda sink: sink.flush())
                return
            waits = True
            self._told(stored)

    def _told(self, stored: Stored) -> None:
        measures = measures_of(stored.record)
        if measures:
            self._each(lambda sink: sink.measure(measures))
        if stored.record.kind is RecordKind.EVALUATE_VERDICT:
            self._run(stored.record.run_id)

    def _run(self, run_id: str) -> None:
        try:
            spans = spans_of(self.read(run_id))
        except Exception as error:  # noqa: BLE001  a ledger that cannot be read now: the run itself says so
            log.warning("no trace of run %s: %s", run_id, type(error).__name__)
            return
        durations = durations_of(spans)
        if spans:
            self._each(lambda sink: sink.measure(durations))
            self._each(lambda sink: sink.spans(spans))

    def _each(self, act: Callable[[Sink], object]) -> None:
        """A sink that fails is said once, and left alone for a while."""
        for one in self._receivers:
            if self.clock.monotonic() < one.rests_until:
                continue
            try:
                act(one.sink)
            except Exception as error:  # noqa: BLE001  of a library or of the network: no run may feel it
                one.rests_until = self.clock.monotonic() + REST_S
                if not one.told:
                    why = str(error) if isinstance(error, TelemetryError) else type(error).__name__
                    log.warning("telemetry through %s fails, and is left out: %s", one.sink.name, why)
                    one.told = True
