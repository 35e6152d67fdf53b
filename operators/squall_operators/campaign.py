"""The night: plan it, run every experiment of it in a DAG run of its own, and say on one screen what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk.exceptions import AirflowFailException

from squall_operators.base import SquallOperator
from squall_operators.context import CAMPAIGN, requested_by
from squall_operators.links import REPORT_URL, ReportLink
from squall_operators.run_ids import dag_id_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from chaos_tasks.composition import Squall
    from chaos_tasks.reports.night import NightReport

WAITING: Mapping[str, Any] = {
    "wait_for_completion": True,
    "deferrable": True,
    "poke_interval": 1,
    "fail_when_dag_is_paused": True,
}
"""Wait without holding a worker, look every second (60 by default), and do not wait for a paused DAG for ever."""


class PlanCampaignOperator(SquallOperator):
    """Puts back what earlier nights left in, decides which experiments run tonight, and gives each a DAG run."""

    ui_color = "#8d99ae"

    def act(self, squall: Squall, run_id: str, context: Context) -> list[dict[str, object]]:
        """Arguments of one ``RunExperimentOperator`` per experiment."""
        run = context["dag_run"]
        # A night that is cleared becomes a campaign of its own: a run that has its verdict is never run again.
        plan = squall.beginning.begin(run.run_after.date(), requested_by=requested_by(context))
        context["ti"].xcom_push(key=CAMPAIGN, value=plan.campaign_id)
        for path in plan.broken:
            self.log.warning("Left out, since its file is broken: %s", path)
        return [
            {
                "trigger_dag_id": dag_id_of(entry.experiment),
                "trigger_run_id": entry.run_id,
                "conf": {CAMPAIGN: plan.campaign_id},
            }
            for entry in plan.entries
        ]


class RunExperimentOperator(TriggerDagRunOperator):
    """Starts the DAG of one experiment and waits for its end, deferred."""

    ui_color = "#e76f51"


class SummariseCampaignOperator(SquallOperator):
    """
    Writes the morning's report from the ledger, whatever became of the runs; fails over a lost or an unreverted one.

    :param campaign_id: the campaign (templated).
    """

    template_fields: Sequence[str] = ("run_id", "campaign_id")
    operator_extra_links = (ReportLink(),)
    ui_color = "#1d3557"

    def __init__(self, *, campaign_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id

    def act(self, squall: Squall, run_id: str, context: Context) -> str:
        """The first screen goes into the log; the report's path into XCom."""
        if not self.campaign_id or self.campaign_id == "None":
            raise AirflowFailException("the night was not planned\n  -> look at the log of the task `plan`")
        exported = squall.exports.night(self.campaign_id, over=True)
        squall.sealer.after(f"the night {self.campaign_id}")
        self.log.info("%s", exported.screen)
        context["ti"].xcom_push(key=REPORT_URL, value=str(exported.html))
        unsafe = not_in_order(squall, self.campaign_id, exported.report)
        if unsafe:
            raise AirflowFailException(f"{self.campaign_id}: {unsafe}\n  -> `squall status`, then {exported.html}")
        return str(exported.html)


def not_in_order(squall: Squall, campaign_id: str, report: NightReport) -> str:
    """Why a night must not look well in Airflow, whatever its experiments found; empty when it is in order."""
    from chaos_tasks.reports.night import Urgency

    left = [row.run_id for row in report.act_on if row.urgency is Urgency.UNREVERTED]
    if left:
        return f"not reverted: {', '.join(left)}"
    return "" if squall.campaign.is_over(campaign_id) else "a planned run has neither a verdict nor a refusal"
