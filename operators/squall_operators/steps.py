"""The nine operators of an experiment's DAG, in the order in which they run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from chaos_tasks.answers import answer_of
from chaos_tasks.errors import SquallError
from squall_operators.assets import tell
from squall_operators.base import SquallOperator
from squall_operators.context import CAMPAIGN, conf_of, overrides_of, requested_by, task_place
from squall_operators.ending import judged_instead
from squall_operators.errors import BROKEN
from squall_operators.lineage_hook import TellsLineage
from squall_operators.links import MLFLOW_URL, REPORT_URL, MlflowRunLink, ReportLink
from squall_operators.refusals import refusal_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from chaos_tasks.composition import Squall
    from chaos_tasks.model.request import RunRequest
    from chaos_tasks.model.verdict import Verdict


class ArmFaultOperator(SquallOperator):
    """
    Checks the guards, registers the plan, takes the locks and a snapshot; harms nothing.

    While another run has what it needs, it is deferred, and its place in line is kept.

    :param experiment: the experiment as JSON (templated, so that it shows in the UI; see ``rendering.as_template``).
    :param experiment_sha256: SHA-256 of the file that it came from.
    :param form_fields: keys that a run's conf may have.
    """

    template_fields: Sequence[str] = ("run_id", "experiment", "experiment_sha256")
    template_fields_renderers: ClassVar[dict[str, str]] = {"experiment": "json"}
    ui_color = "#8d99ae"
    patience: ClassVar[timedelta | None] = timedelta(hours=12)

    def __init__(
        self, *, experiment: str, experiment_sha256: str = "", form_fields: Sequence[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.experiment = experiment
        self.experiment_sha256 = experiment_sha256
        self.form_fields = form_fields

    def act(self, squall: Squall, run_id: str, context: Context) -> str:
        """Arm; a refusal is final."""
        plan = squall.engine.arm(self.request(run_id, context))
        self.log.info("Armed %s: seeds %s", plan.run_id, ", ".join(str(seed) for seed in plan.seeds))
        return plan.run_id

    def request(self, run_id: str, context: Context) -> RunRequest:
        """What this DAG run asks for; raises GuardTripped for a conf that the form does not allow."""
        return run_request(run_id, context, self.experiment, self.experiment_sha256, self.form_fields)


class TrainBaselineOperator(SquallOperator):
    """Runs the control trials."""

    ui_color = "#2a9d8f"

    def act(self, squall: Squall, run_id: str, context: Context) -> None:
        """Resumes at the first unfinished trial when retried."""
        self.log.info("%d control trials ended", squall.engine.baseline(run_id))
        squall.engine.hand_over(run_id)


class InjectFaultOperator(SquallOperator):
    """Injects the faults that come before the workload, and arms those that fire during it."""

    ui_color = "#c1121f"
    from_control = True  # its identity is not the workload's

    def act(self, squall: Squall, run_id: str, context: Context) -> None:
        """May be called again after a crash: what is in stays in, once."""
        for receipt in squall.engine.inject(run_id):
            self.log.info("Receipt: %s", receipt.summary)
        squall.engine.hand_over(run_id)


class ExerciseWorkloadOperator(SquallOperator, TellsLineage):
    """Runs the treatment trials, while the supervisor fires the triggers and keeps the lease."""

    ui_color = "#e76f51"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stop_asked = False

    def act(self, squall: Squall, run_id: str, context: Context) -> None:
        """Resumes at the first unfinished trial when retried."""
        self.acted_on = run_id
        ended = squall.engine.exercise(run_id, task_place=task_place(context), stop=lambda: self.stop_asked)
        self.log.info("%d treatment trials ended", ended)

    def on_kill(self) -> None:
        """Ask the engine to stop the supervisor, which ends the workload's whole process group.

        Should this process be killed before that, the supervisor reads the end of its pipe and does the same.
        """
        self.stop_asked = True


class RevertFaultOperator(SquallOperator):
    """Fences the workload, reverts every fault of the run, and proves it."""

    ui_color = "#457b9d"
    # A guard or a newer epoch is no reason to leave a fault in: look again, and find what a sweep has reverted.
    final_errors: ClassVar[tuple[type[SquallError], ...]] = BROKEN

    def act(self, squall: Squall, run_id: str, context: Context) -> None:
        """Any phase, any number of times; a run of which Airflow runs nothing after this is judged here, and is red."""
        for receipt in squall.engine.revert(run_id, by="revert task"):
            self.log.info("Receipt: %s", receipt.summary)
        judged = judged_instead(squall, run_id, context)
        if judged:
            raise AirflowFailException(f"everything is out, and {judged}")
        with suppress(SquallError):  # the locks wait for the recovery trials; everything is out
            squall.engine.hand_over(run_id)


class MeasureRecoveryOperator(SquallOperator):
    """Measures whether, and after how long, the system is healthy again."""

    ui_color = "#2a9d8f"

    def act(self, squall: Squall, run_id: str, context: Context) -> None:
        """Waits at most the experiment's RTO."""
        squall.engine.recovery(run_id)


class JudgeExperimentOperator(SquallOperator):
    """Judges the run from its ledger records, whatever the tasks before it say; a finding is no failure."""

    ui_color = "#6d597a"

    def act(self, squall: Squall, run_id: str, context: Context) -> None:
        """The verdict goes into the ledger, not into XCom."""
        skip_if_refused(squall, run_id)
        self.log.info("%s", describe(squall.engine.judge(run_id)))


class PublishRunOperator(SquallOperator):
    """Shows the judged run in MLflow; MLflow being down is retried and changes no outcome."""

    ui_color = "#6d597a"
    operator_extra_links = (MlflowRunLink(), ReportLink())

    def act(self, squall: Squall, run_id: str, context: Context) -> None:
        """The links go into XCom."""
        skip_if_refused(squall, run_id)
        url = squall.engine.publish(run_id)
        context["ti"].xcom_push(key=MLFLOW_URL, value=url)
        if url.startswith("http"):
            context["ti"].xcom_push(key=REPORT_URL, value=f"{url}/artifacts")


class VerdictOperator(SquallOperator, TellsLineage):
    """Is the only leaf: fails unless the hypothesis held, or deviated as known, and nothing is left in.

    Its outlet is the verdict's asset (``assets``), told for nothing else.
    """

    ui_color = "#1d3557"

    def act(self, squall: Squall, run_id: str, context: Context) -> str:
        """Reads ledger records, never task states; raises for a missing verdict or an open handle."""
        refused = refusal_of(squall, run_id)
        if refused:
            raise AirflowFailException(f"{run_id} was refused, nothing was touched: {refused}")
        self.acted_on = run_id
        squall.sealer.after(f"the DAG run {run_id}")
        verdict = squall.engine.verdict(run_id)
        if verdict.needs_action:
            raise AirflowFailException(describe(verdict))
        self.log.info("%s", describe(verdict))
        if self.outlets and tell(answer_of(squall.ledger, run_id), self.outlets, context):
            self.log.info("Told to whoever waits for this verdict")
        return run_id


def run_request(
    run_id: str, context: Context, experiment: str, experiment_sha256: str, form_fields: Sequence[str]
) -> RunRequest:
    """What a DAG run asks for; raises GuardTripped for a conf that the form does not allow."""
    from chaos_tasks.model.experiment import Experiment
    from chaos_tasks.model.request import RunRequest

    overrides = overrides_of(context, form_fields)
    return RunRequest(
        run_id=run_id,
        campaign_id=str(conf_of(context).get(CAMPAIGN) or ""),
        experiment=Experiment.model_validate_json(experiment),
        experiment_file_sha256=experiment_sha256,
        overrides=overrides,
        requested_by=requested_by(context),
    )


def skip_if_refused(squall: Squall, run_id: str) -> None:
    """Skip the task for a run that never began."""
    refused = refusal_of(squall, run_id)
    if refused:
        raise AirflowSkipException(f"{run_id} was refused: {refused}")


def describe(verdict: Verdict) -> str:
    """One line for a log."""
    known = f" (known finding {verdict.known_finding.ticket})" if verdict.known_finding else ""
    return f"{verdict.experiment}: {verdict.outcome}, {verdict.response}{known}. {verdict.sentence}"
