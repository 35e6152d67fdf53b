"""The reviewed table of controls: what an experiment provides evidence relevant to, by framework.

Nothing here says that a control is met: that is for the people who own it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from typing import Self

import yaml
from pydantic import Field, ValidationError, model_validator

from chaos_tasks.errors import InvalidFile, Problem, SetupError
from chaos_tasks.model.base import Value

SOURCE = "chaos_tasks/evidence/controls.yaml"


class SpeaksTo(StrEnum):
    """What of a run is evidence on a control."""

    PRACTICE = "practice"  # that it was done, proved, put back and judged
    RESILIENCE = "resilience"  # what came out


class Checked(StrEnum):
    """How the wording of a row was looked up."""

    TEXT = "text"
    COPY = "copy"
    MEMORY = "memory"


class Control(Value):
    """One requirement of a framework."""

    name: str = Field(description="As the framework writes it, e.g. CP-4(5).")
    title: str
    speaks_to: SpeaksTo
    checked: Checked


class Framework(Value):
    """A text that is cited, in one version of it."""

    title: str
    text_version: str
    applies_from: str
    quotable: bool
    note: str
    controls: Mapping[str, Control]


class _Row(Value):
    """Control ids by framework id, for one sort of run."""

    scope_note: str
    controls: Mapping[str, tuple[str, ...]]

    @model_validator(mode="before")
    @classmethod
    def _frameworks_are_fields(cls, raw: object) -> object:
        if not isinstance(raw, dict) or "controls" in raw:
            return raw
        return {
            "scope_note": raw.get("scope_note", ""),
            "controls": {k: v for k, v in raw.items() if k != "scope_note"},
        }


class Reference(Value):
    """One control that a run speaks to, and in which respect."""

    framework: str
    control_id: str
    control: Control
    scope_note: str


class ControlTable(Value):
    """The whole file."""

    version: int
    reviewed: date
    wording: str
    frameworks: Mapping[str, Framework]
    faults: Mapping[str, _Row] = Field(description="By the longest prefix of a fault's kind.")
    probes: Mapping[str, _Row] = Field(description="By a prefix of a check's probe.")
    every_run: _Row

    @model_validator(mode="after")
    def _names_what_there_is(self) -> Self:
        for where, row in (*self.faults.items(), *self.probes.items(), ("every_run", self.every_run)):
            for framework, ids in row.controls.items():
                known = self.frameworks.get(framework)
                missing = [one for one in ids if known is None or one not in known.controls]
                if missing:
                    raise ValueError(f"{where} names {', '.join(missing)}, which {framework} does not list")
        return self

    def of_run(self, kinds: Iterable[str], probes: Iterable[str]) -> tuple[Reference, ...]:
        """Every control that a run with these faults and probes speaks to, once each, in the table's order."""
        rows = [row for kind in dict.fromkeys(kinds) if (row := self._of_kind(kind)) is not None]
        rows += [row for prefix, row in self.probes.items() if any(probe.startswith(prefix) for probe in probes)]
        found: dict[tuple[str, str], Reference] = {}
        for row in (*rows, self.every_run):
            for framework, ids in row.controls.items():
                for one in ids:
                    control = self.frameworks[framework].controls[one]
                    reference = Reference(
                        framework=framework, control_id=one, control=control, scope_note=row.scope_note
                    )
                    found.setdefault((framework, one), reference)
        order = list(self.frameworks)
        return tuple(sorted(found.values(), key=lambda one: order.index(one.framework)))

    def framework(self, name: str) -> Framework:
        """One framework; raises SetupError listing those that there are."""
        if name not in self.frameworks:
            raise SetupError(f"no framework {name!r}", remedy=f"choose one of {', '.join(self.frameworks)}")
        return self.frameworks[name]

    def _of_kind(self, kind: str) -> _Row | None:
        fitting = [prefix for prefix in self.faults if kind == prefix or kind.startswith(f"{prefix}.")]
        return self.faults[max(fitting, key=len)] if fitting else None


@lru_cache(maxsize=1)
def shipped() -> ControlTable:
    """The table that comes with Squall."""
    return read(files("chaos_tasks.evidence").joinpath("controls.yaml").read_text(encoding="utf-8"), SOURCE)


def read(text: str, source: str) -> ControlTable:
    """A table from YAML; raises InvalidFile naming what is wrong."""
    try:
        return ControlTable.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = Problem(line=mark.line + 1 if mark else 1, field="", cause="this is no YAML")
        raise InvalidFile(source, (problem,)) from error
    except ValidationError as error:
        problems: tuple[Problem, ...] = tuple(
            Problem(line=1, field=".".join(map(str, one["loc"])), cause=one["msg"]) for one in error.errors()
        )
        raise InvalidFile(source, problems) from error
