"""Policy documents as sets of grants: what one allows beyond what is needed, and what it lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from chaos_tasks.model.base import Value
from chaos_tasks.targets.aws import Document, statements


class Grant(Value):
    """An action on a resource, either of them with wildcards as IAM writes them."""

    action: str
    resource: str
    unbounded: str = ""
    """Why nobody can say what it covers; empty where that is plain."""

    def __str__(self) -> str:
        said = f"{self.action} on {self.resource}"
        return f"{said} ({self.unbounded})" if self.unbounded else said


def grants_of(document: Document) -> Iterator[Grant]:
    """What the document allows.  Denials and conditions only narrow: leaving them out never hides an excess."""
    for statement in statements(document):
        if str(statement.get("Effect")) != "Allow":
            continue
        outside = [name for name in ("NotAction", "NotResource") if name in statement]
        reason = f"{' and '.join(outside)}: everything but what is listed" if outside else ""
        for action in _listed(statement.get("Action", statement.get("NotAction"))):
            for resource in _listed(statement.get("Resource", statement.get("NotResource", "*"))):
                yield Grant(action=action, resource=resource, unbounded=reason)


def excess(granted: Iterable[Grant], needed: Iterable[Grant]) -> tuple[Grant, ...]:
    """Grants that no need covers whole, in the order in which they stand."""
    needs = tuple(needed)
    return tuple(one for one in granted if one.unbounded or not any(_covers(need, one) for need in needs))


def missing(granted: Iterable[Grant], needed: Iterable[Grant]) -> tuple[Grant, ...]:
    """Needs that no grant meets; one for a part of the resources counts, since which part is used is not known."""
    held = tuple(granted)
    return tuple(need for need in needed if not any(_meets(one, need) for one in held))


def document_of(needed: Iterable[Grant]) -> dict[str, Any]:
    """The smallest document that grants these: one statement per resource."""
    by_resource: dict[str, list[str]] = {}
    for need in sorted(set(needed), key=lambda one: (one.resource, one.action)):
        by_resource.setdefault(need.resource, []).append(need.action)
    made = [{"Effect": "Allow", "Action": actions, "Resource": where} for where, actions in by_resource.items()]
    return {"Version": "2012-10-17", "Statement": made}


def _covers(need: Grant, grant: Grant) -> bool:
    """Whether all that the grant may match is needed; its wildcards are only letters to the need's."""
    return _matches(need.action.lower(), grant.action.lower()) and _matches(need.resource, grant.resource)


def _meets(grant: Grant, need: Grant) -> bool:
    where = _matches(grant.resource, need.resource) or _matches(need.resource, grant.resource)
    return not grant.unbounded and _matches(grant.action.lower(), need.action.lower()) and where


def _matches(pattern: str, text: str) -> bool:
    parts = (".*" if sign == "*" else "." if sign == "?" else re.escape(sign) for sign in pattern)
    return re.fullmatch("".join(parts), text, flags=re.DOTALL) is not None


def _listed(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [] if value is None else [str(value)]
