"""A way to tell that somebody else has made: a notifier class of Airflow's (Slack, mail, others), by its path."""

from __future__ import annotations

import importlib
import threading
from dataclasses import dataclass
from typing import Any

from chaos_tasks.model.notice import Notice
from chaos_tasks.notifying.delivery import DeliveryError
from chaos_tasks.settings import BorrowedNotifier


@dataclass(frozen=True)
class BorrowedChannel:
    """Makes the notifier anew for each notice, fills its templates with `notice` and `text`, and gives up in the end.

    Connections come from Airflow in a task, and from AIRFLOW_CONN_<ID> elsewhere: the notifier looks them up by itself.
    """

    name: str
    notifier: BorrowedNotifier

    def send(self, notice: Notice) -> int:
        """Notify, once; raises DeliveryError, which quotes nothing of what the notifier said."""
        failed: list[str] = []

        def work() -> None:
            try:
                _notify(self.notifier, notice)
            except DeliveryError as error:
                failed.append(str(error))
            except BaseException as error:  # noqa: BLE001  a library of somebody else's, in a thread of its own
                failed.append(f"{self.notifier.notifier} failed ({type(error).__name__})")

        thread = threading.Thread(target=work, name=f"notifier {self.name}", daemon=True)
        thread.start()
        thread.join(self.notifier.timeout_s)
        if thread.is_alive():
            raise DeliveryError(f"{self.notifier.notifier} has not ended after {self.notifier.timeout_s:g} s")
        if failed:
            raise DeliveryError(failed[0])
        return 1


def _notify(asked: BorrowedNotifier, notice: Notice) -> None:
    """Not by calling it: a notifier that is called swallows its own errors."""
    made = _class(asked.notifier)(**dict(asked.arguments))
    context = {"notice": notice.model_dump(mode="json"), "text": notice.text}
    made.render_template_fields(context)
    made.notify(context)


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DeliveryError(f"there is no notifier {path} here: install the package that has it") from error
    if not callable(getattr(found, "notify", None)):
        raise DeliveryError(f"{path} is no notifier: it has no method `notify`")
    return found
