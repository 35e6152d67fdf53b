"""Connections by credential name: the one place where secrets become clients, and none of them is ever shown.

A credentials file is JSON, readable by its owner only (mode 0600), and named by SQUALL_CREDENTIALS:

    {"injector": {"access_key_id": "...", "secret_access_key": "...", "session_token": "..."},
     "reverter": {"profile": "squall-reverter"},
     "pipeline": {},
     "airflow": {"user": "...", "password": "..."}}

A profile is one of the AWS configuration's; `{}` is the AWS SDK's default chain (instance role, web identity).  Airflow
takes a user with a password, or a token.
Beside it, or in its place, [credentials] of squall.toml names connections of Airflow: `injector = "airflow:ID"`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

from pydantic import SecretStr, TypeAdapter, ValidationError, model_validator

from chaos_tasks.connections import connection
from chaos_tasks.errors import SetupError
from chaos_tasks.model.base import Value
from chaos_tasks.ports import AIRFLOW_LOGIN, CallerClient
from chaos_tasks.redacting import know, passwords_of, reveal

if TYPE_CHECKING:
    from botocore.config import Config
    from botocore.loaders import Loader
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_s3 import S3Client
    from redis import Redis

VARIABLE = "SQUALL_CREDENTIALS"
CONNECTIONS = "SQUALL_CONNECTIONS"
"""By which a process of ours hands [credentials] of squall.toml on; it names connections, and holds no secret."""

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 15.0
ATTEMPTS = 2


class Credential(Value):
    """One identity: a key pair, a profile, or (empty) the default chain; or a login of Airflow's."""

    access_key_id: str = ""
    secret_access_key: SecretStr = SecretStr("")
    session_token: SecretStr = SecretStr("")
    profile: str = ""
    user: str = ""
    password: SecretStr = SecretStr("")
    token: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _is_one_sort(self) -> Self:
        if bool(self.user) != bool(self.password):
            raise ValueError("give both user and password, or neither")
        if (self.user or self.token) and (self.access_key_id or self.profile):
            raise ValueError("give a login of Airflow's or one of AWS's, not both")
        if bool(self.access_key_id) != bool(self.secret_access_key):
            raise ValueError("give both access_key_id and secret_access_key, or neither")
        if self.profile and self.access_key_id:
            raise ValueError("give a key pair or a profile, not both")
        return self

    def session_arguments(self) -> dict[str, str]:
        """For boto3.session.Session; empty for the default chain."""
        given = {
            "aws_access_key_id": self.access_key_id,
            "aws_secret_access_key": self.secret_access_key.get_secret_value(),
            "aws_session_token": self.session_token.get_secret_value(),
            "profile_name": self.profile,
        }
        return {name: value for name, value in given.items() if value}

    def environment(self) -> dict[str, str]:
        """The variables that every AWS client reads; of a login of Airflow's, ours."""
        names = {
            "aws_access_key_id": "AWS_ACCESS_KEY_ID",
            "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
            "aws_session_token": "AWS_SESSION_TOKEN",
            "profile_name": "AWS_PROFILE",
        }
        keys = {names[name]: value for name, value in self.session_arguments().items()}
        login = (self.user, self.password.get_secret_value(), self.token.get_secret_value())
        return {**keys, **{name: value for name, value in zip(AIRFLOW_LOGIN, login, strict=True) if value}}


class NamedClients:
    """Implements ports.Clients; safe to share between threads, and each client is made once."""

    def __init__(
        self, credentials: Mapping[str, Credential], later: Mapping[str, Callable[[], Credential]] | None = None
    ) -> None:
        self._credentials = dict(credentials)
        self._later = dict(later or {})
        self._made: dict[tuple[str, ...], Any] = {}
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"NamedClients({', '.join(sorted({*self._credentials, *self._later}))})"

    def s3(self, credentials: str, *, endpoint: str, region: str) -> S3Client:
        """A boto3 S3 client; an empty endpoint is AWS itself."""
        client: S3Client = self._aws("s3", credentials, endpoint, region)
        return client

    def iam(self, credentials: str, *, endpoint: str, region: str) -> IAMClient:
        """A boto3 IAM client; an empty endpoint is AWS itself."""
        client: IAMClient = self._aws("iam", credentials, endpoint, region)
        return client

    def ec2(self, credentials: str, *, endpoint: str, region: str) -> EC2Client:
        """A boto3 EC2 client; an empty endpoint is AWS itself."""
        client: EC2Client = self._aws("ec2", credentials, endpoint, region)
        return client

    def sts(self, credentials: str, *, endpoint: str, region: str) -> CallerClient:
        """A boto3 STS client; an empty endpoint is AWS itself."""
        client: CallerClient = self._aws("sts", credentials, endpoint, region)
        return client

    def knows(self, credentials: str) -> bool:
        """Whether there are credentials of this name."""
        return credentials in self._credentials or credentials in self._later

    def redis(self, url: str) -> Redis:
        """A redis client that answers in bytes; it connects at its first command."""
        import redis

        revealed = reveal(url, os.environ)
        know(passwords_of(revealed))
        with self._lock:
            if ("redis", url) not in self._made:
                self._made["redis", url] = redis.Redis.from_url(
                    revealed, socket_connect_timeout=CONNECT_TIMEOUT_S, socket_timeout=READ_TIMEOUT_S
                )
        client: Redis = self._made["redis", url]
        return client

    def environment(self, credentials: str) -> dict[str, str]:
        """Environment variables that give a workload these credentials; empty for the default chain."""
        return self._named(credentials).environment()

    def _aws(self, service: str, name: str, endpoint: str, region: str) -> Any:
        credential = self._named(name)
        wanted = (service, name, endpoint, region)
        with self._lock:
            if wanted not in self._made:
                self._made[wanted] = _session(name, credential).client(
                    service, endpoint_url=endpoint or None, region_name=region or None, config=_config(endpoint)
                )
        return self._made[wanted]

    def _named(self, name: str) -> Credential:
        if name not in self._credentials and name in self._later:
            self._credentials[name] = self._later[name]()
        if name not in self._credentials:
            known = ", ".join(sorted({*self._credentials, *self._later})) or "none"
            raise SetupError(
                f"no credentials are called {name!r} (known: {known})",
                remedy=f"add {name!r} to the file that {VARIABLE} names; {{}} stands for the default chain",
            )
        return self._credentials[name]


def from_credentials(credentials: Mapping[str, Mapping[str, str]]) -> NamedClients:
    """Clients for these named credentials; raises SetupError naming the wrong one, never its content."""
    return NamedClients(_known_ones(credentials))


def _known_ones(credentials: Mapping[str, Mapping[str, str]]) -> dict[str, Credential]:
    parsed = {name: _parsed(name, given) for name, given in credentials.items()}
    hidden = [
        secret
        for one in parsed.values()
        for secret in (one.secret_access_key, one.session_token, one.password, one.token)
    ]
    know(secret.get_secret_value() for secret in hidden)
    return parsed


def from_environment(environment: Mapping[str, str] | None = None) -> NamedClients:
    """Clients for the file that SQUALL_CREDENTIALS names, and for connections of Airflow; else for no name at all."""
    env = os.environ if environment is None else environment
    path = env.get(VARIABLE, "")
    in_file = _read(Path(path)) if path else {}
    named = TypeAdapter(dict[str, str]).validate_json(env.get(CONNECTIONS) or "{}")
    if twice := sorted(set(in_file) & set(named)):
        raise SetupError(
            f"credentials {', '.join(twice)} are in {path} and in [credentials] of squall.toml", remedy="keep one"
        )
    return NamedClients(_known_ones(in_file), {name: _later(name, told, env) for name, told in named.items()})


def _later(name: str, told: str, environment: Mapping[str, str]) -> Callable[[], Credential]:
    """A connection is looked up when it is first needed: a process that acts on no cloud need not have it."""

    def look() -> Credential:
        found = connection(told.partition(":")[2], environment)
        know(found.secrets)
        return _parsed(name, found.credential)

    return look


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise SetupError(f"{path} can be read by others (mode {mode:04o})", remedy=f"chmod 600 {path}")
        return TypeAdapter(dict[str, dict[str, str]]).validate_json(path.read_bytes())
    except OSError as error:
        raise SetupError(
            f"{path}, named by {VARIABLE}, cannot be read: {error.strerror}", remedy=f"mend {VARIABLE} or the file"
        ) from error
    except ValidationError:
        # The cause is dropped on purpose: pydantic quotes the input, and the input is secrets.
        raise SetupError(
            f"{path} is not a table of credentials", remedy='write {"name": {"access_key_id": ..., ...}, ...}'
        ) from None


def _parsed(name: str, given: Mapping[str, str]) -> Credential:
    try:
        return Credential.model_validate(dict(given))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc'])) or name}: {each['msg']}" for each in error.errors())
        raise SetupError(
            f"credentials {name!r}: {wrong}", remedy="give access_key_id and secret_access_key, or profile, or nothing"
        ) from None


def _session(name: str, credential: Credential) -> Any:
    import boto3
    import botocore.session
    from botocore.exceptions import ProfileNotFound

    core = botocore.session.get_session()
    core.register_component("data_loader", _loader())
    try:
        session = boto3.session.Session(**credential.session_arguments(), botocore_session=core)
        core.get_scoped_config()  # a profile is looked up late: ask now, where its name is known
        return session
    except ProfileNotFound as error:
        raise SetupError(f"credentials {name!r}: {error}", remedy="add the profile to the AWS configuration") from error


@lru_cache(maxsize=1)
def _loader() -> Loader:
    """One for all sessions: each would parse the same megabytes of service descriptions again."""
    from botocore.loaders import create_loader

    return create_loader()


def _config(endpoint: str) -> Config:
    """Give up soon: whoever calls knows better how long to persist."""
    from botocore.config import Config

    return Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        # Servers that are not AWS rarely have a DNS name per bucket.
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
