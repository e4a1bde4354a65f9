"""Fills the templates of reports: pages that need no other file, and their Markdown."""

from __future__ import annotations

from typing import Any

from topodl._files import visible
from topodl.errors import MissingDependencyError
from topodl.evaluation.tables import escaped_markdown

__all__ = ["render"]


def render(template: str, values: dict[str, Any], *, escape: bool) -> str:
    """Return a template filled with `values`, which are escaped for HTML if `escape`."""
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError("jinja2", extra="eval", purpose="reports") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("topodl.evaluation"),
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["markdown"] = escaped_markdown
    return visible(environment.get_template(template).render(values))
