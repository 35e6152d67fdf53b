"""Health of this host's sweeper: its last beat in the ledger is fresh.  The same beat lets processes here be hurt."""

from __future__ import annotations

import sys

from chaos_tasks.ledger import open_ledger
from chaos_tasks.safety.guards import is_fresh, own_beat
from chaos_tasks.settings import find_settings
from chaos_tasks.targets.process import host


def main() -> int:
    """Exit code 0 while it is alive."""
    settings = find_settings()
    ledger = open_ledger(settings.ledger_url)
    try:
        fresh = is_fresh(ledger.last_beat(own_beat(host())), ledger.now(), settings.sweeper_max_age_s)
    finally:
        ledger.close()
    return 0 if fresh else 1


if __name__ == "__main__":
    sys.exit(main())
