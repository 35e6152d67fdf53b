"""The notices: an undo that is not proved, a sweeper that cannot sweep, a run that was stopped, a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from chaos_tasks.errors import SquallError, of_system
from chaos_tasks.model.handle import CLOSED_PHASES, Fingerprint, HandleState, Phase
from chaos_tasks.model.notice import Notice, NoticeKind, Sight
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.record import Act, Armed, RecordKind, Registered, Stored
from chaos_tasks.model.verdict import Outcome, Verdict
from chaos_tasks.notifying.sights import clean, looks, where
from chaos_tasks.ports import LedgerReader

SWEEPER = "sweeper"
DIGEST = 16  # characters of a fingerprint that are shown
READ = (RecordKind.EXPERIMENT_REGISTERED, RecordKind.FAULT_ARMED, RecordKind.REVERT_FAILED)


def unreverted(ledger: LedgerReader, state: HandleState, *, why: str = "", at: datetime) -> Notice:
    """What the log knows of a handle whose undo is not proved; raises LedgerError when it cannot be read."""
    handle = state.handle
    records = list(ledger.records(run_id=handle.run_id, kinds=READ))
    plan = _plan(records)
    failed = _last_failure(records, handle.id)
    reason = why or (failed.error if failed else "") or f"it is {state.phase.value}, and nobody reverts it"
    return Notice(
        kind=NoticeKind.UNREVERTED,
        about=handle.id,
        sentence=f"{handle.kind} is still in, or cannot be proved to be out: {clean(reason)}",
        occurred_at=at,
        look_at=(
            Sight(name="handle", text=f"{handle.id}, {state.phase.value}"),
            Sight(name="where", text=where(handle.place)),
            *_fingerprints(_before(records, handle.id), failed.after if failed else None),
            *looks(handle.place),
            Sight(name="then", text=f"{handle.place.key} is blocked for new experiments until this is reverted"),
            *_next_try(state),
        ),
        command=f"squall revert {handle.id}",
        run_id=handle.run_id,
        **_of_plan(plan),
    )


def of_verdict(ledger: LedgerReader, verdict: Verdict, plan: Plan, *, at: datetime) -> Iterator[Notice]:
    """One notice for a verdict that needs action; one for each handle where something is still in."""
    open_ones = [] if verdict.outcome is not Outcome.UNREVERTED else ledger.handles(run_id=verdict.run_id)
    stuck = [state for state in open_ones if state.phase not in CLOSED_PHASES]
    if stuck:
        yield from (unreverted(ledger, state, at=at) for state in stuck)
        return
    failed = [f"{check.check}: {check.sentence}" for check in verdict.checks if check.state.value != "passed"]
    yield Notice(
        kind=NoticeKind.VERDICT,
        about=verdict.run_id,
        sentence=f"{verdict.outcome.value}, {verdict.response.value}: {clean(verdict.sentence)}",
        occurred_at=at,
        look_at=tuple(Sight(name="check", text=clean(text)) for text in failed[:5]),
        command=f"squall report {verdict.run_id}",
        run_id=verdict.run_id,
        **_of_plan(plan),
    )


def of_search(verdict: Verdict, *, at: datetime) -> Notice:
    """A search, which has no plan of its own, came to something that needs action."""
    return Notice(
        kind=NoticeKind.VERDICT,
        about=verdict.run_id,
        sentence=f"{verdict.outcome.value}, {verdict.response.value}: {clean(verdict.sentence)}",
        occurred_at=at,
        command=f"squall report {verdict.run_id}",
        run_id=verdict.run_id,
        experiment=verdict.experiment,
    )


def stopped(plan: Plan, why: str, *, values: Iterable[tuple[str, str]] = (), at: datetime) -> Notice:
    """A stop condition ended a run: which one, and what it saw."""
    return Notice(
        kind=NoticeKind.STOPPED,
        about=plan.run_id,
        sentence=f"{plan.run_id} was stopped: {clean(why)}",
        occurred_at=at,
        look_at=tuple(Sight(name=clean(name), text=clean(value)) for name, value in values),
        command=f"squall report {plan.run_id}",
        run_id=plan.run_id,
        **_of_plan(plan),
    )


def cannot_sweep(host: str, why: str, *, for_s: float, at: datetime) -> Notice:
    """Nothing is reverted when its lease ends, since the sweeper meets an error at each look."""
    return Notice(
        kind=NoticeKind.CANNOT_SWEEP,
        about=SWEEPER,
        sentence=f"the sweeper on {host} has not been able to sweep for {for_s:.0f} s: {clean(why)}",
        occurred_at=at,
        look_at=(
            Sight(name="so", text="what outlives its lease stays in, and no new experiment starts"),
            Sight(name="look", text="squall status    # whether the ledger's database answers, and what is open"),
        ),
        command="squall sweep",
    )


def sweeps_again(host: str, *, for_s: float, at: datetime) -> Notice:
    """The end of what `cannot_sweep` told."""
    return Notice(
        kind=NoticeKind.SWEEPS_AGAIN,
        about=SWEEPER,
        sentence=f"the sweeper on {host} sweeps again, after {for_s:.0f} s in which it could not",
        occurred_at=at,
        command="squall status",
    )


def why_of(error: BaseException) -> str:
    """What may be told of an error: our own words; of others only the name, since they may quote anything."""
    if isinstance(error, OSError):
        error = of_system(error)
    return error.message if isinstance(error, SquallError) else f"an error of Squall's own: {type(error).__name__}"


def _next_try(state: HandleState) -> Iterator[Sight]:
    if state.phase is Phase.UNREVERTED:
        at = f"{state.lease_until:%Y-%m-%d %H:%M:%S} UTC"
        yield Sight(name="next try", text=f"by the sweep, from {at} on; the command below tries at once")


def _fingerprints(before: Fingerprint | None, after: Fingerprint | None) -> Iterator[Sight]:
    if before is None:
        yield Sight(name="before", text="the fingerprint from before the fault is not in the ledger")
    else:
        yield Sight(name="before", text=f"{before.digest[:DIGEST]}: {clean(before.covers)}")
    if after is None:
        yield Sight(name="after", text="not known: the undo ended before the place could be looked at")
    else:
        same = " (the same)" if before is not None and before.digest == after.digest else ""
        yield Sight(name="after", text=f"{after.digest[:DIGEST]}{same}; not covered: {clean(after.leaves_out) or '-'}")


def _plan(records: Iterable[Stored]) -> Plan | None:
    plans = (one.record.payload.plan for one in records if isinstance(one.record.payload, Registered))
    return next(plans, None)


def _before(records: Iterable[Stored], handle_id: str) -> Fingerprint | None:
    found = (one.record for one in records if one.record.handle_id == handle_id)
    return next((record.payload.before for record in found if isinstance(record.payload, Armed)), None)


def _last_failure(records: Iterable[Stored], handle_id: str) -> Act | None:
    found = [one.record.payload for one in records if one.record.handle_id == handle_id]
    failures = [payload for payload in found if isinstance(payload, Act)]
    return failures[-1] if failures else None


def _of_plan(plan: Plan | None) -> dict[str, str]:
    if plan is None:
        return {}
    return {
        "experiment": plan.experiment.name,
        "owner": plan.experiment.owner,
        "target": plan.target.name,
        "environment": plan.environment,
    }
