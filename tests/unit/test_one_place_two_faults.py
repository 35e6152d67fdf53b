"""Two faults of a run on one place: the second is no stranger's work, and one undo may have to wait for the other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import JsonValue

from chaos_tasks import acts, registry
from chaos_tasks.acts import ActParts
from chaos_tasks.clients import from_credentials
from chaos_tasks.errors import RevertError
from chaos_tasks.faults.base import FaultContext, FaultParams
from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, Phase, Receipt, Reversibility
from chaos_tasks.model.notice import Notice
from chaos_tasks.model.place import Place, S3Place
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import RecordKind
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.unit.task_processes import RUN, WRITE
from tests.unit.toy_project import HEALTHY, ToyProject, request


class Denial:
    """Adds a principal to the denials of a bucket's policy, of which there is one."""

    kind: ClassVar[str] = "toy.denial"
    summary: ClassVar[str] = "Denies"
    cause: ClassVar[str] = "tests"
    params_type: ClassVar[type[FaultParams]] = FaultParams
    reversibility: ClassVar[Reversibility] = Reversibility.RESTORES
    place_types: ClassVar[tuple[type[Value], ...]] = (S3Place,)
    policy: ClassVar[Mapping[str, tuple[str, ...]]] = {"inject": ("s3:PutBucketPolicy",)}

    def __init__(self) -> None:
        self.denied: set[str] = set()

    def snapshot(self, place: Place, params: FaultParams, ctx: FaultContext) -> Mapping[str, JsonValue]:
        return {}

    def blast_radius(self, place: Place, params: FaultParams) -> float:
        return 1.0

    def inject(self, handle: Handle, params: FaultParams, ctx: FaultContext) -> Receipt:
        self.denied.add(handle.step)
        return Receipt(at=ctx.clock.now(), effective=True, summary="denied")

    def revert(self, handle: Handle, params: FaultParams, ctx: FaultContext) -> Receipt:
        self.denied.discard(handle.step)
        return Receipt(at=ctx.clock.now(), effective=True, summary="allowed")

    def inspect(self, handle: Handle, params: FaultParams, ctx: FaultContext) -> Finding:
        return Finding.INJECTED if handle.step in self.denied else Finding.REVERTED

    def fingerprint(self, place: Place, ctx: FaultContext) -> Fingerprint:
        return Fingerprint(digest=hashlib.sha256(repr(sorted(self.denied)).encode()).hexdigest(), covers="the policy")


def test_the_runs_other_denial_in_the_same_policy_is_not_somebody_elses_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, clock = Denial(), FakeClock()
    monkeypatch.setattr(registry, "fault", lambda kind: fault)
    context = FaultContext(clock=clock, clients=from_credentials({}), scratch=tmp_path)
    parts = ActParts(ledger=MemoryLedger(clock), fault=fault, context=context, recorder=Recorder())
    states = [acts.arm(parts, _denial_of(user), lease_s=60) for user in ("ana", "bo")]
    for state in states:
        assert acts.inject(parts, state, by="inject task").effective
    assert fault.denied == {"ana", "bo"}


def _denial_of(user: str) -> Handle:
    place = S3Place(endpoint="https://s3", region="us-east-1", bucket="data", prefix="in/", principal=user)
    told = {"id": f"run-1/{user}", "run_id": "run-1", "step": user, "params": {}, "prior": {}, "seed": 0}
    return Handle(kind=Denial.kind, place=place, **told)  # type: ignore[arg-type]


def test_a_sweep_pages_for_no_undo_that_only_another_fault_had_hidden(toy: ToyProject) -> None:
    """The second to go out frees the first; nobody is told, and no incident opened, before that was tried."""
    engine, told = toy.engine(), list[Notice]()
    engine.arm(request(method=[WRITE, {**WRITE, "name": "again"}]))
    engine.inject(RUN)
    real = toy.fault.revert

    def revert(handle: Handle, params: FaultParams, ctx: FaultContext) -> Receipt:
        other = toy.ledger.handle(f"{RUN}/write")
        if handle.step == "again" and other is not None and other.phase is Phase.INJECTED:
            raise RevertError("still refused")
        return real(handle, params, ctx)

    toy.fault.revert = revert  # type: ignore[method-assign]
    toy.clock.advance(7200)
    sweeper = replace(toy.sweeper(), notifier=Told(told))
    assert all(one.reverted for one in sweeper.sweep())
    assert told == []
    assert RecordKind.INCIDENT_OPENED not in toy.kinds()
    assert toy.word() == HEALTHY


class Told:
    """A notifier that remembers."""

    def __init__(self, notices: list[Notice]) -> None:
        self.notices = notices

    def tell(self, notice: Notice) -> None:
        """Remember it."""
        self.notices.append(notice)
