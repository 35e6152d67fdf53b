"""The small pieces that all OSCAL documents share: ids that come from what they name, times, properties, metadata."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from pydantic import JsonValue

from chaos_tasks.evidence.body import Body

OSCAL_VERSION = "1.2.1"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:squall:oscal")
PROPS = "https://squall.dev/ns/oscal"
CONTROLS = "nist-800-53"
TOOL_ROLE, OWNER_ROLE = "tool", "system-owner"

Json = dict[str, JsonValue]


@lru_cache(maxsize=1 << 16)
def identifier(*parts: object) -> str:
    """A UUID (version 5) of what it names: the same thing has the same id in every export."""
    return str(uuid.uuid5(NAMESPACE, "\x1f".join(map(str, parts))))


def moment(at: datetime) -> str:
    """RFC 3339 in UTC, to the millisecond; OSCAL refuses times without an offset."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=1 << 12)
def one_line(text: str, otherwise: str = "none") -> str:
    """A property's value may have no line break and no space at its ends."""
    return " ".join(text.split()) or otherwise


def prop(name: str, value: object, *, of: str = "") -> Json:
    """A property in our namespace; numbers travel as decimal strings."""
    found: Json = {"name": name, "ns": PROPS, "value": one_line(value) if isinstance(value, str) else number(value)}
    if of:
        found["class"] = of
    return found


def number(value: object) -> str:
    """Integers and floats as decimals that come back exactly."""
    return repr(value) if isinstance(value, float) else str(value)


def props(values: Mapping[str, object]) -> list[JsonValue]:
    """Properties of what is known; None and empty texts are left out."""
    return [prop(name, value) for name, value in values.items() if value is not None and value != ""]


def without_empty(document: Json) -> Json:
    """OSCAL refuses empty lists and objects (but for `include-all`): leave them out, at every depth."""
    found: Json = {}
    for key, value in document.items():
        # Most are texts and properties, which `prop` leaves no part of empty, and there are a hundred thousand.
        kept = value if type(value) is str or key == "props" else _pruned(value)
        if kept or key == "include-all" or kept not in ([], {}, None):
            found[key] = kept
    return found


def _pruned(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return without_empty(value)
    if isinstance(value, list):
        return [_pruned(one) for one in value]
    return value


def metadata(title: str, body: Body) -> Json:
    """Title, time, version and the parties: the tool, and each owner by name."""
    owners = sorted({one.owner for one in body.tested} | {one.owner for one in body.unfinished})
    parties: list[JsonValue] = [
        {"uuid": owner_party(name), "type": "organization", "name": one_line(name, "unknown")} for name in owners
    ]
    return {
        "title": one_line(title),
        "last-modified": moment(body.issued_at),
        "version": moment(body.issued_at),
        "oscal-version": OSCAL_VERSION,
        "props": [prop("squall-version", body.squall_version), prop("controls-reviewed", body.controls_reviewed)],
        "roles": [{"id": OWNER_ROLE, "title": "Owner of the experiment and its target"}] if parties else [],
        "parties": parties,
        "responsible-parties": [{"role-id": OWNER_ROLE, "party-uuids": [owner_party(name) for name in owners]}]
        if parties
        else [],
    }


def owner_party(name: str) -> str:
    """Id of the party that an owner is."""
    return identifier("party", name)


def tool(body: Body) -> str:
    """Id of the component that Squall itself is."""
    return identifier("tool", body.squall_version)


def tool_component(body: Body) -> Json:
    """Squall as a component."""
    return {
        "uuid": tool(body),
        "type": "software",
        "title": f"Squall {body.squall_version}",
        "description": "Injects faults, puts them back, and judges what the system did.",
        "props": [{"name": "version", "value": one_line(body.squall_version)}],
        "status": {"state": "operational"},
    }


def target_component(name: str) -> Json:
    """A target as a component."""
    return {
        "uuid": identifier("target", name),
        "type": "system",
        "title": name,
        "description": f"The pipeline {name}, as its owners describe it in its target file.",
        "status": {"state": "operational"},
    }


def subject(name: str) -> Json:
    """A reference to a target."""
    return {"subject-uuid": identifier("target", name), "type": "component", "title": name}


def reviewed(control_ids: Sequence[str]) -> Json:
    """The controls that are spoken to, or all of the plan where there are none."""
    ids = sorted(set(control_ids))
    selection: Json = {"include-controls": [{"control-id": one} for one in ids]} if ids else {"include-all": {}}
    return {"control-selections": [selection]}


def control_ids(body: Body) -> list[str]:
    """NIST SP 800-53 controls of all runs: what OSCAL's ids are of; other frameworks' are properties."""
    return sorted({one.control_id for run in body.tested for one in run.controls if one.framework == CONTROLS})
