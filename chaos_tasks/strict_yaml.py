"""YAML as people mean it: no duplicate keys, booleans only true/false, and the line of every field.

PyYAML keeps the last of duplicate keys silently and reads `on: no` as {True: False}; both are errors here.  It reads
12:30 as 750 and 010 as 8; here both stay text, and numbers are written as in YAML 1.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from chaos_tasks import reading

try:
    from yaml import CSafeLoader as _Base  # the DAG processor reads every file over and over: six times faster
except ImportError:
    from yaml import SafeLoader as _Base  # type: ignore[assignment]

from chaos_tasks.errors import InvalidFile, Problem

Location = tuple[str | int, ...]

MAX_VALUES = 50_000
"""More than any hand-written file has; a few lines of aliases to aliases would otherwise fill the memory."""

MAX_DEPTH = 100
"""libyaml composes by recursion in C: a file of a hundred thousand brackets would end the process, not raise."""

_CANNOT_READ = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError)
"""What PyYAML raises for an explicit tag that does not fit its text, e.g. `!!bool maybe`."""


class _Loader(_Base):
    """Safe loader whose plain booleans are only true and false, and which knows no timestamps, merges or base 60."""


_REPLACED = (":bool", ":float", ":int", ":merge", ":timestamp")
_INT = r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$"
_FLOAT = r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan)$"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(_REPLACED)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _pattern, _first in (
    ("bool", r"^(?:true|false)$", "tf"),
    ("int", _INT, "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(_pattern), list(_first))


@dataclass
class Document:
    """A parsed document and where each field stands."""

    path: Path
    content: dict[str, Any]
    lines: dict[Location, int] = field(default_factory=dict)

    def line(self, location: Location) -> int:
        """Line of a field (1-based); of its nearest parent when the field itself is absent."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


def load(path: Path, text: str | None = None) -> Document:
    """Parse one mapping; raises InvalidFile with line, cause and remedy."""
    source = _read(path) if text is None else text
    try:
        return _parse(path, source)
    except yaml.YAMLError as error:
        raise InvalidFile(path, (_syntax_problem(error),)) from None
    except UnicodeEncodeError:
        raise InvalidFile(path, (Problem(1, "", "the file is no UTF-8 text", "save it as UTF-8"),)) from None
    except RecursionError:
        cause = "the values are nested too deeply, or an alias contains itself"
        raise InvalidFile(path, (Problem(1, "", cause, "write the values out"),)) from None


def _parse(path: Path, source: str) -> Document:
    _require_shallow(source)
    root = yaml.compose(source, Loader=_Loader)
    if not isinstance(root, yaml.MappingNode):
        raise InvalidFile(path, (Problem(1, "", "the file is empty or no mapping", "start with `version: 1`"),))
    document = Document(path, {})
    problems: list[Problem] = []
    content = _build(root, (), document.lines, problems)
    if problems:
        raise InvalidFile(path, tuple(problems))
    document.content = content
    return document


def _require_shallow(source: str) -> None:
    """Raises RecursionError for what must not be composed; looks at events only where depth is possible at all."""
    if sum(source.count(opening) for opening in ("[", "{", "- ", "? ", "-\t")) <= MAX_DEPTH and len(source) < 1_000_000:
        return
    depth = 0
    for event in yaml.parse(source, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise RecursionError


def _read(path: Path) -> str:
    try:
        return reading.text(path)
    except FileNotFoundError:
        raise InvalidFile(path, (Problem(1, "", "no such file", "check the path"),)) from None
    except IsADirectoryError:
        raise InvalidFile(path, (Problem(1, "", "it is a folder", "name a file in it"),)) from None
    except UnicodeDecodeError:
        raise InvalidFile(path, (Problem(1, "", "the file is no UTF-8 text", "save it as UTF-8"),)) from None
    except OSError as error:
        raise InvalidFile(
            path, (Problem(1, "", f"cannot be read: {error.strerror}", "name another file, or mend its permissions"),)
        ) from None


def _syntax_problem(error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    cause = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).partition("\n")[0]
    return Problem(
        (mark.line + 1) if mark else 1, "", f"YAML syntax: {cause}", "mend the indentation or the quotes there"
    )


def _build(node: yaml.Node, at: Location, lines: dict[Location, int], problems: list[Problem]) -> Any:
    lines.setdefault(at, node.start_mark.line + 1)
    if len(lines) > MAX_VALUES:
        raise yaml.YAMLError(f"more than {MAX_VALUES} values")
    if isinstance(node, yaml.MappingNode):
        return dict(_pairs(node, at, lines, problems))
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*at, index), lines, problems) for index, item in enumerate(node.value)]
    return _scalar(node, at, problems)


def _pairs(
    node: yaml.MappingNode, at: Location, lines: dict[Location, int], problems: list[Problem]
) -> Iterator[tuple[str, Any]]:
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = key_node.value
        if not isinstance(key, str):
            problems.append(Problem(line, _dotted(at), "a key must be plain text", "quote the key"))
            continue
        if key in seen:
            remedy = f"keep one; the first is on line {seen[key]}"
            problems.append(Problem(line, _dotted((*at, key)), "the key stands twice", remedy))
            continue
        seen[key] = line
        lines[(*at, key)] = line
        yield key, _build(value_node, (*at, key), lines, problems)


_MEANS_WHAT = frozenset({"yes", "no", "on", "off", "true", "false"})


def _scalar(node: yaml.Node, at: Location, problems: list[Problem]) -> Any:
    plain = isinstance(node, yaml.ScalarNode) and not node.style
    if plain and node.tag.endswith(":str") and node.value.lower() in _MEANS_WHAT:
        cause = f"{node.value} may be a text or a boolean"
        problems.append(Problem(node.start_mark.line + 1, _dotted(at), cause, "write true or false, or quote the text"))
        return None
    loader = _Loader("")
    try:
        return loader.construct_object(node)
    except _CANNOT_READ as error:
        cause = f"value cannot be read: {getattr(error, 'problem', None) or error}"
        problems.append(Problem(node.start_mark.line + 1, _dotted(at), cause, "quote it if it is meant as text"))
        return None
    finally:
        loader.dispose()


def _dotted(location: Location) -> str:
    return ".".join(str(part) for part in location)


def expand(document: Document, variables: Mapping[str, str], *, keep_unset: bool = False) -> None:
    """Replace ${NAME} in every text by a variable; raises InvalidFile naming the field and the missing variable.

    With ``keep_unset`` a missing variable stays as it is written: enough to check the shape of a file.
    """
    problems: list[Problem] = []
    content = _expand(document.content, (), document, variables, problems)
    if problems and not keep_unset:
        raise InvalidFile(document.path, tuple(problems))
    document.content = content


def _expand(value: Any, at: Location, document: Document, variables: Mapping[str, str], problems: list[Problem]) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, (*at, key), document, variables, problems) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, (*at, index), document, variables, problems) for index, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def replace(match: re.Match[str]) -> str:
        if match[1] in variables:
            return variables[match[1]]
        problems.append(
            Problem(
                document.line(at),
                _dotted(at),
                f"${{{match[1]}}} is not set",
                f"set the environment variable {match[1]}, or start the embedded servers with `squall up`",
            )
        )
        return match[0]

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", replace, value)
