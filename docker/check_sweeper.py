"""Health of the sweeper: its last beat in the ledger is fresh.  The same beat decides whether anything may start."""

from __future__ import annotations

import sys
from datetime import timedelta

from chaos_tasks.ledger import open_ledger
from chaos_tasks.safety.guards import SWEEPER
from chaos_tasks.settings import find_settings


def main() -> int:
    """Exit code 0 while it is alive."""
    settings = find_settings()
    ledger = open_ledger(settings.ledger_url)
    try:
        beat = ledger.last_beat(SWEEPER)
        fresh = beat is not None and ledger.now() - beat < timedelta(seconds=settings.sweeper_max_age_s)
    finally:
        ledger.close()
    return 0 if fresh else 1


if __name__ == "__main__":
    sys.exit(main())
