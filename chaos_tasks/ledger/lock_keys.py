"""Which locks stand in each other's way: keys are paths, and one above another covers it."""

from __future__ import annotations

from collections.abc import Iterable

from chaos_tasks.model.plan import Lock


def strongest(locks: Iterable[Lock]) -> tuple[Lock, ...]:
    """One lock per key, in sorted order; exclusive where any asks for it.  A trailing slash means nothing."""
    exclusive: dict[str, bool] = {}
    for lock in locks:
        key = lock.key.rstrip("/")
        exclusive[key] = exclusive.get(key, False) or lock.exclusive
    return tuple(Lock(key=key, exclusive=exclusive[key]) for key in sorted(exclusive))


def conflict(one: Lock, other: Lock) -> bool:
    """Whether two runs may not hold both: same key or one above the other, and not both shared."""
    return (one.exclusive or other.exclusive) and related(one.key, other.key)


def related(one: str, other: str) -> bool:
    """Whether the keys are equal or one is above the other: `a/b` and `a/b/c` are, `a/b` and `a/bc` are not."""
    upper, lower = sorted((one.rstrip("/") + "/", other.rstrip("/") + "/"), key=len)
    return lower.startswith(upper)
