"""What a person may do about a fault that cannot be put back since its place is gone: answer for it, on record."""

from __future__ import annotations

from dataclasses import dataclass

from chaos_tasks import acts, registry
from chaos_tasks.errors import GuardTripped, LedgerError, NotPermitted
from chaos_tasks.model.base import Value
from chaos_tasks.model.consent import ApprovalPolicy, Consent, same_person
from chaos_tasks.model.handle import CLOSED_PHASES, OPEN_PHASES, HandleState, Phase
from chaos_tasks.model.plan import Plan, Recorder
from chaos_tasks.model.record import Note, Record, RecordKind
from chaos_tasks.notifying import notices
from chaos_tasks.ports import Clock, Ledger
from chaos_tasks.runs import Run
from chaos_tasks.sweeping import Sweeper

LEASE_S = 60.0


class Abandoned(Value):
    """What came of it: put back after all, waiting for a second person, or given up."""

    handle_id: str
    run_id: str
    closed: bool
    summary: str


@dataclass(frozen=True)
class Abandoning:
    """Gives handles up: only after one more try to revert, and with two people where approvals ask for two."""

    ledger: Ledger
    clock: Clock
    sweeper: Sweeper
    recorder: Recorder
    policy: ApprovalPolicy

    def abandon(self, handle_id: str, *, by: str, reason: str) -> Abandoned:
        """Try to revert once more, else close the handle under a person's name, or ask for a second one.

        Raises LedgerError for an unknown handle, GuardTripped for one that is closed or whose run may still revert it,
        NotPermitted for somebody who may not.
        """
        state = self._open(handle_id)
        plan = Run(self.ledger, state.handle.run_id).registered()
        asked = self._asked(state)
        self._check(plan, asked, by)
        tried = self.sweeper.one(handle_id, by="person")
        if tried.reverted:
            self._unlock(state.handle.run_id)
            return self._said(state, True, f"put back after all: {tried.summary}")
        found = self._look(state)
        facts = {"by": by, "asked_by": str(asked.facts["by"]) if asked else "", "revert": tried.summary, "found": found}
        if asked is None and self._needs_two(plan):
            self._note(state, plan, RecordKind.ABANDON_ASKED, reason, facts)
            return self._said(state, False, "a second, assigned person has to say the same")
        taken = self.ledger.take_over(handle_id, lease_s=LEASE_S)
        record = self._record(taken, plan, RecordKind.HANDLE_ABANDONED, reason, facts)
        epoch = taken.handle.epoch
        self.ledger.transition(handle_id, to=Phase.ABANDONED, expect=OPEN_PHASES, epoch=epoch, record=record)
        self._unlock(state.handle.run_id)
        return self._said(state, True, f"given up by {by}: {reason}")

    def _open(self, handle_id: str) -> HandleState:
        state = self.ledger.handle(handle_id)
        if state is None:
            raise LedgerError(f"no handle {handle_id} in the ledger", remedy="`squall status` lists the open ones")
        if state.phase in CLOSED_PHASES:
            raise GuardTripped(f"{handle_id} is {state.phase.value} already", remedy="nothing is left to do about it")
        if state.phase is not Phase.UNREVERTED:
            raise GuardTripped(
                f"{handle_id} is {state.phase.value}: nobody has failed to revert it yet",
                remedy=f"squall revert {handle_id}",
            )
        return state

    def _asked(self, state: HandleState) -> Note | None:
        """What the first of two people said, if somebody did."""
        for stored in Run(self.ledger, state.handle.run_id).stored(RecordKind.ABANDON_ASKED):
            payload = stored.record.payload
            if stored.record.handle_id == state.handle.id and isinstance(payload, Note):
                return payload
        return None

    def _needs_two(self, plan: Plan | None) -> bool:
        """Where the environment is not known any more, the policy of those that nobody has named counts."""
        environment = plan.environment if plan else ""
        return self.policy.at(environment).strictest is Consent.FOUR_EYES

    def _check(self, plan: Plan | None, asked: Note | None, by: str) -> None:
        if asked is None or not self._needs_two(plan):
            return
        people = self.policy.at(plan.environment).people if plan else (by,)  # nobody is assigned to the unknown
        if plan and by not in people:
            raise NotPermitted(
                f"{by} is not assigned to approve in {plan.environment}",
                remedy=f"let one of the assigned say it: {', '.join(people) or 'nobody yet'}",
            )
        if same_person(by, str(asked.facts["by"])) or (plan and same_person(by, plan.experiment.owner)):
            raise NotPermitted(
                f"{by} has asked for it, or owns the experiment, and may not be the second person",
                remedy="let another assigned person look at the place",
            )

    def _look(self, state: HandleState) -> str:
        """What is there now, in words that name no data: the fingerprint against the one from before."""
        try:
            parts = self.sweeper.parts_of(state)
            before = acts.before_fingerprint(parts, state.handle)
            after = registry.fault(state.handle.kind).fingerprint(state.handle.place, parts.context)
        except Exception as error:  # noqa: BLE001  of a fault's code or a driver: that it cannot be read is the finding
            return f"it cannot be looked at: {notices.why_of(error)}"
        return "as before the fault" if before and before.digest == after.digest else "not as before the fault"

    def _unlock(self, run_id: str) -> None:
        if all(one.phase in CLOSED_PHASES for one in self.ledger.handles(run_id=run_id)):
            self.ledger.release(run_id)

    def _note(self, state: HandleState, plan: Plan | None, kind: RecordKind, text: str, facts: dict[str, str]) -> None:
        self.ledger.append(self._record(state, plan, kind, text, facts))

    def _record(
        self, state: HandleState, plan: Plan | None, kind: RecordKind, text: str, facts: dict[str, str]
    ) -> Record:
        handle = state.handle
        return Record(
            kind=kind,
            idem_key=f"{handle.run_id}/{kind.value}/{handle.id}/{handle.epoch}",
            occurred_at=self.clock.now(),
            run_id=handle.run_id,
            experiment=plan.experiment.name if plan else "",
            fault_kind=handle.kind,
            handle_id=handle.id,
            recorder=self.recorder,
            plan_sha256=plan.content_sha256 if plan else "",
            environment=plan.environment if plan else "",
            payload=Note(text=text[:1000], facts=dict(facts)),
        )

    def _said(self, state: HandleState, closed: bool, summary: str) -> Abandoned:
        return Abandoned(handle_id=state.handle.id, run_id=state.handle.run_id, closed=closed, summary=summary)
