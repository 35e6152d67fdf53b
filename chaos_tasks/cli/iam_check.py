"""`squall doctor --iam`: what injector and reverter need at least, and what they may do beyond that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chaos_tasks import catalogue
from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.cli.run import load
from chaos_tasks.clients import NamedClients, from_environment
from chaos_tasks.errors import SetupError
from chaos_tasks.inventory import read_target
from chaos_tasks.model.identity import Role
from chaos_tasks.safety.least import Asked, Need, Spot, needs_of
from chaos_tasks.settings import Settings
from chaos_tasks.targets import permissions
from chaos_tasks.targets.effective import policies_of
from chaos_tasks.targets.principals import caller

if TYPE_CHECKING:
    from chaos_tasks.targets.permissions import Grant


@dataclass(frozen=True)
class Answer:
    """What was found about one identity."""

    need: Need
    principals: tuple[str, ...] = ()
    excess: tuple[Grant, ...] = ()
    missing: tuple[Grant, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def in_order(self) -> bool:
        """Read whole, nothing too much, and the undo lacks nothing."""
        lacking = self.missing if self.need.role is Role.REVERTER else ()
        return not (self.excess or self.unread or lacking)

    def as_json(self) -> dict[str, Any]:
        """For a pipeline of somebody else."""
        return {
            "role": self.need.role.value,
            "credentials": self.need.credentials,
            "principals": list(self.principals),
            "targets": sorted(self.need.targets),
            "faults": sorted(self.need.faults),
            "policy": permissions.document_of(self.need.grants),
            "excess": [str(one) for one in self.excess],
            "missing": [str(one) for one in self.missing],
            "not_read": list(self.unread),
            "in_order": self.in_order,
        }


def iam_check(settings: Settings, files: Sequence[Path], *, as_json: bool) -> int:
    """Print the least policies, and what is held beyond them; 0 only where all could be read and nothing is."""
    told = {"SQUALL_CREDENTIALS": settings.credentials_file} if settings.credentials_file else {}
    clients = from_environment(told)
    answers = [_answer(clients, need) for need in needs_of(_asked(settings, files))]
    if as_json:
        click.echo(json.dumps({"identities": [one.as_json() for one in answers]}, indent=1))
    else:
        for one in answers:
            _show(one)
        if not answers:
            click.echo("no fault asks anything of a cloud")
    return ExitCode.HELD if all(one.in_order for one in answers) else ExitCode.INVALID


def _asked(settings: Settings, files: Sequence[Path]) -> list[Asked]:
    """Of the experiments; without any, all faults that the inventory allows on each target."""
    kinds: dict[str, set[str]] = {}
    for loaded in map(load, files):
        kinds.setdefault(loaded.experiment.target, set()).update(step.fault for step in loaded.experiment.method)
    found = []
    for name in sorted(kinds if files else settings.targets):
        entry, target = settings.entry(name), read_target(settings, name)
        allowed = (
            kind
            for kind in catalogue.applicable_kinds(target, disposable=entry.disposable)
            if kind.partition(".")[0] in entry.families
        )
        found.append(Asked(target, entry.identities, tuple(sorted(kinds[name])) if files else tuple(allowed)))
    return found


def _answer(clients: NamedClients, need: Need) -> Answer:
    granted: list[Grant] = []
    principals: list[str] = []
    unread: list[str] = [] if need.spots else ["none of its targets says where its cloud is"]
    for spot in sorted(need.spots, key=lambda one: (one.endpoint, one.region)):
        try:
            arn, held = _held(clients, need.credentials, spot)
        except SetupError as error:
            unread.append(f"{error.message} -> {error.remedy}")
            continue
        principals.append(arn)
        granted += held
    seen = tuple(dict.fromkeys(granted))
    lacking = () if unread else permissions.missing(seen, sorted(need.grants, key=str))
    return Answer(need, tuple(principals), permissions.excess(seen, need.grants), lacking, tuple(unread))


def _held(clients: NamedClients, credentials: str, spot: Spot) -> tuple[str, list[Grant]]:
    who = caller(clients, credentials, endpoint=spot.endpoint, region=spot.region)
    iam = clients.iam(spot.auditor or credentials, endpoint=spot.endpoint, region=spot.region)
    documents = policies_of(iam, who)
    return who.arn, [grant for document in documents.values() for grant in permissions.grants_of(document)]


def _show(answer: Answer) -> None:
    need = answer.need
    who = ", ".join(answer.principals) or "not known who that is"
    colour = "green" if answer.in_order else "red"
    click.secho(f"{'ok' if answer.in_order else 'NO'}  {need.role} {need.credentials!r}: {who}", fg=colour)
    click.echo(f"    for {', '.join(sorted(need.faults))} on {', '.join(sorted(need.targets))}, at least:")
    for statement in permissions.document_of(need.grants)["Statement"]:
        click.echo(f"      {', '.join(statement['Action'])}\n        on {statement['Resource']}")
    for one in answer.excess:
        click.secho(f"    beyond that: {one}", fg="red")
    for one in answer.missing:
        click.secho(f"    lacks: {one}", fg="red" if need.role is Role.REVERTER else "yellow")
    for text in answer.unread:
        click.secho(f"    not read, so nothing is said about what it may do beyond: {text}", fg="red")
