"""Signed notes (https://c2sp.org/signed-note@v1.0.0): a text, an empty line, and one line per signature."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from chaos_tasks.errors import SignatureInvalid
from chaos_tasks.signing import cosignature
from chaos_tasks.signing.keys import COSIGNATURE, SigningKey, VerifyKey, decoded, is_name

DASH = "\N{EM DASH} "
MAX_BYTES = 1_000_000
MAX_SIGNATURES = 100


@dataclass(frozen=True)
class Signature:
    """One signature line; it says who is meant to have signed, which is to be verified."""

    name: str
    id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """As it stands in the note."""
        return f"{DASH}{self.name} {base64.b64encode(self.id + self.signature).decode()}\n"


@dataclass(frozen=True)
class Note:
    """A text with its final newline, and the signatures below it; nothing in it is verified yet."""

    text: str
    signatures: tuple[Signature, ...] = ()

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(each.line for each in self.signatures)}"

    @classmethod
    def parse(cls, raw: str | bytes) -> Note:
        """A note from its bytes; raises SignatureInvalid unless it is exactly of the format."""
        whole = _as_text(raw)
        text, separator, below = whole.rpartition("\n\n")
        if not separator or not below.endswith("\n"):
            raise _malformed("it has no signatures below an empty line")
        lines = below[:-1].split("\n")
        if len(lines) > MAX_SIGNATURES:
            raise _malformed(f"it has more than {MAX_SIGNATURES} signatures")
        return cls(text + "\n", tuple(parse_line(line) for line in lines))

    def signed_by(self, *keys: SigningKey) -> Note:
        """The same note with signatures of these keys added; their kind must be the plain one."""
        _refuse_unprintable(self.text)
        if not self.text.endswith("\n"):
            raise _malformed("its text does not end with a newline")
        added = (Signature(key.name, key.verify_key.id, key.sign(self.text.encode())) for key in keys)
        return Note(self.text, (*self.signatures, *added))

    def with_lines(self, lines: str) -> Note:
        """The same note with signature lines added, as a witness answers them."""
        return Note(self.text, (*self.signatures, *(parse_line(line) for line in lines.splitlines())))

    def signers(self, keys: Iterable[VerifyKey]) -> tuple[VerifyKey, ...]:
        """Which of the keys signed; unknown signatures are ignored.

        Raises SignatureInvalid when a signature that claims to be a known key's is not, or a known key's comes twice.
        """
        found: list[VerifyKey] = []
        by_claim: dict[tuple[str, bytes], list[VerifyKey]] = {}
        for key in dict.fromkeys(keys):
            by_claim.setdefault((key.name, key.id), []).append(key)
        for signature in self.signatures:
            claimed = by_claim.get((signature.name, signature.id), [])
            true = [key for key in claimed if self._verifies(key, signature.signature)]
            if claimed and not true:
                raise SignatureInvalid(f"the signature of {signature.name} does not belong to this text")
            if true and true[0] in found:
                raise SignatureInvalid(f"{signature.name} signs this text twice")
            found += true[:1]
        return tuple(found)

    def opened(self, keys: Iterable[VerifyKey]) -> str:
        """The text, once a known key's signature holds; raises SignatureInvalid otherwise."""
        if not self.signers(keys):
            claims = ", ".join(sorted({each.name for each in self.signatures})) or "nobody"
            raise SignatureInvalid(
                f"no known key signed this text (it claims: {claims})",
                remedy="give the vkey of who should have signed it",
            )
        return self.text

    def _verifies(self, key: VerifyKey, signature: bytes) -> bool:
        if key.kind == COSIGNATURE:
            return cosignature.verifies(key, self.text, signature)
        return key.verifies(self.text.encode(), signature)


def parse_line(line: str) -> Signature:
    """One signature line without its newline; raises SignatureInvalid."""
    name, _, encoded = line.removeprefix(DASH).partition(" ")
    if not line.startswith(DASH) or not is_name(name):
        raise _malformed("a line below its text is no signature")
    raw = decoded(encoded, f"the signature of {name}")
    if len(raw) < 5:
        raise _malformed(f"the signature of {name} is too short")
    return Signature(name, raw[:4], raw[4:])


def _as_text(raw: str | bytes) -> str:
    try:
        whole = raw if isinstance(raw, str) else raw.decode("utf-8")
        size = len(whole.encode("utf-8"))
    except UnicodeError:
        raise _malformed("it is no UTF-8") from None
    if size > MAX_BYTES:
        raise _malformed(f"it has more than {MAX_BYTES} bytes")
    _refuse_unprintable(whole)
    return whole


def _refuse_unprintable(text: str) -> None:
    if any(one < " " and one != "\n" for one in text):
        raise _malformed("it has control characters")


def _malformed(why: str) -> SignatureInvalid:
    return SignatureInvalid(f"this is no signed note: {why}", remedy="give the file as it was published")
