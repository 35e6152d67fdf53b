"""What the cached `.squall/` of docs/ci.md saves on the tutorial's pipeline: seconds and trainings of a job run again.

Run by `make bench-ci_cache`.  As CI does it: each job checks the same commit out into a fresh folder, puts the cache
into place where there is one, and runs the two commands of the page.  Plain: the same job without a cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

import psutil
import yaml

from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.record import RecordKind, TrialEnd

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "ci_cache.json"
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
EXPERIMENT = "experiments/shop-label-flip.yaml"
SILENT_S = 35.0
"""The next job begins when the sweeper of this one is known to be gone: it was ended with the runner."""

JOB = (
    ("init", ".", "--renew"),
    ("run", EXPERIMENT, "--base-seed", "1", "--quiet", "--junit", "squall.xml", "--markdown", "squall.md"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and write the result; 1 when the job that is run again trains any control."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="squall-ci-") as folder:
        commit = prepare(Path(folder) / "commit")
        pairs = [jobs(commit, Path(folder) / str(number)) for number in range(options.repeats)]
    rows = {name: summary([pair[name] for pair in pairs]) for name in pairs[0]}
    for name, row in rows.items():
        print(f"{name:<24} {row}")
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}"
    told = {"repeats": options.repeats, "machine": machine, "rows": rows}
    RESULT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 1 if rows["again, with the cache"]["controls trained"] else 0


def prepare(commit: Path) -> Path:
    """The tutorial's folder as it would be committed: its files, the description and the experiments."""
    commit.mkdir(parents=True)
    for name, text in re.findall(r"<!-- write: (\S+) -->\n```python\n(.*?)```", PAGE, re.DOTALL):
        (commit / name).write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, "make_rows.py"], cwd=commit, check=True)
    squall(commit, "init", ".", "--name", "shop")
    squall(commit, "doctor", "shop")
    squall(commit, "suggest", "shop", "--owner", "me")
    end_sweeper(commit)
    shutil.rmtree(commit / ".squall")
    experiment = commit / EXPERIMENT
    experiment.write_text(marked(experiment.read_text(encoding="utf-8")), encoding="utf-8")
    return commit


def marked(text: str) -> str:
    """The experiment with every check marked as deterministic, which only its owner can know of this script."""
    told = yaml.safe_load(text)
    for check in told["steady_state"]:
        check["deterministic"] = True
    return yaml.safe_dump(told, sort_keys=False)


def jobs(commit: Path, folder: Path) -> dict[str, dict[str, float]]:
    """A first job, the same without a cache, and the same with the first one's."""
    work, cache = folder / "work", folder / "cache"
    first = job(commit, work)
    shutil.copytree(work / ".squall", cache, symlinks=True)
    return {
        "first": first,
        "again, without a cache": job(commit, work),
        "again, with the cache": job(commit, work, cache),
    }


def job(commit: Path, work: Path, cache: Path | None = None) -> dict[str, float]:
    """A job in a fresh checkout: its seconds, and what it trained."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(commit, work)
    if cache is not None:
        shutil.copytree(cache, work / ".squall", symlinks=True)
    began = time.monotonic()
    for command in JOB:
        squall(work, *command)
    seconds = time.monotonic() - began
    end_sweeper(work)
    time.sleep(SILENT_S)
    ledger = open_ledger(f"sqlite:///{work}/.squall/ledger.db")
    runs = list(ledger.records(kinds=[RecordKind.EXPERIMENT_REGISTERED]))
    ended = list(ledger.records(run_id=runs[-1].record.run_id, kinds=[RecordKind.TRIAL_ENDED]))
    ledger.close()
    trials = [one.record.payload.trial for one in ended if isinstance(one.record.payload, TrialEnd)]
    trained = [one for one in trials if not one.reused_from]
    return {
        "seconds": round(seconds, 1),
        "controls trained": sum(one.arm.value == "control" for one in trained),
        "controls reused": len(trials) - len(trained),
        "treatments trained": sum(one.arm.value == "treatment" for one in trained),
        "seconds in trainings": round(sum(one.wall_s for one in trained), 1),
    }


def end_sweeper(work: Path) -> None:
    """The runner of a job goes, and the sweeper with it: here it would go on with a ledger that is deleted."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "sweep" in process.cmdline() and process.cwd() == str(work):
                process.kill()
                process.wait(timeout=10)


def summary(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each figure, and the spread of the seconds."""
    seconds = [row["seconds"] for row in rows]
    medians = {name: median(row[name] for row in rows) for name in rows[0]}
    return {**medians, "fastest": min(seconds), "slowest": max(seconds)}


def squall(folder: Path, *words: str) -> None:
    """A command of the page; a finding is no error here."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("SQUALL_")}
    command = [sys.executable, "-m", "chaos_tasks.cli", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"squall {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
