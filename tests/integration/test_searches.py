"""`squall ramp`, `squall shrink` and `squall repro` from outside, on a real ledger, clone and workload."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos_tasks.ledger.verify import verify
from chaos_tasks.model.handle import OPEN_PHASES
from chaos_tasks.searching.log import started_of
from tests.tiny import Said, Tiny, end, make_tiny, until

LEVELS = "0.1,0.2,0.3,0.4,0.5"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    tiny = make_tiny(tmp_path_factory.mktemp("tiny") / "project")
    yield tiny
    tiny.clean_up()


@pytest.fixture
def tiny(built: Tiny) -> Iterator[Tiny]:
    with built.lent():
        built.behave("breaks at 0.25")
        yield built


def assert_clear(said: Said, code: int) -> None:
    assert said.code == code, said.text
    assert "Traceback" not in said.text


def with_ramp(tiny: Tiny, name: str, levels: str = LEVELS) -> Path:
    path = tiny.experiment(name)
    path.write_text(path.read_text() + f"ramp: {{levels: [{levels}], runs: 5}}\n")
    return path


def test_squall_run_of_a_ramp_finds_the_breaking_point(tiny: Tiny) -> None:
    path = with_ramp(tiny, "ramped")
    said = tiny.squall("run", path, "--run-id", "ramp")
    assert_clear(said, 1)
    assert "Breaks between share 0.2 and 0.3" in said.out
    assert "intensity 0.3" in said.err
    found = tiny.squall("ramp", path, "--run-id", "ramp", "--json")
    assert_clear(found, 1)
    ended = json.loads(found.out)
    assert (ended["breaking_point"]["held_at"], ended["breaking_point"]["broke_at"]) == (0.2, 0.3)
    with tiny.ledger() as ledger:
        assert not ledger.handles(phases=OPEN_PHASES)
        assert verify(ledger).ok
    assert not tiny.project.marks()


def test_levels_may_be_given_and_one_alone_may_be_run(tiny: Tiny) -> None:
    said = tiny.squall("ramp", tiny.experiment("given"), "--levels", "0.1,0.2", "--runs", "2", "--quiet")
    assert_clear(said, 0)
    assert "Holds up to share 0.2, the highest level" in said.out
    alone = tiny.squall("run", with_ramp(tiny, "alone"), "--intensity", "0.5", "--quiet", "--run-id", "alone")
    assert_clear(alone, 1)
    assert "Breaks" not in alone.out


@pytest.mark.parametrize(
    ("levels", "why"),
    [("0.2,0.1", "must increase"), ("a,b", "no numbers"), ("0.1,0.9", "share = 0.9 is refused")],
)
def test_wrong_levels_are_refused_with_a_reason(tiny: Tiny, levels: str, why: str) -> None:
    said = tiny.squall("ramp", tiny.experiment("wrong"), "--levels", levels, "--runs", "3", "--quiet")
    assert said.code in (2, 4)
    assert why in said.err
    assert "Traceback" not in said.text


def test_a_killed_ramp_goes_on_under_its_name(tiny: Tiny) -> None:
    path = with_ramp(tiny, "interrupted")
    tiny.behave("slow")
    first = tiny.start("run", path, "--run-id", "killed", "--quiet")
    until(lambda: bool(tiny.project.marks()), "a fault that is in")
    first.kill()
    end(first)
    tiny.behave("breaks at 0.25")
    said = tiny.squall("run", path, "--run-id", "killed", "--quiet", "--wait", "60")
    assert_clear(said, 1)
    assert "Breaks between share 0.2 and 0.3" in said.out
    with tiny.ledger() as ledger:
        assert not ledger.handles(phases=OPEN_PHASES)
        assert started_of(ledger, "killed") is not None


def test_a_deviation_is_reduced_to_a_file_that_deviates(tiny: Tiny) -> None:
    path = tiny.experiment("big")
    text = path.read_text().replace("target: data}", "target: data, params: {share: 0.5}}")
    path.write_text(text.replace("seeds: 1", "seeds: 4"))
    assert_clear(tiny.squall("run", path, "--run-id", "big", "--quiet"), 1)
    out = tiny.root / "small.yaml"
    said = tiny.squall("shrink", "big", "--out", out, "--quiet", "--id", "shrunk", "--max-runs", "3")
    assert_clear(said, 0)
    assert "0.5 -> 0.25, 3 runs." in said.out
    again = tiny.squall("run", out, "--quiet")
    assert_clear(again, 1)
    with tiny.ledger() as ledger:
        assert verify(ledger).ok


def test_same_seed_same_verdict_and_a_refusal_once_the_target_is_another(tiny: Tiny) -> None:
    assert_clear(tiny.squall("run", tiny.experiment("once"), "--run-id", "once", "--quiet", "--intensity", "0.4"), 1)
    source = tiny.root / "source"
    commit = ("git", "-c", "user.email=t@example.org", "-c", "user.name=t", "commit", "--allow-empty", "-qm", "Go on")
    subprocess.run(commit, cwd=source, check=True, capture_output=True)
    said = tiny.squall("repro", "once", "--quiet", "--id", "again")
    assert_clear(said, 0)
    assert "The same verdict; every number is the same." in said.out
    target = tiny.root / "targets" / "tiny.yaml"
    before = target.read_text()
    try:
        target.write_text(before.replace("timeout: 60s", "timeout: 50s"))
        refused = tiny.squall("repro", "once", "--quiet")
        assert_clear(refused, 4)
        assert "workload.timeout" in refused.err
        anyway = tiny.squall("repro", "once", "--quiet", "--anyway")
        assert_clear(anyway, 0)
        assert "not on the version of then" in anyway.out
    finally:
        target.write_text(before)
    unknown = tiny.squall("repro", "never")
    assert_clear(unknown, 3)
    with tiny.ledger() as ledger:
        assert verify(ledger).ok
