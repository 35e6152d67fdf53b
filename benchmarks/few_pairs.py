"""How often three pairs of trainings decide a large drop, and what each rule that does so more often costs elsewhere.

    python -m benchmarks.few_pairs

Run by `make bench-few_pairs` (a minute).  The drop is the blind's labels-48: AUC falls by 12 %, the margin is .015; its
mean and the spread of its pairs come from the ten fixed pairs of benchmarks/results/blind.json.  Shares at three pairs
are exact for normal differences (noncentral t); the rest is simulated.  Shipped is the rule of ADR 0027, before it was
that of 0013.
Writes benchmarks/results/few_pairs.json.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize, stats

from benchmarks import verdict_designs as designs
from benchmarks.verdict_designs import ALPHA, SEED_CAP, SEED_MARGIN, SEED_SPREAD
from benchmarks.verdicts import SHAPES
from chaos_tasks.stats.seed_evidence import FEW, Mixture, _mixture, steepness

RESULTS = Path(__file__).parent / "results"
REPEATS, SEED, THREE = 40_000, 20_261_128, 3
BEFORE = _mixture((0.85, 2.2, 0.5), (0.15, 0.7, 0.5))  # of ADR 0013, without a look
LARGE = _mixture((1.0, 2.8, 0.3))  # one hump, where three pairs ask least

Array = np.ndarray[Any, np.dtype[Any]]


def of_mixture(mixture: Mixture, alpha: float = ALPHA) -> list[float]:
    """Mean over root mean squared deviation at which the e-process reaches 1/alpha, after 1, 2, ... pairs."""
    return [steepness(n, alpha, mixture) for n in range(1, SEED_CAP + 1)]


def one_look(alpha: float) -> float:
    """The same for Student's one-sided test of three pairs."""
    return float(stats.t.isf(alpha, THREE - 1)) / math.sqrt(THREE - 1)


def half_on_three() -> list[float]:
    """Half of the e-value bet on one look at three pairs (all or nothing at alpha/2), half on the mixture of 0013."""
    found = of_mixture(BEFORE, ALPHA / 2)
    found[THREE - 1] = min(found[THREE - 1], one_look(ALPHA / 2))
    return found


def only_three() -> list[float]:
    """All of alpha on one look: nothing before it, nothing after it."""
    return [one_look(ALPHA) if n == THREE else math.inf for n in range(1, SEED_CAP + 1)]


RULES: dict[str, Callable[[], list[float]]] = {
    "shipped": lambda: of_mixture(FEW),
    "before": lambda: of_mixture(BEFORE),
    "one hump at 2.8": lambda: of_mixture(LARGE),
    "half on three pairs": half_on_three,
    "three pairs, one look": only_three,
}


def decided(worse: Array, levels: list[float]) -> tuple[Array, Array]:
    """Answers (-1 pass, 1 fail, 0 open) and pairs until then; ``worse``: replicates by pairs."""
    n = np.arange(1, worse.shape[1] + 1)
    mean = worse.cumsum(axis=1) / n
    spread = np.sqrt(np.maximum((worse**2).cumsum(axis=1) / n - mean**2, 1e-18))
    steep = (mean - SEED_MARGIN) / spread
    crossed = np.abs(steep) >= np.array(levels)
    ever, first = crossed.any(axis=1), crossed.argmax(axis=1)
    answer = np.where(ever, np.sign(steep[np.arange(len(worse)), first]), 0)
    return answer, np.where(ever, first + 1, worse.shape[1])


def at_margin(rng: np.random.Generator) -> dict[str, Array]:
    """Worlds exactly at the margin, where both answers are wrong."""
    worlds = {}
    for correlation in (0.0, 0.1, 0.5):
        parts = [designs.clustered(rng, SEED_MARGIN, correlation, 200, SEED_CAP).mean(axis=2) for _ in range(20)]
        worlds[f"intra-class correlation {correlation}"] = np.concatenate(parts)
    for shape in ("normal", "uniform", "Student, 3 degrees", "rounded to whole spreads"):
        worlds[shape] = SEED_MARGIN + SEED_SPREAD * SHAPES[shape](rng, (REPEATS, SEED_CAP))
    return worlds


def drop() -> tuple[float, int, int]:
    """Spreads by which labels-48 lies beyond its margin, and how many runs of how many took three pairs."""
    kinds = json.loads((RESULTS / "blind.json").read_text())["kinds"]
    kind = next(one for one in kinds if one["kind"] == "labels-48")
    spread = kind["truth_se"] / float(stats.t.isf(0.16, 9)) * math.sqrt(10)
    beyond = (kind["truth"] - kind["margin"]) / spread
    sixes = round(kind["n"] * (kind["most_trainings"] - kind["mean_trainings"]) / (kind["most_trainings"] - 6))
    return beyond, sixes, kind["n"]


def power(levels: list[float], beyond: float) -> float:
    """Share decided by three pairs, where differences are normal."""
    needed = levels[THREE - 1] * math.sqrt(THREE - 1)
    return float(stats.nct.sf(needed, THREE - 1, beyond * math.sqrt(THREE)))


def implied(share: float) -> float:
    """Spreads beyond the margin at which the rule before decides that share of runs with three pairs."""
    levels = of_mixture(BEFORE)
    return float(optimize.brentq(lambda beyond: power(levels, beyond) - share, 1, 12))


def measure(levels: list[float], worlds: dict[str, Array], beyond: float) -> dict[str, object]:
    """One rule: what three pairs ask, what that decides, its errors, and what it costs near the margin."""
    needed = levels[THREE - 1] * math.sqrt(THREE - 1)
    errors = {}
    for name, worse in worlds.items():
        answer, _ = decided(worse, levels)
        both = (float((answer < 0).mean()), float((answer > 0).mean()))
        most = ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / len(worse))
        errors[name] = {"false_pass": both[0], "false_fail": both[1], "repeats": len(worse), "ok": max(both) <= most}
    noise = SEED_SPREAD * np.random.default_rng(SEED + 1).standard_normal((REPEATS, SEED_CAP))
    cost = {}
    for effect, worsening in (("none", 0.0), ("half", SEED_MARGIN / 2), ("2 x", 2 * SEED_MARGIN)):
        answer, pairs = decided(worsening + noise, levels)
        right = answer < 0 if worsening < SEED_MARGIN else answer > 0
        cost[effect] = {"right": float(right.mean()), "pairs": float(pairs.mean())}
    shares = {f"{d:.2g}": power(levels, d) for d in (3, 4, 5, beyond, 8)}
    return {"t_needed": needed, "size": float(stats.t.sf(needed, 2)), "power": shares, "errors": errors, "cost": cost}


def main() -> None:
    """Measure, print, write."""
    beyond, sixes, runs = drop()
    worlds = at_margin(np.random.default_rng(SEED))
    found = {name: measure(make(), worlds, beyond) for name, make in RULES.items()}
    seen = implied(sixes / runs)
    odds = float(stats.binom.cdf(sixes, runs, power(of_mixture(BEFORE), beyond)))
    there = {name: power(make(), seen) for name, make in RULES.items()}
    print(f"as often as seen: {seen:.2f} spreads; so seldom at {beyond:.2f}: {odds:.3f}; decided there: {there}")
    print(f"labels-48: {beyond:.2f} spreads beyond its margin; {sixes} of {runs} runs took 6 trainings")
    for name, one in found.items():
        print(f"\n{name}: t of three pairs {one['t_needed']:.3f}, size there {one['size']:.4f}")
        print("  decided by three pairs, by spreads beyond the margin:", one["power"])
        for part in ("errors", "cost"):
            print(f"  {part}:", json.dumps(one[part]))
    told = {"beyond": beyond, "decided_by_six": sixes, "runs": runs, "seed": SEED, "rules": found}
    told |= {"implied_by_runs": seen, "chance_of_so_few": odds, "power_at_implied": there}
    (RESULTS / "few_pairs.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
