"""The keys of an installation: private ones when they may be read here, public ones of all times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chaos_tasks.errors import SetupError, SignatureInvalid
from chaos_tasks.model.record import Note as NotePayload
from chaos_tasks.model.record import RecordKind, Stored
from chaos_tasks.model.sealing import KeyFiles
from chaos_tasks.signing.keys import SigningKey, VerifyKey, load_signing_key, load_verify_keys, public_path
from chaos_tasks.signing.note import Note

ROTATION = "squall key rotation"


@dataclass(frozen=True)
class Keyring:
    """Reads key files by what they are for."""

    files: KeyFiles
    root: Path

    def signing(self, role: str) -> SigningKey:
        """The private key of `log`, `report` or a person; raises SetupError where there is none."""
        return load_signing_key(self.path(role))

    def path(self, role: str) -> Path:
        """Where the private key of a role is; raises SetupError when squall.toml names none."""
        told = {"log": self.files.log, "report": self.files.report}.get(role) or self.files.persons.get(role, "")
        if not told:
            raise SetupError(
                f"squall.toml names no key of {role!r}",
                remedy=f'add [keys] {role} = "path", then `squall keys new {role}`',
            )
        return self._path(told)

    def has(self, role: str) -> bool:
        """Whether a private key of that role is named and there."""
        told = {"log": self.files.log, "report": self.files.report}.get(role) or self.files.persons.get(role, "")
        return bool(told) and self._path(told).is_file()

    def known(self) -> tuple[VerifyKey, ...]:
        """Every public key at hand: those beside the private ones, and those in the files of known keys."""
        private = (self.files.log, self.files.report, *self.files.persons.values())
        beside = [public_path(self._path(told)) for told in private if told]
        listed = [self._path(told) for told in self.files.known]
        found = [*(path for path in beside if path.is_file()), *listed]
        return tuple(dict.fromkeys(key for path in found for key in load_verify_keys(path)))

    @property
    def origin(self) -> str:
        """Name of the log; by default that of its key."""
        return self.files.origin or (self.signing("log").name if self.has("log") else "")

    def _path(self, told: str) -> Path:
        chosen = Path(told).expanduser()
        return chosen if chosen.is_absolute() else self.root / chosen


def rotation(role: str, old: SigningKey, new: SigningKey) -> Note:
    """That one key follows another, signed by both."""
    text = f"{ROTATION}\n{role}\n{old.verify_key.vkey}\n{new.verify_key.vkey}\n"
    return Note(text).signed_by(old, new)


def grown(known: Iterable[VerifyKey], records: Iterable[Stored]) -> tuple[VerifyKey, ...]:
    """The known keys, and those that a rotation in the log ties to one of them by both signatures."""
    keys = dict.fromkeys(known)
    pairs = [pair for stored in records if (pair := _pair(stored)) is not None]
    while more := [key for pair in pairs for key in pair if key not in keys and any(each in keys for each in pair)]:
        keys.update(dict.fromkeys(more))
    return tuple(keys)


def _pair(stored: Stored) -> tuple[VerifyKey, VerifyKey] | None:
    payload = stored.record.payload
    if stored.record.kind is not RecordKind.KEY_ROTATED or not isinstance(payload, NotePayload):
        return None
    try:
        note = Note.parse(str(payload.facts.get("note", "")))
        title, _, old, new, _ = note.text.split("\n")
        pair = VerifyKey.parse(old), VerifyKey.parse(new)
        return pair if title == ROTATION and set(note.signers(pair)) == set(pair) else None
    except (SignatureInvalid, ValueError):
        return None
