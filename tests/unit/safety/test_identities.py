"""The undo stands on nothing that the fault takes: disk, folder, way; and what cannot be told refuses."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks import registry
from chaos_tasks.clients import from_credentials
from chaos_tasks.errors import GuardTripped, InvalidFile
from chaos_tasks.model.identity import IdentityCheck, IdentityPolicy, NotApplicable, Reach
from chaos_tasks.model.record import Note, RecordKind
from chaos_tasks.safety.identities import Ground, Prover
from chaos_tasks.settings import read_settings
from tests.inventory import one_user
from tests.unit.toy_project import ToyFault, ToyProject, register, request


class FarReaching(ToyFault):
    """A toy that takes more away than its file."""

    taken = Reach()

    def reach(self, place: object, params: object) -> Reach:
        """As told."""
        return self.taken


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyProject:
    project = ToyProject(tmp_path / "home", fault=FarReaching())
    register(monkeypatch, project.fault)
    return project


def told(toy: ToyProject, taken: Reach, *paths: Path, endpoints: tuple[str, ...] = (), **waived: Any) -> str:
    """How the undo was proved to be out of reach."""
    assert isinstance(toy.fault, FarReaching)
    toy.fault.taken = taken
    extra = tuple(NotApplicable(check=IdentityCheck.REACH, families=("toy",), reason=why) for why in waived.values())
    policy = one_user("toy")
    policy = policy.model_copy(update={"not_applicable": (*policy.not_applicable, *extra)})
    plan = toy.engine().plan(request()) if taken == Reach() else _plan(toy)
    _, reach = Prover(policy, Ground(paths or (toy.home,), endpoints), from_credentials({})).prove(plan)
    return reach.how


def _plan(toy: ToyProject) -> Any:
    assert isinstance(toy.fault, FarReaching)
    taken, toy.fault.taken = toy.fault.taken, Reach()
    plan = toy.engine().plan(request())
    toy.fault.taken = taken
    return plan


def test_a_revert_workspace_on_the_disk_that_is_filled_is_refused(toy: ToyProject, tmp_path: Path) -> None:
    with pytest.raises(GuardTripped, match=r"is on the disk of .*data, which may be filled or go away") as caught:
        told(toy, Reach(disks=(str(tmp_path / "data"),)), toy.home, shut="never believed: it was found to be so")
    assert "a disk" in caught.value.remedy


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the tests'; every Linux has one in memory."""
    import tempfile

    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    assert folder.stat().st_dev != tmp_path.stat().st_dev
    yield folder
    shutil.rmtree(folder)


def test_a_revert_workspace_on_another_disk_passes_also_before_the_folder_exists(
    toy: ToyProject, other_disk: Path
) -> None:
    assert "home not on" in told(toy, Reach(disks=(str(other_disk / "to" / "come"),)))


def test_a_reverter_whose_files_lie_in_what_is_changed_is_refused(toy: ToyProject, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(toy.home)
    for folder in (toy.home, toy.home.parent, link):
        with pytest.raises(GuardTripped, match="where files may change"):
            told(toy, Reach(folders=(str(folder),)), toy.home / "ledger.db")
    told(toy, Reach(folders=(str(toy.home / "runs"),)), toy.home / "ledger.db")


def test_a_way_through_the_relay_that_is_cut_is_refused_under_any_name(toy: ToyProject) -> None:
    cut = Reach(endpoints=("127.0.0.1:8555",))
    for own in ("http://127.0.0.1:8555", "postgresql://user:secret@localhost:8555/ledger"):
        with pytest.raises(GuardTripped, match="may not answer") as caught:
            told(toy, cut, endpoints=(own,))
        assert "secret" not in str(caught.value)
    told(toy, cut, endpoints=("http://127.0.0.1:8333",))


def test_a_name_that_cannot_be_resolved_proves_nothing_and_may_be_waived_with_a_reason(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(*_: object, **__: object) -> object:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    cut = Reach(endpoints=("gone.invalid:1",))
    with pytest.raises(GuardTripped, match="cannot be resolved") as caught:
        told(toy, cut, endpoints=("http://here.invalid:2",))
    assert 'check = "reach"' in caught.value.remedy
    why = "the two networks do not know each other"
    assert told(toy, cut, endpoints=("http://here.invalid:2",), apart=why) == why


def test_local_identities_refuse_unless_the_inventory_says_why_they_are_one(
    toy: ToyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = toy.settings().targets["toy"].model_copy(update={"identities": IdentityPolicy()})
    with pytest.raises(GuardTripped, match="run as one user of this machine") as caught:
        toy.engine(targets={"toy": entry}).arm(request())
    assert 'check = "principals", families = ["toy"]' in caught.value.remedy
    assert RecordKind.FAULT_ARMED not in toy.kinds()
    assert toy.notes(RecordKind.RUN_REFUSED)


def test_what_was_proved_and_what_was_waived_is_on_record_before_anything_is_armed(toy: ToyProject) -> None:
    toy.engine().arm(request())
    kinds = toy.kinds()
    assert kinds.index(RecordKind.IDENTITIES_PROVED) < kinds.index(RecordKind.FAULT_ARMED)
    (stored,) = toy.ledger.records(run_id="run-1", kinds=[RecordKind.IDENTITIES_PROVED])
    assert isinstance(stored.record.payload, Note)
    assert stored.record.payload.text == "1 checks of identities proved, 1 not applicable by the inventory"
    three, reach = stored.record.payload.facts["proofs"]  # type: ignore[misc]
    assert (three["waived"], reach["waived"]) == (True, False)  # type: ignore[index,call-overload]
    assert "One user" in three["how"]  # type: ignore[index,call-overload,operator]


def test_a_reach_that_turns_bad_between_planning_and_arming_refuses(toy: ToyProject) -> None:
    assert isinstance(toy.fault, FarReaching)
    toy.fault.taken = Reach(disks=(str(toy.home),))
    with pytest.raises(GuardTripped, match="within reach"):
        toy.engine().arm(request())
    assert not toy.ledger.handles()


def test_every_fault_that_is_registered_has_a_reach_that_can_be_asked() -> None:
    from chaos_tasks.faults.base import Reaching
    from chaos_tasks.model.place import DvcPlace, InstancePlace, ProcessPlace, S3Place, StreamPlace, TaskPlace

    bounded = {DvcPlace, InstancePlace, ProcessPlace, S3Place, StreamPlace, TaskPlace}
    for kind in registry.fault_kinds():
        fault = registry.fault(kind)
        assert isinstance(fault, Reaching) or set(fault.place_types) <= bounded, kind


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('check = "names"', "check"),
        ('check = "reach"\nreason = "short"', "reason"),
        ('check = "reach"\nfamilies = []', "families"),
    ],
)
def test_a_waiver_without_a_check_a_family_or_a_reason_is_refused(tmp_path: Path, line: str, why: str) -> None:
    known = {"check": '"reach"', "families": '["toy"]', "reason": '"long enough to say why"'}
    given = dict(part.split(" = ", 1) for part in line.split("\n"))
    lines = "\n".join(f"{name} = {value}" for name, value in {**known, **given}.items())
    path = tmp_path / "squall.toml"
    path.write_text(
        f'[targets.toy]\nfile = "t.yaml"\nenvironment = "lab"\n[[targets.toy.identities.not_applicable]]\n{lines}\n'
    )
    with pytest.raises(InvalidFile, match=why):
        read_settings(path, {})


def test_the_ground_of_a_reverter_is_its_home_and_its_ledger(toy: ToyProject) -> None:
    def ground(url: str) -> Ground:
        return Ground.of(toy.settings(ledger_url=url))

    assert ground(f"sqlite:///{toy.home}/ledger.db").paths == (toy.home, toy.home / "ledger.db")
    assert ground("postgresql://postgres@/squall?host=/run/pg").paths == (toy.home, Path("/run/pg"))
    assert ground("postgresql://db.example/squall").endpoints == ("postgresql://db.example/squall",)
