"""The errors that topodl raises on purpose.

Every message has four parts: which function and argument, which sample, what came, and what was expected.
"""

from __future__ import annotations

__all__ = ["InputError", "MemoryLimitError", "MissingDependencyError"]


class InputError(ValueError):
    """An argument has an unusable value; the message names it and says what was expected.

    Examples
    --------
    >>> raise InputError("cubical_persistence: x has shape (3,); expected (B, H, W) or (B, D, H, W)")
    Traceback (most recent call last):
    topodl.errors.InputError: cubical_persistence: x has shape (3,); expected (B, H, W) or (B, D, H, W)
    """


class MemoryLimitError(InputError, MemoryError):
    """A computation would need more memory than there is; the message says how much, and what to change.

    Examples
    --------
    >>> issubclass(MemoryLimitError, MemoryError)
    True
    """


class MissingDependencyError(ImportError):
    """An optional dependency is not installed; the message has the command that installs it.

    Parameters
    ----------
    package : str
        Name of the package that could not be imported.
    extra : str
        Name of topodl's extra that brings it.
    purpose : str
        What needs it, as the subject of a sentence.

    Examples
    --------
    >>> print(MissingDependencyError("monai", extra="eval", purpose="topodl evaluate"))
    topodl evaluate needs monai, which is not installed; install it with: pip install "topodl[eval]"
    """

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {package}, which is not installed; "
            f'install it with: pip install "topodl[{extra}]"'
        )
