"""Docstrings put together from others: a parameter is described once, and `help` shows it everywhere."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

__all__ = [
    "entries_of",
    "module_docstring",
    "names_of",
    "sections_of",
    "shares_documentation",
    "with_shared_parameters",
]

_HEADING = re.compile(r"^([A-Z][A-Za-z ]+)\n-+\n", re.MULTILINE)
_ORDER = (
    "Parameters",
    "Attributes",
    "Returns",
    "Raises",
    "Warns",
    "See Also",
    "Notes",
    "References",
    "Examples",
)

T = TypeVar("T")


def shares_documentation(*sources: Any, sections: Iterable[str] = ()) -> Callable[[T], T]:
    """Return a decorator for a function or class whose docstring leaves out what others say already.

    Parameters
    ----------
    *sources : function or class
        Whose docstrings describe the parameters of the same name.
    sections : iterable of str
        Sections, as "Raises", that are taken from them as well where they are missing.
    """

    def complete(target: T) -> T:
        if target.__doc__:  # Python has none with -OO
            texts = [source.__doc__ or "" for source in sources]
            taken = inspect.signature(target).parameters  # type: ignore[arg-type]
            target.__doc__ = with_shared_parameters(target.__doc__, taken, texts, sections)
        return target

    return complete


def with_shared_parameters(
    own: str, taken: Iterable[str], shared: Iterable[str], sections: Iterable[str] = ()
) -> str:
    """Return a docstring with the parameters that it leaves out, in the order of the signature.

    Parameters
    ----------
    own : str
        The docstring; what it says itself stays as it is.
    taken : iterable of str
        The names of the parameters in the signature.
    shared : iterable of str
        Docstrings that describe what is left out; the first that does counts.
    sections : iterable of str
        Sections that are taken from them as well where they are missing.

    Returns
    -------
    str
    """
    mine = sections_of(own)
    entries = entries_of(mine.get("Parameters", ""))
    said = {name for entry in entries.values() for name in names_of(entry)}
    for text in shared:
        theirs = sections_of(text)
        found = entries_of(theirs.get("Parameters", ""))
        entries |= {name: entry for name, entry in found.items() if name in taken and name not in said}
        said |= entries.keys()
        mine = {name: theirs[name] for name in sections if name in theirs} | mine
    order = {name: place for place, name in enumerate(taken)}
    ordered = sorted(entries, key=lambda name: order.get(name.lstrip("*"), len(order)))
    return _joined(mine | {"Parameters": "\n".join(entries[name] for name in ordered)})


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
    mine, sections = sections_of(own), sections_of(function)
    if "Parameters" in mine:
        return own
    entries = entries_of(sections.get("Parameters", ""))
    for text in shared:
        entries |= entries_of(sections_of(text).get("Parameters", ""))
    for name in [name for name in entries if name.startswith("*") or name in call_arguments]:
        del entries[name]
    sections.pop("Returns", None)  # of the function; the class says at `forward` what a call returns
    return _joined(sections | mine | {"Parameters": "\n".join(entries.values())})


def sections_of(text: str) -> dict[str, str]:
    """Return the text of each section by its heading; that of the summary by ""."""
    summary, *rest = _HEADING.split(inspect.cleandoc(text))
    named = dict(zip(rest[::2], rest[1::2], strict=True))
    return {name: body.strip("\n") for name, body in {"": summary, **named}.items()}


def _joined(sections: dict[str, str]) -> str:
    """Return the docstring that has these sections."""
    names = [*_ORDER, *(name for name in sections if name and name not in _ORDER)]
    parts = [f"{name}\n{'-' * len(name)}\n{sections[name]}" for name in names if sections.get(name)]
    return "\n\n".join([sections[""], *parts]) + "\n"


def entries_of(parameters: str) -> dict[str, str]:
    """Return each entry, of one parameter or of several that are described together, by the first name."""
    found = re.split(r"\n(?=\S)", parameters) if parameters else []
    return {names_of(entry)[0]: entry for entry in found}


def names_of(entry: str) -> list[str]:
    """Return the parameters that an entry describes."""
    return re.split(r", *", entry.split("\n")[0].split(" : ")[0].strip())
