"""How long a run may take at most: what its trials are allowed, unless the experiment declares less."""

from __future__ import annotations

from datetime import timedelta

from chaos_tasks.model.plan import Plan


def longest(plan: Plan, *, injected: bool) -> timedelta:
    """Upper bound on the rest of a run: from arming on, or from injecting on.

    Every trial takes at most its target's time-out.  `guards.longest` bounds the time that the fault is in, since a run
    that takes longer is ended.  Set-up steps, each bounded by the same time-out, are counted once for each arm.
    """
    guards, analysis = plan.experiment.guards, plan.experiment.analysis
    timeout, setup = plan.target.workload.timeout, len(plan.target.workload.setup)
    rungs = 1 + len(plan.rungs)
    pairs = 2 * len(plan.seeds) * rungs  # a control may run beside the fault, right before its treatment
    under_fault = guards.longest or timeout * (pairs + 2 * setup)
    after = timeout * analysis.recovery_trials + guards.revert_within + guards.rto
    ahead = timedelta(0) if injected else timeout * (len(plan.seeds) * rungs + setup)
    return ahead + under_fault + after
