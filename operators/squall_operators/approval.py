"""The step of an experiment's DAG in which a second person looks at its plan; what counts is the record, not its state.

Airflow's own approval lets anybody answer, takes silence for consent, and may be marked as done without any answer: so
nothing after it believes it.  A permit is issued here, and asked for where the fault is put in.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowFailException

from squall_operators.base import build, reset_crash_handler
from squall_operators.context import recorder_of, refuse_unreal_runs, squall_run_id
from squall_operators.errors import as_task_failure
from squall_operators.refusals import refusal_of
from squall_operators.steps import run_request

if TYPE_CHECKING:
    from airflow.sdk import Context

    from chaos_tasks.approving.desk import Answer
    from chaos_tasks.composition import Squall
    from chaos_tasks.model.request import RunRequest

VIA = "airflow"
SUBJECT = "Let this chaos experiment put its faults in?"


class ChaosApprovalOperator(ApprovalOperator):
    """
    Registers the plan, shows it to the assigned people, and records what one of them says.

    :param experiment: the experiment as JSON.
    :param experiment_sha256: SHA-256 of the file that it came from.
    :param form_fields: keys that a run's conf may have.
    :param people: Airflow names of those who may answer; never empty.
    :param response_timeout: after that nobody has agreed; there is no default answer.
    """

    ui_color = "#8d99ae"
    ui_fgcolor = "#ffffff"

    def __init__(
        self,
        *,
        experiment: str,
        people: Sequence[str],
        response_timeout: timedelta,
        experiment_sha256: str = "",
        form_fields: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        if not people:
            raise ValueError("an approval without assigned people could be given by anybody")
        if response_timeout <= timedelta(0):
            raise ValueError("an approval must end: give a response_timeout")
        for name in ("defaults", "assigned_users", "fail_on_reject"):
            if name in kwargs:
                raise ValueError(f"{name} is not for callers: silence is no consent, and the people are the policy's")
        super().__init__(
            subject=SUBJECT,
            body="",
            assigned_users=[{"id": name, "name": name} for name in people],
            response_timeout=response_timeout,
            params={"reason": Param(None, type=["null", "string"], maxLength=1000, title="Reason")},
            **kwargs,
        )
        self.experiment = experiment
        self.experiment_sha256 = experiment_sha256
        self.form_fields = form_fields

    def execute(self, context: Context) -> object:
        """Propose the run; ends at once where it needs nobody, else shows the plan from the ledger and waits."""
        reset_crash_handler()
        with as_task_failure():
            refuse_unreal_runs(context)
            with build(recorder_of(context)) as squall:
                plan = squall.engine.propose(self._request(context))
                refused = refusal_of(squall, plan.run_id)
                if refused:  # a scheduler that was faster than the failed task tries it again: nobody is asked twice
                    raise AirflowFailException(f"{plan.run_id} was refused: {refused}")
                if squall.engine.approvals.is_settled(plan.run_id):
                    self.log.info("%s needs nobody's approval, or has it", plan.run_id)
                    return plan.run_id
                self.body = squall.engine.approvals.shown(plan.run_id)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Record the answer before anything follows from it; a yes that does not count fails the task."""
        reset_crash_handler()
        with as_task_failure(), build(recorder_of(context)) as squall:
            said = self._said(context, event)
            self._record(squall, context, said)
        if said.by == "":
            raise AirflowFailException("nobody answered in time, which is a no")
        answer = super().execute_complete(context, event)
        return {"chosen_options": answer["chosen_options"]}

    def _record(self, squall: Squall, context: Context, said: Answer) -> None:
        stored = squall.engine.answer(self._request(context), said)
        self.log.info("Record %d: %s", stored.seq, said.decision.value)

    def _said(self, context: Context, event: dict[str, Any]) -> Answer:
        """What the person said, who it was, and who may it not have been."""
        from chaos_tasks.approving.desk import Answer
        from chaos_tasks.model.consent import Decision

        user = event.get("responded_by_user") or {}
        names = [str(user[key]) for key in ("id", "name") if user.get(key)]
        if "error" in event or not names or event.get("timedout"):
            return Answer(Decision.EXPIRE, "", VIA, datetime.now(UTC))
        people = {str(one["id"]) for one in self.assigned_users or ()}
        by = next((name for name in names if name in people), names[0])
        approved = list(event.get("chosen_options") or ()) == [self.APPROVE]
        reason = str((event.get("params_input") or {}).get("reason") or "")
        return Answer(
            Decision.APPROVE if approved else Decision.REJECT,
            by,
            VIA,
            _moment(event["responded_at"]),
            reason=reason[:1000],
            also=tuple(names),
            asked_by=(str(context["dag_run"].triggering_user_name or ""),),
        )

    def _request(self, context: Context) -> RunRequest:
        return run_request(squall_run_id(context), context, self.experiment, self.experiment_sha256, self.form_fields)


def _moment(told: object) -> datetime:
    found = told if isinstance(told, datetime) else datetime.fromisoformat(str(told))
    return found.astimezone(UTC)
