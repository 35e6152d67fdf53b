"""The safety lever as an Airflow Variable: `squall_halt` stops everything while it is there; its value says why."""

from __future__ import annotations

from chaos_tasks.errors import SetupError

VARIABLE = "squall_halt"
RELEASED = frozenset({"false", "off", "no", "0"})
"""Values that say as much as no Variable."""


class VariableLever:
    """Implements ``chaos_tasks.ports.LeverHandle`` inside a task."""

    name = f"Airflow Variable {VARIABLE}"

    def pulled(self) -> str | None:
        """Its value, or None; raises SetupError when Airflow does not say, which counts as pulled.

        ``Variable.get`` with a default takes an API server that fails for a Variable that is not there
        (apache-airflow 3.3, ``ExecutionAPISecretsBackend``), so the list of keys is asked first: it raises.
        """
        from airflow.sdk import Variable

        try:
            if VARIABLE not in list(Variable.keys(prefix=VARIABLE)):
                return None
            value = Variable.get(VARIABLE, default=None)
        except Exception as error:
            raise SetupError(
                f"Airflow did not say whether it is set ({type(error).__name__})",
                remedy="see that the API server answers, then trigger a new run",
            ) from error
        if value is None or str(value).strip().lower() in RELEASED:
            return None
        return str(value).strip()[:300] or "no reason given"
