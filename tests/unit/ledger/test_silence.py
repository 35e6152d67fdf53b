"""Who waits how long for a server that does not answer, and who hears of it from others."""

from __future__ import annotations

from chaos_tasks.clock import SystemClock
from chaos_tasks.ledger.silence import LONGEST_S, OWN_S, QUIET_S, SHORTEST_S, Silence


class Hands(SystemClock):
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at


def test_a_lease_says_how_long_a_silence_may_last() -> None:
    silence = Silence(Hands())
    limits = []
    for lease_s in (1, 30, 120, 3600):
        silence.heed(lease_s)
        limits.append(silence.limit_s)
    assert limits == [SHORTEST_S, 15, 60, LONGEST_S]


def test_who_asks_last_waits_a_moment_only_when_others_have_waited_long() -> None:
    clock = Hands()
    silence = Silence(clock)
    silence.heed(30)
    first = silence.asked()
    clock.at += 14
    assert not silence.is_too_long(first)
    last = silence.asked()
    clock.at += 1.5
    assert silence.is_too_long(first)
    assert not silence.is_too_long(last)
    silence.ended(unanswered=True)  # and the silence goes on
    clock.at += OWN_S - 1.5
    assert silence.is_too_long(last)


def test_what_one_hears_counts_for_all() -> None:
    clock = Hands()
    silence = Silence(clock)
    silence.heed(30)
    first = silence.asked()
    clock.at += 14
    silence.asked()
    silence.ended(unanswered=False)
    clock.at += 14
    assert not silence.is_too_long(first)
    clock.at += 2
    assert silence.is_too_long(first)


def test_a_server_that_nobody_asks_is_not_silent() -> None:
    clock = Hands()
    silence = Silence(clock)
    asked = silence.asked()
    silence.ended(unanswered=False)
    clock.at += 1000
    assert not silence.is_too_long()
    asked = silence.asked()
    assert not silence.is_too_long(asked)


def test_one_that_took_no_connection_is_left_alone_for_a_while_or_until_somebody_hears_it() -> None:
    clock = Hands()
    silence = Silence(clock)
    silence.leave()
    assert silence.is_left()
    silence.heard()
    assert not silence.is_left()
    silence.leave()
    clock.at += QUIET_S
    assert not silence.is_left()
