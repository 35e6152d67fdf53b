"""The safety lever: pulled at any of its handles, it stops everything; while it is pulled nothing is injected.

A file in Squall's home reaches one host and needs nothing else; records in the ledger reach all hosts and say who
pulled it and when; further handles (an Airflow Variable) are read through a port and copied into the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from chaos_tasks.errors import GuardTripped, IdempotencyConflict, LedgerError, SetupError, SquallError
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Note, Record, RecordKind, Stored
from chaos_tasks.ports import Clock, Ledger, LedgerReader, LeverHandle

NAME = "HALT"
LOG = "squall-lever"
"""What the lever's records stand under, in the place of a run."""

COMMAND = "squall halt"
"""Name of the handle that is a command; others have their own."""

WHO = "safety lever"
"""Who reverts, when the sweeper does so because the lever is pulled."""

RACES = 5
ITS_OWN_WAY_S = 15.0
"""How long a run that sees the lever has to revert itself before the sweeper does it."""


def pull(home: Path, reason: str, at: datetime) -> Path:
    """Stop everything on this host; needs no ledger."""
    home.mkdir(parents=True, exist_ok=True)
    lever = home / NAME
    lever.write_text(f"{at.isoformat()} {reason}\n", encoding="utf-8")
    return lever


def release(home: Path) -> bool:
    """Allow experiments on this host again; False when its file was not there."""
    lever = home / NAME
    if not lever.exists():
        return False
    lever.unlink()
    return True


def pulled(home: Path) -> str | None:
    """Why the file is there, or None.  A file that cannot be read counts as pulled."""
    try:
        return (home / NAME).read_text(encoding="utf-8").strip() or "no reason given"
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"the lever {home / NAME} cannot be read ({error.strerror})"
    except UnicodeDecodeError:
        return f"the lever {home / NAME} is no text"


def check(home: Path) -> None:
    """Raises GuardTripped while this host's file is there."""
    _refuse(pulled(home))


@dataclass(frozen=True)
class Pull:
    """One handle that is pulled, by the ledger's records."""

    handle: str
    by: str
    at: datetime
    reason: str

    def __str__(self) -> str:
        return f"{self.reason} (pulled by {self.by}, {self.at:%Y-%m-%d %H:%M:%S} UTC)"


@dataclass(frozen=True)
class Seen:
    """One look at all handles: why it is pulled, or None; and what could not be read."""

    reason: str | None = None
    unreadable: tuple[str, ...] = ()


def in_ledger(ledger: LedgerReader) -> tuple[Pull, ...]:
    """Handles whose last record says that they are pulled; raises LedgerError."""
    return tuple(_pull_of(handle, stored) for handle, stored in _last_pulls(ledger).items())


def overdue(ledger: LedgerReader) -> bool:
    """Whether it was pulled so long ago that runs have had their time to revert themselves."""
    pulls = _last_pulls(ledger).values()
    if not pulls:
        return False
    now, own_way = ledger.now(), timedelta(seconds=ITS_OWN_WAY_S)
    # A clock that was set back must not make the sweeper wait: a pull from the future is overdue too.
    return any(not timedelta(0) <= now - at <= own_way for at in ledger.recorded_at(pulls).values())


def _last_pulls(ledger: LedgerReader) -> dict[str, Stored]:
    """By handle, of those that are pulled."""
    last: dict[str, Stored] = {}
    for stored in ledger.records(run_id=LOG, kinds=(RecordKind.LEVER_PULLED, RecordKind.LEVER_RELEASED)):
        payload = stored.record.payload
        facts = payload.facts if isinstance(payload, Note) else {}
        last[str(facts.get("handle", COMMAND))] = stored
    return {handle: stored for handle, stored in last.items() if stored.record.kind is RecordKind.LEVER_PULLED}


def _pull_of(handle: str, stored: Stored) -> Pull:
    payload = stored.record.payload
    if not isinstance(payload, Note):
        return Pull(handle, "unknown", stored.record.occurred_at, "its record was erased")
    return Pull(handle, str(payload.facts.get("by", "unknown")), stored.record.occurred_at, payload.text)


@dataclass(frozen=True)
class Lever:
    """All handles of the lever as one host sees them."""

    home: Path
    ledger: Ledger
    clock: Clock
    recorder: Recorder = field(default_factory=Recorder)
    handles: tuple[LeverHandle, ...] = ()

    def check(self) -> None:
        """Raises GuardTripped while any handle is pulled or cannot be read."""
        seen = self.look()
        _refuse(seen.reason or next(iter(seen.unreadable), None))

    def look(self) -> Seen:
        """Look at every handle; what is seen on one that is not in the ledger yet is copied there."""
        reason, unreadable = pulled(self.home), []
        for handle in self.handles:
            try:
                told = handle.pulled()
            except SquallError as error:
                unreadable.append(f"{handle.name} cannot be read: {error.message}")
                continue
            with suppress(LedgerError, SetupError):  # said below
                self._copy(handle.name, told)
            reason = reason or (f"{told} ({handle.name})" if told is not None else None)
        try:
            known = in_ledger(self.ledger)
        except SquallError as error:
            unreadable.append(f"the ledger cannot be read: {error.message}")
            known = ()
        return Seen(reason or next((str(one) for one in known), None), tuple(unreadable))

    def pull(self, reason: str, *, by: str) -> Path:
        """The file first, which needs nothing, then the ledger; raises LedgerError when only this host is reached."""
        path = pull(self.home, reason, self.clock.now())
        self._note(RecordKind.LEVER_PULLED, COMMAND, reason, by)
        return path

    def release(self, *, by: str, everywhere: bool = False) -> tuple[Pull, ...]:
        """Release the file and the command's handle, with ``everywhere`` all others too; returns what is still pulled.

        Raises LedgerError when the ledger's handle cannot be released.
        """
        release(self.home)
        for one in in_ledger(self.ledger):
            if everywhere or one.handle == COMMAND:
                self._note(RecordKind.LEVER_RELEASED, one.handle, f"released; it was: {one.reason}", by)
        return in_ledger(self.ledger)

    def _copy(self, handle: str, told: str | None) -> None:
        """Let processes see a handle that they cannot read themselves."""
        known = next((one for one in in_ledger(self.ledger) if one.handle == handle), None)
        if told is not None and (known is None or known.reason != told):
            self._note(RecordKind.LEVER_PULLED, handle, told, f"{handle}, whose owner's log says by whom")
        elif told is None and known is not None:
            self._note(RecordKind.LEVER_RELEASED, handle, "released", handle)

    def _note(self, kind: RecordKind, handle: str, text: str, by: str) -> None:
        for number in self._free_numbers():
            record = Record(
                kind=kind,
                idem_key=f"{LOG}/{number}",
                occurred_at=self.clock.now(),
                run_id=LOG,
                recorder=self.recorder,
                payload=Note(text=text, facts={"handle": handle, "by": by}),
            )
            with suppress(IdempotencyConflict):  # another host was faster
                self.ledger.append(record)
                return
        raise LedgerError("the lever could not be recorded: others were always faster", remedy="do it again")

    def _free_numbers(self) -> Iterator[int]:
        for _ in range(RACES):
            yield len(list(self.ledger.records(run_id=LOG)))


def _refuse(reason: str | None) -> None:
    if reason is not None:
        raise GuardTripped(f"the safety lever is pulled: {reason}", remedy="`squall resume` once it is safe")
