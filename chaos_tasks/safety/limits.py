"""How much may be hurt: shares, runs and minutes of a night, targets at once.  Counted from the ledger; what cannot be
counted is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from chaos_tasks import registry
from chaos_tasks.errors import GuardTripped, IdempotencyConflict, LedgerError, SetupError, SquallError
from chaos_tasks.model.handle import HARMFUL_PHASES
from chaos_tasks.model.limits import BlastLimits, Limits
from chaos_tasks.model.plan import Lock, Plan, Recorder
from chaos_tasks.model.record import Note, Record, RecordKind, Registered, Stored
from chaos_tasks.ports import Clock, Ledger, LedgerReader
from chaos_tasks.safety.calendar import Span, merged, moments
from chaos_tasks.safety.risk import exceeds, risk_of

LOG = "squall-night"
"""What the counting records stand under, in the place of a run."""

RACES = 16
LOOK_BACK = timedelta(days=1)
"""A fault that was put in so long before the night, and is out again, is still counted in it.  Records are found by
what their hosts' clocks said: one that is further behind than this is not counted once its fault is out."""

OUT = (RecordKind.REVERT_VERIFIED, RecordKind.HANDLE_ABANDONED)
"""After these a fault is in no more, or its place is not."""


@dataclass(frozen=True)
class Night:
    """The night that a moment belongs to."""

    begins: datetime
    now: datetime

    @classmethod
    def of(cls, limits: BlastLimits, now: datetime) -> Night:
        """It begins at the latest `night_begins` that is over."""
        zone = ZoneInfo(limits.zone)
        today = now.astimezone(zone).date()
        starts = [moments(today - timedelta(days=back), limits.night_begins, zone)[0] for back in (0, 1)]
        return cls(next(start for start in starts if start <= now), now)

    @property
    def name(self) -> str:
        """For records: the moment at which it began."""
        return f"{self.begins:%Y-%m-%dT%H:%MZ}"


def slots(limits: BlastLimits, inventory: Mapping[str, str], target: str) -> tuple[Lock, ...]:
    """Locks by which at most so many targets are held at once; ``inventory`` is environment by target.

    Targets share the slots by their rank in the inventory, so that a run waits in the queue of its slot and every host
    finds the same one.
    """
    environment = inventory[target]
    found = []
    for scope, asked in limits.scopes(environment, target):
        if asked.hurt_at_once is not None:
            peers = sorted(name for name, of in inventory.items() if scope == "everything" or of == environment)
            slot = peers.index(target) % asked.hurt_at_once
            found.append(Lock(key=f"slot:{scope}/{slot}", exclusive=True))
    return tuple(found)


def check(plan: Plan, limits: BlastLimits, ledger: LedgerReader) -> None:
    """Raises GuardTripped for a step that may touch too much, and for a night that has had enough."""
    scopes = limits.scopes(plan.environment, plan.target.name)
    for scope, asked in scopes:
        _check_steps(plan, scope, asked)
    if not any(_counts(asked) for _, asked in scopes):
        return
    try:
        night = Night.of(limits, ledger.now())
        for scope, asked in scopes:
            _check_runs(plan, scope, asked, night, ledger)
            _check_minutes(plan, scope, asked, night, ledger)
    except (LedgerError, SetupError) as error:
        raise _uncounted(error) from error


def check_running(plan: Plan, limits: BlastLimits, ledger: LedgerReader) -> None:
    """Raises GuardTripped once the night's minutes are used up; LedgerError when they cannot be counted."""
    for scope, asked in limits.scopes(plan.environment, plan.target.name):
        if asked.injected_minutes_per_night is not None:
            _check_minutes(plan, scope, asked, Night.of(limits, ledger.now()), ledger)


def count(plan: Plan, limits: BlastLimits, ledger: Ledger, clock: Clock, recorder: Recorder) -> None:
    """Take the run's number in the night, once, in each scope that limits it; raises GuardTripped where none is left.

    The record is the count: two runs never take the same number.
    """
    for scope, asked in limits.scopes(plan.environment, plan.target.name):
        if asked.experiments_per_night is not None:
            try:
                _take_number(plan, scope, asked.experiments_per_night, limits, ledger, clock, recorder)
            except (LedgerError, SetupError) as error:
                raise _uncounted(error) from error


def minutes_in(ledger: LedgerReader, night: Night, *, environment: str = "", target: str = "") -> float:
    """Minutes of the night, so far, in which any fault was in; raises LedgerError."""
    kinds, since = (RecordKind.INJECT_INTENT, *OUT), night.begins - LOOK_BACK
    records = [*_in_since_long(ledger, since), *ledger.records(kinds=kinds, since=since)]
    mine = (one for one in records if not environment or one.record.environment == environment)
    spans = merged(_spans_in(ledger, list(_of_target(ledger, mine, target)), night))
    return sum((span.end - span.start).total_seconds() for span in spans) / 60


def _in_since_long(ledger: LedgerReader, before: datetime) -> Iterator[Stored]:
    """Intents of what is in still, and went in before the records that are read: nobody could take it out."""
    for state in ledger.handles(phases=HARMFUL_PHASES):
        for stored in ledger.records(run_id=state.handle.run_id, kinds=(RecordKind.INJECT_INTENT,)):
            if stored.record.handle_id == state.handle.id and stored.record.occurred_at < before:
                yield stored


def _counts(asked: Limits) -> bool:
    return asked.experiments_per_night is not None or asked.injected_minutes_per_night is not None


def _check_steps(plan: Plan, scope: str, asked: Limits) -> None:
    for step in plan.experiment.method:
        place = plan.places.get(step.name)
        if asked.share is not None and place is not None:
            params = registry.fault_params(step.fault, step.params)
            share = registry.fault(step.fault).blast_radius(place, params)
            if share > asked.share:
                raise GuardTripped(
                    f"step {step.name} may touch {share:.0%} of {step.target}; {scope} allows {asked.share:.0%}",
                    remedy="lower the fault's intensity, or have the owner of squall.toml raise `share` in [limits]",
                )
        if asked.max_risk is not None:
            found = risk_of(step, plan.target, plan.environment, place)
            if exceeds(found.risk, asked.max_risk):
                raise GuardTripped(
                    f"step {step.name} is of risk {found.risk} ({found.why}); {scope} allows {asked.max_risk} at most",
                    remedy="use a milder fault or another target, or have the owner of squall.toml raise `max_risk`",
                )


def _check_runs(plan: Plan, scope: str, asked: Limits, night: Night, ledger: LedgerReader) -> None:
    if asked.experiments_per_night is None:
        return
    taken = _numbers(ledger, scope, night)
    if len(taken) >= asked.experiments_per_night and not _is_counted(plan, scope, ledger):
        raise _enough_runs(scope, asked.experiments_per_night, night)


def _check_minutes(plan: Plan, scope: str, asked: Limits, night: Night, ledger: LedgerReader) -> None:
    if asked.injected_minutes_per_night is None:
        return
    environment = plan.environment if scope.startswith("environment ") else ""
    target = plan.target.name if scope.startswith("target ") else ""
    used = minutes_in(ledger, night, environment=environment, target=target)
    if used >= asked.injected_minutes_per_night:
        raise GuardTripped(
            f"faults were in for {used:.1f} min since {night.name}; "
            f"the limit of {scope} is {asked.injected_minutes_per_night:g} min a night",
            remedy="wait for the next night, or have the owner of squall.toml raise `injected_minutes_per_night`",
        )


def _take_number(
    plan: Plan, scope: str, limit: int, limits: BlastLimits, ledger: Ledger, clock: Clock, recorder: Recorder
) -> None:
    night = Night.of(limits, ledger.now())
    for _ in range(RACES):
        if _is_counted(plan, scope, ledger):  # another process of the run may be faster
            return
        taken = _numbers(ledger, scope, night)
        if len(taken) >= limit:
            raise _enough_runs(scope, limit, night)
        record = Record(
            kind=RecordKind.NIGHT_COUNTED,
            idem_key=f"{_log(scope, night)}/{len(taken)}",
            occurred_at=clock.now(),
            run_id=_log(scope, night),
            experiment=plan.experiment.name,
            recorder=recorder,
            environment=plan.environment,
            payload=Note(text=f"{len(taken) + 1} of {limit} runs of {scope}", facts={"run": plan.run_id}),
        )
        with suppress(IdempotencyConflict):  # another run took that number
            ledger.append(record)
            return
    raise GuardTripped("no number of the night could be taken: others were always faster", remedy="start it again")


def _numbers(ledger: LedgerReader, scope: str, night: Night) -> list[str]:
    """Runs that were counted in the night."""
    found = ledger.records(run_id=_log(scope, night), kinds=(RecordKind.NIGHT_COUNTED,))
    return [str(one.record.payload.facts.get("run")) if isinstance(one.record.payload, Note) else "" for one in found]


def _is_counted(plan: Plan, scope: str, ledger: LedgerReader) -> bool:
    """Whether it has its number, of whichever night: a run that lasts over noon is one run, of its first night."""
    counted = ledger.records(kinds=(RecordKind.NIGHT_COUNTED,), since=plan.planned_at - LOOK_BACK)
    return any(
        isinstance(one.record.payload, Note)
        and one.record.payload.facts.get("run") == plan.run_id
        and one.record.run_id.startswith(f"{LOG}/{scope}/")
        for one in counted
    )


def _log(scope: str, night: Night) -> str:
    return f"{LOG}/{scope}/{night.name}"


def _of_target(ledger: LedgerReader, records: Iterable[Stored], target: str) -> Iterator[Stored]:
    known: dict[str, str] = {}
    for stored in records:
        run_id = stored.record.run_id
        if target and run_id not in known:
            known[run_id] = _target_of(ledger, run_id)
        if not target or known[run_id] in (target, ""):  # one that nobody can place is counted too
            yield stored


def _target_of(ledger: LedgerReader, run_id: str) -> str:
    for stored in ledger.records(run_id=run_id, kinds=(RecordKind.EXPERIMENT_REGISTERED,)):
        if isinstance(stored.record.payload, Registered):
            return stored.record.payload.plan.target.name
    return ""


def _spans_in(ledger: LedgerReader, records: Sequence[Stored], night: Night) -> Iterator[Span]:
    """From intent to verified undo, or where it was given up, cut to the night; what is not out yet is in until now.

    By the ledger's clock, as the night is: a host's may have been set in between.
    """
    at, since = ledger.recorded_at(records), dict[str, datetime]()
    for stored in records:
        record = stored.record
        if record.kind is RecordKind.INJECT_INTENT:
            since.setdefault(record.handle_id, at[stored.seq])
        elif record.handle_id in since:
            yield from _cut(since.pop(record.handle_id), at[stored.seq], night)
    for start in since.values():
        yield from _cut(start, night.now, night)


def _cut(start: datetime, end: datetime, night: Night) -> Iterator[Span]:
    first, last = max(start, night.begins), min(end, night.now)
    if first < last:
        yield Span(first, last)


def _enough_runs(scope: str, limit: int, night: Night) -> GuardTripped:
    return GuardTripped(
        f"{limit} runs have injected since {night.name}, and that is the limit of {scope} for a night",
        remedy="wait for the next night, or have the owner of squall.toml raise `experiments_per_night` in [limits]",
    )


def _uncounted(error: SquallError) -> GuardTripped:
    return GuardTripped(f"the night's limits cannot be counted: {error.message}", remedy=error.remedy)
