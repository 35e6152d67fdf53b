"""The base of every value: frozen, closed, and stable as canonical JSON."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import rfc8785
from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue

Json = JsonValue
JsonObject = Mapping[str, JsonValue]

_MAX_SAFE = 2**53 - 1
_MAX_DOUBLE = int(sys.float_info.max)
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


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON-like value (https://www.rfc-editor.org/rfc/rfc8785)."""
    return rfc8785.dumps(_finite(value))


def _finite(value: Any) -> Any:
    """JCS knows no NaN or infinity: say them as strings, so that a record can hold what was measured."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
