"""What docs/integrations.md shows can be used as it stands; its DAGs run under a real Airflow in tests/system."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from chaos_tasks import registry
from chaos_tasks.model.experiment import Check
from chaos_tasks.settings import read_settings
from chaos_tasks.telemetry.measures import SIMPLE
from tests.doc_blocks import block

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
TOML = re.findall(r"<!-- try: ([\w-]+) -->\n```toml\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("text", [text for _, text in TOML], ids=[name for name, _ in TOML])
def test_a_table_of_settings_is_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "squall.toml").write_text(text)
    read_settings(tmp_path / "squall.toml", {})


def test_the_telemetry_shown_turns_it_on(tmp_path: Path) -> None:
    (tmp_path / "squall.toml").write_text(block("telemetry", PAGE)[0])
    found = read_settings(tmp_path / "squall.toml", {}).telemetry
    assert (found.statsd, found.tags, found.otlp) == ("127.0.0.1:8125", "dogstatsd", "http://127.0.0.1:4318")


def test_every_simple_counter_is_on_the_page() -> None:
    assert [name for name, _ in SIMPLE.values() if f"`{name}`" not in PAGE] == []


def test_every_block_of_code_is_tried() -> None:
    assert re.findall(r"(?<!-->\n)```(?:python|toml|yaml)\n", PAGE) == []


def test_the_checks_of_dvc_are_checks() -> None:
    checks = yaml.safe_load(block("dvc", PAGE)[0])["steady_state"]
    for check in (Check.model_validate(one) for one in checks):
        assert registry.probe_params(check.probe, check.params)
