"""A writer process for tests: appends numbered records and says each number once it is safely written."""

from __future__ import annotations

import sys
from itertools import count

from chaos_tasks.ledger import open_ledger
from tests.ledger_samples import note


def main(url: str, name: str, records: str) -> None:
    """Write ``records`` records, or without end when it is 0."""
    ledger = open_ledger(url)
    for n in range(int(records)) if int(records) else count():
        ledger.append(note(f"{name}/{n}", run_id=name))
        sys.stdout.write(f"{n}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
