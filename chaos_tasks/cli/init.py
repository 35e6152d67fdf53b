"""`squall init`: a target file for somebody's pipeline, from what can be read of it; nothing of it is run."""

from __future__ import annotations

from pathlib import Path

import click

from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.discovery.found import Pipeline, Source
from chaos_tasks.errors import SetupError
from chaos_tasks.settings import FILE_NAME, Settings, find_settings

_ENVIRONMENT = "dev"


@click.command("init")
@click.argument("where", metavar="PATH|DAG_ID|MODEL_URI", default=".")
@click.option("--name", help="Name of the target; by default the folder's, the DAG's or the model's.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("squall.target.yaml"), show_default=True)
@click.option("--kind", help="Ask this finder only: dvc, mlproject, airflow, mlflow_model or script.")
@click.option("--environment", default=_ENVIRONMENT, show_default=True, help="For a new squall.toml.")
@click.option("--force", is_flag=True, help="Overwrite the target file.")
@click.option("--renew", is_flag=True, help="Only renew the private copy of a target that is described already.")
@click.option("--print", "only_print", is_flag=True, help="Print the target file; write nothing.")
def init_command(
    where: str,
    name: str | None,
    out: Path,
    kind: str | None,
    environment: str,
    force: bool,
    renew: bool,
    only_print: bool,
) -> int:
    """Write a target file for the pipeline at PATH, DAG_ID or MODEL_URI, with a reason for each guess.

    It reads files and runs nothing of the pipeline.  Without a squall.toml in the folder or above, it writes one.
    """
    from chaos_tasks.discovery.finders import choose
    from chaos_tasks.discovery.sources import source_of
    from chaos_tasks.discovery.writing import slug, target_file

    settings = _settings()
    if renew:
        return _renew(settings or find_settings(), name, Path(where))
    if out.exists() and not (force or only_print):
        raise SetupError(
            f"{out} is there already, and is not overwritten",
            remedy="choose another file with --out, overwrite it with --force, or look with --print",
        )
    pipeline = choose(where, kind).find(where)
    called = slug(name or pipeline.name)
    home = settings.home if settings else Path.cwd() / ".squall"
    source = source_of(pipeline, home, called, write=not only_print)
    text = target_file(called, pipeline, source)
    if only_print:
        click.echo(text, nl=False)
        return ExitCode.HELD
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    _check(out, home)
    click.echo(f"wrote {out}: target {called}, {pipeline.what}")
    _inventory(settings, called, out, environment, pipeline)
    _say(pipeline, source)
    click.echo(f"\nnext:  squall doctor {called}")
    return ExitCode.HELD


def _renew(settings: Settings, name: str | None, root: Path) -> int:
    """The pipeline went on: its private copy follows, and its target file stays as people made it."""
    from chaos_tasks.cli.suggest import only_target
    from chaos_tasks.discovery import mirror
    from chaos_tasks.inventory import read_target

    target = read_target(settings, only_target(settings, name), keep_unset=True)
    copy = settings.home / "mirrors" / target.name
    if Path(target.source.repo) != copy:
        raise SetupError(
            f"target {target.name} has no private copy: its source is {target.source.repo}",
            remedy="there is nothing to renew; `source.rev` says which version is tried",
        )
    commit = mirror.make(root.expanduser().resolve(), copy, target.source.data)
    click.echo(f"renewed {copy}: {commit[:12]}")
    return ExitCode.HELD


def _settings() -> Settings | None:
    """Of the folder or above it; None where this is the first command of all."""
    try:
        return find_settings()
    except SetupError as error:
        if "SQUALL_CONFIG" in error.remedy and error.message.startswith("no squall.toml in"):
            return None
        raise


def _check(out: Path, home: Path) -> None:
    """What was written loads as any target file does; a name in the stranger's files could still be in its way."""
    from chaos_tasks.loading import load_target

    load_target(out, {"SQUALL_HOME": str(home)}, keep_unset=True)


def _inventory(settings: Settings | None, name: str, out: Path, environment: str, pipeline: Pipeline) -> None:
    from chaos_tasks.discovery.writing import DAGS, PROCESSES, inventory, table

    families = DAGS if pipeline.dag is not None else PROCESSES
    if settings is None:
        path = Path.cwd() / FILE_NAME
        file = out.resolve().relative_to(Path.cwd()) if out.resolve().is_relative_to(Path.cwd()) else out.resolve()
        path.write_text(inventory(name, file, environment, _python_of(pipeline.root), families), encoding="utf-8")
        click.echo(f"wrote {path}: what may be hurt, in environment {environment}")
    elif name not in settings.targets:
        file = out.resolve()
        file = file.relative_to(settings.root) if file.is_relative_to(settings.root) else file
        click.echo(f"\n{settings.root / FILE_NAME} decides what may be hurt; for this target add:\n")
        click.echo(table(name, file, environment, families))


def _python_of(root: Path) -> str | None:
    """The pipeline's own virtual environment, where it has one."""
    for folder in (".venv", "venv", "env"):
        python = root / folder / "bin" / "python"
        if python.exists():
            return str(python)
    return None


def _say(pipeline: Pipeline, source: Source) -> None:
    project = pipeline.project
    for one in () if project else pipeline.commands:
        click.echo(f"  runs     {one.value}  ({one.why})")
    if project is not None:
        told = {key: one.value for key, one in project.parameters.items()}
        told |= {project.seed.value: "{seed}"} if project.seed else {}
        told |= {project.out.value: "{out}"} if project.out else {}
        words = " ".join(f"{key}={value}" for key, value in told.items())
        click.echo(f"  runs     entry point {project.entry_point} by MLflow  {words}".rstrip())
    if pipeline.dag is not None:
        conf = " ".join(f"{key}={one.value}" for key, one in pipeline.dag.conf.items())
        click.echo(f"  runs     DAG {pipeline.dag.dag_id} in its Airflow  {conf}")
    for path in source.data:
        click.echo(f"  data     {path}")
    for why in source.csv.why if source.csv else ():
        click.secho(f"  written  {why}", fg="yellow")
    for path, why in source.left_out.items():
        click.secho(f"  without  {path}: it {why}", fg="yellow")
    for name in (*(one.value for one in pipeline.metrics), *pipeline.printed):
        click.echo(f"  measures {name}")
    for lack in pipeline.missing:
        click.secho(f"  missing  {lack.field}: {lack.why}; rules out {lack.rules_out}", fg="yellow")
