"""The house rules that import contracts cannot say; `lint-imports` keeps those (pyproject.toml, tool.importlinter)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from chaos_tasks import registry, schemas
from chaos_tasks.cli.main import COMMANDS, squall
from chaos_tasks.loading import load_experiment

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "torch",
    "pandas",
    "pandera",
    "mlflow",
    "dvc",
    "boto3",
    "botocore",
    "scipy",
    "pyarrow",
    "matplotlib",
    "airflow",
)
EXPERIMENTS = sorted((ROOT / "dags" / "experiments").glob("*.y*ml"))

NOT_IN_A_SHIPPED_EXPERIMENT = {
    "data.duplicate_rows": "the example of CONTRIBUTING.md, written after the shipped night",
    "data.image_damage": "the reference pipeline has no images",
}
"""Kinds without an example to copy, and why."""

LEFT_TO_THE_ENVIRONMENT = {
    "tests/unit/data": "the reference pipeline is not a package: its tests must find its modules"
}
"""Folders that may edit sys.path, and why."""


def sources(*folders: str) -> Iterator[Path]:
    """Python files of the repository below these folders."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Top-level names of all modules that a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def loaded_after(code: str) -> set[str]:
    """Which of the heavy libraries a new process has loaded after running some code."""
    tail = f"\nimport sys\nprint('|'.join(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code + tail], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stderr.strip().split("|")) - {""}


@pytest.mark.parametrize(
    "code",
    [
        "import chaos_tasks.composition",
        "import chaos_tasks.workloads.supervisor",
        "import chaos_tasks.testing",
        "from chaos_tasks.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass",
    ],
    ids=["composition", "supervisor", "testing", "help"],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    assert loaded_after(code) == set()


def test_each_command_is_where_the_table_says() -> None:
    """The table is what `--help` shows without importing anything, so it must be right."""
    for name, (module, _) in COMMANDS.items():
        command = getattr(import_module(f"chaos_tasks.cli.{module}"), f"{name}_command")
        assert command.name == name
    assert sorted(COMMANDS) == squall.list_commands(squall.make_context("squall", ["faults"]))


@pytest.mark.parametrize("module", ["chaos_tasks.cli", "chaos_tasks.ledger"])
def test_public_names_are_there_and_sorted(module: str) -> None:
    names = import_module(module).__all__
    assert list(names) == sorted(names)
    for name in names:
        assert hasattr(import_module(module), name)


def test_committed_schemas_are_the_generated_ones() -> None:
    assert schemas.stale(ROOT / "schemas") == []


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_shipped_experiment_is_valid(path: Path) -> None:
    assert load_experiment(path).experiment.name == path.stem


def test_each_fault_has_a_shipped_experiment_or_a_reason() -> None:
    used = {step.fault for path in EXPERIMENTS for step in load_experiment(path).experiment.method}
    assert used | NOT_IN_A_SHIPPED_EXPERIMENT.keys() == set(registry.FAULTS)
    assert not used & NOT_IN_A_SHIPPED_EXPERIMENT.keys()


def test_the_pipeline_under_test_knows_nothing_of_squall() -> None:
    files = list(sources("data"))
    assert files
    for path in files:
        assert not imported(path) & {"chaos_tasks", "squall_operators", "tests", "airflow"}, path


def test_set_up_runs_before_anything_is_installed() -> None:
    """`make setup` runs it with the machine's own Python."""
    assert imported(ROOT / "scripts" / "setup.py") <= set(sys.stdlib_module_names)


def test_no_module_prints() -> None:
    """What people read goes through click or rich; stdout of a supervisor is a protocol."""
    for path in sources("chaos_tasks", "operators", "dags"):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        assert not [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"], path


def test_nothing_edits_the_import_path() -> None:
    """An installed distribution finds its own modules; what does not is not what users get."""
    for path in sources("chaos_tasks", "operators", "dags", "benchmarks", "scripts", "tests"):
        if path.parent.relative_to(ROOT).as_posix() in LEFT_TO_THE_ENVIRONMENT:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Call) and ast.unparse(node.func).startswith("sys.path.")), path


@pytest.mark.parametrize("path", list(sources("chaos_tasks", "operators", "dags")), ids=lambda path: path.name)
def test_each_file_says_its_idea_first(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path}: say the file's idea in a docstring"
