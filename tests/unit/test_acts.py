"""Acts on a handle, driven in any order with crashes and lost leases, on a fault that writes a file."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pydantic import JsonValue

from chaos_tasks import acts
from chaos_tasks.acts import ActParts
from chaos_tasks.clients import from_credentials
from chaos_tasks.errors import Fenced, GuardTripped, InjectError, LedgerError, RevertError, SetupError
from chaos_tasks.faults.base import FaultContext, FaultParams
from chaos_tasks.model.actor import Actor
from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import (
    HARMFUL_PHASES,
    Finding,
    Fingerprint,
    Handle,
    HandleState,
    Phase,
    Receipt,
    Reversibility,
)
from chaos_tasks.model.place import DvcPlace, Place
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import RecordKind
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger

HEALTHY, HURT = "healthy", "hurt"


class Crash(BaseException):
    """Stands for SIGKILL."""


class ToyFault:
    """Writes a word into a file; ``trouble`` makes its next act fail in a chosen way."""

    kind: ClassVar[str] = "toy.write"
    summary: ClassVar[str] = "Writes a word."
    cause: ClassVar[str] = "None."
    params_type: ClassVar[type[FaultParams]] = FaultParams
    reversibility: ClassVar[Reversibility] = Reversibility.RESTORES
    place_types: ClassVar[tuple[type[Value], ...]] = (DvcPlace,)
    policy: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(self) -> None:
        self.trouble: Any = None

    def file(self, place: Place) -> Path:
        assert isinstance(place, DvcPlace)
        return Path(place.clone)

    def snapshot(self, place: Place, params: FaultParams, ctx: FaultContext) -> Mapping[str, JsonValue]:
        return {"word": self.file(place).read_text()}

    def blast_radius(self, place: Place, params: FaultParams) -> float:
        return 1.0

    def inject(self, handle: Handle, params: FaultParams, ctx: FaultContext) -> Receipt:
        self._act(handle, HURT)
        return Receipt(at=ctx.clock.now(), effective=True, summary="hurt")

    def revert(self, handle: Handle, params: FaultParams, ctx: FaultContext) -> Receipt:
        self._act(handle, str(handle.prior["word"]))
        return Receipt(at=ctx.clock.now(), effective=True, summary="healed")

    def inspect(self, handle: Handle, params: FaultParams, ctx: FaultContext) -> Finding:
        return Finding.INJECTED if self.file(handle.place).read_text() == HURT else Finding.REVERTED

    def fingerprint(self, place: Place, ctx: FaultContext) -> Fingerprint:
        return Fingerprint(digest=hashlib.sha256(self.file(place).read_bytes()).hexdigest(), covers="the file")

    def _act(self, handle: Handle, word: str) -> None:
        trouble, self.trouble = self.trouble, None
        if callable(trouble):
            trouble()
        if isinstance(trouble, BaseException):
            raise trouble
        self.file(handle.place).write_text(word)


class World:
    """A file, a ledger and a fault."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "file"
        self.file.write_text(HEALTHY)
        self.clock = FakeClock()
        self.ledger = MemoryLedger(self.clock)
        self.fault = ToyFault()
        context = FaultContext(clock=self.clock, clients=from_credentials({}), scratch=folder)
        self.parts = ActParts(ledger=self.ledger, fault=self.fault, context=context, recorder=Recorder())

    def handle(self) -> Handle:
        place = DvcPlace(clone=str(self.file), source="s", commit="c", data=("d",), format="csv")
        prior = {"word": HEALTHY}
        return Handle(
            id="run/step",
            run_id="run",
            step="step",
            kind="toy.write",
            place=place,
            params={},
            prior=prior,
            seed=1,
            epoch=1,
        )

    def state(self) -> HandleState:
        found = self.ledger.handle("run/step")
        assert found is not None
        return found

    def kinds(self) -> list[RecordKind]:
        return [stored.record.kind for stored in self.ledger.records()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    acts.arm(made.parts, made.handle(), lease_s=60)
    return made


def test_the_order_is_intent_act_receipt(world: World) -> None:
    seen: list[RecordKind] = []
    world.fault.trouble = lambda: seen.extend(world.kinds())
    acts.inject(world.parts, world.state())
    assert seen[-1] is RecordKind.INJECT_INTENT
    assert world.kinds()[-1] is RecordKind.INJECT_APPLIED
    acts.revert(world.parts, world.state(), by="revert task")
    assert world.kinds()[-2:] == [RecordKind.REVERT_INTENT, RecordKind.REVERT_VERIFIED]
    assert world.file.read_text() == HEALTHY


def test_without_a_ledger_nothing_is_injected(world: World) -> None:
    world.ledger.broken = "disk full"
    with pytest.raises(LedgerError):
        acts.inject(world.parts, world.state())
    assert world.file.read_text() == HEALTHY


def test_a_receipt_that_cannot_be_written_undoes_the_act(world: World) -> None:
    def break_ledger() -> None:
        world.ledger.broken = "disk full"

    world.fault.trouble = break_ledger
    with pytest.raises(LedgerError):
        acts.inject(world.parts, world.state())
    assert world.file.read_text() == HEALTHY


def test_an_injector_that_is_swept_meanwhile_undoes_its_own_act(world: World) -> None:
    world.fault.trouble = lambda: acts.revert(world.parts, world.state(), by="sweep")
    with pytest.raises(Fenced):
        acts.inject(world.parts, world.state())
    assert world.file.read_text() == HEALTHY
    assert world.state().phase is Phase.REVERTED


def test_an_injection_that_fails_is_recorded_and_revertible(world: World) -> None:
    world.fault.trouble = ValueError("half-way")
    with pytest.raises(InjectError, match="half-way"):
        acts.inject(world.parts, world.state())
    assert world.kinds()[-1] is RecordKind.INJECT_FAILED
    acts.revert(world.parts, world.state(), by="revert task")
    assert world.state().phase is Phase.REVERTED


def test_an_undo_that_is_not_proved_is_unreverted_and_names_the_next_command(world: World) -> None:
    acts.inject(world.parts, world.state())
    world.parts.context.clock.sleep(1)
    stubborn = world.handle().model_copy(update={"prior": {"word": "something else"}})
    state = world.state().model_copy(update={"handle": stubborn})
    with pytest.raises(RevertError, match="before") as caught:
        acts.revert(world.parts, state, by="revert task")
    assert caught.value.remedy == "squall revert run/step"
    assert world.state().phase is Phase.UNREVERTED
    acts.revert(world.parts, world.state(), by="person")
    assert world.state().phase is Phase.REVERTED


@pytest.mark.parametrize("effective", [True, False])
def test_what_heals_by_itself_is_out_once_its_receipt_says_that_nothing_of_it_acts(
    world: World, monkeypatch: pytest.MonkeyPatch, effective: bool
) -> None:
    """It may look injected for good: a killed process stays gone; whether its target came back is measured apart."""

    def leave(handle: Handle, params: FaultParams, ctx: FaultContext) -> Receipt:
        return Receipt(at=ctx.clock.now(), effective=effective, summary="left alone")

    monkeypatch.setattr(ToyFault, "reversibility", Reversibility.SELF_HEALS)
    monkeypatch.setattr(world.fault, "revert", leave)
    acts.inject(world.parts, world.state())
    if effective:
        acts.revert(world.parts, world.state(), by="revert task")
        assert world.state().phase is Phase.REVERTED
        return
    with pytest.raises(RevertError, match="inspection finds injected after the revert: left alone"):
        acts.revert(world.parts, world.state(), by="revert task")
    assert world.state().phase is Phase.UNREVERTED


def test_an_injected_handle_gives_its_receipt_again(world: World) -> None:
    first = acts.inject(world.parts, world.state())
    assert acts.inject(world.parts, world.state()) == first
    healed = acts.revert(world.parts, world.state(), by="revert task")
    assert acts.revert(world.parts, world.state(), by="sweep") == healed
    assert world.kinds().count(RecordKind.INJECT_INTENT) == 1


def test_a_holder_that_stood_still_before_its_act_does_nothing(world: World) -> None:
    """SIGSTOP between intent and act, for longer than the lease: swept meanwhile or not, it must not act."""
    asleep = world.parts.context.lease_s + 1
    begun = world.ledger.transition

    def stand_still(*args: Any, **kwargs: Any) -> HandleState:
        state = begun(*args, **kwargs)
        world.clock.advance(asleep)
        return state

    world.ledger.transition = stand_still  # type: ignore[method-assign]
    world.fault.trouble = AssertionError("it acted")
    with pytest.raises(Fenced, match="nothing was done"):
        acts.inject(world.parts, world.state())
    with pytest.raises(Fenced, match="nothing was done"):
        acts.revert(world.parts, world.state(), by="revert task")
    world.ledger.transition = begun  # type: ignore[method-assign]
    world.fault.trouble = None
    acts.revert(world.parts, world.state(), by="sweep")
    assert world.file.read_text() == HEALTHY


def test_an_insider_does_not_act_under_an_epoch_that_a_sweep_opened(world: World) -> None:
    acts.inject(world.parts, world.state())
    world.ledger.take_over("run/step", lease_s=60)
    with pytest.raises(Fenced, match="being put back"):
        acts.revert(world.parts, world.state(), by="supervisor")
    assert world.state().handle.epoch == 2
    assert world.file.read_text() == HURT
    world.clock.advance(61)  # that sweep died: its lease is over
    acts.revert(world.parts, world.state(), by="revert task")
    assert world.state().handle.epoch == 3
    assert world.file.read_text() == HEALTHY


def test_a_server_that_is_gone_after_the_act_undoes_it_too(world: World) -> None:
    """PostgreSQL that does not answer a reconnect is a SetupError, no LedgerError."""

    def gone(handle_id: str) -> HandleState:
        raise SetupError("no ledger server answers")

    def stop_server() -> None:
        world.ledger.handle = gone  # type: ignore[method-assign]

    state = world.state()
    world.fault.trouble = stop_server
    with pytest.raises(SetupError):
        acts.inject(world.parts, state)
    assert world.file.read_text() == HEALTHY


def _another(world: World) -> ActParts:
    """The same as another process of the run has it; the first one has taken the run."""
    world.ledger.enter(Actor(run_id="run", step="inject"))
    theirs = world.ledger.of_another_process()
    return replace(world.parts, ledger=theirs)


def test_a_superseded_injector_leaves_in_what_its_successor_holds(world: World) -> None:
    """Undoing its late act would take out the fault that the other process measures."""
    other = _another(world)

    def take_it_over() -> None:
        other.ledger.enter(Actor(run_id="run", step="inject"))
        acts.inject(other, world.state())

    world.fault.trouble = take_it_over
    with pytest.raises(Fenced):
        acts.inject(world.parts, world.state())
    assert (world.file.read_text(), world.state().phase) == (HURT, Phase.INJECTED)
    acts.revert(other, world.state(), by="revert task")
    assert (world.file.read_text(), world.state().phase) == (HEALTHY, Phase.REVERTED)


def test_a_superseded_injector_undoes_what_nobody_holds_any_more(world: World) -> None:
    other = _another(world)

    def take_it_over_and_revert() -> None:
        other.ledger.enter(Actor(run_id="run", step="revert"))
        acts.revert(other, world.state(), by="revert task")

    world.fault.trouble = take_it_over_and_revert
    with pytest.raises(Fenced):
        acts.inject(world.parts, world.state())
    assert (world.file.read_text(), world.state().phase) == (HEALTHY, Phase.REVERTED)


def test_a_late_act_that_fails_part_way_is_undone(world: World) -> None:
    """Its handle is reverted already, so that nobody else would look at the part that it did."""

    def swept_then_half_way() -> None:
        acts.revert(world.parts, world.state(), by="sweep")
        world.file.write_text(HURT)
        raise ValueError("half-way")

    world.fault.trouble = swept_then_half_way
    with pytest.raises(Fenced):
        acts.inject(world.parts, world.state())
    assert world.file.read_text() == HEALTHY


@pytest.mark.parametrize("asleep_s", [2.0, 50.0])
def test_a_stand_shorter_than_the_lease_asks_the_ledger_again(world: World, asleep_s: float) -> None:
    other, begun = _another(world), world.ledger.transition

    def stand_still(*args: Any, **kwargs: Any) -> HandleState:
        state = begun(*args, **kwargs)
        world.clock.advance(asleep_s)
        other.ledger.enter(Actor(run_id="run", step="inject"))
        return state

    world.ledger.transition = stand_still  # type: ignore[method-assign]
    world.fault.trouble = AssertionError("it acted")
    with pytest.raises(Fenced, match="taken by another process"):
        acts.inject(world.parts, world.state())
    assert world.file.read_text() == HEALTHY


@pytest.mark.parametrize("days", [-3, 3])
def test_a_host_clock_that_jumps_changes_nothing(world: World, days: int) -> None:
    """Leases are the database's; the host's wall clock only dates records."""

    class Jumping:
        def now(self) -> datetime:
            return world.clock.now() + timedelta(days=days)

        monotonic, sleep = world.clock.monotonic, world.clock.sleep

    acts.inject(world.parts, world.state())
    until = world.state().lease_until
    jumped = replace(world.parts, context=replace(world.parts.context, clock=Jumping()))
    assert world.ledger.handles(expired=True) == []
    assert world.state().lease_until == until
    acts.revert(jumped, world.state(), by="revert task")
    assert world.file.read_text() == HEALTHY


THEIRS = "theirs"


def test_what_others_changed_before_anything_was_put_in_stays_as_they_left_it(world: World) -> None:
    """Hours may pass between arming and injecting: a key that was switched off meanwhile is not switched on again."""
    world.file.write_text(THEIRS)
    receipt = acts.revert(world.parts, world.state(), by="revert task")
    assert world.file.read_text() == THEIRS
    assert world.state().phase is Phase.REVERTED
    assert "nothing was put in" in receipt.summary
    assert "somebody else" in receipt.summary


def test_a_place_that_cannot_be_looked_at_blocks_nobody_where_nothing_was_put_in(world: World) -> None:
    world.file.unlink()
    acts.revert(world.parts, world.state(), by="sweep")
    assert world.state().phase is Phase.REVERTED


def test_a_place_that_others_changed_since_it_was_armed_is_not_hurt(world: World) -> None:
    """Its undo would bring back what was there before them, and prove that by an equal fingerprint."""
    world.file.write_text(THEIRS)
    with pytest.raises(GuardTripped, match="changed since it was armed"):
        acts.inject(world.parts, world.state())
    assert RecordKind.INJECT_INTENT not in world.kinds()
    acts.revert(world.parts, world.state(), by="revert task")
    assert world.file.read_text() == THEIRS


def test_a_half_made_injection_is_gone_on_with_although_the_place_has_changed(world: World) -> None:
    world.fault.trouble = Crash()
    with pytest.raises(Crash):
        acts.inject(world.parts, world.state())
    world.file.write_text("half")
    assert acts.inject(world.parts, world.state()).effective
    acts.revert(world.parts, world.state(), by="revert task")
    assert world.file.read_text() == HEALTHY


class Acting(RuleBasedStateMachine):
    """Any order of acts, failures, crashes and sweeps."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self.folder.name))
        acts.arm(self.world.parts, self.world.handle(), lease_s=60)

    def teardown(self) -> None:
        self.world.fault.trouble = None
        acts.revert(self.world.parts, self.world.state(), by="sweep")
        assert self.world.file.read_text() == HEALTHY
        assert self.world.state().phase is Phase.REVERTED
        self.folder.cleanup()

    @precondition(lambda self: self.world.state().phase in (Phase.ARMED, Phase.INJECTING, Phase.INJECTED))
    @rule()
    def inject(self) -> None:
        self._try(lambda: acts.inject(self.world.parts, self.world.state()))

    @rule()
    def revert(self) -> None:
        self._try(lambda: acts.revert(self.world.parts, self.world.state(), by="revert task"))

    @rule()
    def sweep(self) -> None:
        self._try(lambda: acts.revert(self.world.parts, self.world.state(), by="sweep"))

    @rule()
    def fail_next(self) -> None:
        self.world.fault.trouble = ValueError("fails")

    @rule()
    def crash_next(self) -> None:
        self.world.fault.trouble = Crash()

    @rule()
    def arm_again(self) -> None:
        assert acts.arm(self.world.parts, self.world.handle(), lease_s=60) == self.world.state()

    @invariant()
    def no_harm_without_a_record(self) -> None:
        if self.world.file.read_text() == HURT:
            assert self.world.state().phase in HARMFUL_PHASES

    @invariant()
    def each_key_is_written_once(self) -> None:
        keys = [stored.record.idem_key for stored in self.world.ledger.records()]
        assert len(keys) == len(set(keys))

    def _try(self, act: Any) -> None:
        with suppress(InjectError, RevertError, Fenced, Crash):
            act()


Acting.TestCase.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
TestActing = Acting.TestCase
