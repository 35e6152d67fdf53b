"""How long the independent judge takes for a thousand verdicts, and whether it comes to the same ones.

`python -m benchmarks.redeciding [verdicts]`.  Made-up runs: two to nine pairs of one check by seeds, effects around the
margin, so that many stay undecided, which takes longest.  Records are JSON in memory; reading them from a ledger is not
counted.
"""

from __future__ import annotations

import json
import platform
import random
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

from chaos_tasks.auditing.redeciding import redecide
from chaos_tasks.judging.judge import judge
from chaos_tasks.model.handle import Phase
from tests.unit.auditing.records import rows_of
from tests.unit.judging.cases import T0, facts, handle, paired, plan

RESULTS = Path(__file__).parent / "results" / "redeciding.json"


def main() -> None:
    """Measure, print and keep."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    draw, rows, first = random.Random(1), [], 0.0
    for number in range(count):
        control = [draw.gauss(0.9, 0.01) for _ in range(draw.randint(2, 9))]
        worse = draw.choice((0.0, 0.005, 0.01, 0.02, 0.04))
        treatment = [value - worse + draw.gauss(0, 0.005) for value in control]
        one = plan(name=f"bench-{number}", seeds=9)
        trials, observations = paired(control, treatment)
        began = time.process_time()
        verdict = judge(one, trials, observations, [handle(Phase.REVERTED)], facts(), T0 + timedelta(hours=1))
        first += time.process_time() - began
        rows += rows_of(one, trials, observations, [handle(Phase.REVERTED)], facts(), verdict)
    began = time.process_time()
    redone = list(redecide(rows))
    again = time.process_time() - began
    found = {
        "verdicts": len(redone),
        "records": len(rows),
        "differences": sum(bool(one.differences or one.not_shown) for one in redone),
        "outcomes": dict(Counter(one.outcome for one in redone)),
        "cpu_s": round(again, 2),
        "cpu_s_of_the_first_judge": round(first, 2),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
