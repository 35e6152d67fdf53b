"""Promise: what is planted is found, what is not secret stays as it is, and nobody is told what it was."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Callable, Iterator

import pytest

from chaos_tasks import redacting
from chaos_tasks.redacting import secrets_of

AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nq8v\n-----END RSA PRIVATE KEY-----"

PLANTED = [
    ("key AKIAIOSFODNN7EXAMPLE was refused", "AKIAIOSFODNN7EXAMPLE", "aws_key_id"),
    (f"aws_secret_access_key = {AWS_SECRET}", AWS_SECRET, "aws_secret"),
    ("sent eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "dozjgNryP4J3", "jwt"),
    ("Authorization: Bearer 0123456789abcdef0123", "0123456789abcdef0123", "bearer"),
    ("GET https://b.s3.amazonaws.com/k?X-Amz-Signature=9f86d081884c7d659a2f", "9f86d081884c7d659a2f", "signed_url"),
    ("https://x.blob.core.windows.net/c?sv=2020&sig=Zm9vYmFyYmF6", "Zm9vYmFyYmF6", "signed_url"),
    ("cannot reach redis://:hunter2hunter2@10.0.0.1:6379/0", "hunter2hunter2", "uri_password"),
    ("postgresql://squall:p%40ss@db/ledger is down", "p%40ss", "uri_password"),
    ("login failed: password=correcthorse", "correcthorse", "assignment"),
    ("{'db_password': 'correcthorse', 'port': 1}", "correcthorse", "assignment"),
    ("api_key: abcdef123456", "abcdef123456", "assignment"),
    (KEY, "MIIEpAIBAAKCAQEA7", "private_key"),
    ("remote: ghp_abcdefghijklmnopqrstuvwxyz0123", "ghp_abcdef", "github_token"),
    ("token xoxb-123456789012-abcdefghij", "xoxb-123456789012", "slack"),
    ("https://hooks.slack.com/services/T000/B000/XXXXXXXX", "T000/B000", "slack"),
    ("AIzaSyA-1234567890abcdefghijklmnopqrstu", "AIzaSyA-1234567890", "google_key"),
    ("row of jane.doe@example.org is broken", "jane.doe@example.org", "email"),
]

HARMLESS = [
    hashlib.sha256(b"a").hexdigest(),
    hashlib.md5(b"a").hexdigest(),
    "sha256:" + hashlib.sha256(b"b").hexdigest(),
    str(uuid.UUID(int=2**100 + 17)),
    "night-2026-11-28.label-flip",
    "scheduled__2026-11-28T02:00:00+00:00",
    "s3://bucket/prefix/objects/" + hashlib.sha256(b"c").hexdigest(),
    "squall revert night-2026-11-28.label-flip/flip",
    "3 000 of 30 000 labels flipped",
    "git@github.com:org/repo is read only",
    "redis://127.0.0.1:6379/0",
    "postgresql://postgres@/squall?host=/run/db",
    "redis://:${STREAM_PASSWORD}@10.0.0.1:6379/0",
    "check tokens: 15 of 20",
    "dvc-clone:home/runs/run-1/clone",
    "arn:aws:iam::123456789012:user/pipeline",
]


@pytest.fixture(autouse=True)
def _forgetful() -> Iterator[None]:
    redacting.forget_all()
    yield
    redacting.forget_all()


@pytest.mark.parametrize(("text", "secret", "rule"), PLANTED)
def test_what_is_planted_in_a_free_text_is_found_by_its_rule(text: str, secret: str, rule: str) -> None:
    clean, found = redacting.redact({"error": text})
    assert secret not in clean["error"]
    assert redacting.Redaction("error", rule) in found
    assert redacting.redacted(clean["error"]) == clean["error"], "redacting twice changes nothing more"


@pytest.mark.parametrize("change", [str.upper, str.lower, str.title, lambda text: f"ſ {text}"])
@pytest.mark.parametrize("text", [*(text for text, *_ in PLANTED), *HARMLESS])
def test_a_rule_that_is_passed_over_would_have_found_nothing(text: str, change: Callable[[str], str]) -> None:
    changed = change(text)
    for rule in redacting.RULES:
        assert rule.may_be_in(changed, changed.lower()) or not rule.pattern.search(changed)


@pytest.mark.parametrize("piece", ["x", "ab+/", "a.b-", "_token", "aws ", "eyJ.", "u://"])
def test_a_blob_of_a_megabyte_is_read_in_time_of_its_length(piece: str) -> None:
    """Hours, if a rule looked again from each of its letters on."""
    blob = piece * (1_000_000 // len(piece))
    assert [*redacting.lines([f"{blob} password=correcthorse"])] == [f"{blob} password=[redacted: assignment]"]


@pytest.mark.parametrize("text", HARMLESS)
def test_digests_ids_and_addresses_stay(text: str) -> None:
    assert redacting.redact({"error": text, "name": text}) == ({"error": text, "name": text}, ())


def test_outside_of_free_text_only_unmistakable_forms_are_taken_out() -> None:
    value = {"owner": "jane@example.org", "url": "redis://:hunter2hunter2@h/0"}
    clean, found = redacting.redact(value, at="plan")
    assert clean == {"owner": "jane@example.org", "url": "redis://:[redacted: uri_password]@h/0"}
    assert found == (redacting.Redaction("plan.url", "uri_password"),)


def test_a_known_secret_is_taken_out_of_every_field_name_and_list() -> None:
    redacting.know_environment(
        {"DB_PASSWORD": "correct horse", "URL": "redis://:a%2Fb%2Fc%2Fd%2Fe@h/0", "HOME": "/home/me"}
    )
    clean, found = redacting.redact({"facts": {"correct horse": ["x correct horse y", "a/b/c/d/e", "/home/me"]}})
    assert "correct horse" not in str(clean)
    assert "a/b/c/d/e" not in str(clean)
    assert clean["facts"]["[redacted: known_secret]"][2] == "/home/me"
    assert {one.rule for one in found} == {redacting.KNOWN}


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("AWS_SECRET_ACCESS_KEY", AWS_SECRET, True),
        ("STREAM_TOKEN", "abcdefgh", True),
        ("SQUALL_CREDENTIALS", "/etc/squall/credentials.json", False),
        ("TOKENIZERS_PARALLELISM", "false", False),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE", False),
        ("SQUALL_LEDGER_URL", "postgresql://u:topsecret@db/x", True),
        ("SQUALL_LEDGER_URL", "sqlite:///ledger.db", False),
    ],
)
def test_a_variable_is_secret_by_its_name_or_by_a_password_in_its_address(name: str, value: str, secret: bool) -> None:
    assert bool(redacting.secrets_of(name, value)) is secret


def test_a_secret_variable_stays_a_reference_until_the_last_moment() -> None:
    environment = {"STREAM": "redis://:topsecret@h/0", "PLACE": "here"}
    told = redacting.by_reference({**environment, "OF_A_FILE": "redis://:other-one@h/0"}, environment)
    assert told["STREAM"] == "${STREAM}"
    assert told["PLACE"] == "here"
    assert redacting.reveal(f"{told['STREAM']} {told['PLACE']}", environment) == "redis://:topsecret@h/0 here"
    assert redacting.reveal("${UNKNOWN}", environment) == "${UNKNOWN}"


def test_a_long_free_text_is_cut_and_counted() -> None:
    clean, found = redacting.redact({"text": "x" * 5000, "name": "x" * 5000})
    assert clean["text"].endswith("[1000 more characters left out]")
    assert len(clean["name"]) == 5000
    assert found == (redacting.Redaction("text", redacting.CUT),)


def test_a_log_line_and_its_traceback_are_redacted(caplog: pytest.LogCaptureFixture) -> None:
    before = logging.getLogRecordFactory()
    redacting.guard_logs()
    try:
        redacting.know(["correct horse"])
        with caplog.at_level(logging.INFO):
            try:
                raise ValueError("the password is correct horse")
            except ValueError:
                logging.getLogger("chaos_tasks.some").exception("with %s", "redis://:hunter2hunter2@h/0")
    finally:
        logging.setLogRecordFactory(before)
    assert "correct horse" not in caplog.text
    assert "hunter2" not in caplog.text
    assert "ValueError" in caplog.text


def test_a_log_record_that_somebody_copies_has_no_name_yet() -> None:
    """Airflow's formatters copy every record so, and each line would be an error of the logging instead."""
    before = logging.getLogRecordFactory()
    redacting.guard_logs()
    try:
        copied = logging.makeLogRecord({"name": "chaos_tasks.some", "msg": "said"})
    finally:
        logging.setLogRecordFactory(before)
    assert (copied.name, copied.getMessage()) == ("chaos_tasks.some", "said")


def test_lines_of_a_log_lose_a_whole_private_key() -> None:
    text = f"before\n{KEY}\nafter password=correcthorse\n"
    clean = "".join(redacting.lines(text.splitlines(keepends=True)))
    assert clean == "before\n[redacted: private_key]\nafter password=[redacted: assignment]\n"


@pytest.mark.parametrize("name", ["PWD", "OLDPWD"])
def test_the_folder_that_a_shell_is_in_is_no_secret(name: str) -> None:
    """Else every plan below it would be refused; but a key may begin with a slash."""
    assert secrets_of(name, "/srv/squall") == ()
    assert secrets_of("SHOP_SECRET", "/srv/squall+abc") == ("/srv/squall+abc",)
