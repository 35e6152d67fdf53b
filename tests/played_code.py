"""Which code a page of plays is about: its reader may have another one, and can ask Git what has changed since."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = ("chaos_tasks", "operators")
CHANGED = "+changes"
"""Behind a commit: the play had edits that are in none."""


def played_code(root: Path = ROOT) -> str:
    """The commit, in twelve digits; empty outside of a repository."""
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    return head + (CHANGED if head and _git(root, "status", "--porcelain", "--", *CODE) else "")


def of_code(played: Iterable[str]) -> str:
    """`, of commit ...`: as words that go behind the day of a play; empty where nobody has noted it."""
    codes = sorted(set(played))
    if not any(codes):
        return ""
    names = [f"`{code}`" if code else "a commit that was not noted" for code in codes]
    return f", of {'commits' if len(names) > 1 else 'commit'} " + ", ".join(names)


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
