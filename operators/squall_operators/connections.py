"""Fills in the connections that Squall's settings and targets ask for, from wherever Airflow keeps them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, MutableMapping
from contextlib import suppress

from chaos_tasks.connections import named_in, variable_of
from chaos_tasks.settings import Settings

log = logging.getLogger(__name__)


def provide(settings: Settings, environment: MutableMapping[str, str]) -> None:
    """Set AIRFLOW_CONN_<ID> for each id that is asked for and not set; what Airflow lacks is said when it is used.

    Processes that this one starts inherit them; a workload does not.
    """
    wanted = [one for one in sorted(named_in(_texts(settings))) if not environment.get(variable_of(one))]
    if not wanted:
        return
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowException

    for conn_id in wanted:
        try:  # masked in this task's log by Airflow itself
            environment[variable_of(conn_id)] = BaseHook.get_connection(conn_id).as_json()
        except AirflowException as error:
            log.warning("Airflow has no connection %s (%s)", conn_id, type(error).__name__)
        else:
            log.info("Took connection %s from Airflow", conn_id)


def _texts(settings: Settings) -> Iterator[str]:
    yield from settings.connections.values()
    yield from (settings.ledger_url, settings.mlflow_uri)
    yield from (hook.url for hook in settings.notify.webhooks.values())
    for entry in settings.targets.values():
        with suppress(OSError, UnicodeDecodeError):
            yield (settings.root / entry.file).read_text(encoding="utf-8")
