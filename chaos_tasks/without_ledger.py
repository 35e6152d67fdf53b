"""The ledger is gone while faults are in: they go out all the same; the sweep records it once the ledger is back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from chaos_tasks import acts
from chaos_tasks.acts import ActParts
from chaos_tasks.errors import Fenced, LedgerError, SquallError, own_words
from chaos_tasks.model.handle import HARMFUL_PHASES, OPEN_PHASES, HandleState
from chaos_tasks.model.plan import Plan, Recorder
from chaos_tasks.ports import Ledger
from chaos_tasks.workspaces import Workspaces


@dataclass(frozen=True)
class WithoutLedger:
    """Undoes what a run has in, without a record; ``parts`` gives what acting for a step of its plan needs."""

    ledger: Ledger
    workspaces: Workspaces
    recorder: Recorder
    parts: Callable[[Plan, str], ActParts]

    @contextmanager
    def undone_if_lost(self, plan: Plan) -> Iterator[None]:
        """A task of a scheduler is all there is: no later one can revert, or sweep, what the ledger does not tell."""
        armed = self.ledger.handles(run_id=plan.run_id, phases=OPEN_PHASES)
        try:
            yield
        except acts.NO_LEDGER as error:
            if self.is_lost(plan):
                raise self.undo(plan, armed, error) from error
            raise

    def is_lost(self, plan: Plan) -> bool:
        """Asked by a write: a ledger whose disk is full can still be read."""
        try:
            self.ledger.renew(plan.run_id, lease_s=plan.experiment.guards.lease.total_seconds())
        except acts.NO_LEDGER:
            return True
        except Fenced:
            pass
        return False

    def undo(self, plan: Plan, armed: Sequence[HandleState], lost: SquallError) -> LedgerError:
        """Undo them, latest first, whatever fails; returns what to raise, which says what is left."""
        overdue = self._overdue(plan)
        with suppress(SquallError, OSError):
            self.workspaces.end_workloads(plan)
        left = overdue or self._undo_all(plan, armed)
        told = f"not undone: {'; '.join(left)}" if left else "what was in has been undone, without a record"
        return LedgerError(
            f"run {plan.run_id} has lost its ledger ({lost.message}); {told}",
            remedy=f"bring the ledger back: `squall sweep` records the undo, and {self._who_judges(plan)} its verdict",
        )

    def _overdue(self, plan: Plan) -> list[str]:
        """Asked before its processes are ended, which takes its time too."""
        try:
            acts.refuse_overdue(self.ledger, plan.run_id)
        except Fenced as error:
            return [error.message]
        return []

    def _undo_all(self, plan: Plan, armed: Sequence[HandleState]) -> list[str]:
        """What could not be undone, and why."""
        left = []
        for state in reversed(armed):
            try:
                self._undo_one(plan, state)
            except Exception as error:  # noqa: BLE001  of a fault's code or of a driver: the others must go out too
                left.append(f"{state.handle.id}: {own_words(error)}")
        return left

    def _undo_one(self, plan: Plan, state: HandleState) -> None:
        """What was announced by whoever did; what is only armed was not put in, and may be others' work by now."""
        parts = self.parts(plan, state.handle.step)
        if state.phase in HARMFUL_PHASES or state.handle.id in parts.begun:
            acts.undo_unrecorded(parts, state.handle)

    def _who_judges(self, plan: Plan) -> str:
        if self.recorder.dag_id:
            return "the task `judge`, cleared with those after it,"
        return f"the run called again under its name ({plan.run_id})"
