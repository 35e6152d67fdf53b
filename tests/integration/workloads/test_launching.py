"""One launch of a workload, from its start on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.clients import from_credentials
from chaos_tasks.workloads import launching
from chaos_tasks.workloads.journal import Journal
from chaos_tasks.workloads.launching import RunningLaunch
from tests.integration.workloads.laboratory import CLOCK, make_spec


def test_a_workload_that_fails_before_anybody_looked_at_it_is_known_with_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault may break its first line, and a busy machine comes to look late: that is a result, no error of ours."""
    original = launching.start_session

    def started_and_ended(*command: Any, **how: Any) -> subprocess.Popen[bytes]:
        process = original(*command, **how)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return process

    monkeypatch.setattr(launching, "start_session", started_and_ended)
    spec = make_spec(tmp_path, command=(sys.executable, "-I", "-S", "-c", "print('step 1'); raise SystemExit(3)"))
    out = Path(spec.out)
    out.mkdir()
    launch = RunningLaunch(spec, 1, Journal(out), CLOCK, lambda: from_credentials({}))
    assert launch.look() == 3
    assert launch.new_lines == ["step 1"]
    assert launch.end(exit_code=3).exit_code == 3
    assert [place.pid for place in Journal(out).launched_places()] == [launch.place.pid]
