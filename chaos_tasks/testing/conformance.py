"""The checks that every kind of fault passes, ours or anyone's.

Each ``check_*`` takes a function that makes a new, healthy Arrangement, and raises AssertionError with a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from chaos_tasks.errors import FaultError
from chaos_tasks.faults.base import Fault, FaultContext, FaultParams
from chaos_tasks.model.handle import Finding, Handle, Receipt, Reversibility
from chaos_tasks.model.place import Place
from chaos_tasks.testing.crash import Crash, crashing

AnyFault = Fault[Any]

NOT_THERE = frozenset({Finding.ARMED, Finding.REVERTED})
CRASH_POINTS = 8  # how many acts of an injection are tried; evenly spread, first and last included


@dataclass(frozen=True)
class Arrangement:
    """A fault, a healthy place of its own, and parameters that have an effect there."""

    fault: AnyFault
    place: Place
    params: Mapping[str, JsonValue]
    make_context: Callable[[], FaultContext]  # a new process on another day: empty scratch
    healthy: Callable[[], bool] | None = None  # the target's own predicate; needed where the fault self-heals
    seed: int = 20260102
    rto_s: float = 20.0


Arrange = Callable[[], Arrangement]
Check = Callable[[Arrange], None]


class _Case:
    """One arrangement with its handle."""

    def __init__(self, arrangement: Arrangement) -> None:
        self.arranged = arrangement
        self.fault = arrangement.fault
        self.ctx = arrangement.make_context()
        self.params: FaultParams = self.fault.params_type.model_validate(dict(arrangement.params))

    def arm(self, suffix: str = "") -> Handle:
        """A handle as the engine makes it, from a snapshot."""
        prior = self.fault.snapshot(self.arranged.place, self.params, self.ctx)
        return Handle(
            id=f"conformance-{self.fault.kind.replace('.', '-').replace('_', '-')}{suffix}",
            run_id="conformance",
            step="step",
            kind=self.fault.kind,
            place=self.arranged.place,
            params=dict(self.arranged.params),
            prior=prior,
            seed=self.arranged.seed,
            epoch=1,
        )

    def inject(self, handle: Handle) -> Receipt:
        return self.fault.inject(handle, self.params, self.ctx)

    def revert(self, handle: Handle) -> Receipt:
        return self.fault.revert(handle, self.params, self.ctx)

    def finding(self, handle: Handle) -> Finding:
        return self.fault.inspect(handle, self.params, self.ctx)

    def digest(self) -> str:
        return self.fault.fingerprint(self.arranged.place, self.ctx).digest

    def restores(self) -> bool:
        return self.fault.reversibility is Reversibility.RESTORES

    def expect_back(self, before: str, when: str) -> None:
        """Restored to the last bit, or healthy by the target's own predicate within the RTO."""
        if self.restores():
            expect(self.digest() == before, f"{self.fault.kind}: the fingerprint differs {when}")
        elif self.fault.reversibility is Reversibility.SELF_HEALS:
            self.expect_healthy(when)

    def expect_healthy(self, when: str) -> None:
        healthy = self.arranged.healthy
        if healthy is None:
            raise AssertionError(f"{self.fault.kind} self-heals: its arrangement needs `healthy`")
        deadline = self.ctx.clock.monotonic() + self.arranged.rto_s
        while not healthy():
            expect(self.ctx.clock.monotonic() < deadline, f"{self.fault.kind}: not healthy {when}")
            self.ctx.clock.sleep(0.05)


def expect(condition: bool, otherwise: str) -> None:
    """Raise AssertionError with the sentence; also under ``python -O``."""
    if not condition:
        raise AssertionError(otherwise)


def check_is_described(arrange: Arrange) -> None:
    """Summary and cause are one line each, and every parameter says what it means."""
    fault = arrange().fault
    for name in ("summary", "cause"):
        text = getattr(fault, name)
        expect(bool(text) and "\n" not in text, f"{fault.kind}: `{name}` is one line that is not empty")
    for name, field in fault.params_type.model_fields.items():
        expect(bool(field.description), f"{fault.kind}: parameter {name} has no description")
    intensity = fault.params_type.intensity_field
    fields = fault.params_type.model_fields
    expect(intensity is None or intensity in fields, f"{fault.kind}: intensity {intensity} is no parameter")


def check_blast_radius_is_a_share(arrange: Arrange) -> None:
    """0 <= blast radius <= 1."""
    case = _Case(arrange())
    share = case.fault.blast_radius(case.arranged.place, case.params)
    expect(0 <= share <= 1, f"{case.fault.kind}: blast radius {share} is no share")


def check_handle_survives_json(arrange: Arrange) -> None:
    """A handle read back from JSON is equal: nothing that revert needs is lost in the ledger."""
    handle = _Case(arrange()).arm()
    expect(Handle.model_validate_json(handle.model_dump_json()) == handle, f"{handle.kind}: the handle changes in JSON")


def check_snapshot_is_pure(arrange: Arrange) -> None:
    """Snapshots change nothing, and two of them say the same."""
    case = _Case(arrange())
    before = case.digest()
    first, second = case.arm(), case.arm()
    expect(case.digest() == before, f"{case.fault.kind}: snapshot changed the place")
    expect(first == second, f"{case.fault.kind}: two snapshots of one state differ")


def check_inject_has_an_effect(arrange: Arrange) -> None:
    """The receipt says effective, with evidence, and the place is not what it was."""
    case = _Case(arrange())
    handle, before = case.arm(), case.digest()
    receipt = case.inject(handle)
    expect(receipt.effective, f"{case.fault.kind}: the receipt says not effective: {receipt.summary}")
    expect(bool(receipt.evidence), f"{case.fault.kind}: the receipt has no evidence")
    expect(case.digest() != before, f"{case.fault.kind}: the fingerprint is as before")
    case.revert(handle)


def check_inject_twice_is_once(arrange: Arrange) -> None:
    """A second call, by another process after a crash, changes nothing more."""
    case = _Case(arrange())
    handle = case.arm()
    case.inject(handle)
    once = case.digest()
    again = case.fault.inject(handle, case.params, case.arranged.make_context())
    expect(case.digest() == once, f"{case.fault.kind}: a second inject changed the place again")
    expect(again.effective, f"{case.fault.kind}: the second receipt says not effective: {again.summary}")
    case.revert(handle)


def check_revert_before_inject_is_a_no_op(arrange: Arrange) -> None:
    """Reverting what was only armed changes nothing."""
    case = _Case(arrange())
    handle, before = case.arm(), case.digest()
    case.revert(handle)
    if case.restores():
        expect(case.digest() == before, f"{case.fault.kind}: revert before inject changed the place")
    expect(case.finding(handle) in NOT_THERE, f"{case.fault.kind}: found {case.finding(handle)} after an early revert")


def check_revert_restores(arrange: Arrange) -> None:
    """After inject and revert the fingerprint is equal, or the target is healthy within its RTO."""
    case = _Case(arrange())
    before = case.digest()
    handle = case.arm()
    case.inject(handle)
    receipt = case.revert(handle)
    expect(receipt.effective, f"{case.fault.kind}: the receipt of revert says not effective: {receipt.summary}")
    case.expect_back(before, "after revert")


def check_revert_is_idempotent(arrange: Arrange) -> None:
    """A second and third revert change nothing and do not fail."""
    case = _Case(arrange())
    before = case.digest()
    handle = case.arm()
    case.inject(handle)
    for _ in range(3):
        case.revert(handle)
    case.expect_back(before, "after three reverts")


def check_revert_needs_only_the_handle(arrange: Arrange) -> None:
    """Another process, with a new fault object, an empty scratch and the handle as JSON, can revert."""
    case = _Case(arrange())
    before = case.digest()
    handle = case.arm()
    case.inject(handle)
    stored = Handle.model_validate_json(handle.model_dump_json())
    params = case.fault.params_type.model_validate(dict(stored.params))
    type(case.fault)().revert(stored, params, case.arranged.make_context())
    case.expect_back(before, "after a revert by another process")


def check_inspect_agrees(arrange: Arrange) -> None:
    """Inspection, by another process, finds each phase as it is."""
    case = _Case(arrange())
    handle = case.arm()

    def found() -> Finding:
        return type(case.fault)().inspect(handle, case.params, case.arranged.make_context())

    expect(found() in NOT_THERE, f"{case.fault.kind}: found {found()} before inject")
    case.inject(handle)
    expect(found() is Finding.INJECTED, f"{case.fault.kind}: found {found()} after inject")
    case.revert(handle)
    expect(found() in NOT_THERE, f"{case.fault.kind}: found {found()} after revert")


def check_crash_inside_inject_is_revertible(arrange: Arrange) -> None:
    """Wherever injection dies (file written, process started, server called), revert by another process restores."""
    for point in _crash_points(arrange):
        case = _Case(arrange())
        before = case.digest()
        handle = case.arm(f"-{point}")
        with suppress(Crash, FaultError), crashing(point):
            case.inject(handle)
        case.fault.revert(handle, case.params, case.arranged.make_context())
        case.expect_back(before, f"when inject died at act {point}")
        expect(case.finding(handle) in NOT_THERE, f"{case.fault.kind}: found {case.finding(handle)} at act {point}")


def check_crash_inside_inject_can_be_injected_again(arrange: Arrange) -> None:
    """An injection that died half-way is finished by the next call, and its revert restores."""
    points = list(_crash_points(arrange))
    if not points:
        return
    case = _Case(arrange())
    before = case.digest()
    handle = case.arm()
    with suppress(Crash, FaultError), crashing(points[len(points) // 2]):
        case.inject(handle)
    case.fault.inject(handle, case.params, case.arranged.make_context())
    expect(case.finding(handle) is Finding.INJECTED, f"{case.fault.kind}: found {case.finding(handle)} after a retry")
    case.revert(handle)
    case.expect_back(before, "after a retried inject and a revert")


def _crash_points(arrange: Arrange) -> Iterator[int]:
    """Up to CRASH_POINTS acts of one injection, 1-based."""
    case = _Case(arrange())
    handle = case.arm()
    with crashing() as acts:
        case.inject(handle)
    case.revert(handle)
    total = acts.count
    if total <= CRASH_POINTS:
        yield from range(1, total + 1)
        return
    step = (total - 1) / (CRASH_POINTS - 1)
    yield from sorted({1 + round(index * step) for index in range(CRASH_POINTS)})


ALWAYS: tuple[Check, ...] = (
    check_is_described,
    check_blast_radius_is_a_share,
    check_handle_survives_json,
    check_snapshot_is_pure,
    check_inject_has_an_effect,
    check_inject_twice_is_once,
)
UNDONE: tuple[Check, ...] = (
    check_revert_before_inject_is_a_no_op,
    check_revert_restores,
    check_revert_is_idempotent,
    check_revert_needs_only_the_handle,
    check_inspect_agrees,
    check_crash_inside_inject_is_revertible,
    check_crash_inside_inject_can_be_injected_again,
)
CHECKS: tuple[Check, ...] = ALWAYS + UNDONE


def yield_checks(fault: AnyFault) -> Iterator[Check]:
    """The checks that this fault must pass, by what it promises."""
    yield from ALWAYS
    if fault.reversibility is not Reversibility.IRREVERSIBLE:
        yield from UNDONE
