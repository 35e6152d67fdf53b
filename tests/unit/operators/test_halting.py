"""The Airflow Variable is a handle of the lever: its value is the reason, and an answer that fails is no release."""

from __future__ import annotations

import pytest
from airflow.sdk import Variable
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from chaos_tasks.errors import SetupError
from squall_operators.halting import VARIABLE, VariableLever


def has(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    """What Airflow has."""
    found = list(variables)
    monkeypatch.setattr(Variable, "keys", lambda prefix: [name for name in found if name.startswith(prefix)])
    monkeypatch.setattr(Variable, "get", lambda key, default=None: variables.get(key, default))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("quarter end", "quarter end"),
        ("", "no reason given"),
        ("true", "true"),
        ("false", None),
        (" OFF ", None),
        ("0", None),
    ],
)
def test_its_value_is_the_reason(monkeypatch: pytest.MonkeyPatch, value: str, reason: str | None) -> None:
    has(monkeypatch, **{VARIABLE: value})
    assert VariableLever().pulled() == reason


def test_without_it_nothing_is_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, squall_halt_other="x", another="y")
    assert VariableLever().pulled() is None


def test_an_api_server_that_fails_is_not_taken_for_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `Variable.get(..., default=None)` would."""

    def fails(prefix: str) -> list[str]:
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))

    has(monkeypatch)
    monkeypatch.setattr(Variable, "keys", fails)
    with pytest.raises(SetupError, match="did not say whether it is set") as caught:
        VariableLever().pulled()
    assert caught.value.remedy


def test_outside_of_a_task_it_cannot_be_read() -> None:
    with pytest.raises(SetupError):
        VariableLever().pulled()
