"""The files that go with a run: experiment, environment, ledger records, the panels of its checks, two pictures."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import yaml

from chaos_tasks.judging.dossier import Dossier
from chaos_tasks.model.base import canonical
from chaos_tasks.reports.panel import checks_page
from chaos_tasks.tracking.plots import write_plots


def write_artifacts(dossier: Dossier, folder: Path) -> None:
    """Write all files; the same records give the same files, byte for byte, but for the environment's own."""
    if dossier.plan is not None:
        plain = dossier.plan.experiment.model_dump(mode="json")
        (folder / "experiment.yaml").write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
        (folder / "plan.json").write_bytes(dossier.plan.canonical())
    if dossier.verdict is not None:
        (folder / "verdict.json").write_bytes(dossier.verdict.canonical())
        (folder / "checks.html").write_text(checks_page(dossier), encoding="utf-8")
    lines = b"\n".join(stored.canonical() for stored in dossier.records)
    (folder / "ledger.jsonl").write_bytes(lines + b"\n")
    (folder / "environment.json").write_bytes(environment())
    write_plots(dossier, folder)


@lru_cache(maxsize=1)
def environment() -> bytes:
    """Python, platform and installed packages of this process, as JSON."""
    return canonical(
        {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": dict(sorted(_packages())),
        }
    )


def _packages() -> Iterator[tuple[str, str]]:
    """Name and version as the folders of the installed packages say: reading all their metadata takes a second."""
    for folder in sys.path:
        for found in Path(folder).glob("*.dist-info"):
            name, _, version = found.stem.rpartition("-")
            yield name, version
