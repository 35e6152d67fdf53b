"""The fork design: which checkpoint of a control a treatment trial goes on from, and why it cannot."""

from __future__ import annotations

from pathlib import Path

from chaos_tasks.model.base import Value
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.spec import ForkSpec
from chaos_tasks.model.trial import Trial, TrialStatus


class NoFork(Value):
    """Why a treatment trial cannot be forked from its control; such a trial is void."""

    why: str


def fork_of(plan: Plan, control: Trial | None) -> ForkSpec | NoFork | None:
    """Where the treatment of that control's seed starts; None where the experiment does not fork.

    A control whose observation was reused is forked from too, as long as what it kept is still there.
    """
    wanted = plan.experiment.analysis.fork
    if wanted is None:
        return None
    if control is None:
        return NoFork(why="its control has not run, so there is no checkpoint to start from")
    kept = control.kept
    if kept is None or kept.at_step != wanted.at_step or kept.step > wanted.at_step:
        return NoFork(why=f"its control left no checkpoint at or before step {wanted.at_step}")
    missing = [name for name in kept.files if not (Path(kept.folder) / name).is_file()]
    if missing:
        return NoFork(why=f"the checkpoint {missing[0]} that {control.id} kept is not there any more")
    return ForkSpec(trial_id=control.reused_from or control.id, kept=kept)


def is_no_fork(trial: Trial) -> bool:
    """Whether a trial was to be forked and did not go on from the checkpoint; no other seed would do better."""
    if trial.fork is None or trial.status is not TrialStatus.VOID or not trial.launches:
        return False
    return (trial.launches[0].first_step or 0) < trial.fork.step
