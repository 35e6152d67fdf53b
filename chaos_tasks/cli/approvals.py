"""Commands for those who agree to experiments: look at plans, say yes or no, for one run or for a while."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.cli.people import me
from chaos_tasks.errors import GuardTripped, NotPermitted
from chaos_tasks.model.consent import Consent, Decision, Scope
from chaos_tasks.model.experiment import Risk
from chaos_tasks.model.request import RunRequest

if TYPE_CHECKING:
    from chaos_tasks.approving.story import Grant
    from chaos_tasks.composition import Squall

VIA = "command line"
POLL_S = 1.0


@click.group("approvals")
def approvals_command() -> None:
    """Who has to agree before something is put in, and what they said."""


@approvals_command.command("list")
def list_command() -> int:
    """Runs that wait for an approval, and standing approvals that are good now."""
    from chaos_tasks.approving.story import waiting
    from chaos_tasks.composition import build

    with build() as squall:
        now = squall.ledger.now()
        stories = waiting(squall.ledger)
        for story in stories:
            asked = story.request
            until = asked[1].respond_by if asked else now
            late = "too late: start it anew" if until < now else f"until {until:%Y-%m-%d %H:%M} UTC"
            plan = story.plan
            click.echo(
                f"waits     {story.run_id}  {plan.experiment.name} on {plan.target.name} ({plan.environment}), "
                f"risk {asked[1].risk.value if asked else '?'}, by {plan.requested_by}, {late}"
            )
        alive = [one for one in squall.engine.approvals.grants() if one.alive(now)]
        for grant in alive:
            click.echo(f"standing  {_line(grant)}")
    if not stories and not alive:
        click.echo("nobody waits, and no standing approval is good now")
    return ExitCode.HELD


@approvals_command.command("show")
@click.argument("run_id")
def show_command(run_id: str) -> int:
    """The plan of a run as it was registered, and everything that was said about it."""
    from chaos_tasks.approving.story import Story
    from chaos_tasks.composition import build

    with build() as squall:
        story = Story.of(squall.ledger, run_id)
        click.echo(squall.engine.approvals.shown(run_id))
        click.echo(f"\nneeds {story.consent.value}")
        for stored, said in story.decisions:
            click.echo(
                f"record {stored.seq}: {said.decision.value} by {said.by or 'nobody'} ({said.via}) {said.reason}"
            )
        for stored, permit in story.permits:
            click.echo(f"record {stored.seq}: a permit, good until {permit.expires_at:%Y-%m-%d %H:%M:%S} UTC")
        click.echo("its permit is used up" if story.used else _state(squall, run_id))
    return ExitCode.HELD


@approvals_command.command("approve")
@click.argument("run_id")
@click.option("--plan", "plan_sha256", required=True, help="Digest of the plan, as `squall approvals show` has it.")
@click.option("--reason", required=True, help="Why; goes on record with your name.")
def approve_command(run_id: str, plan_sha256: str, reason: str) -> int:
    """Agree to one run, once; only for the assigned, and not for who asked for it or owns it."""
    return _answer(run_id, Decision.APPROVE, reason, plan_sha256)


@approvals_command.command("reject")
@click.argument("run_id")
@click.option("--reason", required=True, help="Why; goes on record with your name.")
def reject_command(run_id: str, reason: str) -> int:
    """End a run that waits."""
    return _answer(run_id, Decision.REJECT, reason, "")


@approvals_command.command("grant")
@click.option("--environment", "environments", multiple=True, required=True)
@click.option("--target", "targets", multiple=True, required=True)
@click.option("--family", "families", multiple=True, required=True, help="Such as data or process.")
@click.option("--max-risk", type=click.Choice([one.value for one in Risk]), default=Risk.LOW.value, show_default=True)
@click.option("--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]), required=True, help="UTC.")
@click.option("--reason", required=True, help="Why; goes on record with your name.")
def grant_command(
    environments: tuple[str, ...],
    targets: tuple[str, ...],
    families: tuple[str, ...],
    max_risk: str,
    until: datetime,
    reason: str,
) -> int:
    """Give a standing approval: what it covers runs without anybody being asked, until it ends or is revoked."""
    from chaos_tasks.composition import build

    scope = Scope(
        environments=environments,
        targets=targets,
        families=families,
        max_risk=Risk(max_risk),
        expires_at=until.replace(tzinfo=UTC),
    )
    with build() as squall:
        stored = squall.engine.approvals.grant(scope, by=me(), via=VIA, reason=reason)
    click.echo(f"granted as record {stored.seq}  ->  squall approvals revoke {stored.seq}")
    return ExitCode.HELD


@approvals_command.command("revoke")
@click.argument("what")
@click.option("--reason", required=True, help="Why; goes on record with your name.")
def revoke_command(what: str, reason: str) -> int:
    """Take back a standing approval, by its record number, or a run's approval that is not used yet, by its id."""
    from chaos_tasks.composition import build

    with build() as squall:
        desk = squall.engine.approvals
        if what.isdecimal():
            desk.revoke(int(what), by=me(), via=VIA, reason=reason)
        else:
            desk.withdraw(what, by=me(), via=VIA, reason=reason)
    click.echo("revoked: nothing is put in on it any more")
    return ExitCode.HELD


def await_approval(squall: Squall, request: RunRequest, *, wait_s: float) -> None:
    """Ask where a person has to agree, and wait for the answer; raises NotPermitted without one, GuardTripped for a no.

    Silence is no consent, however long it lasts.
    """
    from chaos_tasks.approving.story import Story

    environment = squall.settings.entry(request.experiment.target).environment
    asks = squall.settings.approvals.at(environment).strictest is Consent.FOUR_EYES
    if not asks or request.experiment.ramp is not None:
        return
    run_id = squall.engine.propose(request).run_id
    deadline = squall.clock.monotonic() + wait_s
    while True:
        story = Story.of(squall.ledger, run_id)
        if story.consent is not Consent.FOUR_EYES or story.used:
            return
        answer = story.answer
        if story.ended or (answer is not None and answer[1].decision is not Decision.APPROVE):
            raise GuardTripped(f"run {run_id} was not approved", remedy=f"squall approvals show {run_id}")
        if answer is not None:
            return
        if squall.clock.monotonic() >= deadline:
            raise NotPermitted(
                f"run {run_id} waits for an approval",
                remedy=f"let an assigned person look: `squall approvals show {run_id}`; then `--run-id {run_id}` again",
            )
        squall.clock.sleep(POLL_S)


def _answer(run_id: str, decision: Decision, reason: str, plan_sha256: str) -> int:
    from chaos_tasks.approving.desk import Answer
    from chaos_tasks.composition import build

    with build() as squall:
        said = Answer(decision, me(), VIA, squall.ledger.now(), reason)
        stored = squall.engine.approvals.answer(run_id, said, plan_sha256=plan_sha256)
    click.echo(f"record {stored.seq}: {decision.value} by {said.by}")
    return ExitCode.HELD


def _state(squall: Squall, run_id: str) -> str:
    from chaos_tasks.approving.story import Story

    try:
        Story.of(squall.ledger, run_id).usable(squall.ledger)
    except NotPermitted as error:
        return f"it may not inject now: {error.message}"
    return "it may inject now"


def _line(grant: Grant) -> str:
    scope = grant.granted.scope
    if scope is None:
        return f"record {grant.seq}"
    what = f"{', '.join(scope.families)} on {', '.join(scope.targets)} in {', '.join(scope.environments)}"
    until = f"{scope.expires_at:%Y-%m-%d %H:%M} UTC"
    return f"record {grant.seq}  {what}, risk {scope.max_risk.value} at most, by {grant.granted.by}, until {until}"
