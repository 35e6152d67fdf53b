"""Named credentials become clients; no secret is ever shown, and a wrong file says how to mend it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaos_tasks.clients import VARIABLE, from_credentials, from_environment
from chaos_tasks.errors import SetupError

SECRET = "very-secret-value"
PAIR = {"access_key_id": "AKEXAMPLE", "secret_access_key": SECRET}


def write(path: Path, content: str, mode: int = 0o600) -> dict[str, str]:
    path.write_text(content)
    path.chmod(mode)
    return {VARIABLE: str(path)}


def test_a_credentials_file_gives_clients_and_environments(tmp_path: Path) -> None:
    clients = from_environment(write(tmp_path / "c.json", json.dumps({"injector": PAIR, "chain": {}})))
    assert clients.environment("injector") == {"AWS_ACCESS_KEY_ID": "AKEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}
    assert clients.environment("chain") == {}
    first = clients.s3("injector", endpoint="http://127.0.0.1:1", region="us-east-1")
    assert first is clients.s3("injector", endpoint="http://127.0.0.1:1", region="us-east-1")


def test_nothing_shows_a_secret() -> None:
    clients = from_credentials({"injector": PAIR})
    assert SECRET not in repr(clients) + repr(clients._credentials)
    assert SECRET not in json.dumps({name: each.model_dump(mode="json") for name, each in clients._credentials.items()})


def test_a_missing_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(SetupError, match=r"reverter.*known: injector"):
        from_credentials({"injector": PAIR}).environment("reverter")


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        (json.dumps({"injector": PAIR}), 0o644),
        (json.dumps({"injector": {"secret_access_key": SECRET}}), 0o600),
        (json.dumps({"injector": {**PAIR, "profile": "p"}}), 0o600),
        (json.dumps({"injector": {**PAIR, "typo": SECRET}}), 0o600),
        (json.dumps({"injector": SECRET}), 0o600),
        (f"{{{SECRET}", 0o600),
    ],
    ids=["readable-by-others", "half-a-pair", "pair-and-profile", "unknown-field", "no-table", "no-json"],
)
def test_a_wrong_file_is_refused_without_quoting_it(tmp_path: Path, content: str, mode: int) -> None:
    with pytest.raises(SetupError) as caught:
        from_environment(write(tmp_path / "c.json", content, mode))
    assert caught.value.remedy
    assert SECRET not in str(caught.value)


def test_a_profile_that_does_not_exist_is_named() -> None:
    with pytest.raises(SetupError, match="no-such-profile"):
        from_credentials({"x": {"profile": "no-such-profile"}}).iam("x", endpoint="", region="us-east-1")
