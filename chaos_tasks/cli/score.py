"""`squall score`: how resilient each target is shown to be, and what pulls it down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.errors import SetupError
from chaos_tasks.judging.score import Part, Score

if TYPE_CHECKING:
    from chaos_tasks.composition import Squall

SHOWN = 4


@click.command("score")
@click.argument("target", required=False)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def score_command(target: str | None, as_json: bool) -> int:
    """Score how resilient TARGET, or each target of the inventory, is shown to be (0 to 1), and say what is missing."""
    from chaos_tasks.composition import build

    with build() as squall:
        found = [one for one in _scores(squall) if target in (None, one.name)]
    if not found:
        known = f"target {target!r} is not in the inventory" if target else "the inventory names no target"
        raise SetupError(f"{known}, and no run names it", remedy="`squall doctor` lists the targets")
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json") for one in found], indent=2))
        return ExitCode.HELD
    for one in found:
        _show(one, len(one.pulls) if target else SHOWN)
    return ExitCode.HELD


def _scores(squall: Squall) -> list[Score]:
    """From the log, and of targets that nobody has tested yet."""
    from chaos_tasks.catalogue import applicable_kinds
    from chaos_tasks.inventory import read_target
    from chaos_tasks.judging.score import score

    now = squall.clock.now()
    tried = squall.exports.scores(now)
    names = {one.name for one in tried}
    untried = []
    for name, entry in sorted(squall.settings.targets.items()):
        if name not in names:
            kinds = applicable_kinds(read_target(squall.settings, name, keep_unset=True), disposable=entry.disposable)
            untried.append(score(name, (), kinds, "", now))
    return [*untried, *tried]


def _show(one: Score, shown: int) -> None:
    click.secho(one.name, bold=True)
    for part in [one] if len(one.families) < 2 else [one, *one.families]:
        _line("all" if part is one else part.name, part)
    for pull in one.pulls[:shown]:
        click.echo(f"  -{pull.lost:.2f}  {pull.kind:<26} {pull.sentence}")
    if len(one.pulls) > shown:
        click.echo(f"  and {len(one.pulls) - shown} more: `squall score {one.name}`")


def _line(name: str, part: Part) -> None:
    interval = f"[{part.low:.2f}, {part.high:.2f}]"
    click.echo(
        f"  {name:<10} {part.value:.2f}  {interval}  fresh answers on {part.fresh} of {part.kinds} kinds of fault"
    )
