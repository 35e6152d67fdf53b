"""The Airflow asset of an experiment's verdict: the bell that another DAG waits for.  What it says is in the ledger.

It is told through an alias, not as a plain outlet: Airflow tells a plain outlet whenever its task ends well, and this
one must be told only for an answer to what the experiment's file asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias

from chaos_tasks.answers import Answer, require_good
from squall_operators.base import SquallOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from chaos_tasks.composition import Squall


def verdict_asset(target: str, experiment: str) -> Asset:
    """The asset of one experiment; name and URI are the same text, so that `Asset(TEXT)` is it too."""
    return Asset(f"squall://verdict/{target}/{experiment}")


def verdict_alias(target: str, experiment: str) -> AssetAlias:
    """The outlet of the verdict's task."""
    return AssetAlias(f"squall-verdict/{target}/{experiment}")


def tell(answer: Answer, outlets: Sequence[object], context: Mapping[str, Any]) -> bool:
    """Tell the asset of a good answer to what the experiment's file asks; whether there was anything to tell."""
    aliases = [one for one in outlets if isinstance(one, AssetAlias)]
    if not aliases or not answer.good or not answer.as_written:
        return False
    asset = verdict_asset(answer.target, answer.experiment)
    for alias in aliases:
        context["outlet_events"][alias].add(asset, extra=answer.model_dump(mode="json"))
    return True


class RequireVerdictsOperator(SquallOperator):
    """
    Lets a DAG go on only if the *last* answer of each experiment is held, or deviated as known.

    An asset event says that an experiment held once; Airflow keeps it until the other assets of a schedule have theirs.
    This asks the ledger what holds now.

    :param target: the target (templated).
    :param experiments: names of experiments on it.
    :param max_age: how old each answer may be.
    """

    template_fields: Sequence[str] = ("run_id", "target")
    ui_color = "#6a994e"

    def __init__(
        self, *, target: str, experiments: Sequence[str], max_age: timedelta = timedelta(days=7), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not experiments:
            raise ValueError("no experiment is required, so nothing would be asked")
        self.target = target
        self.experiments = tuple(experiments)
        self.max_age = max_age

    def act(self, squall: Squall, run_id: str, context: Context) -> list[str]:
        """The runs that answered go into XCom; fails for a missing, old or bad answer."""
        since = datetime.now(UTC) - self.max_age
        answers = [require_good(squall.ledger, self.target, name, since=since) for name in self.experiments]
        for one in answers:
            self.log.info("%s: %s by run %s", one.experiment, one.outcome.value, one.run_id)
        return [one.run_id for one in answers]
