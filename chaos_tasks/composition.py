"""The only place that builds the parts from settings; operators and the command line call it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import chaos_tasks
from chaos_tasks import reading
from chaos_tasks.abandoning import Abandoning
from chaos_tasks.attesting.models import Models
from chaos_tasks.beginning import Beginning
from chaos_tasks.campaign import Campaigns
from chaos_tasks.carrying import CREDENTIALS as STORE_CREDENTIALS
from chaos_tasks.carrying import Carrier
from chaos_tasks.clients import CONNECTIONS, from_environment
from chaos_tasks.clock import SystemClock
from chaos_tasks.connections import IN_TEXT, connection
from chaos_tasks.disposing import Disposal
from chaos_tasks.engine import Engine, EngineParts
from chaos_tasks.errors import LedgerError, SetupError
from chaos_tasks.exercising import TrialLoop
from chaos_tasks.exporting import Exports
from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.plan import Plan, Recorder
from chaos_tasks.model.record import Stored
from chaos_tasks.model.target import Target
from chaos_tasks.notifying.channels import channels_of, secrets_of_webhook
from chaos_tasks.notifying.telling import LedgerNotifier
from chaos_tasks.packing import Packs
from chaos_tasks.ports import Clients, Clock, Ledger, LedgerReader, LeverHandle, Notifier, TrialRunner
from chaos_tasks.redacting import guard_logs, know, know_environment, passwords_of, reveal
from chaos_tasks.safety import guards
from chaos_tasks.safety.at_rest import Bucket, Encryption
from chaos_tasks.safety.lever import Lever
from chaos_tasks.sealing.keyring import Keyring
from chaos_tasks.sealing.places import Published, places_of
from chaos_tasks.sealing.sealer import Sealer
from chaos_tasks.sealing.witnesses import Witness
from chaos_tasks.searching.searches import Searches
from chaos_tasks.settings import Settings, find_settings
from chaos_tasks.signing.keys import VerifyKey
from chaos_tasks.sweeping import Sweeper
from chaos_tasks.targets.process import ProcessIdentity
from chaos_tasks.telemetry import opening as telemetry
from chaos_tasks.telemetry.opening import open_teller
from chaos_tasks.telemetry.telling import Teller
from chaos_tasks.workspaces import Workspaces

if TYPE_CHECKING:
    from chaos_tasks.auditing.answers import Audit
    from chaos_tasks.tracking.publisher import MlflowPublisher


@dataclass
class Squall(AbstractContextManager["Squall"]):
    """All parts, built; closing gives the ledger's connection back."""

    settings: Settings
    ledger: Ledger
    engine: Engine
    searches: Searches
    campaign: Campaigns
    beginning: Beginning
    exports: Exports
    packs: Packs
    models: Models
    sweeper: Sweeper
    disposal: Disposal
    abandoning: Abandoning
    publisher: MlflowPublisher
    clock: Clock
    clients: Clients
    notifier: Notifier
    lever: Lever
    sealer: Sealer
    open_runner: Callable[[Plan], TrialRunner]
    teller: Teller | None = None

    def audit(self, *, files: Sequence[Path] = (), vkeys: Sequence[str] = (), views: bool = True) -> Audit:
        """The five answers, from every place and file of signed heads at hand; ``vkeys`` replace the known keys."""
        from chaos_tasks.auditing.authenticity import Held
        from chaos_tasks.auditing.reperformance import reperformance
        from chaos_tasks.auditing.whole import Evidence, audit
        from chaos_tasks.ledger.database_ledger import DatabaseLedger
        from chaos_tasks.tracking.comparing import compare

        if not isinstance(self.ledger, DatabaseLedger):
            raise LedgerError("this ledger keeps no log that could be verified", remedy="use SQLite or PostgreSQL")
        ledger, publisher = self.ledger, self.publisher
        unread: list[Published] = []
        heads = [Held(f"{each.place}, {each.name}", each.text) for each in self.sealer.found(unread)]
        heads += [Held(str(path), _text_of(path)) for path in files]
        told = tuple(VerifyKey.parse(each) for each in vkeys)
        evidence = Evidence(
            heads=heads,
            keys=told or (*self.sealer.keys.known(), *(each.key for each in self.sealer.witnesses)),
            origin=self.sealer.keys.files.origin,
            unread=[f"{each.place}: {each.error}" for each in unread],
            views=(lambda: compare(publisher, ledger)) if views else None,
            again=reperformance,
        )
        return audit(ledger, evidence)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ledger.close()
        if self.teller is not None:
            self.teller.close()


def build(
    recorder: Recorder | None = None,
    *,
    settings: Settings | None = None,
    lock_wait_s: float = 0.0,
    leaves_to_wait: bool = False,
    lever_handles: tuple[LeverHandle, ...] = (),
) -> Squall:
    """Build everything from the settings found by the environment; raises SetupError naming what is missing.

    ``leaves_to_wait``: a run whose turn has not come leaves ``arm`` with InLine instead of waiting inside.
    ``lever_handles``: where else the safety lever can be pulled.
    """
    from chaos_tasks.tracking.models import MlflowRegistry
    from chaos_tasks.tracking.publisher import MlflowPublisher
    from chaos_tasks.workloads.runner import SupervisedRunner

    found = connected(settings or find_settings())
    guard_logs()
    know_settings(found)
    found.home.mkdir(parents=True, exist_ok=True)
    who = (recorder or Recorder()).model_copy(
        update={"host": socket.gethostname(), "squall_version": chaos_tasks.__version__}
    )
    clock = SystemClock()
    teller = open_teller(found.telemetry, lambda run_id: records_of(found.ledger_url, run_id), clock)
    hear = teller.hear if teller is not None else None
    ledger = open_ledger(found.ledger_url, hear)
    clients = from_environment(_environment(found))
    carrier = Carrier.of(found.variables, found.home, clients)
    workspaces = Workspaces(found.home, found.python, clients, carrier, _encrypted(found, clients, carrier))
    kept = {name: entry.data.keep_trials for name, entry in found.targets.items()}
    disposal = Disposal(found.home, ledger, clock, who, carrier, kept)

    def open_runner(plan: Plan) -> TrialRunner:
        log, renewed = Path(plan.workspace) / "supervisor.log", ledger.own_leases.told
        return SupervisedRunner(environment=_environment(found), log=log, renewed=renewed)

    lever = Lever(found.home, ledger, clock, who, lever_handles)

    def allowed(plan: Plan, own: LedgerReader) -> None:
        rules = guards.rules_for(found, plan.experiment.target, on_airflow=bool(who.dag_id))
        guards.check_running(plan, rules, own)

    loop = TrialLoop(
        ledger,
        clock,
        who,
        workspaces,
        clients,
        open_runner,
        lever=lever,
        allowed=allowed,
        open_ledger=lambda: open_ledger(found.ledger_url, hear),
    )
    artifacts = (
        found.home.absolute() / "lab" / "mlflow" / "artifacts"
    ).as_uri()  # used where MLflow is a database only
    publisher = MlflowPublisher(ledger, found.mlflow_uri, found.mlflow_ui_url, artifacts)
    channels = channels_of(found.notify, found.home, found.variables, clock)
    notifier = LedgerNotifier(ledger, clock, who, channels, found.notify.repeat_after)
    parts = EngineParts(
        found,
        ledger,
        clock,
        clients,
        workspaces,
        publisher,
        who,
        loop,
        notifier,
        lock_wait_s=lock_wait_s,
        leaves_to_wait=leaves_to_wait,
        lever=lever,
        disposal=disposal,
    )
    engine = Engine(parts)
    campaigns = Campaigns(found, ledger, clock, who)
    sweeper = Sweeper(ledger, clock, clients, workspaces, who, notifier)
    sealer = Sealer(
        ledger,
        Keyring(found.keys, found.root),
        places_of(found.checkpoints, found.root, clients),
        tuple(Witness(place) for place in found.checkpoints.witnesses),
        clock,
        who,
        notifier,
    )
    sweeper = Sweeper(ledger, clock, clients, workspaces, who, notifier, disposal)
    return Squall(
        settings=found,
        ledger=ledger,
        engine=engine,
        searches=Searches(engine),
        campaign=campaigns,
        beginning=Beginning(campaigns, sweeper),
        exports=Exports(campaigns, clock, publisher.end_night),
        packs=Packs(
            ledger,
            sealer,
            clients,
            clock,
            who,
            found.home,
            chaos_tasks.__version__,
            publisher.show_pack,
            found.packs.s3,
        ),
        models=Models(
            ledger,
            sealer,
            clock,
            who,
            MlflowRegistry(found.mlflow_uri, found.home / "models"),
            chaos_tasks.__version__,
        ),
        sweeper=sweeper,
        disposal=disposal,
        abandoning=Abandoning(ledger, clock, sweeper, who, found.approvals),
        publisher=publisher,
        clock=clock,
        clients=clients,
        notifier=notifier,
        lever=lever,
        sealer=sealer,
        open_runner=open_runner,
        teller=teller,
    )


def records_of(ledger_url: str, run_id: str) -> list[Stored]:
    """The records of a run, over a connection of their own: for another thread than the engine's."""
    with closing(open_ledger(ledger_url)) as ledger:
        return list(ledger.records(run_id=run_id))


def _encrypted(
    settings: Settings, clients: Clients, carrier: Carrier | None
) -> Callable[[Target, Sequence[Bucket]], None]:
    """Holds the store to the encryption of a target's source; without a store there is nothing to hold."""

    def check(target: Target, sources: Sequence[Bucket]) -> None:
        if carrier is not None:
            store = Bucket(carrier.bucket, carrier.endpoint, carrier.region)
            guard = Encryption(settings.data, clients, store, STORE_CREDENTIALS)
            guard.check(target.name, settings.entry(target.name).data, sources)

    return check


def _text_of(path: Path) -> str:
    try:
        return reading.text(path)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise SetupError(f"{path} cannot be read: {why}", remedy="give the file of a checkpoint") from error


def know_settings(settings: Settings) -> None:
    """Register what must never leave: secrets of the environment, passwords of addresses, addresses of webhooks."""
    know_environment(settings.variables)
    know(word for url in (settings.ledger_url, settings.mlflow_uri) for word in passwords_of(url))
    for hook in settings.notify.webhooks.values():
        know([settings.variables.get(hook.secret_variable, ""), *secrets_of_webhook(hook.url, settings.variables)])


def this_process() -> ProcessIdentity:
    """The process that asks, so that a fault can find it and never another one."""
    return ProcessIdentity.mine()


def the_ledger() -> Ledger:
    """The ledger alone, for who only keeps places in line."""
    return open_ledger(connected(find_settings()).ledger_url)


def connected(settings: Settings) -> Settings:
    """Settings whose addresses have what they refer to, ``${airflow:ID}`` too; raises SetupError where that is none."""
    found = {}
    for name in ("ledger_url", "mlflow_uri"):
        told = getattr(settings, name)
        found[name] = reveal(told, settings.variables)
        for lacking in IN_TEXT.findall(found[name]):
            connection(lacking, settings.variables)  # says what to do
    return settings.model_copy(update=found)


def _environment(settings: Settings) -> dict[str, str]:
    """What a process of ours needs to find the same ledger and credentials."""
    told = {"SQUALL_LEDGER_URL": settings.ledger_url, "SQUALL_HOME": str(settings.home)}
    if settings.telemetry.on:
        told[telemetry.VARIABLE] = settings.telemetry.model_dump_json()
    if settings.connections:
        told[CONNECTIONS] = json.dumps(dict(settings.connections))
    if settings.credentials_file:
        told["SQUALL_CREDENTIALS"] = settings.credentials_file
    return {**os.environ, **told}
