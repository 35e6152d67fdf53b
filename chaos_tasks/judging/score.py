"""How resilient a target is shown to be, in [0, 1]: what was tried on it, how it came out, and how long ago.

The score is a mean over all kinds of fault that the target can suffer.  A kind that was never tried is worth 0, and so
is a planned run without an answer: what is missing lowers the score and never raises it (docs/score.md has the rules,
docs/adr/0015-resilience-score.md the reasons).  Pure: same history, same score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby

from pydantic import Field

from chaos_tasks.model.base import Value
from chaos_tasks.model.verdict import Outcome, Response
from chaos_tasks.stats.decay import FadedShare, effective_n, faded, mean_limits

HALF_LIFE = timedelta(days=14)
"""After so long, half of what an answer says about today is left.  Also: how long an answer counts as fresh."""

MEMORY = timedelta(days=7)
"""Among the runs of one kind, one that is so much older than the latest weighs half as much."""

CHANGED = 0.5
"""What is left of an answer once the pipeline (its code, data or description) is another one."""

OLD_VERSION = 0.25
"""Weight of an answer about an older pipeline beside runs on the present one: a fix is not held back for long."""

LEVEL = 0.9
"""Of the interval."""

NEGLIGIBLE = 0.005
"""A loss that two decimals do not show."""

WORTH: Mapping[Response, float] = {Response.DETECTED: 0.5, Response.RECOVERED: 0.5, Response.CRASHED: 0.25}
"""What a deviation is still worth, by what the system did about it; 0 for the rest, silence above all."""

ANSWERS = frozenset({Outcome.HELD, Outcome.DEVIATED})


class Attempt(Value):
    """One planned run: what it was to test, when, and what came of it.  It exists as soon as it is planned."""

    run_id: str
    experiment: str
    target: str
    kinds: tuple[str, ...]
    at: datetime = Field(description="When it was planned.")
    version: str = Field("", description="Digest of the pipeline it ran on; empty where it was never bound to one.")
    outcome: Outcome | None = Field(None, description="None: no verdict.")
    response: Response = Response.UNKNOWN
    known: bool = Field(False, description="An accepted finding; it deviates all the same.")

    @property
    def answered(self) -> bool:
        """Whether it says something about the target."""
        return self.outcome in ANSWERS

    @property
    def worth(self) -> float:
        """1 for held, less for a deviation, 0 for no answer."""
        if self.outcome is Outcome.HELD:
            return 1.0
        return WORTH.get(self.response, 0.0) if self.outcome is Outcome.DEVIATED else 0.0


class Cause(StrEnum):
    """What pulls a score down, the gravest first."""

    UNREVERTED = "unreverted"
    SILENT = "silent"
    DEVIATED = "deviated"
    NO_ANSWER = "no answer"
    CHANGED = "changed since"
    STALE = "stale"
    UNTESTED = "untested"


class Pull(Value):
    """How much of the score one cause takes on one kind."""

    kind: str
    cause: Cause
    lost: float = Field(description="Of the 1 that the whole could be.")
    sentence: str


class Part(Value):
    """The numbers of a target, or of one family of faults on it."""

    name: str
    value: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1, description="Also what it could be if all that is missing were good.")
    level: float = LEVEL
    coverage: float = Field(ge=0, le=1, description="Share of kinds with a fresh answer about the present pipeline.")
    kinds: int = Field(ge=0)
    fresh: int = Field(ge=0)


class Score(Part):
    """A target's score, by family, with what pulls it down, the gravest first."""

    version: str = ""
    at: datetime
    families: tuple[Part, ...] = ()
    pulls: tuple[Pull, ...] = ()


@dataclass(frozen=True)
class _Kind:
    """One kind of fault: its attempts with their weights, and what is left of its answers today."""

    name: str
    attempts: tuple[Attempt, ...] = ()
    weights: tuple[float, ...] = ()
    faded: float = 0.0  # the best answer by age alone
    known: float = 0.0  # by age and version
    age: timedelta | None = None
    fresh: bool = False

    @property
    def worth(self) -> float:
        """Weighted mean of what came out; no answer is worth nothing."""
        return self._mean([one.worth for one in self.attempts])

    @property
    def share(self) -> FadedShare:
        """For the interval."""
        most = self._mean([one.worth if one.answered else 1.0 for one in self.attempts])
        return FadedShare(self.worth, max(self.worth, most), effective_n(self.weights), self.known)

    def lost_to(self, cause: Cause) -> float:
        """Share of this kind's worth that its runs lost to a cause."""
        return self._mean([1 - one.worth if _cause(one) is cause else 0.0 for one in self.attempts])

    def _mean(self, values: Sequence[float]) -> float:
        total = sum(self.weights)
        weighted = sum(weight * value for weight, value in zip(self.weights, values, strict=True))
        return min(1.0, weighted / total) if total else 0.0


def score(target: str, attempts: Iterable[Attempt], applicable: Sequence[str], version: str, now: datetime) -> Score:
    """Score a target whose present pipeline is ``version``, over the kinds of fault that it can suffer.

    Attempts of other targets and on other kinds are left out.  No applicable kind: value 0, anything possible.
    """
    mine = [one for one in attempts if one.target == target]
    kinds = [_kind(name, mine, version, now) for name in sorted(set(applicable))]
    families = tuple(_part(name, list(group)) for name, group in groupby(kinds, key=lambda one: _family(one.name)))
    pulls = [pull for one in kinds for pull in _pulls(one, len(kinds))]
    whole = _part(target, kinds)
    return Score(
        **whole.model_dump(),
        version=version,
        at=now,
        families=families,
        pulls=tuple(sorted(pulls, key=_gravest_first)),
    )


def _kind(name: str, attempts: Sequence[Attempt], version: str, now: datetime) -> _Kind:
    mine = tuple(sorted((one for one in attempts if name in one.kinds), key=lambda one: (one.at, one.run_id)))
    if not mine:
        return _Kind(name)
    latest = mine[-1].at
    answers = [(one, faded((now - one.at).total_seconds(), HALF_LIFE.total_seconds())) for one in mine if one.answered]
    ages = [now - one.at for one, _ in answers]
    return _Kind(
        name,
        mine,
        # Relative to the latest run, not to today: time that passes never shifts the weights to the better answers.
        tuple(faded((latest - one.at).total_seconds(), MEMORY.total_seconds()) * _beside(one, version) for one in mine),
        max((left for _, left in answers), default=0.0),
        max((left * (1.0 if one.version == version else CHANGED) for one, left in answers), default=0.0),
        max(timedelta(0), min(ages)) if ages else None,
        any(one.version == version and now - one.at <= HALF_LIFE for one, _ in answers),
    )


def _beside(attempt: Attempt, version: str) -> float:
    """A run whose pipeline is not known counts as one on the present one: it might be."""
    return 1.0 if attempt.version in ("", version) else OLD_VERSION


def _part(name: str, kinds: Sequence[_Kind]) -> Part:
    shares = [one.share for one in kinds]
    value = sum(one.known * one.least for one in shares) / len(shares) if shares else 0.0
    low, high = mean_limits(shares, level=LEVEL)
    fresh = sum(one.fresh for one in kinds)
    return Part(
        name=name,
        value=value,
        low=min(low, value),
        high=max(high, value),
        coverage=fresh / len(kinds) if kinds else 0.0,
        kinds=len(kinds),
        fresh=fresh,
    )


def _family(kind: str) -> str:
    return kind.partition(".")[0]


def _cause(attempt: Attempt) -> Cause:
    if attempt.outcome is Outcome.UNREVERTED:
        return Cause.UNREVERTED
    if attempt.outcome is Outcome.DEVIATED:
        return Cause.SILENT if attempt.response is Response.SILENT else Cause.DEVIATED
    return Cause.NO_ANSWER


def _pulls(kind: _Kind, kinds: int) -> Iterable[Pull]:
    """What one kind lacks to be worth 1, part by part; together 1 - its worth today."""
    if not kind.attempts:
        yield Pull(kind=kind.name, cause=Cause.UNTESTED, lost=1 / kinds, sentence="never tested")
        return
    for cause in (Cause.UNREVERTED, Cause.SILENT, Cause.DEVIATED, Cause.NO_ANSWER):
        yield from _pull(kind, cause, kind.lost_to(cause) / kinds, _sentence(kind, cause))
    if kind.age is not None:  # what time and change take of the good answers
        stale, changed = kind.worth * (1 - kind.faded), kind.worth * (kind.faded - kind.known)
        yield from _pull(
            kind, Cause.STALE, stale / kinds, f"the last answer is {kind.age / timedelta(days=1):.0f} d old"
        )
        yield from _pull(kind, Cause.CHANGED, changed / kinds, "the pipeline changed since the last answer")


def _gravest_first(pull: Pull) -> tuple[bool, int, float, str]:
    """What is wrong before what is missing; what hardly counts any more comes last."""
    return pull.lost < NEGLIGIBLE, list(Cause).index(pull.cause), -round(pull.lost, 9), pull.kind


def _pull(kind: _Kind, cause: Cause, lost: float, sentence: str) -> Iterable[Pull]:
    if lost > 1e-9:
        yield Pull(kind=kind.name, cause=cause, lost=lost, sentence=sentence)


def _sentence(kind: _Kind, cause: Cause) -> str:
    mine = [one for one in kind.attempts if _cause(one) is cause and one.worth < 1]
    names = ", ".join(sorted({one.experiment for one in mine}))
    known = " (known)" if mine and all(one.known for one in mine) else ""
    match cause:
        case Cause.UNREVERTED:
            return f"{names} was not reverted"
        case Cause.SILENT:
            return f"{names} deviated and nothing noticed{known}"
        case Cause.DEVIATED:
            seen = ", ".join(sorted({one.response.value for one in mine}))
            return f"{names} deviated: {seen}{known}"
    return f"{len(mine)} of {len(kind.attempts)} planned runs gave no answer: {names}"
