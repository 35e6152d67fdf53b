"""Promise: two who delete the same files at the same time both say what they found, and neither fails."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaos_tasks.disposing import Disposal
from chaos_tasks.model.plan import Recorder
from chaos_tasks.model.record import Note, RecordKind, Stored
from chaos_tasks.planning import CLONE
from chaos_tasks.testing.clock import FakeClock
from chaos_tasks.testing.memory_ledger import MemoryLedger
from tests.ledger_samples import note

RUN = "run-1"


class OvertakenLedger(MemoryLedger):
    """Between a look at the records and what is written after it, somebody else writes first."""

    def records(self, **asked: Any) -> Iterable[Stored]:
        """As they were before the other one."""
        found = list(super().records(**asked))
        if asked.get("kinds") == (RecordKind.CLONE_DELETED,) and not found:
            self.append(note(f"{RUN}/clone.deleted/0", run_id=RUN, kind=RecordKind.CLONE_DELETED, text="the sweeper"))
        return found


def test_who_is_overtaken_by_the_sweeper_writes_the_next_record(tmp_path: Path) -> None:
    clock = FakeClock(datetime(2026, 11, 29, tzinfo=UTC))
    ledger = OvertakenLedger(clock)
    clone = tmp_path / "runs" / RUN / CLONE
    clone.mkdir(parents=True)
    (clone / "rows.csv").write_text("id\n1\n")
    assert Disposal(tmp_path, ledger, clock, Recorder()).clones(RUN, by="verdict")
    assert not clone.exists()
    said = [stored.record.payload for stored in MemoryLedger.records(ledger, run_id=RUN)]
    assert [one.text for one in said if isinstance(one, Note)] == [
        "the sweeper",
        "1 files of the clone deleted, and 0 objects of the store",
    ]
