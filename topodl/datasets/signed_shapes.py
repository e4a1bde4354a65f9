"""Sets of 2D and 3D shapes with prescribed Betti numbers, as masks and as signed distances.

Shapes as those of `make_image` and `make_volume`, in the manner of Guss and Salakhutdinov, "On Characterizing
the Capacity of Neural Networks using Algebraic Topology", 2018. Cost: about a
millisecond an image of 32 x 32, ten a volume of 32 x 32 x 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from topodl._checks import check_number, fail
from topodl.datasets.images import draw_masks

__all__ = ["SignedShapes", "make_shapes"]

Array = np.ndarray[Any, np.dtype[Any]]


class SignedShapes(NamedTuple):
    """Shapes of known topology, masks and signed distances (n, H, W) or (n, D, H, W).

    Examples
    --------
    >>> from topodl.datasets import make_shapes
    >>> shapes = make_shapes(4, 16, betti=[(1, 0), (1, 1)])
    >>> bool(((shapes.signed_distances < 0) == shapes.masks).all())
    True
    """

    masks: Array
    """(n, H, W) or (n, D, H, W) booleans, True inside."""
    signed_distances: Array
    """Their signed distances by `topodl.filtrations.signed_distance`, float32, below 0 inside."""
    betti: Array
    """(n, 2) components and holes, or (n, 3) components, tunnels and cavities, int64."""
    labels: Array
    """(n,) which of the prescribed Betti numbers each shape has, int64."""


def make_shapes(
    n_samples: int,
    size: int = 32,
    betti: Sequence[tuple[int, ...]] = ((1, 0), (1, 1), (2, 0), (2, 1)),
    *,
    clip: float | None = None,
    random_state: int = 0,
) -> SignedShapes:
    """Draw shapes of several kinds in turn: sample i has the Betti numbers ``betti[i % len(betti)]``.

    Sample i depends on `random_state` and i alone, so that a larger set begins with a smaller one.

    Parameters
    ----------
    n_samples : int
        Number of shapes.
    size : int
        Pixels along each axis.
    betti : sequence of tuple of int
        Betti numbers, all of two numbers (components, holes) for images, or of three (components, tunnels,
        cavities) for volumes.
    clip : float, optional
        Largest signed distance, in pixels, inside and outside.
    random_state : int
        Seed.

    Returns
    -------
    SignedShapes
        Masks and signed distances (n_samples, size, size), or (n_samples, size, size, size).

    Raises
    ------
    InputError
        If Betti numbers are negative or of different lengths, there are holes and no component, or more than
        can be drawn in so many pixels.

    See Also
    --------
    make_image, make_volume : one image or volume, with noise.

    References
    ----------
    W. H. Guss, R. Salakhutdinov, "On Characterizing the Capacity of Neural Networks using Algebraic
    Topology", 2018 (in kind).

    Examples
    --------
    >>> from topodl.datasets import make_shapes
    >>> shapes = make_shapes(6, 32, betti=[(1, 0), (1, 1), (2, 1)], clip=6.0)
    >>> shapes.masks.shape, shapes.labels.tolist(), shapes.betti[2].tolist()
    ((6, 32, 32), [0, 1, 2, 0, 1, 2], [2, 1])
    """
    import torch

    from topodl.filtrations.distances import signed_distance

    name = "make_shapes"
    check_number(name, "n_samples", n_samples, low=1, integer=True)
    check_number(name, "size", size, low=8, integer=True)
    check_number(name, "random_state", random_state, low=0, integer=True)
    kinds = _check_betti(name, betti)
    labels = np.arange(n_samples) % len(kinds)
    rngs = [np.random.default_rng([random_state, i]) for i in range(n_samples)]
    drawn = draw_masks(rngs, (size,) * len(kinds[0]), [kinds[label] for label in labels])
    masks = np.empty((n_samples, *(size,) * len(kinds[0])), dtype=bool)
    for i, (mask, label) in enumerate(zip(drawn, labels, strict=True)):
        if mask is None:
            expected = "more pixels, or less to be drawn in them"
            raise fail(name, "size", f"is {size} with betti[{label}] = {kinds[label]}", expected)
        masks[i] = mask
    distances = signed_distance(torch.from_numpy(masks), clip=clip).numpy()
    return SignedShapes(masks, distances, np.array(kinds, dtype=np.int64)[labels], labels)


def _check_betti(name: str, betti: Any) -> list[tuple[int, ...]]:
    """Return the prescribed Betti numbers as plain tuples of one length."""
    kinds = [tuple(kind) for kind in betti]
    if not kinds or {len(kind) for kind in kinds} not in ({2}, {3}):
        expected = "tuples that are all of two numbers (components, holes) or all of three"
        raise fail(name, "betti", f"is {betti!r}", expected)
    for i, kind in enumerate(kinds):
        for number in kind:
            check_number(name, f"betti[{i}]", number, low=0, integer=True)
        if kind[0] == 0 and any(kind):
            raise fail(
                name, f"betti[{i}]", f"is {kind}", "at least one component, that the others are holes of"
            )
    return [tuple(int(number) for number in kind) for kind in kinds]
