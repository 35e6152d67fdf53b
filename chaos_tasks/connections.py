"""Connections by Airflow's conn id, read from the variables AIRFLOW_CONN_<ID> that Airflow itself reads.

Outside of Airflow whoever starts Squall sets them; in a task of Airflow `squall_operators.connections` fills in those
that are asked for, from wherever Airflow keeps them.  Both forms of Airflow's are read: a URI, and JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from chaos_tasks.errors import SetupError

PREFIX = "AIRFLOW_CONN_"
NAMED = re.compile(r"airflow:([A-Za-z0-9_.-]+)")
"""As a table of credentials names one."""

IN_TEXT = re.compile(r"\$\{airflow:([A-Za-z0-9_.-]+)\}")
"""As an address names one."""

SCHEMES = {"postgres": "postgresql", "redis": "redis"}
ASKS_FOR_A_ROLE = ("role_arn", "assume_role_method", "assume_role_kwargs")
_SECRET_EXTRA = re.compile(r"(?i)secret|passw|token|key")


@dataclass(frozen=True)
class Connection:
    """What Airflow knows of one; its password and extras are never shown."""

    conn_id: str
    conn_type: str
    host: str = ""
    login: str = ""
    password: str = field(default="", repr=False)
    port: int | None = None
    schema: str = ""
    extra: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """As an address: scheme, who, where, and the database."""
        if not self.host:
            raise SetupError(f"connection {self.conn_id!r} has no host", remedy="give it one, or write the address")
        scheme, _, host = self.host.rpartition("://")
        scheme = scheme or SCHEMES.get(self.conn_type, self.conn_type)
        if scheme == "redis" and str(self.extra.get("ssl", "")).lower() in ("true", "1"):
            scheme = "rediss"
        secret = f":{quote(self.password, safe='')}" if self.password else ""
        who = f"{quote(self.login, safe='')}{secret}@" if self.login or secret else ""
        where = f"[{host}]" if ":" in host and not host.startswith("[") else host
        path = self.schema or str(self.extra.get("db", "") or "")
        mode = self.extra.get("sslmode")
        query = f"?sslmode={quote(str(mode))}" if mode else ""
        return f"{scheme}://{who}{where}{f':{self.port}' if self.port else ''}{f'/{path}' if path else ''}{query}"

    @property
    def credential(self) -> dict[str, str]:
        """As an entry of a credentials file: of AWS (a key pair, a profile, nothing for the chain), else a user."""
        if self.conn_type != "aws":
            return {name: text for name, text in (("user", self.login), ("password", self.password)) if text}
        if any(self.extra.get(name) for name in ASKS_FOR_A_ROLE):
            raise SetupError(
                f"connection {self.conn_id!r} assumes a role, which Squall does not do by itself",
                remedy="give it `profile_name` of a profile in the AWS configuration that assumes the role",
            )
        extra = {name: str(value) for name, value in self.extra.items() if value}
        found = {
            "access_key_id": self.login or extra.get("aws_access_key_id", ""),
            "secret_access_key": self.password or extra.get("aws_secret_access_key", ""),
            "session_token": extra.get("aws_session_token", ""),
            "profile": extra.get("profile_name", ""),
        }
        return {name: value for name, value in found.items() if value}

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        extras = (str(value) for name, value in self.extra.items() if value and _SECRET_EXTRA.search(name))
        return tuple(one for one in (self.password, *extras) if one)


def variable_of(conn_id: str) -> str:
    """The variable that Airflow reads for an id."""
    return PREFIX + conn_id.upper()


def connection(conn_id: str, environment: Mapping[str, str]) -> Connection:
    """The connection of an id; raises SetupError, which quotes nothing of it."""
    text = environment.get(variable_of(conn_id), "")
    if not text:
        raise SetupError(
            f"there is no connection {conn_id!r}",
            remedy=f"add it to Airflow, or set {variable_of(conn_id)} where Squall runs without it",
        )
    return parsed(conn_id, text)


def parsed(conn_id: str, text: str) -> Connection:
    """A connection in one of Airflow's two forms; raises SetupError."""
    try:
        return _of_json(conn_id, json.loads(text)) if text.lstrip().startswith("{") else _of_uri(conn_id, text)
    except (ValueError, TypeError, AttributeError, KeyError):  # not chained: they quote what they could not read
        pass
    raise SetupError(
        f"connection {conn_id!r} in {variable_of(conn_id)} is neither a URI nor JSON as Airflow has them",
        remedy="`airflow connections get ID -o json` shows the form",
    )


def named_in(texts: Iterator[str]) -> frozenset[str]:
    """The ids that these texts ask for, in either form."""
    return frozenset(found for text in texts for found in NAMED.findall(text))


def secrets_of(text: str) -> tuple[str, ...]:
    """What of a variable's value is secret; all of it where it cannot be read."""
    try:
        return parsed("", text).secrets
    except SetupError:
        return (text,)


def _of_json(conn_id: str, told: dict[str, object]) -> Connection:
    extra = told.get("extra") or {}
    if isinstance(extra, str):
        extra = json.loads(extra)
    port = told.get("port")
    if not isinstance(extra, dict):
        raise TypeError("extra")
    return Connection(
        conn_id=conn_id,
        conn_type=_text(told, "conn_type").replace("-", "_"),
        host=_text(told, "host"),
        login=_text(told, "login"),
        password=_text(told, "password"),
        port=int(str(port)) if port else None,
        schema=_text(told, "schema"),
        extra=extra,
    )


def _text(told: Mapping[str, object], name: str) -> str:
    value = told.get(name)
    return "" if value is None else str(value)


def _of_uri(conn_id: str, text: str) -> Connection:
    """`type://login:password@host:port/schema?extra`, each part quoted; a host may bring a scheme of its own."""
    parts = urlsplit(text)
    if not parts.scheme:
        raise ValueError("scheme")
    extra: dict[str, object] = dict(parse_qsl(parts.query))
    whole = extra.pop("__extra__", None)
    if isinstance(whole, str):
        extra = json.loads(whole)
    host = unquote(parts.netloc.rpartition("@")[2])
    bare = unquote(parts.hostname or "") if parts.port is not None else host
    return Connection(
        conn_id=conn_id,
        conn_type=parts.scheme.replace("-", "_"),
        host=bare,
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        port=parts.port,
        schema=unquote(parts.path.removeprefix("/")),
        extra=extra,
    )
