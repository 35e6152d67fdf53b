"""Keeps secrets and personal data out of what leaves a process: records, logs, notices, MLflow, reports.

Three lines of defence, in this order.  Payloads are closed values, in which free text stands in the fields of ``FREE``
only.  Secrets that this process knows (``know``) are taken out of every text, whatever the field.  What looks like a
secret by its form is taken out by ``RULES``: all of them in free text, the unmistakable ones in every text.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from chaos_tasks import connections

FREE = frozenset({"detail", "error", "reason", "remedy", "sentence", "summary", "text", "why"})
"""Names of the fields of payloads and notices that hold free text; everywhere else stand names, ids and digests."""

LONGEST_FREE = 4000
"""Characters of a free text; what comes after them is counted and left out."""

SHORTEST_SECRET = 8
"""Shorter values are not known as secrets: they would be found in the middle of ordinary words."""

KNOWN = "known_secret"
FOLDERS = frozenset({"PWD", "OLDPWD"})
"""Every shell sets them: names that look like a password's, and values that are in every path."""
CUT = "too_long"

_SECRET_NAME = re.compile(
    r"(?i)(secret|passw(or)?d|passphrase|(^|_)pwd$|(^|_)token($|_)|credential|api_?key|private_?key|access_?key)"
)
_NO_SECRET_NAME = re.compile(r"(?i)(_file|_path|_dir|_id|_name|_uri_template)$|^SQUALL_CREDENTIALS$|_ACCESS_KEY_ID$")
_REFERENCE = re.compile(r"\$\{(airflow:[A-Za-z0-9_.-]+|[A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Rule:
    """A form that secrets or personal data have; ``keep`` is the group that stays.

    No pattern may take longer than its text is long: what is read may be a blob of megabytes without a space.
    """

    name: str
    pattern: re.Pattern[str]
    needs: tuple[str, ...]
    """One of these, in lower case, is in every text that has the form: most texts need no further look."""
    strict: bool = False
    """Unmistakable: looked for in every text, not only in free text."""

    def may_be_in(self, text: str, lower: str) -> bool:
        """Whether to look closer.  Beyond ASCII always: other letters count as ours when case does not matter."""
        return not text.isascii() or any(each in lower for each in self.needs)


RULES = (
    Rule(
        "private_key",
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL),
        ("-----begin ",),
        True,
    ),
    Rule("jwt", re.compile(r"(?P<keep>)\beyJ[\w-]{8,8192}\.[\w-]{8,}\.[\w-]{5,}"), ("eyj",), True),
    Rule("bearer", re.compile(r"(?i)(?P<keep>\b(?:bearer|basic)\s+)[a-z0-9._~+/=-]{16,}"), ("bearer", "basic"), True),
    Rule(
        "signed_url",
        re.compile(
            r"(?i)(?P<keep>[?&](?:x-(?:amz|goog)-(?:signature|security-token|credential)|sig|signature|awsaccesskeyid)=)"
            r"(?!\[redacted)[^&\s\"'<>]+"
        ),
        ("signature=", "security-token=", "credential=", "sig=", "awsaccesskeyid="),
        True,
    ),
    Rule(
        "uri_password",
        re.compile(r"(?i)(?P<keep>\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"']*:)(?!\$\{)[^\s/\"']+(?=@)"),
        ("://",),
        True,
    ),
    Rule(
        "github_token",
        re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})"),
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        True,
    ),
    Rule(
        "slack",
        re.compile(r"\bxox[abeprs]-[A-Za-z0-9-]{10,}|(?P<keep>hooks\.slack\.com/services/)[\w/-]+"),
        ("xox", "hooks.slack.com"),
        True,
    ),
    Rule("google_key", re.compile(r"\bAIza[\w-]{35}\b"), ("aiza",), True),
    Rule("aws_key_id", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), ("akia", "asia")),
    Rule(
        "aws_secret",
        re.compile(r"(?i)(?P<keep>aws.{0,20}secret.{0,20}?[\"'=: ]+)[a-z0-9/+]{40}(?![a-z0-9/+])"),
        ("aws",),
    ),
    Rule(
        "assignment",
        re.compile(
            r"(?i)(?P<keep>(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key)[\"']?\s*[=:]\s*[\"']?)"
            r"(?![$\[{])[^\s\"',;&)}\]]{6,}"
        ),
        ("passw", "pwd", "passphrase", "secret", "token", "api"),
    ),
    Rule(
        "email",
        # An address has at most 254 characters.
        re.compile(r"(?i)\b(?!git@)[a-z0-9][a-z0-9._%+-]{0,254}@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}\b"),
        ("@",),
    ),
)

_known: dict[str, None] = {}
_pattern: re.Pattern[str] | None = None


@dataclass(frozen=True)
class Redaction:
    """What was taken out: where and by which rule, never the text."""

    path: str
    rule: str


# --- secrets that are known --------------------------------------------------------------------------------------


def know(values: Iterable[str]) -> None:
    """From now on these are secrets to this process."""
    global _pattern
    for value in values:
        for form in {value, unquote(value), value.replace("\n", "\\n")}:
            if len(form) >= SHORTEST_SECRET and not form.isspace():
                _known[form] = None
    longest_first = sorted(_known, key=len, reverse=True)
    _pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def know_environment(environment: Mapping[str, str]) -> None:
    """Know the values of variables that look secret, and the passwords of connection strings."""
    know(secret for name, value in environment.items() for secret in secrets_of(name, value))


def known() -> tuple[str, ...]:
    """All secrets that this process knows: for whoever masks them elsewhere, as Airflow does in its logs."""
    return tuple(_known)


def forget_all() -> None:
    """Know nothing any more: for tests."""
    global _pattern
    _known.clear()
    _pattern = None


def secrets_of(name: str, value: str) -> tuple[str, ...]:
    """What of a variable is secret: all of it by its name, else the password of a URL."""
    if name in FOLDERS:
        return ()
    if name.startswith(connections.PREFIX):
        return connections.secrets_of(value) if value else ()
    if value and _SECRET_NAME.search(name) and not _NO_SECRET_NAME.search(name) and "://" not in value:
        return (value,)
    return passwords_of(value)


def passwords_of(url: str) -> tuple[str, ...]:
    """The password in a connection string, if there is one."""
    try:
        password = urlsplit(url).password if "://" in url and "@" in url else None
    except ValueError:
        return ()
    return (password,) if password else ()


# --- references ---------------------------------------------------------------------------------------------------


def by_reference(variables: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Variables for a target file: those that hold a secret stay ``${NAME}``, to be filled in at the last moment.

    So a plan, a handle and a lock's key can go on record whole.
    """
    return {
        name: f"${{{name}}}" if environment.get(name) == value and secrets_of(name, value) else value
        for name, value in variables.items()
    }


def reveal(text: str, environment: Mapping[str, str]) -> str:
    """The text with references to secrets filled in; what the environment lacks stays as it is, and will not work.

    ``${NAME}`` is a variable, ``${airflow:ID}`` a connection; raises SetupError for one that cannot be read.
    """
    return _REFERENCE.sub(lambda found: _referred(found, environment), text) if "${" in text else text


def _referred(found: re.Match[str], environment: Mapping[str, str]) -> str:
    """A variable, or a connection of Airflow as an address, whose secrets are known from now on."""
    named = connections.NAMED.fullmatch(found[1])
    if named is None:
        return environment.get(found[1], found[0])
    if not environment.get(connections.variable_of(named[1])):
        return found[0]
    connection = connections.connection(named[1], environment)
    know([*connection.secrets, *passwords_of(connection.url)])
    return connection.url


# --- redacting ----------------------------------------------------------------------------------------------------


def redacted(text: str, *, free: bool = True) -> str:
    """A text fit to leave the process."""
    return _clean(text, free)[0]


def redact(value: Any, *, at: str = "", free: bool = False) -> tuple[Any, tuple[Redaction, ...]]:
    """A JSON-like value fit to leave the process, and what was taken out of it."""
    found: list[Redaction] = []
    clean = _walk(value, at, free, FREE, found)
    return clean, tuple(found)


def secrets_in(value: Any) -> tuple[Redaction, ...]:
    """Where a value that must go on record whole, such as a plan, holds a secret: it can only be refused."""
    found: list[Redaction] = []
    _walk(value, "", False, frozenset(), found)
    return tuple(found)


def _walk(value: Any, at: str, free: bool, names: frozenset[str], found: list[Redaction]) -> Any:
    if isinstance(value, str):
        clean, rules = _clean(value, free)
        found += [Redaction(at, rule) for rule in rules]
        return clean
    if isinstance(value, Mapping):
        named = ((redacted(str(key), free=False), key, item) for key, item in value.items())
        return {
            name: _walk(item, f"{at}.{name}" if at else name, key in names, names, found) for name, key, item in named
        }
    if isinstance(value, list | tuple):
        return [_walk(item, f"{at}[{index}]", free, names, found) for index, item in enumerate(value)]
    return value


def _clean(text: str, free: bool, *, cut: bool = True) -> tuple[str, list[str]]:
    rules: list[str] = []
    if _pattern is not None:
        text, count = _pattern.subn(f"[redacted: {KNOWN}]", text)
        rules += [KNOWN] if count else []
    if len(text) >= SHORTEST_SECRET:
        lower = text.lower()  # what a rule puts in its place makes no other form
        for rule in RULES:
            if (free or rule.strict) and rule.may_be_in(text, lower):
                text, count = rule.pattern.subn(_mark(rule), text)
                rules += [rule.name] if count else []
    if free and cut and len(text) > LONGEST_FREE:
        text = f"{text[:LONGEST_FREE]} [{len(text) - LONGEST_FREE} more characters left out]"
        rules.append(CUT)
    return text, rules


def _mark(rule: Rule) -> Any:
    def mark(match: re.Match[str]) -> str:
        kept = match.groupdict().get("keep") or ""
        return f"{kept}[redacted: {rule.name}]"

    return mark


# --- logs ---------------------------------------------------------------------------------------------------------


def guard_logs() -> None:
    """Every log record made from now on is redacted, its traceback too, whoever formats it."""
    inner = logging.getLogRecordFactory()
    if getattr(inner, "redacts", False):
        return

    def make(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = inner(*args, **kwargs)
        # `logging.makeLogRecord`, by which others copy a record, makes one without a name and fills it in later.
        if not (record.name or "").startswith(("chaos_tasks", "squall")):
            return record
        try:
            record.msg, record.args = redacted(record.getMessage()), None
        except (TypeError, ValueError):  # the message does not fit its arguments: whoever formats it will say so
            return record
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = redacted("".join(traceback.format_exception(*record.exc_info)).rstrip())
        return record

    make.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make)


def redact_file(path: Path) -> None:
    """Redact a log in place; one without anything to take out keeps its bytes, and none at all is no error."""
    clean = path.with_name(f".{path.name}.redacted")
    with suppress(FileNotFoundError):
        with (
            path.open(encoding="utf-8", errors="surrogateescape", newline="") as before,
            clean.open("w", encoding="utf-8", errors="surrogateescape", newline="") as after,
        ):
            changed = False
            for line, kept in _pairs(before):
                changed |= line != kept
                after.write(kept)
        clean.replace(path) if changed else clean.unlink()


def lines(stream: Iterable[str]) -> Iterator[str]:
    """Lines of a log, each redacted; a private key goes even though it has many."""
    return (kept for _, kept in _pairs(stream) if kept)


def _pairs(stream: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each line, and what is kept of it."""
    inside = False
    for line in stream:
        begins = "PRIVATE KEY-----" in line and "-----BEGIN" in line
        if inside or begins:
            inside = "-----END" not in line
            yield line, "[redacted: private_key]\n" if begins else ""
            continue
        body = line.rstrip("\r\n")
        yield line, _clean(body, True, cut=False)[0] + line[len(body) :]
