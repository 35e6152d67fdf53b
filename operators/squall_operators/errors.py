"""Domain errors as Airflow understands them: a refusal is final, everything else may be retried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowFailException

from chaos_tasks.errors import DuplicateKind, Fenced, GuardTripped, InvalidFile, SquallError, UnknownKind

BROKEN: tuple[type[SquallError], ...] = (InvalidFile, UnknownKind, DuplicateKind)
"""Trying again would give the same answer."""

FINAL: tuple[type[SquallError], ...] = (GuardTripped, Fenced, *BROKEN)
"""The same, or must not be tried again."""


@contextmanager
def as_task_failure(final: tuple[type[SquallError], ...] = FINAL) -> Iterator[None]:
    """Turn final errors into AirflowFailException (no retry), with message and remedy and without their traceback."""
    try:
        yield
    except final as error:
        raise AirflowFailException(str(error)) from None
