"""Each value survives JSON unchanged, refuses what it does not know, and has a digest that never moves."""

from __future__ import annotations

import json
import math
from datetime import UTC, timedelta
from typing import Any

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from chaos_tasks.model import experiment as ex
from chaos_tasks.model import target as ta
from chaos_tasks.model.base import Value, canonical
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, HandleState, Phase, Receipt
from chaos_tasks.model.place import (
    DvcPlace,
    InstancePlace,
    Place,
    ProcessPlace,
    S3Place,
    StreamPlace,
    TaskPlace,
)
from chaos_tasks.model.plan import Lock, Overrides, Recorder
from chaos_tasks.model.record import Note, Recovery, TrialEnd, TrialStart
from chaos_tasks.model.trial import Firing, Launch, Observation, SignalEvent, Trial
from chaos_tasks.model.verdict import CheckResult, Verdict

SLUG = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,4})?", fullmatch=True)
TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=12)
WHEN = st.datetimes(timezones=st.just(UTC))
LENGTH = st.integers(0, 10**10).map(lambda ms: timedelta(milliseconds=ms))
NUMBER = st.floats(-(2**53) + 1, 2**53 - 1)
SCALAR = st.one_of(st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), NUMBER, TEXT)
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2), max_leaves=4
)
MAPPING = st.dictionaries(TEXT, JSON, max_size=3)

for _kind, _strategy in ((timedelta, LENGTH),):
    st.register_type_strategy(_kind, _strategy)

PLACES = st.one_of(
    st.builds(
        DvcPlace, clone=TEXT, source=TEXT, commit=TEXT, data=st.tuples(TEXT), format=st.sampled_from(["csv", "parquet"])
    ),
    st.builds(S3Place, endpoint=TEXT, region=TEXT, bucket=TEXT, prefix=TEXT, principal=TEXT),
    st.builds(StreamPlace, url=TEXT, key_prefix=TEXT),
    st.builds(InstancePlace, endpoint=TEXT, region=TEXT, instance_id=TEXT),
    st.builds(
        ProcessPlace,
        trial_id=TEXT,
        host=TEXT,
        boot_id=TEXT,
        pid=st.integers(1, 9),
        start_time=NUMBER,
        pid_namespace=st.integers(0, 2),
        pgid=st.integers(1, 9),
        out=TEXT,
        checkpoints=TEXT,
    ),
    st.builds(
        TaskPlace,
        host=TEXT,
        boot_id=TEXT,
        pid=st.integers(1, 9),
        start_time=NUMBER,
        pid_namespace=st.integers(0, 2),
        dag_id=TEXT,
        run_id=TEXT,
        task_id=TEXT,
        try_number=st.integers(1, 3),
    ),
)
RECEIPTS = st.builds(Receipt, at=WHEN, effective=st.booleans(), summary=TEXT, evidence=MAPPING)
HANDLES = st.builds(
    Handle,
    id=TEXT,
    run_id=TEXT,
    step=TEXT,
    kind=TEXT,
    place=PLACES,
    params=MAPPING,
    prior=MAPPING,
    seed=st.integers(0, 2**48),
    epoch=st.integers(1, 9),
)
TRIGGERS = st.one_of(
    st.just(ex.BeforeTrigger()),
    st.builds(ex.ProgressTrigger, step=st.integers(1, 99)),
    st.builds(ex.LogTrigger, pattern=TEXT),
    st.builds(ex.FileTrigger, glob=TEXT),
    st.builds(ex.ElapsedTrigger, after=LENGTH),
    st.builds(ex.RandomTrigger, earliest=LENGTH, latest=LENGTH),
)
TOLERANCES = st.one_of(
    st.builds(ex.NonInferiority, margin=st.floats(0.001, 5)),
    st.builds(ex.Range, min=NUMBER),
    st.builds(ex.Exactly, value=st.booleans() | TEXT),
)
CHECKS = st.builds(
    ex.Check,
    name=SLUG,
    probe=TEXT,
    params=MAPPING,
    tolerance=TOLERANCES,
    when=st.sampled_from(["always", "under_fault"]),
)
STEPS = st.builds(
    ex.Step, name=SLUG, fault=TEXT, params=MAPPING, trigger=TRIGGERS, hold=LENGTH, draw=st.sampled_from(ex.Draw)
)
EXPERIMENTS = st.builds(
    ex.Experiment,
    name=SLUG.filter(lambda name: name not in ex.RESERVED_NAMES),
    hypothesis=st.just("A sentence that can be wrong."),
    owner=TEXT,
    schedule=st.none(),
    target=SLUG,
    steady_state=st.tuples(CHECKS),
    method=st.tuples(STEPS),
    guards=st.builds(
        ex.Guards,
        blast_radius=st.floats(0.01, 1),
        stop_when=st.just(()),
        lease=LENGTH,
        revert_within=LENGTH,
        rto=LENGTH,
    ),
    analysis=st.builds(ex.Analysis, seeds=st.integers(1, 200), alpha=st.floats(0.001, 0.49)),
    known_finding=st.none(),
)
TRIALS = st.builds(
    Trial,
    started_at=WHEN,
    ended_at=WHEN,
    id=TEXT,
    run_id=TEXT,
    seed=st.integers(0, 99),
    wall_s=NUMBER,
    error=TEXT,
    out=TEXT,
    reused_from=TEXT,
    lost_steps=st.integers(0, 5),
    metrics=st.dictionaries(TEXT, st.floats(), max_size=3),
    slices=st.just({}),
    launches=st.tuples(st.builds(Launch, pid=st.integers(0, 9), started_at=WHEN)),
    firings=st.tuples(st.builds(Firing, step=TEXT, handle_id=TEXT, fired_at=WHEN, injected=RECEIPTS)),
    signals=st.tuples(st.builds(SignalEvent, name=TEXT, at=WHEN)),
    files=st.dictionaries(TEXT, TEXT, max_size=1),
)
OBSERVATIONS = st.builds(
    Observation,
    check=TEXT,
    trial_id=TEXT,
    seed=st.integers(0, 9),
    value=st.one_of(st.none(), st.booleans(), st.floats(), st.just("word")),
)
VALUES = st.one_of(
    EXPERIMENTS,
    HANDLES,
    RECEIPTS,
    TRIALS,
    OBSERVATIONS,
    st.builds(HandleState, handle=HANDLES, phase=st.sampled_from(Phase), lease_until=WHEN, changed_at=WHEN),
    st.builds(Fingerprint, digest=TEXT, covers=TEXT, leaves_out=TEXT),
    st.builds(TrialEnd, trial=TRIALS, observations=st.tuples(OBSERVATIONS)),
    st.builds(TrialStart, trial_id=TEXT, seed=st.integers(0, 9)),
    st.builds(Recovery, healthy=st.booleans(), seconds=st.none() | NUMBER),
    st.builds(Note, text=TEXT, facts=MAPPING),
    st.builds(Lock, key=TEXT, exclusive=st.booleans()),
    st.builds(Overrides, intensity=st.floats(0, 9), seeds=st.integers(1, 200), hold_s=st.none(), base_seed=st.none()),
    st.builds(Recorder, dag_id=TEXT, try_number=st.integers(0, 9)),
    st.builds(
        CheckResult,
        check=TEXT,
        sentence=TEXT,
        estimate=st.floats(),
        n_control=st.integers(0, 9),
        n_treatment=st.integers(0, 9),
        low=st.none(),
        high=st.none(),
        margin=st.none(),
    ),
    st.builds(ta.SetupStep, name=SLUG, run=TEXT),
    st.builds(
        ta.CommandWorkload,
        run=TEXT,
        timeout=LENGTH,
        restarts=st.integers(0, 20),
        environment=st.dictionaries(TEXT, TEXT, max_size=1),
        setup=st.just(()),
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(VALUES)
def test_a_value_survives_json_with_its_digest(value: Value) -> None:
    for text in (value.canonical(), value.model_dump_json()):
        again = type(value).model_validate_json(text)
        assert again.content_sha256 == value.content_sha256


@given(PLACES)
def test_a_place_is_known_again_by_its_type(place: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Place)
    assert adapter.validate_json(adapter.dump_json(place)) == place
    assert place.key == adapter.validate_python(place.model_dump()).key


@given(st.dictionaries(TEXT, JSON, min_size=2, max_size=4))
def test_the_order_of_keys_changes_no_digest(content: dict[str, Any]) -> None:
    assert canonical(content) == canonical(dict(reversed(content.items())))
    assert canonical(json.loads(canonical(content))) == canonical(content)


@settings(max_examples=500, deadline=None)
@given(
    JSON | st.dictionaries(st.text(alphabet='ab"', max_size=2), st.text(alphabet=st.characters(max_codepoint=0x2FF)))
)
def test_the_bytes_are_those_of_the_reference_implementation(content: Any) -> None:
    assert canonical(content) == rfc8785.dumps(content)


@pytest.mark.parametrize("content", [2**53, -(2**53), {"seed": 2**60}, {"text": "\ud800"}, [{"\ud800": 1}], {1: "a"}])
def test_what_has_no_exact_form_is_refused(content: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (of several kinds, all of which the ledger explains)
        canonical(content)


@pytest.mark.parametrize(("number", "text"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")])
def test_numbers_that_json_lacks_are_words_and_come_back_as_numbers(number: float, text: str) -> None:
    seen = Observation(check="c", trial_id="t", arm="control", seed=1, value=number)  # type: ignore[arg-type]
    assert json.loads(seen.canonical())["value"] == text
    again = Observation.model_validate_json(seen.canonical()).value
    assert isinstance(again, float)
    assert str(again) == str(number)


@given(st.floats(2**53, 1e300))
def test_a_reading_too_large_to_be_exact_comes_back_as_the_double_that_it_was(number: float) -> None:
    seen = Observation(check="c", trial_id="t", arm="control", seed=1, value=number)  # type: ignore[arg-type]
    again = Observation.model_validate_json(seen.canonical())
    assert (again.value, again.content_sha256) == (number, seen.content_sha256)


def test_digests_are_the_same_on_every_day() -> None:
    """A changed digest makes older ledgers unverifiable: change this number only with a new version of the model."""
    place = S3Place(endpoint="", region="us-east-1", bucket="b", prefix="p", principal="pipeline")
    handle = Handle(
        id="h", run_id="r", step="s", kind="cloud.deny_access", place=place, params={}, prior={"a": 1.0}, seed=7
    )
    assert handle.content_sha256 == "85faa1b7eb5fe6e4fb984a678993929b3b1bed214fb509228bf2732538ac60e6"
    lock = Lock(key="k", exclusive=True)
    assert lock.content_sha256 == "6f913a19d2ae75d5af5f4b7953a5b8c63c7c9f49c9dd52c98371e08855112845"


def test_a_place_of_an_older_record_that_names_no_table_of_processes_keeps_its_bytes() -> None:
    who = {"host": "h", "boot_id": "b", "pid": 7, "start_time": 1.5}
    place = ProcessPlace.model_validate({**who, "trial_id": "t", "pgid": 7, "out": "o", "checkpoints": "c"})
    task = TaskPlace.model_validate({**who, "dag_id": "d", "run_id": "r", "task_id": "t", "try_number": 1})
    assert (place.pid_namespace, task.pid_namespace) == (0, 0)
    assert place.content_sha256 == "ad03c9b5422c9b995286196e76dabd876f06a0a8721e4be63d75591ef2701e70"
    assert task.content_sha256 == "e2f2cf1f82648b5928bf88069a8b95e30faf6261ed59b5e6ea34c5f6f1cbcb1d"
    assert "pid_namespace" not in place.model_dump_json()  # the mark of a fault that is in is named after it


def test_a_value_is_frozen_and_closed() -> None:
    lock = Lock(key="k", exclusive=True)
    with pytest.raises(ValidationError):
        lock.key = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Lock.model_validate({"key": "k", "exclusive": True, "colour": "red"})


def test_a_verdict_needs_action_unless_it_held_or_is_known() -> None:
    told = {"run_id": "r", "experiment": "e", "response": "silent", "checks": [], "decided_at": "2026-01-01T00:00:00Z"}
    known = {"ticket": "T-1", "reason": "accepted", "expires": "2027-01-01"}
    assert not Verdict.model_validate({**told, "outcome": "held"}).needs_action
    assert Verdict.model_validate({**told, "outcome": "deviated"}).needs_action
    assert not Verdict.model_validate({**told, "outcome": "deviated", "known_finding": known}).needs_action


def test_findings_and_phases_are_words_of_the_log() -> None:
    assert {str(one) for one in Finding} >= {"armed", "injected", "partial", "reverted", "unknown"}
    assert str(Phase.UNREVERTED) == "unreverted"
