"""The protocols between the domain and the world: time, ledger, clients, trials, publishing, notices."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from chaos_tasks.model.actor import Actor, Taken
from chaos_tasks.model.handle import Handle, HandleState, Phase
from chaos_tasks.model.notice import Notice
from chaos_tasks.model.plan import Lock
from chaos_tasks.model.record import Record, RecordKind, Stored
from chaos_tasks.model.trial import Arm, Trial
from chaos_tasks.model.waiting import Waiting
from chaos_tasks.own_leases import OwnLeases

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_s3 import S3Client
    from redis import Redis

    from chaos_tasks.model.spec import TrialSpec


class Clock(Protocol):
    """Wall time and waiting."""

    def now(self) -> datetime:
        """Timezone-aware UTC."""

    def monotonic(self) -> float:
        """Seconds, never backwards."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class LedgerReader(Protocol):
    """Reads the log, the handles and the leases."""

    def now(self) -> datetime:
        """The database's clock: the only one that leases are measured by."""

    def records(
        self,
        *,
        run_id: str | None = None,
        kinds: Sequence[RecordKind] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        after_seq: int = -1,
        experiment: str | None = None,
    ) -> Iterable[Stored]:
        """Records in log order; of one experiment where it is named."""

    def recorded_at(self, records: Iterable[Stored]) -> Mapping[int, datetime]:
        """When each came in, by its number and the database's clock: what `occurred_at` only claims, by its host's.

        The claim itself where an older Squall wrote the record and the database has kept no time of it.
        """

    def handles(
        self, *, run_id: str | None = None, phases: Iterable[Phase] = (), expired: bool = False
    ) -> list[HandleState]:
        """Handles, oldest first; ``expired`` keeps those whose lease is over by the database's clock."""

    def handle(self, handle_id: str) -> HandleState | None:
        """One handle, or None."""

    def last_beat(self, name: str) -> datetime | None:
        """When the named watcher last said that it is alive."""

    def locked_runs(self) -> frozenset[str]:
        """Runs that hold a lock, or stand in line for one, under a lease that is not over."""

    def waiting(self) -> list[Waiting]:
        """Runs in line for their locks, in order, also those whose place has run out."""

    def held_until(self, run_id: str) -> datetime | None:
        """When the lease of a run's locks is or was over; None where it holds none."""

    def last_actor(self, run_id: str) -> Actor | None:
        """The process that took a run last, alive or not."""


class Ledger(LedgerReader, Protocol):
    """Append-only records, and in the same database handles, leases, locks and heartbeats."""

    @property
    def own_leases(self) -> OwnLeases:
        """What this process has renewed, by its own clock: the only thing that it knows once the ledger is gone."""

    def append(self, record: Record) -> Stored:
        """Write once per idempotency key, in one transaction.

        Raises IdempotencyConflict for the same key with other content, LedgerError when it cannot be written.
        """

    def arm(self, handle: Handle, record: Record, *, lease_s: float) -> HandleState:
        """Register a handle (phase ARMED) with its record and lease, in one transaction.  Idempotent."""

    def transition(
        self,
        handle_id: str,
        *,
        to: Phase,
        expect: Iterable[Phase],
        epoch: int,
        record: Record,
        lease_s: float | None = None,
    ) -> HandleState:
        """Move a handle and write its record in one transaction.

        ``lease_s`` renews the lease too.  Raises Fenced when the phase is not expected or the epoch is not current.
        To INJECTING, the run's permit is used up in the same transaction (`permit.consumed`, before the intent) where
        the run was registered as needing one; raises NotPermitted where it has none that is good for its plan now.
        """

    def renew(self, run_id: str, *, lease_s: float) -> datetime:
        """Extend the lease of all open handles and locks of a run; raises Fenced when one of them was swept."""

    def take_over(self, handle_id: str, *, lease_s: float, listed: HandleState | None = None) -> HandleState:
        """Raise the handle's epoch (fencing older holders) and lease it to the caller.

        ``listed``: only if nobody has renewed its lease, or taken it over, since it was read so; raises LeaseRenewed
        else.  Not if its lease is over now: who listed it may know that better than a clock that can be set.
        """

    def claim(self, handle_id: str, n: int, record: Record) -> bool:
        """Claim firing ``n`` of a trigger, once over all processes; False when it was claimed before."""

    def acquire(self, run_id: str, locks: Sequence[Lock], *, lease_s: float, queue_s: float = 0.0) -> float:
        """Take all locks or none, in the order of arrival; returns the seconds that the run stood in line.

        Keys are hierarchical (`s3://bucket/prefix`): an exclusive key conflicts with every key above and below it.
        A lock whose lease is over still blocks while its run has open handles.  Re-entrant per run.
        Raises TargetBusy naming who is in the way; Queued instead where ``queue_s`` is given and the run holds
        nothing: then it has a place in line that others pass only once it was not asked for again for that long.
        """

    def whose_turn(self, run_ids: Collection[str], *, queue_s: float) -> frozenset[str]:
        """Which of these waiting runs should ask for their locks now, those without a place too; keeps all places."""

    def release(self, run_id: str) -> None:
        """Give back all locks of a run, and its place in line."""

    def enter(self, actor: Actor) -> Taken:
        """Take a run for this process, which supersedes whoever took it before.

        From then on the superseded one is refused in the transaction of whatever it writes about that run: Fenced.
        Who has the run already goes on under its incarnation.  Raises Fenced where this process was superseded, or
        where a later try of the same step has taken the run.
        """

    def check_enter(self, actor: Actor) -> None:
        """Raise Fenced where ``enter`` would, and take nothing: for what must be done before the run is taken."""

    def act_as(self, run_id: str, incarnation: int) -> None:
        """Act under an incarnation that another process took: a supervisor under its engine's."""

    def acting(self, run_id: str) -> int:
        """The incarnation that this process acts under, 0 for none; raises Fenced once the run was taken from it."""

    def beat(self, name: str) -> None:
        """Say that the named watcher is alive."""

    def close(self) -> None:
        """Give back the connection."""


class CallerClient(Protocol):
    """The one call of STS that anybody may make."""

    def get_caller_identity(self) -> Mapping[str, object]:
        """Account and Arn of whoever signed the call."""


AIRFLOW_LOGIN = ("SQUALL_AIRFLOW_USER", "SQUALL_AIRFLOW_PASSWORD", "SQUALL_AIRFLOW_TOKEN")
"""Variables by which a process of ours is told a login of Airflow's: user, password, token."""


class Clients(Protocol):
    """Connections by credential name; the only way to the network."""

    def s3(self, credentials: str, *, endpoint: str, region: str) -> S3Client:
        """A boto3 S3 client."""

    def iam(self, credentials: str, *, endpoint: str, region: str) -> IAMClient:
        """A boto3 IAM client."""

    def ec2(self, credentials: str, *, endpoint: str, region: str) -> EC2Client:
        """A boto3 EC2 client."""

    def sts(self, credentials: str, *, endpoint: str, region: str) -> CallerClient:
        """A boto3 STS client."""

    def redis(self, url: str) -> Redis:
        """A redis client with text responses off."""

    def environment(self, credentials: str) -> dict[str, str]:
        """Environment variables that give a workload these credentials."""


class TrialRunner(Protocol):
    """Runs trials of one arm under one supervisor."""

    def run(self, spec: TrialSpec) -> Trial:
        """Run one trial to its end; raises WorkloadError when it could not be run at all."""

    def close(self) -> None:
        """End the supervisor."""


class TrialStore(Protocol):
    """Folders of trials and prepared data versions."""

    def trial_dir(self, run_id: str, arm: Arm, seed: int, rung: str = "") -> Path:
        """Folder of one trial; created."""

    def prepared_dir(self, key: str, build: Callable[[Path], None]) -> Path:
        """Folder of one prepared data version; built once, by whoever comes first."""


class Publisher(Protocol):
    """Where people look: a view, never the evidence."""

    def publish(self, run_id: str) -> str:
        """Publish a judged run from its records; returns a URL.  May be called again."""


class LeverHandle(Protocol):
    """Another handle of the safety lever, such as an Airflow Variable."""

    @property
    def name(self) -> str:
        """What people call it."""

    def pulled(self) -> str | None:
        """Why it is pulled, or None; raises SquallError when it cannot be read, which counts as pulled."""


class Notifier(Protocol):
    """Tells people."""

    def tell(self, notice: Notice) -> None:
        """Say it once.  Never raises: what could not be said is on record, and changes no outcome."""
