"""Asks a witness for its signature on a checkpoint (https://c2sp.org/tlog-witness, add-checkpoint)."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chaos_tasks.errors import SetupError, SignatureInvalid
from chaos_tasks.model.sealing import WitnessPlace
from chaos_tasks.signing.checkpoint import Checkpoint
from chaos_tasks.signing.keys import COSIGNATURE, VerifyKey
from chaos_tasks.signing.note import Note

MAX_ANSWER = 64 * 1024
CONFLICT = 409


@dataclass(frozen=True)
class Witness:
    """Signs a head once it has seen the proof that it extends the last one that it signed."""

    place: WitnessPlace

    @property
    def name(self) -> str:
        """By its key's name."""
        return f"witness {self.key.name}"

    @property
    def key(self) -> VerifyKey:
        """The key that its signature must verify with."""
        key = VerifyKey.parse(self.place.vkey)
        if key.kind != COSIGNATURE:
            raise SignatureInvalid(f"{key.name} is no key of a witness", remedy="give the witness's cosignature vkey")
        return key

    def cosign(self, note: Note, proof: Callable[[int, int], Sequence[bytes]]) -> Note:
        """The note with the witness's signature; raises SetupError or SignatureInvalid when there is none."""
        size = Checkpoint.parse(note.text).size
        answer = self._ask(note, 0, ())
        if isinstance(answer, int):  # it knows an older head: prove that this one extends it
            if answer > size:
                raise SignatureInvalid(
                    f"{self.name} has signed {answer} records of this log, which now shows {size}",
                    remedy="run `squall audit verify`: records were cut off or the log was rebuilt",
                )
            answer = self._ask(note, answer, proof(answer, size))
        if isinstance(answer, int):
            raise SignatureInvalid(f"{self.name} refuses this head: it is no extension of what it signed before")
        signed = note.with_lines(answer)
        if self.key not in signed.signers([self.key]):
            raise SignatureInvalid(f"{self.name} answered without a signature of its own")
        mine = [each for each in signed.signatures[len(note.signatures) :] if each.id == self.key.id]
        return Note(note.text, (*note.signatures, *mine))

    def _ask(self, note: Note, old: int, path: Sequence[bytes]) -> str | int:
        """Its signature lines, or the size that it knows."""
        proof = "".join(f"{base64.b64encode(step).decode()}\n" for step in path)
        url = f"{self.place.url.rstrip('/')}/add-checkpoint"
        request = urllib.request.Request(url, data=f"old {old}\n{proof}\n{note}".encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=self.place.timeout_s) as answer:
                text: str = answer.read(MAX_ANSWER).decode("utf-8", errors="replace")
                return text
        except urllib.error.HTTPError as error:
            with error:
                body = error.read(64).decode("ascii", errors="replace").strip()
            if error.code == CONFLICT and body.isdigit():
                return int(body)
            raise SignatureInvalid(f"{self.name} refuses this head (HTTP {error.code})") from None
        except (OSError, ValueError) as error:
            raise SetupError(f"{self.name} does not answer ({type(error).__name__})", remedy=f"see {url}") from error
