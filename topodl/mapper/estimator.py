"""`Mapper`, an estimator of scikit-learn, and `mapper_graph`, the same as a function of tensors.

G. Singh, F. Mémoli, G. Carlsson, "Topological methods for the analysis of high dimensional data sets and 3D
object recognition", SPBG 2007.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import sklearn
import torch
from scipy.sparse import csr_array
from scipy.spatial import cKDTree
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data
from tqdm import tqdm

from topodl._checks import as_real, as_tensor, check_choice, fail
from topodl._docs import shares_documentation
from topodl._host import host_array
from topodl._precision import at_least_single
from topodl.mapper._attributes import fitted_attributes, node_features
from topodl.mapper._build import Settings, build_graph
from topodl.mapper._near import Array, Samples
from topodl.mapper.clustering import read_clusterer
from topodl.mapper.covers import Cover, IntervalCover
from topodl.mapper.graph import MapperGraph
from topodl.mapper.lenses import as_lens_values, read_lens, reject_unusable_values

__all__ = ["Mapper", "mapper_graph"]

_NAME = "Mapper"


class Mapper(TransformerMixin, BaseEstimator):
    """Mapper: the shape of samples as a graph of clusters of preimages of a lens.

    Samples are cut into overlapping sets by their lens values; each set falls into clusters, which are the
    nodes; nodes with common samples are joined.

    Parameters
    ----------
    lens : str, int, sequence of str or int, callable, transformer, torch.nn.Module or None
        "pca", "eccentricity", "density" (`Eccentricity` and `NeighbourDensity` with their defaults), columns
        of X by number, or of a data frame by name, or what makes lens values (n,) or (n, q) of X. None: the
        samples themselves. A transformer is fitted once, so that a random one gives the same values
        everywhere.
    n_components : int
        Principal components of ``lens="pca"``.
    cover : {"uniform", "balanced", "bins"} or cover
        The kind of `IntervalCover`, with `n_intervals` and `overlap`, or a cover of any kind, for which these
        two do not count.
    n_intervals : int or sequence of q int
        Number of intervals along each axis of the lens.
    overlap : float or sequence of q float
        Share of an interval that lies in the next one.
    clusterer : {"gap", "simple_gap"}, float, None or clusterer
        How preimages fall into clusters: by `HistogramGap` or `RelativeGap` with their defaults, by single
        linkage up to a distance, not at all, by `SingleLinkage`, or by a clusterer of scikit-learn. One that
        asks for more clusters than a preimage has samples makes one of each; where there are fewer samples
        than its `min_samples` or `min_cluster_size`, all are noise.
    metric : {"euclidean", "precomputed"}
        Whether X has coordinates, or distances (n, n) between the samples.
    min_size : int
        Samples that a node has at least.
    min_shared : int
        Common samples of nodes that are joined.
    max_dim : int
        The largest dimension of simplices of the graph.
    noise : {"drop", "singletons", "node"}
        What becomes of samples that a clusterer calls noise: in no node of the element, each in a node of its
        own, or all of an element in one node.
    attributes : layer, Pipeline, torch.nn.Sequential or callable, optional
        What makes features of the preimages of all nodes, handed over in one call as a list of tensors
        (m, d): ``graph_.x``. Of layers that have to learn from data, and have not, copies learn from these.
    random_state : int, RandomState instance or None
        Of the principal components.
    n_jobs : int, optional
        Preimages that a clusterer of scikit-learn works on at once; all else uses topodl's threads.
    verbose : bool
        Whether a progress bar is shown.

    Attributes
    ----------
    graph_ : MapperGraph
        The graph.
    lens_ : ndarray of shape (n, q)
        Lens values of the samples.
    cover_ : IntervalCover, BallCover, …
        The cover, fitted.
    labels_ : ndarray of shape (n,)
        The component of the graph that each sample lies in, the first of several; −1 where it is in none.

    References
    ----------
    G. Singh, F. Mémoli, G. Carlsson. Topological methods for the analysis of high dimensional data sets and
    3D object recognition. Eurographics Symposium on Point-Based Graphics, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from topodl import Mapper
    >>> t = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    >>> circle = np.stack([np.cos(t), np.sin(t)], 1)
    >>> mapper = Mapper(lens=1, n_intervals=5, clusterer=0.2).fit(circle)
    >>> mapper.graph_
    MapperGraph(8 nodes, 8 edges, 1 component; 100 of 100 samples; cpu)
    >>> mapper.graph_.betti()
    (1, 1)
    >>> mapper.transform(np.array([[1.1, 0.0]])).nonzero()[1].tolist()
    [3]
    """

    graph_: MapperGraph
    lens_: Array
    cover_: Cover
    labels_: Array
    lens_transformer_: Any

    def __init__(
        self,
        lens: Any = "pca",
        n_components: int = 1,
        cover: Any = "uniform",
        n_intervals: Any = 10,
        overlap: Any = 0.3,
        clusterer: Any = "gap",
        metric: str = "euclidean",
        min_size: int = 1,
        min_shared: int = 1,
        max_dim: int = 1,
        noise: str = "drop",
        attributes: Any = None,
        random_state: Any = 0,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.lens = lens
        self.n_components = n_components
        self.cover = cover
        self.n_intervals = n_intervals
        self.overlap = overlap
        self.clusterer = clusterer
        self.metric = metric
        self.min_size = min_size
        self.min_shared = min_shared
        self.max_dim = max_dim
        self.noise = noise
        self.attributes = attributes
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None, lens: Any = None) -> Self:
        """Make the graph of some samples.

        Parameters
        ----------
        X : array of shape (n, d), or (n, n) of distances
            The samples.
        y : ignored
        lens : array of shape (n,) or (n, q), optional
            Lens values, in place of what the constructor says.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If X or the lens has a value that is not finite, or a setting is unusable.
        """
        table = self._checked(X, reset=True)
        self._fit(table, lens)
        if self.attributes is not None:
            samples = Samples(table, self._precomputed)
            clouds = tuple(torch.from_numpy(samples.cloud(node.numpy())) for node in self.graph_)
            with torch.no_grad():
                self.graph_ = self._attributed(clouds)
        return self

    def _fit(self, table: Array, lens: Any) -> None:
        """Set what is learnt but the features of nodes."""
        settings = Settings(self.noise, self.min_size, self.min_shared, self.max_dim)
        settings.check(_NAME)
        clusterer = read_clusterer(_NAME, self.clusterer, self._precomputed, self.n_jobs)
        with tqdm(total=3, desc=_NAME, disable=not self.verbose) as progress:
            self.lens_transformer_ = None
            if lens is None:
                names = list(getattr(self, "feature_names_in_", ()))
                self.lens_transformer_ = read_lens(
                    self.lens, self.n_components, self._precomputed, self.random_state, names
                )
                with np.errstate(divide="ignore", invalid="ignore"):  # principal components of equal samples
                    lens = self.lens_transformer_.fit_transform(table)
            self.lens_ = as_lens_values(_NAME, lens, len(table))
            progress.update()
            self.cover_ = self._new_cover()
            preimages = self.cover_.fit(self.lens_, self._lens_is_distances)
            progress.update()
            samples = Samples(table, self._precomputed)
            self.graph_, self._elements = build_graph(samples, preimages, self.cover_, clusterer, settings)
            progress.update()
        self._table = None if self._precomputed else table
        self.labels_ = self._components(len(table))

    @property
    def _precomputed(self) -> bool:
        return self.metric == "precomputed"

    @property
    def _lens_is_distances(self) -> bool:
        return self._precomputed and self.lens_transformer_ is not None and self.lens is None

    def _checked(self, X: Any, reset: bool, function: str = _NAME, argument: str = "X") -> Array:
        """Return the samples as an array of float64, or the error that names the first that is unusable."""
        check_choice(_NAME, "metric", self.metric, ("euclidean", "precomputed"))
        if isinstance(X, torch.Tensor):
            X = host_array(function, at_least_single(as_real(function, argument, X)))
        table: Array = validate_data(
            self, X, reset=reset, dtype=np.float64, order="C", ensure_all_finite=False
        )
        reject_unusable_values(function, argument, table)
        if reset and self._precomputed and not _is_matrix_of_distances(table):
            came = f"has shape {table.shape}" if len(table) != table.shape[1] else "is not symmetric"
            raise fail(function, argument, came, "symmetric distances (n, n) of at least 0")
        return table

    def _new_cover(self) -> Cover:
        if isinstance(self.cover, str):
            check_choice(_NAME, "cover", self.cover, ("uniform", "balanced", "bins"))
            return IntervalCover(self.n_intervals, self.overlap, self.cover)
        if not isinstance(self.cover, Cover):
            raise fail(_NAME, "cover", f"is {self.cover!r}", "'uniform', 'balanced', 'bins', or a cover")
        copied: Cover = clone(self.cover)
        return copied

    def _components(self, n: int) -> Array:
        """Return the first component (n,) that each sample lies in."""
        graph = self.graph_
        component = np.repeat(graph.component.numpy(), graph.sizes.numpy())
        labels = np.full(n, len(graph))
        np.minimum.at(labels, graph.node_index.numpy(), component)
        return np.where(labels == len(graph), -1, labels)

    def _attributed(self, clouds: tuple[torch.Tensor, ...]) -> MapperGraph:
        """Return the graph with the features of the points, or distances, of its nodes."""
        if not clouds:
            return self.graph_
        self.attributes_ = fitted_attributes(self.attributes, clouds)
        return self.graph_.with_x(node_features(self.attributes_, clouds))

    def transform(self, X: Any, lens: Any = None) -> Any:
        """Return which nodes new samples belong to.

        A sample lies in elements of the cover by its lens values, and in the node of its nearest member in
        each; samples that `fit` saw lie in at least the nodes that hold them.

        Parameters
        ----------
        X : array of shape (m, d), or (m, n) of distances to the samples of `fit`
            The samples.
        lens : array of shape (m,) or (m, q), optional
            Their lens values, where `fit` was given some.

        Returns
        -------
        sparse array of shape (m, V), float64
            1 where a sample belongs to a node; a data frame, or an array, where `set_output` asks for one.

        Raises
        ------
        NotFittedError
            Before `fit`.
        InputError
            If the lens of new samples is not known.
        """
        check_is_fitted(self)
        table = self._checked(X, reset=False)
        values = as_lens_values(_NAME, self._lens_of(table) if lens is None else lens, len(table))
        if values.shape[1] != self.lens_.shape[1] and not self._lens_is_distances:
            came = f"has {values.shape[1]} columns"
            raise fail(_NAME, "lens", came, f"{self.lens_.shape[1]}, as in fit")
        rows, columns = self._nodes_of(table, *self.cover_.locate(values))
        found = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(table), len(self.graph_)))
        found.data[:] = 1.0
        chosen = getattr(self, "_sklearn_output_config", {})
        kind = chosen.get("transform", sklearn.get_config()["transform_output"])
        return found if kind == "default" else found.toarray()

    def _lens_of(self, table: Array) -> Any:
        if not hasattr(self.lens_transformer_, "transform"):
            came = "is not given, and that of fit cannot tell it of new samples"
            raise fail(_NAME, "lens", came, "lens values of X")
        return self.lens_transformer_.transform(table)

    def _nodes_of(self, table: Array, rows: Array, elements: Array) -> tuple[Array, Array]:
        """Return pairs of samples (M,) and nodes (M,), that of the nearest member in each element."""
        ptr, members = self.graph_.node_ptr.numpy(), self.graph_.node_index.numpy()
        order = np.argsort(elements, kind="stable")
        known, starts = np.unique(elements[order], return_index=True)
        found_rows, found_nodes = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for element, own in zip(known, np.split(rows[order], starts[1:]), strict=True):
            first, end = np.searchsorted(self._elements, [element, element + 1])
            if first < end:  # nodes are numbered by element
                near = self._nearest(table[own], members[ptr[first] : ptr[end]])
                found_rows.append(own)
                found_nodes.append(np.searchsorted(ptr, ptr[first] + near, side="right") - 1)
        return np.concatenate(found_rows), np.concatenate(found_nodes)

    def _nearest(self, rows: Array, members: Array) -> Array:
        """Return the place (m,) of the nearest of some fitted samples for each of the `rows`."""
        if self._table is None:
            return rows[:, members].argmin(1)
        nearest: Array = cKDTree(self._table[members]).query(rows)[1]
        return nearest

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Return the name of each node."""
        check_is_fitted(self)
        return np.array([f"mapper{k}" for k in range(len(self.graph_))], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "graph_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self._precomputed
        tags.transformer_tags.preserves_dtype = []
        return tags


def _is_matrix_of_distances(table: Array) -> bool:
    square = table.shape[0] == table.shape[1]
    return square and bool((table >= 0).all()) and np.allclose(table, table.T, rtol=1e-6)


@shares_documentation(Mapper, sections=["References"])
def mapper_graph(
    x: torch.Tensor,
    lens: Any = "pca",
    n_intervals: Any = 10,
    overlap: Any = 0.3,
    clusterer: Any = "gap",
    *,
    cover: Any = "uniform",
    n_components: int = 1,
    metric: str = "euclidean",
    min_size: int = 1,
    min_shared: int = 1,
    max_dim: int = 1,
    noise: str = "drop",
    attributes: Any = None,
    random_state: Any = 0,
    n_jobs: int | None = None,
) -> MapperGraph:
    """Return the Mapper graph of samples; gradients reach them from its features.

    Which samples a node holds are integers without gradient; what `attributes` makes of them, ``x`` of the
    graph, has one, so that it can stand in a training loop, with the graph made anew in each step.

    Parameters
    ----------
    x : Tensor of shape (n, d), or (n, n) of distances
        The samples; an array is taken, too.
    lens : Tensor of shape (n,) or (n, q), or what `Mapper` takes
        Lens values, or what makes them.

    Returns
    -------
    MapperGraph
        On the device of `x`.

    Raises
    ------
    InputError
        If `x` or the lens has a value that is not finite, or a setting is unusable.

    Examples
    --------
    >>> import torch
    >>> from topodl import mapper_graph
    >>> from topodl.layers import PersistenceStatistics, RipsPersistence
    >>> from sklearn.pipeline import make_pipeline
    >>> t = torch.linspace(0, 6.28, 100)
    >>> x = torch.stack([t.cos(), t.sin()], 1).requires_grad_()
    >>> statistics = make_pipeline(RipsPersistence(dims=0), PersistenceStatistics())
    >>> graph = mapper_graph(x, x[:, 1], n_intervals=5, clusterer=0.2, attributes=statistics)
    >>> graph
    MapperGraph(8 nodes, 8 edges, 1 component, 46 features; 100 of 100 samples; cpu)
    >>> graph.x.sum().backward()
    """
    name = "mapper_graph"
    points = as_real(name, "x", as_tensor(x))
    values = lens if isinstance(lens, torch.Tensor | np.ndarray) else None
    mapper = Mapper(
        lens="pca" if values is not None else lens,
        n_components=n_components,
        cover=cover,
        n_intervals=n_intervals,
        overlap=overlap,
        clusterer=clusterer,
        metric=metric,
        min_size=min_size,
        min_shared=min_shared,
        max_dim=max_dim,
        noise=noise,
        attributes=attributes,
        random_state=random_state,
        n_jobs=n_jobs,
    )
    mapper._fit(mapper._checked(points, True, name, "x"), values)
    graph = mapper.graph_ = mapper.graph_.to(points.device)
    if attributes is None:
        return graph
    if metric == "precomputed":
        return mapper._attributed(tuple(points[node][:, node] for node in graph))
    return mapper._attributed(graph.clouds(points))
