"""Where approvals are asked for, given, refused and taken back; every answer is a record before anybody acts on it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chaos_tasks.approving.needs import Need, need_of
from chaos_tasks.approving.story import Grant, Story, covering, grants, standing_records
from chaos_tasks.errors import GuardTripped, IdempotencyConflict, LedgerError, NotPermitted
from chaos_tasks.model.consent import (
    LOG,
    ApprovalDecided,
    ApprovalPolicy,
    ApprovalRequested,
    Consent,
    Decision,
    OverrideUsed,
    PermitIssued,
    PolicyLoaded,
    Scope,
    same_person,
)
from chaos_tasks.model.duration import format_duration
from chaos_tasks.model.plan import Plan, Recorder
from chaos_tasks.model.record import Payload, Record, RecordKind, Stored
from chaos_tasks.ports import Clock, Ledger
from chaos_tasks.runs import Run, RunWriter

SKEW = timedelta(seconds=60)
"""Clocks of hosts may differ by so much before an answer counts as given in the future, or before it was asked for."""

RACES = 16
LONGEST_GRANT = timedelta(days=400)


ENDINGS = {
    Decision.REJECT: "its approval was rejected",
    Decision.EXPIRE: "nobody approved it in time",
    Decision.INVALID: "it was approved by somebody who may not, or not any more",
}


def new_nonce() -> str:
    """128 bits that nobody guesses."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class Answer:
    """What a person said, and when; ``also`` are further names of that person, ``asked_by`` of whoever asked."""

    decision: Decision
    by: str
    via: str
    at: datetime
    reason: str = ""
    also: tuple[str, ...] = ()
    asked_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class ApprovalDesk:
    """All that is done about approvals; the ledger itself uses permits up."""

    ledger: Ledger
    clock: Clock
    recorder: Recorder
    policy: ApprovalPolicy
    nonce: Callable[[], str] = field(default=new_nonce)

    def need(self, plan: Plan) -> Need:
        """What a plan needs by the policy of now."""
        reason = plan.overrides.outside_window
        return need_of(plan.experiment, plan.target, plan.environment, self.policy, outside_window=reason)

    def asks_a_person(self, run_id: str) -> bool:
        """Whether a run was registered as needing a person who looks at its plan."""
        return Story.of(self.ledger, run_id).consent is Consent.FOUR_EYES

    def is_settled(self, run_id: str) -> bool:
        """Whether nobody has to be asked: none is needed, or a permit is there that is good now."""
        story = Story.of(self.ledger, run_id)
        if story.consent is not Consent.FOUR_EYES or story.used:
            return True
        try:
            return story.usable(self.ledger) is not None
        except NotPermitted:
            return False

    # --- asking -------------------------------------------------------------------------------------------------

    def ask(self, plan: Plan) -> None:
        """Put the request on record, once, and the policy that it is measured by; nothing for a run that needs none."""
        story = Story.of(self.ledger, plan.run_id)
        if story.consent is Consent.NONE or story.request is not None:
            return
        need, digest = self.need(plan), self._say_policy()
        asked = ApprovalRequested(
            consent=story.consent,
            plan_sha256=plan.content_sha256,
            policy_sha256=digest,
            requested_by=plan.requested_by,
            owner=plan.experiment.owner,
            risk=need.risk,
            why=need.why,
            people=need.people,
            respond_by=plan.planned_at + self.policy.respond_within,
            outside_window=plan.overrides.outside_window,
        )
        self._writer(plan).write(RecordKind.APPROVAL_REQUESTED, asked)

    def early(self, plan: Plan) -> None:
        """What can be told before trials are run for nothing: raises NotPermitted."""
        consent = Story.of(self.ledger, plan.run_id).consent
        if consent is Consent.STANDING:
            self._covering(plan)
        if consent is Consent.FOUR_EYES and plan.search_id:
            raise NotPermitted(
                f"run {plan.run_id} is one of many of a search, and each would need a person's approval",
                remedy="search where nobody has to approve, or run single experiments here",
            )

    def ready(self, plan: Plan) -> None:
        """Right before a fault: what was asked for still suffices, and the permit is there.  Raises NotPermitted.

        A run that rests on a standing approval gets its permit here.
        """
        story, now = Story.of(self.ledger, plan.run_id), self.need(plan)
        if now.consent.rank > story.consent.rank:
            raise NotPermitted(
                f"run {plan.run_id} was registered as needing {story.consent.value}; "
                f"by the policy of now it needs {now.consent.value}",
                remedy="start a new run, which asks for what is needed now",
            )
        if story.consent is Consent.NONE or story.used:
            return
        if story.consent is Consent.STANDING:
            self._issue_standing(plan, story)
            return
        story.usable(self.ledger)
        answer = story.answer
        if answer is not None:
            self._check_person(story, (answer[1].by,), ())

    def override(self, plan: Plan) -> None:
        """Put on record that a run passes by the change calendar, and who agreed; once."""
        reason = plan.overrides.outside_window
        if not reason or Run(self.ledger, plan.run_id).stored(RecordKind.OVERRIDE_USED):
            return
        answer = Story.of(self.ledger, plan.run_id).answer
        used = OverrideUsed(
            what="outside of the change windows",
            reason=reason,
            requested_by=plan.requested_by,
            approved_by=answer[1].by if answer else "",
            approval_seq=answer[0].seq if answer else None,
        )
        self._writer(plan).write(RecordKind.OVERRIDE_USED, used)

    def shown(self, run_id: str) -> str:
        """The plan as a person is to see it, from the ledger: nothing that passed through XCom is in it."""
        from chaos_tasks.approving.showing import plan_text

        return plan_text(Story.of(self.ledger, run_id), self.need(Story.of(self.ledger, run_id).plan))

    # --- answering ----------------------------------------------------------------------------------------------

    def answer(self, run_id: str, said: Answer, *, plan_sha256: str = "") -> Stored:
        """Record an answer, and a permit after a yes.  Raises NotPermitted for a yes that does not count, recorded too.

        ``plan_sha256``: the plan that the person saw, where the caller knows it.
        """
        story = Story.of(self.ledger, run_id)
        self._check_open(story)
        if said.decision is Decision.APPROVE:
            try:
                self._check_answer(story, said, plan_sha256)
            except NotPermitted as error:
                self._decide(story, said, Decision.INVALID, error.message)
                raise
        stored = self._decide(story, said, said.decision, said.reason)
        if said.decision is Decision.APPROVE:
            until = min(said.at, self.ledger.now()) + self.policy.permit_for
            self._issue(story.plan, Consent.FOUR_EYES, stored.seq, until)
        elif said.decision in (Decision.REJECT, Decision.EXPIRE):
            self._refuse(story, said.decision)
        return stored

    def withdraw(self, run_id: str, *, by: str, via: str, reason: str) -> Stored:
        """Take an approval back that was not used yet; anybody may.  Raises GuardTripped once it was used."""
        story = Story.of(self.ledger, run_id)
        if story.used:
            raise GuardTripped(
                f"the permit of run {run_id} is used up: what it allowed is in, or was",
                remedy="`squall halt REASON` stops and reverts everything; `squall revert` a single run",
            )
        said = Answer(Decision.REVOKE, by, via, self.ledger.now(), reason)
        return self._decide(story, said, Decision.REVOKE, reason)

    # --- standing approvals -------------------------------------------------------------------------------------

    def grant(self, scope: Scope, *, by: str, via: str, reason: str) -> Stored:
        """A standing approval; raises NotPermitted for somebody who may not, GuardTripped for one without an end."""
        now = self.ledger.now()
        if not now < scope.expires_at <= now + LONGEST_GRANT:
            raise GuardTripped(
                "a standing approval ends in the future, within 400 days", remedy="give another `--until`"
            )
        for environment in scope.environments:
            self._check_assigned(environment, by)
        self._say_policy()
        return self._say(
            ApprovalDecided(decision=Decision.GRANT, by=by, via=via, reason=reason, decided_at=now, scope=scope)
        )

    def revoke(self, seq: int, *, by: str, via: str, reason: str) -> Stored:
        """Take a standing approval back; anybody may.  Raises LedgerError for a number that is none."""
        if not any(one.seq == seq for one in self.grants()):
            raise LedgerError(f"record {seq} is no standing approval", remedy="`squall approvals list` shows them")
        now = self.ledger.now()
        return self._say(
            ApprovalDecided(decision=Decision.REVOKE, by=by, via=via, reason=reason, decided_at=now, revokes=seq)
        )

    def grants(self) -> tuple[Grant, ...]:
        """All standing approvals, those that are over too."""
        return grants(standing_records(self.ledger))

    # --- who may ------------------------------------------------------------------------------------------------

    def _check_open(self, story: Story) -> None:
        if story.consent is not Consent.FOUR_EYES:
            raise GuardTripped(f"run {story.run_id} asks nobody", remedy="`squall approvals list` names those that do")
        if story.used or story.ended:
            raise GuardTripped(
                f"run {story.run_id} has gone on, or is over", remedy="an answer changes nothing any more: start anew"
            )

    def _asked_at(self, request: Stored) -> datetime:
        """By the ledger's clock, as answers are: the host that asked may have another time."""
        return self.ledger.recorded_at([request])[request.seq]

    def _check_answer(self, story: Story, said: Answer, plan_sha256: str) -> None:
        run_id, now = story.run_id, self.ledger.now()
        asked = story.request
        if asked is None:
            raise NotPermitted(f"run {run_id} has asked for no approval", remedy="start it again")
        self._check_person(story, (said.by, *said.also), said.asked_by)
        if plan_sha256 and plan_sha256 != story.registered.plan_sha256:
            raise NotPermitted(f"what was approved is not the plan of run {run_id}", remedy="look at it again")
        if said.at > now + SKEW or said.at < self._asked_at(asked[0]) - SKEW:
            raise NotPermitted(f"the approval of run {run_id} is dated {said.at:%Y-%m-%d %H:%M:%S}", remedy="ask anew")
        if now > asked[1].respond_by:
            raise NotPermitted(f"nobody answered run {run_id} in time", remedy="start a new run, and answer it sooner")
        if now - said.at >= self.policy.permit_for:
            kept = format_duration(self.policy.permit_for)
            raise NotPermitted(f"the approval of run {run_id} is older than {kept}", remedy="ask anew")

    def _check_person(self, story: Story, names: tuple[str, ...], asked_by: tuple[str, ...]) -> None:
        """Assigned, and neither who asked nor who owns it; the first of the names is the one that is assigned."""
        plan, by = story.plan, names[0]
        self._check_assigned(plan.environment, by)
        if any(same_person(name, other) for name in names for other in (plan.requested_by, *asked_by)):
            raise NotPermitted(
                f"{by} asked for run {story.run_id}, and may not approve it too",
                remedy="let another assigned person look at it",
            )
        if any(same_person(name, plan.experiment.owner) for name in names):
            raise NotPermitted(
                f"{by} owns experiment {plan.experiment.name}, and may not approve it too",
                remedy="let another assigned person look at it",
            )

    def _check_assigned(self, environment: str, by: str) -> None:
        people = self.policy.at(environment).people
        if by not in people:
            who = ", ".join(people) or "nobody yet"
            raise NotPermitted(
                f"{by or 'nobody'} is not assigned to approve in {environment} (assigned: {who})",
                remedy=f"let one of them look, or have the owner of squall.toml add people to "
                f"[approvals.environments.{environment}]",
            )

    # --- writing ------------------------------------------------------------------------------------------------

    def _covering(self, plan: Plan) -> Grant:
        found = covering(self.ledger, plan, self.need(plan).risk, self.ledger.now())
        if found is None:
            families = ", ".join(sorted({step.fault.partition(".")[0] for step in plan.experiment.method}))
            raise NotPermitted(
                f"no standing approval covers {families} faults on target {plan.target.name} ({plan.environment})",
                remedy="let an assigned person grant one: `squall approvals grant --help`",
            )
        return found

    def _issue_standing(self, plan: Plan, story: Story) -> None:
        grant = self._covering(plan)
        with suppress(NotPermitted):  # there is none yet, or it has run out
            if story.usable(self.ledger) is not None:
                return
        scope = grant.granted.scope
        until = self.ledger.now() + self.policy.permit_for
        self._issue(plan, Consent.STANDING, grant.seq, min(until, scope.expires_at) if scope else until)

    def _issue(self, plan: Plan, consent: Consent, approval_seq: int, until: datetime) -> Stored:
        permit = PermitIssued(
            nonce=self.nonce(),
            plan_sha256=plan.content_sha256,
            consent=consent,
            approval_seq=approval_seq,
            expires_at=until,
        )
        return self._writer(plan).write(RecordKind.PERMIT_ISSUED, permit, key=permit.nonce)

    def _decide(self, story: Story, said: Answer, decision: Decision, reason: str) -> Stored:
        asked = story.request
        answer = ApprovalDecided(
            decision=decision,
            by=said.by,
            via=said.via,
            reason=reason[:1000],
            decided_at=said.at,
            plan_sha256=story.registered.plan_sha256,
            request_seq=asked[0].seq if asked else None,
        )
        for _ in range(RACES):
            number = len(Run(self.ledger, story.run_id).stored(RecordKind.APPROVAL_DECIDED))
            with suppress(IdempotencyConflict):  # somebody else was faster
                return self._writer(story.plan).write(RecordKind.APPROVAL_DECIDED, answer, key=str(number))
        raise LedgerError("the answer could not be recorded: others were always faster", remedy="answer again")

    def end(self, run_id: str) -> None:
        """After an answer that does not count, where nobody is asked again."""
        self._refuse(Story.of(self.ledger, run_id), Decision.INVALID)

    def _refuse(self, story: Story, decision: Decision) -> None:
        text = ENDINGS[decision]
        facts = {"experiment": story.plan.experiment.name, "approval": decision.value}
        number = str(len(Run(self.ledger, story.run_id).stored(RecordKind.RUN_REFUSED)))
        self._writer(story.plan).note(RecordKind.RUN_REFUSED, text, key=number, facts=dict(facts))

    def _say_policy(self) -> str:
        digest = self.policy.content_sha256
        key = f"{RecordKind.POLICY_LOADED.value}/{digest}"
        said = self.ledger.records(run_id=LOG, kinds=(RecordKind.POLICY_LOADED,))
        if not any(one.record.idem_key == key for one in said):
            payload = PolicyLoaded(policy_sha256=digest, policy=self.policy)
            with suppress(IdempotencyConflict):  # another process was faster
                self.ledger.append(self._record(RecordKind.POLICY_LOADED, key, payload))
        return digest

    def _say(self, answer: ApprovalDecided) -> Stored:
        for _ in range(RACES):
            key = f"{LOG}/{len(standing_records(self.ledger))}"
            with suppress(IdempotencyConflict):
                return self.ledger.append(self._record(RecordKind.APPROVAL_DECIDED, key, answer))
        raise LedgerError("it could not be recorded: others were always faster", remedy="say it again")

    def _record(self, kind: RecordKind, key: str, payload: Payload) -> Record:
        now = self.clock.now()
        return Record(kind=kind, idem_key=key, occurred_at=now, run_id=LOG, recorder=self.recorder, payload=payload)

    def _writer(self, plan: Plan) -> RunWriter:
        return RunWriter.of(plan, self.ledger, self.clock, self.recorder)
