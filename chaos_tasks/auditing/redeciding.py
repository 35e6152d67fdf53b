"""Decide every verdict again from a log's records alone: an independent judge, one file, standard library only.

Written from docs/verdicts.md and the ADRs, not from the judge whose verdicts it checks: it shares no line with
`chaos_tasks.judging` and `chaos_tasks.stats`, calculates otherwise where it can, and imports nothing of Squall, so that
an evidence pack ships it as it is (ADR 0037).  What the trials left in the log is taken as committed; what follows from
it is not.  Rows of predictions are never in the log, so of a check by rows or blocks only each pair's numbers are used.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

PASSED, FAILED, UNKNOWN = "passed", "failed", "unknown"
HELD, DEVIATED, INCONCLUSIVE, ABORTED, UNREVERTED = "held", "deviated", "inconclusive", "aborted", "unreverted"
READS = (
    "experiment.registered", "fault.armed", "inject.applied", "revert.verified", "trial.ended", "stop.triggered",
    "recovery.measured", "search.started", "search.ended", "evaluate.verdict",
)  # fmt: skip
"""Kinds of records that a verdict rests on."""

MISSHAPEN = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError, ZeroDivisionError)
"""What comes of a payload of another shape."""

Json = Mapping[str, Any]


class CannotRedo(Exception):  # noqa: N818
    """Why a verdict cannot be decided again: said, and never a pass."""


@dataclass(frozen=True)
class Row:
    """One record: its header's words, and its payload as JSON; None where it was erased."""

    seq: int
    kind: str
    run_id: str
    occurred_at: str
    payload: Json | None
    outcome: str | None = None


@dataclass(frozen=True)
class Answer:
    """One check decided again; ``as_committed``: from numbers of pairs whose rows are not in the log."""

    check: str
    state: str
    why: str
    as_committed: bool = False


@dataclass(frozen=True)
class Redone:
    """One verdict, as the log has it and as it was decided again."""

    seq: int
    run_id: str
    committed: str
    outcome: str = ""
    response: str = ""
    answers: tuple[Answer, ...] = ()
    differences: tuple[str, ...] = ()
    not_shown: str = ""


# --- numbers ---------------------------------------------------------------------------------------------------------

EFFECTS = tuple(2.0 ** (k / 2) for k in range(-6, 9))
LOOK_AT, LOOK_SHARE = 3, 0.5  # ADR 0027: half of alpha on Student's test of the first three pairs
AGREEMENT = 0.9  # ADR 0017: what a cheap rung must have been shown to agree in


def log_normal_weights(*humps: tuple[float, float, float]) -> tuple[float, ...]:
    """A mixture over the effects: share, centre and width in log effect of each hump."""
    total = [0.0] * len(EFFECTS)
    for share, centre, width in humps:
        heights = [math.exp(-(math.log(effect / centre) ** 2) / (2 * width * width)) for effect in EFFECTS]
        total = [old + share * height / sum(heights) for old, height in zip(total, heights, strict=True)]
    return tuple(total)


WEIGHTS = log_normal_weights((0.6, 2.0, 0.5), (0.4, 0.7, 0.45))


def likelihood_ratio(n: int, ratio: float, effect: float) -> float:
    """Of n normal values whose mean is ``effect`` spreads against mean 0, the spread unknown (right Haar prior).

    ``ratio`` is the sum over the root of the sum of squares.  The integral over v = that root over the spread is taken
    by the trapezoid rule in log v, from its peak outwards; without an effect it is 2^(n/2 - 1) Gamma(n/2).
    """
    pull = effect * ratio
    peak = (pull + math.sqrt(pull * pull + 4 * n)) / 2
    top = n * math.log(peak) - peak * peak / 2 + pull * peak
    step = 0.4 / math.sqrt(peak * peak + n)  # off by 4e-10 of it at two values, by less at more
    total = 1.0
    for way in (step, -step):
        factor, v, log_v, height = math.exp(way), peak, math.log(peak), 1.0
        while height > 1e-16:
            v, log_v = v * factor, log_v + way
            height = math.exp(n * log_v - v * v / 2 + pull * v - top)
            total += height
    log_norm = (n / 2 - 1) * math.log(2) + math.lgamma(n / 2)
    return math.exp(top + math.log(total * step) - log_norm - n * effect * effect / 2)


def shape(values: Sequence[float]) -> float:
    """Sum over the root of the sum of squares."""
    scale = max(abs(value) for value in values)
    if scale == 0:
        return 0.0
    scaled = [value / scale for value in values]
    return math.fsum(scaled) / math.sqrt(math.fsum(value * value for value in scaled))


def e_process(n: int, ratio: float) -> float:
    """Against "the mean is 0 or less"; 0 where the ratio is not positive, as every part is below 1 there."""
    if ratio <= 0:
        return 0.0
    ratio = min(ratio, math.sqrt(n))
    return math.fsum(
        weight * likelihood_ratio(n, ratio, effect) for weight, effect in zip(WEIGHTS, EFFECTS, strict=True)
    )


@dataclass
class Line:
    """Ratios up to ``low`` are known not to reach a level, those from ``high`` on to reach it."""

    low: float = 0.0
    high: float = math.inf


@lru_cache(maxsize=4096)
def line(n: int, level: float) -> Line:
    """Of n values; none reaches it where the largest ratio that there is does not."""
    most = (1 - LOOK_SHARE) * e_process(n, math.sqrt(n))
    return Line() if most >= level else Line(low=math.inf)


def reaches(n: int, ratio: float, level: float) -> bool:
    """Whether its share of the e-process does; it grows with the ratio, so each answer spares many integrals."""
    known = line(n, level)
    if known.low < ratio < known.high:
        if (1 - LOOK_SHARE) * e_process(n, ratio) >= level:
            known.high = ratio
        else:
            known.low = ratio
    return ratio >= known.high


def student_tail(t: float, freedom: int) -> float:
    """P(T > t), by the finite sums for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    theta = math.atan2(t, math.sqrt(freedom))
    cosine, odd = math.cos(theta), freedom % 2
    term = total = cosine if odd else 1.0
    for k in range(2 + odd, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    if not odd:
        return (1 - math.sin(theta) * total) / 2
    return 0.5 - (theta + (math.sin(theta) * total if freedom > 1 else 0.0)) / math.pi


def student_p(values: Sequence[float]) -> float:
    """One-sided p-value of Student's test against "the mean is 0 or less"; values without spread leave no doubt."""
    scale = max(abs(value) for value in values) or 1.0
    scaled, n = [value / scale for value in values], len(values)
    mean = math.fsum(scaled) / n
    error = math.sqrt(math.fsum((value - mean) ** 2 for value in scaled) / (n - 1) / n)
    if error == 0:
        return 0.0 if mean > 0 else 1.0
    return student_tail(mean / error, n - 1)


def sequential(beyond: Sequence[float], alpha: float) -> str:
    """Which side reaches 1/alpha first, looking after every pair; ``beyond``: worsening less margin, by seed."""
    for n in range(1, len(beyond) + 1):
        for sign, state in ((1, FAILED), (-1, PASSED)):
            values = [sign * value for value in beyond[:n]]
            looked = n >= LOOK_AT and student_p(values[:LOOK_AT]) < LOOK_SHARE * alpha
            if looked or reaches(n, shape(values), 1 / alpha):
                return state
    return UNKNOWN


def one_look(beyond: Sequence[float], alpha: float) -> str:
    """Student's interval of level 1 - 2 alpha, against the margin."""
    if len(beyond) < 2:
        return UNKNOWN
    if student_p(beyond) < alpha:
        return FAILED
    return PASSED if student_p([-value for value in beyond]) < alpha else UNKNOWN


def shows_share(within: int, n: int, share: float, alpha: float) -> bool:
    """Whether so many of n rule out every smaller share (Clopper and Pearson's lower bound, by the binomial sum)."""

    def mass(k: int) -> float:
        ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        return math.exp(ways + k * math.log(share) + (n - k) * math.log1p(-share))

    return math.fsum(mass(k) for k in range(within, n + 1)) <= alpha * (1 + 1e-12)


def number(value: Any) -> float:
    """A reading as a number; text that is none, NaN."""
    if isinstance(value, str):
        return {"Infinity": math.inf, "-Infinity": -math.inf}.get(value, math.nan)
    if not isinstance(value, bool | int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def seconds(text: str) -> float:
    """'90s', '2m'."""
    for unit, size in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86400.0)):
        if text.endswith(unit) and text[: -len(unit)].replace(".", "", 1).isdigit():
            return float(text[: -len(unit)]) * size
    raise CannotRedo(f"{text!r} is no duration that is known here")


def moment(text: str) -> datetime:
    """A time of a record."""
    return datetime.fromisoformat(text)


# --- trials ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Evidence:
    """Of one rung: the trial that counts of each arm and seed, what was read from it, and who said nothing."""

    plan: Json
    trials: Mapping[tuple[str, int], Json]
    readings: Mapping[tuple[str, str], Json]
    pairs: Mapping[tuple[str, int], Json]
    silent: bool

    def arm(self, arm: str) -> list[Json]:
        """Its trials, by seed."""
        return [self.trials[key] for key in sorted(self.trials) if key[0] == arm]

    def read(self, check: Json, trial: Json) -> Any:
        """What the check's probe read; None: it could not, or was not asked."""
        found = self.readings.get((check["name"], trial["id"]))
        if found is None or found["error"]:
            return None
        value = found["value"]
        return number(value) if value in ("NaN", "Infinity", "-Infinity") else value


def gather(plan: Json, ends: Iterable[Json], rung: str) -> Evidence:
    """The last trial of an arm and seed that says something counts; void and aborted ones say nothing."""
    trials: dict[tuple[str, int], Json] = {}
    readings: dict[tuple[str, str], Json] = {}
    pairs: dict[tuple[str, int], Json] = {}
    silent = set()
    for end in ends:
        trial = end["trial"]
        if trial["rung"] != rung:
            continue
        key = (trial["arm"], trial["seed"])
        if trial["status"] in ("void", "aborted"):
            silent.add(key)
        else:
            trials[key] = trial
        readings |= {(one["check"], one["trial_id"]): one for one in end["observations"]}
        pairs |= {(one["check"], one["seed"]): one for one in end["pairs"]}
    return Evidence(plan, trials, readings, pairs, not silent <= trials.keys())


@dataclass
class Asked:
    """The trials of one arm by what they say to one check."""

    values: dict[int, Any] = field(default_factory=dict)
    refused: int = 0
    crashed: int = 0
    unread: int = 0

    @property
    def count(self) -> int:
        """All of them."""
        return len(self.values) + self.refused + self.crashed + self.unread


def ask(evidence: Evidence, check: Json, arm: str) -> Asked:
    """A training that the gate refused left the control's model in service: to `always` it is no missing value."""
    asked = Asked()
    for trial in evidence.arm(arm):
        value = evidence.read(check, trial)
        if value is not None:
            asked.values[trial["seed"]] = value
        elif trial["status"] == "blocked" and check["when"] == "always":
            asked.refused += 1
        elif trial["status"] in ("failed", "timed_out"):
            asked.crashed += 1
        else:
            asked.unread += 1
    return asked


def arm_of(check: Json) -> str:
    """Whose trials a check is about."""
    return "recovery" if check["when"] == "after" else "treatment"


# --- checks ----------------------------------------------------------------------------------------------------------


def decide_check(evidence: Evidence, check: Json) -> Answer:
    """One check, as the whole workload answers it."""
    tolerance = check["tolerance"]["type"]
    if tolerance in ("range", "exactly"):
        return yes_or_no(evidence, check)
    if tolerance != "non_inferiority" or check["unit"] not in ("seed", "row", "block"):
        raise CannotRedo(f"check {check['name']} has a tolerance or a unit that is not known here")
    return by_seed(evidence, check) if check["unit"] == "seed" else by_pair(evidence, check)


def by_seed(evidence: Evidence, check: Json) -> Answer:
    """The worsening of each pair of trainings against the margin."""
    name = check["name"]
    control, treated = ask(evidence, check, "control"), ask(evidence, check, arm_of(check))
    if not treated.count:
        return Answer(name, UNKNOWN, "no trial")
    if not all(math.isfinite(number(value)) for value in control.values.values()):
        return Answer(name, UNKNOWN, "no number under control")
    if not all(math.isfinite(number(value)) for value in treated.values.values()):
        return Answer(name, FAILED, "no number under treatment")
    if treated.refused == treated.count:
        return Answer(name, PASSED, "refused")
    state, why = worsening(evidence.plan, check, control.values, treated.values)
    if state == FAILED:
        return Answer(name, FAILED, why)
    if treated.crashed or treated.unread or control.unread:
        return Answer(name, UNKNOWN, "not measured in every trial")
    return Answer(name, state, why)


def worsening(plan: Json, check: Json, before: Mapping[int, Any], after: Mapping[int, Any]) -> tuple[str, str]:
    """Paired by seed, the smallest seed first.  A relative margin is a share of each pair's own control."""
    analysis, tolerance = plan["experiment"]["analysis"], check["tolerance"]
    pairs = [(number(before[seed]), number(after[seed])) for seed in sorted(before.keys() & after.keys())]
    sign = -1 if tolerance["better"] == "higher" else 1
    worse = [sign * (treated - control) for control, treated in pairs]
    margins = [tolerance["margin"] * (abs(control) if tolerance["relative"] else 1.0) for control, _ in pairs]
    if len(pairs) < 2:
        return UNKNOWN, "too few pairs"
    if sum(margins) == 0:
        return UNKNOWN, "a share of nothing"
    if not math.isfinite(4 * len(pairs) * max(abs(value) for value in (*worse, *margins))):
        return UNKNOWN, "numbers too large to average"
    beyond = [value - margin for value, margin in zip(worse, margins, strict=True)]
    decide = one_look if analysis["design"] == "fixed" else sequential
    return decide(beyond, analysis["alpha"]), f"{len(pairs)} pairs"


def by_pair(evidence: Evidence, check: Json) -> Answer:
    """Rows or blocks: the first pair's committed interval may fail it, all of them must pass it."""
    name = check["name"]
    treated = ask(evidence, check, arm_of(check))
    if not treated.count or not evidence.arm("control"):
        return Answer(name, UNKNOWN, "no pair of trials")
    if treated.refused == treated.count:
        return Answer(name, PASSED, "refused")
    counted = {trial["id"] for trial in evidence.trials.values()}
    pairs = [evidence.pairs[key] for key in sorted(evidence.pairs) if key[0] == name]
    pairs = [one for one in pairs if {one["control_id"], one["treatment_id"]} <= counted]
    states = [side_of(one, check["tolerance"]) for one in pairs]
    if any(broken(one) for one in pairs):
        return Answer(name, FAILED, "no number under treatment", True)
    if states[:1] == [FAILED]:
        return Answer(name, FAILED, "the first pair", True)
    if treated.crashed or not pairs or any(one["error"] for one in pairs):
        return Answer(name, UNKNOWN, "not measured in every trial", True)
    return Answer(name, PASSED if set(states) == {PASSED} else UNKNOWN, f"{len(pairs)} pairs", True)


def broken(pair: Json) -> bool:
    """Measured, and the model gave no number."""
    no_number = pair["estimate"] is not None and math.isnan(number(pair["estimate"]))
    return not pair["error"] and (pair["n_not_numbers"] > 0 or no_number)


def side_of(pair: Json, tolerance: Json) -> str:
    """All of the committed interval below the registered margin, all above it, or neither."""
    if pair["error"] or any(pair[name] is None for name in ("low", "high", "margin")):
        return UNKNOWN
    low, high, margin = (number(pair[name]) for name in ("low", "high", "margin"))
    share = pair["control"] if tolerance["relative"] else 1.0
    registered = margin if share is None else tolerance["margin"] * abs(number(share))
    if not math.isclose(margin, registered, rel_tol=1e-9):
        margin = registered  # what was measured against another margin than was registered is held to that one
    return PASSED if high < margin else FAILED if low > margin else UNKNOWN


def yes_or_no(evidence: Evidence, check: Json) -> Answer:
    """One trial out of tolerance fails it; a share that is asked for must be shown."""
    name, tolerance, always = check["name"], check["tolerance"], check["when"] == "always"
    asked = ask(evidence, check, arm_of(check))
    control = ask(evidence, check, "control") if always else Asked()
    if not asked.count:
        return Answer(name, UNKNOWN, "no trial")
    if not all(within(value, tolerance) for value in control.values.values()):
        return Answer(name, UNKNOWN, "out of tolerance under control")
    if not all(within(value, tolerance) for value in asked.values.values()):
        return Answer(name, FAILED, "out of tolerance")
    if asked.crashed or asked.unread or control.unread:
        return Answer(name, UNKNOWN, "not measured in every trial")
    n, share = len(asked.values), check["reliability"]
    if not n:
        return Answer(name, PASSED, "refused")
    if share is not None and not shows_share(n, n, share, evidence.plan["experiment"]["analysis"]["alpha"]):
        return Answer(name, UNKNOWN, "the share is not shown")
    return Answer(name, PASSED, f"{n} trials")


def within(value: Any, tolerance: Json) -> bool:
    """As JSON has it: true is not 1.  What is no finite number lies in no range."""
    if tolerance["type"] == "exactly":
        wanted = tolerance["value"]
        return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)
    got = math.nan if isinstance(value, bool) else number(value)
    low, high = tolerance["min"], tolerance["max"]
    return math.isfinite(got) and (low is None or got >= low) and (high is None or got <= high)


# --- one run ---------------------------------------------------------------------------------------------------------

TRIAL = (
    "id", "run_id", "arm", "seed", "status", "rung", "stands_for", "started_at", "ended_at", "launches", "firings",
    "signals", "progress",
)  # fmt: skip


@dataclass
class Handle:
    """One armed fault, as its records tell."""

    step: str
    receipt: Json | None = None
    at: str = ""
    reverted: bool = False


@dataclass
class Story:
    """What the records of one run say, up to where the reader is."""

    plan: Json | None = None
    search: Json | None = None
    ends: list[Json] = field(default_factory=list)
    handles: dict[str, Handle] = field(default_factory=dict)
    stops: list[Json] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    recovery: Json | None = None
    ended: Json | None = None
    gone: set[str] = field(default_factory=set)
    redone: Redone | None = None

    def take(self, row: Row) -> None:
        """The next record."""
        payload = row.payload
        if payload is None:
            self.gone.add(row.kind)
        elif row.kind == "experiment.registered":
            self.plan = payload["plan"]
        elif row.kind == "search.started":
            self.search = payload
        elif row.kind == "search.ended":
            self.ended = payload
        elif row.kind == "trial.ended":
            trial = {name: payload["trial"][name] for name in TRIAL}
            trial["retried_at"] = payload["trial"].get("retried_at", ())  # records of before have none
            self.ends.append({"trial": trial, "observations": payload["observations"], "pairs": payload["pairs"]})
        elif row.kind == "stop.triggered":
            self.stops.append(payload["facts"])
        elif row.kind == "recovery.measured":
            self.recovery = payload
        elif row.kind == "fault.armed":
            self.handles[payload["handle"]["id"]] = Handle(payload["handle"]["step"])
        else:  # a firing's own handle belongs to no step: the trial tells of it
            self._act(self.handles.get(payload["handle_id"], Handle("")), row.kind, payload["receipt"], row.occurred_at)

    def _act(self, handle: Handle, kind: str, receipt: Json | None, at: str) -> None:
        if kind == "inject.applied":
            handle.receipt, handle.at = receipt, receipt["at"] if receipt else at
            self.applied.append(handle.at)
        elif kind == "revert.verified":
            handle.reverted = True


def why_stopped(facts: Json) -> str:
    """`stopped` on purpose (a guard, a person, a condition), `no receipt`, or `broke`: an error of the tool's own."""
    reason, error = facts.get("reason"), facts.get("error")
    if reason:
        return {"internal_error": "broke", "no_receipt": "no receipt"}.get(reason, "stopped")
    if facts.get("by") == "person" or not error or error in ("GuardTripped", "NotPermitted", "TargetBusy", "Fenced"):
        return "stopped"
    return "no receipt" if error == "InjectError" else "broke"


def needed(plan: Json) -> int:
    """Pairs that must be there before anything may count as held."""
    analysis = plan["experiment"]["analysis"]
    least = analysis["seeds"] if analysis["design"] == "fixed" else min(analysis["seeds"], analysis["min_seeds"])
    return int(least)


def fires_during(step: Json) -> bool:
    """Whether the supervisor fires it while the workload runs."""
    return bool(step["trigger"]["at"] != "before")


def proved(story: Story, evidence: Evidence) -> bool:
    """Whether every step took effect in every trial in which it was to; a refused training never started."""
    treated = evidence.arm("treatment")
    ran = [trial for trial in treated if trial["status"] != "blocked"]
    for step in evidence.plan["experiment"]["method"] if treated else ():
        if fires_during(step):
            for trial in ran:
                fired = [one["injected"] for one in trial["firings"] if one["step"] == step["name"]]
                if not any(receipt is not None and receipt["effective"] for receipt in fired):
                    return False
        else:
            receipts = [one.receipt for one in story.handles.values() if one.step == step["name"] and one.receipt]
            if not receipts or not all(receipt["effective"] for receipt in receipts):
                return False
    return "no receipt" not in map(why_stopped, story.stops)


def complete(story: Story, evidence: Evidence) -> bool:
    """Whether nothing is missing that could have gone the other way: trials, and parts of the run."""
    if evidence.silent or "broke" in map(why_stopped, story.stops) or not evidence.plan["seeds"]:
        return False
    counts = [sum(trial["stands_for"] for trial in evidence.arm(arm)) for arm in ("control", "treatment")]
    return bool(min(counts) >= needed(evidence.plan))


def recovery_is_missing(story: Story, plan: Json) -> bool:
    """Whether it was to be measured after the revert, and no record says that it was."""
    return bool(plan["experiment"]["analysis"]["recovery_trials"] and plan["seeds"]) and story.recovery is None


def outcome_of(story: Story, evidence: Evidence, answers: Iterable[Answer], aborted: bool) -> str:
    """The first that applies."""
    states = {one.state for one in answers}
    if not all(one.reverted for one in story.handles.values()):
        return UNREVERTED
    if aborted or "stopped" in map(why_stopped, story.stops):
        return ABORTED
    controls = evidence.arm("control")
    if not proved(story, evidence) or not all(trial["status"] == "completed" for trial in controls):
        return INCONCLUSIVE
    if FAILED in states:
        return DEVIATED
    return HELD if states == {PASSED} and complete(story, evidence) else INCONCLUSIVE


def on_rung(check: Json, found: Answer, rung: str) -> Answer:
    """A bound that a cheaper workload misses by itself is no deviation; only a comparison with its control is."""
    compared = check["tolerance"]["type"] == "non_inferiority" or check["when"] == "always"
    if not rung or compared or found.state != FAILED:
        return found
    return Answer(found.check, UNKNOWN, "a cheap rung")


def may_say(plan: Json, trust: Json, outcome: str) -> bool:
    """One run in ten goes all the way; `held` takes 95 % confidence that the whole agrees in nine of ten."""
    draw = hashlib.sha256(f"squall.ladder/{plan['run_id']}".encode()).digest()[:4]
    if int.from_bytes(draw, "big") % 10 == 0:
        return False
    if outcome == HELD:
        return bool(trust["compared"]) and shows_share(trust["agreed"], trust["compared"], AGREEMENT, 0.05)
    return outcome == DEVIATED


def decide_run(story: Story, earlier: Sequence[Story]) -> tuple[str, tuple[Answer, ...], str, str]:
    """Outcome, answers, response, and the rung that answered."""
    plan = story.plan
    if plan is None:
        raise CannotRedo("its plan is not in the log, or was erased")
    if plan["experiment"]["version"] != 1:
        raise CannotRedo(f"version {plan['experiment']['version']} of experiments is not known here")
    carried = [end for one in earlier for end in one.ends if end["trial"]["arm"] != "recovery"]
    aborted = any(end["trial"]["status"] == "aborted" for end in (*carried, *story.ends))
    for trust in (*plan["rungs"], None):
        rung = "" if trust is None else trust["rung"]
        evidence = gather(plan, (*carried, *story.ends), rung)
        checks = plan["experiment"]["steady_state"]
        answers = tuple(on_rung(check, decide_check(evidence, check), rung) for check in checks)
        outcome = outcome_of(story, evidence, answers, aborted)
        if trust is None or (evidence.arm("treatment") and may_say(plan, trust, outcome)):
            tonight = gather(plan, story.ends, rung)
            told = response(story, tonight, answers) if proved(story, evidence) else "unknown"
            if outcome == HELD and recovery_is_missing(story, plan):
                outcome = INCONCLUSIVE
            return outcome, answers, told, rung
    raise AssertionError("the whole workload always answers")


# --- the response ----------------------------------------------------------------------------------------------------

WORST_FIRST = ("hung", "crashed", "silent", "recovered", "detected", "masked")


def response(story: Story, evidence: Evidence, answers: Iterable[Answer]) -> str:
    """The worst that a treatment trial showed, from its owners' signals and its own progress alone."""
    treated = evidence.arm("treatment")
    states = {one.state for one in answers}
    quiet = "silent" if FAILED in states else "masked" if states == {PASSED} else "unknown"
    faults = {trial["id"]: faults_at(story, evidence.plan, trial) for trial in treated}
    target = evidence.plan["target"]
    ringing = {name for trial in evidence.arm("control") for _, name in heard(target, trial)}
    for trial in treated:
        ringing |= {name for at, name in heard(target, trial) if faults[trial["id"]] and at < faults[trial["id"]][0]}
    found = {of_trial(story, evidence, trial, faults[trial["id"]], ringing) or quiet for trial in treated}
    return next((one for one in WORST_FIRST if one in found), "unknown")


def of_trial(
    story: Story, evidence: Evidence, trial: Json, struck: Sequence[datetime], ringing: Iterable[str]
) -> str | None:
    """None: nothing was noticed, and nothing showed."""
    plan = evidence.plan
    if trial["status"] in ("failed", "timed_out"):
        if back_after_revert(story, evidence):
            return "recovered"
        return "crashed" if trial["status"] == "failed" else "hung"
    if trial["status"] == "blocked":
        return "detected"
    if restarts(trial) and back_in_time(plan, trial):
        return "recovered"
    limit = plan["experiment"]["guards"]["detect_within"]
    for at, name in heard(plan["target"], trial):
        before = [one for one in struck if one <= at]
        late = bool(before) and limit is not None and (at - before[-1]).total_seconds() > seconds(limit)
        if name not in ringing and not late and (before or not struck):
            return "detected"
    return None


def heard(target: Json, trial: Json) -> list[tuple[datetime, str]]:
    """Signals by time; a refusal, a bad end that somebody watches and a restart are signals by themselves."""
    found = [(moment(one["at"]), one["name"]) for one in trial["signals"]]
    names = {name for _, name in found}
    watched = any(one["type"] == "exit_code" for one in target["signals"])
    own = "gate" if trial["status"] == "blocked" else "exit_code" if trial["status"] == "failed" and watched else ""
    if own and own not in names:
        found.append((moment(trial["ended_at"]), own))
    return sorted(found + [(at, "restart") for at in restarts(trial)])


def restarts(trial: Json) -> list[datetime]:
    """When its own runtime started it again: later launches, and new starts within one."""
    progress = trial["progress"] or {"setbacks": ()}
    inside = [
        one["back_at"]
        for one in progress["setbacks"]
        if one["resumed_from"] is not None and one["restarted_at"] is None and one["back_at"] is not None
    ]
    tried_again = trial["retried_at"]  # by Airflow, a task of the run
    return sorted({moment(at) for at in [*inside, *tried_again, *(one["started_at"] for one in trial["launches"][1:])]})


def faults_at(story: Story, plan: Json, trial: Json) -> list[datetime]:
    """When this trial's faults were in: those in before it started, and its own firings."""
    standing = {step["name"] for step in plan["experiment"]["method"] if not fires_during(step)}
    found = [one.at for one in story.handles.values() if one.step in standing and one.at]
    found += [one["fired_at"] for one in trial["firings"]]
    if not found and story.applied:
        return [min(moment(at) for at in story.applied)]
    return sorted(moment(at) for at in found)


def back_in_time(plan: Json, trial: Json) -> bool:
    """Whether each restart came within the time allowed after the end of the fault that it followed."""
    limit = seconds(plan["experiment"]["guards"]["rto"])
    for firing in trial["firings"]:
        over = moment(firing["reverted"]["at"] if firing["reverted"] else firing["fired_at"])
        back = [at for at in restarts(trial) if at >= moment(firing["fired_at"])]
        if back and (back[0] - over).total_seconds() > limit:
            return False
    return True


def back_after_revert(story: Story, evidence: Evidence) -> bool:
    """A fault that was in throughout leaves no chance to come back before the revert; a recovery trial shows it."""
    experiment, measured = evidence.plan["experiment"], story.recovery
    if any(fires_during(step) for step in experiment["method"]) or measured is None or measured["seconds"] is None:
        return False
    in_time = measured["healthy"] and number(measured["seconds"]) <= seconds(experiment["guards"]["rto"])
    return bool(in_time) and any(trial["status"] == "completed" for trial in evidence.arm("recovery"))


# --- ramps -----------------------------------------------------------------------------------------------------------


def decide_ramp(search_id: str, story: Story, stories: Mapping[str, Story]) -> str:
    """From its levels as they were decided again: where harm begins, if anything is left that might be harmed."""
    asked, ended = story.search, story.ended
    if asked is None or ended is None or asked["search"] != "ramp":
        raise CannotRedo("it is the verdict of a search whose question or end is not in the log")
    found = list(asked_levels(search_id, asked, ended, stories))
    endings = [one for _, one in found if one.outcome in (ABORTED, UNREVERTED)]
    if endings:
        return min(endings, key=lambda one: one.seq).outcome
    if "guard_tripped" in ended["reasons"]:
        return ABORTED  # a stop is a fact of the log, as it is in a run
    if any(one.outcome == DEVIATED for _, one in found):
        return DEVIATED
    return HELD if nothing_left(len(asked["experiment"]["ramp"]["levels"]), found) else INCONCLUSIVE


def asked_levels(
    search_id: str, asked: Json, ended: Json, stories: Mapping[str, Story]
) -> Iterator[tuple[int, Redone]]:
    """Place and answer of each level that was asked; what a killed process left answers nothing."""
    absent = [one["run_id"] for one in ended["runs"] if one["run_id"] not in stories]
    if absent:
        raise CannotRedo(f"the records of its level {absent[0]} are not here")
    for place in range(len(asked["experiment"]["ramp"]["levels"])):
        for run_id in attempts(stories, f"{search_id}.{place}"):
            level = stories[run_id]
            if any(facts.get("by") == "search" for facts in level.stops):
                continue
            if level.redone is None or level.redone.not_shown or level.plan is None:
                raise CannotRedo(f"its level {run_id} cannot be decided again")
            if level.plan["experiment"]["analysis"]["alpha"] > share_of_alpha(asked) * (1 + 1e-9):
                raise CannotRedo(f"its level {run_id} was judged at more than its share of alpha")
            yield place, level.redone


def attempts(stories: Mapping[str, Story], name: str) -> Iterator[str]:
    """Runs of one level: its name, then `-2` and so on."""
    number_of = 1
    while (run_id := name if number_of == 1 else f"{name}-{number_of}") in stories and stories[run_id].plan is not None:
        yield run_id
        number_of += 1


def share_of_alpha(asked: Json) -> float:
    """Each check of each level, asked or not, has its share."""
    experiment: Json = asked["experiment"]
    margins = sum(check["tolerance"]["type"] == "non_inferiority" for check in experiment["steady_state"])
    levels = len(experiment["ramp"]["levels"])
    return float(experiment["analysis"]["alpha"] / (levels * max(1, margins)))


def nothing_left(count: int, found: Sequence[tuple[int, Redone]]) -> bool:
    """Whether every level held, is below one that held, or at or above one that was refused and none came through."""
    refused = {place for place, one in found if one.outcome == HELD and any(a.why == "refused" for a in one.answers)}
    highest = max((place for place, one in found if one.outcome == HELD and place not in refused), default=-1)
    top = min((place for place in refused if place > highest), default=count)
    return bool(found) and top - highest == 1


NO_ANSWERS: tuple[Answer, ...] = ()

# --- a log -----------------------------------------------------------------------------------------------------------


def redecide(rows: Iterable[Row]) -> Iterator[Redone]:
    """Every verdict again, at its place in the log: what came later had no part in it."""
    stories: dict[str, Story] = {}
    for row in rows:
        if row.kind not in READS:
            continue
        story = stories.setdefault(row.run_id, Story())
        if row.kind != "evaluate.verdict":
            try:
                story.take(row)
            except MISSHAPEN:
                story.gone.add(row.kind)
        elif story.redone is None:  # the first verdict of a run stands
            story.redone = again(row, story, stories)
            if story.redone.outcome != INCONCLUSIVE:
                story.ends.clear()  # only a run that was undecided is gone on from; a long log has many trials
            yield story.redone


def again(row: Row, story: Story, stories: Mapping[str, Story]) -> Redone:
    """One verdict."""
    said = row.payload["verdict"] if row.payload else None
    committed = row.outcome or (said["outcome"] if said else "")
    redone = Redone(row.seq, row.run_id, committed)
    try:
        if story.gone:
            raise CannotRedo(f"payloads were erased or cannot be read: {', '.join(sorted(story.gone))}")
        if story.search is not None:
            outcome, answers, told, rung = decide_ramp(row.run_id, story, stories), NO_ANSWERS, "", ""
        else:
            outcome, answers, told, rung = decide_run(story, earlier_of(story, stories))
    except CannotRedo as error:
        return _with(redone, not_shown=str(error))
    except MISSHAPEN as error:
        return _with(redone, not_shown=f"its records are of another shape than is known here ({error!r:.80})")
    found = _with(redone, outcome=outcome, response=told, answers=answers)
    return _with(found, differences=tuple(differences(found, said, rung, story)))


def earlier_of(story: Story, stories: Mapping[str, Story]) -> list[Story]:
    """The undecided runs that it continues; a seed counts once."""
    plan = story.plan or {"continues": (), "seeds": ()}
    found = []
    for run_id in plan["continues"]:
        one = stories.get(run_id)
        if one is None or one.plan is None or one.gone or one.redone is None:
            raise CannotRedo(f"it continues {run_id}, whose records are not all here")
        if one.plan["experiment_digest"] != plan["experiment_digest"] or one.redone.outcome != INCONCLUSIVE:
            raise CannotRedo(f"it continues {run_id}, which asked something else or was decided")
        found.append(one)
    seeds = [seed for one in (story, *found) for seed in (one.plan or plan)["seeds"]]
    if len(set(seeds)) < len(seeds):
        raise CannotRedo("it counts a seed twice")
    return found


def differences(found: Redone, said: Json | None, rung: str, story: Story) -> Iterator[str]:
    """In words; none where everything came out as it is in the log."""
    if found.outcome != found.committed:
        yield f"the log says {found.committed}, its records say {found.outcome}"
    if said is None:
        return
    if said["outcome"] != found.committed:
        yield f"header and payload of the verdict say {found.committed} and {said['outcome']}"
    if story.search is None and story.plan is not None:
        yield from details(found, said, rung, story.plan)


def details(found: Redone, said: Json, rung: str, plan: Json) -> Iterator[str]:
    """Rung, checks, response, and whether the deviation was accepted."""
    if said["rung"] != rung:
        yield f"the log's answer is of {said['rung'] or 'the whole workload'}, its records' of {rung or 'the whole'}"
    states = {one["check"]: one["state"] for one in said["checks"]}
    for one in found.answers:
        told = states.pop(one.check, "nothing")
        if told != one.state:
            yield f"check {one.check}: the log says {told}, its records say {one.state} ({one.why})"
    if states:
        yield f"the plan does not ask for {', '.join(sorted(states))}"
    if said["response"] != found.response:
        yield f"response: the log says {said['response']}, its records say {found.response}"
    known = plan["experiment"]["known_finding"]
    accepted = known is not None and found.outcome == DEVIATED and said["decided_at"][:10] <= known["expires"]
    if (said["known_finding"] is not None) != accepted:
        yield "a known finding is claimed that is none, or one that is known is not"


def _with(redone: Redone, **changes: Any) -> Redone:
    return Redone(**{**redone.__dict__, **changes})
