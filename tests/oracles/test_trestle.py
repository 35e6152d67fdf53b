"""compliance-trestle accepts our OSCAL documents, and refuses them once a member is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.oracles.conftest import Ask
from tests.unit.evidence.bodies import TONIGHT, body
from tests.unit.evidence.test_oscal import EMPTY, documents

READ = """
import importlib, pathlib, sys
module, name, path = sys.argv[1:]
getattr(importlib.import_module("trestle.oscal." + module), name).oscal_read(pathlib.Path(path))
"""
VALIDATE = """
import os, pathlib, subprocess, sys
trestle = str(pathlib.Path(sys.executable).with_name("trestle"))
os.chdir(sys.argv[1])
subprocess.run([trestle, "init"], check=True)
for path in sys.argv[2:]:
    subprocess.run([trestle, "import", "-f", path, "-o", pathlib.Path(path).stem], check=True)
subprocess.run([trestle, "validate", "-a"], check=True)
"""
MODELS = {
    "plan": ("assessment_plan", "AssessmentPlan"),
    "results": ("assessment_results", "AssessmentResults"),
    "poam": ("poam", "PlanOfActionAndMilestones"),
}


@pytest.mark.parametrize("scope", [TONIGHT, EMPTY], ids=["night", "empty"])
def test_every_document_reads_and_validates(oracle: Ask, tmp_path: Path, scope: object) -> None:
    made = documents(body(scope))  # type: ignore[arg-type]
    paths = []
    for name, (module, model) in MODELS.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(made[name]))
        read = oracle(READ, module, model, path)
        assert read.returncode == 0, read.stderr + read.stdout
        paths.append(path)
    (tmp_path / "workspace").mkdir()
    validated = oracle(VALIDATE, tmp_path / "workspace", *paths)
    assert validated.returncode == 0, validated.stdout + validated.stderr


def test_a_wrong_member_is_refused_so_the_oracle_looks(oracle: Ask, tmp_path: Path) -> None:
    document = documents(body())["results"]
    document["assessment-results"]["results"][0]["surprise"] = "boo"
    path = tmp_path / "results.json"
    path.write_text(json.dumps(document))
    assert oracle(READ, *MODELS["results"], path).returncode != 0
