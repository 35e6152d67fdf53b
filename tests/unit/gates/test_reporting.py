"""A report says what was found, what is not known and what it cost; the record has counts and no rows."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import numpy as np
import pytest

from chaos_tasks.gates.declared import declared_harm
from chaos_tasks.gates.harming import HarmRule
from chaos_tasks.gates.recording import gate_record
from chaos_tasks.gates.search import Search
from chaos_tasks.gates.session import score
from chaos_tasks.gates.values import Cost, GateReport, HarmState, Passing, Tried
from chaos_tasks.gates.wording import WIDTH, summary
from chaos_tasks.model.experiment import Experiment
from chaos_tasks.model.plan import Recorder
from tests.unit.gates.benches import AUC, FakeBench, family

NOW = datetime(2013, 7, 1, tzinfo=UTC)


def report(bench: FakeBench | None = None) -> GateReport:
    made = bench or FakeBench(refused_from=0.7, slope=0.05, noise=0.001)
    search = Search(made, HarmRule((AUC,)), np.random.default_rng(0), 200)
    every = [family("late"), family("a column with a name that is much longer than any line of a terminal can be " * 2)]
    harmful = search.screen(every)
    escapes = [escape for one in harmful if (escape := search.smallest(one)) is not None]
    sampled = search.sample(harmful, every, 10)
    return GateReport(
        target="flights",
        commit="c" * 40,
        data_digest="d" * 64,
        gates=("validate",),
        harms=(AUC,),
        alpha=0.05,
        cap=6,
        screen=0.4,
        screen_miss=None,
        families=2,
        strata=2,
        left_out={"data.object_bitrot": "not content"},
        unsearched=0,
        tried=tuple(search.tried.values()),
        escapes=tuple(escapes),
        score=score(sampled, 0.05),
        population="p",
        cost=made.cost(),
    )


def test_the_score_is_killed_among_harmful_of_the_sample() -> None:
    one = report()
    sampled = [tried for tried in one.tried if tried.purpose == "sample"]
    killed, escaped = sum(tried.killed for tried in sampled), sum(tried.escaped for tried in sampled)
    assert one.score is not None
    assert one.score.n == killed + escaped
    assert one.score.estimate == pytest.approx(killed / (killed + escaped))
    assert one.score.low < one.score.estimate < one.score.high


def test_no_harm_no_score() -> None:
    assert score([], 0.05) is None
    harmless = report(FakeBench(slope=0.0))
    assert harmless.score is None
    assert "not known" in summary(harmless)
    assert "No corruption" in summary(harmless)


def test_the_summary_fits_a_terminal_and_names_the_smallest_escape() -> None:
    text = summary(report())
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert "label_flip late" in text
    assert "Mutation score" in text


def test_a_report_survives_its_file() -> None:
    one = report()
    assert GateReport.model_validate_json(one.model_dump_json()) == one


def test_a_report_of_a_model_that_returned_nan_survives_its_file() -> None:
    one = report(FakeBench(worse=lambda mutant: math.nan))
    again = GateReport.model_validate_json(one.model_dump_json())
    assert again.content_sha256 == one.content_sha256
    assert all(len(line) <= WIDTH for line in summary(again).splitlines())


def test_the_record_has_counts_and_digests() -> None:
    one = report()
    record = gate_record(one, None, run_id="gate-1.flights", at=NOW, recorder=Recorder(), environment="lab")
    facts = json.loads(record.canonical())["payload"]["facts"]
    assert facts["mutants"] == len(one.tried)
    assert facts["escaped"] == sum(tried.escaped for tried in one.tried)
    assert record.subjects[0].sha256 == one.content_sha256
    assert "column" not in json.dumps(facts)


def test_crashed_and_equivalent_mutants_are_no_part_of_the_score() -> None:
    def tried(passing: Passing, harm: HarmState) -> Tried:
        from chaos_tasks.gates.values import Mutant

        return Tried(mutant=Mutant(family=family(), intensity=0.5, seed=1), passing=passing, harm=harm)

    others = [
        tried(Passing.PASSED, HarmState.CRASHED),
        tried(Passing.EQUIVALENT, HarmState.HARMLESS),
        tried(Passing.INVALID, HarmState.UNASKED),
        tried(Passing.PASSED, HarmState.UNKNOWN),
    ]
    found = score([*others, tried(Passing.REFUSED, HarmState.HARMFUL)], 0.05)
    assert found is not None
    assert (found.n, found.estimate) == (1, 1.0)


def experiment(name: str, margin: float, metric: str = "auc", fault: str = "data.label_flip") -> Experiment:
    return Experiment.model_validate(
        {
            "name": name,
            "hypothesis": "It holds whatever happens.",
            "owner": "o",
            "target": "flights",
            "steady_state": [
                {
                    "name": "m",
                    "probe": "model.metric",
                    "params": {"metric": metric},
                    "tolerance": {"type": "non_inferiority", "margin": margin},
                }
            ],
            "method": [{"name": "s", "fault": fault}],
        }
    )


def test_harm_is_what_the_data_experiments_declare_most_often_at_its_widest() -> None:
    declared = [
        experiment("a", 0.01),
        experiment("b", 0.005),
        experiment("c", 0.5, metric="log_loss"),
        experiment("d", 0.9, fault="process.kill"),
    ]
    found = declared_harm(declared, "flights")
    assert found is not None
    assert (found.metric, found.margin) == ("auc", 0.01)
    assert declared_harm(declared, "other") is None


def test_costs_are_counted() -> None:
    assert report().cost == Cost(trainings=report().cost.trainings, controls=0, gate_runs=report().cost.gate_runs,
                                 preparations=0, seconds=0.0)  # fmt: skip
