"""Approvals under the real scheduler: whatever is done to Airflow, without a second person nothing is put in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from chaos_tasks.approving.story import Story
from chaos_tasks.lab.airflow_api import AirflowApi, AirflowApiError, DagRun, TaskInstance, TaskState
from chaos_tasks.lab.waiting import wait_until
from chaos_tasks.model.consent import Decision, PermitConsumed
from chaos_tasks.model.record import Record, RecordKind
from chaos_tasks.model.verdict import Outcome
from squall_operators.run_ids import run_id_of
from tests.system.conftest import Lab
from tests.system.guarded_target import APPROVER, NAME

pytestmark = pytest.mark.live

APPROVE, REJECT = ["Approve"], ["Reject"]
STEP = "approve"


@pytest.fixture(scope="module")
def approver(lab: Lab) -> Iterator[AirflowApi]:
    """The assigned person, logged in."""
    passwords = json.loads(next(lab.project.home.glob("**/airflow/passwords.json")).read_text())
    with AirflowApi(lab.url, APPROVER, passwords[APPROVER]) as api:
        yield api


@pytest.fixture(autouse=True)
def nobody_left_waiting(lab: Lab) -> Iterator[None]:
    """One run at a time: what a failed test left waiting would keep all others from starting."""
    yield
    for run in lab.api.runs(f"chaos_{NAME}"):
        if not run.finished:
            lab.api.set_run_state(run.dag_id, run.run_id, "failed")
            lab.api.wait(run.dag_id, run.run_id, timeout_s=60)


def squall_id(run: DagRun) -> str:
    return run_id_of(run.dag_id, run.run_id)


def asked(lab: Lab, by: AirflowApi | None = None) -> DagRun:
    """A run that waits for its approval."""
    run = (by or lab.api).trigger(f"chaos_{NAME}")
    lab.await_task(run, STEP, "awaiting_input")
    return run


def answer(api: AirflowApi, run: DagRun, said: list[str]) -> None:
    """Answer, and once more when Airflow asks again.

    An answer that comes before its scheduler has heard that the task pauses makes it try the task again, without the
    answer (Airflow 3.3.2); people are rarely that fast.
    """
    for _ in range(3):
        known = step(api, run).try_number
        api.answer(run.dag_id, run.run_id, STEP, said, {"reason": "looked at it"})
        wait_until(
            lambda known=known: _is_over(step(api, run)) or _asks_again(step(api, run), known),  # type: ignore[misc]
            what=f"the answer to {run.run_id} to be taken",
            timeout_s=120,
            interval_s=0.2,
        )
        if _is_over(step(api, run)):
            return


def step(api: AirflowApi, run: DagRun) -> TaskInstance:
    return next(one for one in api.task_instances(run.dag_id, run.run_id) if one.task_id == STEP)


def _is_over(task: TaskInstance) -> bool:
    return task.state in ("success", "failed", "skipped")


def _asks_again(task: TaskInstance, known: int) -> bool:
    return task.state == "awaiting_input" and task.try_number > known


def assert_nothing_was_put_in(lab: Lab, run: DagRun) -> None:
    """By the records and by the target itself, whatever the tasks are."""
    kinds = lab.records(squall_id(run))
    assert RecordKind.INJECT_INTENT not in kinds
    assert RecordKind.PERMIT_CONSUMED not in kinds
    assert lab.left_in(squall_id(run)) == []
    assert lab.project.marks() == []
    assert lab.api.run(run.dag_id, run.run_id).state == "failed"


def decisions(lab: Lab, run: DagRun) -> list[tuple[Decision, str]]:
    return [(said.decision, said.by) for _, said in Story.of(lab.ledger, squall_id(run)).decisions]


@contextmanager
def policy(lab: Lab, line: str) -> Iterator[None]:
    """Another line of [approvals] for a while; every task reads the file anew."""
    before = lab.project.config.read_text()
    lab.project.config.write_text(before + f"\n[approvals]\n{line}\n")
    try:
        yield
    finally:
        lab.project.config.write_text(before)


def test_an_experiment_in_a_rehearsal_keeps_its_nine_tasks(lab: Lab) -> None:
    run = lab.end(lab.start("healthy"))
    assert len(lab.states(run)) == 9
    assert STEP not in lab.states(run)
    assert Story.of(lab.ledger, squall_id(run)).request is None


def test_a_second_person_lets_it_through_and_the_records_say_who(lab: Lab, approver: AirflowApi) -> None:
    run = asked(lab)
    shown = lab.api.hitl(run.dag_id, run.run_id, STEP)
    assert squall_id(run) in str(shown["body"])
    assert "tiny.mark" in str(shown["body"])
    assert shown["defaults"] is None
    answer(approver, run, APPROVE)
    run = lab.end(run)
    assert run.state == "success"
    verdict = lab.verdict(squall_id(run))
    assert verdict is not None
    assert verdict.outcome is Outcome.HELD
    assert decisions(lab, run) == [(Decision.APPROVE, APPROVER)]
    kinds = lab.records(squall_id(run))
    order = [
        RecordKind.APPROVAL_REQUESTED,
        RecordKind.APPROVAL_DECIDED,
        RecordKind.PERMIT_ISSUED,
        RecordKind.PERMIT_CONSUMED,
        RecordKind.INJECT_INTENT,
    ]
    assert [kind for kind in kinds if kind in order] == order


def test_who_asked_cannot_approve(lab: Lab, approver: AirflowApi) -> None:
    run = asked(lab, by=approver)
    answer(approver, run, APPROVE)  # Airflow takes it: it knows no such rule
    run = lab.end(run)
    assert decisions(lab, run) == [(Decision.INVALID, APPROVER)]
    assert lab.states(run)[STEP] == "failed"
    assert_nothing_was_put_in(lab, run)


def test_who_is_not_assigned_cannot_answer_and_a_no_is_a_no(lab: Lab, approver: AirflowApi) -> None:
    run = asked(lab)
    with pytest.raises(AirflowApiError, match="403"):
        answer(lab.api, run, APPROVE)
    answer(approver, run, REJECT)
    run = lab.end(run)
    assert decisions(lab, run) == [(Decision.REJECT, APPROVER)]
    assert lab.records(squall_id(run))[-1] is RecordKind.RUN_REFUSED
    assert_nothing_was_put_in(lab, run)


def test_silence_is_no_consent(lab: Lab) -> None:
    with policy(lab, 'respond_within = "5s"'):
        run = lab.end(lab.start(NAME))
    assert decisions(lab, run) == [(Decision.EXPIRE, "")]
    assert_nothing_was_put_in(lab, run)


def test_marking_the_approval_as_done_and_writing_its_xcom_lets_nothing_in(lab: Lab) -> None:
    run = asked(lab)
    lab.api.set_xcom(run.dag_id, run.run_id, STEP, "return_value", {"chosen_options": APPROVE})
    lab.api.set_task_state(run.dag_id, run.run_id, STEP, TaskState.SUCCESS)
    run = lab.end(run)
    states = lab.states(run)
    assert (states[STEP], states["arm"], states["baseline"]) == ("success", "success", "success")
    assert states["inject"] == "failed"
    verdict = lab.verdict(squall_id(run))
    assert verdict is not None
    assert verdict.outcome is Outcome.ABORTED
    assert "has no permit" in verdict.sentence
    assert_nothing_was_put_in(lab, run)


def test_marking_the_injection_as_done_too_lets_nothing_in(lab: Lab) -> None:
    run = asked(lab)
    lab.api.set_task_state(run.dag_id, run.run_id, STEP, TaskState.SUCCESS)
    lab.await_task(run, "inject", "failed")
    lab.api.set_task_state(run.dag_id, run.run_id, "inject", TaskState.SUCCESS)
    run = lab.end(run)
    assert_nothing_was_put_in(lab, run)


def test_a_permit_that_was_used_lets_no_other_run_through(lab: Lab, approver: AirflowApi) -> None:
    first = asked(lab)
    answer(approver, first, APPROVE)
    assert lab.end(first).state == "success"
    run = asked(lab)
    for stored in lab.ledger.records(
        run_id=squall_id(first), kinds=(RecordKind.APPROVAL_DECIDED, RecordKind.PERMIT_ISSUED)
    ):
        _copy(lab, stored.record, squall_id(run))
    lab.api.set_task_state(run.dag_id, run.run_id, STEP, TaskState.SUCCESS)
    run = lab.end(run)
    assert lab.states(run)["inject"] == "failed"
    assert_nothing_was_put_in(lab, run)
    uses = [one.record.payload for one in lab.ledger.records(kinds=(RecordKind.PERMIT_CONSUMED,))]
    nonces = [use.nonce for use in uses if isinstance(use, PermitConsumed)]
    assert len(nonces) == len(set(nonces))


def _copy(lab: Lab, record: Record, run_id: str) -> None:
    lab.ledger.append(record.model_copy(update={"run_id": run_id, "idem_key": f"{run_id}/{record.kind.value}/copied"}))


def test_an_approval_that_is_over_lets_nothing_in(lab: Lab, approver: AirflowApi) -> None:
    run = asked(lab)
    with policy(lab, 'permit_for = "1s"'):
        answer(approver, run, APPROVE)
        run = lab.end(run)
    assert_nothing_was_put_in(lab, run)
    assert any(said[0] in (Decision.APPROVE, Decision.INVALID) for said in decisions(lab, run))


def test_an_approval_that_is_taken_back_lets_nothing_in(lab: Lab, approver: AirflowApi) -> None:
    lab.project.slow.touch()
    try:
        run = asked(lab)
        answer(approver, run, APPROVE)
        lab.await_task(run, "baseline")
        _withdraw(lab, run)
    finally:
        lab.project.slow.unlink()
    run = lab.end(run)
    assert lab.states(run)["inject"] == "failed"
    assert decisions(lab, run) == [(Decision.APPROVE, APPROVER), (Decision.REVOKE, "somebody")]
    assert_nothing_was_put_in(lab, run)


def _withdraw(lab: Lab, run: DagRun) -> None:
    from chaos_tasks.approving.desk import ApprovalDesk
    from chaos_tasks.clock import SystemClock
    from chaos_tasks.model.consent import ApprovalPolicy
    from chaos_tasks.model.plan import Recorder

    desk = ApprovalDesk(lab.ledger, SystemClock(), Recorder(), ApprovalPolicy())
    desk.withdraw(squall_id(run), by="somebody", via="tests", reason="not now")


def test_an_experiment_that_is_edited_meanwhile_is_not_what_was_approved(
    lab: Lab, approver: AirflowApi, request: pytest.FixtureRequest
) -> None:
    path = lab.project.dags / "experiments" / f"{NAME}.yaml"
    before = path.read_text()
    undo: Callable[[], object] = lambda: path.write_text(before)  # noqa: E731
    request.addfinalizer(undo)
    run = asked(lab)
    path.write_text(before.replace("mode: whole", "mode: whole, share: 0.5"))
    answer(approver, run, APPROVE)
    run = lab.end(run)
    assert decisions(lab, run) == [(Decision.INVALID, APPROVER)]
    assert_nothing_was_put_in(lab, run)
