"""Data faults pass every conformance check on a file inside a tracked directory, as on one tracked by itself.

What differs there is DVC's part, which all of them share; mutators that do nothing else are tried beside it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos_tasks import registry
from chaos_tasks.testing.conformance import Arrangement, Check, yield_checks
from tests.conformance.arrange_data import PARAMS, Builder, arranged

CASES = [
    pytest.param(arranged(kind, params, inside=True), check, id=f"{kind}-{check.__name__.removeprefix('check_')}")
    for kind, params in sorted(PARAMS.items())
    if kind not in ("data.text_damage", "data.unit_change")
    for check in yield_checks(registry.fault(kind))
]


@pytest.mark.parametrize(("builder", "check"), CASES)
def test_conforms_inside_a_directory(
    builder: Builder, check: Check, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    made = iter(range(1_000))

    def arrange() -> Arrangement:
        folder = tmp_path / str(next(made))
        folder.mkdir()
        return builder(folder, request)

    check(arrange)
