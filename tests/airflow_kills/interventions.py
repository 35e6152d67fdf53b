"""All rows, in the order of the page: what breaks, what people do, and what is promised to come of it."""

from __future__ import annotations

from chaos_tasks.model.verdict import Outcome
from tests.airflow_kills import scene
from tests.airflow_kills.rows import Executor, Row

HELD, INCONCLUSIVE, ABORTED = Outcome.HELD, Outcome.INCONCLUSIVE, Outcome.ABORTED
GOES_ON = frozenset({HELD, INCONCLUSIVE})
ENDED = frozenset({INCONCLUSIVE, ABORTED})
ANY_STATE = frozenset({"success", "failed"})

ROWS: tuple[Row, ...] = (
    Row(
        "kill-task",
        "SIGKILL of the task process",
        "The supervisor sees the end of its pipe, lets the training go on and ends it. Airflow tries the task again, "
        "which goes on at the first unfinished trial, under the data fault that is still in and whose lease it keeps; "
        "a try that begins after the lease finds it swept.",
        scene.kill_task,
        GOES_ON,
        ANY_STATE,
        ends=False,
        quick=True,
    ),
    Row(
        "kill-supervisor",
        "SIGKILL of Squall's supervisor",
        "The training dies with it, its trial is void; the task starts another supervisor for the next seed.",
        scene.kill_supervisor,
        GOES_ON,
        ANY_STATE,
        ends=False,
    ),
    Row(
        "kill-both",
        "SIGKILL of the task process and of the supervisor at the same instant",
        "The training dies with them. Airflow's next try takes up what they left, or the sweep does, whoever is first.",
        scene.kill_task_and_supervisor,
        GOES_ON | ENDED,
        ANY_STATE,
        ends=False,
    ),
    Row(
        "kill-watcher",
        "SIGKILL of Airflow's process that watches the task",
        "The orphaned task loses Airflow; it ends itself and reverts, or the sweep does.",
        scene.kill_watcher,
        GOES_ON | ENDED,
        ANY_STATE,
        ends=False,
    ),
    Row(
        "kill-worker",
        "SIGKILL of the Airflow worker with its pool",
        "As above; another worker, or the same one started again, gets the next try.",
        scene.kill_worker,
        GOES_ON | ENDED,
        ANY_STATE,
        ends=False,
        executors=(Executor.CELERY,),
    ),
    Row(
        "kill-machine",
        "The machine of the workload dies: worker, task, supervisor and training at once",
        "Nobody renews the lease: the sweep reverts.",
        scene.kill_machine_and_start_it,
        GOES_ON | ENDED,
        ANY_STATE,
    ),
    Row(
        "kill-scheduler",
        "SIGKILL of the scheduler, which stays away until everything is out",
        "The exercise task ends its trials; nobody schedules the revert task, so the sweep reverts after the lease.",
        scene.kill_scheduler,
        GOES_ON | ENDED,
        ANY_STATE,
        ends=False,
        mend=scene.start_again,
    ),
    Row(
        "kill-scheduler-tree",
        "SIGKILL of the scheduler with all that it forked, started again at once",
        "On LocalExecutor the task dies too, and the sweep reverts once the lease is over; on Celery the run goes on.",
        scene.kill_scheduler_and_start_it,
        GOES_ON | ENDED,
        ANY_STATE,
        ends=False,
    ),
    Row(
        "restart-scheduler",
        "The scheduler is stopped in order (SIGTERM) and started again",
        "As above.",
        scene.restart_scheduler,
        GOES_ON | ENDED,
        ANY_STATE,
        ends=False,
    ),
    Row(
        "restart-api",
        "SIGKILL of the API server, started again at once",
        "The task waits for it and goes on, or is tried again, or is swept where that took longer than the lease.",
        scene.restart_api_server,
        GOES_ON | ENDED,
        ANY_STATE,
        ends=False,
    ),
    Row(
        "kill-api",
        "SIGKILL of the API server, which stays away until everything is out",
        "Airflow ends a task that cannot report, or Squall stops it, since the lever's Variable cannot be read; then "
        "nobody renews, and the sweep reverts after the lease. Once the server is back, the next try finds it swept.",
        scene.kill_api_server,
        GOES_ON | ENDED,
        ANY_STATE,
        ends=False,
        mend=scene.start_again,
    ),
    Row(
        "mark-failed",
        "The exercise task is marked failed",
        "Airflow ends the task, which stops its supervisor; the revert task runs at once.",
        scene.mark_failed,
        ENDED,
        frozenset({"failed"}),
        quick=True,
    ),
    Row(
        "mark-success",
        "The exercise task is marked success",
        "The same; the verdict counts trials in the ledger, not the colour of a task.",
        scene.mark_success,
        ENDED,
        frozenset({"failed"}),
    ),
    Row(
        "clear",
        "The exercise task is cleared",
        "It is ended and runs again with inject before it; what is in stays in, once.",
        scene.clear,
        GOES_ON | ENDED,
        ANY_STATE,
        ends=False,
    ),
    Row(
        "mark-run-failed",
        "The DAG run is marked failed",
        "Airflow ends the task and runs the teardown, the revert task, and nothing after it: so that one judges too. "
        "It may show the run as a success.",
        scene.mark_run_failed,
        ENDED,
        ANY_STATE,  # Airflow decides by the last task, which it has skipped: its colour says nothing
    ),
    Row(
        "mark-run-success",
        "The DAG run is marked success",
        "The same.",
        scene.mark_run_success,
        ENDED,
        ANY_STATE,
    ),
    Row(
        "pause",
        "The DAG is paused, and unpaused once everything is out",
        "The task that runs goes on to its end; no teardown is scheduled, so the sweep reverts once the lease is over. "
        "Unpaused, the run comes to its verdict.",
        scene.pause,
        GOES_ON | ENDED,
        ANY_STATE,
        ends=False,
        mend=scene.unpause,
    ),
    Row(
        "pause-kill",
        "The DAG is paused, then SIGKILL of the task process; unpaused once everything is out",
        "Nobody tries again: the sweep reverts once the lease is over.",
        scene.pause_and_kill_task,
        ENDED,
        frozenset({"failed"}),
        mend=scene.unpause,
        quick=True,
    ),
    Row(
        "again",
        "A second run is started, the same run id once more, and the run is deleted",
        "The second run waits until the first has ended; the same id and the deletion are refused (409).",
        scene.ask_for_more,
        GOES_ON,
        frozenset({"success"}),
        ends=False,
        afterwards=scene.let_the_second_run_end,
    ),
    Row(
        "clear-judged",
        "A run that has ended is cleared as a whole",
        "Nothing is armed or injected again, and the first verdict stands.",
        scene.nobody,
        GOES_ON,
        frozenset({"success", "failed"}),
        ends=False,
        afterwards=scene.clear_all_afterwards,
    ),
)

BY_KEY = {row.key: row for row in ROWS}
