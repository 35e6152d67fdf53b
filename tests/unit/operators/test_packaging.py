"""What Airflow looks for in the package: provider, plugin, links, conventions of operators."""

from __future__ import annotations

import importlib
import inspect
import tomllib

import pytest
from airflow.sdk import BaseOperator

from squall_operators import campaign, on_demand, steps, upkeep
from squall_operators.links import MlflowRunLink, ReportLink
from tests.unit.operators.conftest import ROOT

OPERATORS = sorted(
    {
        cls
        for module in (steps, campaign, on_demand, upkeep)
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, BaseOperator) and cls.__module__ == module.__name__
    },
    key=lambda cls: cls.__name__,
)


def entry_point(group: str) -> object:
    """What pyproject.toml declares, loaded."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][group]
    (path,) = declared.values()
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def test_provider_entry_point() -> None:
    from airflow.providers_manager import ProvidersManager  # noqa: F401  the reader of this entry point

    info = entry_point("apache_airflow_provider")()  # type: ignore[operator]
    assert info["package-name"] == "squall"
    for path in info["extra-links"]:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name)


def test_plugin_entry_point() -> None:
    plugin = entry_point("airflow.plugins")
    plugin.validate()  # type: ignore[attr-defined]
    assert {type(link) for link in plugin.operator_extra_links} == {MlflowRunLink, ReportLink}  # type: ignore[attr-defined]


def test_thirteen_operators() -> None:
    assert len(OPERATORS) >= 13


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda cls: cls.__name__)
def test_operator_conventions(operator: type[BaseOperator]) -> None:
    """Keyword-only constructor, template fields that are attributes, a colour, a docstring with its parameters."""
    signature = inspect.signature(operator.__init__)
    named = [p for p in signature.parameters.values() if p.name not in ("self", "args", "kwargs")]
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in named)
    assert operator.ui_color.startswith("#")
    assert operator.__doc__
    if "__init__" in vars(operator) and operator is not steps.ExerciseWorkloadOperator:
        for parameter in named:
            assert f":param {parameter.name}:" in operator.__doc__


def test_links_read_xcom(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.execution_time.xcom import XCom

    values = {"mlflow_url": "http://mlflow.test/run", "report_url": None}
    monkeypatch.setattr(XCom, "get_value", lambda *, ti_key, key: values[key])
    assert MlflowRunLink().get_link(None, ti_key=None) == "http://mlflow.test/run"  # type: ignore[arg-type]
    assert ReportLink().get_link(None, ti_key=None) == ""  # type: ignore[arg-type]
