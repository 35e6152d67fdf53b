"""`python -m chaos_tasks.cli` is `squall`."""

from chaos_tasks.cli.main import main

main()
