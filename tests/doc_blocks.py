"""The blocks of a page of docs that a test runs: those with a name in a comment right above them."""

from __future__ import annotations

import re


def block(name: str, page: str) -> list[str]:
    """Every block of that name, in order."""
    return re.findall(rf"<!-- try: {re.escape(name)} -->\n```\w+\n(.*?)```", page, flags=re.DOTALL)
