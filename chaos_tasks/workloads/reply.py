"""What the supervisor answers to one TrialSpec: a trial, or why it could not be run at all."""

from __future__ import annotations

from chaos_tasks.model.base import Value
from chaos_tasks.model.trial import Trial


class Reply(Value):
    """Exactly one of ``trial`` and ``error`` is there."""

    trial: Trial | None = None
    error: str = ""
    remedy: str = ""
