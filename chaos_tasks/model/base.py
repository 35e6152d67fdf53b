"""The base of every value: frozen, closed, and stable as canonical JSON."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import rfc8785
from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue
from pydantic_core import PydanticCustomError

Json = JsonValue
JsonObject = Mapping[str, JsonValue]

_MAX_SAFE = 2**53 - 1
_MAX_DOUBLE = int(sys.float_info.max)
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _number_again(value: Any) -> Any:
    if isinstance(value, int) and abs(value) > _MAX_SAFE:  # JCS writes 1e17 without a point, and refuses the integer
        return float(value) if abs(value) <= _MAX_DOUBLE else (math.inf if value > 0 else -math.inf)
    return _NON_FINITE.get(value, value) if isinstance(value, str) else value


Reading = Annotated[JsonValue, BeforeValidator(_number_again)]
"""What a probe read: the texts NaN, Infinity and -Infinity of a record become numbers again, large doubles too."""


class Value(BaseModel):
    """A frozen pydantic model that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    def canonical(self) -> bytes:
        """RFC 8785 bytes of the value; non-finite numbers are written as the strings NaN, Infinity, -Infinity."""
        return canonical(self.model_dump(mode="json"))

    @property
    def content_sha256(self) -> str:
        """SHA-256 of the canonical bytes, in hexadecimal."""
        return hashlib.sha256(self.canonical()).hexdigest()


def wrong_field(field: str, cause: str, remedy: str) -> PydanticCustomError:
    """An error of the whole that belongs to one field: the context leads `validation` to its line."""
    return PydanticCustomError("refers", "{cause}; {remedy}", {"field": field, "cause": cause, "remedy": remedy})


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON-like value (https://www.rfc-editor.org/rfc/rfc8785).

    Texts, small integers and ASCII names are written the same way by the standard library, in a fifth of the time.
    """
    if _plain(value):
        return _encode(value).encode()
    return rfc8785.dumps(_finite(value))


def exact(number: int) -> bool:
    """Whether a whole number is written in RFC 8785 as it is."""
    return abs(number) <= _MAX_SAFE


def _plain(value: Any) -> bool:
    """Whether nothing in it has a form in RFC 8785 of its own: a fraction, a large integer, a name to be sorted."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(abs(value) <= _MAX_SAFE)
    if kind is dict:
        return all(type(key) is str and key.isascii() and _plain(item) for key, item in value.items())
    return (kind is list or kind is tuple) and all(map(_plain, value))


def _finite(value: Any) -> Any:
    """JCS knows no NaN or infinity: say them as strings, so that a record can hold what was measured."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
