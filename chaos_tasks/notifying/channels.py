"""Ways to tell a person: a file of JSON lines, a signed webhook, and what others have made (``borrowed``)."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from chaos_tasks.connections import IN_TEXT, connection
from chaos_tasks.errors import SetupError
from chaos_tasks.model.notice import Notice
from chaos_tasks.notifying.borrowed import BorrowedChannel
from chaos_tasks.notifying.delivery import DeliveryError
from chaos_tasks.ports import Clock
from chaos_tasks.redacting import reveal
from chaos_tasks.settings import Notify, Webhook

FIRST_PAUSE_S = 0.5
LONG_PATH = 16  # shorter ones are words, not keys
AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
SIGNATURE, TIMESTAMP, NOTICE = "X-Squall-Signature", "X-Squall-Timestamp", "X-Squall-Notice"


class Channel(Protocol):
    """One way to tell."""

    @property
    def name(self) -> str:
        """As records call it."""

    def send(self, notice: Notice) -> int:
        """Deliver; returns the number of tries, raises DeliveryError."""


@dataclass(frozen=True)
class FileChannel:
    """Appends a JSON line; whoever tails the file sees it.  Lines are whole: one write, flushed to the disk."""

    path: Path
    name: str = "file"

    def send(self, notice: Notice) -> int:
        """Append."""
        line = json.dumps({**notice.model_dump(mode="json"), "text": notice.text}, ensure_ascii=False) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            opened = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(opened, line.encode())
                os.fsync(opened)
            finally:
                os.close(opened)
        except OSError as error:
            raise DeliveryError(f"the file cannot be written: {error.strerror}") from error
        return 1


@dataclass(frozen=True)
class WebhookChannel:
    """Posts JSON; tries again after timeouts, 5xx and "too many", and signs what it sends."""

    name: str
    webhook: Webhook
    variables: Mapping[str, str] = field(repr=False)
    clock: Clock = field(repr=False)

    def send(self, notice: Notice) -> int:
        """Post until it is taken, or the tries are used up."""
        try:
            url, secret = _filled(self.webhook.url, self.variables), self._secret()
        except SetupError as error:
            raise DeliveryError(error.message) from error
        body, pause_s = _body(notice), FIRST_PAUSE_S
        for tried in range(1, self.webhook.tries + 1):
            why, again = _post(url, body, _headers(notice, body, secret, self.clock.now()), self.webhook.timeout_s)
            if not why:
                return tried
            if not again or tried == self.webhook.tries:
                raise DeliveryError(why, tries=tried)
            self.clock.sleep(pause_s)
            pause_s *= 2
        raise DeliveryError("no try is allowed", tries=0)

    def _secret(self) -> str:
        name = self.webhook.secret_variable
        if name and not self.variables.get(name):
            raise SetupError(f"the variable {name} with the webhook's secret is not set", remedy=f"set {name}")
        return self.variables[name] if name else ""


def channels_of(
    notify: Notify, home: Path, variables: Mapping[str, str], clock: Clock
) -> tuple[FileChannel | WebhookChannel | BorrowedChannel, ...]:
    """The channels of squall.toml's [notify]; what is wrong with one shows when it is used, and stops nothing."""
    files = (FileChannel(home / notify.file),) if notify.file else ()
    hooks = (WebhookChannel(name, hook, variables, clock) for name, hook in sorted(notify.webhooks.items()))
    borrowed = (BorrowedChannel(name, one) for name, one in sorted(notify.notifiers.items()))
    return (*files, *hooks, *borrowed)


def secrets_of_webhook(url: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """What of an address gives the right to post: the whole of it, its path with its query, the end of its path."""
    try:
        whole = _filled(url, variables)
    except SetupError:
        return ()
    path = whole.partition("://")[2].partition("/")[2]
    return (whole, *((path, path.rpartition("/")[2]) if len(path) >= LONG_PATH else ()))


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 (RFC 2104) of `timestamp.body`: a receiver recomputes it, and refuses old timestamps."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _body(notice: Notice) -> bytes:
    """`text` is what chat tools show; the rest is for programs."""
    return json.dumps({"text": notice.text, "notice": notice.model_dump(mode="json")}).encode()


def _headers(notice: Notice, body: bytes, secret: str, now: datetime) -> dict[str, str]:
    told = {"Content-Type": "application/json", "User-Agent": "squall", NOTICE: notice.content_sha256}
    if secret:
        told[TIMESTAMP] = str(int(now.timestamp()))
        told[SIGNATURE] = "sha256=" + signature(secret, told[TIMESTAMP], body)
    return told


def _post(url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> tuple[str, bool]:
    """Why it was not taken (empty: it was), and whether another try may help.  A redirect is not followed."""
    if not url.startswith(("https://", "http://")):
        return "the address is not one of http or https", False
    try:
        request = urllib.request.Request(url, data=body, headers=dict(headers), method="POST")
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout_s):
            return "", False
    except urllib.error.HTTPError as error:
        error.close()
        return f"the receiver answered {error.code}", error.code >= 500 or error.code in AGAIN
    except (OSError, http.client.HTTPException) as error:  # timeouts and refused connections are OSErrors
        return f"no answer ({type(getattr(error, 'reason', error)).__name__})", True
    except ValueError:
        return "the address is no URL", False


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A notice goes where squall.toml says, and nowhere else."""

    def redirect_request(self, *args: object, **more: object) -> None:
        """Never."""


def _filled(text: str, variables: Mapping[str, str]) -> str:
    """The text with ${NAME} and ${airflow:ID} replaced: an address that is a secret need not be in squall.toml."""
    for lacking in IN_TEXT.findall(text := reveal(text, variables)):
        connection(lacking, variables)  # says what to do

    def value(found: re.Match[str]) -> str:
        if not variables.get(found[1]):
            raise SetupError(f"the variable {found[1]} is not set", remedy=f"set {found[1]}")
        return variables[found[1]]

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", value, text)
