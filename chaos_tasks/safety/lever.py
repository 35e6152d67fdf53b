"""The safety lever: one file that stops everything; while it lies there nothing is injected."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from chaos_tasks.errors import GuardTripped

NAME = "HALT"


def pull(home: Path, reason: str, at: datetime) -> Path:
    """Stop everything: running experiments abort at their next check, new ones are refused."""
    home.mkdir(parents=True, exist_ok=True)
    lever = home / NAME
    lever.write_text(f"{at.isoformat()} {reason}\n", encoding="utf-8")
    return lever


def release(home: Path) -> bool:
    """Allow experiments again; False when the lever was not pulled."""
    lever = home / NAME
    if not lever.exists():
        return False
    lever.unlink()
    return True


def pulled(home: Path) -> str | None:
    """Why the lever is pulled, or None.  A lever that cannot be read counts as pulled."""
    try:
        return (home / NAME).read_text(encoding="utf-8").strip() or "no reason given"
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"the lever {home / NAME} cannot be read ({error.strerror})"
    except UnicodeDecodeError:
        return f"the lever {home / NAME} is no text"


def check(home: Path) -> None:
    """Raises GuardTripped while the lever is pulled."""
    reason = pulled(home)
    if reason is not None:
        raise GuardTripped(f"the safety lever is pulled: {reason}", remedy="`squall resume` once it is safe")
