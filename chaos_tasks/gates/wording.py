"""A gate report as text: what to know first, the smallest escapes, what was tried, and the proposed checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chaos_tasks.gates.proposing import Proposal
from chaos_tasks.gates.values import Escape, GateReport, HarmState, Passing, Share

WIDTH = 100


def summary(report: GateReport) -> str:
    """At most 100 columns."""
    return "\n".join(line[:WIDTH] for line in _lines(report))


def _lines(report: GateReport) -> Iterator[str]:
    measures = ", ".join(f"{one.name} worse by more than {one.margin:g}" for one in report.harms)
    yield f"Gate {', '.join(report.gates)} of {report.target} at {report.commit[:12]}"
    yield f"Harm: {measures} (alpha {report.alpha:g}, at most {report.cap} pairs of trainings)"
    yield ""
    yield f"Mutation score  {_share(report.score)}"
    yield "                killed among harmful, of mutants drawn at random from the strata that harm at all"
    passed = sum(one.escaped for one in report.tried)
    yield (
        f"Escapes         {passed} mutants harm and pass, in {len(report.escapes)} families; "
        f"{sum(one.killed for one in report.tried)} harmful ones were refused"
    )
    yield (
        f"Tried           {len(report.tried)} mutants: {report.count(Passing.REFUSED)} refused, "
        f"{report.count(Passing.INVALID)} crashed before training, {report.count(Passing.EQUIVALENT)} equivalent"
    )
    undecided = report.count(harm=HarmState.UNKNOWN)
    yield f"Not known       {undecided} mutants undecided; {report.unsearched} of {report.strata} strata not reached"
    if report.screen_miss is not None:
        yield f"                one pair misses harm of exactly the margin with chance {report.screen_miss:.2f}"
    cost = report.cost
    yield (
        f"Cost            {cost.trainings} trainings ({cost.controls} controls), {cost.gate_runs} gate runs, "
        f"{cost.preparations} preparations, {cost.seconds:.0f} s"
    )
    yield from _escapes(report.escapes)
    for kind, reason in report.left_out.items():
        yield f"left out: {kind}: {reason}"


def _escapes(escapes: Sequence[Escape]) -> Iterator[str]:
    if not escapes:
        yield "\nNo corruption was found that harms and passes."
        return
    yield f"\n{'smallest escape':58} {'harm in':>15} {'passes to':>9} {'worse by':>14}"
    for one in escapes:
        between = f"({one.not_shown_below:.3g}, {one.mutant.intensity:.3g}]"
        said = one.mutant.family.name.replace(f" ({one.mutant.family.path})", "").removeprefix("data.")
        yield f"{said[:58]:58} {between:>15} {one.passes_up_to:>9.3g} {one.worsening:>8.4f} {one.harm[:5]:>5}"


def proposed(proposal: Proposal) -> str:
    """The proposed checks, what they close, and their false alarms."""
    lines = [f"{'proposed check':52} {'clean':>9} {'allowed':>22} {'closes':>8}"]
    for check, closes in zip(proposal.checks, proposal.closes, strict=True):
        allowed = f"{check.min:.4g} to {check.max:.4g}"
        lines.append(f"{check.name[:52]:52} {check.clean:>9.4g} {allowed:>22} {len(closes):>4} of {proposal.escapes}")
    if not proposal.checks:
        lines = ["No check to propose."]
    if proposal.open:
        lines.append(f"{len(proposal.open)} of {proposal.escapes} escapes are closed by no candidate")
    if proposal.false_alarms is not None:
        lines.append(
            f"False alarms on halves of the clean rows, learnt from the other half: {_share(proposal.false_alarms)}"
        )
    return "\n".join(line[:WIDTH] for line in lines)


def _share(share: Share | None) -> str:
    if share is None:
        return "not known: nothing harmful was drawn"
    return f"{share.estimate:.2f} ({share.low:.2f} to {share.high:.2f} at {share.level:.0%}, n = {share.n})"
