"""A crash at the n-th act: the n-th time that code writes a file, starts a process, signals one, or calls a server."""

from __future__ import annotations

import builtins
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch


class Crash(BaseException):
    """Stands for SIGKILL: not an Exception, so that no handler of ours tidies up after it."""


@dataclass
class Acts:
    """Counts acts; raises Crash *instead of* the one numbered ``crash_at`` (1-based; 0 = never) and all later ones."""

    crash_at: int = 0
    count: int = 0

    def act(self) -> None:
        """One more act is about to happen."""
        self.count += 1
        if self.crash_at and self.count >= self.crash_at:
            raise Crash(f"crashed before act {self.crash_at}")


def _writes(mode: object) -> bool:
    return isinstance(mode, str) and any(letter in mode for letter in "wax+")


def _opens_for_writing(original: Callable[..., Any], acts: Acts) -> Callable[..., Any]:
    def opening(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if _writes(mode) and not str(file).startswith("/dev/"):
            acts.act()
        return original(file, mode, *args, **kwargs)

    return opening


def _acting(original: Callable[..., Any], acts: Acts) -> Callable[..., Any]:
    def acting(*args: Any, **kwargs: Any) -> Any:
        acts.act()
        return original(*args, **kwargs)

    return acting


def _points() -> Iterator[tuple[object, str]]:
    """Where a program touches the world; a library that nobody has imported cannot be about to act."""
    yield from ((os, name) for name in ("replace", "rename", "link", "symlink", "kill", "killpg", "truncate", "unlink"))
    yield subprocess, "Popen"
    for module, holder, name in (
        ("botocore.client", "BaseClient", "_make_api_call"),
        ("redis.client", "Redis", "execute_command"),
        ("redis.client", "Pipeline", "execute"),
    ):
        if module in sys.modules:
            yield getattr(sys.modules[module], holder), name


@contextmanager
def crashing(crash_at: int = 0) -> Iterator[Acts]:
    """Within: the ``crash_at``-th act raises Crash instead of happening; with 0, acts are only counted."""
    acts = Acts(crash_at)
    with ExitStack() as patches:
        for module in (builtins, io):
            patches.enter_context(patch.object(module, "open", _opens_for_writing(module.open, acts)))
        for holder, name in _points():
            original = getattr(holder, name)
            double = _counted_class(original, acts) if isinstance(original, type) else _acting(original, acts)
            patches.enter_context(patch.object(holder, name, double))
        yield acts


def _counted_class(original: type, acts: Acts) -> type:
    """A subclass, since Popen is used as a type too."""

    def starting(self: Any, *args: Any, **kwargs: Any) -> None:
        acts.act()
        original.__init__(self, *args, **kwargs)  # type: ignore[misc]

    return type(original.__name__, (original,), {"__init__": starting})
