"""Templates filled in; everything that is not marked safe is escaped."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from attune.evaluation import words as words_module


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates of this package, with the words they use."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(breakable=breakable)
    words: Any = words_module
    made.globals.update(words=words)
    return made


def breakable(name: str) -> Markup:
    """A name, escaped, that may be broken after its separators and nowhere else it need not."""
    text = str(escape(name))
    return Markup(text.replace("_", "_<wbr>").replace("/", "/<wbr>"))


def render(template: str, **values: Any) -> str:
    """Fills in a template.

    Args:
        template: File name in `templates/`.
        **values: What it needs.

    Returns:
        HTML.
    """
    return environment().get_template(template).render(**values)
