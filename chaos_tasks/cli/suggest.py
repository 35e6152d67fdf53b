"""`squall suggest`: a first set of experiments for a target, as files ready to run."""

from __future__ import annotations

import getpass
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.errors import SetupError
from chaos_tasks.inventory import read_target
from chaos_tasks.settings import Settings, find_settings

if TYPE_CHECKING:
    from chaos_tasks.discovery.suggesting import Suggestion, Suggestions
    from chaos_tasks.model.target import Target


@click.command("suggest")
@click.argument("target_name", metavar="[TARGET]", required=False)
@click.option("--out", type=click.Path(path_type=Path), help="Folder; by default the experiments folder.")
@click.option("--owner", help="Owner in the files; by default your user name.")
@click.option("--most", type=click.IntRange(1, 50), default=6, show_default=True, help="At most so many experiments.")
@click.option("--force", is_flag=True, help="Overwrite files of the same names.")
def suggest_command(target_name: str | None, out: Path | None, owner: str | None, most: int, force: bool) -> int:
    """Write a first set of experiments for TARGET (by default the only one), the most telling for their cost first.

    What is suggested follows from the target's fields, its data and its last control trial (`squall doctor TARGET`).
    """
    from chaos_tasks.discovery.knowing import know
    from chaos_tasks.discovery.suggesting import suggest

    settings = find_settings()
    target = read_target(settings, only_target(settings, target_name))
    known = know(target, settings.home)
    found = suggest(target, settings.entry(target.name), known)
    folder = out or settings.experiments_dir
    seconds = known.control.wall_s if known.control else None
    files = _write(folder, target, found.experiments[:most], owner or getpass.getuser(), seconds, force=force)
    for number, (path, one) in enumerate(zip(files, found.experiments, strict=False), start=1):
        click.echo(f"{number}. {path}  ({one.trainings} trainings)")
        click.echo(f"   {one.why}")
    _rest(found, most)
    if known.control is None:
        click.secho(f"\nbetter after `squall doctor {target.name}`: a control trial has numbers and times", fg="yellow")
    if not files:
        raise SetupError(
            f"nothing can be suggested for {target.name}",
            remedy="the lines above say what each fault lacks; `squall doctor` says more",
        )
    click.echo(f"\nnext:  squall run {files[0]}")
    return ExitCode.HELD


def only_target(settings: Settings, name: str | None) -> str:
    """The named target, or the only one; raises SetupError listing them."""
    if name is not None:
        settings.entry(name)
        return name
    if len(settings.targets) == 1:
        return next(iter(settings.targets))
    known = ", ".join(sorted(settings.targets)) or "none; `squall init PATH` describes one"
    raise SetupError(f"the inventory has {len(settings.targets)} targets ({known})", remedy="name one of them")


def _write(
    folder: Path, target: Target, chosen: tuple[Suggestion, ...], owner: str, seconds: float | None, *, force: bool
) -> list[Path]:
    """All or nothing: each is loaded from a copy first, and no file is overwritten unasked."""
    from chaos_tasks.discovery.suggesting import text_of
    from chaos_tasks.loading import load_experiment

    texts = {f"{one.name}.yaml": text_of(target, owner, one, seconds) for one in chosen}
    with tempfile.TemporaryDirectory() as temporary:
        for name, text in texts.items():
            trial = Path(temporary) / name
            trial.write_text(text, encoding="utf-8")
            load_experiment(trial)
    there = [name for name in texts if (folder / name).exists()]
    if there and not force:
        raise SetupError(
            f"{folder} has {', '.join(there)} already", remedy="choose another folder with --out, or add --force"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _rest(found: Suggestions, most: int) -> None:
    if len(found.experiments) > most:
        names = ", ".join(one.fault for one in found.experiments[most:])
        click.echo(f"\nmore with --most {len(found.experiments)}: {names}")
    if found.refused:
        click.echo("\nnot for this target:")
        for one in found.refused:
            click.echo(f"  {one.fault:<24} {one.why}")
