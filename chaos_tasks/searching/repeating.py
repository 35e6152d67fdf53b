"""Repeats a run or a ramp exactly: what was registered, on the same version, under the same seeds; then compares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from chaos_tasks.engine import Engine, never
from chaos_tasks.errors import GuardTripped, LedgerError, SetupError
from chaos_tasks.inventory import read_target
from chaos_tasks.model.base import Value
from chaos_tasks.model.plan import Pin, Plan
from chaos_tasks.model.record import SearchEnded, SearchStarted
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.search import Answer, BreakingPoint, Difference, SearchKind, SearchRun
from chaos_tasks.model.verdict import CheckResult, Verdict
from chaos_tasks.ports import Ledger
from chaos_tasks.runs import Run
from chaos_tasks.searching import words
from chaos_tasks.searching.asking import Asking, answer_of
from chaos_tasks.searching.log import SearchLog, ended_of, started_of
from chaos_tasks.searching.ramping import Ramps

ANYWAY = "`--anyway` runs it on what is there now, and says so"
SHOWN = 5  # fields of a target that are named when they differ


class Repeated(Value):
    """The two verdicts, and what comparing them says."""

    before: Verdict
    after: Verdict
    ended: SearchEnded


@dataclass(frozen=True)
class _What:
    """What is to be repeated: a run, or a ramp; ``plan`` is the run's, or that of one of the ramp's levels."""

    request: RunRequest
    plan: Plan
    verdict: Verdict
    is_ramp: bool


@dataclass(frozen=True)
class Repeats:
    """Runs again what the log has."""

    engine: Engine

    def run(self, search_id: str, of: str, *, anyway: bool = False, stop: Callable[[], bool] = never) -> Repeated:
        """Repeat run, ramp or reduction ``of``, of the last its smallest; a run trains its controls anew too.

        Raises GuardTripped where the version of then is gone or other, LedgerError where ``of`` has no verdict.
        """
        what = self._what(search_id, of)
        request = self._on_what_is_there(what) if anyway else what.request
        if not anyway:
            self._require_same(what)
        log = SearchLog(self.engine, search_id)
        if started_of(self._ledger, search_id) is None:
            log.start(_question(request, of, anyway))
        after = self._again(request, what.is_ramp, stop)
        known = ended_of(self._ledger, search_id)
        return Repeated(
            before=what.verdict, after=after, ended=known or log.end(self._compared(what, after, of, anyway))
        )

    @property
    def _ledger(self) -> Ledger:
        return self.engine.parts.ledger

    # --- what ----------------------------------------------------------------------------------------------------

    def _what(self, search_id: str, of: str) -> _What:
        ended, started = ended_of(self._ledger, of), started_of(self._ledger, of)
        if started is None or ended is None:
            return self._run(search_id, of)
        if started.search is not SearchKind.RAMP:
            return self._run(search_id, _last_again(ended))
        verdict = Run(self._ledger, of).verdict()
        if verdict is None:
            raise _no_verdict(of)
        request = RunRequest(
            run_id=f"{search_id}.1",
            experiment=started.experiment,
            overrides=started.overrides.model_copy(update={"outside_window": ""}),
            pin=started.pin,
            search_id=search_id,
            requested_by="person",
        )
        return _What(request, Run(self._ledger, ended.runs[0].run_id).plan(), verdict, is_ramp=True)

    def _run(self, search_id: str, of: str) -> _What:
        run = Run(self._ledger, of)
        plan, verdict = run.plan(), run.verdict()
        if verdict is None:
            raise _no_verdict(of)
        pin = Pin(
            source_commit=plan.source_commit,
            data_digest=plan.data_digest,
            target_digest=plan.target_digest,
            seeds=plan.seeds,
            continues=plan.continues,
        )
        request = RunRequest(
            run_id=f"{search_id}.1",
            experiment=plan.experiment,
            experiment_file_sha256=plan.experiment_file_sha256,
            overrides=plan.overrides.model_copy(update={"outside_window": ""}),  # a reason of then is none of now
            pin=pin,
            search_id=search_id,
            fresh_controls=True,
            requested_by="person",
        )
        return _What(request, plan, verdict, is_ramp=False)

    # --- on the same version ---------------------------------------------------------------------------------------

    def _require_same(self, what: _What) -> None:
        """Raise GuardTripped, naming what is other than it was."""
        plan = what.plan
        now = read_target(self.engine.parts.settings, plan.experiment.target)
        if now.content_sha256 != plan.target_digest:
            fields = list(_differing("", plan.target.model_dump(mode="json"), now.model_dump(mode="json")))
            more = f" and {len(fields) - SHOWN} more" if len(fields) > SHOWN else ""
            raise GuardTripped(
                f"target {now.name} is not what run {what.verdict.run_id} used: {', '.join(fields[:SHOWN])}{more}",
                remedy=ANYWAY,
            )
        try:
            pinned = now.source.model_copy(update={"rev": plan.source_commit})
            self.engine.parts.workspaces.resolve(now.model_copy(update={"source": pinned}))
        except SetupError as error:
            raise GuardTripped(
                f"commit {plan.source_commit[:12]} of {now.source.repo}, which run {what.verdict.run_id} used, cannot "
                f"be read any more: {error.message}",
                remedy=f"bring it back (`git fetch` in the source), or use {ANYWAY}",
            ) from error

    def _on_what_is_there(self, what: _What) -> RunRequest:
        """The same question about today's version, under the same seeds."""
        target = read_target(self.engine.parts.settings, what.plan.experiment.target)
        version = self.engine.parts.workspaces.resolve(target)
        seeds = what.request.pin.seeds if what.request.pin else what.plan.seeds
        pin = Pin(source_commit=version.commit, data_digest=version.data_digest, seeds=seeds)
        return what.request.model_copy(update={"pin": pin})

    # --- again -----------------------------------------------------------------------------------------------------

    def _again(self, request: RunRequest, is_ramp: bool, stop: Callable[[], bool]) -> Verdict:
        if is_ramp:
            return Ramps(self.engine).run(request, stop=stop)
        known = Run(self._ledger, request.run_id).verdict()
        if known is not None:
            return known
        asking = Asking(self.engine, stop)
        return asking.ask(request.run_id, lambda run_id: request.model_copy(update={"run_id": run_id}))

    def _compared(self, what: _What, after: Verdict, of: str, anyway: bool) -> SearchEnded:
        before = what.verdict
        differences = [*_differences(before, after), *self._other_version(what, after)]
        found = self._points(before.run_id, after.run_id) if what.is_ramp else ()
        differences += [one for one in found if one.before != one.after]
        agrees = _answers(before) == _answers(after) and all(one.before == one.after for one in found)
        return SearchEnded(
            search=SearchKind.REPRO,
            experiment=before.experiment,
            of=of,
            runs=(_run_of(after),),
            differences=tuple(differences),
            agrees=agrees,
            sentence=words.repeated(differences, agrees, anyway),
        )

    def _points(self, before: str, after: str) -> tuple[Difference, ...]:
        """The interval of a ramp, then and now; equal ones too."""
        points = [ended.breaking_point if (ended := ended_of(self._ledger, name)) else None for name in (before, after)]
        return (Difference(what="breaking point", before=_interval(points[0]), after=_interval(points[1])),)

    def _other_version(self, what: _What, after: Verdict) -> Iterator[Difference]:
        ended = ended_of(self._ledger, after.run_id)
        now = Run(self._ledger, ended.runs[0].run_id if ended and ended.runs else after.run_id).registered()
        if now is None:
            return
        for name in ("source_commit", "data_digest", "target_digest", "packages"):
            one, other = getattr(what.plan, name), getattr(now, name)
            if one != other:
                yield Difference(what=name.replace("_", " "), before=one[:12], after=other[:12])


def _question(request: RunRequest, of: str, anyway: bool) -> SearchStarted:
    return SearchStarted(
        search=SearchKind.REPRO,
        experiment=request.experiment,
        overrides=request.overrides,
        pin=request.pin,
        of=of,
        anyway=anyway,
        max_runs=1,
        requested_by=request.requested_by,
    )


def _last_again(ended: SearchEnded) -> str:
    """The run of the smallest reproducer; of a repetition, its run; where nothing was found, what was to be reduced."""
    again = [run.run_id for run in ended.runs if run.answer is Answer.DEVIATED or ended.search is SearchKind.REPRO]
    return again[-1] if again else ended.of


def _no_verdict(of: str) -> LedgerError:
    return LedgerError(f"{of} has no verdict to compare with", remedy="wait for it, or name another run")


def _answers(verdict: Verdict) -> tuple[object, ...]:
    """What must be the same: the outcome, and the answer of every check."""
    return (verdict.outcome, *((check.check, check.state) for check in verdict.checks))


def _differences(before: Verdict, after: Verdict) -> Iterator[Difference]:
    """Everything that came out otherwise, numbers to the last digit; times are not compared."""
    for name in ("outcome", "response"):
        if getattr(before, name) != getattr(after, name):
            yield Difference(what=name, before=getattr(before, name).value, after=getattr(after, name).value)
    checks = {check.check: check for check in after.checks}
    for check in before.checks:
        other = checks.get(check.check)
        if other is None or _numbers(check) != _numbers(other):
            yield Difference(
                what=f"check {check.check}", before=_shown(check), after=_shown(other) if other else "none"
            )


def _numbers(check: CheckResult) -> tuple[str, ...]:
    """As text, in which NaN equals itself."""
    return tuple(
        str(one) for one in (check.state, check.estimate, check.low, check.high, check.n_control, check.n_treatment)
    )


def _shown(check: CheckResult) -> str:
    if check.estimate is None:
        return f"{check.state.value} ({check.reason.value})"
    return f"{check.state.value}, {check.estimate!r} after {check.n_treatment}"


def _interval(point: BreakingPoint | None) -> str:
    if point is None:
        return "none"
    low = "below all levels" if point.held_at is None else f"above {point.held_at:g}"
    return f"{low}, " + ("not found" if point.broke_at is None else f"at or below {point.broke_at:g}")


def _run_of(after: Verdict) -> SearchRun:
    return SearchRun(
        run_id=after.run_id,
        asked="the same again",
        answer=answer_of(after),
        outcome=after.outcome,
        trials=after.trials,
        reused=after.trials_reused,
    )


def _differing(path: str, one: JsonValue, other: JsonValue) -> Iterator[str]:
    """Dotted names of the fields that differ; names only, since values may hold addresses."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            yield from _differing(f"{path}.{key}".strip("."), one.get(key), other.get(key))
    elif one != other:
        yield path or "all of it"
