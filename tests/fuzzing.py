"""Nasty input for everything that people and disks can garble, and what must hold whatever it was.

Examples are few in an ordinary run; `--hypothesis-profile deep` multiplies them by fifty.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.cli.main import run

DOCUMENTED = frozenset(int(code) for code in ExitCode)

BOMBS = (
    b"a: &a [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (98 + n, 98 + n, b", ".join([b"*%c" % (97 + n)] * 9)) for n in range(8)),
    b"a: &a [*a]\n",
    b"a: &a {b: *a}\n",
    b"x: " + b"[" * 100_000,
    b"{" * 100_000,
    b"? " * 50_000,
    b"- " * 50_000,
    b"x: !!python/object/apply:os.system ['true']\n",
    b"x: !!binary not-base-64\n",
    b"x: !!timestamp nonsense\n",
    b"--- a\n--- b\n",
    b"%YAML 9.9\n---\nx: 1\n",
    b"x: " + b"9" * 10_000 + b"\n",
    b"x: 0x" + b"f" * 10_000 + b"\n",
    b"\xef\xbb\xbfversion: 1\n",
    "version: 1\n".encode("utf-16"),
    b"\x00" * 100,
    b"\xff\xfe\xfd",
    b'x: "\\ud800"\n',
    b'x: "\\0"\n',
    b"",
    b"null",
    b"[]",
    b"x" * 1_000_000,
)

NASTY: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**53,
    2**63,
    10**400,
    -(10**18),
    0.0,
    -0.0,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
    "",
    " ",
    "\u202ehsals",
    "é" * 300,
    "x" * 20_000,
    "../../../../etc/passwd",
    "/dev/full",
    "a\nb",
    "{0.__class__}",
    "{seed!r:>{seed}}",
    "${HOME}",
    "${",
    "%s%n",
    "1e999",
    "99999999999999d",
    "P1Y",
    "-5s",
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"type": "nonsense"},
)


def budget(examples: int) -> settings:
    """So many examples, or fifty times as many under the profile `deep`."""
    scaled = max(1, examples * settings().max_examples // 100)
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=scaled, suppress_health_check=checks, deadline=None)


@st.composite
def damaged_bytes(draw: st.DrawFn, whole: bytes) -> bytes:
    """A bit flipped, the end cut off, a piece doubled, a line repeated, something put in between."""
    how = draw(st.sampled_from(["flip", "cut", "double", "line", "insert"]))
    at = draw(st.integers(0, len(whole) - 1))
    if how == "flip":
        return whole[:at] + bytes([whole[at] ^ (1 << draw(st.integers(0, 7)))]) + whole[at + 1 :]
    if how == "cut":
        return whole[:at]
    if how == "double":
        return whole[:at] + whole[at // 2 :]
    if how == "line":
        lines = whole.splitlines(keepends=True)
        line = draw(st.sampled_from(lines))
        where = draw(st.integers(0, len(lines)))
        return b"".join([*lines[:where], line, *lines[where:]])
    put = draw(
        st.sampled_from([b"&a ", b"*a ", b"!!int ", b"!!python/none ", b"\t", b"\x00", b"%", b"'", b"[{", b": "])
    )
    return whole[:at] + put + whole[at:]


@st.composite
def changed_content(draw: st.DrawFn, content: Any) -> Any:
    """One or two values, keys or branches of a document are something else, gone, doubled or deeply nested."""
    changed = json.loads(json.dumps(content))
    for _ in range(draw(st.integers(1, 2))):
        places = list(_places(changed))
        if not places:
            return changed
        holder, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(["replace", "replace", "delete", "rename", "wrap", "deep", "number"]))
        if how == "delete" and isinstance(holder, dict):
            del holder[key]
        elif how == "rename" and isinstance(holder, dict):
            holder[draw(st.sampled_from(["", "x" * 500, "naem", "type", "version", "é"]))] = holder.pop(key)
        elif how == "wrap":
            holder[key] = draw(st.sampled_from([[holder[key]], {"x": holder[key]}, [holder[key]] * 200]))
        elif how == "deep":
            nested: Any = "x"
            for _ in range(draw(st.sampled_from([50, 99, 101, 400]))):
                nested = [nested]
            holder[key] = nested
        elif how == "number":
            holder[key] = draw(st.integers() | st.floats())
        else:
            holder[key] = draw(st.sampled_from(NASTY) | st.text(max_size=30))
    return changed


def damaged_yaml(text: str) -> st.SearchStrategy[bytes]:
    """A valid YAML file gone wrong."""
    content = yaml.safe_load(text)
    return (
        damaged_bytes(text.encode())
        | changed_content(content).map(lambda one: yaml.safe_dump(one, allow_unicode=True).encode("utf-8", "replace"))
        | st.sampled_from(BOMBS).map(lambda bomb: bomb)
        | st.sampled_from(BOMBS).map(lambda bomb: text.encode() + b"\n" + bomb)
    )


def _places(value: Any) -> list[tuple[Any, Any]]:
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    found = [(value, key) for key in keys]
    for key in keys:
        if isinstance(value[key], dict | list):
            found += _places(value[key])
    return found


@dataclass(frozen=True)
class Answer:
    """What a command said in this process."""

    code: int
    text: str


def ask(arguments: Sequence[str]) -> Answer:
    """Run `squall` here, as its entry point does, with its output caught."""
    with CliRunner().isolation() as (out, err, _):
        code = run(arguments)
        text = out.getvalue().decode(errors="replace") + err.getvalue().decode(errors="replace")
    return Answer(int(code), text)


def assert_answered(answer: Answer) -> None:
    """One of the documented exit codes, and a message rather than a traceback."""
    assert answer.code in DOCUMENTED, answer.text
    assert "Traceback" not in answer.text, answer.text


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a place, but for what Python and Git cache there by themselves."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
