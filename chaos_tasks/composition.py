"""The only place that builds the parts from settings; operators and the command line call it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import chaos_tasks
from chaos_tasks.beginning import Beginning
from chaos_tasks.campaign import Campaigns
from chaos_tasks.carrying import Carrier
from chaos_tasks.clients import from_environment
from chaos_tasks.clock import SystemClock
from chaos_tasks.engine import Engine, EngineParts
from chaos_tasks.exercising import TrialLoop
from chaos_tasks.exporting import Exports
from chaos_tasks.ledger import open_ledger
from chaos_tasks.model.plan import Plan, Recorder
from chaos_tasks.notifying.channels import channels_of
from chaos_tasks.notifying.telling import LedgerNotifier
from chaos_tasks.ports import Clients, Clock, Ledger, LedgerReader, LeverHandle, Notifier, Publisher, TrialRunner
from chaos_tasks.safety import guards
from chaos_tasks.safety.lever import Lever
from chaos_tasks.sealing.keyring import Keyring
from chaos_tasks.sealing.places import places_of
from chaos_tasks.sealing.sealer import Sealer
from chaos_tasks.sealing.witnesses import Witness
from chaos_tasks.searching.searches import Searches
from chaos_tasks.settings import Settings, find_settings
from chaos_tasks.sweeping import Sweeper
from chaos_tasks.workspaces import Workspaces


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
    sweeper: Sweeper
    publisher: Publisher
    clock: Clock
    clients: Clients
    notifier: Notifier
    lever: Lever
    sealer: Sealer
    open_runner: Callable[[Plan], TrialRunner]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ledger.close()


def build(
    recorder: Recorder | None = None,
    *,
    settings: Settings | None = None,
    lock_wait_s: float = 0.0,
    lever_handles: tuple[LeverHandle, ...] = (),
) -> Squall:
    """Build everything from the settings found by the environment; raises SetupError naming what is missing.

    ``lever_handles``: where else the safety lever can be pulled.
    """
    from chaos_tasks.tracking.publisher import MlflowPublisher
    from chaos_tasks.workloads.runner import SupervisedRunner

    found = settings or find_settings()
    found.home.mkdir(parents=True, exist_ok=True)
    who = (recorder or Recorder()).model_copy(
        update={"host": socket.gethostname(), "squall_version": chaos_tasks.__version__}
    )
    clock = SystemClock()
    ledger = open_ledger(found.ledger_url)
    clients = from_environment(_environment(found))
    workspaces = Workspaces(found.home, found.python, clients, Carrier.of(found.variables, found.home, clients))

    def open_runner(plan: Plan) -> TrialRunner:
        return SupervisedRunner(environment=_environment(found), log=Path(plan.workspace) / "supervisor.log")

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
        open_ledger=lambda: open_ledger(found.ledger_url),
    )
    artifacts = (
        found.home.absolute() / "lab" / "mlflow" / "artifacts"
    ).as_uri()  # used where MLflow is a database only
    publisher = MlflowPublisher(ledger, found.mlflow_uri, found.mlflow_ui_url, artifacts)
    channels = channels_of(found.notify, found.home, found.variables, clock)
    notifier = LedgerNotifier(ledger, clock, who, channels, found.notify.repeat_after)
    parts = EngineParts(
        found, ledger, clock, clients, workspaces, publisher, who, loop, notifier, lock_wait_s=lock_wait_s, lever=lever
    )
    engine = Engine(parts)
    campaigns = Campaigns(found, ledger, clock, who)
    sweeper = Sweeper(ledger, clock, clients, workspaces, who, notifier)
    return Squall(
        settings=found,
        ledger=ledger,
        engine=engine,
        searches=Searches(engine),
        campaign=campaigns,
        beginning=Beginning(campaigns, sweeper),
        exports=Exports(campaigns, clock, publisher.end_night),
        sweeper=sweeper,
        publisher=publisher,
        clock=clock,
        clients=clients,
        notifier=notifier,
        lever=lever,
        sealer=Sealer(
            ledger,
            Keyring(found.keys, found.root),
            places_of(found.checkpoints, found.root, clients),
            tuple(Witness(place) for place in found.checkpoints.witnesses),
            clock,
            who,
            notifier,
        ),
        open_runner=open_runner,
    )


def _environment(settings: Settings) -> dict[str, str]:
    """What a process of ours needs to find the same ledger and credentials."""
    told = {"SQUALL_LEDGER_URL": settings.ledger_url, "SQUALL_HOME": str(settings.home)}
    if settings.credentials_file:
        told["SQUALL_CREDENTIALS"] = settings.credentials_file
    return {**os.environ, **told}
