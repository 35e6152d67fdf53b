"""`squall run` from outside: exit codes, files, messages, and what is left when it is interrupted."""

from __future__ import annotations

import json
import signal
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos_tasks.model.handle import OPEN_PHASES, Phase
from chaos_tasks.model.record import RecordKind
from tests.tiny import LOG_ITSELF, Said, Tiny, end, make_tiny, until


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    tiny = make_tiny(tmp_path_factory.mktemp("tiny") / "project")
    yield tiny
    tiny.clean_up()


@pytest.fixture
def tiny(built: Tiny) -> Iterator[Tiny]:
    with built.lent():
        yield built


def under_fault(tiny: Tiny, run_id: str) -> bool:
    """Whether a treatment trial is running now."""
    with tiny.ledger() as ledger:
        starts = ledger.records(run_id=run_id, kinds=[RecordKind.TRIAL_STARTED])
        return any(getattr(stored.record.payload, "arm", "") == "treatment" for stored in starts)


def phases(tiny: Tiny, run_id: str) -> list[Phase]:
    with tiny.ledger() as ledger:
        return [state.phase for state in ledger.handles(run_id=run_id)]


def assert_clear(said: Said, code: int) -> None:
    assert said.code == code, said.text
    assert "Traceback" not in said.text


def test_held_is_0_with_a_json_verdict_a_junit_file_a_report_and_a_ledger_that_verifies(tiny: Tiny) -> None:
    junit = tiny.root / "junit.xml"
    said = tiny.squall("run", tiny.experiment(), "--run-id", "held", "--json", "--junit", junit)
    assert_clear(said, 0)
    verdict = json.loads(said.out)
    assert (verdict["outcome"], verdict["run_id"]) == ("held", "held")
    suite = ElementTree.parse(junit).getroot()
    assert not list(suite.iter("failure"))
    assert list(suite.iter("testcase"))
    assert phases(tiny, "held") == [Phase.REVERTED]
    assert not tiny.project.marks()
    report = tiny.squall("report", "held")
    assert_clear(report, 0)
    html = Path(report.out.rpartition("Report")[2].strip())
    assert "tiny" in html.read_text()
    audit = tiny.squall("audit", "verify", *LOG_ITSELF)
    assert_clear(audit, 0)
    assert audit.out.count("not shown") == 2  # no head was signed, nothing published
    assert tiny.squall("audit", "verify").code == 3
    again = tiny.squall("run", tiny.experiment(), "--run-id", "held")
    assert_clear(again, 4)
    assert "has its verdict already" in again.err


def test_the_report_of_a_run_says_what_is_other_than_in_the_run_before(tiny: Tiny) -> None:
    file = tiny.experiment("compared")
    assert tiny.squall("run", file, "--quiet").code == 0
    tiny.behave("worse")
    assert tiny.squall("run", file, "--run-id", "second", "--quiet").code == 1
    for name in ("second", "compared"):
        said = tiny.squall("report", name)
        assert "CHANGED since the run before  1" in said.out
        assert "held 0 of 1" in said.out, "the run before is none of this report"


@pytest.mark.parametrize(
    ("behaviour", "code", "word"),
    [("worse", 1, "deviated"), ("nan", 1, "deviated"), ("absent", 3, "inconclusive")],
)
def test_what_the_model_does_under_the_fault_is_the_exit_code(tiny: Tiny, behaviour: str, code: int, word: str) -> None:
    tiny.behave(behaviour)
    junit = tiny.root / f"{behaviour}.xml"
    said = tiny.squall("run", tiny.experiment(), "--run-id", behaviour, "--quiet", "--junit", junit)
    assert_clear(said, code)
    assert said.out.strip().startswith(word)
    assert f"squall report {behaviour}" in said.out
    assert list(ElementTree.parse(junit).getroot().iter("failure" if code == 1 else "error"))


def test_what_cannot_be_reverted_is_5_until_somebody_mends_it(tiny: Tiny) -> None:
    tiny.behave("stuck")
    said = tiny.squall("run", tiny.experiment(), "--run-id", "stuck", "--quiet")
    assert_clear(said, 5)
    assert "squall revert stuck/mark" in said.out
    status = tiny.squall("status")
    assert "unreverted" in status.out
    assert "squall revert stuck/mark" in status.out
    still = tiny.squall("revert", "stuck/mark")
    assert_clear(still, 5)
    (mark,) = tiny.project.marks()
    (mark / "something").rmdir()
    mark.rmdir()
    assert_clear(tiny.squall("revert", "stuck"), 0)
    assert phases(tiny, "stuck") == [Phase.REVERTED]
    tiny.behave("well")
    assert_clear(tiny.squall("run", tiny.experiment(), "--quiet"), 0)


def test_a_second_run_at_once_is_refused_and_ctrl_c_puts_everything_back(tiny: Tiny) -> None:
    tiny.behave("slow")
    first = tiny.start("run", tiny.experiment(), "--run-id", "holder", "--quiet")
    until(lambda: under_fault(tiny, "holder"), "a treatment trial")
    second = tiny.squall("run", tiny.experiment(), "--run-id", "at-once", "--quiet")
    assert_clear(second, 4)
    assert "'experiment:tiny' is held exclusively by run 'holder'" in second.err
    assert "->" in second.err
    assert phases(tiny, "holder") == [Phase.INJECTED]
    first.send_signal(signal.SIGINT)
    said = end(first)
    assert_clear(said, 4)
    assert "aborted" in said.out
    assert phases(tiny, "holder") == [Phase.REVERTED]
    assert not tiny.project.marks()


def test_the_lever_stops_a_run_and_refuses_the_next(tiny: Tiny) -> None:
    tiny.behave("slow")
    run = tiny.start("run", tiny.experiment(), "--run-id", "levered", "--quiet")
    until(lambda: under_fault(tiny, "levered"), "a treatment trial")
    assert_clear(tiny.squall("halt", "somebody is nervous"), 0)
    assert phases(tiny, "levered") == [Phase.REVERTED]
    assert_clear(end(run), 4)
    refused = tiny.squall("run", tiny.experiment(), "--quiet")
    assert_clear(refused, 4)
    assert "somebody is nervous" in refused.err
    assert "squall resume" in refused.err
    assert_clear(tiny.squall("resume"), 0)


def test_a_killed_run_is_swept_by_its_own_sweeper_and_its_target_is_free(tiny: Tiny) -> None:
    tiny.behave("slow")
    run = tiny.start("run", tiny.experiment(lease="3s"), "--run-id", "killed", "--quiet")
    until(lambda: under_fault(tiny, "killed"), "a treatment trial")
    assert tiny.project.marks()
    run.kill()
    end(run)
    until(lambda: phases(tiny, "killed") == [Phase.REVERTED], "the sweep")
    assert not tiny.project.marks()
    tiny.behave("well")
    assert_clear(tiny.squall("run", tiny.experiment(), "--quiet"), 0)
    with tiny.ledger() as ledger:
        assert not ledger.handles(phases=OPEN_PHASES)


def test_looking_needs_no_lab(tiny: Tiny) -> None:
    status = tiny.squall("status")
    assert_clear(status, 0)
    assert "open handles: 0" in status.out
    assert_clear(tiny.squall("sweep"), 0)
    assert "nothing is open" in tiny.squall("revert", "--all").out
    faults = tiny.squall("faults", "--json")
    assert_clear(faults, 0)
    assert "tiny.mark" in {one["kind"] for one in json.loads(faults.out)}
    assert_clear(tiny.squall("validate"), 0)


def test_the_doctor_finds_what_is_wrong_and_runs_a_trial_without_any_fault(tiny: Tiny) -> None:
    said = tiny.squall("doctor", "--trial", "tiny")
    assert_clear(said, 2)
    (wrong,) = [line for line in said.out.splitlines() if line.startswith("NO")]
    assert "is no DVC repository" in wrong
    assert "run `dvc init`" in said.out
    assert "a control trial completed" in said.out
    assert "reads.metrics: found (auc 0.9)" in said.out
    assert "tiny.mark" in said.out
    assert "precious" in said.out
    config = tiny.project.config.read_text()
    try:
        tiny.project.config.write_text(config.partition("\n[targets.plain]")[0])
        assert_clear(tiny.squall("doctor"), 0)
        target = tiny.root / "targets" / "tiny.yaml"
        text = target.read_text()
        target.write_text(text.replace("metrics: metrics.json", "metrics: numbers.json"))
        missing = tiny.squall("doctor", "--trial", "tiny")
        target.write_text(text)
        assert_clear(missing, 2)
        assert "reads.metrics: the trial left no numbers.json" in missing.out
    finally:
        tiny.project.config.write_text(config)
