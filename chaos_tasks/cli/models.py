"""Commands about models: what was shown of the pipeline that made one, and an alias that needs it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from chaos_tasks import reading
from chaos_tasks.cli.exit_codes import ExitCode


@click.command("attest")
@click.argument("model")
@click.option("--target", required=True, help="The target whose pipeline made the model.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
def attest_command(model: str, target: str, out: Path) -> int:
    """Sign what TARGET was shown to tolerate, about the files of MODEL (models:/NAME/VERSION) as they are now."""
    from chaos_tasks.attesting.models import parse_uri
    from chaos_tasks.composition import build

    version = parse_uri(model)
    with build() as squall:
        out.write_bytes(squall.models.attest(version, target))
    click.echo(f"{version.uri} is attested in {out}")
    return ExitCode.HELD


@click.command("promote")
@click.argument("model")
@click.argument("alias")
@click.option(
    "--statement", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="From `attest`."
)
@click.option("--require", multiple=True, required=True, help="A kind of fault that must be tolerated; again for more.")
@click.option("--max-age-days", type=click.FloatRange(0, min_open=True), default=7.0, show_default=True)
def promote_command(model: str, alias: str, statement: Path, require: tuple[str, ...], max_age_days: float) -> int:
    """Let ALIAS stand for MODEL in MLflow, if a signed statement says that it tolerates what is required."""
    from chaos_tasks.attesting.models import parse_uri
    from chaos_tasks.composition import build

    version, signed = parse_uri(model), reading.whole(statement)
    with build() as squall:
        done = squall.models.promote(version, alias, signed, require=require, max_age=timedelta(days=max_age_days))
    click.echo(f"{version.uri} is {alias} now, as {', '.join(done.signers)} signed on {done.attested_at:%Y-%m-%d}")
    return ExitCode.HELD
