"""What runs beside the experiments: the sweep of expired handles, and the audit export."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from chaos_tasks.errors import GuardTripped, RevertError
from squall_operators.base import SquallOperator
from squall_operators.links import REPORT_URL, ReportLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from chaos_tasks.composition import Squall


class SweepHandlesOperator(SquallOperator):
    """Reverts every handle whose lease is over; the second net below `revert` and `squall sweep --watch`."""

    ui_color = "#457b9d"

    def act(self, squall: Squall, run_id: str, context: Context) -> None:
        """Raises RevertError when something cannot be brought back."""
        self._look_at_the_lever(squall)
        swept = squall.sweeper.sweep(by="sweeper DAG")
        for one in swept:
            self.log.info("%s %s: %s", "Reverted" if one.reverted else "NOT reverted", one.handle_id, one.summary)
        left_in = [one.handle_id for one in swept if not one.reverted]
        if left_in:
            raise RevertError(f"not reverted: {', '.join(left_in)}", remedy="run `squall revert` on each, by hand")

    def _look_at_the_lever(self, squall: Squall) -> None:
        """Carry the Airflow Variable into the ledger, both ways, for processes that cannot read it."""
        seen = squall.lever.look()
        if seen.reason:
            self.log.warning("The safety lever is pulled: %s", seen.reason)
        for unreadable in seen.unreadable:  # that must not keep anything from being swept
            self.log.warning("The safety lever: %s", unreadable)


class ExportAuditOperator(SquallOperator):
    """
    Writes the evidence pack of a period.

    :param since: first day, ISO 8601 (templated); by default seven days before the run.
    :param until: day after the last, ISO 8601 (templated); by default the day of the run.
    :param targets: names of targets, apart by commas (templated); empty for all.
    :param owners: owners, apart by commas (templated); empty for all.
    :param framework: a framework of the table of controls (templated); empty for all.
    :param to: a folder or ``s3://bucket/prefix`` that the pack is copied to (templated).
    """

    template_fields: Sequence[str] = ("run_id", "since", "until", "targets", "owners", "framework", "to")
    operator_extra_links = (ReportLink(),)
    ui_color = "#1d3557"

    def __init__(
        self,
        *,
        since: str = "",
        until: str = "",
        targets: str = "",
        owners: str = "",
        framework: str = "",
        to: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.since = since
        self.until = until
        self.targets = targets
        self.owners = owners
        self.framework = framework
        self.to = to

    def act(self, squall: Squall, run_id: str, context: Context) -> str:
        """The folder of the pack goes into XCom."""
        end = _day(self.until) or context["dag_run"].run_after.astimezone(UTC)
        begin = _day(self.since) or end - timedelta(days=7)
        if end <= begin:
            raise GuardTripped(f"the period ends on {end.date()}, before it begins on {begin.date()}")
        scope = squall.packs.scope(begin, end, _names(self.targets), _names(self.owners), self.framework)
        packed = squall.packs.make(scope, to=self.to)
        for one in packed.missing:
            self.log.warning("The pack is without %s", one)
        context["ti"].xcom_push(key=REPORT_URL, value=str(packed.folder / "report.html"))
        return str(packed.folder)


def _names(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(",") if one.strip())


def _day(text: str) -> datetime | None:
    """Midnight UTC of a day, or None for an empty text; raises GuardTripped for anything else."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise GuardTripped(f"{text!r} is no date", remedy="write it as 2026-01-31") from None
