"""Runs the shipped night and says where its time went: overhead = 1 - sum of trial wall time / (lanes x wall time).

`make bench-nightly` prints a table and writes benchmarks/results/nightly.json.  With `--last` the last night in the
ledger is read instead of running one (then the wall time runs from the plan to the last record).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from chaos_tasks.composition import build
from chaos_tasks.model.record import RecordKind, Stored, TrialEnd

RESULTS = Path(__file__).parent / "results" / "nightly.json"
LIMIT_S, LIMIT_OVERHEAD = 360.0, 0.25
Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Night:
    """One night's lane-seconds, by what they were spent on."""

    campaign_id: str
    experiments: int
    trials: int
    lanes: int
    wall_s: float
    trials_s: float
    start_s: float  # command to plan: servers and Airflow
    first_trial_s: float  # plan to the first trial
    gaps_s: float  # lane-seconds between the first and the last trial in which a lane ran no trial
    end_s: float  # last trial to the table
    overhead: float
    slowest: tuple[tuple[str, float], ...]


def measure(begun: datetime, ended: datetime, lanes: int, records: Sequence[Stored]) -> Night:
    """Account for every lane-second between command and table."""
    planned = [one for one in records if one.record.kind is RecordKind.CAMPAIGN_PLANNED][-1]
    campaign_id = planned.record.run_id
    ours = [one for one in records if one.record.run_id.startswith(f"{campaign_id}.")]
    spans = [(end.trial.started_at, end.trial.ended_at) for end in _ends(ours)]
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    trials_s = sum(_seconds(*span) for span in spans)
    wall_s = _seconds(begun, ended)
    return Night(
        campaign_id=campaign_id,
        experiments=len({one.record.experiment for one in ours if one.record.experiment}),
        trials=len(spans),
        lanes=lanes,
        wall_s=wall_s,
        trials_s=trials_s,
        start_s=_seconds(begun, planned.record.occurred_at),
        first_trial_s=_seconds(planned.record.occurred_at, first),
        gaps_s=lanes * _seconds(first, last) - trials_s,
        end_s=_seconds(last, ended),
        overhead=1 - trials_s / (lanes * wall_s),
        slowest=_slowest(ours),
    )


def _ends(records: Iterable[Stored]) -> list[TrialEnd]:
    return [one.record.payload for one in records if isinstance(one.record.payload, TrialEnd)]


def _slowest(records: Sequence[Stored]) -> tuple[tuple[str, float], ...]:
    """Experiments by the time from their first record to their last."""
    spans: dict[str, list[datetime]] = {}
    for one in records:
        spans.setdefault(one.record.experiment, []).append(one.record.occurred_at)
    taken = [(name, round(_seconds(min(at), max(at)), 1)) for name, at in spans.items() if name]
    return tuple(sorted(taken, key=lambda pair: -pair[1])[:5])


def _seconds(begin: datetime, end: datetime) -> float:
    return (end - begin).total_seconds()


def table(night: Night) -> str:
    """What a person reads."""
    total = night.lanes * night.wall_s
    rows = [
        ("trials", night.trials_s),
        ("start: servers, Airflow (all lanes)", night.lanes * night.start_s),
        ("plan to first trial (all lanes)", night.lanes * night.first_trial_s),
        ("lanes without a trial in between", night.gaps_s),
        ("last trial to table (all lanes)", night.lanes * night.end_s),
    ]
    lines = [
        f"{night.campaign_id}: {night.experiments} experiments, {night.trials} trials on {night.lanes} lanes",
        f"wall {night.wall_s:.0f} s (limit {LIMIT_S:.0f}), overhead {night.overhead:.1%} (limit {LIMIT_OVERHEAD:.0%})",
        "",
        f"{'lane-seconds spent on':<40}{'s':>8}{'share':>8}",
        *(f"{name:<40}{spent:>8.0f}{spent / total:>8.1%}" for name, spent in rows),
        "",
        "longest: " + ", ".join(f"{name} {spent:.0f} s" for name, spent in night.slowest),
    ]
    return "\n".join(lines)


def main() -> int:
    """Exit code 1 when a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--last", action="store_true", help="read the last night, run none")
    args = parser.parse_args()
    begun, code = datetime.now(UTC), 0
    started = time.monotonic()
    if not args.last:
        code = subprocess.run([sys.executable, "-m", "chaos_tasks.cli", "night", "--keep"], check=False).returncode
    ended_after = time.monotonic() - started
    with build() as squall:
        records, lanes = list(squall.ledger.records()), squall.settings.lanes
    ended = datetime.now(UTC)
    if args.last:
        begun = [one for one in records if one.record.kind is RecordKind.CAMPAIGN_PLANNED][-1].record.occurred_at
        ended = records[-1].record.occurred_at
    night = measure(begun, ended, lanes, records)
    print(f"\n{table(night)}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps({**asdict(night), "command_s": ended_after}, indent=2) + "\n", encoding="utf-8")
    return code or int(night.wall_s > LIMIT_S or night.overhead > LIMIT_OVERHEAD)


if __name__ == "__main__":
    sys.exit(main())
