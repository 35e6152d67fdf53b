"""The response in the page: the lanes from fault to caught up, the tables, and text of others that stays text."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from chaos_tasks.judging.dossier import Dossier, read_dossier
from chaos_tasks.judging.evidence import gather
from chaos_tasks.judging.judge import judge
from chaos_tasks.judging.response import react
from chaos_tasks.model.handle import Phase
from chaos_tasks.model.reaction import ReactionDetail
from chaos_tasks.model.trial import Trial
from chaos_tasks.reports.html import render_html
from chaos_tasks.reports.night import build_report
from chaos_tasks.reports.response_chart import MOST_LANES, response_chart
from tests.unit.judging.cases import facts, handle, log_of
from tests.unit.judging.test_response import KILLS, control, killed, progress, setback, signal, treated
from tests.unit.reports.nights import KINDS, TONIGHT


def detail(*trials: Trial) -> ReactionDetail:
    found = react(KILLS, gather(trials, []), facts(), []).detail
    assert found is not None
    return found


def dossier(trials: Sequence[Trial]) -> Dossier:
    verdict = judge(KILLS, trials, [], [handle(Phase.REVERTED)], facts(), KILLS.planned_at)
    found = read_dossier(log_of(KILLS, trials, [], verdict))
    assert found is not None
    return found


def boxes(chart: str) -> dict[str, float]:
    """Widths of the phases of the first lane, by kind."""
    root = ElementTree.fromstring(chart)
    found = [(one.get("class", ""), float(one.get("width", 0))) for one in root.iter("rect")]
    return {kind.removeprefix("phase "): width for kind, width in reversed(found)}


def test_phases_are_drawn_in_proportion_to_their_time() -> None:
    widths = boxes(response_chart(detail(killed()), "k"))
    assert set(widths) == {"down", "again", "on"}
    assert widths["down"] / widths["again"] == pytest.approx(2.5 / 1.5, rel=0.02)


def test_the_chart_says_in_words_what_it_shows() -> None:
    chart = response_chart(detail(killed()), "k")
    assert "seed 100: noticed after 0.1 s, back after 2.5 s, caught up after 4.0 s" in chart


def test_a_signal_that_does_not_count_is_hollow() -> None:
    chart = response_chart(detail(control(signals=(signal("noise", 1),)), killed(signals=(signal("noise", 10),))), "k")
    assert 'class="heard discounted"' in chart
    assert "rings without a fault too" in chart


def test_nothing_to_come_back_from_is_no_chart() -> None:
    assert response_chart(detail(treated()), "k") == ""


def test_a_run_that_never_caught_up_says_so() -> None:
    assert "never caught up" in response_chart(detail(killed(progress=progress(setback(9, 11, None)))), "k")


def test_a_detection_that_waits_for_labels_does_not_stretch_the_chart() -> None:
    late = signal("auc_low", 90_000, 86_400)
    assert boxes(response_chart(detail(killed(signals=(late,))), "k"))["down"] > 100


def test_many_trials_show_the_slowest() -> None:
    rows = [killed(seed, progress=progress(setback(9, 11 + seed % 7, 20 + seed % 7))) for seed in range(100, 140)]
    assert response_chart(detail(*rows), "k").count("<rect") == 3 * MOST_LANES


def test_the_page_tells_times_signals_and_how_often_to_save() -> None:
    one = dossier([control(), killed()])
    report = build_report(one.records, TONIGHT, registered=KINDS)
    page = render_html(report, [one])
    for words in ("Who noticed, when it was back", "False alarms", "From save to save", "optimal at this failure rate"):
        assert words in page


def test_names_of_alarms_are_never_markup() -> None:
    one = dossier([control(), killed(signals=(signal("<img src=x>", 10),))])
    page = render_html(build_report(one.records, TONIGHT, registered=KINDS), [one])
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(page)
    assert "img" not in tags
    assert "&lt;img" in page
