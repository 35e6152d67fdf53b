"""Lets an alias of a model wait for evidence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from squall_operators.base import SquallOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from chaos_tasks.composition import Squall


class PromoteModelOperator(SquallOperator):
    """
    Attests a version of a registered model and sets an alias, if its pipeline was shown to tolerate what is required.

    :param model: ``models:/NAME/VERSION`` (templated).
    :param alias: the alias to set (templated).
    :param target: the target whose pipeline made the model (templated).
    :param require: kinds of fault that must be tolerated.
    :param max_age_days: how old the statement may be; it is made in this task, from runs of the last 90 days.
    """

    template_fields: Sequence[str] = ("run_id", "model", "alias", "target")
    ui_color = "#6a994e"

    def __init__(
        self, *, model: str, alias: str, target: str, require: Sequence[str], max_age_days: float = 7.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.alias = alias
        self.target = target
        self.require = tuple(require)
        self.max_age_days = max_age_days

    def act(self, squall: Squall, run_id: str, context: Context) -> str:
        """The digest of the promoted files goes into XCom; raises where something required is not shown."""
        version = squall.models.parse(self.model)
        envelope = squall.models.attest(version, self.target)
        done = squall.models.promote(
            version, self.alias, envelope, require=self.require, max_age=timedelta(days=self.max_age_days)
        )
        self.log.info("%s is %s now", version.uri, self.alias)
        return done.digest
