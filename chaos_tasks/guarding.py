"""Watches an arm while its trials run: the lever, what the inventory allows, and the experiment's stop conditions.

Each has a thread and, where it needs one, a ledger connection of its own, so that one that hangs hides no other.  The
first that trips ends the running workload; the loop then goes no further, and the engine reverts.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Event, Lock, Thread

from chaos_tasks import registry
from chaos_tasks.errors import GuardTripped, ProbeError, SquallError
from chaos_tasks.model.base import Reading
from chaos_tasks.model.experiment import StopCondition
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.ports import Clock, Ledger, LedgerReader
from chaos_tasks.probes.live import Scene
from chaos_tasks.safety.lever import Lever
from chaos_tasks.safety.stopping import Stopped, Tally

LEVER_EVERY_S = 1.0
HANDLES_EVERY_S = 3.0
ALLOWED_EVERY_S = 5.0
LOOK_S = 0.25
JOIN_S = 2.0
LEAST_PATIENCE_S = 20.0
"""A stop condition that gives no reading for so long counts as tripped, however often it is to be read."""


@dataclass(frozen=True)
class Tripped:
    """What ended the arm: a stop condition with its readings, or a guard with its remedy."""

    text: str
    remedy: str = ""
    stopped: Stopped | None = None


@dataclass
class Lookout:
    """One thing that is looked at again and again; silence for longer than ``patience_s`` counts as tripped."""

    name: str
    every_s: float
    patience_s: float
    look: Callable[[], Tripped | None]
    clock: Clock
    seen_at: float = 0.0
    trouble: str = ""

    def turn(self) -> Tripped | None:
        """Look once; what cannot be looked at is not seen."""
        try:
            found = self.look()
        except SquallError as error:
            self.trouble = error.message
            return None
        except Exception as error:  # noqa: BLE001  a probe's own bug: the same as one that cannot be read
            self.trouble = type(error).__name__
            return None
        self.seen_at, self.trouble = self.clock.monotonic(), ""
        return found

    def silent_s(self) -> float:
        """Seconds since it was last seen."""
        return self.clock.monotonic() - self.seen_at


@dataclass
class Guarding(AbstractContextManager["Guarding"]):
    """The lookouts of one arm; ``tripped`` is set once, by the first."""

    plan: Plan
    clock: Clock
    lever: Lever | None = None
    allowed: Callable[[Plan, LedgerReader], None] | None = None
    open_ledger: Callable[[], Ledger] | None = None
    conditions: tuple[StopCondition, ...] = ()
    tripped: Tripped | None = None
    _end: Callable[[], None] | None = None
    _spec: TrialSpec | None = None
    _trial_at: datetime | None = None
    _trial_since: float = 0.0
    _done: Event = field(default_factory=Event)
    _guard: Lock = field(default_factory=Lock)
    _threads: list[Thread] = field(default_factory=list)
    _lookouts: list[Lookout] = field(default_factory=list)
    _ledgers: list[Ledger] = field(default_factory=list)

    def __enter__(self) -> Guarding:
        if self.open_ledger is not None:  # without one, an engine of a test looks between trials only
            self._trial_since = self.clock.monotonic()
            self._lookouts = self.lookouts()
            for one in self._lookouts:
                one.seen_at = self.clock.monotonic()
                self._start(lambda one=one: self._keep_looking(one), one.name)  # type: ignore[misc]
            self._start(self._mind_the_silent, "silence")
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(JOIN_S)
        for ledger in self._ledgers:
            with suppress(SquallError):
                ledger.close()

    def begins(self, spec: TrialSpec | None, end: Callable[[], None]) -> None:
        """A trial begins (None: one that no fault reaches); ``end`` ends its workload from another thread."""
        with self._guard:
            self._spec, self._trial_at, self._trial_since = spec, self.clock.now(), self.clock.monotonic()
            self._end = end
        if self.tripped is not None:
            end()

    def ends(self) -> None:
        """The trial is over."""
        with self._guard:
            self._spec, self._trial_at, self._end = None, None, None

    def check(self) -> None:
        """Raises GuardTripped once a guard has tripped; stop conditions end the arm without an error."""
        if self.tripped is not None and self.tripped.stopped is None:
            raise GuardTripped(self.tripped.text, remedy=self.tripped.remedy)

    def trip(self, found: Tripped) -> None:
        """The first one counts; the running workload is ended at once."""
        with self._guard:
            if self.tripped is not None:
                return
            self.tripped = found
            end = self._end
        if end is not None:
            end()

    # --- what is looked at --------------------------------------------------------------------------------------

    def lookouts(self) -> list[Lookout]:
        """All of them; those that read the ledger have a connection of their own."""
        lease_s = self.plan.experiment.guards.lease.total_seconds()
        found = []
        if self.lever is not None:
            near = Lever(self.lever.home, self._ledger(), self.clock, self.lever.recorder)
            found.append(self._lookout("lever", LEVER_EVERY_S, lease_s, lambda: _lever(near)))
        if self.lever is not None and self.lever.handles:
            far = Lever(self.lever.home, self._ledger(), self.clock, self.lever.recorder, self.lever.handles)
            found.append(self._lookout("lever's handles", HANDLES_EVERY_S, lease_s, lambda: _lever(far)))
        allowed = self.allowed
        if allowed is not None:
            own = self._ledger()
            found.append(self._lookout("limits", ALLOWED_EVERY_S, lease_s, lambda: _allowed(allowed, self.plan, own)))
        return found + [self._condition(one) for one in self.conditions]

    def _lookout(self, name: str, every_s: float, patience_s: float, look: Callable[[], Tripped | None]) -> Lookout:
        return Lookout(name, every_s, patience_s, look, self.clock)

    def _condition(self, condition: StopCondition) -> Lookout:
        tally = Tally(condition, per_trial=registry.live_probe(condition.probe).needs_trial)
        every_s = condition.every.total_seconds()
        patience_s = max(LEAST_PATIENCE_S, 3 * every_s) + condition.grace.total_seconds()
        return self._lookout(condition.name, every_s, patience_s, lambda: self._read(condition, tally))

    def _read(self, condition: StopCondition, tally: Tally) -> Tripped | None:
        with self._guard:
            spec, scene, since = self._spec, self._scene(), self._trial_since
        probe = registry.live_probe(condition.probe)
        if probe.needs_trial and spec is None:
            return None
        value, error = _measured(condition, scene)
        with self._guard:
            if self._spec is not spec:  # it was over before it was read
                return None
        in_grace = self.clock.monotonic() - since < condition.grace.total_seconds()
        trial = spec.trial_id if spec is not None else ""
        stopped = tally.add(self.clock.now(), value, error, trial=trial, in_grace=in_grace)
        return None if stopped is None else Tripped(stopped.text, stopped=stopped)

    def _scene(self) -> Scene:
        spec = self._spec
        progress = spec.progress.file if spec is not None and spec.progress is not None else None
        out = Path(spec.out) if spec is not None else None
        return Scene(clock=self.clock, out=out, started_at=self._trial_at, progress_file=progress or "")

    # --- threads ------------------------------------------------------------------------------------------------

    def _ledger(self) -> Ledger:
        assert self.open_ledger is not None  # noqa: S101  (asked by __enter__)
        self._ledgers.append(self.open_ledger())
        return self._ledgers[-1]

    def _start(self, act: Callable[[], None], name: str) -> None:
        self._threads.append(Thread(target=act, name=f"guard {name}", daemon=True))
        self._threads[-1].start()

    def _keep_looking(self, one: Lookout) -> None:
        while not self._done.is_set() and self.tripped is None:
            found = one.turn()
            if found is not None and not self._done.is_set():
                self.trip(found)
            self._done.wait(one.every_s)

    def _mind_the_silent(self) -> None:
        while not self._done.wait(LOOK_S) and self.tripped is None:
            self.mind_the_silent()

    def mind_the_silent(self) -> None:
        """What cannot be evaluated counts as tripped."""
        for one in self._lookouts:
            if one.silent_s() > one.patience_s:
                why = f": {one.trouble}" if one.trouble else ""
                text = f"{one.name} could not be looked at for {one.silent_s():.0f} s{why}"
                named = next((each for each in self.conditions if each.name == one.name), None)
                stopped = Stopped(condition=named.name, text=text) if named is not None else None
                self.trip(Tripped(text, "bring back what it reads, then start a new run", stopped))


def _measured(condition: StopCondition, scene: Scene) -> tuple[Reading, str]:
    try:
        params = registry.live_probe_params(condition.probe, condition.params)
        return registry.live_probe(condition.probe).read(scene, params).value, ""
    except ProbeError as error:
        return None, error.message


def _lever(lever: Lever) -> Tripped | None:
    seen = lever.look()
    if seen.reason is not None:
        return Tripped(f"the safety lever is pulled: {seen.reason}", "`squall resume` once it is safe")
    if seen.unreadable:  # a moment's silence must not end a run; a lease of it does
        raise GuardTripped(seen.unreadable[0])
    return None


def _allowed(allowed: Callable[[Plan, LedgerReader], None], plan: Plan, ledger: LedgerReader) -> Tripped | None:
    try:
        allowed(plan, ledger)
    except GuardTripped as error:
        return Tripped(error.message, error.remedy)
    return None
