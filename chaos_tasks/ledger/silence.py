"""A server whose kernel takes what it is sent, and which does not answer: who waits for it, how long, and who gives up.

psycopg waits without end, and no limit of TCP helps against a server process that is stopped, or a disk that stalls.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from threading import Lock
from typing import Any

import psycopg

from chaos_tasks.clock import SystemClock
from chaos_tasks.ledger.database import BUSY_TIMEOUT_S

LONGEST_S = BUSY_TIMEOUT_S + 5.0
"""Nobody waits longer: the server itself ends a wait for a lock before, and says so."""

LEASE_SHARE = 0.5
"""Whoever keeps a lease waits for no more than this share of it, so that there is time left to undo."""

SHORTEST_S = 5.0
"""But a moment is waited for whatever the lease: a busy disk has been seen to take seconds."""

OWN_S = 2.0
"""A question waits at least so long itself, however long the server has been silent to others."""

QUIET_S = 10.0
"""A server that did not even take a connection is not asked again for so long: an undo makes many calls in a row."""


class Silent(psycopg.OperationalError):
    """The server did not answer in time; the connection is closed, and what was asked may be done later, or not."""


class Silence:
    """Of one server to one process: its threads share what they have heard, and the lease that the process keeps.

    Who asks last need not wait from the beginning when others have waited long; and while one is answered, another
    that stands in line for a lock is not cut off.
    """

    def __init__(self, clock: SystemClock | None = None) -> None:
        self.limit_s = LONGEST_S
        self._turn = Lock()
        self._clock = clock or SystemClock()
        self._asking = 0
        self._since: float | None = None
        self._left_until = float("-inf")

    def heed(self, lease_s: float) -> None:
        """From now on a silence lasts too long once it is a share of this lease."""
        self.limit_s = min(LONGEST_S, max(SHORTEST_S, LEASE_SHARE * lease_s))

    def asked(self) -> float:
        """A question is sent; the time (monotonic seconds)."""
        with self._turn:
            now = self._clock.monotonic()
            self._asking += 1
            self._since = now if self._since is None else self._since
            return now

    def heard(self) -> None:
        """Something came."""
        with self._turn:
            self._since = self._clock.monotonic() if self._asking else None
            self._left_until = float("-inf")

    def ended(self, *, unanswered: bool) -> None:
        """A question is over; one that was given up counts until something is heard."""
        if not unanswered:
            self.heard()
        with self._turn:
            self._asking -= 1
            if not unanswered and not self._asking:
                self._since = None

    def leave(self) -> None:
        """Nobody asks it for a while."""
        self._left_until = self._clock.monotonic() + QUIET_S

    def is_left(self) -> bool:
        """Whether it is not to be asked yet."""
        return self._clock.monotonic() < self._left_until

    def is_too_long(self, asked: float | None = None) -> bool:
        """Whether to give up; for a question of that time, not before it has had a moment of its own."""
        now, since = self._clock.monotonic(), self._since
        own = asked is None or now - asked >= OWN_S
        return own and since is not None and now - since >= self.limit_s


class Listening(psycopg.Connection[Any]):
    """Waits for an answer while the server may still be expected to give one; raises Silent after that."""

    silence: Silence | None = None
    """None while it is being made: psycopg itself ends that in time."""

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        """The one place where psycopg waits for the server."""
        silence = self.silence
        if silence is None:
            return super().wait(gen, *args, **options)
        unanswered, asked = False, silence.asked()
        try:
            return super().wait(_listen(gen, silence, asked), *args, **options)
        except Silent:
            unanswered = True
            self.close()  # an answer that comes after all must not be taken for the next question's
            raise
        finally:
            silence.ended(unanswered=unanswered)


def _listen(gen: Generator[Any, Any, Any], silence: Silence, asked: float) -> Generator[Any, Any, Any]:
    """What psycopg would wait for; it looks every tenth of a second, with 0 where nothing came."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                silence.heard()
            elif silence.is_too_long(asked):
                gen.close()
                raise Silent("the server does not answer")
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value


_silences: dict[tuple[int, str], Silence] = {}  # a child that was forked asks anew


def silence_of(url: str) -> Silence:
    """The one that the connections of this process to a server share."""
    return _silences.setdefault((os.getpid(), url), Silence())
