"""Ours and four known rules for a resilience score, on the same made-up histories.

`python -m benchmarks.score_rules` prints the table, writes results/score_rules.json and puts the table into
docs/score.md.  A second, and no noise: the histories are constructed.

The rules are re-implemented from their documentation and source, each with what it says about a missing answer:

- Litmus: a run's score is the weighted mean of its experiments' probe success (percent); equal weights here.  An
  experiment that is not in the run is not in the mean; one without an answer counts as a failed probe.
- Krkn: (total - lost) / total over weighted objectives; objectives without data are left out; 0 if none is left.
- Gremlin: passed 100, failed 50, not run 0, expired 75; mean over the tests of the suite.
- Kayenta: share of metric groups that pass; a group without data counts as 100; half or more without data: 0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from chaos_tasks.judging.score import HALF_LIFE, Attempt, score
from chaos_tasks.model.verdict import Outcome, Response

RESULTS = Path(__file__).parent / "results" / "score_rules.json"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "score.md"
BEGIN, END = "<!-- begin: rules -->", "<!-- end: rules -->"

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
CATALOGUE = tuple(f"data.kind_{number}" for number in range(10))
TESTED = CATALOGUE[:6]
BROKEN = TESTED[0]
NIGHTS = 14


@dataclass(frozen=True)
class Case:
    """Six of ten kinds tested for 14 nights; what came of one of them, and how long ago all that was."""

    name: str
    outcome: Outcome | None = Outcome.HELD
    response: Response = Response.MASKED
    planned: bool = True
    days_ago: int = 0
    changed: bool = False

    def attempts(self) -> list[Attempt]:
        """As the log has them."""
        kinds = TESTED if self.planned else TESTED[1:]
        return [self._attempt(kind, night) for kind in kinds for night in range(NIGHTS)]

    def _attempt(self, kind: str, night: int) -> Attempt:
        outcome, response = (self.outcome, self.response) if kind == BROKEN else (Outcome.HELD, Response.MASKED)
        return Attempt(
            run_id=f"{night}.{kind}",
            experiment=kind.partition(".")[2],
            target="t",
            kinds=(kind,),
            at=NOW - timedelta(days=self.days_ago + night),
            version="before" if self.changed else "now",
            outcome=outcome,
            response=response,
        )

    def answers(self) -> dict[str, Outcome | None]:
        """The last night by test of the suite, as the other rules see it; a test that was not planned is absent."""
        return {one.kinds[0]: one.outcome for one in reversed(self.attempts())}


CASES = (
    Case("all six held"),
    Case("one of them deviates, noticed", Outcome.DEVIATED, Response.DETECTED),
    Case("one of them deviates, silent", Outcome.DEVIATED, Response.SILENT),
    Case("that one gives no answer any more", None),
    Case("that one is not even run", planned=False),
    Case("all six held, four weeks ago", days_ago=28),
    Case("all six held, on another version", changed=True),
)


def litmus(case: Case) -> float | None:
    """Mean of probe success over the experiments of the run."""
    answers = case.answers().values()
    return sum(one is Outcome.HELD for one in answers) / len(answers)


def krkn(case: Case) -> float | None:
    """Objectives without data are left out."""
    answers = [one for one in case.answers().values() if one is not None]
    return sum(one is Outcome.HELD for one in answers) / len(answers) if answers else 0.0


def gremlin(case: Case) -> float | None:
    """A suite of six tests; after its expiry (a month in some pages, a week in others; a week here) a pass is 75."""
    answers = case.answers()
    passed = 0.75 if case.days_ago > 7 else 1.0
    worth: Mapping[Outcome | None, float] = {Outcome.HELD: passed, Outcome.DEVIATED: 0.5, None: 0.0}
    return sum(worth[answers.get(kind)] for kind in TESTED) / len(TESTED)


def kayenta(case: Case) -> float | None:
    """Six groups of one metric each."""
    answers = case.answers()
    missing = sum(answers.get(kind) is None for kind in TESTED)
    if missing >= len(TESTED) / 2:
        return 0.0
    return sum(answers.get(kind) in (Outcome.HELD, None) for kind in TESTED) / len(TESTED)


def ours(case: Case) -> float | None:
    """The shipped score; a planned run that was not even begun stays in the campaign's record."""
    attempts = case.attempts()
    if not case.planned:
        attempts += Case(case.name, None).attempts()[:NIGHTS]
    return score("t", attempts, CATALOGUE, "now", NOW).value


RULES: Mapping[str, Callable[[Case], float | None]] = {
    "Litmus": litmus,
    "Krkn": krkn,
    "Gremlin": gremlin,
    "Kayenta": kayenta,
    "Squall": ours,
}


def rows() -> list[tuple[str, dict[str, float | None]]]:
    """One row per case."""
    return [(case.name, {name: rule(case) for name, rule in RULES.items()}) for case in CASES]


def table(found: Sequence[tuple[str, Mapping[str, float | None]]]) -> str:
    """As Markdown."""
    head = ["six of ten kinds tested nightly, for 14 nights", *RULES]
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join(['---'] + ['---:'] * len(RULES))} |"]
    for name, values in found:
        cells = [f"{value:.2f}" if value is not None else "" for value in values.values()]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines)


def page_with(text: str, page: str) -> str:
    """The page with the table between its marks."""
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


def main() -> None:
    """A second."""
    found = rows()
    text = table(found)
    print(text)
    told = {"half_life_days": HALF_LIFE.days, "rows": [{"case": name, **values} for name, values in found]}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")
    PAGE.write_text(page_with(text, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
