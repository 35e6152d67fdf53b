"""The plan as people see it before they agree: target, faults, how much, how it is undone, when, and its digest."""

from __future__ import annotations

import json

from chaos_tasks import registry
from chaos_tasks.approving.needs import Need
from chaos_tasks.approving.story import Story
from chaos_tasks.model.duration import format_duration
from chaos_tasks.model.experiment import Step
from chaos_tasks.model.plan import Plan
from chaos_tasks.safety.lasting import longest
from chaos_tasks.safety.risk import risk_of


def plan_text(story: Story, need: Need) -> str:
    """Markdown, the same in Airflow and on the command line."""
    plan, asked = story.plan, story.request
    until = f"{asked[1].respond_by:%Y-%m-%d %H:%M} UTC" if asked else "-"
    lines = [
        f"**{plan.experiment.name}** on target **{plan.target.name}** in **{plan.environment}**",
        "",
        f"> {' '.join(plan.experiment.hypothesis.split())}",
        "",
        "| step | fault | on | with | touches at most | undo | risk |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_step(plan, step) for step in plan.experiment.method),
        "",
        f"- risk: {need.risk.value}; blast radius at most {plan.experiment.guards.blast_radius:.0%}",
        f"- takes at most {format_duration(longest(plan, injected=False))}, "
        f"{len(plan.seeds)} paired trials; stops by itself at: {_stops(plan)}",
        f"- data {plan.data_digest[:12]} at commit {plan.source_commit[:12]}",
        f"- asked for by {plan.requested_by}, owned by {plan.experiment.owner}; neither may approve it",
        f"- answer until {until}; then nobody has agreed",
    ]
    if plan.overrides.outside_window:
        lines.append(f"- **outside of the change windows**, because: {_plain(plan.overrides.outside_window)}")
    lines += ["", f"Run `{plan.run_id}`, plan `{story.registered.plan_sha256}`"]
    return "\n".join(lines)


def _step(plan: Plan, step: Step) -> str:
    place = plan.places.get(step.name)
    params = registry.fault_params(step.fault, step.params)
    share = "all of a process" if place is None else f"{registry.fault(step.fault).blast_radius(place, params):.1%}"
    risk = risk_of(step, plan.target, plan.environment, place)
    told = json.dumps(dict(step.params), sort_keys=True)
    when = step.trigger.at if step.fires_during else "before the workload"
    cells = (step.name, f"{step.fault} ({when})", step.target, told, share, risk.undo, f"{risk.risk.value}: {risk.why}")
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _stops(plan: Plan) -> str:
    names = [*(one.name for one in plan.experiment.guards.watch), *plan.experiment.guards.stop_when]
    return ", ".join(names) or "nothing of its own"


def _plain(text: str) -> str:
    """One line that breaks no table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
