"""Filtrations as a layer: what images, graphs and clouds are filtered by, before a layer of persistence."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch.nn.parameter import UninitializedParameter, is_lazy

from topodl import filtrations
from topodl._checks import check_choice, fail, unknown_option
from topodl._pyg import with_graphs
from topodl.filtrations.images import even_centres, even_directions
from topodl.layers import _inputs
from topodl.layers._base import ArrayLayer
from topodl.layers.persistence import check_parts, joined_graphs

__all__ = ["Filtration"]


class _Kind(NamedTuple):
    """A filtration: its function, what its samples are, and which of its options gradients reach."""

    function: Callable[..., Any]
    samples: str
    learnt: str | None = None


_KINDS = {
    "binarise": _Kind(filtrations.binarise, "images"),
    "closeness": _Kind(filtrations.closeness, "graphs"),
    "degree_values": _Kind(filtrations.degree_values, "graphs"),
    "density": _Kind(filtrations.density, "images"),
    "dilation": _Kind(filtrations.dilation, "images"),
    "eccentricity": _Kind(filtrations.eccentricity, "graphs"),
    "erosion": _Kind(filtrations.erosion, "images"),
    "forman_curvature": _Kind(filtrations.forman_curvature, "graphs"),
    "geodesic_distances": _Kind(filtrations.geodesic_distances, "clouds"),
    "heat_kernel_signature": _Kind(filtrations.heat_kernel_signature, "graphs"),
    "height": _Kind(filtrations.height, "images", "directions"),
    "ollivier_curvature": _Kind(filtrations.ollivier_curvature, "graphs"),
    "radial": _Kind(filtrations.radial, "images", "centres"),
    "return_probabilities": _Kind(filtrations.return_probabilities, "graphs"),
    "signed_distance": _Kind(filtrations.signed_distance, "images"),
    "tilt": _Kind(filtrations.tilt, "images", "directions"),
}
_OF_GRAPHS = ("edge_index", "edge_weights", "edge_lengths", "batch", "n_vertices", "at")


class Filtration(ArrayLayer):
    """A function of `topodl.filtrations` as a layer, to stand before one of persistence.

    Of an image it makes an image, or several along an axis of channels, one for each direction or centre:
    ``CubicalPersistence(channels=True)`` takes these. As a transformer: images (B, H, W), volumes
    (B, D, H, W), a list of images of any shapes, or a table of flattened ones; arrays come out.

    Of graphs, (vertex_values or None, edge_index) or (…, edge_values) in a list, it makes a list of
    (vertex_values, edge_index) for `GraphPersistence`: edge values are taken for weights or lengths of edges,
    and curvatures are those at vertices. Of clouds, "geodesic_distances" makes matrices for
    ``RipsPersistence(metric="precomputed")``.

    Parameters
    ----------
    kind : str
        Name of the function. Of images: "binarise", "density", "dilation", "erosion", "height", "radial",
        "signed_distance", "tilt". Of graphs: "closeness", "degree_values", "eccentricity",
        "forman_curvature", "heat_kernel_signature", "ollivier_curvature", "return_probabilities". Of clouds:
        "geodesic_distances".
    learnable : bool
        Whether the directions of "height" and "tilt" or the centres of "radial" are trained: they are then a
        parameter of that name, which begins with what the option says.
    sample_shape : tuple of int, optional
        Shape of an image or a cloud in a row of a table, as (8, 8). None: a row is an image of one row.
    **options
        Options of the function, by their names there; they are settings of the layer like all others, as for
        a grid search.

    References
    ----------
    A. Garin, G. Tauzin, "A topological 'reading' lesson: classification of MNIST using TDA", ICMLA 2019.

    Examples
    --------
    >>> import torch
    >>> from sklearn.pipeline import make_pipeline
    >>> from topodl.layers import CubicalPersistence, Filtration, PersistenceStatistics
    >>> masks = torch.rand(4, 8, 8) > 0.4
    >>> heights = Filtration("height", directions=3)
    >>> torch.nn.Sequential(heights, CubicalPersistence(channels=True))(masks).n_samples
    12
    >>> upwards = Filtration("height", directions=[-1.0, 0.0])
    >>> steps = make_pipeline(upwards, CubicalPersistence(), PersistenceStatistics())
    >>> steps.fit_transform(masks.numpy()).shape
    (4, 92)
    >>> Filtration("height", directions=3, learnable=True, sample_shape=(8, 8)).directions.shape
    torch.Size([3, 2])
    >>> star = (None, torch.tensor([[0, 0, 0], [1, 2, 3]]))
    >>> Filtration("degree_values")([star])[0][0]
    tensor([3., 1., 1., 1.])
    """

    options: dict[str, Any]

    def __init__(
        self,
        kind: str = "height",
        *,
        learnable: bool = False,
        sample_shape: tuple[int, ...] | None = None,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.learnable = learnable
        self.sample_shape = sample_shape
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.options = options
        self.reset_parameters()

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the settings of the layer and the options of the function.

        Parameters
        ----------
        deep : bool
            Plays no part: no setting is an estimator.

        Returns
        -------
        dict
        """
        return super().get_params(deep) | self.options

    def set_params(self, **params: Any) -> Self:
        """Change settings or options; what was learnt starts anew, unless only the pace changes."""
        own = inspect.signature(Filtration.__init__).parameters
        self.options = self.options | {name: value for name, value in params.items() if name not in own}
        super().set_params(**{name: value for name, value in params.items() if name in own})
        if params.keys() - own.keys():
            self.reset_parameters()
        return self

    def reset_parameters(self) -> None:
        """Forget what was learnt."""
        for kind in _KINDS.values():
            self._parameters.pop(kind.learnt or "", None)
        name = self._learnt()
        if name is None:
            return
        lazy: Any = UninitializedParameter
        self.register_parameter(name, lazy(device=torch.device("cpu")))
        # What is wrong with the settings is said when they are used.
        if isinstance(self.sample_shape, tuple) and min(self.sample_shape, default=0) > 0:
            self._begin(self.sample_shape)

    def _learnt(self) -> str | None:
        """Return the option that is a parameter, if there is one."""
        is_learnable = isinstance(self.learnable, bool | np.bool_) and bool(self.learnable)
        return _KINDS[self.kind].learnt if is_learnable and self.kind in _KINDS else None

    def _begin(self, shape: tuple[int, ...]) -> None:
        """Give the parameter its first values, once the shape of the images is known."""
        name = str(self._learnt())
        value = self.options.get(name, 8 if name == "directions" else None)
        if name == "directions" and isinstance(value, numbers.Integral):
            value = even_directions("Filtration", len(shape), value, self.options.get("random_state"))
        if name == "centres" and (value is None or isinstance(value, numbers.Integral)):
            sides = torch.as_tensor(self.options.get("spacing", 1.0), device="cpu")
            value = even_centres("Filtration", shape, 1 if value is None else value) * sides
        first = torch.as_tensor(value, dtype=torch.get_default_dtype(), device="cpu")
        weight = self._parameters[name]
        with torch.no_grad():
            weight.materialize(first.shape, dtype=first.dtype)  # type: ignore[union-attr]
            weight.copy_(first)  # type: ignore[union-attr]

    def _check_settings(self) -> None:
        check_choice("Filtration", "kind", self.kind, tuple(_KINDS))
        check_choice("Filtration", "learnable", self.learnable, (True, False))
        kind = _KINDS[self.kind]
        if self.learnable and kind.learnt is None:
            learnable = ", ".join(repr(name) for name, other in _KINDS.items() if other.learnt)
            raise fail("Filtration", "kind", f"is {self.kind!r} with learnable=True", f"one of {learnable}")
        parameters = inspect.signature(kind.function).parameters
        known = [name for name in list(parameters)[1:] if kind.samples != "graphs" or name not in _OF_GRAPHS]
        for option in self.options:
            if option not in known:
                options = f"its options are {', '.join(known)}"
                raise unknown_option(f"Filtration({self.kind!r})", option, options, {})
        for name in known:
            if parameters[name].default is inspect.Parameter.empty and name not in self.options:
                raise fail(f"Filtration({self.kind!r})", name, "is not given", "this option of the function")

    def forward(self, x: Any) -> Any:
        """Return the values that images, graphs or clouds are filtered by.

        Parameters
        ----------
        x : Tensor of shape (B, H, W) or (B, D, H, W), or list
            Images or volumes; a list holds images (H, W) or volumes (D, H, W) of any shapes. Clouds
            (B, N, d), or a list of (N_i, d). A list of graphs.

        Returns
        -------
        Tensor of shape (B, H, W) or (B, D, H, W), with an axis (B, K, …) for several directions or centres
            A list of such without the axis of the batch for a list. Of clouds (B, N, N), or a list. Of graphs
            a list of tuples (values, edge_index).

        Raises
        ------
        InputError
            If a setting is unusable, or the function refuses its input.
        TypeError
            If an option is none of the function, or `x` is no real tensor.
        """
        self._check_settings()
        if _KINDS[self.kind].samples == "graphs":
            return self._of_graphs(with_graphs("Filtration", x))
        if _KINDS[self.kind].samples == "clouds":
            return _KINDS[self.kind].function(x, **self.options)
        if isinstance(x, list | tuple):
            return [self(image[None])[0] for image in x]
        learnt, options = self._learnt(), dict(self.options)
        if learnt is not None:
            if is_lazy(getattr(self, learnt)):
                self._begin(tuple(x.shape[1:]))
            options[learnt] = self._parameters[learnt]
            options.pop("random_state", None)
        return _KINDS[self.kind].function(x, **options)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray[Any, np.dtype[Any]]:
        """Return one name, of the filtration.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of shape (1,), str
        """
        return np.array([f"filtration_{self.kind}"], dtype=object)

    def _of_graphs(self, graphs: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return the values of the vertices of each graph, and its edges."""
        check_parts("Filtration", graphs)
        function, options = _KINDS[self.kind].function, dict(self.options)
        accepted = inspect.signature(function).parameters
        _, edge_index, weights, batch = joined_graphs(graphs)
        if weights is not None:
            options["edge_lengths" if "edge_lengths" in accepted else "edge_weights"] = weights
        if "at" in accepted:
            options["at"] = "vertices"
        values = function(edge_index, batch=batch, **options)
        sizes = torch.bincount(batch, minlength=len(graphs)).tolist()
        return [(part, graph[1]) for part, graph in zip(values.split(sizes), graphs, strict=True)]

    def _as_samples(self, X: Any, reset: bool) -> Any:
        self._check_settings()
        samples = _KINDS[self.kind].samples
        if samples == "graphs":
            return _inputs.as_graphs("Filtration", X)
        return (_inputs.as_clouds if samples == "clouds" else _inputs.as_images)(self, X, reset)

    def _fit(self, samples: Any) -> None:
        learnt = self._learnt()
        if learnt is not None and is_lazy(getattr(self, learnt)):
            self._begin(tuple(samples[0].shape))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        samples = _KINDS[self.kind].samples if self.kind in _KINDS else "images"
        tags.input_tags.two_d_array = samples == "images" or self.sample_shape is not None
        tags.input_tags.three_d_array = True
        return tags
