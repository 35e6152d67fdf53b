"""A run in the line before the locks."""

from __future__ import annotations

from datetime import datetime

from chaos_tasks.model.base import Value
from chaos_tasks.model.plan import Lock


class Waiting(Value):
    """Who waits for what; ``lease_until`` in the past: nobody asks for it any more, and it holds nobody up."""

    run_id: str
    since: datetime
    lease_until: datetime
    locks: tuple[Lock, ...]
