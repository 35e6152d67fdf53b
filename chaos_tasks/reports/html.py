"""The report as one HTML file: no script, nothing loaded, everything escaped; the same report gives the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from chaos_tasks.judging.dossier import Dossier
from chaos_tasks.judging.facts import Injection
from chaos_tasks.judging.reaction_wording import period
from chaos_tasks.judging.timeline import Moment, moments
from chaos_tasks.judging.wording import count, percent, seconds
from chaos_tasks.model.experiment import KnownFinding
from chaos_tasks.model.plan import Plan
from chaos_tasks.model.reaction import ReactionDetail
from chaos_tasks.model.record import SearchEnded
from chaos_tasks.model.trial import Arm, Trial
from chaos_tasks.model.verdict import CheckState, Outcome
from chaos_tasks.reports.charts import interval_chart, lanes_chart
from chaos_tasks.reports.night import NightReport, Urgency, owner_of
from chaos_tasks.reports.page import template
from chaos_tasks.reports.panel import Panel, panels, run_facts
from chaos_tasks.reports.response_chart import response_chart
from chaos_tasks.reports.screen import age

TONES: Mapping[str, str] = {
    **dict.fromkeys((Urgency.UNREVERTED, Urgency.SILENT, Urgency.NEWLY_DEVIATED, Urgency.DEVIATED), "bad"),
    **dict.fromkeys((Urgency.ABORTED, Urgency.INCONCLUSIVE, Urgency.UNJUDGED), "open"),
    **dict.fromkeys((CheckState.FAILED, Outcome.DEVIATED, Outcome.UNREVERTED), "bad"),
    **dict.fromkeys((CheckState.UNKNOWN, Outcome.INCONCLUSIVE, Outcome.ABORTED), "open"),
    **dict.fromkeys((CheckState.PASSED, Outcome.HELD), "good"),
}


@dataclass(frozen=True)
class _Section:
    """One run, ready for the template."""

    run_id: str
    experiment: str
    outcome: str
    tone: str
    response: str
    owner: str
    target: str
    hypothesis: str
    by_hand: str
    sentence: str
    plan_sha256: str
    first_seq: int
    last_seq: int
    search: SearchEnded | None
    known: KnownFinding | None
    ran: str
    panels: Sequence[Panel]
    reaction: ReactionDetail | None
    response_chart: Markup
    trials: Sequence[Trial]
    moments: Sequence[Moment]
    injections: Sequence[Injection]
    lanes: Markup


def render_html(report: NightReport, dossiers: Sequence[Dossier]) -> str:
    """The page; ``dossiers`` are the runs that get a section, as ``read_dossiers`` gives them."""
    sections = [_section(dossier) for dossier in dossiers]
    return template("night.html").render(
        report=report,
        runs=sections,
        shown={section.run_id for section in sections},
        charts={dossier.run_id: chart for dossier in dossiers if (chart := _first_chart(dossier))},
        age=lambda since: age(since, report.until),
        anchor=_anchor,
        tone=lambda word: TONES.get(word, ""),
        moment=_moment,
        instant=_instant,
        count=count,
        percent=percent,
        period=period,
        seconds=seconds,
    )


def _section(dossier: Dossier) -> _Section:
    plan, verdict = dossier.plan, dossier.verdict
    asked = plan or dossier.question
    reaction = verdict.reaction if verdict else None
    outcome = verdict.outcome.value if verdict else ("refused" if dossier.refused else "no verdict")
    return _Section(
        run_id=dossier.run_id,
        experiment=dossier.experiment,
        outcome=outcome,
        tone=TONES.get(outcome, "open"),
        response=verdict.response.value if verdict else "",
        owner=owner_of(dossier),
        target=f"{plan.target.name} ({plan.environment})"
        if plan
        else asked.experiment.target
        if asked
        else "no target",
        hypothesis=asked.experiment.hypothesis if asked else "",
        by_hand=_by_hand(plan) if plan and not plan.search_id else "",
        sentence=verdict.sentence if verdict else dossier.search.sentence if dossier.search else dossier.refused,
        search=dossier.search,
        plan_sha256=dossier.plan_sha256,
        first_seq=dossier.seq_range[0],
        last_seq=dossier.seq_range[1],
        known=verdict.known_finding if verdict else None,
        ran=run_facts(verdict) if verdict else "",
        panels=panels(dossier),
        reaction=reaction,
        response_chart=response_chart(reaction, dossier.run_id) if reaction else Markup(""),
        trials=[trial for arm in Arm for trial in dossier.arm(arm)],
        moments=moments(dossier),
        injections=dossier.facts.injections,
        lanes=lanes_chart(dossier),
    )


def _by_hand(plan: Plan) -> str:
    """What a person asked for instead of what the hypothesis speaks about; empty for a run as written."""
    asked, told = plan.overrides, []
    if asked.intensity is not None:
        told.append(f"intensity {asked.intensity:g}")
    if asked.hold_s is not None:
        told.append(f"held for {seconds(asked.hold_s)}")
    if asked.seeds is not None:
        told.append(count(asked.seeds, "seed"))
    return ", ".join(told)


def _first_chart(dossier: Dossier) -> Markup:
    """The chart of the check that the row is about: the first that failed, or that is not known."""
    checks = dossier.verdict.checks if dossier.verdict else ()
    for state in (CheckState.FAILED, CheckState.UNKNOWN):
        for check in checks:
            if check.state is state and check.margin is not None and check.estimate is not None:
                return interval_chart(check)
    return Markup("")


def _anchor(run_id: str) -> str:
    """An id without spaces or quotes, one per run."""
    return "run-" + hashlib.sha256(run_id.encode()).hexdigest()[:12]


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _instant(at: datetime) -> str:
    """To the tenth of a second: who noticed within one would else be seen at the same time as the fault."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-5] + " UTC"
