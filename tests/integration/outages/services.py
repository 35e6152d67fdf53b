"""The tiny project with one service beside it that the pipeline uses, and that its faults act on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from chaos_tasks.model.record import RecordKind
from chaos_tasks.runs import Run
from tests.integration.outages.laboratory import Outages, make_outages
from tests.tiny import until

OWN_FAMILIES = 'families = ["tiny", "airflow", "process"]'


def make_outages_of(
    root: Path, resource: Mapping[str, str], *, family: str, identities: bool, arguments: str = ""
) -> Outages:
    """The project with the resource `service`; ``identities``: who is who is proved there, and not waived."""
    outages = make_outages(root)
    target = root / "targets" / "tiny.yaml"
    text = target.read_text().replace("--out {out}", f"--out {{out}} {arguments}".rstrip())
    target.write_text(f"{text}resources: {json.dumps({'service': dict(resource)})}\n")
    config = outages.tiny.project.config
    families = OWN_FAMILIES.replace("]", f', "{family}"]')
    config.write_text(config.read_text().replace(OWN_FAMILIES, families, 1 if identities else 2))
    return outages


def write_credentials(path: Path, known: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """A file of credentials by name, from the variables of each; what names it."""
    told = {
        name: {"access_key_id": one["AWS_ACCESS_KEY_ID"], "secret_access_key": one["AWS_SECRET_ACCESS_KEY"]}
        for name, one in known.items()
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(told))
    return {"SQUALL_CREDENTIALS": str(path)}


def until_it_reverts(outages: Outages, run_id: str) -> None:
    """Wait until the run has said that it is about to put the place back."""

    def begun() -> bool:
        with outages.tiny.ledger() as ledger:
            return bool(Run(ledger, run_id).stored(RecordKind.REVERT_INTENT))

    until(begun, "the intent to revert", timeout_s=60)
