"""The topology of what a classifier has learnt: its decision regions on a grid, and their Betti numbers.

Guss, Salakhutdinov, "On Characterizing the Capacity of Neural Networks using Algebraic Topology", 2018. Cost:
one evaluation of the classifier a point, and time linear in the points for the numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from topodl._checks import as_tensor, check_number, fail
from topodl._docs import shares_documentation
from topodl._submodules import evaluation_mode

__all__ = ["decision_region_betti", "decision_regions"]

_NAME = "decision_region_betti"
Grid = Sequence[tuple[float, float, int]] | torch.Tensor | np.ndarray[Any, np.dtype[Any]]
_Classifier = Callable[[torch.Tensor], Any]


def decision_regions(
    model: Any, grid: Grid, *, threshold: float | None = None, batch_size: int = 65536
) -> torch.Tensor:
    """Return which class a classifier decides for at each point of a grid.

    Parameters
    ----------
    model : Module, scikit-learn classifier or callable
        What gives, for points (n, d), one of: a score (n,) or (n, 1), whose region is where it exceeds the
        threshold; bool (n,), the region itself; scores of C classes (n, C), of which the largest wins;
        integers (n,), the classes. A module gets its points on its own device and in its own dtype, in
        evaluation mode and without gradient, and is left in the modes in which it came. Of a scikit-learn
        classifier with two classes the region is that of the second one in `classes_`, and with more the
        classes are the positions in `classes_`. Another callable gets tensors.
    grid : sequence of (low, high, n), or Tensor of shape (…, d)
        One triple an axis: n points evenly from low to high, the first coordinate along the first axis. Or
        the points themselves: then d may be any, as of a plane through the space of images.
    threshold : float, optional
        Of a single score, which has to exceed it. None is 0, the threshold of logits; probabilities have 0.5.
        For scikit-learn classifiers with two classes it is compared with the probability of the second one,
        and None is what they predict.
    batch_size : int, default=65536
        Points that the classifier sees at a time: beyond one batch, memory holds the grid's labels alone.

    Returns
    -------
    Tensor of shape (n_0, n_1, …), int64
        Classes of the grid's points; 0 and 1 for binary classifiers. To show one of two axes with matplotlib:
        ``imshow(regions.T, origin="lower")``.

    Raises
    ------
    InputError
        If the grid is neither, the classifier gives something else or NaN, or a threshold comes with several
        scores.
    TypeError
        If `model` cannot be called and cannot predict.

    References
    ----------
    W. H. Guss, R. Salakhutdinov, "On Characterizing the Capacity of Neural Networks using Algebraic
    Topology", 2018.

    Examples
    --------
    >>> import torch
    >>> from topodl.representations import decision_regions
    >>> decision_regions(torch.nn.Identity(), [(-1, 1, 3)], threshold=-0.5)
    tensor([0, 1, 1])
    """
    return _evaluate(model, grid, threshold, batch_size)[0]


@shares_documentation(decision_regions, sections=["References"])
def decision_region_betti(
    model: Any,
    grid: Grid,
    *,
    threshold: float | None = None,
    connectivity: int = 8,
    batch_size: int = 65536,
) -> torch.Tensor:
    """Return the Betti numbers of the decision regions of a classifier, measured on a grid.

    Parameters
    ----------
    grid : sequence of (low, high, n), or Tensor of shape (n_0, n_1, d) or (n_0, n_1, n_2, d)
        As in `decision_regions`, with 2 or 3 axes: a triple for each, or the points themselves.
    connectivity : {8, 4} or {26, 6}
        Which points of a region are neighbours; those around it have the other one; 8 stands for 26 in space.

    Returns
    -------
    Tensor of shape (2,) or (3,), or (C, 2) or (C, 3), int64
        Of a binary classifier: components and holes of its positive region, in 3D
        components, tunnels and cavities. Of scores or labels of C classes, one such row a
        class; a class that wins nowhere has zeros. What leaves the grid through its border is no hole.

    Raises
    ------
    InputError
        As `decision_regions`, and if the grid has not 2 or 3 axes, or `connectivity` is none of these.

    See Also
    --------
    decision_regions : The regions themselves.
    topodl.datasets.make_planar_region : Data to learn, of known Betti numbers.

    Notes
    -----
    Parts of a region that are thinner than the spacing of the grid are not seen, and may tear it: a finer
    grid tells whether they matter.

    Examples
    --------
    >>> import topodl
    >>> ring = lambda points: 0.25 - (points.norm(dim=1) - 1).square()  # positive from radius 0.5 to 1.5
    >>> topodl.decision_region_betti(ring, [(-2, 2, 100), (-2, 2, 100)])
    tensor([1, 1])
    """
    from topodl.metrics.betti import betti_numbers

    regions, n_classes = _evaluate(model, grid, threshold, batch_size)
    if regions.ndim not in (2, 3):
        raise fail(_NAME, "grid", f"has {regions.ndim} axes", "2 or 3")
    classes = [1] if n_classes is None else range(n_classes)
    rows = [betti_numbers((regions == k)[None, None], connectivity=connectivity)[0] for k in classes]
    return rows[0] if n_classes is None else torch.stack(rows)


def _evaluate(
    model: Any, grid: Grid, threshold: float | None, batch_size: int
) -> tuple[torch.Tensor, int | None]:
    """Return the class at each point, and the number of classes, None for a binary classifier."""
    check_number(_NAME, "batch_size", batch_size, low=1, integer=True)
    if threshold is not None:
        check_number(_NAME, "threshold", threshold)
    shape, points_of = _read_grid(grid)
    classify, n_classes = _as_classifier(model, threshold)
    labels = torch.empty(shape.numel(), dtype=torch.int64, device="cpu")
    mode = evaluation_mode(model) if isinstance(model, torch.nn.Module) else contextlib.nullcontext()
    with mode, torch.no_grad():
        for start in range(0, len(labels), batch_size):
            points = points_of(start, min(start + batch_size, len(labels)))
            labels[start : start + len(points)], n = _decide(classify(points), len(points), threshold)
            n_classes = n if n is None else max(n, n_classes or 0)
    return labels.reshape(shape), n_classes


def _read_grid(grid: Grid) -> tuple[torch.Size, Callable[[int, int], torch.Tensor]]:
    """Return the shape of a grid, and what gives its points from one flat index to another, (n, d)."""
    if isinstance(grid, torch.Tensor | np.ndarray):
        points = as_tensor(grid)
        if points.ndim < 2 or 0 in points.shape:
            raise fail(_NAME, "grid", f"has shape {tuple(points.shape)}", "points (…, d), not empty")
        flat = points.detach().reshape(-1, points.shape[-1])
        return points.shape[:-1], lambda start, stop: flat[start:stop]
    if not isinstance(grid, Sequence) or not grid or not all(np.shape(axis) == (3,) for axis in grid):
        raise fail(_NAME, "grid", f"is {grid!r}", "a triple (low, high, n) for each axis, or points (…, d)")
    for k, (low, high, n) in enumerate(grid):
        check_number(_NAME, f"grid[{k}], low", low)
        check_number(_NAME, f"grid[{k}], high", high)
        check_number(_NAME, f"grid[{k}], n", n, low=1, integer=True)
    axes = [torch.linspace(low, high, n, device="cpu") for low, high, n in grid]
    shape = torch.Size([n for _, _, n in grid])

    def points_of(start: int, stop: int) -> torch.Tensor:
        indices = torch.unravel_index(torch.arange(start, stop, device="cpu"), shape)
        return torch.stack([axis[index] for axis, index in zip(axes, indices, strict=True)], 1)

    return shape, points_of


def _as_classifier(model: Any, threshold: float | None) -> tuple[_Classifier, int | None]:
    """Return what maps points to scores, labels or membership, and the number of classes if it is known."""
    if isinstance(model, torch.nn.Module):
        weights = next((p for p in model.parameters() if p.is_floating_point()), None)
        return (model if weights is None else lambda points: model(points.to(weights))), None
    if not hasattr(model, "predict"):
        if not callable(model):
            raise TypeError(
                f"{_NAME}: model is a {type(model).__name__}; expected a module, a classifier or a callable"
            )
        return model, None
    classes = np.asarray(getattr(model, "classes_", ()))
    if len(classes) > 2:
        return lambda points: np.searchsorted(classes, model.predict(points.numpy())), len(classes)
    if threshold is not None and hasattr(model, "predict_proba"):
        return lambda points: model.predict_proba(points.numpy())[:, 1], None
    if threshold is None and len(classes) == 2:
        return lambda points: model.predict(points.numpy()) == classes[1], None
    score = getattr(model, "decision_function", model.predict)
    return lambda points: score(points.numpy()), None


def _decide(answer: Any, n: int, threshold: float | None) -> tuple[torch.Tensor, int | None]:
    """Return the class of each of `n` points, and the number of classes, None where there is one score."""
    if not isinstance(answer, torch.Tensor | np.ndarray):
        raise fail(_NAME, "model", f"gives a {type(answer).__name__}", "a tensor or an array")
    scores = as_tensor(answer).detach().cpu()
    if scores.ndim == 2 and scores.shape[1] == 1:
        scores = scores[:, 0]
    if scores.ndim not in (1, 2) or len(scores) != n or scores.shape[-1] == 0:
        expected = f"({n},), or ({n}, C) for C classes"
        raise fail(_NAME, "model", f"gives shape {tuple(scores.shape)} for {n} points", expected)
    if scores.is_floating_point() and bool(scores.isnan().any()):
        point = int(scores.isnan().nonzero()[0, 0])
        raise fail(_NAME, "model", f"gives NaN for point {point} of a batch", "scores that can be compared")
    if threshold is not None and (scores.ndim == 2 or not scores.is_floating_point()):
        kind = "several scores" if scores.ndim == 2 else "classes"
        raise fail(_NAME, "threshold", f"is {threshold} where the model gives {kind}", "None")
    if scores.ndim == 2:
        return scores.argmax(1), scores.shape[1]
    if scores.is_floating_point():
        return (scores > (threshold or 0.0)).long(), None
    if scores.dtype == torch.bool:
        return scores.long(), None
    if int(scores.min()) < 0:
        raise fail(_NAME, "model", f"gives class {int(scores.min())}", "classes from 0 on")
    return scores.long(), int(scores.max()) + 1
