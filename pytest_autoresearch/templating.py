"""Texts for models, agents and people, rendered from the templates beside the code that uses them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2


@functools.cache
def _environment(package: str) -> jinja2.Environment:
    import jinja2  # a session that renders nothing does not pay for it

    return jinja2.Environment(
        loader=jinja2.PackageLoader(f"pytest_autoresearch.{package}"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        autoescape=_is_html,  # the others are plain text and Markdown
    )


def _is_html(template: str | None) -> bool:
    return template is not None and template.endswith(".html.j2")


def render(package: str, template: str, **values: Any) -> str:
    """The template of that name in the folder `templates` of a subpackage, filled in."""
    return _environment(package).get_template(template).render(**values)
