"""90 nights of 100 questions: false discoveries and power of every procedure, independent and correlated.

`python -m benchmarks.nights [replications]`; prints three tables and writes results/nights.json.  About six minutes.

1. *New questions every night* (the setting of the field's online procedures): each question is true with probability
   .05 and then has z = 3.5, all others z = 0; within a night all z share a part of their noise (rho 0 or .5).
2. *The same experiments every night* (what a chaos night is): 100 experiments, 5 of which break on a random night and
   stay broken.  A finding is the first time that an experiment is said to be broken; the share of false ones among the
   findings of 90 nights is what a team lives with.  Only the shipped procedure promises to hold it: it lets evidence
   grow from night to night and confirms each experiment once.  The others are asked anew every night.
3. *Evidence by e-processes*: as 2, but each night's evidence is that of the shipped test on paired trainings, stopped
   as the engine stops it.

E-values of tables 1 and 2 are the mixture likelihood ratio of z ~ N(d, 1), d uniform on [1, 5], against N(0, 1):
E(z) = (Phi(5 - z) - Phi(1 - z)) / (4 phi(z)).  Its mean is exactly 1 at z ~ N(0, 1) and below 1 for z ~ N(less, 1): it
is calibrated by construction, and no procedure is told the true effect.  P-values are 1 - Phi(z).  LORD++ and e-LOND
are given the horizon of 9,000 questions, which they would not know.  `promise` is what a procedure is made to hold: the
share of false ones of each night, or of all nights so far; `held` says whether it did (plus two standard errors).
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import log_ndtr, ndtr
from scipy.stats import norm

from chaos_tasks.model.adjustment import NightsState
from chaos_tasks.stats.multiplicity import (
    LondState,
    LordState,
    bh,
    closed_e_bh,
    e_bh,
    e_lond,
    gamma,
    lord,
    nights_e_lond,
    restarted,
)
from chaos_tasks.stats.seed_evidence import seed_evidence

RESULTS = Path(__file__).parent / "results" / "nights.json"
NIGHTS, QUESTIONS, TRUE, EFFECT, ALPHA = 90, 100, 0.05, 3.5, 0.05
SEED = 20261123

Flags = np.ndarray
Row = dict[str, object]


def log_e(z: np.ndarray, low: float = 1.0, high: float = 5.0) -> np.ndarray:
    """Log of the mixture likelihood ratio; the difference of the tails is taken where it is exact."""
    upper, lower = np.maximum(z - low, high - z), np.minimum(z - low, high - z)
    mass = log_ndtr(lower) + np.log1p(-np.exp(np.minimum(log_ndtr(-upper) - log_ndtr(lower), -1e-300)))
    found: np.ndarray = mass - math.log(high - low) - norm.logpdf(z)
    return found


def noise(rng: np.random.Generator, rho: float) -> np.ndarray:
    """Standard normal, equally correlated within a night."""
    own = rng.standard_normal((NIGHTS, QUESTIONS))
    return math.sqrt(1 - rho) * own + math.sqrt(rho) * rng.standard_normal((NIGHTS, 1))


@dataclass
class Tally:
    """What a procedure did over the replications."""

    fdp: list[float] = field(default_factory=list)
    nightly: list[float] = field(default_factory=list)
    power: list[float] = field(default_factory=list)
    false: list[float] = field(default_factory=list)
    alarmed: list[float] = field(default_factory=list)

    def add(self, said: np.ndarray, true: np.ndarray) -> None:
        """One replication: nights by questions."""
        wrong, right, all_said = said & ~true, said & true, said.sum(axis=1)
        self.fdp.append(wrong.sum() / max(1, said.sum()))
        self.nightly.append(float((wrong.sum(axis=1) / np.maximum(1, all_said)).mean()))
        self.power.append(right.sum() / max(1, true.sum()))
        self.false.append(wrong.sum() / NIGHTS)
        self.alarmed.append(float((wrong.sum(axis=1) > 0).mean()))


def mean_se(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its Monte Carlo standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))


def by(p: Sequence[float], alpha: float) -> tuple[bool, ...]:
    """Benjamini and Yekutieli (2001): BH at alpha over the harmonic sum; any dependence."""
    return bh(p, alpha / sum(1 / k for k in range(1, len(p) + 1)))


class Nights:
    """One procedure, asked night by night; made anew for each replication."""

    def __init__(self, step: Callable[[object, list[float]], tuple[object, Sequence[bool]]], state: object) -> None:
        self.step, self.state = step, state

    def run(self, evidence: np.ndarray) -> np.ndarray:
        """Decisions, nights by questions."""
        said = np.zeros(evidence.shape, dtype=bool)
        for night, values in enumerate(evidence.tolist()):
            self.state, decisions = self.step(self.state, values)
            said[night] = decisions
        return said


def alone(screen: Callable[[Sequence[float], float], Sequence[bool]]) -> Callable[[], Nights]:
    """Each night for itself."""
    return lambda: Nights(lambda state, values: (state, screen(values, ALPHA)), None)


def horizon_lond(state: LondState, values: list[float]) -> tuple[LondState, Sequence[bool]]:
    """e-LOND with its shares scaled to the 9,000 questions."""
    return e_lond(state, values, ALPHA / SPENT)


SPENT = sum(gamma(n) for n in range(1, NIGHTS * QUESTIONS + 1))

ON_P: dict[str, Callable[[], Nights]] = {
    "uncorrected": alone(lambda p, alpha: [one <= alpha for one in p]),
    "BH per night": alone(bh),
    "BY per night": alone(by),
    "LORD++ over nights": lambda: Nights(
        lambda state, p: lord(state, p, ALPHA),  # type: ignore[arg-type]
        LordState(horizon=NIGHTS * QUESTIONS),
    ),
}
ON_E: dict[str, Callable[[], Nights]] = {
    "e-BH per night": alone(e_bh),
    "ours per night (closed e-BH)": alone(closed_e_bh),
    "e-LOND over nights": lambda: Nights(horizon_lond, LondState()),  # type: ignore[arg-type]
    "ours over nights": lambda: Nights(
        lambda state, values: nights_e_lond(state, values, ALPHA),  # type: ignore[arg-type]
        NightsState(),
    ),
}
SHIPPED = "ours as shipped: evidence grows"
A_NIGHT, ALL_NIGHTS = "each night", "all nights"
OURS = ("ours per night (closed e-BH)", "ours over nights")


def promise(name: str) -> str:
    """What a procedure is made to hold."""
    return ALL_NIGHTS if "over nights" in name else A_NIGHT


def spiked(state: tuple[NightsState, float], p: list[float]) -> tuple[tuple[NightsState, float], Sequence[bool]]:
    """Ours on all-or-nothing e-values 1{p <= c} / c: where the law of p under the null is known, and n is fixed.

    c is chosen before the night: what the night's share of the error would allow for the mean of its finds so far.
    """
    procedure, finds = state
    c = ALPHA * gamma(procedure.nights + 1) * (procedure.rejected + max(1.0, 0.7 * finds)) / len(p)
    values = [-math.log(c) if one <= c else -math.inf for one in p]
    after, decisions = nights_e_lond(procedure, values, ALPHA)
    nights = after.nights
    return (after, (finds * (nights - 1) + sum(decisions)) / nights), decisions


def new_questions(replications: int, rho: float) -> list[Row]:
    """Table 1."""
    rng = np.random.default_rng([SEED, 1, round(100 * rho)])
    tallies: dict[str, Tally] = {}
    for _ in range(replications):
        true = rng.random((NIGHTS, QUESTIONS)) < TRUE
        z = noise(rng, rho) + EFFECT * true
        p, e = ndtr(-z), log_e(z)
        for name, make in ON_P.items():
            tallies.setdefault(name, Tally()).add(make().run(p), true)
        for name, make in ON_E.items():
            tallies.setdefault(name, Tally()).add(make().run(e), true)
        known = Nights(spiked, (NightsState(), 2.0))  # type: ignore[arg-type]
        tallies.setdefault("ours over nights, law known", Tally()).add(known.run(p), true)
    return [_row(name, tally, rho) for name, tally in tallies.items()]


def _row(name: str, tally: Tally, rho: float) -> Row:
    fdr, error = mean_se(tally.fdp)
    nightly, nightly_error = mean_se(tally.nightly)
    power, power_error = mean_se(tally.power)
    share, share_error = (fdr, error) if promise(name) == ALL_NIGHTS else (nightly, nightly_error)
    return {
        "procedure": name,
        "rho": rho,
        "promise": promise(name),
        "fdr_90_nights": round(fdr, 4),
        "se": round(error, 4),
        "fdr_per_night": round(nightly, 4),
        "se_per_night": round(nightly_error, 4),
        "power": round(power, 3),
        "se_power": round(power_error, 3),
        "false_alarms_per_night": round(float(np.mean(tally.false)), 3),
        "nights_with_false_alarm": round(float(np.mean(tally.alarmed)), 3),
        "held": bool(share <= ALPHA + 2 * share_error),
        "held_90_nights": bool(fdr <= ALPHA + 2 * error),
    }


@dataclass
class Story:
    """What became of 100 experiments over 90 nights, for one procedure."""

    fdp: list[float] = field(default_factory=list)
    accused: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)  # nights from the break to the first true finding; inf: never

    def add(self, said: np.ndarray, broke: np.ndarray) -> None:
        """``said``: nights by experiments; the first finding of each counts, false when it came before the break."""
        ever = said.any(axis=0)
        first = np.where(ever, said.argmax(axis=0), NIGHTS)
        false = ever & (first < broke)
        self.fdp.append(float(false.sum() / max(1, ever.sum())))
        self.accused.append(float(false.sum()))
        for index in np.flatnonzero(broke < NIGHTS):
            later = np.flatnonzero(said[broke[index] :, index])
            self.waits.append(float(later[0] + 1) if len(later) else math.inf)

    def row(self, name: str, **setting: object) -> Row:
        """Of the table."""
        fdr, error = mean_se(self.fdp)
        waits = np.array(self.waits)
        return {
            "procedure": name,
            **setting,
            "fdr_of_findings": round(fdr, 4),
            "se": round(error, 4),
            "falsely_accused": round(float(np.mean(self.accused)), 2),
            "found_within_30": round(float((waits <= 30).mean()), 3),
            "median_nights": _number(float(np.median(waits))),
            "nights_p90": _number(float(np.quantile(waits, 0.9, method="higher"))),
            "held": bool(fdr <= ALPHA + 2 * error) if name == SHIPPED else None,  # the only one that promises this
        }


def _number(nights: float) -> float | None:
    return nights if math.isfinite(nights) else None


def breaks(rng: np.random.Generator) -> np.ndarray:
    """Night on which each experiment breaks; NIGHTS: never.  Five break, with 30 nights left at least."""
    broke = np.full(QUESTIONS, NIGHTS)
    broke[rng.choice(QUESTIONS, 5, replace=False)] = rng.integers(0, NIGHTS - 30, 5)
    return broke


def growing(evidence: np.ndarray) -> np.ndarray:
    """Ours as shipped: evidence grows, a finding is confirmed once."""
    said = np.zeros(evidence.shape, dtype=bool)
    state, logs, known = NightsState(), [0.0] * evidence.shape[1], [False] * evidence.shape[1]
    for night, values in enumerate(evidence.tolist()):
        logs = [restarted(before, tonight) for before, tonight in zip(logs, values, strict=True)]
        state, decisions = nights_e_lond(state, logs, ALPHA, testable=[not one for one in known])
        known = [one or found for one, found in zip(known, decisions, strict=True)]
        said[night] = decisions
    return said


def same_questions(replications: int, rho: float, effect: float) -> list[Row]:
    """Table 2."""
    rng = np.random.default_rng([SEED, 2, round(100 * rho), round(10 * effect)])
    stories: dict[str, Story] = {}
    for _ in range(replications):
        broke = breaks(rng)
        z = noise(rng, rho) + effect * (np.arange(NIGHTS)[:, None] >= broke)
        p, e = ndtr(-z), log_e(z)
        for name in ("uncorrected", "BH per night", "LORD++ over nights"):
            stories.setdefault(name, Story()).add(ON_P[name]().run(p), broke)
        for name in OURS:
            stories.setdefault(name + ", tonight only", Story()).add(ON_E[name]().run(e), broke)
        stories.setdefault(SHIPPED, Story()).add(growing(e), broke)
    return [story.row(name, rho=rho, effect=effect) for name, story in stories.items()]


def night_of_trainings(rng: np.random.Generator, shared: float, worse: np.ndarray) -> list[float]:
    """One night's log e-values of 100 experiments with at most 8 paired trainings each, stopped by the engine's rule.

    Differences have a standard deviation of half the margin (1); ``shared`` is the correlation between experiments,
    since they share seeds and data.  Null experiments sit exactly at the margin: the worst case.
    """
    own, common = rng.standard_normal((QUESTIONS, 8)), rng.standard_normal(8)
    differences = worse[:, None] + 0.5 * (math.sqrt(1 - shared) * own + math.sqrt(shared) * common)
    found = []
    for row in differences.tolist():
        evidence = seed_evidence(row, 1.0, alpha=ALPHA)
        found.append(evidence.stopped_log_e_fail if evidence is not None else 0.0)
    return found


def trainings(replications: int, shared: float) -> list[Row]:
    """Table 3."""
    rng = np.random.default_rng([SEED, 3, round(100 * shared)])
    stories: dict[str, Story] = {}
    for _ in range(replications):
        broke = breaks(rng)
        evidence = np.array([night_of_trainings(rng, shared, 1.0 + 0.5 * (night >= broke)) for night in range(NIGHTS)])
        said = {
            "uncorrected (each at e >= 20)": evidence >= -math.log(ALPHA),
            "ours per night (closed e-BH)": ON_E["ours per night (closed e-BH)"]().run(evidence),
            SHIPPED: growing(evidence),
        }
        for name, decisions in said.items():
            stories.setdefault(name, Story()).add(decisions, broke)
    return [story.row(name, rho=shared) for name, story in stories.items()]


def _cell(name: str, value: object) -> str:
    if name.startswith("held") and value is not None:
        return "ok" if value else "MISSED"
    return "-" if value is None else str(value)


def show(title: str, rows: Sequence[Row]) -> None:
    """A table."""
    print(f"\n{title}")
    width = max(len(str(row["procedure"])) for row in rows)
    names = [name for name in rows[0] if name != "procedure"]
    print(" ".join([f"{'':<{width}}", *(f"{name[:15]:>15}" for name in names)]))
    for row in rows:
        cells = [
            f"{'ok' if row[name] else 'MISSED':>15}" if name == "fdr_held" else f"{row[name]!s:>15}" for name in names
        ]
        print(" ".join([f"{row['procedure']!s:<{width}}", *cells]))


def main() -> None:
    """All three tables."""
    replications = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    began = time.perf_counter()
    first = [row for rho in (0.0, 0.5) for row in new_questions(replications, rho)]
    show("1. New questions every night", first)
    second = [
        row for effect in (3.5, 1.5) for rho in (0.0, 0.5) for row in same_questions(replications // 2, rho, effect)
    ]
    show("2. The same experiments every night", second)
    third = [row for shared in (0.0, 0.5) for row in trainings(max(2, replications // 10), shared)]
    show("3. The same, with evidence from paired trainings by the shipped test", third)
    ours = [row for row in [*first, *second, *third] if str(row["procedure"]).startswith("ours")]
    held = all(row["held"] in (True, None) for row in ours) and all(row.get("held_90_nights", True) for row in ours)
    print(f"\nours hold .05 everywhere: {'ok' if held else 'MISSED'}; {time.perf_counter() - began:.0f} s")
    told = {
        "replications": replications,
        "nights": NIGHTS,
        "questions": QUESTIONS,
        "true": TRUE,
        "alpha": ALPHA,
        "seed": SEED,
        "new_questions": first,
        "same_experiments": second,
        "trainings": third,
        "ours_hold": held,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
