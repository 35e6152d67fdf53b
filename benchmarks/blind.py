"""Planted defects and clean changes through the engine on the reference workload, blind: how often is it wrong?

`make bench-blind` runs 100 of each (the machine's cores side by side, resumable: what is done lies below --folder) and
writes benchmarks/results/blind.json.  The gate is taken out of the target, so that every defect reaches the model.
`--stage truth` measures each kind with a fixed number of paired trainings on seeds of their own: what the blind's
answers are held against is that measurement, not the author's opinion.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import SecretStr

from benchmarks.blind_cases import KINDS, Case, Kind, draw, experiment
from chaos_tasks.composition import Squall, build
from chaos_tasks.errors import SquallError
from chaos_tasks.lab.credentials import Credentials
from chaos_tasks.lab.reference import ReferenceSpec, build_offline
from chaos_tasks.model.experiment import Experiment
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.verdict import Verdict
from chaos_tasks.settings import find_settings
from chaos_tasks.stats.paired import paired_interval

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "blind.json"
TRUTH_PAIRS, MOST_PAIRS, DRAW_SEED = 10, 10, 20130101
LIMIT_WRONG, LIMIT_TRAININGS = 0.02, 6

INVENTORY = """\
[squall]
home = "home"
experiments = "."
environments = ["lab"]
lanes = 1
require_sweeper = false
python = "{python}"

[targets.flights-ungated]
file = "target.yaml"
environment = "lab"
disposable = true
families = ["data", "process"]
"""


@dataclass(frozen=True)
class Answer:
    """What one run said, and what it cost."""

    case: str
    kind: str
    outcome: str
    estimate: float | None
    pairs: int
    trainings: int
    reused: int
    seconds: float
    sentence: str


def world(folder: Path, worker: int) -> Path:
    """A project of this worker's own: inventory, target without its gate, and the reference repository."""
    place = folder / f"worker-{worker}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "squall.toml").write_text(INVENTORY.format(python=sys.executable))
    (place / "target.yaml").write_text(_ungated(folder / "reference"))
    return place


def _ungated(repo: Path) -> str:
    import yaml

    target = yaml.safe_load((ROOT / "data" / "targets" / "flights.yaml").read_text())
    setup = target["workload"]["setup"]
    target["workload"]["setup"] = [step for step in setup if not step.get("gate")]
    target["signals"] = [signal for signal in target["signals"] if signal["type"] != "gate"]
    target["source"]["repo"] = str(repo)
    target["name"] = "flights-ungated"
    return str(yaml.safe_dump(target))


def reference(folder: Path) -> None:
    """The reference repository, built once."""
    repo = folder / "reference"
    if (repo.with_suffix(".done")).exists():
        return
    keys = Credentials(access_key="none", secret_key=SecretStr("none"))
    build_offline(ReferenceSpec(repo=repo, endpoint="http://127.0.0.1:1", admin=keys, train=False))
    repo.with_suffix(".done").touch()


def ask(squall: Squall, name: str, kind: Kind, told: Experiment) -> Answer:
    """Run one experiment through the engine, as a command would."""
    begun = time.monotonic()
    verdict = squall.engine.run(RunRequest(run_id=name, experiment=told, requested_by="benchmark"))
    return _answer(name, kind, verdict, time.monotonic() - begun)


def _answer(name: str, kind: Kind, verdict: Verdict, seconds: float) -> Answer:
    check = verdict.checks[0]
    return Answer(
        case=name,
        kind=kind.name,
        outcome=verdict.outcome.value,
        estimate=check.estimate,
        pairs=len(check.seeds),
        trainings=2 * len(check.seeds),
        reused=verdict.trials_reused,
        seconds=seconds,
        sentence=verdict.sentence,
    )


def work(folder: Path, worker: int, asked: Sequence[tuple[str, Kind, Experiment]]) -> None:
    """Run what this worker has not run yet, one line of answers each."""
    place, answers = world(folder, worker), folder / f"answers-{worker}.jsonl"
    done = {answer.case for answer in _read([answers])}
    os.chdir(place)
    with build(settings=find_settings(start=place)) as squall:
        for name, kind, told in asked:
            if name in done:
                continue
            try:
                answer = ask(squall, name, kind, told)
            except SquallError as error:  # said, and counted as no verdict
                answer = Answer(name, kind.name, "error", None, 0, 0, 0, 0.0, error.message)
            with answers.open("a") as out:
                out.write(json.dumps(asdict(answer)) + "\n")


def _read(paths: Iterable[Path]) -> list[Answer]:
    lines = [line for path in paths if path.exists() for line in path.read_text().splitlines()]
    return [Answer(**json.loads(line)) for line in lines]


def truth_experiments() -> list[tuple[str, Kind, Experiment]]:
    """Each kind once, with all its pairs."""

    def told(i: int, kind: Kind) -> tuple[str, Kind, Experiment]:
        seed = 900_000 + 10_000 * (i % 2)
        return f"truth-{i:02}", kind, experiment(f"truth-{i:02}", kind, seed, {"design": "fixed", "seeds": TRUTH_PAIRS})

    return [told(i, kind) for i, kind in enumerate(KINDS)]


def blind_experiments(per_class: int) -> list[tuple[str, Kind, Experiment]]:
    """The cases, under names that say nothing."""

    def told(case: Case) -> tuple[str, Kind, Experiment]:
        name = f"case-{case.number:03}"
        return name, case.kind, experiment(name, case.kind, case.base_seed, {"seeds": MOST_PAIRS})

    return [told(case) for case in draw(per_class, DRAW_SEED)]


def run_all(folder: Path, asked: Sequence[tuple[str, Kind, Experiment]], workers: int) -> list[Answer]:
    """All of them on as many processes; cases that share training seeds go to one worker."""
    by_seed = {seed: i % workers for i, seed in enumerate(sorted({one[2].analysis.base_seed or 0 for one in asked}))}
    shares = [[one for one in asked if by_seed[one[2].analysis.base_seed or 0] == worker] for worker in range(workers)]
    with ProcessPoolExecutor(workers) as pool:
        for future in [pool.submit(work, folder, worker, share) for worker, share in enumerate(shares)]:
            future.result()
    names = {one[0] for one in asked}
    return [one for one in _read(folder.glob("answers-*.jsonl")) if one.case in names]


def truths(folder: Path) -> dict[str, tuple[float, float]]:
    """Mean worsening of each kind with its standard error, from the fixed trainings."""
    from chaos_tasks.runs import Run

    found = {}
    for worker in sorted(folder.glob("worker-*")):
        with build(settings=find_settings(start=worker)) as squall:
            for name, kind, _ in truth_experiments():
                run = Run(squall.ledger, name)
                if run.registered() is None:
                    continue
                read = {(one.arm.value, one.seed): one.value for one in run.observations()}
                sign = 1.0 if kind.better == "higher" else -1.0
                seeds = sorted({seed for arm, seed in read if arm == "treatment"})
                worse = [sign * (float(str(read["control", s])) - float(str(read["treatment", s]))) for s in seeds]
                interval = paired_interval(worse, alpha=0.16)  # about one standard error to each side
                if interval is not None:
                    found[kind.name] = (interval.estimate, interval.high - interval.estimate)
    return found


def report(answers: Sequence[Answer], truth: dict[str, tuple[float, float]]) -> dict[str, object]:
    """The table, and what goes into the results file."""
    kinds = {kind.name: kind for kind in KINDS}
    rows = []
    print(f"{'kind':<22}{'question':<18}{'truth (se)':>17}{'n':>5}{'held':>6}{'dev.':>6}{'inc.':>6}", end="")
    print(f"{'wrong':>6}{'trainings':>11}")
    for kind in KINDS:
        ours = [one for one in answers if one.kind == kind.name]
        if not ours:
            continue
        counts = {outcome: sum(one.outcome == outcome for one in ours) for outcome in ("held", "deviated")}
        wrong = counts["held"] if kind.harmful else counts["deviated"]
        mean, error = truth.get(kind.name, (float("nan"), float("nan")))
        trainings = sum(one.trainings for one in ours) / len(ours)
        unsure = len(ours) - sum(counts.values())
        rows.append(
            {"kind": kind.name, "harmful": kind.harmful, "metric": kind.metric, "margin": kind.margin, "truth": mean}
            | {"truth_se": error, "n": len(ours), **counts, "inconclusive": unsure, "wrong": wrong}
            | {"mean_trainings": trainings, "most_trainings": max(one.trainings for one in ours)}
        )
        question = f"{kind.metric} {kind.margin:g}"
        print(
            f"{kind.name:<22}{question:<18}{mean:>9.4f} ({error:.4f}){len(ours):>5}{counts['held']:>6}"
            f"{counts['deviated']:>6}{unsure:>6}{wrong:>6}{trainings:>11.1f}"
        )
    known = [one for one in answers if one.kind in kinds]
    wrong_n = sum(int(str(row["wrong"])) for row in rows)
    unsure_n = sum(int(str(row["inconclusive"])) for row in rows)
    harmful = sum(kinds[one.kind].harmful for one in known)
    trained = sum(one.trainings - one.reused for one in known)
    told = {
        "cases": len(known),
        "planted": harmful,
        "clean": len(known) - harmful,
        "wrong": wrong_n,
        "wrong_share": wrong_n / max(1, len(known)),
        "inconclusive": unsure_n,
        "inconclusive_share": unsure_n / max(1, len(known)),
        "trainings_per_verdict": sum(one.trainings for one in known) / max(1, len(known)),
        "trainings_run_per_verdict": trained / max(1, len(known)),
        "kinds": rows,
    }
    print(
        f"\n{len(known)} experiments ({harmful} planted, {len(known) - harmful} clean): {wrong_n} wrong "
        f"({told['wrong_share']:.1%}, at most {LIMIT_WRONG:.0%}), {unsure_n} inconclusive; "
        f"{told['trainings_per_verdict']:.1f} trainings looked at per verdict, "
        f"{told['trainings_run_per_verdict']:.1f} run"
    )
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", choices=["truth", "blind", "report"], action="append")
    parser.add_argument("--per-class", type=int, default=100)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, default=ROOT / ".squall" / "blind")
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    stages = args.stage or ["truth", "blind", "report"]
    reference(folder)
    if "truth" in stages:
        run_all(folder, truth_experiments(), args.workers)
    if "blind" in stages:
        run_all(folder, blind_experiments(args.per_class), args.workers)
    names = {one[0] for one in blind_experiments(args.per_class)}
    answers = [one for one in _read(sorted(folder.glob("answers-*.jsonl"))) if one.case in names]
    told = report(answers, truths(folder))
    if "report" in stages:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
        RESULTS.write_text(json.dumps({"commit": commit, **told}, indent=1) + "\n")


if __name__ == "__main__":
    main()
