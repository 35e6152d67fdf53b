"""A live reading from an HTTP endpoint: its status, or one number of its JSON answer."""

from __future__ import annotations

import json
from typing import ClassVar, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.base import Reading
from chaos_tasks.probes.base import Measurement, ProbeParams
from chaos_tasks.probes.live import Scene

MOST_BYTES = 1024 * 1024


class LiveHttpParams(ProbeParams):
    """Which endpoint, and what of its answer."""

    url: str = Field(max_length=2000, description="http(s) address; no password in it, since it goes on record.")
    field: str = Field("", description="Path to a number in the JSON answer, e.g. slo.error_rate; empty: the status.")
    timeout_s: float = Field(2.0, gt=0, le=10, description="An answer that takes longer counts as none.")

    @model_validator(mode="after")
    def _is_an_address(self) -> Self:
        try:
            parts = urlsplit(self.url)
        except ValueError:
            raise ValueError("the address cannot be read") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the address must begin with http:// or https:// and name a host")
        if "@" in parts.netloc or parts.query:
            raise ValueError("an address with a password or a query goes on record; leave both out")
        return self


class LiveHttp:
    """What an endpoint says now."""

    kind: ClassVar[str] = "live.http"
    summary: ClassVar[str] = "Status of an HTTP endpoint, or a number of its JSON answer"
    params_type: ClassVar[type[LiveHttpParams]] = LiveHttpParams
    needs_trial: ClassVar[bool] = False

    def read(self, scene: Scene, params: LiveHttpParams) -> Measurement:
        """Ask it; raises ProbeError for no answer, or for one without the number.  Its text goes nowhere."""
        status, body = _get(params)
        if not params.field:
            return Measurement(value=status)
        if status != 200:
            raise ProbeError(f"the endpoint answers {status}", remedy="look at the service")
        return Measurement(value=_picked(body, params.field))


def _get(params: LiveHttpParams) -> tuple[int, bytes]:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import ProxyHandler, build_opener

    opener = build_opener(ProxyHandler({}))  # what is watched is watched directly
    try:
        with opener.open(params.url, timeout=params.timeout_s) as answer:
            return int(answer.status), answer.read(MOST_BYTES)
    except HTTPError as error:
        return int(error.code), b""
    except (OSError, HTTPException, ValueError) as error:
        raise ProbeError(
            f"the endpoint does not answer: {type(error).__name__}", remedy="look at the service"
        ) from None


def _picked(body: bytes, field: str) -> Reading:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        raise ProbeError("the answer is no JSON", remedy="leave out `field` to read the status") from None
    for part in field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, int | float):
        return value
    raise ProbeError(f"the answer has no number {field}", remedy="name one that it has")
