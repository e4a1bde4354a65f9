"""Docstrings of loss modules, put together from those of their functions: a parameter is described once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

__all__ = ["module_docstring"]

_HEADING = re.compile(r"^([A-Z][A-Za-z ]+)\n-+\n", re.MULTILINE)
_ORDER = ("Parameters", "Attributes", "Raises", "Warns", "See Also", "Notes", "References", "Examples")


def module_docstring(own: str, function: str, shared: Iterable[str], call_arguments: Iterable[str]) -> str:
    """Return the docstring of a loss's class.

    Parameters
    ----------
    own : str
        What stands in the class: a summary and examples. It stays as it is where it has parameters.
    function : str
        The docstring of the loss's function: parameters, errors, notes, references.
    shared : iterable of str
        Docstrings whose parameters every loss has.
    call_arguments : iterable of str
        Parameters that the call takes and the constructor does not.

    Returns
    -------
    str
    """
    mine, sections = _sections(own), _sections(function)
    if "Parameters" in mine:
        return own
    entries = _entries(sections.get("Parameters", ""))
    for text in shared:
        entries |= _entries(_sections(text).get("Parameters", ""))
    for name in [name for name in entries if name.startswith("*") or name in call_arguments]:
        del entries[name]
    found = sections | mine | {"Parameters": "\n".join(entries.values())}
    parts = [f"{name}\n{'-' * len(name)}\n{found[name]}" for name in _ORDER if name in found]
    return "\n\n".join([mine[""], *parts]) + "\n"


def _sections(text: str) -> dict[str, str]:
    """Return the text of each section by its heading; that of the summary by ""."""
    summary, *rest = _HEADING.split(inspect.cleandoc(text))
    named = dict(zip(rest[::2], rest[1::2], strict=True))
    return {name: body.strip("\n") for name, body in {"": summary, **named}.items()}


def _entries(parameters: str) -> dict[str, str]:
    """Return each entry, of one parameter or of several that are described together, by the first name."""
    found = re.split(r"\n(?=\S)", parameters) if parameters else []
    return {re.split(r"[ ,]", entry, maxsplit=1)[0]: entry for entry in found}
