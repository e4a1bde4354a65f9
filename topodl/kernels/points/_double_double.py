"""Sums and products of twice the precision of float64: pairs of a number and its rounding error.

Dekker, "A floating-point technique for extending the available precision", 1971. Three-vectors are tuples.
"""

from __future__ import annotations

from typing import Any

from topodl.kernels.shared.compile import borrowing_subroutine

__all__ = ["add", "cross", "difference", "dot", "multiply"]

_SPLIT = 134217729.0  # 2**27 + 1 splits a number into two halves of 26 bits


@borrowing_subroutine
def _sum(a: Any, b: Any) -> Any:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@borrowing_subroutine
def difference(a: Any, b: Any) -> Any:
    """Return a - b of two plain numbers, without any error."""
    return _sum(a, -b)


@borrowing_subroutine
def add(x: Any, y: Any) -> Any:
    """Return x + y."""
    total, error = _sum(x[0], y[0])
    return _sum(total, error + (x[1] + y[1]))


@borrowing_subroutine
def multiply(x: Any, y: Any) -> Any:
    """Return x y."""
    product = x[0] * y[0]
    left, right = _SPLIT * x[0], _SPLIT * y[0]
    a, b = left - (left - x[0]), right - (right - y[0])
    c, e = x[0] - a, y[0] - b
    error = c * e - (((product - a * b) - c * b) - a * e)
    return _sum(product, error + (x[0] * y[1] + x[1] * y[0]))


@borrowing_subroutine
def _minus(x: Any, y: Any) -> Any:
    return add(x, (-y[0], -y[1]))


@borrowing_subroutine
def dot(a: Any, b: Any) -> Any:
    """Return the scalar product of two vectors."""
    return add(add(multiply(a[0], b[0]), multiply(a[1], b[1])), multiply(a[2], b[2]))


@borrowing_subroutine
def cross(a: Any, b: Any) -> Any:
    """Return the vector product of two vectors."""
    return (
        _minus(multiply(a[1], b[2]), multiply(a[2], b[1])),
        _minus(multiply(a[2], b[0]), multiply(a[0], b[2])),
        _minus(multiply(a[0], b[1]), multiply(a[1], b[0])),
    )
