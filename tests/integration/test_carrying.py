"""Clones cross hosts by a store: whole or not at all, and never over what another host has given meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks.carrying import Carrier
from chaos_tasks.clients import from_credentials
from chaos_tasks.errors import Fenced, SetupError, WorkloadError
from chaos_tasks.lab import identities
from chaos_tasks.lab.seaweedfs import S3Server, create_user


@pytest.fixture
def carriers(s3_lab: S3Server, s3_bucket: str, tmp_path: Path) -> tuple[Carrier, Carrier]:
    """Two hosts with a disk each, who may do what the lab's store user may and no more."""
    made = create_user(s3_lab, f"{s3_bucket}-store", identities.store_policy(s3_bucket))
    clients = from_credentials({"store": {"access_key_id": made.access_key, "secret_access_key": made.secret}})
    told = {"SQUALL_STORE": f"s3://{s3_bucket}/x", "SQUALL_STORE_ENDPOINT": s3_lab.endpoint}
    one, other = (Carrier.of(told, tmp_path / name, clients) for name in ("one", "other"))
    assert one is not None
    assert other is not None
    return one, other


def make_clone(carrier: Carrier) -> Path:
    clone = carrier.home / "runs" / "r" / "clone"
    (clone / ".git").mkdir(parents=True)
    (clone / "rows.csv").write_bytes(b"1\n")
    (clone / "big.bin").write_bytes(b"x" * (2 << 20))
    carrier.give(clone)
    return clone


def append(clone: Path) -> None:
    with (clone / "rows.csv").open("ab") as stream:
        stream.write(b"2\n")


def test_an_act_on_one_host_is_seen_on_the_other(carriers: tuple[Carrier, Carrier]) -> None:
    one, other = carriers
    clone, copy = make_clone(one), other.home / "runs" / "r" / "clone"
    other.acting(copy, lambda: append(copy))
    one.bring(clone)
    assert (clone / "rows.csv").read_bytes() == b"1\n2\n"
    assert (copy / "big.bin").read_bytes() == (clone / "big.bin").read_bytes()


def test_an_act_that_was_cut_off_never_happened(carriers: tuple[Carrier, Carrier]) -> None:
    one, other = carriers
    clone, copy = make_clone(one), other.home / "runs" / "r" / "clone"

    def die() -> None:
        append(clone)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one.acting(clone, die)
    for carrier, folder in ((one, clone), (other, copy)):
        carrier.bring(folder)
        assert (folder / "rows.csv").read_bytes() == b"1\n"


def test_a_fenced_host_cannot_give_over_what_its_successor_gave(carriers: tuple[Carrier, Carrier]) -> None:
    one, other = carriers
    clone, copy = make_clone(one), other.home / "runs" / "r" / "clone"

    def slow() -> None:
        append(clone)
        other.acting(copy, lambda: None)  # the sweep, while this host stood still

    with pytest.raises(Fenced):
        one.acting(clone, slow)
    one.bring(clone)
    assert (clone / "rows.csv").read_bytes() == b"1\n"


def test_dropped_copy_is_brought_again(carriers: tuple[Carrier, Carrier]) -> None:
    one, _ = carriers
    clone = make_clone(one)
    one.drop(clone)
    assert not clone.exists()
    one.bring(clone)
    assert (clone / "rows.csv").read_bytes() == b"1\n"


def test_files_of_a_trial_cross_by_digest_and_missing_ones_are_left_out(carriers: tuple[Carrier, Carrier]) -> None:
    import hashlib

    one, other = carriers
    left = one.home / "trial"
    left.mkdir(parents=True)
    (left / "p.csv").write_bytes(b"7\n")
    files = {"p.csv": hashlib.sha256(b"7\n").hexdigest(), "gone.csv": "0" * 64}
    one.keep(left, files)
    other.fetch(other.home / "trial", files)
    assert [path.name for path in (other.home / "trial").iterdir()] == ["p.csv"]


def test_store_out_of_reach_is_an_error_of_ours(tmp_path: Path) -> None:
    clients = from_credentials({"store": {"access_key_id": "a", "secret_access_key": "b"}})
    told = {"SQUALL_STORE": "s3://bucket", "SQUALL_STORE_ENDPOINT": "http://127.0.0.1:9"}
    carrier = Carrier.of(told, tmp_path, clients)
    assert carrier is not None
    with pytest.raises(WorkloadError, match="the store cannot be used"):
        carrier.bring(tmp_path / "runs" / "clone")


def test_a_wrong_address_is_refused(tmp_path: Path) -> None:
    clients = from_credentials({})
    assert Carrier.of({}, tmp_path, clients) is None
    with pytest.raises(SetupError):
        Carrier.of({"SQUALL_STORE": "bucket"}, tmp_path, clients)


def test_a_deleted_clone_is_gone_from_the_store_and_files_of_trials_stay(carriers: tuple[Carrier, Carrier]) -> None:
    one, other = carriers
    clone = make_clone(one)
    one.acting(clone, lambda: append(clone))
    trial = one.home / "runs" / "r" / "trials"
    trial.mkdir()
    (trial / "metrics.json").write_bytes(b"{}")
    one.keep(trial, {"metrics.json": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"})
    gone = one.delete(clone)
    assert len(gone) >= 4, "two states' archives, one large file, and the state itself"
    assert sum(size for _, size in gone) > 2 << 20
    assert not other.knows(other.home / "runs" / "r" / "clone")
    keys = [key for key, _, _ in one._listed("x/")]
    assert keys == ["x/objects/44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"]
    assert one.delete(clone) == []
