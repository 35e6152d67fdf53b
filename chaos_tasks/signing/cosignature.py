"""A witness's signature on a checkpoint, with its time (https://c2sp.org/tlog-cosignature, Ed25519)."""

from __future__ import annotations

import base64

from chaos_tasks.signing.keys import COSIGNATURE, SigningKey, VerifyKey

TIME_BYTES = 8
SIGNATURE_BYTES = 64


def cosign(key: SigningKey, text: str, seconds: int) -> str:
    """The signature line of a witness whose key has the kind COSIGNATURE."""
    if key.verify_key.kind != COSIGNATURE:
        raise ValueError(f"{key.name} is no witness's key")
    raw = key.verify_key.id + seconds.to_bytes(TIME_BYTES, "big") + key.sign(_message(text, seconds))
    return f"\N{EM DASH} {key.name} {base64.b64encode(raw).decode()}\n"


def verifies(key: VerifyKey, text: str, signature: bytes) -> bool:
    """Whether the witness signed this text at the time that the signature names."""
    if len(signature) != TIME_BYTES + SIGNATURE_BYTES:
        return False
    return key.verifies(_message(text, signed_at(signature)), signature[TIME_BYTES:])


def signed_at(signature: bytes) -> int:
    """Seconds since 1970 that a cosignature names."""
    return int.from_bytes(signature[:TIME_BYTES], "big")


def _message(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()
