"""The rows that pytest plays, as its parameters: one with every run of the suite, the others when asked for."""

from __future__ import annotations

import pytest

from tests.airflow_kills.interventions import ROWS

QUICK = [pytest.param(row, id=row.key, marks=() if row.always else pytest.mark.live) for row in ROWS if row.quick]
