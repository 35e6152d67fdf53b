"""Fills the quoted parts of README.md from the files that they quote; `--check` fails when one is stale."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
QUOTE = re.compile(r"(<!-- file: (?P<path>\S+) -->\n```(?P<language>\w*)\n).*?(```\n<!-- /file -->)", re.DOTALL)


def filled(text: str) -> str:
    """The page with every quoted file as it is now; editors' hints in the first line are left out."""

    def quote(match: re.Match[str]) -> str:
        lines = (ROOT / match["path"]).read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith("# yaml-language-server")]
        return f"{match[1]}{''.join(kept)}{match[4]}"

    return QUOTE.sub(quote, text)


def main() -> int:
    """0 when README.md was or is current."""
    text = README.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        current = filled(text) == text
        sys.stdout.write("" if current else "README.md quotes an older file\n  -> python scripts/readme.py\n")
        return 0 if current else 1
    README.write_text(filled(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
