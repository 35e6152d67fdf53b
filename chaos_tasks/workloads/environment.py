"""The environment of a workload: a few inherited names, and what its trial gives it.

Nothing of ours or of Airflow's (AIRFLOW__*, SQUALL_*, cloud keys) reaches the pipeline under test.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

INHERITED = frozenset(
    {
        "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL", "LD_LIBRARY_PATH",
        "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
        "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
    }
)  # fmt: skip


def clean(inherited: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Inherited names that a program needs to start, then the trial's own, which win."""
    return {**{name: value for name, value in inherited.items() if name in INHERITED}, **added}


def interpreter_first(python: str, path: str) -> str:
    """PATH on which `python` is the workload's interpreter: what a shell with its environment activated would have."""
    folder = str(Path(python).parent)
    return folder if not path else f"{folder}{os.pathsep}{path}"
