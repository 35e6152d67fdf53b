"""Ed25519 keys: a private one in a file of its owner's, a public one as a line of text that may go anywhere.

A public key is a *vkey*, `name+8 hex digits+base64`, as C2SP signed notes have it; a private key is the line
`PRIVATE+KEY+name+8 hex digits+base64` of the same family, so that other tools of transparency logs read both.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from chaos_tasks import reading
from chaos_tasks.errors import SetupError, SignatureInvalid

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ED25519 = 1  # signature type of a signed note
COSIGNATURE = 4  # that of a witness's timestamped signature
KEY_BYTES = 32
PRIVATE = "PRIVATE+KEY+"
PUBLIC_SUFFIX = ".vkey"


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """The four bytes that tell keys of one name apart: a hint, never trust."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


@dataclass(frozen=True)
class VerifyKey:
    """A public key under a name; equal when name, kind and bytes are."""

    name: str
    public: bytes
    kind: int = ED25519

    @property
    def id(self) -> bytes:
        """Four bytes."""
        return key_id(self.name, self.kind, self.public)

    @property
    def hint(self) -> str:
        """Name and id: what an envelope's `keyid` says."""
        return f"{self.name}+{self.id.hex()}"

    @property
    def vkey(self) -> str:
        """The line that others verify with."""
        return f"{self.hint}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key of a vkey; raises SignatureInvalid when it is none, or its id is another key's."""
        name, _, rest = text.strip().partition("+")
        digits, _, encoded = rest.partition("+")
        raw = decoded(encoded, f"the key {name!r}")
        if not is_name(name) or len(raw) != KEY_BYTES + 1 or raw[0] not in (ED25519, COSIGNATURE):
            raise SignatureInvalid(
                f"{text.strip()[:80]!r} is no Ed25519 vkey",
                remedy="give name+8 hex digits+base64, from `squall keys show`",
            )
        key = cls(name=name, public=raw[1:], kind=raw[0])
        if key.id.hex() != digits:
            raise SignatureInvalid(f"the id of the key {name!r} is not that of its bytes", remedy="copy the whole line")
        return key

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether this key signed exactly these bytes."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """A private key under a name; its bytes never appear in a text."""

    def __init__(self, name: str, seed: bytes, kind: int = ED25519) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if not is_name(name):
            raise SignatureInvalid(
                f"{name!r} cannot name a key", remedy="use a name such as example.org/squall/log, without + and spaces"
            )
        if len(seed) != KEY_BYTES:
            raise SignatureInvalid(f"the key {name!r} does not have {KEY_BYTES} bytes", remedy="make a new one")
        self._private: Ed25519PrivateKey = Ed25519PrivateKey.from_private_bytes(seed)
        self.verify_key = VerifyKey(name, self._private.public_key().public_bytes_raw(), kind)

    @classmethod
    def generate(cls, name: str, kind: int = ED25519) -> Self:
        """A new key from the system's randomness."""
        return cls(name, secrets.token_bytes(KEY_BYTES), kind)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key of a private line; raises SignatureInvalid without quoting any of it."""
        line = text.strip()
        name, _, rest = line.removeprefix(PRIVATE).partition("+")
        digits, _, encoded = rest.partition("+")
        raw = decoded(encoded, "a private key")
        if not line.startswith(PRIVATE) or len(raw) != KEY_BYTES + 1 or raw[0] not in (ED25519, COSIGNATURE):
            raise SignatureInvalid(
                "this is no private Ed25519 key of a signed note", remedy="make one: `squall keys new`"
            )
        key = cls(name, raw[1:], raw[0])
        if key.verify_key.id.hex() != digits:
            raise SignatureInvalid(f"the id of the private key {name!r} is not that of its bytes", remedy="restore it")
        return key

    @property
    def name(self) -> str:
        """Its name."""
        return self.verify_key.name

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of an Ed25519 signature."""
        return self._private.sign(message)

    def private_line(self) -> str:
        """What its file holds; never log it."""
        raw = bytes([self.verify_key.kind]) + self._private.private_bytes_raw()
        return f"{PRIVATE}{self.verify_key.hint}+{base64.b64encode(raw).decode()}"

    def __repr__(self) -> str:
        return f"SigningKey({self.verify_key.hint})"


def load_signing_key(path: Path) -> SigningKey:
    """The private key in a file that only its owner can read; raises SetupError otherwise."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise SetupError(
            f"the key {path} cannot be read: {error.strerror}", remedy="make it (`squall keys new`), or mend [keys]"
        ) from error
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(stream.fileno())
        mode = stat.S_IMODE(found.st_mode)
        if not stat.S_ISREG(found.st_mode) or mode & 0o077:
            raise SetupError(f"the key {path} is open to others (mode {mode:04o})", remedy=f"chmod 600 {path}")
        text = stream.read(4096).decode("utf-8", errors="replace")
    return SigningKey.parse(text)


def load_verify_keys(path: Path) -> tuple[VerifyKey, ...]:
    """The vkeys in a file, one a line; empty lines and lines that begin with # are left out."""
    try:
        lines = reading.text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"the keys in {path} cannot be read ({type(error).__name__})", remedy="mend [keys]") from error
    return tuple(VerifyKey.parse(line) for line in lines if line.strip() and not line.startswith("#"))


def save_signing_key(key: SigningKey, path: Path) -> Path:
    """Write a new key, mode 0600, and its vkey beside it; never over another key.  Returns the path of the vkey."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise SetupError(
            f"there is a key at {path} already", remedy="keep it, or replace it with `squall keys rotate`"
        ) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(key.private_line() + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    public = public_path(path)
    public.write_text(key.verify_key.vkey + "\n", encoding="utf-8")
    return public


def public_path(path: Path) -> Path:
    """Where the vkey of a private key's file stands."""
    return path.with_name(path.name + PUBLIC_SUFFIX)


def is_name(name: str) -> bool:
    """Whether a signed note can carry this name: not empty, no plus, no spaces, no control characters."""
    return bool(name) and "+" not in name and name.isprintable() and not any(one.isspace() for one in name)


def decoded(text: str, what: str) -> bytes:
    """Standard base64 and nothing else; raises SignatureInvalid."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError, UnicodeEncodeError):
        raise SignatureInvalid(f"{what} is not in base64", remedy="copy it whole") from None
    if base64.b64encode(raw).decode() != text:
        raise SignatureInvalid(f"{what} is not in canonical base64", remedy="copy it whole")
    return raw
