"""From pydantic's errors to a line, a cause and a remedy in the user's own file."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from chaos_tasks.errors import Problem
from chaos_tasks.strict_yaml import Document, Location


def problems_of(error: ValidationError, document: Document, model: type[BaseModel], at: Location = ()) -> list[Problem]:
    """One problem per wrong field, in the order of the file."""
    found = [_problem(detail, document, model, at) for detail in error.errors(include_url=False)]
    return sorted(set(found), key=lambda problem: (problem.line, problem.field))


def _problem(detail: ErrorDetails, document: Document, model: type[BaseModel], at: Location) -> Problem:
    names_a_field = detail["type"] in ("missing", "extra_forbidden")
    location = _in_file((*at, *detail["loc"]), document.content, keep_last=names_a_field)
    if detail["type"] == "refers":
        said = detail["ctx"]
        field = tuple(str(said["field"]).split("."))
        return Problem(document.line(field), ".".join(field), str(said["cause"]), str(said["remedy"]))
    cause, remedy = _explain(detail, model, location[len(at) :])
    return Problem(document.line(location), ".".join(str(part) for part in location), cause, remedy)


def _in_file(location: Location, content: Any, *, keep_last: bool) -> Location:
    """Drop the tags that pydantic puts into the location of a discriminated union; ``keep_last``: it is a field."""
    kept: list[str | int] = []
    here = content
    for index, part in enumerate(location):
        last = keep_last and index == len(location) - 1
        if isinstance(here, dict) and isinstance(part, str) and (part in here or last):
            kept.append(part)
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            kept.append(part)
            here = here[part]
        elif isinstance(here, dict) and part not in here:
            continue  # a union's tag
        else:
            break
    return tuple(kept)


def _explain(detail: ErrorDetails, model: type[BaseModel], location: Location) -> tuple[str, str]:
    kind, name = detail["type"], str(detail["loc"][-1]) if detail["loc"] else ""
    if kind == "extra_forbidden":
        known = sorted(_fields_at(model, location[:-1]))
        near = get_close_matches(name, known, n=1, cutoff=0.6)
        hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}" if known else "remove it"
        return f"unknown field `{name}`", hint
    if kind == "missing":
        return f"`{name}` is missing", f"add `{name}:`"
    if kind == "union_tag_invalid":
        context = detail.get("ctx", {})
        return f"{context.get('tag')!r} is not one of {context.get('expected_tags')}", "choose one of them"
    if kind == "union_tag_not_found":
        tag = str(detail.get("ctx", {}).get("discriminator", "type")).strip("'")
        return f"`{tag}` is missing", f"add `{tag}:` to say which sort this is"
    if kind == "string_pattern_mismatch" and "[a-z0-9]+(-" in str(detail.get("ctx", {}).get("pattern")):
        return f"{detail.get('input')!r} is no name", "use lower-case words joined by hyphens, e.g. label-flip"
    message = detail["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:] + _was(detail), _meaning(model, location)


def _meaning(model: type[BaseModel], location: Location) -> str:
    """What the field is for, by its own description: the best hint there is for a value of the wrong sort."""
    for one in _models_at(model, location[:-1]):
        field = one.model_fields.get(str(location[-1])) if location else None
        if field is not None and field.description:
            return f"`{location[-1]}`: {field.description}"
    return f"`{location[-1]}`: see `squall schema`" if location else ""


def _was(detail: ErrorDetails) -> str:
    shown = detail.get("input")
    return f" (it is {shown!r})" if isinstance(shown, str | int | float | bool) and len(repr(shown)) < 60 else ""


def _fields_at(model: type[BaseModel], location: Location) -> Iterable[str]:
    """Names of the fields of the models that can stand at a location."""
    return {name for one in _models_at(model, location) for name in one.model_fields}


def _models_at(model: type[BaseModel], location: Location) -> list[type[BaseModel]]:
    models: list[type[BaseModel]] = [model]
    for part in location:
        if isinstance(part, int):
            continue
        models = [
            inner
            for one in models
            if part in one.model_fields
            for inner in _models_in(one.model_fields[part].annotation)
        ]
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
