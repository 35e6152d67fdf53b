"""What a night's answers are worth among all the questions asked: the payload of `campaign.adjusted`.

It rewrites nothing: verdicts stay as they are.  Evidence is the natural log of an e-value against "nothing is wrong".
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from chaos_tasks.model.base import Value
from chaos_tasks.model.verdict import CheckState, Outcome


class Standing(StrEnum):
    """What becomes of one answer among many questions."""

    NOT_FAILED = "not_failed"
    OBSERVED = "observed"  # a trial did what it must not: seen, not inferred, and so never adjusted away
    STANDS = "stands"  # a failure of the mean or the like that stands among all questions of the night
    CONFIRMED = "confirmed"  # stands among all questions of all nights, by the evidence of several nights
    ALONE = "alone"  # sure if it had been the only question; among so many not yet


class NightsState(Value):
    """How far the procedure over nights is."""

    nights: int = Field(0, ge=0)
    rejected: int = Field(0, ge=0)


class CarriedCheck(Value):
    """The last evidence of one check, so that no seed counts twice."""

    check: str
    log_e: float
    seeds: tuple[int, ...]


class Carried(Value):
    """The evidence of one experiment since its question, or the code of its pipeline, last changed."""

    experiment: str
    question_sha256: str = Field(description="Digest of the checks, the method and the target's description.")
    source_commit: str
    data_digest: str
    log_e: float = Field(0.0, description="Evidence over nights; 0 is none.")
    confirmed_by: str = Field("", description="Campaign in which it was confirmed; empty until then.")
    checks: tuple[CarriedCheck, ...] = ()


class Memory(Value):
    """All that one night hands to the next."""

    procedure: NightsState = NightsState()
    experiments: tuple[Carried, ...] = ()


class AskedCheck(Value):
    """One check of one experiment of the night."""

    experiment: str
    run_id: str
    check: str
    state: CheckState | None = Field(description="The unadjusted answer; None: no verdict.")
    log_e_fail: float | None = Field(description="None: this check brings no e-value.")
    standing: Standing


class AskedExperiment(Value):
    """One experiment of the night, all its checks together."""

    experiment: str
    run_id: str
    outcome: Outcome | None
    log_e_tonight: float = Field(description="Mean of tonight's e-values of its checks.")
    log_e_nights: float = Field(description="The same, with the nights before as far as they ask the same question.")
    confirmed_by: str = Field(
        "", description="Campaign in which the evidence over nights was enough; empty until then."
    )
    standing: Standing


class Adjusted(Value):
    """A night's answers among all its questions, and among those of all nights."""

    type: Literal["adjusted"] = "adjusted"
    alpha: float
    within_night: str
    over_nights: str
    questions: int = Field(ge=0, description="Checks of the night that were asked with evidence.")
    checks: tuple[AskedCheck, ...]
    experiments: tuple[AskedExperiment, ...]
    before: Memory
    after: Memory
    previous_seq: int | None = Field(None, description="Sequence number of the adjustment whose memory is `before`.")
    previous_leaf_sha256: str = ""

    def standing_of(self, run_id: str) -> Standing | None:
        """What became of a run's answer; None for a run that was not asked."""
        return next((one.standing for one in self.experiments if one.run_id == run_id), None)
