"""The command `squall`."""

from chaos_tasks.cli.main import main

__all__ = ["main"]
