"""`squall gate`: test a target's own gate by mutants of its data, and propose the checks that it lacks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from chaos_tasks import reading
from chaos_tasks.cli.attending import own_sweeper
from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.errors import GuardTripped, InvalidFile, Problem, SetupError
from chaos_tasks.inventory import read_target
from chaos_tasks.loading import load_experiments
from chaos_tasks.model.target import Target
from chaos_tasks.safety import lever
from chaos_tasks.safety.guards import check_sweeper
from chaos_tasks.settings import Settings

if TYPE_CHECKING:
    from chaos_tasks.composition import Squall
    from chaos_tasks.gates.proposing import Proposal
    from chaos_tasks.gates.values import GateReport, Harm, Tried
    from chaos_tasks.gates.workbench import Workbench

REPORT, CHECKS, PANDERA, PROPOSAL = "report.json", "checks.json", "checks_pandera.py", "proposal.json"


@click.group("gate")
def gate_command() -> None:
    """Test a pipeline's own gate."""


@gate_command.command("test")
@click.argument("target")
@click.option("--budget-trainings", type=click.IntRange(4), default=200, show_default=True, help="At most so many.")
@click.option("--metric", help="What harm is measured by; by default what the target's experiments declare.")
@click.option("--margin", type=click.FloatRange(0, min_open=True), help="Harm is more than this, in the metric's unit.")
@click.option("--better", type=click.Choice(["higher", "lower"]), default="higher", show_default=True)
@click.option("--pairs", type=click.IntRange(3, 50), default=6, show_default=True, help="Most trainings per mutant.")
@click.option("--rev", help="Data version instead of the target's own.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of all random choices.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results; by default below Squall's home.")
@click.option("--quiet", is_flag=True, help="No progress.")
def test_command(
    target: str,
    budget_trainings: int,
    metric: str | None,
    margin: float | None,
    better: Literal["higher", "lower"],
    pairs: int,
    rev: str | None,
    seed: int,
    out: Path | None,
    quiet: bool,
) -> int:
    """Search for the smallest corruption that harms the model and passes the gate of TARGET.

    Works on copies below Squall's home.  Exit code: 0 none was found, 1 the gate has holes.
    """
    import numpy as np

    from chaos_tasks.gates.harming import HarmRule
    from chaos_tasks.gates.session import propose_checks, run_gate_test
    from chaos_tasks.gates.wording import proposed, summary

    with _squall(target) as squall, _bench(squall, target, rev, seed, metric, margin, better) as bench:
        rng = np.random.default_rng(seed)
        rule = HarmRule(bench.harms, cap=pairs)
        tell = _teller(squall.settings, quiet)
        report = run_gate_test(bench, rule, rng=rng, budget=budget_trainings, tell=tell)
        escaped = [one.mutant for one in report.tried if one.escaped]
        proposal = propose_checks(bench, escaped, rng=rng) if escaped else None
        folder = _folder(squall, target, out)
        _write(folder, report, proposal)
        _record(squall, target, report, proposal)
    click.echo(summary(report))
    if proposal is not None:
        click.echo(f"\n{proposed(proposal)}")
    click.echo(f"\nWritten to {folder}")
    return ExitCode.DEVIATED if escaped else ExitCode.HELD


@gate_command.command("propose")
@click.argument("target")
@click.option("--report", "report_file", type=click.Path(path_type=Path), required=True, help="Of `squall gate test`.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results; by default the report's.")
def propose_command(target: str, report_file: Path, seed: int, out: Path | None) -> int:
    """Propose checks again for the escapes of a report: no training, no gate run."""
    import numpy as np

    from chaos_tasks.gates.adopting import as_pandera
    from chaos_tasks.gates.session import propose_checks
    from chaos_tasks.gates.wording import proposed

    report = _read(report_file)
    with _squall(target) as squall:
        harm = report.harms[0]
        with _bench(squall, target, report.commit, seed, harm.metric, harm.margin, harm.better) as bench:
            escaped = [one.mutant for one in report.tried if one.escaped]
            proposal = propose_checks(bench, escaped, rng=np.random.default_rng(seed))
    folder = out or report_file.parent
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, None, proposal)
    click.echo(proposed(proposal))
    click.echo(f"\n{as_pandera(proposal.checks)}" if proposal.checks else "")
    click.echo(f"Written to {folder}")
    return ExitCode.HELD


@contextmanager
def _squall(target: str) -> Iterator[Squall]:
    """All parts, once the inventory and the lever allow data faults on the target."""
    from chaos_tasks.composition import build

    with build() as squall:
        entry = squall.settings.entry(target)
        if entry.environment not in squall.settings.environments or "data" not in entry.families:
            raise GuardTripped(
                f"the inventory allows no data faults on target {target}",
                remedy="let the owner of squall.toml add `data` to its families, in an allowed environment",
            )
        lever.check(squall.settings.home)
        with own_sweeper(squall):
            if squall.settings.require_sweeper:
                check_sweeper(squall.settings.sweeper_max_age_s, squall.ledger)
            yield squall


@contextmanager
def _bench(
    squall: Squall,
    name: str,
    rev: str | None,
    seed: int,
    metric: str | None,
    margin: float | None,
    better: Literal["higher", "lower"],
) -> Iterator[Workbench]:
    """A workbench in a folder of its own, which is removed at the end."""
    from chaos_tasks.gates.workbench import Workbench

    target = read_target(squall.settings, name)
    harm = _harm(squall.settings, target, metric, margin, better)
    if rev is not None:
        target = target.model_copy(update={"source": target.source.model_copy(update={"rev": rev})})
    folder = squall.settings.home.absolute() / "gates" / name / f"work-{squall.clock.now():%Y%m%d-%H%M%S-%f}"
    try:
        yield Workbench.open(
            target,
            folder,
            python=squall.settings.python,
            harms=[harm],
            clock=squall.clock,
            clients=squall.clients,
            base_seed=seed,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _harm(
    settings: Settings, target: Target, metric: str | None, margin: float | None, better: Literal["higher", "lower"]
) -> Harm:
    from chaos_tasks.gates.declared import declared_harm
    from chaos_tasks.gates.values import Harm

    if metric is not None and margin is not None:
        return Harm(metric=metric, margin=margin, better=better)
    if metric is not None or margin is not None:
        raise click.UsageError("--metric and --margin go together")
    loaded = load_experiments(settings.experiments_dir)
    found = declared_harm((one.experiment for one in loaded.experiments), target.name)
    if found is None:
        raise SetupError(
            f"no data experiment on {target.name} keeps a metric within a margin, so harm is not declared",
            remedy="give --metric and --margin",
        )
    return found


def _teller(settings: Settings, quiet: bool) -> Callable[[Tried], None]:
    """Shows each mutant, and stops when somebody has pulled the lever."""

    def tell(tried: Tried) -> None:
        lever.check(settings.home)
        if not quiet:
            at = f" at {tried.mutant.intensity:.3g}" if tried.mutant.family.graded else ""
            said = tried.passing.value if tried.pairs == 0 else f"{tried.passing.value}, {tried.harm.value}"
            click.echo(f"{tried.mutant.family.name}{at}: {said}", err=True)

    return tell


def _folder(squall: Squall, target: str, out: Path | None) -> Path:
    folder = out or squall.settings.home / "gates" / target / f"{squall.clock.now():%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write(folder: Path, report: GateReport | None, proposal: Proposal | None) -> None:
    from chaos_tasks.gates.adopting import as_json, as_pandera

    if report is not None:
        (folder / REPORT).write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if proposal is not None:
        (folder / PROPOSAL).write_text(proposal.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (folder / CHECKS).write_text(as_json(proposal.checks), encoding="utf-8")
        (folder / PANDERA).write_text(as_pandera(proposal.checks), encoding="utf-8")


def _record(squall: Squall, target: str, report: GateReport, proposal: Proposal | None) -> None:
    from chaos_tasks.gates.recording import gate_record
    from chaos_tasks.model.plan import Recorder

    now = squall.clock.now()
    squall.ledger.append(
        gate_record(
            report,
            proposal,
            run_id=f"gate-{now:%Y%m%d-%H%M%S}.{target}",
            at=now,
            recorder=Recorder(),
            environment=squall.settings.entry(target).environment,
        )
    )


def _read(path: Path) -> GateReport:
    from pydantic import ValidationError

    from chaos_tasks.gates.values import GateReport

    try:
        return GateReport.model_validate_json(reading.whole(path))
    except (OSError, ValueError, ValidationError) as error:
        cause = str(error).splitlines()[0]
        raise InvalidFile(
            path, (Problem(1, "", f"no gate report: {cause}", "write one with `squall gate test`"),)
        ) from None
