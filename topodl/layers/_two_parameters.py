"""What layers of filtrations by two parameters take: images, graphs, clouds or complexes, in both faces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator

from topodl._checks import as_dims, as_real, check_choice, check_dense, fail
from topodl._distance_matrices import point_distances
from topodl._host import whole_values
from topodl._precision import at_least_single
from topodl._pyg import with_graphs
from topodl.complexes.cell_complexes import CellComplexes
from topodl.layers import _inputs
from topodl.layers._base import Layer
from topodl.layers._grids import given_ranges

__all__ = ["Filtrations", "RangedLayer", "SlicedLayer"]

Array = np.ndarray[Any, np.dtype[Any]]


class Filtrations(NamedTuple):
    """A batch as `fibered_persistence` and others take it."""

    x: Any
    edge_index: torch.Tensor | None = None
    edge_values: torch.Tensor | None = None
    batch: torch.Tensor | None = None
    n_graphs: int | None = None
    function: Any = None

    @property
    def kind(self) -> str:
        """What `x` is: "complexes", "graphs", "clouds" or "images"."""
        if isinstance(self.x, CellComplexes):
            return "complexes"
        if self.edge_index is not None:
            return "graphs"
        return "images" if self.function is None else "clouds"

    def homology_dims(self) -> tuple[int, ...]:
        """Return the dimensions that are computed where none are asked for."""
        if isinstance(self.x, CellComplexes):
            return tuple(range(max(self.x.dim, 1)))
        return tuple(range(self.x.ndim - 2)) if self.kind == "images" else (0, 1)


def as_filtrations(layer: BaseEstimator, X: Any, reset: bool) -> Any:
    """Return samples that have a length and can be sliced: complexes, images (B, 2, …), or a list.

    A list holds images of different shapes, (vertex_values, edge_index), perhaps with edge values, or
    (cloud, function).
    """
    if isinstance(X, CellComplexes):
        return X.detach()
    if isinstance(X, list | tuple) and len(X) and all(isinstance(item, list | tuple) for item in X):
        return [tuple(np.asarray(_without_gradient(part)) for part in item) for item in X]
    return _inputs.as_images(layer, X, reset)


def _without_gradient(part: Any) -> Any:
    return part.detach().cpu().numpy() if isinstance(part, torch.Tensor) else part


def filtrations_to(chunk: Any, device: torch.device) -> Any:
    """Return a slice of the samples as what `read_filtrations` takes."""
    return chunk.to(device) if isinstance(chunk, CellComplexes) else _inputs.to_tensors(chunk)


def read_filtrations(
    name: str,
    x: Any,
    edge_index: torch.Tensor | None = None,
    edge_values: torch.Tensor | None = None,
    batch: torch.Tensor | None = None,
    function: Any = None,
) -> list[Filtrations]:
    """Return the batches that what a module was given stands for: one, or one for each image of a list."""
    if not isinstance(x, list | tuple) or function is not None:
        return [Filtrations(x, edge_index, edge_values, batch, None, function)]
    if not x:
        raise fail(name, "x", "is an empty list", "at least one sample")
    items = with_graphs(name, x) if all(isinstance(item, tuple | list) for item in x) else x
    if not all(isinstance(item, tuple | list) for item in items):
        return [Filtrations(check_dense(name, f"x[{i}]", image)[None]) for i, image in enumerate(items)]
    sizes = {len(item) for item in items}
    if not sizes <= {2, 3} or len(sizes) > 1:
        expected = "(vertex_values, edge_index), all or none with edge_values, or (cloud, function)"
        raise fail(name, "x", f"has items of {sorted(sizes)} parts", expected)
    items = [tuple(check_dense(name, f"x[{i}]", part) for part in item) for i, item in enumerate(items)]
    if items[0][1].ndim == 1:
        return [Filtrations([item[0] for item in items], function=[item[1] for item in items])]
    return [_joined(items)]


def _joined(graphs: Any) -> Filtrations:
    lengths = [len(graph[0]) for graph in graphs]
    starts = np.cumsum([0, *lengths[:-1]]).tolist()
    edges = torch.cat([graph[1].long() + start for graph, start in zip(graphs, starts, strict=True)], 1)
    values = torch.cat([graph[2] for graph in graphs]) if len(graphs[0]) > 2 else None
    batch = torch.repeat_interleave(torch.tensor(lengths, device=edges.device))
    return Filtrations(torch.cat([graph[0] for graph in graphs]), edges, values, batch, len(graphs))


def values_of(filtrations: Filtrations, metric: str) -> list[torch.Tensor]:
    """Return the finite values of each parameter, flat, in at least single precision."""
    x, kind = filtrations.x, filtrations.kind
    if kind == "complexes":
        tables = [whole_values(x.values(k)) for k in range(x.dim + 1)] if x.has_values else []
        columns = [torch.cat([table[:, i] for table in tables]) for i in (0, 1)] if tables else []
    elif kind == "graphs":
        tables = [x] if filtrations.edge_values is None else [x, filtrations.edge_values]
        columns = [torch.cat([table.detach()[:, i] for table in tables]) for i in (0, 1)]
    elif kind == "clouds":
        lengths = [part if metric == "precomputed" else point_distances(part) for part in x]
        columns = [
            torch.cat([part.detach().flatten() for part in parts])
            for parts in (lengths, filtrations.function)
        ]
    else:
        columns = [x.detach()[:, i].flatten() for i in (0, 1)]
    return [at_least_single(column)[torch.isfinite(column)] for column in columns]


class SlicedLayer(Layer):
    """A layer of filtrations by two parameters.

    Parameters
    ----------
    dims : int or sequence of int, optional
        Homology dimensions. None: all of images and graphs, (0, 1) of clouds, those below the largest of
        complexes.
    construction : {"vertex", "cell"}
        Of images and volumes; see `topodl.cubical_persistence`.
    superlevel : bool or tuple of two bool
        Whether sets grow from the largest values of a parameter down; a grid keeps the order of the values.
        Not for the distances of clouds.
    metric : {"euclidean", "precomputed"}
        Whether clouds are points or matrices of distances.
    """

    superlevel: Any
    construction: Literal["vertex", "cell"]
    metric: Literal["euclidean", "precomputed"]
    sample_shape = None

    def forward(
        self,
        x: Any,
        edge_index: torch.Tensor | None = None,
        edge_values: torch.Tensor | None = None,
        batch: torch.Tensor | None = None,
        function: Any = None,
    ) -> Any:
        """Return what the layer computes of each sample.

        Parameters
        ----------
        x : Tensor of shape (B, 2, H, W), (B, 2, D, H, W) or (N, 2), list, or CellComplexes
            Images or volumes; with `edge_index` values of the vertices of graphs; with `function` clouds
            (B, N, d) or a list of them. A list may hold images, tuples (vertex_values, edge_index) or
            (…, edge_values), or tuples (cloud, function).
        edge_index : Tensor of shape (2, E), integers, optional
            Edges of graphs.
        edge_values : Tensor of shape (E, 2), optional
            Values of the edges; by default the larger ones of their ends.
        batch : Tensor of shape (N,), integers, optional
            The graph of each vertex.
        function : Tensor of shape (B, N), or list of tensors of shape (N_i,), optional
            Values of the points of clouds.

        """
        raise NotImplementedError

    def _batches(self, x: Any, *rest: Any) -> list[Filtrations]:
        check_choice(type(self).__name__, "metric", self.metric, ("euclidean", "precomputed"))
        return read_filtrations(type(self).__name__, x, *rest)

    def _rising_batches(self, x: Any, *rest: Any) -> list[Filtrations]:
        """Return batches whose parameters rise: those that fall are negated."""
        falling = self._falling()
        return [_turned(type(self).__name__, part, falling) for part in self._batches(x, *rest)]

    def _falling(self) -> tuple[bool, bool]:
        name, given = type(self).__name__, self.superlevel
        both = tuple(given) if isinstance(given, list | tuple | np.ndarray) else (given, given)
        if len(both) != 2:
            raise fail(name, "superlevel", f"is {given!r}", "a bool, or one of each parameter")
        for each in both:
            check_choice(name, "superlevel", each, (False, True))
        return bool(both[0]), bool(both[1])

    def _options(self, batch: Filtrations) -> dict[str, Any]:
        """Return what the functions of persistence take beside `x`."""
        arguments = batch._asdict()
        del arguments["x"]
        return arguments | {"construction": self.construction, "metric": self.metric}

    def _as_samples(self, X: Any, reset: bool) -> Any:
        samples = as_filtrations(self, X, reset)
        if reset and not len(samples):
            raise fail(type(self).__name__, "X", "has no samples", "at least one")
        return samples

    def _as_input(self, chunk: Any) -> Any:
        return filtrations_to(chunk, self._place()[0])

    def _values(self, samples: Any) -> Iterator[list[torch.Tensor]]:
        """Yield the values of both parameters of training data; the homology dimensions are theirs."""
        for batch in self._batches(self._as_input(samples)):
            self.homology_dims_ = batch.homology_dims() if self.dims is None else as_dims(self.dims)
            yield values_of(batch, self.metric)

    def _homology_dims(self) -> tuple[int, ...]:
        if self.dims is not None:
            return as_dims(self.dims)
        if not hasattr(self, "homology_dims_"):
            raise self._not_fitted("dims")
        return self.homology_dims_


def _turned(name: str, batch: Filtrations, falling: tuple[bool, bool]) -> Filtrations:
    """Return a batch with parameters that fall negated, so that all rise."""
    if not any(falling):
        return batch
    if batch.kind == "clouds":
        if falling[0]:
            raise fail(
                name, "superlevel", "is True for distances", "it for the function alone: (False, True)"
            )
        several = isinstance(batch.function, list | tuple)
        return batch._replace(function=[-each for each in batch.function] if several else -batch.function)
    signs = [-1.0 if down else 1.0 for down in falling]
    if batch.kind == "complexes":
        values = [batch.x.values(k) for k in range(batch.x.dim + 1)]
        return batch._replace(x=batch.x.with_values([part * part.new_tensor(signs) for part in values]))
    x = as_real(name, "x", batch.x)
    if batch.kind == "graphs":
        edges = batch.edge_values
        if edges is not None:
            edges = as_real(name, "edge_values", edges)
            edges = edges * edges.new_tensor(signs)
        return batch._replace(x=x * x.new_tensor(signs), edge_values=edges)
    return batch._replace(x=x * x.new_tensor(signs).view(1, 2, *[1] * (x.ndim - 2)))


class RangedLayer(SlicedLayer):
    """A layer that looks at a box of both parameters.

    Parameters
    ----------
    value_ranges : two pairs (low, high), optional
        The range of each parameter; one pair is that of both. None: `fit` takes the range of the finite
        values, of clouds that of distances and that of the function.
    """

    value_ranges: Any
    ranges_: torch.Tensor | None

    def __sklearn_is_fitted__(self) -> bool:
        return self.value_ranges is not None or self.ranges_ is not None

    def reset_parameters(self) -> None:
        """Forget the ranges that `fit` found."""
        self.ranges_ = None

    def _fit(self, samples: Any) -> None:
        self._check_settings()
        ends = [
            [(float(part.min()), float(part.max())) if len(part) else (0.0, 1.0) for part in values]
            for values in self._values(samples)
        ]
        table = torch.tensor(ends, dtype=torch.float64, device="cpu")
        ranges = torch.stack((table[..., 0].amin(0), table[..., 1].amax(0)), 1)
        self.ranges_ = ranges.to(self._place()[0])

    def _check_settings(self) -> None:
        """Raise an `InputError` if a setting is unusable."""

    def _box(self) -> torch.Tensor:
        """Return low and high of each parameter made to rise, (2, 2); a range of no length has length 1."""
        if self.value_ranges is not None:
            pairs = given_ranges(type(self).__name__, "value_ranges", self.value_ranges, 2)
            box = torch.tensor(pairs, dtype=torch.float64, device="cpu")
        elif self.ranges_ is not None:
            box = self.ranges_
        else:
            raise self._not_fitted("value_ranges")
        falls = torch.tensor(self._falling(), device=box.device)[:, None]
        box = torch.where(falls, -box.flip(1), box)
        flat = (box[:, 1] == box[:, 0]).to(box.dtype)
        return torch.stack((box[:, 0], box[:, 1] + flat), 1)
