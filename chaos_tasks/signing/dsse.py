"""DSSE v1 envelopes (https://github.com/secure-systems-lab/dsse): bytes of a named type, and who signed them.

Opening one fails closed: each signature must be a known key's, each key signs once, and `keyid` is read by nobody.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from chaos_tasks.errors import SignatureInvalid
from chaos_tasks.model.base import canonical
from chaos_tasks.signing.keys import SigningKey, VerifyKey, decoded

IN_TOTO = "application/vnd.in-toto+json"
MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Opened:
    """The payload of an envelope that holds, and the keys that signed it, in the order of their signatures."""

    payload: bytes
    signers: tuple[VerifyKey, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: what is really signed."""
    kind = payload_type.encode()
    return b" ".join((b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload))


def seal(payload: bytes, *keys: SigningKey, payload_type: str = IN_TOTO) -> bytes:
    """The envelope as canonical JSON, signed by each key; Ed25519 makes the same bytes from the same input."""
    if not keys:
        raise SignatureInvalid("an envelope needs a key to be signed with", remedy="name one in [keys]")
    if len({key.verify_key.public for key in keys}) != len(keys):
        raise SignatureInvalid("an envelope is signed once by each key", remedy="name different keys")
    message = pae(payload_type, payload)
    signatures = [{"keyid": key.verify_key.hint, "sig": base64.b64encode(key.sign(message)).decode()} for key in keys]
    return canonical(
        {"payload": base64.b64encode(payload).decode(), "payloadType": payload_type, "signatures": signatures}
    )


def open_envelope(
    envelope: bytes | str,
    keys: Iterable[VerifyKey],
    *,
    payload_type: str = IN_TOTO,
    need: int = 1,
    strangers: bool = False,
) -> Opened:
    """The payload, if at least ``need`` of the keys signed it; raises SignatureInvalid in every other case.

    A signature by no known key is refused, unless ``strangers`` says that others may have signed as well.
    """
    told_type, payload, signatures = _parts(envelope)
    if told_type != payload_type:
        raise SignatureInvalid(f"the envelope holds {told_type[:80]!r}, not {payload_type!r}")
    message = pae(told_type, payload)
    known = tuple({key.public: key for key in keys}.values())
    signers: list[VerifyKey] = []
    for signature in signatures:
        signer = next((key for key in known if key.verifies(message, signature)), None)
        if signer in signers:
            raise SignatureInvalid(f"{signers[signers.index(signer)].name} signs the envelope twice")
        if signer is not None:
            signers.append(signer)
        elif not strangers:
            raise SignatureInvalid(
                "a signature of the envelope is no known key's, or its content was changed",
                remedy="give the vkeys of all who should have signed it",
            )
    if len(signers) < max(need, 1):
        raise SignatureInvalid(f"{len(signers)} known keys signed the envelope; {max(need, 1)} must")
    return Opened(payload, tuple(signers))


def _parts(envelope: bytes | str) -> tuple[str, bytes, tuple[bytes, ...]]:
    if len(envelope) > MAX_BYTES:
        raise SignatureInvalid(f"the envelope has more than {MAX_BYTES} bytes")
    try:
        content = json.loads(envelope, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise SignatureInvalid("this is no DSSE envelope: it is not JSON with each name once") from None
    if not isinstance(content, dict) or not {"payload", "payloadType", "signatures"} <= set(content):
        raise SignatureInvalid("this is no DSSE envelope: payload, payloadType or signatures is missing")
    kind, payload, signatures = content["payloadType"], content["payload"], content["signatures"]
    if not isinstance(kind, str) or not isinstance(payload, str) or not isinstance(signatures, list) or not signatures:
        raise SignatureInvalid("this is no DSSE envelope: its fields are not of the format, or nobody signed it")
    found = tuple(decoded(_sig(each), "a signature of the envelope") for each in signatures)
    if len(set(found)) != len(found):
        raise SignatureInvalid("the envelope repeats a signature")
    return kind, decoded(payload, "the payload of the envelope"), found


def _sig(entry: Any) -> str:
    signature = entry.get("sig") if isinstance(entry, dict) else None
    if not isinstance(signature, str):
        raise SignatureInvalid("this is no DSSE envelope: an entry of its signatures has no sig")
    return signature


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name comes twice")
    return made
