"""Judges what a file holds and prints the verdict: `python -m tests.unit.judging.judging_program FILE`."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from chaos_tasks.judging.facts import RunFacts
from chaos_tasks.judging.judge import judge
from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import HandleState
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.trial import Observation, PairObservation, Trial
from chaos_tasks.model.verdict import Verdict


class Stored(Value):
    """All arguments of ``judge``."""

    plan: Plan
    trials: tuple[Trial, ...]
    observations: tuple[Observation, ...]
    pairs: tuple[PairObservation, ...]
    handles: tuple[HandleState, ...]
    facts: RunFacts
    now: datetime

    def judged(self) -> Verdict:
        """The verdict."""
        return judge(self.plan, self.trials, self.observations, self.handles, self.facts, self.now, pairs=self.pairs)


def main() -> None:
    """Print the canonical bytes of the verdict."""
    stored = Stored.model_validate_json(Path(sys.argv[1]).read_bytes())
    sys.stdout.buffer.write(stored.judged().canonical())


if __name__ == "__main__":
    main()
