"""Filtrations of images and volumes by where their pixels are: heights, ramps, distances, density.

Garin, Tauzin, "A topological 'reading' lesson", ICMLA 2019. Cost: linear in the pixels, for each direction,
centre or pixel of a ball.
"""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from topodl._checks import as_real, check_choice, check_number, fail, reject_non_finite
from topodl._directions import random_directions, spread_directions
from topodl._host import whole_values
from topodl._power import power
from topodl._precision import at_least_single, in_double
from topodl.filtrations._images import PIXEL_METRICS, Frame, PixelMetric, between, read_images, read_shares

__all__ = [
    "ball_offsets",
    "binarise",
    "density",
    "even_centres",
    "even_directions",
    "height",
    "radial",
    "tilt",
]


def height(
    x: torch.Tensor,
    directions: int | Sequence[float] | torch.Tensor = 8,
    *,
    outside: float | None = None,
    spacing: float | Sequence[float] = 1.0,
    random_state: int | None = None,
) -> torch.Tensor:
    """Return how far each pixel of a mask lies in each direction, and one value beyond for all others.

    Heights are those over the corner of the image that comes first, so that they begin at 0. Gradients reach
    the directions and grey values.

    Parameters
    ----------
    x : Tensor of shape (B, H, W) or (B, D, H, W)
        Masks, or numbers from 0 to 1: how much of a pixel belongs to the mask. Its value is then as far
        between `outside` and its height.
    directions : int, sequence of float, or Tensor of shape (K, d) or (d,)
        Vectors in the order of the axes, d of them as an image has axes, of any length but 0; one alone
        leaves out the axis of directions. A number: so many, spread evenly.
    outside : float, optional
        Value of what is outside of the mask. None: the diagonal of the image, above all heights.
    spacing : float or sequence of float
        Size of a pixel along each axis.
    random_state : int, optional
        Seed of directions that are drawn, where a number of them is given, and not spread evenly.

    Returns
    -------
    Tensor of shape (B, K, H, W) or (B, K, D, H, W); without K for one direction (d,)
        In the dtype of `x`, or the default dtype.

    Raises
    ------
    InputError
        If a shape is another one, a value is not from 0 to 1, or a direction is 0 or not finite.
    TypeError
        If `x` is no real tensor.

    References
    ----------
    A. Garin, G. Tauzin, "A topological 'reading' lesson: classification of MNIST using TDA", ICMLA 2019.
    K. Turner, S. Mukherjee, D. M. Boyer, "Persistent homology transform for modeling shapes and surfaces",
    Information and Inference 3, 2014.

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import height
    >>> mask = torch.tensor([[[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]])
    >>> height(mask, [0.0, -1.0], outside=9.0).round().long()
    tensor([[[2, 9, 0],
             [2, 1, 0]]])
    >>> height(mask, 4).shape
    torch.Size([1, 4, 2, 3])
    """
    name = "height"
    images = read_shares(name, x)
    frame = Frame(name, images, spacing)
    vectors, units = _directions(name, directions, frame, random_state)
    values = torch.zeros((), dtype=frame.dtype, device=frame.device)
    for axis in range(len(frame.shape)):
        step, place = units[:, axis].view(-1, *[1] * len(frame.shape)), frame.coordinate(axis)
        values = values + torch.where(step >= 0, step * place, -step * place.flip(axis))
    mixed = between(name, images, values, outside, frame.diagonal)
    return mixed if vectors.ndim == 2 else mixed[:, 0]


def tilt(
    x: torch.Tensor,
    directions: int | Sequence[float] | torch.Tensor = 8,
    slopes: float | Sequence[float] = 1.0,
    *,
    spacing: float | Sequence[float] = 1.0,
    random_state: int | None = None,
) -> torch.Tensor:
    """Return images with a ramp added, which makes births and deaths depend on where things are.

    The ramp is 0 in the middle of the image and rises by two slopes over the length of its longest side. The
    larger the slope, the more of the place of a bar and the less of its brightness is seen. Gradients reach
    images and directions.

    Parameters
    ----------
    x : Tensor of shape (B, H, W) or (B, D, H, W)
        Images of any real values.
    directions : int, sequence of float, or Tensor of shape (K, d) or (d,)
        Vectors in the order of the axes, d of them as an image has axes, of any length but 0, along which
        ramps rise. A number: so many, spread evenly.
    slopes : float or sequence of float
        How much a ramp rises over half of the longest side, in the unit of the values.
    spacing : float or sequence of float
        Size of a pixel along each axis.
    random_state : int, optional
        Seed of directions that are drawn, where a number of them is given, and not spread evenly.

    Returns
    -------
    Tensor of shape (B, S · K, H, W) or (B, S · K, D, H, W)
        For each slope all directions; in the dtype of `x`, or the default dtype. One slope in one direction
        (d,), neither of them in a sequence, has no axis S · K.

    Raises
    ------
    InputError
        If a shape is another one, a value is NaN, a slope not finite, or a direction is 0 or not finite.
    TypeError
        If `x` is no real tensor.

    References
    ----------
    K. Turner, S. Mukherjee, D. M. Boyer, "Persistent homology transform for modeling shapes and surfaces",
    Information and Inference 3, 2014 (sublevel sets in all directions).

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import tilt
    >>> tilt(torch.zeros(1, 2, 3), [0.0, 1.0], slopes=3.0).round().long()
    tensor([[[-2,  0,  2],
             [-2,  0,  2]]])
    >>> tilt(torch.rand(4, 8, 8), 8, slopes=(0.5, 1.0)).shape
    torch.Size([4, 16, 8, 8])
    """
    name = "tilt"
    images = read_images(name, x)
    frame = Frame(name, images, spacing)
    vectors, units = _directions(name, directions, frame, random_state)
    several = list(slopes) if isinstance(slopes, Sequence | torch.Tensor) else [slopes]
    if not several:
        raise fail(name, "slopes", "is empty", "at least one number")
    for slope in several:
        check_number(name, "slopes", slope)
    half = max(n * side for n, side in zip(frame.shape, frame.sides, strict=True)) / 2
    ramps = torch.zeros((), dtype=frame.dtype, device=frame.device)
    for axis, end in enumerate(frame.ends.tolist()):
        step = units[:, axis].view(-1, *[1] * len(frame.shape))
        ramps = ramps + step * ((frame.coordinate(axis) - end / 2) / half)
    ramps = torch.cat([float(slope) * ramps for slope in several])
    tilted = (at_least_single(images)[:, None] + ramps).to(images.dtype)
    is_one = vectors.ndim == 1 and not isinstance(slopes, Sequence | torch.Tensor)
    return tilted[:, 0] if is_one else tilted


def radial(
    x: torch.Tensor,
    centres: int | Sequence[float] | torch.Tensor | None = None,
    *,
    radius: float = math.inf,
    outside: float | None = None,
    spacing: float | Sequence[float] = 1.0,
) -> torch.Tensor:
    """Return how far each pixel of a mask lies from each centre, and one value beyond for all others.

    Gradients reach the centres and grey values.

    Parameters
    ----------
    x : Tensor of shape (B, H, W) or (B, D, H, W)
        Masks, or numbers from 0 to 1: how much of a pixel belongs to the mask. Its value is then as far
        between `outside` and its distance.
    centres : int, sequence of float, or Tensor of shape (K, d) or (d,), optional
        Points, 0 being the centre of the first pixel along an axis, in units of `spacing`; one alone leaves
        out the axis of centres. None: the middle of the image. A number k: a grid of k centres along each
        axis, in the middles of k equal parts.
    radius : float
        Pixels that lie farther away count as outside.
    outside : float, optional
        Value of what is outside. None: the diagonal of the whole image, or the largest distance from a centre
        that is itself beyond.
    spacing : float or sequence of float
        Size of a pixel along each axis.

    Returns
    -------
    Tensor of shape (B, K, H, W) or (B, K, D, H, W); without K for one centre
        In the dtype of `x`, or the default dtype.

    Raises
    ------
    InputError
        If a shape is another one, a value is not from 0 to 1, or a centre is not finite.
    TypeError
        If `x` is no real tensor.

    References
    ----------
    A. Garin, G. Tauzin, "A topological 'reading' lesson: classification of MNIST using TDA", ICMLA 2019.

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import radial
    >>> mask = torch.tensor([[[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]])
    >>> radial(mask, [0.0, 2.0], outside=9.0).round(decimals=2)
    tensor([[[2.0000, 9.0000, 0.0000],
             [2.2400, 1.4100, 1.0000]]])
    >>> radial(mask, 3).shape
    torch.Size([1, 9, 2, 3])
    """
    name = "radial"
    images = read_shares(name, x)
    frame = Frame(name, images, spacing)
    if radius != math.inf:
        check_number(name, "radius", radius, low=0.0)
    if centres is None:
        centres = frame.ends / 2
    elif isinstance(centres, numbers.Integral):
        centres = even_centres(name, frame.shape, centres) * torch.tensor(frame.sides, device="cpu")
    points = _vectors(name, "centres", centres, frame)
    squares = torch.zeros((), dtype=frame.dtype, device=frame.device)
    for axis in range(len(frame.shape)):
        place = points.view(-1, len(frame.shape))[:, axis].view(-1, *[1] * len(frame.shape))
        squares = squares + (frame.coordinate(axis) - place).square()
    values = power(squares, 0.5)
    far = values.detach().flatten(1).amax(1).clamp(min=frame.diagonal)
    far = far.view(-1, *[1] * len(frame.shape))
    if radius != math.inf:
        values = torch.where(values <= radius, values, far if outside is None else outside)
    mixed = between(name, images, values, outside, far)
    return mixed if points.ndim == 2 else mixed[:, 0]


def density(
    x: torch.Tensor, radius: float = 1.0, *, metric: Literal["euclidean", "taxicab", "chessboard"] = "taxicab"
) -> torch.Tensor:
    """Return how many pixels of a mask lie around each pixel, itself included.

    Dense regions have large values: they enter first in a superlevel filtration. Gradients reach grey values.

    Parameters
    ----------
    x : Tensor of shape (B, H, W) or (B, D, H, W)
        Masks, or numbers from 0 to 1: how much of a pixel belongs to the mask, and how much it counts.
    radius : float
        How far away a pixel may be, in pixels.
    metric : {"euclidean", "taxicab", "chessboard"}
        The distance of pixels; "taxicab" makes steps along the axes, "chessboard" diagonal ones, too.

    Returns
    -------
    Tensor of shape (B, H, W) or (B, D, H, W)
        In the dtype of `x`, or the default dtype. What lies beyond the image counts as 0.

    Raises
    ------
    InputError
        If the shape is another one, a value is not from 0 to 1, or an option is unusable.
    TypeError
        If `x` is no real tensor.

    References
    ----------
    A. Garin, G. Tauzin, "A topological 'reading' lesson: classification of MNIST using TDA", ICMLA 2019.

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import density
    >>> density(torch.tensor([[[1, 0, 1], [1, 1, 1]]]))
    tensor([[[2., 3., 2.],
             [3., 3., 3.]]])
    """
    name = "density"
    images = read_shares(name, x)
    values, n_axes = at_least_single(images), images.ndim - 1
    offsets = ball_offsets(name, radius, metric, images.shape[1:])
    widths = [max(offset[axis] for offset in offsets) for axis in range(n_axes)]
    margins = [margin for width in reversed(widths) for margin in (width, width)]
    padded = nn.functional.pad(values, margins)
    total = torch.zeros_like(values)
    for offset in offsets:
        part = padded
        for axis, step in enumerate(offset):
            part = part.narrow(axis + 1, widths[axis] + step, values.shape[axis + 1])
        total = total + part
    return total.to(images.dtype)


def binarise(
    x: torch.Tensor, threshold: float | Literal["otsu"] = 0.5, *, width: float | None = None
) -> torch.Tensor:
    """Return which pixels have a value above a threshold, or by a sigmoid how surely they have.

    Parameters
    ----------
    x : Tensor of shape (B, H, W) or (B, D, H, W)
        Images of any real values.
    threshold : float or "otsu"
        A value, or the one that leaves the least variance within the two sides of each image, in the middle
        of the gap between them.
    width : float, optional
        None: masks, without gradient. A number: the sigmoid of (x − threshold) / width.

    Returns
    -------
    Tensor of shape (B, H, W) or (B, D, H, W)
        Booleans; numbers from 0 to 1 in the dtype of `x` beside `width`.

    Raises
    ------
    InputError
        If the shape is another one, a value is NaN, or infinite with "otsu", or an option is unusable.
    TypeError
        If `x` is no real tensor.

    References
    ----------
    N. Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions on Systems, Man, and
    Cybernetics 9, 1979.

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import binarise
    >>> image = torch.tensor([[[0.0, 1.0, 2.0, 9.0, 10.0]]])
    >>> binarise(image, threshold=1.5)
    tensor([[[False, False,  True,  True,  True]]])
    >>> binarise(image, "otsu")
    tensor([[[False, False, False,  True,  True]]])
    """
    name = "binarise"
    images = read_images(name, x)
    level: Any = threshold
    if threshold == "otsu":
        reject_non_finite(name, "x", images)
        level = _otsu(images).view(-1, *[1] * (images.ndim - 1))
    elif isinstance(threshold, str):
        raise fail(name, "threshold", f"is {threshold!r}", "a number or 'otsu'")
    else:
        check_number(name, "threshold", threshold)
    if width is None:
        return images > level
    check_number(name, "width", width, low=torch.finfo(torch.float32).tiny)
    return torch.sigmoid((at_least_single(images) - level) / width).to(images.dtype)


def even_directions(name: str, ambient_dim: int, n: Any, random_state: int | None) -> torch.Tensor:
    """Return `n` unit vectors (n, ambient_dim), spread evenly or drawn with a seed."""
    check_number(name, "directions", n, low=1, integer=True)
    if random_state is None:
        return spread_directions(ambient_dim, n, 0).T
    check_number(name, "random_state", random_state, low=0, integer=True)
    return random_directions(ambient_dim, n, random_state).T


def even_centres(name: str, shape: Sequence[int], n: Any) -> torch.Tensor:
    """Return the middles (nᵈ, d) of `n` equal parts along each axis of an image, in pixels."""
    check_number(name, "centres", n, low=1, integer=True)
    middles = [[(i + 0.5) * size / n - 0.5 for i in range(n)] for size in shape]
    return torch.tensor(list(itertools.product(*middles)), dtype=torch.get_default_dtype(), device="cpu")


def ball_offsets(
    name: str, radius: float, metric: PixelMetric, shape: Sequence[int]
) -> list[tuple[int, ...]]:
    """Return the steps to the pixels of a ball around a pixel, as far as an image of this shape goes."""
    check_choice(name, "metric", metric, PIXEL_METRICS)
    check_number(name, "radius", radius, low=0.0)
    order = {"euclidean": 2.0, "taxicab": 1.0, "chessboard": math.inf}[metric]
    ranges = [range(-min(int(radius), n - 1), min(int(radius), n - 1) + 1) for n in shape]
    return [steps for steps in itertools.product(*ranges) if _length(steps, order) <= radius]


def _length(steps: Sequence[int], order: float) -> float:
    sizes = [abs(step) for step in steps]
    return max(sizes) if order == math.inf else sum(size**order for size in sizes) ** (1 / order)


def _directions(
    name: str, directions: Any, frame: Frame, random_state: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return directions as they are given, (K, d) or (d,), and their unit vectors (K, d)."""
    if isinstance(directions, numbers.Integral):
        directions = even_directions(name, len(frame.shape), directions, random_state)
    vectors = _vectors(name, "directions", directions, frame)
    lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    if not torch.compiler.is_compiling() and bool((whole_values(lengths) == 0).any()):
        raise fail(name, "directions", "has a vector of length 0", "a direction in each row")
    return vectors, vectors.view(-1, len(frame.shape)) / lengths.view(-1, 1)


def _vectors(name: str, argument: str, value: Any, frame: Frame) -> torch.Tensor:
    """Return finite vectors (K, d) or (d,) in the precision and on the device of the images."""
    n_axes = len(frame.shape)
    if not isinstance(value, torch.Tensor):
        try:
            value = torch.from_numpy(np.asarray(value, np.float64))
        except (TypeError, ValueError):
            expected = f"numbers of shape (K, {n_axes}) or ({n_axes},)"
            raise fail(name, argument, f"is {value!r}", expected) from None
    vectors = as_real(name, argument, value)
    if vectors.ndim not in (1, 2) or vectors.shape[-1] != n_axes or not len(vectors):
        came = f"has shape {tuple(vectors.shape)}"
        raise fail(name, argument, came, f"(K, {n_axes}) or ({n_axes},), as the images have {n_axes} axes")
    reject_non_finite(name, argument, vectors)
    return vectors.to(frame.device, frame.dtype)


def _otsu(images: torch.Tensor) -> torch.Tensor:
    """Return the threshold (B,) of each image: of all cuts of its sorted values, the best."""
    values = at_least_single(images).flatten(1).sort(1).values
    n = values.shape[1]
    if n == 1:
        return values[:, 0]
    with torch.no_grad():
        exact = in_double(values)
        below = torch.arange(1, n, dtype=exact.dtype, device=exact.device)
        sums = (exact - exact.mean(1, keepdim=True)).cumsum(1)[:, :-1]
        apart = sums.square() / (below * (n - below))
        apart = apart.masked_fill(exact[:, 1:] == exact[:, :-1], -1.0)  # no cut divides equal values
        best = apart.argmax(1, keepdim=True)
    return ((values.gather(1, best) + values.gather(1, best + 1)) / 2)[:, 0]
