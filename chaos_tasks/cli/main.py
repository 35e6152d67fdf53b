"""The command group: loads a command's module when it is asked for, and turns errors into one message."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from traceback import format_exception
from types import TracebackType
from typing import Any

import click

import chaos_tasks
from chaos_tasks.cli.exit_codes import ExitCode
from chaos_tasks.errors import GuardTripped, InvalidFile, LedgerError, RevertError, SquallError, UnknownKind, of_system
from chaos_tasks.redacting import redacted

COMMANDS = {
    "abandon": ("safety", "Give up a fault whose place is gone for good."),
    "approvals": ("approvals", "Look at plans that wait for a second person, and answer."),
    "attest": ("models", "Sign what a model's pipeline was shown to tolerate."),
    "audit": ("evidence", "Check the ledger."),
    "doctor": ("doctor", "Check this installation and the targets."),
    "down": ("stack", "Revert what is in, then stop everything that `up` started."),
    "faults": ("files", "List the registered faults."),
    "gate": ("gate", "Test a pipeline's own gate, and propose the checks that it lacks."),
    "halt": ("safety", "Pull the safety lever: stop and revert everything."),
    "init": ("init", "Write a target file for a pipeline, from what can be read of it."),
    "incidents": ("incidents", "Stop conditions that tripped and undos that failed."),
    "keys": ("keys", "Make, show and rotate the keys that sign."),
    "night": ("night", "Run one night of experiments on Airflow."),
    "plan": ("planned", "Show what a run would do, and whether anything refuses it."),
    "probes": ("files", "List the registered probes."),
    "prune": ("safety", "Delete clones of killed runs, and files of trials kept long enough."),
    "ramp": ("searches", "Step the intensity up: find where a target breaks."),
    "promote": ("models", "Set an alias of a model, if a signed statement allows it."),
    "report": ("evidence", "Write the report of a night, a run or a period."),
    "repro": ("searches", "Repeat a run exactly, and compare the verdicts."),
    "resume": ("safety", "Release the safety lever."),
    "revert": ("safety", "Revert one handle, one run, or everything."),
    "run": ("run", "Run one experiment, without Airflow."),
    "schema": ("files", "Print or write the JSON Schemas."),
    "shrink": ("searches", "Reduce a run that deviated to a smaller one."),
    "score": ("score", "Show how resilient each target is shown to be."),
    "status": ("stack", "Show what runs and what is open."),
    "suggest": ("suggest", "Write a first set of experiments for a target."),
    "sweep": ("safety", "Revert every fault whose lease is over."),
    "up": ("stack", "Start the embedded servers and Airflow."),
    "validate": ("files", "Check experiment and target files."),
}


class LazyGroup(click.Group):
    """Imports a command when it is used: `squall --help` pays for none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"chaos_tasks.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in sorted(COMMANDS.items())])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(chaos_tasks.__version__, prog_name="squall")
def squall() -> None:
    """Chaos engineering for machine-learning pipelines."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a wrong input never ends in a traceback."""
    sys.excepthook = _unforeseen
    sys.exit(run(arguments))


def _unforeseen(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A bug of ours: its traceback without secrets."""
    click.echo(redacted("".join(format_exception(kind, error, trace))), err=True, nl=False)


def run(arguments: Sequence[str] | None = None) -> int:
    """Exit code of a command line."""
    try:
        if any("\0" in each for each in arguments or ()):  # no shell passes one, a program that calls this may
            raise click.UsageError("an argument holds a NUL character")
        result: Any = squall.main(
            args=None if arguments is None else list(arguments), prog_name="squall", standalone_mode=False
        )
    except click.ClickException as error:
        error.show()
        return ExitCode.INVALID
    except click.Abort:
        click.secho("squall: stopped by a person\n  -> `squall status` shows what is still open", fg="yellow", err=True)
        return ExitCode.ABORTED
    except SquallError as error:
        return _told(error)
    except BrokenPipeError:  # whoever read the output has gone
        return ExitCode.HELD
    except OSError as error:
        return _told(of_system(error))
    return result if isinstance(result, int) else 0


def _told(error: SquallError) -> ExitCode:
    click.secho(f"squall: {redacted(str(error))}", fg="red", err=True)
    for note in getattr(error, "__notes__", ()):
        click.secho(f"  {redacted(note)}", fg="red", err=True)
    return _code_of(error)


def _code_of(error: SquallError) -> ExitCode:
    if isinstance(error, InvalidFile | UnknownKind):
        return ExitCode.INVALID
    if isinstance(error, RevertError):
        return ExitCode.UNREVERTED
    if isinstance(error, GuardTripped):
        return ExitCode.ABORTED
    if isinstance(error, LedgerError):
        return ExitCode.INCONCLUSIVE
    return ExitCode.INVALID
