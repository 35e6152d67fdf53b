"""A tiny project whose trial under the fault waits for a word, so that an outage comes while the fault is in."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaos_tasks.ledger.verify import verify
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.record import Judged, RecordKind
from chaos_tasks.runs import Run
from tests.tiny import Said, Tiny, end, make_tiny, until

TRAIN = '''\
"""Says that it is there; under the fault it waits until it may go on."""
import argparse, json, pathlib, threading
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int); parser.add_argument("--data"); parser.add_argument("--out")
options = parser.parse_args()
data, out = pathlib.Path(options.data), pathlib.Path(options.out)
here = pathlib.Path(__file__).parent
out.mkdir(parents=True, exist_ok=True)
print("step 1", flush=True)
if "treatment" in str(out):
    (here / "waiting").touch()
    print("waits", flush=True)
    looks = 0
    while not (here / "go").exists() and looks < 1200:
        threading.Event().wait(0.05)
        looks += 1
(out / "metrics.json").write_text(json.dumps({"auc": 0.9}))
'''

MARK = "{name: mark, fault: tiny.mark, target: data}"


@dataclass
class Outages:
    """Runs that are under their fault when something else fails."""

    tiny: Tiny

    @property
    def _code(self) -> Path:
        return self.tiny.root / "code"

    def wait_under_fault(
        self,
        run_id: str,
        *,
        lease: str = "30s",
        marks: Callable[[], object] | None = None,
        method: str = "",
        **extra: str,
    ) -> subprocess.Popen[str]:
        """A run whose treatment trial waits, with its fault in: the mark, or that of another step (`method`)."""
        for name in ("waiting", "go"):
            (self._code / name).unlink(missing_ok=True)
        experiment = self.tiny.experiment("tiny", lease=lease)
        if method:
            experiment.write_text(experiment.read_text().replace(MARK, method))
        run = self.tiny.start("run", experiment, "--run-id", run_id, "--quiet", "--json", **extra)
        until(lambda: (self._code / "waiting").exists() or run.poll() is not None, "a treatment trial")
        assert run.poll() is None, end(run).text
        assert (marks or self.tiny.project.marks)(), "the fault is in"
        return run

    def go_on(self) -> None:
        """Let the trial under the fault end."""
        (self._code / "go").touch()

    def ended(self, run: subprocess.Popen[str]) -> Said:
        """What the run said; it may not have taken its end for a bug."""
        said = end(run, timeout_s=120)
        assert "Traceback" not in said.text, said.text
        return said

    def put_right(self, run_id: str) -> str:
        """Wait until nothing is in, by the run or its sweeper; then everything else must hold.  The outcome."""
        self.swept(run_id)
        assert not self.tiny.project.marks(), "the place is as it was"
        with self.tiny.ledger() as ledger:
            report = verify(ledger)
            assert report.integrity.ok, report.integrity
            assert report.order.ok, report.order
            assert report.completeness.ok, report.completeness
            plan = Run(ledger, run_id).plan()
            ledger.acquire("the next run", plan.locks, lease_s=60)  # raises TargetBusy unless the target is free
            ledger.release("the next run")
        return self.outcome(run_id)

    def closed_later(self, run_id: str) -> str:
        """What a run that lost its ledger is given once it is back: the sweep's record, and a verdict.  The outcome."""
        self.swept(run_id)
        closed = self.tiny.squall("run", self.tiny.experiment("tiny"), "--run-id", run_id, "--quiet")
        assert closed.code == 4, closed.text
        return self.put_right(run_id)

    def swept(self, run_id: str) -> None:
        """Wait until nothing is in, by the ledger."""
        until(lambda: self.phases(run_id) == [Phase.REVERTED], "the revert", timeout_s=90)

    def phases(self, run_id: str) -> list[Phase]:
        """Of the run's handles."""
        with self.tiny.ledger() as ledger:
            return [state.phase for state in ledger.handles(run_id=run_id)]

    def outcome(self, run_id: str) -> str:
        """The recorded verdict's, or nothing."""
        with self.tiny.ledger() as ledger:
            for stored in ledger.records(run_id=run_id, kinds=[RecordKind.EVALUATE_VERDICT]):
                if isinstance(stored.record.payload, Judged):
                    return stored.record.payload.verdict.outcome.value
        return ""

    def log_of_sweeper(self) -> str:
        """What the run's own sweeper said."""
        log = self.tiny.project.home / "sweeper.log"
        return log.read_text(errors="replace") if log.exists() else ""


def make_outages(root: Path) -> Outages:
    """The project."""
    tiny = make_tiny(root)
    (root / "code" / "train.py").write_text(TRAIN)
    return Outages(tiny)
