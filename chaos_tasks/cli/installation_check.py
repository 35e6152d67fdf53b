"""What the doctor finds about the installation: interpreter, packages, a half-made environment, a shadowing copy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, distributions, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement

import chaos_tasks
from chaos_tasks.cli.findings import Finding, bad, good, note, warn

OLDEST, NEWEST = (3, 11), (3, 14)
HALF_MADE = ".squall-installing"  # laid down by scripts/setup.py while it installs


def installation_findings() -> Iterator[Finding]:
    """Look at this interpreter's environment."""
    yield _interpreter()
    if Path(sys.prefix, HALF_MADE).exists():
        yield bad(
            "installation", f"{sys.prefix} is half-made: an installation was interrupted", "run `make setup` again"
        )
    yield from _packages()
    yield from _shadowed()


def _interpreter() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if OLDEST <= sys.version_info[:2] < NEWEST:
        return good("python", f"{version} in {sys.prefix}")
    return bad("python", f"{version} does not fit", "use 3.11 to 3.13: make setup PYTHON=python3.11")


def _packages() -> Iterator[Finding]:
    """What the distribution asks for against what is installed; extras are told, not asked for."""
    try:
        wanted = [Requirement(text) for text in requires("squall") or ()]
    except PackageNotFoundError:
        yield warn("packages", "the distribution squall is not installed, only its source is found", "run `make setup`")
        return
    needed = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [said for one in needed if (said := _wrong(one))]
    if wrong:
        yield bad("packages", "; ".join(wrong), "run `make setup`")
    else:
        yield good("packages", f"squall {chaos_tasks.__version__} and the {len(needed)} packages that it needs")
    for extra in ("airflow", "lab", "torch"):
        parts = [one for one in wanted if one.marker is not None and one.marker.evaluate({"extra": extra})]
        missing = [said for one in parts if one not in needed and (said := _wrong(one))]
        if missing:
            yield note("packages", f"extra {extra}: {'; '.join(missing)}")


def _wrong(one: Requirement) -> str:
    try:
        found = distribution(one.name).version
    except PackageNotFoundError:
        return f"{one.name} is missing"
    return "" if one.specifier.contains(found, prereleases=True) else f"{one.name} is {found}, not {one.specifier}"


def _shadowed() -> Iterator[Finding]:
    """Two installations of ours, or somebody else's package of the same name."""
    owners = sorted(set(packages_distributions().get("chaos_tasks", ())) - {"squall"})
    copies = [one for one in distributions(name="squall")]
    places = {str(one.locate_file("")) for one in copies}
    if owners:
        yield bad("packages", f"{', '.join(owners)} brings a package chaos_tasks too", f"pip uninstall {owners[0]}")
    if len(places) > 1:
        yield bad(
            "packages", f"squall is installed {len(places)} times: {', '.join(sorted(places))}", "keep one of them"
        )
