"""Pages that are generated are current, pages that quote the code quote it word for word, and links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from chaos_tasks import registry

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")
PATH = re.compile(r"`((?:chaos_tasks|operators|tests|scripts|dags|data|docker|docs|benchmarks|requirements)/[\w./-]+)`")


def test_the_page_of_faults_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/generate_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_fault_has_its_section() -> None:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    assert [kind for kind in registry.FAULTS if f"\n## {kind}\n" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    linked = [page.parent / target for target in LINK.findall(text)]
    named = [ROOT / target for target in PATH.findall(text)]
    assert [str(path) for path in chain(linked, named) if not path.exists()] == []


def test_the_contributors_example_is_the_code_itself() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = re.findall(r"```python\n# (\S+)\n(.*?)```", text, flags=re.DOTALL)
    assert shown
    for path, block in shown:
        code = (ROOT / path).read_text(encoding="utf-8")
        for part in block.strip("\n").split("\n...\n"):
            assert part.strip("\n") in code, f"{path} no longer says:\n{part}"


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in folder.glob("0*.md") if f"({path.name})" not in index] == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "adr").glob("0*.md")), ids=lambda path: path.stem)
def test_a_decision_says_why_and_when_it_is_broken(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# {path.name[:4]}: ")
    for part in ("**Context.**", "**Decision.**", "**Consequences.**", "**A change violates this when**"):
        assert part in text, f"{path.name} lacks {part}"
