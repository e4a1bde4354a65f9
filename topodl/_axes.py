"""Axes of matplotlib, which is an optional package."""

from __future__ import annotations

from typing import Any

from topodl.errors import MissingDependencyError

__all__ = ["axes_of"]


def axes_of(purpose: str, ax: Any) -> Any:
    """Return the given axes or, for None, new ones; `purpose` is named where matplotlib is missing."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise MissingDependencyError("matplotlib", extra="plot", purpose=purpose) from None
    return plt.subplots()[1]
