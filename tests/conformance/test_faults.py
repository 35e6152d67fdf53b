"""Every registered kind of fault passes every conformance check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chaos_tasks import registry
from chaos_tasks.testing.conformance import Arrangement, Check, yield_checks
from tests.conformance.collected import arrangements

Builder = Callable[[Path, pytest.FixtureRequest], Arrangement]
CASES = [
    pytest.param(builder, check, id=f"{kind}-{check.__name__.removeprefix('check_')}")
    for kind, builder in sorted(arrangements().items())
    for check in yield_checks(registry.fault(kind))
]


@pytest.mark.parametrize(("builder", "check"), CASES)
def test_conforms(builder: Builder, check: Check, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    made = iter(range(1_000))

    def arrange() -> Arrangement:
        folder = tmp_path / str(next(made))
        folder.mkdir()
        return builder(folder, request)

    check(arrange)
