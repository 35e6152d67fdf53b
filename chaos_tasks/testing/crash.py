"""Where a program touches the world, and a crash exactly there: a file written, a process started or signalled, a
server or the ledger told something."""

from __future__ import annotations

import builtins
import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Any
from unittest.mock import patch

FILE_ACTS = ("replace", "rename", "link", "symlink", "truncate", "unlink", "remove")
SIGNALS = ("kill", "killpg")
READING_GIT = frozenset(
    {
        "rev-parse",
        "show",
        "merge-base",
        "status",
        "cat-file",
        "ls-files",
        "ls-tree",
        "log",
        "diff",
        "symbolic-ref",
        "for-each-ref",
    }
)
READING_API = re.compile(r"(Get|List|Describe|Head)[A-Z]")
READING_REDIS = frozenset(
    {"GET", "PTTL", "TTL", "HGETALL", "HGET", "EXISTS", "PING", "INFO", "XLEN", "XREAD", "XRANGE", "TYPE", "KEYS"}
)
COMMIT = "ledger commit"


class Moment(StrEnum):
    """On which side of an act."""

    BEFORE = "before"
    AFTER = "after"


See = Callable[[Moment, str], None]
"""Told of each side of each act, and of what it is: a few words that are the same in every run."""


class Crash(BaseException):
    """Stands for SIGKILL where no process may die: not an Exception, so that no handler of ours tidies up after it."""


@dataclass
class Acts:
    """Counts acts; raises Crash *instead of* the one numbered ``crash_at`` (1-based; 0 = never) and all later ones."""

    crash_at: int = 0
    count: int = 0

    def see(self, moment: Moment, what: str) -> None:
        """One more act is about to happen."""
        if moment is Moment.AFTER:
            return
        self.count += 1
        if self.crash_at and self.count >= self.crash_at:
            raise Crash(f"crashed before act {self.crash_at}: {what}")


@contextmanager
def crashing(crash_at: int = 0) -> Iterator[Acts]:
    """Within: the ``crash_at``-th act raises Crash instead of happening; with 0, acts are only counted."""
    acts = Acts(crash_at)
    with watched(acts.see):
        yield acts


@contextmanager
def watched(see: See, *, reads: bool = True) -> Iterator[None]:
    """Within: ``see`` is told before and after each act of this thread.

    ``reads`` counts calls to servers and to Git that only read, too: what precedes them is then a point of its own.
    """
    mine = threading.get_ident()

    def mine_only(moment: Moment, what: str) -> None:
        if threading.get_ident() == mine:
            see(moment, what)

    with ExitStack() as patches:
        for holder, name, double in _doubles(mine_only, reads):
            patches.enter_context(patch.object(holder, name, double))
        yield


def _doubles(see: See, reads: bool) -> Iterator[tuple[object, str, object]]:
    """Holder, name and double; a library that nobody has imported cannot be about to act."""
    for module in (builtins, io):
        yield module, "open", _opening(module.open, see)
    yield os, "open", _opening_low(os.open, see)
    for name in FILE_ACTS:
        yield os, name, _acting(getattr(os, name), see, _file_words(name))
    for name in SIGNALS:
        yield os, name, _acting(getattr(os, name), see, _signal_words, when=_is_sent)
    yield signal, "pidfd_send_signal", _acting(signal.pidfd_send_signal, see, _signal_words, when=_is_sent)
    yield subprocess, "Popen", _starting(subprocess.Popen, see, reads)
    for module_name, holder_name, name, words, writes in _SERVERS:
        if module_name in sys.modules:
            holder = getattr(sys.modules[module_name], holder_name)
            yield holder, name, _acting(getattr(holder, name), see, words, when=None if reads else writes)


# --- files ----------------------------------------------------------------------------------------------------------


def _opening(original: Callable[..., Any], see: See) -> Callable[..., Any]:
    def opening(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if not _writes(mode) or str(file).startswith("/dev/") or isinstance(file, int):
            return original(file, mode, *args, **kwargs)
        see(Moment.BEFORE, f"open {_name(file)}")
        opened = original(file, mode, *args, **kwargs)
        see(Moment.AFTER, f"open {_name(file)}")
        return opened

    return opening


def _opening_low(original: Callable[..., int], see: See) -> Callable[..., int]:
    def opening(file: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if not flags & (os.O_CREAT | os.O_TRUNC):
            return original(file, flags, *args, **kwargs)
        see(Moment.BEFORE, f"create {_name(file)}")
        opened = original(file, flags, *args, **kwargs)
        see(Moment.AFTER, f"create {_name(file)}")
        return opened

    return opening


def _writes(mode: object) -> bool:
    return isinstance(mode, str) and any(letter in mode for letter in "wax+")


def _name(file: Any) -> str:
    """The name of a file without what differs from run to run."""
    return re.sub(r"[0-9a-f]{6,}|\d+", "*", PurePath(os.fsdecode(file)).name) if _is_path(file) else "a descriptor"


def _is_path(file: object) -> bool:
    return isinstance(file, str | bytes | os.PathLike)


def _file_words(name: str) -> Callable[..., str]:
    def words(*args: Any, **kwargs: Any) -> str:
        return f"{name} {_name(args[-1] if len(args) > 1 and _is_path(args[-1]) else args[0])}"

    return words


# --- processes and servers ------------------------------------------------------------------------------------------


def _acting(
    original: Callable[..., Any],
    see: See,
    words: Callable[..., str],
    when: Callable[..., bool] | None = None,
) -> Callable[..., Any]:
    def acting(*args: Any, **kwargs: Any) -> Any:
        if when is not None and not when(*args, **kwargs):
            return original(*args, **kwargs)
        see(Moment.BEFORE, words(*args, **kwargs))
        answer = original(*args, **kwargs)
        see(Moment.AFTER, words(*args, **kwargs))
        return answer

    return acting


def _is_sent(target: int, how: int, *args: Any, **kwargs: Any) -> bool:
    return how != 0  # signal 0 only asks whether the process is there


def _signal_words(target: int, how: int, *args: Any, **kwargs: Any) -> str:
    return f"send {signal.Signals(how).name}"


def _starting(original: type[subprocess.Popen[Any]], see: See, reads: bool) -> type[subprocess.Popen[Any]]:
    """A subclass, since Popen is used as a type too."""

    def starting(self: Any, command: Any, *args: Any, **kwargs: Any) -> None:
        words = _command_words(command)
        if not reads and _only_reads(words):
            original.__init__(self, command, *args, **kwargs)
            return
        see(Moment.BEFORE, f"start {words}")
        original.__init__(self, command, *args, **kwargs)
        see(Moment.AFTER, f"start {words}")

    return type(original.__name__, (original,), {"__init__": starting})


def _command_words(command: object) -> str:
    """The program, and the command of Git; nothing else of its arguments."""
    if not isinstance(command, Sequence) or isinstance(command, str) or not command:
        return "a command"
    parts = [str(part) for part in command]
    program = PurePath(parts[0]).name
    if program != "git":
        return program
    rest = parts[3:] if parts[1:2] == ["-C"] else parts[1:]
    return f"git {rest[0]}" if rest else program


def _only_reads(words: str) -> bool:
    program, _, command = words.partition(" ")
    return program == "git" and command in READING_GIT


def _api_words(client: object, operation: str, *args: Any, **kwargs: Any) -> str:
    return f"call {operation}"


def _api_writes(client: object, operation: str, *args: Any, **kwargs: Any) -> bool:
    return READING_API.match(operation) is None


def _redis_words(client: object, *args: Any, **kwargs: Any) -> str:
    return f"redis {str(args[0]).split()[0]}" if args else "redis pipeline"


def _redis_writes(client: object, *args: Any, **kwargs: Any) -> bool:
    return not args or str(args[0]).upper() not in READING_REDIS


def _commit_words(database: object, sql: str, *args: Any, **kwargs: Any) -> str:
    return COMMIT


def _is_commit(database: object, sql: str, *args: Any, **kwargs: Any) -> bool:
    return sql == "COMMIT"


_SERVERS: tuple[tuple[str, str, str, Callable[..., str], Callable[..., bool]], ...] = (
    ("botocore.client", "BaseClient", "_make_api_call", _api_words, _api_writes),
    ("redis.client", "Redis", "execute_command", _redis_words, _redis_writes),
    ("redis.client", "Pipeline", "execute", _redis_words, _redis_writes),
)


@contextmanager
def commits_watched(database: type, see: See) -> Iterator[None]:
    """Within: ``see`` is told before and after each transaction of the ledger's ``database`` class is committed."""
    mine = threading.get_ident()

    def mine_only(moment: Moment, what: str) -> None:
        if threading.get_ident() == mine:
            see(moment, what)

    double = _acting(database.run, mine_only, _commit_words, when=_is_commit)  # type: ignore[attr-defined]
    with patch.object(database, "run", double):
        yield
