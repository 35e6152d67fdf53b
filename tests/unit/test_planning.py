"""A plan binds an experiment to its target before anything is touched, and the same request gives the same plan."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.errors import GuardTripped
from chaos_tasks.ledger.lock_keys import conflict
from chaos_tasks.model.experiment import Experiment
from chaos_tasks.model.place import DvcPlace, InstancePlace, S3Place, StreamPlace
from chaos_tasks.model.plan import Overrides, Plan
from chaos_tasks.model.request import RunRequest
from chaos_tasks.model.target import Target
from chaos_tasks.planning import Source, fault_seed, make_plan, overridden, seeds_of

NIGHT = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)
DENY = {"name": "deny", "fault": "cloud.deny_access", "target": "store"}
FLIP = {
    "name": "flip",
    "fault": "data.label_flip",
    "target": "data",
    "params": {"path": "a.csv", "column": "y", "fraction": 0.1},
}
KILL = {"name": "kill", "fault": "process.kill", "target": "workload", "trigger": {"at": "progress", "step": 3}}
COMMAND = {"type": "command", "run": "true"}
RESOURCES = {
    "store": {"type": "s3", "endpoint": "http://s3", "bucket": "b", "prefix": "p", "principal": "pipeline"},
    "feed": {"type": "redis_stream", "url": "redis://r", "key": "events"},
    "machine": {"type": "ec2_instance", "endpoint": "http://ec2", "instance_id": "i-1"},
}


def experiment(**changes: Any) -> Experiment:
    check = {"name": "done", "probe": "workload.completed", "tolerance": {"type": "exactly", "value": True}}
    told = {
        "name": "tidy",
        "hypothesis": "The model stays as good.",
        "owner": "tests",
        "target": "toy",
        "steady_state": [check],
        "method": [FLIP],
    }
    return Experiment.model_validate({**told, **changes})


def plan(
    run_id: str = "run",
    overrides: Overrides | None = None,
    resources: Mapping[str, Any] = RESOURCES,
    workload: Mapping[str, Any] = COMMAND,
    **changes: Any,
) -> Plan:
    told = {
        "name": "toy",
        "source": {"type": "dvc", "repo": "repo", "data": ["a.csv"], "format": "csv"},
        "workload": workload,
        "resources": resources,
    }
    request = RunRequest(run_id=run_id, experiment=experiment(**changes), overrides=overrides or Overrides())
    source = Source(commit="c" * 40, data_digest="d" * 64)
    return make_plan(request, Target.model_validate(told), source, environment="lab", home=Path("home"), now=NIGHT)


def test_the_same_request_gives_the_same_plan_and_another_run_another() -> None:
    assert plan().content_sha256 == plan().content_sha256
    assert plan().content_sha256 != plan("other").content_sha256
    assert Plan.model_validate_json(plan().canonical()).content_sha256 == plan().content_sha256


def test_each_step_gets_the_place_that_it_names_and_a_process_gets_its_place_when_it_runs() -> None:
    steps = [{**FLIP, "name": name, "target": name} for name in RESOURCES]
    places = plan(method=[FLIP, *steps, KILL]).places
    kinds = {name: type(place) for name, place in places.items()}
    assert kinds == {"flip": DvcPlace, "store": S3Place, "feed": StreamPlace, "machine": InstancePlace}
    clone = places["flip"]
    assert isinstance(clone, DvcPlace)
    assert clone.clone == "home/runs/run/clone"
    assert clone.source == "repo"


def test_what_a_fault_touches_is_locked_alone_and_what_is_read_is_shared() -> None:
    locks = {lock.key: lock.exclusive for lock in plan(method=[{**FLIP, "target": "store"}]).locks}
    assert locks == {
        "experiment:tidy": True,
        "iam:http://s3/pipeline": True,
        "ec2:http://ec2/us-east-1/i-1": False,
        "source:repo": False,
    }
    assert list(locks) == sorted(locks)


@pytest.mark.parametrize(
    "other",
    [
        {"principal": "somebody-else", "prefix": "q"},  # the policy of one bucket: each would write the other's back
        {"bucket": "another", "endpoint": "http://S3/"},
        {"bucket": "another", "principal": "arn:aws:iam::000000000000:user/pipeline"},
    ],
)
def test_two_experiments_never_hold_one_principal_or_the_policy_of_one_bucket(other: Mapping[str, Any]) -> None:
    method = [DENY]
    first = plan("one", method=method, name="one")
    second = plan("two", method=method, name="two", resources={"store": {**RESOURCES["store"], **other}})
    assert any(conflict(one, two) for one in first.locks for two in second.locks)


@pytest.mark.parametrize(("attach", "apart"), [({}, False), (None, True)])
def test_two_experiments_never_attach_to_the_same_scheduled_run(attach: object, apart: bool) -> None:
    """Each waits for the next one, and judges it as if it alone had hit it; runs of one's own are others' business."""
    dag = {"type": "airflow_dag", "dag_id": "etl", "connection": {"url": "http://airflow"}, "attach": attach}
    dag = dag if attach is not None else {**dag, "conf": {"out": "{out}"}}
    first = plan("one", method=[KILL], name="one", workload=dag)
    second = plan("two", method=[KILL], name="two", workload=dag)
    assert any(conflict(one, two) for one in first.locks for two in second.locks) is not apart


def test_two_principals_of_two_buckets_are_hurt_at_the_same_time() -> None:
    method = [DENY]
    apart = {**RESOURCES["store"], "principal": "somebody-else", "bucket": "another"}
    first = plan("one", method=method, name="one")
    second = plan("two", method=method, name="two", resources={"store": apart})
    assert not any(conflict(one, two) for one in first.locks for two in second.locks)


def test_a_fault_that_writes_no_policy_does_not_hold_one() -> None:
    key = {"name": "key", "fault": "cloud.deactivate_key", "target": "store"}
    assert {lock.key for lock in plan(method=[key]).locks if lock.exclusive} == {
        "experiment:tidy",
        "iam:http://s3/pipeline",
    }


def test_two_runs_never_share_a_clone_or_a_stream() -> None:
    method = [FLIP, {**FLIP, "name": "late", "target": "feed"}]
    first, second = plan("one", method=method), plan("two", method=method)
    assert {place.key for place in first.places.values()}.isdisjoint(place.key for place in second.places.values())


@given(st.integers(0, 40 * 366 * 24), st.integers(1, 200))
def test_a_nights_seeds_come_from_its_date_and_no_other_night_has_them(hours: int, seeds: int) -> None:
    at = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    told = experiment(analysis={"seeds": seeds})
    tonight = seeds_of(told, at)
    assert len(tonight) == seeds
    assert tonight == seeds_of(told, at.replace(hour=0, minute=0))
    assert set(tonight).isdisjoint(seeds_of(told, at + timedelta(days=1)))


def test_seeds_of_the_file_win_over_the_date() -> None:
    assert seeds_of(experiment(analysis={"seeds": 3, "base_seed": 7}), NIGHT) == (7, 8, 9)


@given(st.integers(), st.text(max_size=5), st.integers(0, 9))
def test_a_faults_draws_are_reproducible_and_apart_from_the_training(seed: int, step: str, n: int) -> None:
    assert fault_seed(seed, step, n) == fault_seed(seed, step, n)
    assert fault_seed(seed, step, n) != fault_seed(seed, step, n + 1)
    assert 0 <= fault_seed(seed, step, n) < 2**48


def test_overrides_change_what_they_name_and_are_on_record() -> None:
    made = plan(overrides=Overrides(intensity=0.3, seeds=2, base_seed=5))
    assert made.experiment.method[0].params["fraction"] == 0.3
    assert made.seeds == (5, 6)
    assert made.overrides.intensity == 0.3
    assert overridden(experiment(), Overrides()) == experiment()


def test_an_override_that_does_not_fit_is_refused() -> None:
    with pytest.raises(GuardTripped, match="no hold to override"):
        overridden(experiment(), Overrides(hold_s=3))
    with pytest.raises(GuardTripped, match="is refused"):
        overridden(experiment(), Overrides(intensity=2))
    held = overridden(experiment(method=[KILL]), Overrides(hold_s=1.5))
    assert held.method[0].hold == timedelta(seconds=1.5)
