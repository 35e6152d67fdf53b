"""The checks that schema and validators of OSCAL leave out: references, ids, controls, methods, states.

Both the published JSON Schema and compliance-trestle accept a result that refers to an observation which is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from chaos_tasks.evidence.oscal.words import CONTROLS, OSCAL_VERSION, Json

UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[45][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
OFFSET = re.compile(r"(Z|[+-]\d\d:\d\d)$")
TOKEN = re.compile(r"^(\p{L}|_)".replace(r"\p{L}", r"[^\W\d_]") + r"[\w.-]*$")
METHODS = frozenset({"EXAMINE", "INTERVIEW", "TEST", "UNKNOWN"})
STATES = frozenset({"satisfied", "not-satisfied"})
TIMES = frozenset({"last-modified", "start", "end", "collected", "expires", "deadline"})


def problems(document: Json, known_controls: Mapping[str, object]) -> list[str]:
    """What is wrong with one document, in words; empty when nothing is.

    ``known_controls`` are the ids of the catalogue of NIST SP 800-53 that the table of controls pins.
    """
    nodes = list(_walk(document, ""))
    defined: dict[str, str] = {}
    found: list[str] = []
    for path, key, value in nodes:
        if key == "uuid" and isinstance(value, str):
            if value in defined:
                found.append(f"{path}: {value} is defined twice, also at {defined[value]}")
            defined[value] = path
            if not UUID.match(value):
                found.append(f"{path}: {value} is no UUID of version 4 or 5")
    for path, key, value in nodes:
        found += _problems_of(path, key, value, defined, known_controls)
    return found


def _problems_of(
    path: str, key: str, value: JsonValue, defined: Mapping[str, str], known_controls: Mapping[str, object]
) -> Iterator[str]:
    if isinstance(value, str):
        yield from _of_text(path, key, value, defined, known_controls)
    elif key == "methods" and isinstance(value, list) and not METHODS.issuperset(map(str, value)):
        yield f"{path}: {value} are no methods of OSCAL"
    elif key == "party-uuids" and isinstance(value, list):
        yield from (f"{path}: party {one} is not defined" for one in value if one not in defined)
    elif key == "findings" and isinstance(value, list):
        for index, one in enumerate(value):
            if isinstance(one, dict) and not one.get("related-observations"):
                yield f"{path}[{index}]: a finding without an observation"
    elif value in ([], {}) and key != "include-all":
        yield f"{path}: empty"


def _of_text(
    path: str, key: str, value: str, defined: Mapping[str, str], known_controls: Mapping[str, object]
) -> Iterator[str]:
    if key.endswith("-uuid") and value not in defined:
        yield f"{path}: {value} is not defined in this document"
    elif key == "href" and value.startswith("#") and value[1:] not in defined:
        yield f"{path}: {value} leads nowhere"
    elif key == "control-id" and value not in known_controls:
        yield f"{path}: {value} is not in the catalogue {CONTROLS}"
    elif key == "target-id" and value.removesuffix("_obj") not in known_controls:
        yield f"{path}: objective {value} is not in the catalogue {CONTROLS}"
    elif key == "state" and path.endswith("target.status.state") and value not in STATES:
        yield f"{path}: {value} is no state of an objective"
    elif key == "oscal-version" and value != OSCAL_VERSION:
        yield f"{path}: {value}, but {OSCAL_VERSION} was tested"
    elif key in TIMES and not OFFSET.search(value):
        yield f"{path}: {value} has no offset"
    elif key == "value" and (value != value.strip() or "\n" in value or not value):
        yield f"{path}: a property's value has a line break, a space at its end, or nothing in it"
    elif key == "name" and ".props[" in path and not TOKEN.match(value):
        yield f"{path}: {value!r} is no name of a property"


def _walk(node: JsonValue, path: str) -> Iterator[tuple[str, str, JsonValue]]:
    """Every member of every object, with its path and key."""
    if isinstance(node, dict):
        for key, value in node.items():
            here = f"{path}.{key}" if path else key
            yield here, key, value
            yield from _walk(value, here)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _walk(value, f"{path}[{index}]")
