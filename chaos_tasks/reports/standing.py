"""What a night's answers are worth among all its questions, in words, from its `campaign.adjusted` record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chaos_tasks.judging.wording import count
from chaos_tasks.model.adjustment import Adjusted, AskedExperiment, Standing
from chaos_tasks.model.base import Value
from chaos_tasks.model.record import Stored
from chaos_tasks.model.verdict import Outcome

ALONE = "sure alone, not yet among tonight's {questions}: another night tells"


class AmongMany(Value):
    """A night's deviations, by what is left of them among all its questions."""

    alpha: float
    questions: int
    deviated: int
    observed: int
    stand: int
    confirmed: int
    alone: int
    within_night: str
    over_nights: str

    @property
    def sentence(self) -> str:
        """'deviated 4: 2 seen, 1 stands among tonight's 36 questions, 1 is sure alone'."""
        parts = [
            (self.observed, "seen"),
            (self.stand, f"{'stands' if self.stand == 1 else 'stand'} among tonight's {_questions(self.questions)}"),
            (self.confirmed, "confirmed over nights"),
            (self.alone, f"{'is' if self.alone == 1 else 'are'} sure alone"),
        ]
        said = ", ".join(f"{number} {words}" for number, words in parts if number)
        return f"deviated {self.deviated}: {said}" if said else f"deviated {self.deviated}"


def adjustments(log: Iterable[Stored]) -> dict[str, Adjusted]:
    """By campaign."""
    found = ((stored.record.run_id, stored.record.payload) for stored in log)
    return {campaign: payload for campaign, payload in found if isinstance(payload, Adjusted)}


def among_many(adjusted: Adjusted) -> AmongMany:
    """The counts of one night."""
    deviated = [one.standing for one in adjusted.experiments if one.outcome is Outcome.DEVIATED]
    return AmongMany(
        alpha=adjusted.alpha,
        questions=adjusted.questions,
        deviated=len(deviated),
        observed=deviated.count(Standing.OBSERVED),
        stand=deviated.count(Standing.STANDS),
        confirmed=deviated.count(Standing.CONFIRMED),
        alone=deviated.count(Standing.ALONE),
        within_night=adjusted.within_night,
        over_nights=adjusted.over_nights,
    )


def words(adjusted: Mapping[str, Adjusted]) -> dict[str, tuple[Standing, str]]:
    """What became of each run's answer, and how to say it."""
    return {
        one.run_id: (one.standing, _words(one, night.questions))
        for night in adjusted.values()
        for one in night.experiments
    }


def _words(one: AskedExperiment, questions: int) -> str:
    match one.standing:
        case Standing.STANDS:
            return f"stands among tonight's {_questions(questions)}"
        case Standing.CONFIRMED:
            return f"confirmed over nights by {one.confirmed_by}"
        case Standing.ALONE:
            return ALONE.format(questions=_questions(questions))
    return ""


def _questions(number: int) -> str:
    return count(number, "question")
