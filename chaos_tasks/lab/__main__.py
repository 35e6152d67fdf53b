"""`python -m chaos_tasks.lab up|down|status`: the lab without the rest of the command line."""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path

from chaos_tasks.errors import SquallError
from chaos_tasks.lab import stack
from chaos_tasks.lab.parts import LabOptions, Part
from chaos_tasks.lab.ports import LabPorts
from chaos_tasks.lab.stack import ProcessState
from chaos_tasks.settings import FILE_NAME, Settings, find_settings


def options_of(
    settings: Settings, *, expected_dags: frozenset[str] = frozenset(), wait_for_mlflow_ui: bool = False
) -> LabOptions:
    """A lab as squall.toml and the environment ask for it."""
    config = settings.root / FILE_NAME
    table = tomllib.loads(config.read_text(encoding="utf-8")) if config.exists() else {}
    return LabOptions(
        home=settings.home,
        dags=settings.experiments_dir.parent,
        config=config if config.exists() else None,
        ports=LabPorts.from_settings(table.get("lab", {}).get("ports", {})),
        lanes=settings.lanes,
        expected_dags=expected_dags,
        wait_for_mlflow_ui=wait_for_mlflow_ui,
    )


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 1 with what went wrong and what to do next."""
    args = _parser().parse_args(arguments)
    try:
        options = LabOptions(home=args.home) if args.home else options_of(find_settings())
        return {"up": _up, "down": _down, "status": _status}[args.action](options, args)
    except SquallError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos_tasks.lab", description=__doc__)
    parser.add_argument("action", choices=("up", "down", "status"))
    parser.add_argument("--home", type=Path, help="instead of the one that squall.toml names")
    parser.add_argument("--part", type=Part, action="append", choices=list(Part), help="again for more; all without it")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _up(options: LabOptions, args: argparse.Namespace) -> int:
    known = stack.up(options, args.part or stack.ALL, report=_say)
    if known.airflow_url:
        password = known.airflow_password.get_secret_value()
        sys.stdout.write(f"Airflow    {known.airflow_url}  {known.airflow_user} / {password}\n")
    if known.mlflow_ui_url:
        sys.stdout.write(f"MLflow     {known.mlflow_ui_url}  (takes some seconds more)\n")
    return 0


def _down(options: LabOptions, _: argparse.Namespace) -> int:
    stopped = stack.down(options.home)
    sys.stdout.write(f"stopped: {', '.join(stopped) or 'nothing was running'}\n")
    return 0


def _status(options: LabOptions, _: argparse.Namespace) -> int:
    lines = stack.status(options.home)
    for line in lines:
        since = line.since.astimezone().strftime("%H:%M:%S") if line.since else ""
        memory = f"{line.memory_bytes >> 20} MB" if line.memory_bytes else ""
        text = f"{line.name:14} {line.state.value:8} {line.pid or '':>7} {since:8} {memory:>8}  {line.url}"
        sys.stdout.write(f"{text.rstrip()}\n")
    return int(any(line.state is ProcessState.DEAD for line in lines))


if __name__ == "__main__":
    sys.exit(main())
