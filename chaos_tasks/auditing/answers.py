"""What an audit answers, and in which three ways: shown, failed, not shown.  Not shown is never a pass."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum

from chaos_tasks.ledger.verify import SHOWN, Answer, Offence, Verification
from chaos_tasks.model.base import Value


class Question(StrEnum):
    """In the order in which they are printed; `views` is about what MLflow shows, and belongs to authenticity."""

    INTEGRITY = "integrity"
    AUTHENTICITY = "authenticity"
    VIEWS = "views"
    ORDER = "order"
    COMPLETENESS = "completeness"
    REPERFORMANCE = "re-performance"


FIVE = tuple(question for question in Question if question is not Question.VIEWS)


class State(StrEnum):
    """Of one answer."""

    SHOWN = "shown"
    FAILED = "failed"
    NOT_SHOWN = "not shown"


class Finding(Value):
    """One answer: its state, one sentence, and the first of what is wrong."""

    state: State
    sentence: str
    problems: int = 0
    first: tuple[Offence, ...] = ()


class Audit(Value):
    """All answers about one ledger at one moment."""

    size: int
    root_sha256: str
    origin: str = ""
    verification: Verification
    integrity: Finding
    authenticity: Finding
    views: Finding
    order: Finding
    completeness: Finding
    reperformance: Finding

    def answer(self, question: Question) -> Finding:
        """By its name."""
        found: Finding = getattr(self, question.name.lower())
        return found

    def passes(self, required: Collection[Question] = FIVE) -> bool:
        """Whether nothing failed, and everything that is required was shown."""
        states = {question: self.answer(question).state for question in Question}
        return State.FAILED not in states.values() and all(states[each] is State.SHOWN for each in required)


def of_problems(problems: Sequence[tuple[int | None, str]], good: str, bad: str) -> Finding:
    """Failed when there is any problem, else shown."""
    first = tuple(Offence(seq=seq, what=what) for seq, what in problems[:SHOWN])
    state = State.FAILED if problems else State.SHOWN
    return Finding(state=state, sentence=bad if problems else good, problems=len(problems), first=first)


def of_answer(answer: Answer, good: str, bad: str) -> Finding:
    """The ledger's own answer in these words."""
    state = State.SHOWN if answer.ok else State.FAILED
    return Finding(state=state, sentence=good if answer.ok else bad, problems=answer.problems, first=answer.first)


def not_shown(why: str) -> Finding:
    """No evidence either way."""
    return Finding(state=State.NOT_SHOWN, sentence=why)
