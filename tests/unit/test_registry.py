"""Kinds come from a table and from entry points; two of one name and none of a name are said clearly."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from chaos_tasks import registry
from chaos_tasks.errors import DuplicateKind, GuardTripped, UnknownKind


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """The registry remembers entry points for the life of a process."""
    for cached in (registry._table, registry._load):
        cached.cache_clear()
    yield
    for cached in (registry._table, registry._load):
        cached.cache_clear()


def entry(name: str, value: str, owner: str) -> EntryPoint:
    point = EntryPoint(name=name, value=value, group="squall.faults")
    vars(point)["dist"] = SimpleNamespace(name=owner)
    return point


def brings(monkeypatch: pytest.MonkeyPatch, *entries: EntryPoint) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: list(entries) if group == "squall.faults" else [])


def test_a_kind_of_two_distributions_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    brings(monkeypatch, entry("theirs.cut", "a:B", "left-pack"), entry("theirs.cut", "c:D", "right-pack"))
    with pytest.raises(DuplicateKind, match="left-pack and right-pack") as caught:
        registry.fault_kinds()
    assert "uninstall one" in caught.value.remedy


def test_nobody_replaces_a_kind_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    brings(monkeypatch, entry("data.label_flip", "a:B", "left-pack"))
    with pytest.raises(DuplicateKind, match="both squall and left-pack"):
        registry.fault("data.label_flip")


def test_a_third_partys_kind_is_found_beside_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    brings(monkeypatch, entry("theirs.cut", "tests.unit.toy_project:ToyFault", "left-pack"))
    assert "theirs.cut" in registry.fault_kinds()
    assert registry.fault("theirs.cut").summary == "Writes a word"


@pytest.mark.parametrize(
    ("kind", "near"),
    [("data.lable_flip", "data.label_flip"), ("proces.kill", "process.kill"), ("stream.drops", "stream.drop")],
)
def test_an_unknown_fault_suggests_near_ones(kind: str, near: str) -> None:
    with pytest.raises(UnknownKind) as caught:
        registry.fault(kind)
    assert near in caught.value.remedy
    assert "`squall faults`" in caught.value.remedy


def test_an_unknown_probe_without_near_ones_says_where_the_list_is() -> None:
    with pytest.raises(UnknownKind, match="no probe is called 'zzz'") as caught:
        registry.probe("zzz")
    assert caught.value.remedy == "`squall probes` lists all of them"


def test_every_listed_kind_loads_and_calls_itself_by_its_name() -> None:
    assert [registry.fault(kind).kind for kind in registry.FAULTS] == list(registry.FAULTS)
    assert [registry.probe(kind).kind for kind in registry.PROBES] == list(registry.PROBES)


def test_an_intensity_is_replaced_or_refused_with_the_reason() -> None:
    params = {"path": "a.parquet", "column": "late", "fraction": 0.1}
    assert registry.with_intensity("data.label_flip", params, 0.3)["fraction"] == 0.3
    with pytest.raises(GuardTripped, match="fraction = 7 is refused"):
        registry.with_intensity("data.label_flip", params, 7)
    with pytest.raises(GuardTripped, match="has no intensity"):
        registry.with_intensity("process.kill", {}, 0.5)
