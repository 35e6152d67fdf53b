"""Tests the reference gate by mutants, adopts what is proposed, and measures on mutants and months that were held out.

`python -m benchmarks.gates [--budget 420]` (about 35 minutes of one core; fewer trainings, wider intervals).  The
strata (kind, file, column, grouping column) are split in two halves at random and each half is searched.  Held out:
mutants of other seeds, intensities and groups, drawn after all searching and proposing; the same on another month; for
each half's proposals the other half's escapes (other columns); and the clean months after the version that limits were
learnt from.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from chaos_tasks.clients import from_environment
from chaos_tasks.clock import SystemClock
from chaos_tasks.gates import tables
from chaos_tasks.gates.adopting import as_json
from chaos_tasks.gates.harming import HarmRule
from chaos_tasks.gates.limits import ExtraCheck
from chaos_tasks.gates.mutants import draw_intensity, families, strata
from chaos_tasks.gates.proposing import battery, refused_by
from chaos_tasks.gates.search import BudgetSpentError, Search
from chaos_tasks.gates.session import earlier, propose_checks, run_gate_test, score
from chaos_tasks.gates.tables import Tables
from chaos_tasks.gates.values import Family, GateReport, Harm, HarmState, Mutant, Passing, Tried
from chaos_tasks.gates.wording import proposed, summary
from chaos_tasks.gates.workbench import Passage, Workbench, Worsening
from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.lab.reference import ReferenceSpec, build_offline
from chaos_tasks.loading import load_target
from chaos_tasks.model.target import Target
from chaos_tasks.stats.reliability import share_interval

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "gates.json"
MONTHS = tuple(f"2013-{month:02d}" for month in range(1, 13))
REV, OTHER_MONTH = "data-2013-06", "data-2013-07"
HARM = Harm(metric="auc", margin=0.01, better="higher")
DRAWS = 50


class Remembered(Workbench):
    """A workbench that keeps what each mutant came to in a file: an interrupted or repeated measurement goes on there.

    Trainings are deterministic, so what was measured before counts, and is counted, as if it were done now.
    """

    memo: Path | None = None

    def recall(self, *named: object) -> Any:
        """What was noted under this name, or None."""
        if self.memo is None or not self.memo.exists():
            return None
        lines = [json.loads(line) for line in self.memo.read_text().splitlines()]
        return next((line[1] for line in lines if line[0] == [self.version.data_digest, *named]), None)

    def note(self, value: object, *named: object) -> None:
        """Keep it."""
        if self.memo is not None:
            with self.memo.open("a") as file:
                file.write(json.dumps([[self.version.data_digest, *named], value]) + "\n")

    def passage(self, mutant: Mutant) -> Passage:
        known = self.recall("passage", mutant.content_sha256)
        if known is None:
            found = super().passage(mutant)
            self.note([found.passing.value, found.stopped_by], "passage", mutant.content_sha256)
            return found
        self.counted.preparations += 1
        self.counted.gate_runs += known[0] in ("refused", "passed")
        return Passage(Passing(known[0]), known[1])

    def pair(self, mutant: Mutant, number: int) -> Worsening | None:
        known = self.recall("pair", mutant.content_sha256, number)
        if known is None:
            found = super().pair(mutant, number)
            self.note(["crashed"] if found is None else list(found), "pair", mutant.content_sha256, number)
            return found
        self.control(number)
        self.counted.trainings += 1
        return None if known == ["crashed"] else tuple(known)

    def control(self, number: int) -> tuple[float, ...]:
        known = self._controls.get(number) or self.recall("control", number)
        if known is None:
            found = super().control(number)
            self.note(list(found), "control", number)
            return found
        if number not in self._controls:
            self.counted.trainings += 1
            self.counted.controls += 1
            self._controls[number] = tuple(known)
        return self._controls[number]


def target_at(repo: Path, rev: str) -> Target:
    """The shipped target at one data version."""
    target = load_target(ROOT / "data/targets/flights.yaml", {**os.environ, "SQUALL_FLIGHTS_REPO": str(repo)})
    return target.model_copy(update={"source": target.source.model_copy(update={"rev": rev})})


def open_bench(target: Target, folder: Path, memo: Path | None) -> Remembered:
    clock, clients = SystemClock(), from_environment({})
    bench = Remembered.open(target, folder, python=sys.executable, harms=[HARM], clock=clock, clients=clients)
    bench.memo = memo
    return bench


def halves(found: Sequence[Family], rng: np.random.Generator) -> set[str]:
    """The strata of the searched half: half of each kind's."""
    by_kind: dict[str, list[str]] = {}
    for name in strata(found):
        by_kind.setdefault(name.split()[0], []).append(name)
    chosen: set[str] = set()
    for names in by_kind.values():
        chosen |= set(rng.permutation(names)[: (len(names) + 1) // 2].tolist())
    return chosen


def tell(tried: Tried) -> None:
    if tried.harm is not HarmState.UNASKED:
        worse = ", ".join(f"{one.worsening:+.4f}" for one in tried.measured)
        print(
            f"  {tried.mutant.family.name} at {tried.mutant.intensity:.3f}: {tried.passing.value}, "
            f"{tried.harm.value} ({tried.pairs}) {worse}",
            file=sys.stderr,
            flush=True,
        )


def with_extra(target: Target, checks: Sequence[ExtraCheck], file: Path) -> Target:
    """The target whose gate has adopted the checks."""
    file.write_text(as_json(checks))
    steps = tuple(
        step.model_copy(update={"run": f"{step.run} --extra {file} --data {{data}}"}) if step.gate else step
        for step in target.workload.setup
    )
    return target.model_copy(update={"workload": target.workload.model_copy(update={"setup": steps})})


def closed(bench: Workbench, escaped: Sequence[Tried], checks: Sequence[ExtraCheck]) -> list[tuple[str, ...]]:
    """By escape: names of the checks that refuse it."""
    form = bench.target.source.format
    return [refused_by(checks, tables.read(bench.tables(one.mutant), form)) for one in escaped]


def share(successes: int, n: int) -> dict[str, float | int | None]:
    interval = share_interval(successes, n, alpha=0.05)
    if interval is None:
        return {"of": 0, "count": 0, "share": None}
    return {"count": successes, "of": n, "share": interval.estimate, "low": interval.low, "high": interval.high}


def later_versions(bench: Workbench) -> Iterator[tuple[str, Tables]]:
    """Clean versions after REV: cumulative ones, and half a year ending with each later month."""
    form = bench.target.source.format
    for month in MONTHS[6:]:
        whole = tables.read(bench.tables_at(f"data-{month}"), form)
        yield f"through {month}", whole
        last = int(month[-2:])
        yield f"six months to {month}", {name: table[table["month"] > last - 6] for name, table in whole.items()}


def thinned(version: Tables, rng: np.random.Generator) -> Tables:
    """A version of which a random tenth of the days never came; the same days in each table."""
    days = {name: flight_days(name, version) for name in version}
    every = sorted(set().union(*(set(day) for day in days.values())))
    kept = set(rng.choice(every, round(0.9 * len(every)), replace=False).tolist())
    return {name: table[days[name].isin(kept).to_numpy()] for name, table in version.items()}


def flight_days(name: str, version: Tables) -> pd.Series:
    """Month and day of each row; the prepared table has them by its key."""
    table = version[name]
    if "day" in table:
        return table["month"] * 100 + table["day"]
    flights = version["raw/flights.parquet"].set_index("flight_id")
    return (flights["month"] * 100 + flights["day"]).reindex(table["flight_id"]).fillna(0).astype(int)


def false_alarms(
    bench: Workbench, few: Sequence[ExtraCheck], every: Sequence[ExtraCheck], rng: np.random.Generator
) -> dict[str, Any]:
    """Clean versions that were not used: how many each set of checks refuses."""
    found: dict[str, Any] = {"versions": {}, "versions_battery": {}}
    thin, drawn = 0, 0
    for name, version in later_versions(bench):
        found["versions"][name] = list(refused_by(few, version))
        found["versions_battery"][name] = list(refused_by(every, version))
        for _ in range(DRAWS):
            thin += bool(refused_by(few, thinned(version, rng)))
            drawn += 1
    alarms = {key: sum(map(bool, found[key].values())) for key in ("versions", "versions_battery")}
    found["of_versions"] = share(alarms["versions"], len(found["versions"]))
    found["of_versions_battery"] = share(alarms["versions_battery"], len(found["versions_battery"]))
    found["of_thinned"] = share(thin, drawn)
    return found


def other_month(
    bench: Workbench, escaped: Sequence[Tried], checks: Sequence[ExtraCheck], budget: int
) -> dict[str, Any]:
    """The same corruptions on a later month's version: still escapes there, and closed?"""
    search = Search(bench, HarmRule((HARM,), cap=3), np.random.default_rng(0), budget, tell)
    again = []
    for one in escaped:
        if search.bench.cost().trainings >= budget:
            break
        again.append(search.decide(one.mutant, "search"))
    still = [one for one in again if one.escaped]
    refused = closed(bench, still, checks)
    return {"tried": len(again), "still_escapes": len(still), "closed": share(sum(map(bool, refused)), len(refused))}


def fresh(bench: Workbench, found: Sequence[Family], reports: Sequence[GateReport], budget: int) -> list[Tried]:
    """Mutants that pass the gate, drawn from the strata with escapes: other seeds, intensities and groups.

    What the gate refuses is no escape, whatever its harm, so nothing is trained on it here.
    """
    rng = np.random.default_rng(12345)
    search = Search(bench, HarmRule((HARM,)), rng, bench.cost().trainings + budget, tell)
    members = strata(found)
    names = sorted({one.mutant.family.stratum for report in reports for one in escapes_of(report)})
    drawn: list[Tried] = []
    while names:
        chosen = members[names[int(rng.integers(len(names)))]]
        family = chosen[int(rng.integers(len(chosen)))]
        mutant = Mutant(family=family, intensity=draw_intensity(family, rng), seed=int(rng.integers(1, 2**31)))
        if search.ask(mutant, "sample").passing is Passing.PASSED:
            try:
                drawn.append(search.decide(mutant, "sample"))
            except BudgetSpentError:
                break
    return drawn


def told(bench: Workbench, escaped: Sequence[Tried], sets: dict[str, Sequence[ExtraCheck]]) -> dict[str, Any]:
    """Of some escapes, how many each set of checks closes; by stratum for the first set."""
    closing = {name: closed(bench, escaped, checks) for name, checks in sets.items()}
    by_stratum: dict[str, list[bool]] = {}
    for one, names in zip(escaped, next(iter(closing.values())), strict=True):
        by_stratum.setdefault(one.mutant.family.stratum, []).append(bool(names))
    shares = {name: share(sum(map(bool, hits)), len(hits)) for name, hits in closing.items()}
    strata_ = {name: share(sum(hits), len(hits)) for name, hits in sorted(by_stratum.items())}
    return {**shares, "by_stratum": strata_}


def escapes_of(report: GateReport) -> list[Tried]:
    return [one for one in report.tried if one.escaped]


def crossed(bench: Workbench, reports: Sequence[GateReport], every: Sequence[ExtraCheck]) -> dict[str, Any]:
    """Proposals from one half's escapes, asked of the other half's: no column or grouping in common."""
    results: dict[str, dict[str, Any]] = {}
    first, second = reports
    for name, searched, other in (("first", first, second), ("second", second, first)):
        mutants = [one.mutant for one in escapes_of(searched)]
        proposal = propose_checks(bench, mutants, rng=np.random.default_rng(0)) if mutants else None
        checks = proposal.checks if proposal else ()
        results[name] = {
            "checks": [check.name for check in checks],
            **told(bench, escapes_of(other), {"few": checks, "battery": every}),
        }
    return results


def show(results: dict[str, Any]) -> None:
    def line(name: str, one: dict[str, Any]) -> str:
        if one["share"] is None:
            return f"  {name:52} none"
        interval = f"({one['low']:.2f} to {one['high']:.2f})"
        return f"  {name:52} {one['count']:>3} of {one['of']:<3} {one['share']:.2f} {interval}"

    held = results["fresh"]
    print("\nescapes closed, held out (90 % exact interval)")
    print(line("other seeds, intensities, groups: proposed", held["few"]))
    print(line("the same, as the real gate with the checks says", held["gate"]))
    for name, one in held["by_stratum"].items():
        print(line(f"  {name}"[:52], one))
    month = results["other_month"]
    print(line(f"the same mutants on {OTHER_MONTH}", month["closed"]))
    for name, one in results["crossed"].items():
        print(line(f"other columns ({name} half searched): proposed", one["few"]))
        print(line(f"other columns ({name} half searched): battery", one["battery"]))
    print("false alarms on clean months that were not used")
    for key in ("of_versions", "of_thinned", "of_versions_battery"):
        print(line(key, results["false_alarms"][key]))
    print(f"{results['seconds']:.0f} s, {results['trainings']} trainings")


def main() -> None:
    """Search, propose, adopt, hold out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=int, default=420, help="trainings in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memo", type=Path, help="keep what was measured in this file, and go on from there")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="squall-gates-") as temporary:
        results = measure(Path(temporary), options.budget, options.seed, options.memo)
    results |= {"seconds": time.monotonic() - began, "budget": options.budget, "seed": options.seed}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    show(results)


def measure(folder: Path, budget: int, seed: int, memo: Path | None) -> dict[str, Any]:
    repo = folder / "source" / "flights"
    repo.parent.mkdir()
    build_offline(ReferenceSpec(repo=repo, endpoint="http://127.0.0.1:9", admin=Credentials.drawn(), months=MONTHS))
    bench = open_bench(target_at(repo, REV), folder / "work", memo)
    rng = np.random.default_rng(seed)
    found, _ = families(bench.profiles(), versions=len(bench.versions()))
    first = halves(found, rng)
    reports = [search_half(bench, lambda one: one.stratum in first, round(0.35 * budget), seed)]
    reports.append(search_half(bench, lambda one: one.stratum not in first, round(0.35 * budget), seed + 1))
    escaped = [one for report in reports for one in escapes_of(report)]
    proposal = propose_checks(bench, [one.mutant for one in escaped], rng=rng)
    print(f"\n{proposed(proposal)}", flush=True)
    form = bench.target.source.format
    latest = tables.read(bench.tables(None), form)
    every = battery(latest, earlier(bench, latest), rng=rng)
    drawn = fresh(bench, found, reports, round(0.25 * budget))
    new = [one for one in drawn if one.escaped]
    adopted = open_bench(with_extra(bench.target, proposal.checks, folder / "extra.json"), folder / "adopted", None)
    by_gate = sum(adopted.passage(one.mutant).passing is Passing.REFUSED for one in new)
    later = open_bench(target_at(repo, OTHER_MONTH), folder / "month", memo)
    picked = [new[index] for index in rng.permutation(len(new))[:5]]
    before = score([one for report in reports for one in sampled(report)], 0.05)
    return {
        "reports": [brief(report) for report in reports],
        "smallest": [one.model_dump(mode="json") for report in reports for one in report.escapes],
        "proposal": proposal.model_dump(mode="json"),
        "battery": len(every),
        "score": None if before is None else before.model_dump(mode="json"),
        "fresh": {
            "mutants": len(drawn),
            "escapes": len(new),
            **told(bench, new, {"few": proposal.checks, "battery": every}),
            "gate": share(by_gate, len(new)),
        },
        "crossed": crossed(bench, reports, every),
        "other_month": other_month(later, picked, proposal.checks, round(0.05 * budget)),
        "false_alarms": false_alarms(bench, proposal.checks, every, rng),
        "trainings": bench.cost().trainings + later.cost().trainings,
        "cost": bench.cost().model_dump(mode="json"),
        "tried": [lean(one) for one in (*(one for report in reports for one in report.tried), *drawn)],
    }


def search_half(bench: Workbench, only: Callable[[Family], bool], budget: int, seed: int) -> GateReport:
    rule, rng = HarmRule((HARM,)), np.random.default_rng(seed)
    report = run_gate_test(bench, rule, rng=rng, budget=budget, only=only, tell=tell)
    print(summary(report), flush=True)
    return report


def sampled(report: GateReport) -> list[Tried]:
    return [one for one in report.tried if one.purpose == "sample"]


def brief(report: GateReport) -> dict[str, Any]:
    return report.model_dump(mode="json", exclude={"tried", "escapes"})


def lean(tried: Tried) -> dict[str, Any]:
    mutant: Mutant = tried.mutant
    return {
        "family": mutant.family.name,
        "intensity": round(mutant.intensity, 4),
        "passing": tried.passing.value,
        "harm": tried.harm.value,
        "pairs": tried.pairs,
        "worsening": [round(one.worsening, 5) for one in tried.measured],
        "purpose": tried.purpose,
    }


if __name__ == "__main__":
    main()
