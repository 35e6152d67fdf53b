"""Fairness intervals and drift checks beside fairlearn, evidently and scipy: seconds, and how far the answers differ.

    python -m benchmarks.judging --opponents PYTHON [--rounds 3]

PYTHON is the interpreter of the opponents' virtual environment; `make bench-judging` sets it up.  Each round runs both
sides one after the other on the same arrays, on one thread; medians of the rounds are shown, in CPU seconds (those on
the clock are kept too), so that other work on the machine favours neither.  Imports are not counted on either side.

Not the same work throughout, which is the point, and is said in the table: fairlearn resamples rows and calls a metric
per group, Squall draws the same bootstrap from the contingency table; evidently and scipy get the reference's values,
Squall its stored sketch, whose one-off cost stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from chaos_tasks.stats.contingency import tabulate
from chaos_tasks.stats.fairness import REPLICATES, Gap, Rate, amplification, gap, gaps
from chaos_tasks.stats.sketch import Drift, drift, layout_of, sketch

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "judging.json"
GROUPS = ("a", "b", "c", "d", "e")
FOUR = (Rate.SELECTION, Rate.TPR, Rate.FPR, Rate.ACCURACY)
ROWS, MANY, VALUES, COLUMNS = 20_000, 1_000_000, 500_000, 10
BOOTS, BY_HAND = 50, 2000
DRIFTED = 0.1
"""Standard deviations from which evidently calls a column drifted."""
AIM_FAIRNESS, AIM_DRIFT = 100_000, 500
Arrays = dict[str, Any]


def rows(n: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Groups of unequal size, a quarter of labels 1, decisions that lean on both."""
    codes = rng.choice(len(GROUPS), n, p=[0.4, 0.25, 0.2, 0.1, 0.05])
    labels = (rng.random(n) < 0.25).astype(np.int64)
    decisions = (rng.random(n) < 0.15 + 0.4 * labels + 0.03 * codes).astype(np.int64)
    return codes, labels, decisions


def draw(seed: int) -> Arrays:
    """All arrays of the benchmark: normal, skewed, heavy and bounded columns, some of them drifted."""
    rng = np.random.default_rng(seed)
    found: Arrays = dict(zip(("codes", "labels", "decisions"), rows(ROWS, rng), strict=True))
    found.update(zip(("many_codes", "many_labels", "many_decisions"), rows(MANY, rng), strict=True))
    flipped = rng.random(ROWS) < 0.05
    found["treated"] = np.where(flipped, 1 - found["decisions"], found["decisions"])
    reference: list[np.ndarray] = []
    current: list[np.ndarray] = []
    for place in range(COLUMNS):
        shift = 0.0 if place < 5 else 0.04 * (place - 4)
        for arm, move in ((reference, 0.0), (current, shift)):
            raw = rng.normal(move, 1.0, VALUES)
            arm.append([raw, np.exp(raw / 2), rng.standard_t(4, VALUES) + move, 1 / (1 + np.exp(-raw))][place % 4])
    return {**found, "reference": np.array(reference), "current": np.array(current)}


def timed(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """CPU seconds and seconds on the clock of the best of three, and what came out."""
    found = []
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        found.append((time.process_time() - cpu, time.perf_counter() - wall))
    return {"cpu_s": min(cpu for cpu, _ in found), "wall_s": min(wall for _, wall in found)}, result


def by_squall(arrays: Arrays, seed: int) -> dict[str, Any]:
    """The same questions, from the raw rows on."""
    table = [arrays[name] for name in ("codes", "labels", "decisions")]
    codes, *bits = table

    def rng() -> np.random.Generator:
        return np.random.default_rng(seed)

    four, answers = timed(lambda: gaps(tabulate(codes, GROUPS, *bits), FOUR, rng=rng()))
    one, _ = timed(lambda: gap(tabulate(codes, GROUPS, *bits), Rate.TPR, rng=rng()))
    paired, change = timed(
        lambda: amplification(tabulate(codes, GROUPS, *bits, arrays["treated"]), Rate.EQUALISED_ODDS, 0.05, rng=rng())
    )
    many = [arrays[f"many_{name}"] for name in ("codes", "labels", "decisions")]
    point, odds = timed(lambda: gap(tabulate(many[0], GROUPS, *many[1:]), Rate.EQUALISED_ODDS))
    layouts, layout = timed(lambda: [layout_of(column) for column in arrays["reference"]])
    once, stored = timed(lambda: [sketch(c, at) for c, at in zip(arrays["reference"], layout, strict=True)])
    pairs = list(zip(stored, arrays["current"], strict=True))
    check, drifts = timed(lambda: [drift(kept, sketch(column, kept.layout)) for kept, column in pairs])
    return {
        "four": {**four, "ends": {rate.value: _ends(answers[rate]) for rate in FOUR}},
        "one": one,
        "amplification": paired,
        "change": change.worsening.estimate,
        "point": {**point, "value": odds.value},
        "layout": layouts,
        "sketch": once,
        "check": {**check, "drifts": drifts},
        "bytes": sum(len(kept.canonical()) for kept in stored),
    }


def _ends(found: Any) -> dict[str, list[float]]:
    """Plain percentile interval, which is what fairlearn reports, and the one that Squall judges by."""
    if not isinstance(found, Gap) or found.interval is None or found.percentile is None:
        sys.exit("a gap could not be measured")
    return {
        "percentile": [found.percentile.low, found.percentile.high],
        "judged": [found.interval.low, found.interval.high],
    }


def by_rows(arrays: Arrays, seed: int) -> dict[str, Any]:
    """The row bootstrap as one would write it in numpy: resample, count, rate.  Also the interval of the gap."""
    codes, labels, decisions = (arrays[name] for name in ("codes", "labels", "decisions"))
    cell = (codes * 2 + labels) * 2 + decisions
    rng = np.random.default_rng(seed)

    def work() -> list[float]:
        found = []
        for _ in range(BY_HAND):
            counts = np.bincount(cell[rng.integers(0, ROWS, ROWS)], minlength=20).reshape(5, 2, 2)
            rates = counts[:, 1, 1] / counts[:, 1].sum(axis=1)
            found.append(float(rates.max() - rates.min()))
        return found

    seconds, found = timed(work)
    return {**seconds, "ends": np.quantile(found, [0.05, 0.95]).tolist()}


def opponents(python: str, path: Path) -> dict[str, Any]:
    """One run of the others on the same arrays."""
    command = [python, str(ROOT / "benchmarks" / "judging_opponents.py"), str(path), str(BOOTS)]
    one_thread = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **one_thread})
    if done.returncode:
        sys.exit(f"the opponents failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def middle(found: list[dict[str, Any]], *path: str) -> dict[str, float]:
    """Median seconds of the rounds."""
    picked = []
    for one in found:
        for step in path:
            one = one[step]
        picked.append(one)
    return {clock: statistics.median(one[clock] for one in picked) for clock in ("cpu_s", "wall_s")}


def differences(ours: dict[str, Any], theirs: dict[str, Any], plain: dict[str, Any]) -> dict[str, float]:
    """How far the answers are apart."""
    drifts: list[Drift] = ours["check"]["drifts"]
    scipy, evidently = theirs["scipy"], theirs["evidently"]["preset"]["normed"]
    exact, statistic = scipy["wasserstein"]["values"], scipy["ks"]["values"]
    ends = [
        abs(mine - other)
        for rate, both in ours["four"]["ends"].items()
        for mine, other in zip(both["percentile"], theirs["fairness"]["four"]["ends"][rate], strict=True)
    ]
    by_hand = zip(ours["four"]["ends"]["tpr"]["percentile"], plain["ends"], strict=True)
    return {
        "ends_vs_fairlearn": max(ends),
        "ends_vs_numpy_rows": max(abs(mine - other) for mine, other in by_hand),
        "equalised_odds_difference": abs(ours["point"]["value"] - theirs["point"]["value"]),
        "wasserstein_vs_scipy": max(abs(d.wasserstein - value) for d, value in zip(drifts, exact, strict=True)),
        "wasserstein_relative": max(abs(d.wasserstein - value) / value for d, value in zip(drifts, exact, strict=True)),
        "wasserstein_stated_bound": max(d.wasserstein_error for d in drifts),
        "ks_vs_scipy": max(abs(d.kolmogorov - value) for d, value in zip(drifts, statistic, strict=True)),
        "normed_vs_evidently": max(abs(d.normed - value) for d, value in zip(drifts, evidently, strict=True)),
        "columns_called_otherwise": float(
            sum((d.normed >= DRIFTED) != (value >= DRIFTED) for d, value in zip(drifts, evidently, strict=True))
        ),
        "columns_drifted": float(sum(value >= DRIFTED for value in evidently)),
    }


def summarise(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], plain: list[dict[str, Any]]) -> list[Any]:
    """Rows of the table: what, opponent, its seconds, ours, factor, aim."""

    def boots(*path: str) -> dict[str, float]:
        return {clock: value / BOOTS for clock, value in middle(theirs, "fairness", *path).items()}

    def each(name: str) -> dict[str, float]:
        return {clock: value / REPLICATES for clock, value in middle(ours, name).items()}

    by_hand = {clock: value / BY_HAND for clock, value in middle([{"r": one} for one in plain], "r").items()}
    check = middle(ours, "check")
    fairlearn = "fairlearn MetricFrame(n_boot)"
    preset = "evidently DataDriftPreset"
    return [
        ("fairness, four rates, per resample", fairlearn, boots("four"), each("four"), AIM_FAIRNESS),
        ("fairness, one rate, per resample", fairlearn, boots("one"), each("one"), AIM_FAIRNESS),
        ("fairness, one rate, per resample", "numpy, rows resampled", by_hand, each("one"), None),
        ("equalised odds, 1,000,000 rows", "fairlearn", middle(theirs, "point"), middle(ours, "point"), None),
        ("drift, 500,000 x 10, stored reference", preset, middle(theirs, "evidently", "preset"), check, AIM_DRIFT),
        ("drift, the measure alone", "evidently ValueDrift", middle(theirs, "evidently", "measure"), check, None),
        ("drift, exact W1", "scipy wasserstein_distance", middle(theirs, "scipy", "wasserstein"), check, None),
        ("drift, exact KS", "scipy ks_2samp", middle(theirs, "scipy", "ks"), check, None),
    ]


def show(table: list[Any], ours: list[dict[str, Any]], apart: dict[str, float]) -> list[dict[str, Any]]:
    """Print the table; returns it as records."""
    print(f"{'question':38} {'opponent':30} {'theirs':>10} {'ours':>10} {'factor':>10}   aim   (CPU seconds)")
    records = []
    for question, opponent, theirs, mine, aim in table:
        factor = theirs["cpu_s"] / mine["cpu_s"]
        verdict = "" if aim is None else f"{aim:,}: {'ok' if factor >= aim else 'MISSED'}"
        print(f"{question:38} {opponent:30} {theirs['cpu_s']:10.3g} {mine['cpu_s']:10.3g} {factor:10,.0f}   {verdict}")
        wall = theirs["wall_s"] / mine["wall_s"]
        sides = {"theirs": theirs, "ours": mine, "factor_cpu": factor, "factor_wall": wall}
        records.append({"question": question, "opponent": opponent, **sides, "aim": aim})
    once = middle(ours, "layout")["cpu_s"] + middle(ours, "sketch")["cpu_s"]
    print(f"\nonce, for the reference's sketches: {once:.3f} s, kept in {ours[0]['bytes'] / 1024:.0f} KiB")
    print(f"change of a gap on the same rows, {REPLICATES:,} resamples: {middle(ours, 'amplification')['cpu_s']:.3f} s")
    print(
        f"fairlearn was given {BOOTS} resamples, numpy {BY_HAND:,}, Squall {REPLICATES:,}; all are shown per resample\n"
    )
    for name, value in apart.items():
        print(f"{name.replace('_', ' '):32} {value:.3g}")
    return records


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--opponents", required=True, help="interpreter with fairlearn, evidently and scipy")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    arrays = draw(options.seed)
    ours, theirs, plain = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays.npz"
        np.savez(path, **arrays)
        for _ in range(options.rounds):
            ours.append(by_squall(arrays, options.seed))
            plain.append(by_rows(arrays, options.seed))
            theirs.append(opponents(options.opponents, path))
    apart = differences(ours[-1], theirs[-1], plain[-1])
    records = show(summarise(ours, theirs, plain), ours, apart)
    facts = {
        "rounds": options.rounds,
        "seed": options.seed,
        "versions": {**theirs[0]["versions"], "python": sys.version.split()[0]},
        "load": os.getloadavg()[0],
        "clock": "CPU seconds of one thread; median of rounds, ours the best of three within each",
        "once_s": {name: middle(ours, name) for name in ("layout", "sketch", "amplification")},
        "sketch_bytes": ours[0]["bytes"],
        "differences": apart,
        "intervals": {rate: ours[-1]["four"]["ends"][rate] for rate in ours[-1]["four"]["ends"]},
        "fairlearn_intervals": theirs[-1]["fairness"]["four"]["ends"],
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({**facts, "results": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
