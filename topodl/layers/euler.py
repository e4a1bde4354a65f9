"""Euler characteristic transforms of clouds, graphs and meshes, exact or differentiable.

Turner, Mukherjee, Boyer, Information and Inference 2014; soft: Röell, Rieck, ICLR 2024. No pairing is needed.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from topodl._checks import as_real, check_choice, check_dense, check_number, fail, reject_non_finite
from topodl._directions import spread_directions
from topodl._host import whole_values
from topodl._precision import at_least_single, full_precision
from topodl.filtrations._images import read_shares
from topodl.layers import _inputs
from topodl.layers._base import FeatureLayer
from topodl.layers._complexes import read_complexes
from topodl.layers._cubical_euler import cubical_cells, image_transform
from topodl.layers._euler import hard_transform, soft_transform
from topodl.layers._grids import even_grid

__all__ = ["EulerCharacteristicTransform"]

_UNIT_BALL = 1.1  # a little more than clouds that are scaled to the unit ball
_PER_STEP = 4.0  # how sharp a sigmoid is, in units of the distance between thresholds


class EulerCharacteristicTransform(FeatureLayer):
    """Euler characteristic of the part of a shape below each height, for many directions.

    ECT(v, t) = Σ (−1)^dim σ over the simplices σ with max over its vertices x of ⟨x, v⟩ ≤ t.

    As a module: `forward(x, simplices)` to a tensor (B, directions, thresholds). As a transformer: clouds
    (B, N, d), a list of clouds (N_i, d) or of (cloud, edges, faces, …), or a table of flattened clouds.

    With `images`, the shapes are masks, or grey values from 0 to 1: their pixels are vertices of a cubical
    complex, joined to 4 (in volumes 6) neighbours, at places from the middle of the image on. A cell counts
    by the least of its pixels' values, which is the mean of the transforms of all {x ≥ s}, s from 0 to 1.

    Parameters
    ----------
    n_directions : int
        Number of directions, at first spread evenly: equal angles in the plane, a Fibonacci lattice on the
        sphere, random ones from `random_state` in higher dimensions.
    n_thresholds : int
        Number of heights from −radius to radius.
    radius : float, optional
        None: `fit` takes the norm of the farthest point; before that it is 1.1, for clouds in the unit ball.
    mode : {"soft", "hard"}
        "hard" counts exactly and has no gradient to the points. "soft" replaces the step at each simplex by a
        sigmoid.
    scale : float, optional
        Factor in the sigmoid's argument. None: 4 divided by the distance of two thresholds.
    learnable : bool
        Whether the directions are trained; they are normalised at each use.
    smooth : bool
        Return the SECT: the integral from −radius to t of ECT minus its mean.
    ambient_dim : int, optional
        Dimension d of the space. None: that of the first data.
    random_state : int
        Seed of random directions.
    images : bool
        Whether samples are images (B, H, W) or volumes (B, D, H, W). Pixels have sides of 1, and without
        `fit` or `radius` thresholds reach over half of the image's diagonal.
    sample_shape : tuple of int, optional
        Shape of a cloud in a row of a table, as (-1, 3), or of an image, as (8, 8).

    References
    ----------
    K. Turner, S. Mukherjee, D. M. Boyer. Persistent homology transform for modeling shapes and surfaces.
    Information and Inference 3, 2014. Q. Jiang, S. Kurtek, T. Needham. The weighted Euler curve transform for
    shape and image analysis. CVPR Workshops 2020.

    E. Röell, B. Rieck. Differentiable Euler characteristic transforms for shape classification. ICLR 2024.

    Examples
    --------
    >>> import torch
    >>> from topodl.layers import EulerCharacteristicTransform
    >>> layer = EulerCharacteristicTransform(n_directions=16, n_thresholds=32)
    >>> layer(torch.rand(8, 100, 3)).shape
    torch.Size([8, 16, 32])
    >>> path, edges = torch.tensor([[0.0, 0.0], [0.5, 0.0], [1.0, 0.0]]), torch.tensor([[0, 1], [1, 2]])
    >>> layer = EulerCharacteristicTransform(n_directions=1, n_thresholds=3, radius=1.0, mode="hard")
    >>> layer(path, edges)
    tensor([[[0., 1., 1.]]])

    Of a ring of pixels, column by column from the left: the last one closes it.

    >>> ring = torch.tensor([[[1, 1, 1], [1, 0, 1], [1, 1, 1]]])
    >>> layer = EulerCharacteristicTransform(4, 3, radius=1.0, mode="hard", images=True)
    >>> layer(ring)[0, 1].round().long()  # the second direction is (0, 1)
    tensor([1, 1, 0])
    """

    directions: Any
    radius_: torch.Tensor

    def __init__(
        self,
        n_directions: int = 64,
        n_thresholds: int = 64,
        radius: float | None = None,
        mode: str = "soft",
        scale: float | None = None,
        learnable: bool = False,
        smooth: bool = False,
        ambient_dim: int | None = None,
        random_state: int = 0,
        *,
        images: bool = False,
        sample_shape: tuple[int, ...] | None = None,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.n_directions = n_directions
        self.n_thresholds = n_thresholds
        self.radius = radius
        self.mode = mode
        self.scale = scale
        self.learnable = learnable
        self.smooth = smooth
        self.ambient_dim = ambient_dim
        self.random_state = random_state
        self.images = images
        self.sample_shape = sample_shape
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Forget learnt directions and the radius found by `fit`."""
        self._buffers.pop("directions", None)
        old = self._parameters.pop("directions", None)
        self.register_buffer("radius_", torch.tensor(_UNIT_BALL, device="cpu"))
        if self._is_learnable():
            device = None if old is None else old.device
            self.directions = UninitializedParameter(device=device)  # type: ignore[call-arg]
        else:
            self.register_buffer("directions", None)
        # What is wrong with the settings is said when they are used.
        sizes = (self.ambient_dim, self.n_directions)
        if all(isinstance(size, int | np.integer) and size > 0 for size in sizes):
            self._choose_directions(self.ambient_dim)

    def _choose_directions(self, ambient_dim: Any) -> None:
        """Choose the directions, once the dimension of the space is known."""
        value = spread_directions(ambient_dim, self.n_directions, self.random_state)
        if not self._is_learnable():
            self.directions = value.to(self.radius_.device)
            return
        with torch.no_grad():
            self.directions.materialize(value.shape, dtype=value.dtype)
            self.directions.copy_(value)

    def _is_learnable(self) -> bool:
        return isinstance(self.learnable, bool | np.bool_) and bool(self.learnable)

    def _without_directions(self) -> bool:
        return self.directions is None or isinstance(self.directions, UninitializedParameter)

    def _check_settings(self) -> None:
        name = "EulerCharacteristicTransform"
        check_choice(name, "mode", self.mode, ("soft", "hard"))
        check_number(name, "n_directions", self.n_directions, low=1, integer=True)
        check_number(name, "n_thresholds", self.n_thresholds, low=2, integer=True)
        for argument in ("radius", "scale"):
            value = getattr(self, argument)
            if value is not None:
                check_number(name, argument, value, low=torch.finfo(torch.float32).tiny)
        check_choice(name, "learnable", self.learnable, (True, False))
        check_choice(name, "images", self.images, (True, False))
        if self.learnable and self.mode == "hard":
            raise fail(name, "mode", 'is "hard" with learnable directions', '"soft": counts have no gradient')

    def forward(
        self,
        x: Any,
        simplices: Any = (),
        batch: torch.Tensor | None = None,
        *,
        mask: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the transform of each shape.

        Parameters
        ----------
        x : Tensor of shape (B, N, d) or (N, d), or list; with `images` (B, H, W) or (B, D, H, W)
            Vertices. With (N, d), `batch` says which sample each belongs to. A list holds clouds (N_i, d), or
            tuples (cloud, edges, faces, …), or `Data` of PyTorch Geometric (``pos``, ``edge_index`` and
            ``face``, whose sides are edges). A list of images holds some of any shapes.
        simplices : Tensor of shape (k + 1, S), sequence of them, or CellComplexes
            Vertices of the edges, of the triangles, …. Each simplex counts once, however often and in
            whatever order its vertices are given, so an undirected `edge_index` may hold both directions.
            Beside a padded `x`, (B, k + 1, S) with −1 where there is none, or (k + 1, S) for all alike.
            `CellComplexes`, of simplices or rings, know their samples: `x` has their vertices in their order,
            and their values play no part.
        batch : Tensor of shape (N,), integers, optional
            Sample of each vertex, in any order; only beside `x` (N, d).
        mask : Tensor of shape (B, N), bool, optional
            True where a padded `x` (B, N, d) has a vertex.
        weights : Tensor of shape (N,) or (B, N), optional; with `images` as `x`
            Weights of the vertices (WECT); a simplex weighs as much as its heaviest vertex, and so does a
            cell of an image, whose weight is multiplied with its own value.

        Returns
        -------
        Tensor of shape (B, n_directions, n_thresholds)

        Raises
        ------
        InputError
            If a shape is wrong, a coordinate or weight is NaN or infinite, or a simplex joins two samples.
        """
        self._check_settings()
        name = "EulerCharacteristicTransform"
        if self.images:
            others = {"simplices": len(simplices) > 0, "batch": batch is not None, "mask": mask is not None}
            for argument in (argument for argument, given in others.items() if given):
                raise fail(name, argument, "is given beside images", "images alone, and their weights")
            return self._of_images(x, weights)
        complexes, order = read_complexes(name, x, simplices, batch, mask)
        points, dtype = at_least_single(complexes.x), complexes.x.dtype
        directions = self._unit_directions(points.shape[1]).to(points.device, points.dtype)
        if weights is not None:
            n_given = len(points) if isinstance(x, list | tuple) else math.prod(x.shape[:-1])
            given = weights
            weights = _read_weights(name, weights, n_given, order).to(points.dtype)
        complexes.x = points
        cells = complexes.cells(weights)
        thresholds, scale = self._thresholds(self._radius(), points)
        with full_precision(points):
            if self.mode == "hard":
                transform = hard_transform(points, directions, complexes.offsets, cells, thresholds)
            else:
                transform = soft_transform(points @ directions, cells, thresholds, scale, complexes.n_samples)
        out = (_smoothed(transform, thresholds) if self.smooth else transform).to(dtype)
        if weights is not None:
            _reject_large_weights(name, given, out)
        return out

    def _unit_directions(self, ambient_dim: int) -> torch.Tensor:
        """Return the directions (d, J) of a space of that many dimensions, chosen now if none were."""
        if self._without_directions():
            self._choose_directions(ambient_dim)
        if len(self.directions) != ambient_dim:
            came = f"has {ambient_dim} coordinates"
            raise fail(
                "EulerCharacteristicTransform",
                "x",
                came,
                f"{len(self.directions)}, as the layer's directions",
            )
        directions: torch.Tensor = self.directions
        return nn.functional.normalize(directions, dim=0) if self._is_learnable() else directions

    def _thresholds(self, radius: Any, like: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Return the heights (T,) from −radius to radius, and the factor in the sigmoid's argument."""
        if isinstance(radius, torch.Tensor):
            thresholds = even_grid(-radius, radius, self.n_thresholds).to(like)
        else:
            ends = (-radius, radius, self.n_thresholds)
            thresholds = torch.linspace(*ends, dtype=torch.float64, device="cpu").to(like)
        step = 2 * radius / (self.n_thresholds - 1)
        return thresholds, _PER_STEP / step if self.scale is None else float(self.scale)

    def _of_images(self, x: Any, weights: Any) -> torch.Tensor:
        if isinstance(x, list | tuple):
            given = [None] * len(x) if weights is None else weights
            parts = [
                self._of_images(image[None], None if weight is None else weight[None])
                for image, weight in zip(x, given, strict=True)
            ]
            return torch.cat(parts)
        name = "EulerCharacteristicTransform"
        images = read_shares(name, x)
        if weights is not None:
            weights = as_real(name, "weights", weights)
            if weights.shape != images.shape:
                came = f"has shape {tuple(weights.shape)}"
                raise fail(name, "weights", came, f"one weight for each pixel, {tuple(images.shape)}")
            reject_non_finite(name, "weights", weights)
        values, shape = at_least_single(images), images.shape[1:]
        directions = self._unit_directions(len(shape)).to(values)
        radius = self._radius()
        if self.radius is None and self.radius_ == _UNIT_BALL:  # as before `fit`
            radius = math.hypot(*shape) / 2
        thresholds, scale = self._thresholds(radius, values)
        with full_precision(values):
            cells = cubical_cells(values, None if weights is None else at_least_single(weights))
            transform = image_transform(
                shape, cells, directions, thresholds, None if self.mode == "hard" else scale
            )
        return (_smoothed(transform, thresholds) if self.smooth else transform).to(images.dtype)

    def _radius(self) -> Any:
        """Return the radius, as a tensor where a compiler traces what `fit` found."""
        if self.radius is not None:
            return float(self.radius)
        return self.radius_.double() if torch.compiler.is_compiling() else float(self.radius_)

    def _as_samples(self, X: Any, reset: bool) -> Any:
        return (_inputs.as_images if self.images else _inputs.as_complexes)(self, X, reset)

    def _fit(self, samples: Any) -> None:
        self._check_settings()
        if self.images:
            if self._without_directions():
                self._choose_directions(samples[0].ndim)
            if self.radius is None:
                self.radius_.fill_(max(math.hypot(*image.shape) / 2 for image in samples))
            return
        clouds = [sample[0] if isinstance(sample, tuple) else sample for sample in samples]
        if self._without_directions():
            self._choose_directions(clouds[0].shape[1])
        if self.radius is None:
            norms = (float(np.linalg.norm(cloud, axis=1).max()) for cloud in clouds if len(cloud))
            farthest = max(norms, default=0.0)
            self.radius_.fill_(farthest if farthest > 0 else _UNIT_BALL)

    def _feature_names(self) -> list[str]:
        pairs = itertools.product(range(self.n_directions), range(self.n_thresholds))
        return [f"{direction}_{threshold}" for direction, threshold in pairs]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = bool(self.images) or self.sample_shape is not None
        tags.input_tags.three_d_array = True
        return tags


def _read_weights(name: str, weights: Any, n: int, order: torch.Tensor | None) -> torch.Tensor:
    """Return the weights of the vertices `order` of the `n` given ones, or say what is wrong with them."""
    flat = check_dense(name, "weights", weights).flatten()
    if len(flat) != n:
        came = f"has shape {tuple(weights.shape)}"
        raise fail(name, "weights", came, f"one weight for each of the {n} vertices given")
    if order is None:
        reject_non_finite(name, "weights", flat)
        return flat
    # What pads does not matter.
    reject_non_finite(name, "weights", torch.zeros_like(flat).index_copy(0, order, flat[order]))
    return flat[order]


def _reject_large_weights(name: str, weights: torch.Tensor, transform: torch.Tensor) -> None:
    """Raise the error that says how large the weights are whose sums are not finite."""
    if torch.compiler.is_compiling() or math.isfinite(float(whole_values(transform).sum())):
        return
    if not bool(whole_values(transform).isfinite().all()):  # the sum of all may be infinite, too
        came = f"has values up to {float(weights.detach().abs().max()):g}, whose sums {transform.dtype} lacks"
        raise fail(name, "weights", came, "smaller ones, or points in float64")


def _smoothed(transform: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """Return the running integral of the transform minus its mean, by the trapezoidal rule."""
    step = (thresholds[-1] - thresholds[0]) / (len(thresholds) - 1)
    pieces = (transform[..., 1:] + transform[..., :-1]) * (step / 2)
    total = nn.functional.pad(pieces.cumsum(-1), (1, 0))
    return total - total[..., -1:] * torch.linspace(
        0, 1, len(thresholds), dtype=total.dtype, device=total.device
    )
