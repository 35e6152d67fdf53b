"""Runs a ramp: asks level after level until the breaking point is found, and says it as one verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from chaos_tasks.engine import Engine, never
from chaos_tasks.errors import GuardTripped, SquallError
from chaos_tasks.judging.wording import one_line
from chaos_tasks.model.plan import Pin
from chaos_tasks.model.record import SearchEnded, SearchStarted
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.search import Answer, SearchKind, SearchRun
from chaos_tasks.model.verdict import Outcome, Reason, Response, Verdict
from chaos_tasks.ports import Ledger
from chaos_tasks.runs import Run
from chaos_tasks.searching import words
from chaos_tasks.searching.asking import ENDING, Asking, answer_of, answered, attempts, judged, more_may_help
from chaos_tasks.searching.bisect import Asked, Question, next_question
from chaos_tasks.searching.finding import breaking_point, decisive, outcome_of
from chaos_tasks.searching.levels import intensity_name, level_alpha, level_id, level_request, ramp_of
from chaos_tasks.searching.log import SearchLog, ended_of, started_of


@dataclass(frozen=True)
class Level:
    """A level that was asked, with the verdict of its run."""

    asked: Asked
    run: SearchRun
    verdict: Verdict


@dataclass(frozen=True)
class Ramps:
    """Finds breaking points."""

    engine: Engine

    def run(self, request: RunRequest, *, stop: Callable[[], bool] = never) -> Verdict:
        """The verdict of a ramp, under the id of the request; what a killed process has asked is not asked again.

        Raises GuardTripped where not one level could be asked (recorded).
        """
        log, known = SearchLog(self.engine, request.run_id), Run(self._ledger, request.run_id).verdict()
        if known is not None:
            return known
        try:
            started = started_of(self._ledger, request.run_id) or log.start(self._question(request))
            if ended_of(self._ledger, request.run_id) is None:
                self._ask_all(log.search_id, started, stop)
        except GuardTripped as error:
            return self._refused(log, request, error)
        except SquallError as error:
            if started_of(self._ledger, request.run_id) is None:
                log.refuse(request, error)
            raise
        return self._end(log, started)

    def close(self, search_id: str) -> Verdict | None:
        """End a ramp whose process is gone: revert what is in, and say what is known.

        None where it never began, or was refused before its first level.
        """
        run, started = Run(self._ledger, search_id), started_of(self._ledger, search_id)
        known = run.verdict()
        if known is not None or started is None:
            return known
        for run_id in self._runs(search_id, started):
            if not judged(self._ledger, run_id):
                Asking(self.engine).close(run_id)
        if not self._levels(search_id, started) and run.is_refused():
            return None
        gone = GuardTripped("the process that ran the ramp ended before it was over")
        return self._end(SearchLog(self.engine, search_id), started, gone)

    @property
    def _ledger(self) -> Ledger:
        return self.engine.parts.ledger

    # --- asking ----------------------------------------------------------------------------------------------

    def _question(self, request: RunRequest) -> SearchStarted:
        """What will be asked, on which version and seeds; every level is checked before the first one is asked."""
        ramp = ramp_of(request.experiment, request.overrides)
        started = SearchStarted(
            search=SearchKind.RAMP,
            experiment=request.experiment,
            overrides=request.overrides,
            pin=request.pin,
            part_of=request.search_id,
            max_runs=ramp.runs,
            level_alpha=level_alpha(request.experiment, len(ramp.levels)),
            campaign_id=request.campaign_id,
            requested_by=request.requested_by,
        )
        # The highest level is the one that the guards are most likely to refuse.
        top = level_request(started, request.run_id, request.run_id, Question(len(ramp.levels) - 1))
        plan = self.engine.plan(top)
        pin = Pin(
            source_commit=plan.source_commit,
            data_digest=plan.data_digest,
            target_digest=plan.target_digest,
            seeds=plan.seeds,
        )
        return started.model_copy(update={"pin": pin})

    def _ask_all(self, search_id: str, started: SearchStarted, stop: Callable[[], bool]) -> None:
        asking = Asking(self.engine, stop)
        while (question := self._next(search_id, started)) is not None:
            asked = question

            def request(run_id: str, asked: Question = asked) -> RunRequest:
                return level_request(started, search_id, run_id, asked)

            asking.ask(level_id(search_id, question.index), request)

    def _next(self, search_id: str, started: SearchStarted) -> Question | None:
        known = self._levels(search_id, started)
        if any(level.verdict.outcome in ENDING for level in known):
            return None
        return next_question(_count(started), [level.asked for level in known], started.max_runs)

    def _levels(self, search_id: str, started: SearchStarted) -> list[Level]:
        """What was answered, in the order of the answers, from the log alone."""
        levels = [
            _level(started, index, verdict, again=number > 0)
            for index in range(_count(started))
            for number, verdict in enumerate(answered(self._ledger, level_id(search_id, index)))
        ]
        return sorted(levels, key=lambda level: level.verdict.decided_at)

    def _runs(self, search_id: str, started: SearchStarted) -> list[str]:
        return [
            run_id for index in range(_count(started)) for run_id in attempts(self._ledger, level_id(search_id, index))
        ]

    # --- the end ---------------------------------------------------------------------------------------------

    def _refused(self, log: SearchLog, request: RunRequest, error: GuardTripped) -> Verdict:
        """A refusal before anything was asked is the ramp's own; afterwards it ends the ramp with what is known."""
        started = started_of(self._ledger, log.search_id)
        if started is None or not self._levels(log.search_id, started):
            log.refuse(request, error)
            raise error
        return self._end(log, started, error)

    def _end(self, log: SearchLog, started: SearchStarted, stopped: GuardTripped | None = None) -> Verdict:
        levels = self._levels(log.search_id, started)
        ended = log.end(_ended(started, levels, stopped))
        return log.judge(_verdict(log.search_id, ended, levels, self.engine.parts.clock.now()))


def _count(started: SearchStarted) -> int:
    return len(started.experiment.ramp.levels) if started.experiment.ramp else 0


def _level(started: SearchStarted, index: int, verdict: Verdict, *, again: bool) -> Level:
    ramp = started.experiment.ramp
    assert ramp is not None  # noqa: S101  (a ramp's own record)
    answer, name = answer_of(verdict), intensity_name(started.experiment)
    final = answer is Answer.UNDECIDED and not more_may_help(verdict)
    run = SearchRun(
        run_id=verdict.run_id,
        asked=f"{name} {ramp.levels[index]:g}" + (", more seeds" if again else ""),
        level=ramp.levels[index],
        answer=answer,
        outcome=verdict.outcome,
        trials=verdict.trials,
        reused=verdict.trials_reused,
    )
    return Level(Asked(index, answer, again=again, final=final), run, verdict)


def _ended(started: SearchStarted, levels: Sequence[Level], stopped: GuardTripped | None) -> SearchEnded:
    experiment, asked = started.experiment, [level.asked for level in levels]
    ramp, alpha = experiment.ramp, started.level_alpha
    assert ramp is not None and alpha is not None  # noqa: S101, PT018  (a ramp's own record)
    point = breaking_point(ramp.levels, asked, alpha=experiment.analysis.alpha, level_alpha=alpha)
    runs = tuple(level.run for level in levels)
    said = words.breaks(point, intensity_name(experiment), ramp.levels[-1])
    speaker = _speaker(levels, len(ramp.levels))
    shown = f": at {speaker.run.level:g}, {speaker.verdict.sentence.rstrip('.')}" if speaker else ""
    parts = [f"{said}{shown}", words.certainty(point, runs)]
    ending = next((level.verdict for level in levels if level.verdict.outcome in ENDING), None)
    if ending is not None:
        parts.insert(0, ending.sentence.rstrip("."))
    elif stopped is not None:
        parts.insert(0, f"Stopped: {one_line(stopped.message)}")
    return SearchEnded(
        search=SearchKind.RAMP,
        experiment=experiment.name,
        levels=ramp.levels,
        runs=runs,
        outcome=ending.outcome if ending else Outcome.ABORTED if stopped else outcome_of(len(ramp.levels), asked),
        breaking_point=point,
        sentence=". ".join(parts),
        reasons=(Reason.GUARD_TRIPPED,) if stopped else speaker.verdict.reasons if speaker else (),
    )


def _speaker(levels: Sequence[Level], count: int) -> Level | None:
    place = decisive(count, [level.asked for level in levels])
    return None if place is None else levels[place]


def _verdict(search_id: str, ended: SearchEnded, levels: Sequence[Level], now: datetime) -> Verdict:
    """One verdict for the whole ramp: what the level that speaks for it showed, and what all of them cost."""
    verdicts = [level.verdict for level in levels]
    speaker = _speaker(levels, len(ended.levels))
    own = speaker.verdict if speaker else None
    return Verdict(
        run_id=search_id,
        experiment=ended.experiment,
        outcome=ended.outcome or Outcome.INCONCLUSIVE,
        response=own.response if own else Response.UNKNOWN,
        checks=own.checks if own else (),
        reasons=ended.reasons,
        sentence=ended.sentence,
        known_finding=own.known_finding if own and ended.outcome is Outcome.DEVIATED else None,
        noticed_by=own.noticed_by if own else "",
        detect_s=own.detect_s if own else None,
        recover_s=own.recover_s if own else None,
        lost_steps=sum(one.lost_steps for one in verdicts),
        trials=sum(one.trials for one in verdicts),
        trials_wall_s=sum(one.trials_wall_s for one in verdicts),
        trials_reused=sum(one.trials_reused for one in verdicts),
        trials_saved=sum(one.trials_saved for one in verdicts),
        decided_at=now,
    )
