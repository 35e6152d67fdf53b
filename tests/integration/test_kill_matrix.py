"""Every registered fault survives the kill of its run: a seeded sample of the cells of `make kill-matrix`."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import psutil
import pytest
from pydantic import TypeAdapter

from chaos_tasks import registry
from chaos_tasks.model.handle import Reversibility
from chaos_tasks.testing.crash import Moment
from tests.kill_matrix import __main__ as program
from tests.kill_matrix import children
from tests.kill_matrix.cells import Cell, How, Point, Result, Role
from tests.kill_matrix.matrix import Scope, Told, cells, chosen
from tests.kill_matrix.page import page
from tests.kill_matrix.standings import merged, standing_of
from tests.kill_matrix.striking import Striker

ROOT = Path(__file__).resolve().parents[2]
CELLS, SEED = 3, 4


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """A program of its own: it forks, and pytest has threads."""
    sample = ("--workers", "2", "--per-kind", str(CELLS), "--seed", str(SEED))
    return {one.kind: one for one in play(tmp_path_factory.mktemp("matrix") / "told.json", *sample)}


def play(report: Path, *arguments: str) -> list[Told]:
    """What the program wrote down."""
    command = [sys.executable, "-m", "tests.kill_matrix", "--quiet", "--json", str(report), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert report.exists(), done.stdout + done.stderr
    return TypeAdapter(list[Told]).validate_json(report.read_bytes())


@pytest.mark.parametrize("kind", registry.fault_kinds())
def test_a_killed_run_leaves_nothing_of_the_fault(kind: str, played: dict[str, Told]) -> None:
    """A new kind is in by itself; one that nobody arranged fails here."""
    assert kind in played
    assert not played[kind].failed, played[kind].failed
    assert [result for result in played[kind].results if not result.green] == []
    assert any(result.reached for result in played[kind].results)


def test_a_run_that_nobody_puts_right_is_red(tmp_path: Path) -> None:
    """A matrix that cannot be red would prove nothing."""
    kind = "stream.drop"
    (told,) = play(tmp_path / "told.json", "--abandoned", "--per-kind", "1", "--seed", "3", kind)
    (result,) = told.results
    assert result.reached
    assert any("is injected" in wrong for wrong in result.wrong)
    assert any("is not what it was when it was armed" in wrong for wrong in result.wrong)
    assert any("differs to other eyes" in wrong for wrong in result.wrong)


UNDONE_BY_HAND = ("cloud.deny_access", "data.unit_change", "process.torn_checkpoint", "stream.drop")


def test_a_fault_that_only_says_it_was_undone_is_red(tmp_path: Path) -> None:
    """One of each family: its revert, inspection and fingerprint agree that all is well, and the witness does not."""
    found = play(tmp_path / "told.json", "--lying", "--workers", "2", *UNDONE_BY_HAND)
    assert [one.kind for one in found if one.failed] == []
    for (result,) in (one.results for one in found):
        assert any("to other eyes" in wrong or "is torn" in wrong for wrong in result.wrong), result
    assert {one.kind for one in found} == set(UNDONE_BY_HAND)


def points() -> list[Point]:
    numbers = range(1, 13)
    return [
        Point(role=Role.ENGINE, phase=phase, number=number, moment=Moment.AFTER, what="an act")
        for phase in ("inject", "revert")
        for number in numbers
    ]


def test_every_point_is_killed_once_and_a_sample_reaches_into_the_injection() -> None:
    every = list(cells("k", points(), []))
    plain = [cell.point for cell in every if cell == Cell(kind="k", ledger="sqlite", point=cell.point)]
    assert plain == points()
    assert {cell.how for cell in every} == set(How)
    sample = chosen("k", points(), [], Scope(per_kind=4, seed=1))
    assert len(sample) == 4
    assert sample[0].point.phase == "inject"
    assert sample == chosen("k", points(), [], Scope(per_kind=4, seed=1))


@pytest.fixture
def orphanage() -> frozenset[int]:
    return children.known()


def test_a_process_that_stays_is_found_and_ended(orphanage: frozenset[int]) -> None:
    """Without this a green cell would say nothing about strays."""
    stray = subprocess.Popen(["sleep", "600"])
    assert children.end_strays(orphanage, within_s=0.0) == [f"sleep (pid {stray.pid})"]
    stray.wait()  # at once: it is gone
    assert not psutil.pid_exists(stray.pid)


def test_a_striker_tells_the_points_of_a_run_apart(tmp_path: Path) -> None:
    striker = Striker(trace=tmp_path / "trace")
    with striker.step("arm"):
        striker.see(Moment.BEFORE, "open something")  # arming writes nothing that is to be undone
    with striker.step("inject"):
        striker.see(Moment.BEFORE, "open something")
    told = [Point.model_validate_json(line) for line in (tmp_path / "trace").read_text().splitlines()]
    assert [(one.phase, one.number, one.what) for one in told] == [
        ("arm", 1, "step arm"),
        ("arm", 2, "step arm"),
        ("inject", 1, "step inject"),
        ("inject", 2, "open something"),
        ("inject", 3, "step inject"),
    ]


DAY = date(2026, 11, 29)


def told(*results: Result, cells: int = 2) -> Told:
    return Told(kind="some.kind", points=1, cells=cells, results=results)


def green_and_red() -> tuple[Result, Result]:
    cell = Cell(kind="some.kind", ledger="sqlite", point=points()[0])
    green = Result(cell=cell, reached=True, recovered_s=0.5, outcome="inconclusive")
    return green, Result(cell=cell, reached=True, wrong=("the place is not what it was",), recovered_s=0.7)


def test_the_page_shows_red_cells_in_full() -> None:
    text = page([standing_of(told(*green_and_red()), DAY)], "this machine")
    assert "**1 of 2 cells are green.**" in text
    assert "| some.kind | 2026-11-29 |" in text
    assert "**1 of 2**, 0.7 s" in text
    assert "## Red cells" in text
    assert "the place is not what it was" in text


def test_a_sample_of_today_keeps_the_whole_play_of_another_day_unless_it_is_red() -> None:
    green, red = green_and_red()
    whole = standing_of(told(green, green), DAY)
    later = DAY + timedelta(days=1)
    sample, spoiled = standing_of(told(green), later), standing_of(told(red), later)
    assert merged([whole], [sample], ["some.kind"]) == [whole]
    assert merged([whole], [spoiled], ["some.kind"]) == [spoiled]
    assert merged([sample], [whole], ["some.kind"]) == [whole]
    assert merged([whole], [], ["another.kind"]) == []


def test_a_kind_that_cannot_be_played_is_red_on_the_page_whatever_it_was_before() -> None:
    whole = standing_of(told(*[green_and_red()[0]] * 2), DAY)
    broken = Told(kind="some.kind", points=0, cells=0, results=(), failed="Traceback:\nValueError: no place\n")
    failed = standing_of(broken, DAY + timedelta(days=1))
    assert merged([whole], [failed], ["some.kind"]) == [failed]
    assert "- some.kind cannot be played: ValueError: no place" in page([failed], "this machine")


def test_the_page_names_what_nobody_played_and_what_no_witness_saw() -> None:
    whole = standing_of(told(*[green_and_red()[0]] * 2), DAY)
    text = page([whole], "this machine", ["another.kind"])
    assert "Never played: another.kind" in text
    assert "Every cell was played" not in text
    assert "No witness" not in text
    before_there_was_one = whole.model_copy(update={"witnessed": False})
    assert "No witness looked at: some.kind" in page([before_there_was_one], "this machine")


def test_what_was_red_is_played_again_although_it_was_played_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    green, red = green_and_red()
    kinds = registry.fault_kinds()
    standings = [
        standing_of(Told(kind=kind, points=1, cells=2, results=(red if kind == kinds[0] else green, green)), DAY)
        for kind in kinds
    ]
    asked: list[list[str]] = []

    def nothing_played(kinds: list[str], *rest: object, **more: object) -> list[Told]:
        asked.append(kinds)
        return []

    monkeypatch.setattr(program, "_known", lambda: standings)
    monkeypatch.setattr(program, "_write", lambda found: None)
    monkeypatch.setattr(program, "_play", nothing_played)
    assert program.main(["--write", "--since", str(DAY)]) == 1
    assert asked == [[kinds[0]]]


def test_some_registered_fault_heals_by_itself_and_some_restore() -> None:
    """Both promises are in the matrix, or its page would claim too much."""
    promises = {registry.fault(kind).reversibility for kind in registry.fault_kinds()}
    assert {Reversibility.RESTORES, Reversibility.SELF_HEALS} <= promises
