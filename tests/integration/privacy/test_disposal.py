"""Promise: after a verdict, or after the sweep of a killed run, nothing of its clone is left, and a record says so."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chaos_tasks.model.handle import Phase
from chaos_tasks.model.record import Note, RecordKind
from tests.tiny import Tiny, make_tiny, until

SECRET_ROW = "row-73519-of-somebody"
MASKED_ROW = "row-00000-of-nobody"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    tiny = make_tiny(tmp_path_factory.mktemp("disposal") / "project", rows=f"id,name\n1,{SECRET_ROW}\n")
    yield tiny
    tiny.clean_up()


@pytest.fixture
def tiny(built: Tiny) -> Iterator[Tiny]:
    with built.lent():
        yield built


def notes(tiny: Tiny, run_id: str, kind: RecordKind = RecordKind.CLONE_DELETED) -> list[Note]:
    with tiny.ledger() as ledger:
        found = [stored.record.payload for stored in ledger.records(run_id=run_id, kinds=[kind])]
    return [note for note in found if isinstance(note, Note)]


def rows_below(folder: Path) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and SECRET_ROW.encode() in path.read_bytes()
    ]


def test_after_the_verdict_no_row_is_left_and_the_record_counts_what_went(tiny: Tiny) -> None:
    said = tiny.squall("run", tiny.experiment(), "--run-id", "done", "--quiet")
    assert said.code == 0, said.text
    workspace = tiny.project.home / "runs" / "done"
    assert rows_below(workspace) == []
    assert [path.name for path in workspace.iterdir() if "clone" in path.name or "prepared" in path.name] == []
    (note,) = notes(tiny, "done")
    assert note.facts["by"] == "verdict"
    assert note.facts["absent_after"] is True
    assert "clone" in str(note.facts["folders"])
    assert int(str(note.facts["files"])) > 10
    assert int(str(note.facts["bytes"])) > len(SECRET_ROW)
    assert len(str(note.facts["inventory_sha256"])) == 64
    assert list((workspace / "trials").rglob("metrics.json")), "what trials left stays for as long as it is kept"
    assert (
        tiny.squall(
            "audit", "verify", "--no-views", "--require", "integrity", "--require", "order", "--require", "completeness"
        ).code
        == 0
    )


def test_a_clone_in_which_a_fault_is_still_in_stays_until_it_is_out(tiny: Tiny) -> None:
    tiny.behave("stuck")
    assert tiny.squall("run", tiny.experiment(), "--run-id", "stays", "--quiet").code == 5
    workspace = tiny.project.home / "runs" / "stays"
    assert rows_below(workspace)
    assert notes(tiny, "stays") == []
    (mark,) = tiny.project.marks()
    (mark / "something").rmdir()
    mark.rmdir()
    assert tiny.squall("revert", "stays").code == 0
    assert rows_below(workspace) == []
    assert len(notes(tiny, "stays")) == 1


def test_the_clone_of_a_killed_run_goes_with_the_sweep(tiny: Tiny) -> None:
    tiny.behave("slow")
    process = tiny.start("run", tiny.experiment("short", lease="3s"), "--run-id", "killed", "--quiet")

    def treated() -> bool:
        with tiny.ledger() as ledger:
            starts = ledger.records(run_id="killed", kinds=[RecordKind.TRIAL_STARTED])
            return any(getattr(stored.record.payload, "arm", "") == "treatment" for stored in starts)

    until(treated, "a treatment trial runs")
    workspace = tiny.project.home / "runs" / "killed"
    assert rows_below(workspace)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    def reverted() -> bool:
        tiny.squall("sweep")
        with tiny.ledger() as ledger:
            return all(state.phase is Phase.REVERTED for state in ledger.handles(run_id="killed"))

    until(reverted, "the sweep has reverted it")
    until(lambda: bool(notes(tiny, "killed")), "the sweep has deleted the clone")
    assert rows_below(workspace) == []
    assert notes(tiny, "killed")[0].facts["by"] in ("sweep", "sweeper")


def test_files_of_trials_go_once_they_were_kept_long_enough(tiny: Tiny) -> None:
    assert tiny.squall("run", tiny.experiment(), "--run-id", "old", "--quiet").code == 0
    workspace = tiny.project.home / "runs" / "old"
    assert tiny.squall("prune").code == 0
    assert workspace.exists(), "not kept long enough yet"
    long_ago = (datetime.now(UTC) - timedelta(days=31)).timestamp()
    for path in (*workspace.rglob("*"), workspace):
        os.utime(path, (long_ago, long_ago), follow_symlinks=False)
    said = tiny.squall("prune")
    assert said.code == 0, said.text
    assert not workspace.exists()
    (note,) = notes(tiny, "old", RecordKind.FILES_PRUNED)
    assert int(str(note.facts["files"])) > 0
    assert tiny.squall("report", "old").code == 0, "the ledger alone is enough for a report"


def test_data_above_the_highest_are_refused_and_masked_ones_are_taken_instead(tiny: Tiny) -> None:
    config = tiny.project.config
    above = '\n[targets.tiny.data]\nclassification = "restricted"\n'
    config.write_text(config.read_text() + above)
    said = tiny.squall("run", tiny.experiment(), "--run-id", "above", "--quiet")
    assert said.code == 4, said.text
    assert "copies are made of confidential data at most" in said.err
    assert not (tiny.project.home / "runs" / "above" / "clone").exists()
    masked = make_tiny(tiny.root.parent / "masked", rows=f"id,name\n1,{MASKED_ROW}\n").project
    config.write_text(config.read_text() + f'masked_repo = "{masked.root}/source"\n')
    said = tiny.squall("run", tiny.experiment(), "--run-id", "masked", "--quiet")
    assert said.code == 0, said.text
    with tiny.ledger() as ledger:
        (stored,) = ledger.records(run_id="masked", kinds=[RecordKind.EXPERIMENT_REGISTERED])
    assert stored.record.payload is not None
    assert str(masked.root) in stored.record.payload.model_dump_json()


def test_a_home_outside_of_the_declared_place_is_refused(tiny: Tiny) -> None:
    config = tiny.project.config
    place = '\n[data.places.eu]\nfolders = ["/nowhere/eu"]\n\n[targets.tiny.data]\nresidency = ["eu"]\n'
    config.write_text(config.read_text() + place)
    said = tiny.squall("run", tiny.experiment(), "--run-id", "elsewhere", "--quiet")
    assert said.code == 4, said.text
    assert "may lie in eu only" in said.err
