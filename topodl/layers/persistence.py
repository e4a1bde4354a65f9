"""Persistent homology as layers: images, point clouds and graphs in, `Diagrams` out."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch

from topodl._checks import fail
from topodl._docs import shares_documentation
from topodl._pyg import with_graphs
from topodl.diagrams import Diagrams
from topodl.filtrations.densities import codensity
from topodl.layers import _inputs
from topodl.layers._base import PersistenceLayer
from topodl.persistence._sparse_distances import are_sparse
from topodl.persistence.alpha import alpha_persistence
from topodl.persistence.cubical import cubical_persistence, periodic_axes
from topodl.persistence.graph import graph_persistence
from topodl.persistence.rips import rips_persistence

__all__ = [
    "AlphaPersistence",
    "CubicalPersistence",
    "GraphPersistence",
    "RipsPersistence",
    "check_parts",
    "joined_graphs",
]


@shares_documentation(cubical_persistence, sections=["References"])
class CubicalPersistence(PersistenceLayer):
    """Persistent homology of images and volumes; see `topodl.cubical_persistence`.

    As a transformer: images (B, H, W), volumes (B, D, H, W), a list of images of any shapes or of signals of
    any lengths, or a table whose rows are signals or flattened images.

    Parameters
    ----------
    channels : bool
        Whether a module's input has an axis of channels, (B, C, …): each channel is a sample of its own.
    sample_shape : tuple of int, optional
        Shape of an image in a row of a table, as (8, 8). None: a row is a signal, an image of one row.

    Examples
    --------
    The same object stands in a pipeline and in a network:

    >>> import numpy as np
    >>> import torch
    >>> from sklearn.pipeline import make_pipeline
    >>> from topodl.layers import CubicalPersistence, PersistenceImage
    >>> persistence = CubicalPersistence()
    >>> image = PersistenceImage(resolution=8, birth_range=(0, 1), persistence_range=(0, 1))
    >>> torch.nn.Sequential(persistence, image)(torch.rand(4, 28, 28)).shape
    torch.Size([4, 2, 8, 8])
    >>> make_pipeline(persistence, image).fit_transform(np.random.rand(4, 28, 28)).shape
    (4, 128)
    """

    def __init__(
        self,
        dims: Any = None,
        superlevel: bool = False,
        construction: Literal["vertex", "cell"] = "vertex",
        min_persistence: float = 0.0,
        channels: bool = False,
        *,
        periodic: Any = False,
        sample_shape: tuple[int, ...] | None = None,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.dims = dims
        self.superlevel = superlevel
        self.construction = construction
        self.min_persistence = min_persistence
        self.channels = channels
        self.periodic = periodic
        self.sample_shape = sample_shape
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def forward(self, x: Any) -> Diagrams:
        """Return the diagrams of images (B, H, W), volumes (B, D, H, W) or signals (B, L).

        With `channels`, images and volumes are (B, C, …). A list holds images (H, W), volumes (D, H, W) or
        signals (L,), with `channels` images and volumes (C, …), of any shapes.
        """
        if isinstance(x, list | tuple):
            return Diagrams.cat(self(image[None]) for image in x)
        return cubical_persistence(
            x,
            self.dims,
            self.superlevel,
            self.construction,
            self.min_persistence,
            self.channels,
            periodic=self.periodic,
        )

    def _as_samples(self, X: Any, reset: bool) -> Any:
        images = _inputs.as_images(self, X, reset)
        if reset:
            shape = images[0].shape[1:] if self.channels else images[0].shape
            top = len(shape) + all(periodic_axes(self.periodic, shape))
            self.homology_dims_ = tuple(range(top)) if self.dims is None else self._homology_dims()
        return images

    def _homology_dims(self) -> tuple[int, ...]:
        if self.dims is not None:
            return super()._homology_dims()
        if not hasattr(self, "homology_dims_"):
            raise self._not_fitted("dims")
        return self.homology_dims_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = True
        return tags


class _CloudPersistence(PersistenceLayer):
    """A layer that takes point clouds.

    Parameters
    ----------
    sample_shape : tuple of int, optional
        Shape of a cloud in a row of a table, as (-1, 3).
    """

    sample_shape: tuple[int, ...] | None

    def _as_samples(self, X: Any, reset: bool) -> Any:
        return _inputs.as_clouds(self, X, reset)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self.sample_shape is not None
        tags.input_tags.three_d_array = True
        return tags


@shares_documentation(rips_persistence, sections=["References"])
class RipsPersistence(_CloudPersistence):
    """Persistent homology of the Vietoris-Rips filtration of point clouds; see `topodl.rips_persistence`.

    As a transformer: clouds (B, N, d), a list of clouds (N_i, d), or a table of flattened clouds; distance
    matrices alike, also as a list of SciPy's sparse matrices (N_i, N_i): a missing entry is no edge, a stored
    0 is a distance, the diagonal plays no part, and one triangle stands for both.

    Parameters
    ----------
    mass : float, optional
        Weigh each point by its distance to the measure: the root mean square of distances to this share of
        the points, as `topodl.filtrations.codensity` has it, so that outliers enter late. None: no weights.

    Examples
    --------
    >>> import torch
    >>> from topodl.layers import RipsPersistence
    >>> RipsPersistence(dims=0)(torch.tensor([[[0.0, 0.0], [3.0, 4.0]]]))
    Diagrams(1 sample; H0: 2 bars, 1 essential; float32, cpu)
    """

    def __init__(
        self,
        dims: Any = (0, 1),
        metric: Literal["euclidean", "precomputed"] = "euclidean",
        max_edge_length: float = math.inf,
        *,
        mass: float | None = None,
        p: float = 1,
        sparse: float | None = None,
        sample_shape: tuple[int, ...] | None = None,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.dims = dims
        self.metric = metric
        self.max_edge_length = max_edge_length
        self.mass = mass
        self.p = p
        self.sparse = sparse
        self.sample_shape = sample_shape
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def forward(self, x: Any, batch: torch.Tensor | None = None, *, weights: Any = None) -> Diagrams:
        """Return the diagrams of clouds or of distance matrices.

        Parameters
        ----------
        x : Tensor of shape (B, N, d), list of (N_i, d), or (N, d) beside `batch`
            Clouds, or matrices (B, N, N) of distances.
        batch : Tensor of shape (N,), integers, optional
            The cloud of each point, in any order.
        weights : Tensor of shape (B, N), sequence of (N_i,), or (N,) beside `batch`, optional
            Weights of the points, which need not be those of `mass`.

        Returns
        -------
        Diagrams
            One sample for each cloud.
        """
        if self.mass is not None:
            if weights is not None:
                raise fail("RipsPersistence", "weights", "are given beside mass", "one of them")
            weights = codensity(x, mass=self.mass, metric=self.metric, batch=batch)
        options = {"weights": weights, "p": self.p, "sparse": self.sparse}
        return rips_persistence(x, self.dims, self.metric, self.max_edge_length, batch, **options)

    def _as_samples(self, X: Any, reset: bool) -> Any:
        return _inputs.as_clouds(self, X, reset, sparse_distances=self.metric == "precomputed")

    def _as_input(self, chunk: Any) -> Any:
        return chunk if are_sparse(chunk) else super()._as_input(chunk)


@shares_documentation(alpha_persistence, sections=["References"])
class AlphaPersistence(_CloudPersistence):
    """Persistent homology of the alpha filtration of clouds in 2D and 3D; see `topodl.alpha_persistence`.

    As a transformer: clouds (B, N, d), a list of clouds (N_i, d), or a table of flattened clouds.

    Examples
    --------
    >>> import torch
    >>> from topodl.layers import AlphaPersistence
    >>> square = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]]])
    >>> AlphaPersistence(dims=1)(square).deaths
    tensor([1.4142])
    >>> AlphaPersistence(dims=1).fit_transform(square.numpy())
    Diagrams(1 sample; H1: 1 bar; float32, cpu)
    """

    def __init__(
        self,
        dims: Any = (0, 1),
        *,
        sample_shape: tuple[int, ...] | None = None,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.dims = dims
        self.sample_shape = sample_shape
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def forward(self, x: Any, batch: torch.Tensor | None = None) -> Diagrams:
        """Return the diagrams of clouds.

        Parameters
        ----------
        x : Tensor of shape (B, N, d), list of (N_i, d), or (N, d) beside `batch`
            Clouds.
        batch : Tensor of shape (N,), integers, optional
            The cloud of each point, in any order.

        Returns
        -------
        Diagrams
            One sample for each cloud.
        """
        return alpha_persistence(x, self.dims, batch)


@shares_documentation(graph_persistence, sections=["References"])
class GraphPersistence(PersistenceLayer):
    """Persistent homology of filtered graphs; see `topodl.graph_persistence`.

    As a transformer: a list of (vertex_values, edge_index) or (vertex_values, edge_index, edge_values), or of
    (None, edge_index, edge_values), where vertices enter with their first edges, or of `Data` of PyTorch
    Geometric whose ``x`` has one value for each vertex.

    Examples
    --------
    >>> import torch
    >>> from topodl.layers import GraphPersistence
    >>> triangle = torch.tensor([[0, 1, 2], [1, 2, 0]])
    >>> GraphPersistence(extended=True)(torch.tensor([0.0, 1.0, 2.0]), triangle).dim(1).births
    tensor([2.])
    """

    dims = (0, 1)

    def __init__(
        self,
        extended: bool = False,
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.extended = extended
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def forward(
        self,
        x: Any,
        edge_index: torch.Tensor | None = None,
        edge_values: torch.Tensor | None = None,
        batch: torch.Tensor | None = None,
    ) -> Diagrams:
        """Return the diagrams of vertex values (N,) on edges (2, E), or of a list of such graphs."""
        graphs, n_graphs = x, None
        if edge_index is None:
            graphs = with_graphs("GraphPersistence", x)
            check_parts("GraphPersistence", graphs)
            x, edge_index, edge_values, batch = joined_graphs(graphs)
            n_graphs = len(graphs)
        return graph_persistence(x, edge_index, edge_values, batch, extended=self.extended, n_graphs=n_graphs)

    def _as_samples(self, X: Any, reset: bool) -> Any:
        return _inputs.as_graphs(type(self).__name__, X)


def check_parts(name: str, graphs: Any) -> None:
    """Raise an `InputError` unless there are graphs, and all or none of them have edge values."""
    if not len(graphs):
        raise fail(name, "x", "has no graphs", "at least one")
    for i, graph in enumerate(graphs):
        if len(graph) != len(graphs[0]):
            raise fail(name, f"x[{i}]", f"has {len(graph)} parts", f"{len(graphs[0])}, as x[0]")
        if (graph[0] is None) != (graphs[0][0] is None):
            came = "has no values of vertices" if graph[0] is None else "has values of vertices"
            raise fail(name, f"x[{i}]", came, "the same as x[0]")


def joined_graphs(graphs: Any) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """Return one graph with a `batch` vector from a list of graphs."""
    lengths = [_n_vertices(*graph[:2]) for graph in graphs]
    starts = np.cumsum([0, *lengths[:-1]]).tolist()
    edges = [graph[1] + start for graph, start in zip(graphs, starts, strict=True)]
    values = torch.cat([graph[2] for graph in graphs]) if len(graphs[0]) > 2 else None
    vertices = None if graphs[0][0] is None else torch.cat([graph[0] for graph in graphs])
    batch = torch.repeat_interleave(torch.tensor(lengths, device=edges[0].device))
    return vertices, torch.cat(edges, 1), values, batch


def _n_vertices(vertices: torch.Tensor | None, edges: torch.Tensor) -> int:
    if vertices is not None:
        return len(vertices)
    return int(edges.max()) + 1 if edges.numel() else 0
