"""Commands about files and kinds: validate, schema, faults, probes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from chaos_tasks import registry, schemas
from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.errors import InvalidFile, SquallError
from chaos_tasks.inventory import read_target
from chaos_tasks.loading import load_files
from chaos_tasks.model.experiment import Experiment
from chaos_tasks.safety.risk import exceeds, highest, risks_of
from chaos_tasks.settings import find_settings


@click.command("validate")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
def validate_command(paths: tuple[Path, ...]) -> int:
    """Check experiment files (by default all of the experiments folder) and the targets of the inventory."""
    files = _experiment_files(paths)
    loaded = load_files(files)
    errors = list(loaded.errors)
    broken = {error.path for error in errors}
    risks = {one.path: _risk(one.experiment) for one in loaded.experiments}
    for path in files:
        click.secho(f"invalid  {path}", fg="red") if str(path) in broken else click.echo(
            f"ok       {path}{risks.get(path, '')}"
        )
    errors += [] if paths else _target_errors()
    for invalid in errors:
        click.secho(f"\n{invalid}", fg="red", err=True)
    if not files:
        remedy = "name a file or a folder, or let `squall suggest` write the first ones"
        click.secho(f"no experiment file found\n  -> {remedy}", fg="yellow", err=True)
    return ExitCode.INVALID if errors or not files else ExitCode.HELD


def _risk(experiment: Experiment) -> str:
    """Class of risk on its target, as far as the files tell: docs/safety.md has the table."""
    try:
        settings = find_settings()
        target = read_target(settings, experiment.target, keep_unset=True)
        risk = highest(risks_of(experiment, target, settings.entry(experiment.target).environment))
    except SquallError as error:
        return f"  (risk unknown: {error.message.splitlines()[0]})"
    beyond = "risk" in experiment.model_fields_set and exceeds(risk, experiment.risk)
    return f"  risk {risk}" + (f", not {experiment.risk} as it declares" if beyond else "")


def _experiment_files(paths: tuple[Path, ...]) -> list[Path]:
    chosen = paths or (find_settings().experiments_dir,)
    found = [sorted(path.glob("**/*.yaml")) if path.is_dir() else [path] for path in chosen]
    return list(dict.fromkeys(path for group in found for path in group))


def _target_errors() -> list[InvalidFile]:
    settings, errors = find_settings(), []
    for name in sorted(settings.targets):
        try:
            target = read_target(settings, name, keep_unset=True)
            unset = "  (some ${...} are not set: start the servers with `squall up`)" if "${" in str(target) else ""
            click.echo(f"ok       target {name}{unset}")
        except InvalidFile as error:
            errors.append(error)
            click.secho(f"invalid  target {name}", fg="red")
    return errors


@click.command("schema")
@click.option("--out", type=click.Path(path_type=Path), help="Write both schemas into this folder.")
@click.option("--check", is_flag=True, help="Fail when the committed schemas in --out are stale.")
@click.argument("name", type=click.Choice(["experiment", "target"]), default="experiment")
def schema_command(out: Path | None, check: bool, name: str) -> int:
    """Print a JSON Schema, or write both to a folder."""
    if out is None:
        click.echo(json.dumps(schemas.FILES[f"{name}.schema.json"](), indent=2, sort_keys=True))
        return ExitCode.HELD
    if check:
        stale = schemas.stale(out)
        for path in stale:
            click.secho(f"stale: {path}\n  -> run `squall schema --out {out}`", fg="red", err=True)
        return ExitCode.INVALID if stale else ExitCode.HELD
    for path in schemas.write(out):
        click.echo(f"wrote {path}")
    return ExitCode.HELD


@click.command("faults")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, with parameters and policies.")
def faults_command(as_json: bool) -> int:
    """List the registered faults."""
    kinds = registry.fault_kinds()
    if as_json:
        click.echo(json.dumps([_fault_facts(kind) for kind in kinds], indent=2))
        return ExitCode.HELD
    table = Table("fault", "what it does", "undo", "intensity", box=None, pad_edge=False)
    for kind in kinds:
        fault = registry.fault(kind)
        table.add_row(kind, fault.summary, fault.reversibility.value, fault.params_type.intensity_field or "")
    Console().print(table)
    return ExitCode.HELD


def _fault_facts(kind: str) -> dict[str, object]:
    fault = registry.fault(kind)
    return {
        "kind": kind,
        "summary": fault.summary,
        "cause": fault.cause,
        "reversibility": fault.reversibility.value,
        "places": [place.__name__ for place in fault.place_types],
        "intensity": fault.params_type.intensity_field,
        "policy": {name: list(actions) for name, actions in fault.policy.items()},
        "params": fault.params_type.model_json_schema(),
    }


@click.command("probes")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, with parameters.")
def probes_command(as_json: bool) -> int:
    """List the registered probes."""
    facts = [_probe_facts(kind) for kind in sorted({*registry.probe_kinds(), *registry.pair_probe_kinds()})]
    facts += [_live_facts(kind) for kind in registry.live_probe_kinds()]
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return ExitCode.HELD
    table = Table("probe", "what it reads", "unit", "seen by", box=None, pad_edge=False)
    for fact in facts:
        seen_by = "guards" if fact["unit"] == "live" else "oracle" if fact["oracle"] else "owners"
        table.add_row(fact["kind"], fact["summary"], fact["unit"], seen_by)
    Console().print(table)
    return ExitCode.HELD


def _probe_facts(kind: str) -> dict[str, Any]:
    """A probe that compares the rows of a pair always reads the sealed set."""
    rows = kind in registry.pair_probe_kinds()
    probe = registry.pair_probe(kind) if rows else registry.probe(kind)
    return {
        "kind": kind,
        "summary": probe.summary,
        "unit": "row" if rows else "seed",
        "oracle": rows or registry.probe(kind).oracle,
        "params": probe.params_type.model_json_schema(),
    }


def _live_facts(kind: str) -> dict[str, Any]:
    """A probe of `guards.watch`, which no check may name."""
    probe = registry.live_probe(kind)
    params = probe.params_type.model_json_schema()
    return {"kind": kind, "summary": probe.summary, "unit": "live", "oracle": False, "params": params}
