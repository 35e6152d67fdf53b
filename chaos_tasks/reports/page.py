"""Templates and the style sheet of the pages: one environment, everything escaped, nothing loaded from elsewhere."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from jinja2 import Environment, Template


def template(name: str) -> Template:
    """A template by file name; it finds ``style``, its hash for the page's policy, and other templates by itself."""
    return _environment().get_template(name)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    made = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(_resource),
    )
    style = _resource("night.css")
    made.globals["style"] = Markup(style)
    made.globals["style_hash"] = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return made


def _resource(name: str) -> str:
    return files("chaos_tasks.reports").joinpath("templates", name).read_text(encoding="utf-8")
