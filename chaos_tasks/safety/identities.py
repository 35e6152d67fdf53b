"""Proves, before anything is touched, that three identities are three and that the undo does not stand on the fault.

What cannot be proved refuses the run, unless the inventory says for that family of faults that it does not apply, and
why.  What is found to be within reach refuses it whatever the inventory says.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from chaos_tasks import registry
from chaos_tasks.errors import GuardTripped, SquallError
from chaos_tasks.faults.base import Reaching
from chaos_tasks.model.experiment import Step
from chaos_tasks.model.identity import IdentityCheck, IdentityPolicy, Proof, Reach, Role
from chaos_tasks.model.place import DvcPlace, InstancePlace, Place, S3Place, StreamPlace
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.target import S3Resource
from chaos_tasks.ports import Clients
from chaos_tasks.settings import Settings
from chaos_tasks.targets import principals
from chaos_tasks.targets.principals import Principal

MACHINE_TAG = Path("/sys/devices/virtual/dmi/id/board_asset_tag")
"""On EC2 the instance's id, without asking anybody."""

PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379, "postgresql": 5432, "postgres": 5432}


class NotProvedError(Exception):
    """A check that could not be carried out; says why."""


@dataclass(frozen=True)
class Ground:
    """What a reverter stands on, whatever it reverts: its files, and the servers that it must reach."""

    paths: tuple[Path, ...]
    endpoints: tuple[str, ...] = ()
    machine_tag: Path = MACHINE_TAG

    @classmethod
    def of(cls, settings: Settings) -> Ground:
        """Squall's home, where saved copies and clones lie, and the ledger, a file or a server."""
        return cls(*_with_ledger(settings.home.absolute(), settings.ledger_url))


@dataclass(frozen=True)
class Prover:
    """Proves the identities of a plan."""

    policy: IdentityPolicy
    ground: Ground
    clients: Clients

    def prove(self, plan: Plan) -> tuple[Proof, ...]:
        """Two proofs for each step; raises GuardTripped for what is wrong or cannot be proved."""
        return tuple(proof for step in plan.experiment.method for proof in self._of_step(plan, step))

    def _of_step(self, plan: Plan, step: Step) -> Iterator[Proof]:
        place = plan.places.get(step.name)
        yield self._checked(step, IdentityCheck.PRINCIPALS, lambda: self._three(plan, place))
        yield self._checked(step, IdentityCheck.REACH, lambda: self._out_of_reach(step, place))

    def _checked(self, step: Step, check: IdentityCheck, look: Callable[[], str]) -> Proof:
        family = step.fault.partition(".")[0]
        reason = self.policy.waived(check, family)
        if reason and check is IdentityCheck.PRINCIPALS:
            return Proof(step=step.name, check=check, how=reason, waived=True)
        try:
            return Proof(step=step.name, check=check, how=look())
        except NotProvedError as error:
            if reason:
                return Proof(step=step.name, check=check, how=reason, waived=True)
            raise GuardTripped(f"step {step.name}: {error}", remedy=_how_to_waive(check, family)) from error
        except SquallError as error:
            if reason and not isinstance(error, GuardTripped):
                return Proof(step=step.name, check=check, how=reason, waived=True)
            raise GuardTripped(f"step {step.name}: {error.message}", remedy=error.remedy) from error

    # --- three principals ---------------------------------------------------------------------------------------

    def _three(self, plan: Plan, place: Place | None) -> str:
        """Who is who on the place; raises NotProvedError where nothing tells identities apart."""
        if not isinstance(place, S3Place | InstancePlace):
            raise NotProvedError(_nothing_tells(place))
        names = {Role.INJECTOR: place.injector, Role.REVERTER: place.reverter, Role.WORKLOAD: _given(plan, place)}
        found = {role: self._caller(place, name) for role, name in names.items() if name is not None}
        for one, other in combinations(found, 2):
            if found[one] == found[other]:
                raise GuardTripped(
                    f"{one} and {other} are the same principal, {found[one].arn}",
                    remedy=f"give the {one} and the {other} credentials of users or roles of their own",
                )
        self._as_declared(found)
        if isinstance(place, S3Place):
            _is_the_workload(place, found[Role.WORKLOAD])
        said = ", ".join(f"{role} {who.arn}" for role, who in found.items())
        return said if Role.WORKLOAD in found else f"{said}, and the workload is given no credentials"

    def _caller(self, place: S3Place | InstancePlace, credentials: str) -> Principal:
        return principals.caller(self.clients, credentials, endpoint=place.endpoint, region=place.region)

    def _as_declared(self, found: Mapping[Role, Principal]) -> None:
        for role, name in self.policy.principals.items():
            if role in found and not found[role].is_called(name):
                raise GuardTripped(
                    f"the {role} is {found[role].arn}, and the inventory says {name}",
                    remedy="mend the credentials file, or the principals of the target in squall.toml",
                )

    # --- out of reach -------------------------------------------------------------------------------------------

    def _out_of_reach(self, step: Step, place: Place | None) -> str:
        """What was compared; raises GuardTripped for what the fault would take from its own undo."""
        reach = reach_of(step, place)
        said = [
            *self._keeps_its_access(reach, place),
            *self._keeps_its_files(reach),
            *self._keeps_its_way(reach, place),
            *self._keeps_its_machine(reach),
        ]
        return "; ".join(said) or "the fault takes nothing away but what it acts on: processes of the trial"

    def _keeps_its_access(self, reach: Reach, place: Place | None) -> Iterator[str]:
        for name in reach.principals:
            if not isinstance(place, S3Place | InstancePlace):
                raise NotProvedError(f"it takes access from {name}, and its place has no endpoint to ask who that is")
            own = self._caller(place, place.reverter)
            arn = principals.named(self.clients, place.reverter, name, endpoint=place.endpoint, region=place.region)
            if own.arn == arn:
                raise _within(f"its policies and keys are those of {arn}, whose access is taken away")
            yield f"the reverter is {own.arn}, access is taken from {arn}"

    def _keeps_its_files(self, reach: Reach) -> Iterator[str]:
        for path in self.ground.paths:
            for folder in reach.folders:
                if Path(folder).resolve() in (path.resolve(), *path.resolve().parents):
                    raise _within(f"{path} lies in {folder}, where files may change")
            for disk in reach.disks:
                if _device(path) == _device(Path(disk)):
                    raise _within(f"{path} is on the disk of {disk}, which may be filled or go away")
        own = ", ".join(str(path) for path in self.ground.paths)
        for touched in (*reach.folders, *reach.disks):
            yield f"{own} not on {touched}"

    def _keeps_its_way(self, reach: Reach, place: Place | None) -> Iterator[str]:
        needed = {*self.ground.endpoints, *_endpoints_of(place)}
        for endpoint in needed if reach.endpoints else ():
            both = _addresses(endpoint) & {one for cut in reach.endpoints for one in _addresses(cut)}
            if both:
                where = ", ".join(f"{host}:{port}" for host, port in sorted(both))
                raise _within(f"it reaches {_bare(endpoint)} by {where}, which may not answer")
        for cut in reach.endpoints:
            yield f"none of {', '.join(sorted(map(_bare, needed))) or 'its servers'} is reached by {_bare(cut)}"

    def _keeps_its_machine(self, reach: Reach) -> Iterator[str]:
        for instance in reach.instances:
            tag = _machine(self.ground.machine_tag)
            if tag == instance:
                raise _within(f"this host is {instance}")
            yield f"this host is not {instance} (its tag: {tag or 'none'})"


def reach_of(step: Step, place: Place | None) -> Reach:
    """What a step may take away: what the fault says, else what its place bounds it to."""
    fault = registry.fault(step.fault)
    if isinstance(fault, Reaching):
        return fault.reach(place, registry.fault_params(step.fault, step.params))
    if isinstance(place, S3Place):
        return Reach(principals=(place.principal,))
    if isinstance(place, InstancePlace):
        return Reach(instances=(place.instance_id,))
    if isinstance(place, DvcPlace):
        return Reach(folders=(place.clone,))
    return Reach()


def _given(plan: Plan, place: S3Place | InstancePlace) -> str | None:
    """Credentials of the workload; of several resources the last one's are in its environment.  None: none at all."""
    if isinstance(place, S3Place):
        return place.credentials
    given = [one.credentials for one in plan.target.resources.values() if isinstance(one, S3Resource)]
    return given[-1] if given else None


def _is_the_workload(place: S3Place, workload: Principal) -> None:
    if not workload.is_called(place.principal):
        raise GuardTripped(
            f"the target says that its principal is {place.principal}, and its credentials are {workload.arn}",
            remedy="name in the target file the user whose credentials the workload runs with",
        )


def _nothing_tells(place: Place | None) -> str:
    if isinstance(place, StreamPlace):
        return "injector, reverter and workload reach the stream by one URL: they are one user of Redis"
    return f"injector, reverter and workload run as one user of this machine (uid {os.getuid()})"


def _how_to_waive(check: IdentityCheck, family: str) -> str:
    return (
        f"where that is meant, let the owner of squall.toml say so: not_applicable of the target's identities, with "
        f'check = "{check}", families = ["{family}"] and a reason'
    )


def _within(why: str) -> GuardTripped:
    return GuardTripped(
        f"the reverter is within reach of the fault: {why}",
        remedy="give the reverter a key, a disk, a way or a machine that the fault cannot touch",
    )


def _with_ledger(home: Path, url: str) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    parts = urlsplit(url)
    if parts.scheme.startswith("sqlite"):
        return (home, Path(url.removeprefix("sqlite:///")).absolute()), ()
    sockets = [Path(host) for host in parse_qs(parts.query).get("host", []) if host.startswith("/")]
    return (home, *sockets), ((url,) if parts.hostname else ())


def _endpoints_of(place: Place | None) -> tuple[str, ...]:
    if isinstance(place, S3Place | InstancePlace):
        return (place.endpoint,) if place.endpoint else ()
    return (place.url,) if isinstance(place, StreamPlace) else ()


def _device(path: Path) -> int:
    """The file system that a path is on, or will be on once it exists."""
    for existing in (path, *path.parents):
        try:
            return os.stat(existing).st_dev
        except FileNotFoundError:
            continue
        except OSError as error:
            raise NotProvedError(f"the disk of {path} cannot be told: {error.strerror}") from error
    raise NotProvedError(f"the disk of {path} cannot be told")


def _addresses(endpoint: str) -> set[tuple[str, int]]:
    """Addresses behind a URL or host:port, so that two names of one server are one."""
    parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
    port = parts.port or PORTS.get(parts.scheme.partition("+")[0])
    if parts.hostname is None or port is None:
        raise NotProvedError(f"{_bare(endpoint)} names no host and port")
    try:
        return {(str(one[4][0]), port) for one in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise NotProvedError(f"{parts.hostname} cannot be resolved") from error


def _bare(endpoint: str) -> str:
    """Host and port, without whatever password stands in a URL."""
    parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _machine(tag: Path) -> str:
    """The EC2 instance that this host is; empty for none.  Raises NotProvedError where that cannot be read."""
    try:
        told = tag.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise NotProvedError(f"{tag} cannot be read, so this host may be that machine: {error.strerror}") from error
    return told if told.startswith("i-") else ""
