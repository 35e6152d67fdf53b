"""What `squall doctor` says about Airflow's pools: where one is missing, tasks wait for ever, without a word."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from chaos_tasks.cli.findings import Finding, bad, good, note, warn
from chaos_tasks.errors import SetupError, SquallError
from chaos_tasks.settings import Settings

DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
PARALLELISM = "AIRFLOW__CORE__PARALLELISM"
WHY = {
    "squall_work": "no workload would run",
    "squall_control": "no experiment would begin",
    "squall_revert": "no revert task would run, and faults stay in until the sweeper comes",
}


def pool_findings(settings: Settings) -> Iterator[Finding]:
    """Of the running lab's Airflow, or of the one that this environment names."""
    from chaos_tasks.lab.state import load_state

    try:
        known, database = load_state(settings.home), os.environ.get(DATABASE, "")
        if known is not None and known.airflow_url:
            from chaos_tasks.lab.airflow_api import AirflowApi

            password = known.airflow_password.get_secret_value()
            with AirflowApi(known.airflow_url, known.airflow_user, password, timeout_s=5) as api:
                yield from judge_pools(api.pools())
        elif database:
            yield from judge_pools(read_pools(database), os.environ.get(PARALLELISM, ""))
        else:
            yield note("pools", f"no Airflow is known here (no lab, no {DATABASE})")
    except SquallError as error:
        yield warn("pools", f"Airflow did not say which pools it has: {error.message}", error.remedy)


def judge_pools(slots: Mapping[str, int], parallelism: str = "") -> Iterator[Finding]:
    """A pool that is missing or shut is wrong; one that the executor has no processes for promises nothing."""
    wrong = {name: why for name, why in WHY.items() if slots.get(name, 0) == 0}
    for name, why in wrong.items():
        state = "has no slots" if name in slots else "is missing"
        yield bad("pools", f"{name} {state}: {why}", f"airflow pools set {name} 8 Squall   (see docs/deployment.md)")
    asked = sum(count for count in slots.values() if count > 0)
    if parallelism.isdigit() and int(parallelism) < asked:
        remedy = f"set {PARALLELISM} to {asked} or more, or give the pools fewer slots"
        yield warn("pools", f"{asked} slots, but the executor runs {parallelism} tasks: reverts may wait", remedy)
    if not wrong:
        yield good("pools", ", ".join(f"{name} {slots[name]}" for name in sorted(WHY)))


def read_pools(database: str) -> dict[str, int]:
    """Slots by name, straight from Airflow's database on PostgreSQL; raises SetupError when it cannot be read."""
    import psycopg

    scheme, _, rest = database.partition("://")
    if not scheme.startswith("postgres"):
        raise SetupError(f"its database is of the kind {scheme}", remedy="look with `airflow pools list`")
    try:
        with psycopg.connect(f"postgresql://{rest}", connect_timeout=5) as connection:
            return dict(connection.execute("SELECT pool, slots FROM slot_pool").fetchall())
    except psycopg.Error as error:
        raise SetupError(
            f"its database cannot be read ({type(error).__name__})", remedy="see that it runs, then ask again"
        ) from error
