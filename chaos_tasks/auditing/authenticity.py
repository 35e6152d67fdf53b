"""Whether the log is the one whose heads were signed: every known head must be a known key's, and begin this log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaos_tasks.auditing.answers import Finding, not_shown, of_problems
from chaos_tasks.errors import SignatureInvalid
from chaos_tasks.signing.checkpoint import Checkpoint
from chaos_tasks.signing.keys import COSIGNATURE, VerifyKey
from chaos_tasks.signing.note import Note


@dataclass(frozen=True)
class Held:
    """A note, and where it was found."""

    where: str
    text: str


@dataclass(frozen=True)
class Head:
    """A signed head that holds, and how many witnesses saw it."""

    where: str
    checkpoint: Checkpoint
    witnesses: tuple[str, ...]


@dataclass
class Heads:
    """The heads that hold, and what is wrong with the others."""

    good: list[Head]
    problems: list[tuple[int | None, str]]

    @property
    def sizes(self) -> frozenset[int]:
        """Where the log's root has to be known."""
        return frozenset(head.checkpoint.size for head in self.good)


def read_heads(held: Sequence[Held], keys: Sequence[VerifyKey], origin: str = "") -> Heads:
    """Open every note; a key signs the heads of the log that it is named after, and of no other."""
    heads = Heads([], [])
    for each in held:
        try:
            note = Note.parse(each.text)
            checkpoint = Checkpoint.parse(note.text)
            if origin and checkpoint.origin != origin:
                raise SignatureInvalid(f"it is a head of {checkpoint.origin!r}, not of {origin!r}")
            note.opened(key for key in keys if key.name == checkpoint.origin and key.kind != COSIGNATURE)
            witnesses = note.signers(key for key in keys if key.kind == COSIGNATURE)
        except SignatureInvalid as error:
            heads.problems.append((None, f"{each.where}: {error.message}"))
        else:
            heads.good.append(Head(each.where, checkpoint, tuple(key.name for key in witnesses)))
    return heads


def authenticity(heads: Heads, roots: Mapping[int, str], size: int, unread: Sequence[str]) -> Finding:
    """Compare every head with the root that the records themselves give at its size."""
    problems = list(heads.problems)
    for head in heads.good:
        told = head.checkpoint
        if told.size > size:
            problems.append((None, f"{head.where} signs {told.size} records, {size} are here: the newest were cut off"))
        elif roots.get(told.size) != told.root.hex():
            problems.append((None, f"{head.where} signs another log of {told.size} records: this one was rebuilt"))
    problems += [
        (None, f"{one.where} and {two.where} sign two logs of {one.checkpoint.size} records")
        for one, two in _forks(heads)
    ]
    if problems:
        return of_problems(problems, "", "this is not the log whose heads were signed, or a head is forged")
    if unread:
        return not_shown(f"a place of signed heads could not be read: {'; '.join(unread)}")
    if not heads.good:
        return not_shown("no signed head is at hand: configure [checkpoints], or give --checkpoint and --vkey")
    newest = max(heads.good, key=lambda head: head.checkpoint.size)
    seen = sorted({name for head in heads.good for name in head.witnesses})
    by = (
        f", seen by {', '.join(seen)}"
        if seen
        else ", seen by no witness: who holds the log key could have made another"
    )
    under = newest.checkpoint.size
    tail = f"; the newest {size - under} are under none yet" if size > under else ""
    return of_problems(
        [], f"the first {under} of {size} records are under {len(heads.good)} signed heads{by}{tail}", ""
    )


def _forks(heads: Heads) -> list[tuple[Head, Head]]:
    first: dict[int, Head] = {}
    found = []
    for head in heads.good:
        other = first.setdefault(head.checkpoint.size, head)
        if other.checkpoint.root != head.checkpoint.root:
            found.append((other, head))
    return found
