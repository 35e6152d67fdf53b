"""How long a run may take at most: what its trials are allowed, unless the experiment declares less."""

from __future__ import annotations

from datetime import timedelta

from chaos_tasks.errors import GuardTripped
from chaos_tasks.model.duration import format_duration
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.record import RecordKind, TrialStart
from chaos_tasks.model.target import AirflowDagWorkload, Workload
from chaos_tasks.model.trial import Arm
from chaos_tasks.ports import LedgerReader


def longest(plan: Plan, *, injected: bool) -> timedelta:
    """Upper bound on the rest of a run: from arming on, or from injecting on.

    Every trial takes at most its target's time-out.  `guards.longest` bounds the time that the fault is in, since a run
    that takes longer is ended.  Set-up steps, each bounded by the same time-out, are counted once for each arm.
    """
    guards, analysis = plan.experiment.guards, plan.experiment.analysis
    timeout, setup = _of_a_trial(plan.target.workload), len(plan.target.workload.setup)
    rungs = 1 + len(plan.rungs)
    pairs = 2 * len(plan.seeds) * rungs  # a control may run beside the fault, right before its treatment
    under_fault = guards.longest or timeout * (pairs + 2 * setup)
    after = timeout * analysis.recovery_trials + guards.revert_within + guards.rto
    ahead = timedelta(0) if injected else timeout * (len(plan.seeds) * rungs + setup)
    return ahead + under_fault + after


def _of_a_trial(workload: Workload) -> timedelta:
    """One that waits for a scheduled run waits first."""
    attach = workload.attach if isinstance(workload, AirflowDagWorkload) else None
    return workload.timeout + (attach.wait if attach is not None else timedelta(0))


def within(plan: Plan, ledger: LedgerReader) -> None:
    """Raises GuardTripped once a run is under fault for longer than it declares; LedgerError where that is not told."""
    limit = plan.experiment.guards.longest
    if limit is None:
        return
    kinds = (RecordKind.INJECT_INTENT, RecordKind.TRIAL_STARTED)
    for stored in ledger.records(run_id=plan.run_id, kinds=kinds):
        payload = stored.record.payload
        if isinstance(payload, TrialStart) and payload.arm is not Arm.TREATMENT:
            continue
        if ledger.now() - ledger.recorded_at([stored])[stored.seq] > limit:
            raise GuardTripped(
                f"the run is under fault for longer than guards.longest = {format_duration(limit)}",
                remedy="ask fewer seeds, or raise guards.longest",
            )
        return  # the first one counts
