"""What was tried, read from the log: a planned run leaves a trace even when nothing else of it is left."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from chaos_tasks.judging.dossier import read_dossiers
from chaos_tasks.judging.history import attempts_of, latest_plans, version_of
from chaos_tasks.judging.score import Attempt, score
from chaos_tasks.model.plan import Overrides
from chaos_tasks.model.record import Note, RecordKind, Stored
from chaos_tasks.model.verdict import Outcome, Response, Verdict
from tests.unit.judging.cases import T0, log_of, plan, stored

FLIP = ("data.label_flip",)


def run(name: str, outcome: Outcome | None = Outcome.HELD, seq: int = 10, **changes: Any) -> list[Stored]:
    """The records of a run; without an outcome it has no verdict."""
    made = plan(name=name).model_copy(update=changes)
    verdict = outcome and Verdict(
        run_id=made.run_id,
        experiment=name,
        outcome=outcome,
        response=Response.SILENT if outcome is Outcome.DEVIATED else Response.MASKED,
        checks=(),
        decided_at=T0,
    )
    return log_of(made, [], [], verdict or None, first_seq=seq)


def planned(names: Sequence[str], *, told: bool = True) -> Stored:
    """A campaign that lists these runs; ``told``: with what each was to test."""
    facts: dict[str, Any] = {"experiments": list(names), "runs": [f"run-{name}" for name in names]}
    if told:
        facts |= {"targets": ["flights"] * len(names), "faults": [list(FLIP)] * len(names)}
    made = plan().model_copy(update={"run_id": "2026-11-23", "planned_at": T0 - timedelta(minutes=1)})
    return stored(made, 0, RecordKind.CAMPAIGN_PLANNED, Note(text="planned", facts=facts))


def tried(log: Sequence[Stored]) -> dict[str, Attempt]:
    """Attempts by run."""
    return {one.run_id: one for one in attempts_of(log, read_dossiers(log))}


def test_a_run_is_what_its_plan_and_verdict_say() -> None:
    one = tried(run("x", Outcome.DEVIATED))["run-x"]
    assert (one.target, one.kinds, one.outcome, one.response) == ("flights", FLIP, Outcome.DEVIATED, Response.SILENT)
    assert one.version == version_of(plan(name="x"))


def test_a_planned_run_that_never_began_counts_as_tried_without_an_answer() -> None:
    one = tried([planned(["x"])])["run-x"]
    assert (one.kinds, one.outcome, one.version) == (FLIP, None, "")


def test_a_refused_run_counts_as_tried_without_an_answer() -> None:
    refusal = stored(
        plan(name="x").model_copy(update={"run_id": "run-again"}), 50, RecordKind.RUN_REFUSED, Note(text="busy")
    )
    assert tried([*run("x"), refusal])["run-again"].outcome is None
    listed = stored(plan(name="x"), 50, RecordKind.RUN_REFUSED, Note(text="busy"))
    assert tried([planned(["x"]), listed])["run-x"].outcome is None


def test_deleting_everything_of_a_planned_run_never_raises_the_score() -> None:
    """Not even by the minute between the planning of the night and that of the run."""
    kept, version = run("y"), version_of(plan(name="y"))
    for outcome in (*Outcome, None):
        log = [planned(["x", "y"]), *run("x", outcome), *kept]
        gone = [log[0], *kept]
        values = [
            score("flights", attempts_of(part, read_dossiers(part)), FLIP, version, T0).value for part in (log, gone)
        ]
        assert values[1] <= values[0]


def test_an_older_list_is_filled_in_by_other_runs_of_the_experiment() -> None:
    other = run("x", planned_at=T0 - timedelta(days=1), run_id="run-before")
    found = tried([planned(["x", "unheard-of"], told=False), *other])
    assert found["run-x"].kinds == FLIP
    assert set(found) == {"run-x", "run-before"}


def test_runs_changed_by_hand_and_runs_of_a_search_are_left_out() -> None:
    for changes in ({"overrides": Overrides(intensity=0.001)}, {"overrides": Overrides(hold_s=0)}, {"search_id": "s"}):
        assert tried(run("x", **changes)) == {}
    assert set(tried(run("x", overrides=Overrides(seeds=2)))) == {"run-x"}


def test_the_present_pipeline_is_that_of_the_last_plan() -> None:
    new = run("y", planned_at=T0 + timedelta(days=1), source_commit="f" * 40)
    for log in ([*new, *run("x")], [*run("x"), *new]):
        assert latest_plans(read_dossiers(log))["flights"].source_commit == "f" * 40


def test_an_empty_log_holds_no_attempt() -> None:
    assert attempts_of([], []) == ()
    assert latest_plans([]) == {}
