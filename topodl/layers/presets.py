"""Ready pipelines from images, clouds, graphs and time series to tables: nothing has to be chosen.

Each is made of the layers of this package, so any step can be looked at, replaced, or searched over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils.validation import check_is_fitted

from topodl._checks import check_choice, check_number, fail
from topodl._columns import cells_of
from topodl._pyg import is_graph
from topodl.filtrations import degree_values, heat_kernel_signature
from topodl.layers import _inputs
from topodl.layers.curves import BettiCurve
from topodl.layers.delay_embedding import DelayEmbedding
from topodl.layers.filtration import Filtration
from topodl.layers.images import PersistenceImage
from topodl.layers.persistence import (
    AlphaPersistence,
    CubicalPersistence,
    GraphPersistence,
    RipsPersistence,
)
from topodl.layers.slice_features import SliceFeatures
from topodl.layers.summaries import PersistenceStatistics

__all__ = ["cloud_features", "graph_features", "image_features", "time_series_features"]

_Array = np.ndarray[Any, np.dtype[Any]]
_IMAGES = "image_features"
# Share of the values' range over which a bar's end is blurred: neighbours on the grid then share it.
_BLUR = 0.1


def image_features(
    *,
    directions: int | Sequence[Sequence[float]] = 8,
    slopes: Sequence[float] = (0.5, 1.0, 2.0),
    superlevel: bool = True,
    resolution: int = 16,
    sample_shape: tuple[int, ...] | None = None,
    n_jobs: int | None = None,
) -> Pipeline:
    """Return a transformer of images or volumes: Betti curves of the image on ramps in all directions.

    Values are scaled to the range of those seen by `fit`. Ramps of several slopes are added, so that bars
    tell where things are and not just that they are there; the Betti curves of all these images, smoothed,
    are the features.

    Parameters
    ----------
    directions : int or sequence of vectors
        Directions of the ramps, as in `topodl.filtrations.tilt`.
    slopes : sequence of float
        How much a ramp rises over half of the longest side, as a share of the range of values.
    superlevel : bool
        Whether what is bright comes first, or what is dark. Pixels of it are 8-connected (26 in volumes).
    resolution : int
        Values of each curve.
    sample_shape : tuple of int, optional
        Shape of an image in a row of a table, as (8, 8).
    n_jobs : int, optional
        Chunks of images at once, by joblib's current backend.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Takes images (B, H, W), volumes (B, D, H, W), lists of them, or a table; gives a column for each
        ramp (in the order of `topodl.filtrations.tilt`), homology dimension and value of the curve.

    Raises
    ------
    InputError
        If `directions` or `slopes` are empty; other settings are checked by `fit`.

    References
    ----------
    A. Garin, G. Tauzin, "A topological 'reading' lesson: classification of MNIST using TDA", ICMLA 2019
    (filtrations in all directions). Y. Umeda, "Time series classification via topological data analysis",
    Transactions of the Japanese Society for Artificial Intelligence 32, 2017 (Betti curves).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from topodl.layers import image_features
    >>> X, y = load_digits(return_X_y=True)
    >>> model = make_pipeline(image_features(sample_shape=(8, 8)), LogisticRegression(max_iter=1000))
    >>> model.fit(X[:300], y[:300]).score(X[300:600], y[300:600]) > 0.8
    True
    """
    name = "image_features"
    _reject_empty(name, "slopes", slopes)
    if not isinstance(directions, int):
        _reject_empty(name, "directions", directions)
    n = directions if isinstance(directions, int) else len(directions)
    ramps = Filtration("tilt", directions=directions, slopes=tuple(slopes), n_jobs=n_jobs)
    persistence = CubicalPersistence(superlevel=superlevel, construction="cell", channels=True, n_jobs=n_jobs)
    curves = BettiCurve(resolution=resolution, width=_BLUR)
    return Pipeline(
        [
            ("range", _UnitRange(sample_shape)),
            ("ramps", ramps),
            ("persistence", persistence),
            ("features", SliceFeatures(curves, n * len(slopes), n_jobs=n_jobs)),
        ]
    )


def time_series_features(
    *,
    slopes: Sequence[float] = (-2.0, -1.0, 0.0, 1.0, 2.0),
    resolution: int = 16,
    dimension: int | None = 3,
    delay: int = 1,
    n_jobs: int | None = None,
) -> FeatureUnion:
    """Return a transformer of time series: their sub- and superlevel sets on ramps, and a delay embedding.

    Betti curves as in `image_features`, along time alone: the ramps of rising and falling slopes tell early
    peaks from late ones; slope 0 is the series itself. Beside them statistics of the Rips persistence of the
    cloud of delayed values, whose loops are what repeats; its time grows with the square of the length.

    Parameters
    ----------
    slopes : sequence of float
        How much a ramp rises over half of the series, as a share of the range of values.
    resolution : int
        Values of each curve.
    dimension : int, optional
        Coordinates of the delay embedding, as in `DelayEmbedding`. None leaves it out.
    delay : int
        Steps between its coordinates.
    n_jobs : int, optional
        Chunks of series at once, by joblib's current backend.

    Returns
    -------
    sklearn.pipeline.FeatureUnion
        Takes series (B, L), or a list of series of several lengths; gives a column for each side ("valleys",
        "peaks"), slope and value of the curve, and 92 of the embedding ("delays").

    Raises
    ------
    InputError
        If `slopes` are empty; other settings are checked by `fit`.

    References
    ----------
    Y. Umeda, "Time series classification via topological data analysis", Transactions of the Japanese Society
    for Artificial Intelligence 32, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from topodl.layers import time_series_features
    >>> series = np.sin(np.linspace(0, 20, 100) + np.arange(5)[:, None])
    >>> features = time_series_features(resolution=8)
    >>> features.fit_transform(series).shape
    (5, 172)
    >>> print(features.get_feature_names_out()[0])
    valleys__slicefeatures_0_betticurve_h0_0
    """
    _reject_empty("time_series_features", "slopes", slopes)
    sides = [
        ("valleys", _series_side(False, slopes, resolution, n_jobs)),
        ("peaks", _series_side(True, slopes, resolution, n_jobs)),
    ]
    if dimension is not None:
        sides.append(("delays", _series_cloud(dimension, delay, n_jobs)))
    return FeatureUnion(sides)


def _series_cloud(dimension: int, delay: int, n_jobs: int | None) -> Pipeline:
    return Pipeline(
        [
            ("embedding", DelayEmbedding(dimension, delay, n_jobs=n_jobs)),
            ("persistence", RipsPersistence(n_jobs=n_jobs)),
            ("features", PersistenceStatistics(n_jobs=n_jobs)),
        ]
    )


def _series_side(superlevel: bool, slopes: Sequence[float], resolution: int, n_jobs: int | None) -> Pipeline:
    ramps = Filtration("tilt", directions=((0.0, 1.0),), slopes=tuple(slopes), n_jobs=n_jobs)
    persistence = CubicalPersistence(0, superlevel, channels=True, n_jobs=n_jobs)
    curves = BettiCurve(resolution=resolution, width=_BLUR)
    return Pipeline(
        [
            ("range", _UnitRange(None)),
            ("ramps", ramps),
            ("persistence", persistence),
            ("features", SliceFeatures(curves, len(slopes), n_jobs=n_jobs)),
        ]
    )


def cloud_features(
    *,
    filtration: Literal["rips", "alpha"] = "rips",
    dims: int | Sequence[int] = (0, 1),
    resolution: int = 8,
    sample_shape: tuple[int, ...] | None = None,
    n_jobs: int | None = None,
) -> Pipeline:
    """Return a transformer of point clouds: statistics of their bars beside a persistence image.

    Parameters
    ----------
    filtration : {"rips", "alpha"}
        Vietoris-Rips in any number of coordinates, or alpha in two and three, which is faster where a cloud
        has many points.
    dims : int or sequence of int
        Homology dimensions.
    resolution : int
        Pixels of an image along each axis.
    sample_shape : tuple of int, optional
        Shape of a cloud in a row of a table, as (-1, 3).
    n_jobs : int, optional
        Chunks of clouds at once, by joblib's current backend.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Takes clouds (B, N, d), a list of clouds (N_i, d), or a table; gives the columns of
        `PersistenceStatistics` and of `PersistenceImage`, for each dimension.

    Raises
    ------
    InputError
        If `filtration` is another one; other settings are checked by `fit`.

    References
    ----------
    D. Ali et al. A survey of vectorization methods in topological data analysis. IEEE TPAMI 45, 2023.
    H. Adams et al. Persistence images: a stable vector representation of persistent homology. JMLR 18, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from topodl.layers import cloud_features
    >>> clouds = np.random.default_rng(0).random((5, 30, 3))
    >>> features = cloud_features(filtration="alpha", dims=(0, 1, 2))
    >>> features.fit_transform(clouds).shape
    (5, 330)
    >>> print(features.get_feature_names_out()[0])
    statistics__persistencestatistics_h0_birth_mean
    """
    check_choice("cloud_features", "filtration", filtration, ("rips", "alpha"))
    kind = RipsPersistence if filtration == "rips" else AlphaPersistence
    parts = [
        ("statistics", PersistenceStatistics(n_jobs=n_jobs)),
        ("image", PersistenceImage(resolution=resolution, n_jobs=n_jobs)),
    ]
    persistence = kind(dims=dims, sample_shape=sample_shape, n_jobs=n_jobs)
    return Pipeline([("persistence", persistence), ("features", FeatureUnion(parts))])


def graph_features(
    *, times: Sequence[float] = (0.1, 1.0, 10.0), degree: bool = True, n_jobs: int | None = None
) -> Pipeline:
    """Return a transformer of graphs: statistics of extended persistence by heat and by degree.

    Vertices are filtered by heat kernel signatures, which see from the nearest neighbours to the whole graph
    as the time grows, and by 1 / degree. Nothing is learnt from data.

    Parameters
    ----------
    times : sequence of float
        Times of the heat kernel signatures, positive.
    degree : bool
        Whether 1 / degree is a filtration, too (1 where a vertex has no edge).
    n_jobs : int, optional
        Chunks of graphs at once, by joblib's current backend.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Takes a list of (vertices, edge_index), where vertices are the number of them or an array with a row
        for each, whose values play no part, or of PyTorch Geometric's `Data`; gives 92 columns for each time
        and for the degree.

    Raises
    ------
    InputError
        If there is neither a time nor the degree; other settings are checked by `fit`.

    See Also
    --------
    topodl.datasets.GraphCollection.pairs : the graphs of a public file in this form.

    References
    ----------
    M. Carrière et al., "PersLay", AISTATS 2020 (heat kernel signatures and extended persistence).
    D. Ali et al. A survey of vectorization methods in topological data analysis. IEEE TPAMI 45, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from topodl.layers import graph_features
    >>> triangle, path = np.array([[0, 1, 2], [1, 2, 0]]), np.array([[0, 1, 2], [1, 2, 3]])
    >>> graph_features().fit_transform([(3, triangle), (4, path)]).shape
    (2, 368)
    """
    if not degree:
        _reject_empty("graph_features", "times", times)
    persistence = GraphPersistence(extended=True, n_jobs=n_jobs)
    n = len(times) + bool(degree)
    return Pipeline(
        [
            ("filtrations", _Signatures(tuple(times), degree)),
            ("persistence", persistence),
            ("features", SliceFeatures(PersistenceStatistics(n_jobs=n_jobs), n, n_jobs=n_jobs)),
        ]
    )


def _reject_empty(name: str, argument: str, values: Any) -> None:
    if not len(values):
        raise fail(name, argument, "is empty", "at least one")


class _Step(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """A transformer whose result is no table: the last step of the pipeline makes one."""

    def set_output(self, *, transform: str | None = None) -> Self:
        """Do nothing."""
        return self

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Return the names that came in."""
        return input_features


class _UnitRange(_Step):
    """Scales images so that the values seen by `fit` reach from 0 to 1."""

    def __init__(self, sample_shape: tuple[int, ...] | None) -> None:
        self.sample_shape = sample_shape

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the least and the largest value of all images."""
        images = _inputs.as_images(self, cells_of(_IMAGES, X), True)
        self.low_ = float(min(image.min() for image in images))
        self.high_ = float(max(image.max() for image in images))
        return self

    def transform(self, X: Any) -> Any:
        """Return the images, scaled; 0 where `fit` saw one value alone."""
        check_is_fitted(self)
        images = _inputs.as_images(self, cells_of(_IMAGES, X), False)
        width = self.high_ - self.low_
        scaled = [(image - self.low_) / (width or 1.0) for image in images]
        return scaled if isinstance(images, list) else np.stack(scaled)


class _Signatures(_Step):
    """Filters graphs by heat kernel signatures and 1 / degree: (values (N, F), edge_index) of each."""

    def __init__(self, times: tuple[float, ...], degree: bool) -> None:
        self.times = times
        self.degree = degree

    def fit(self, X: Any, y: Any = None) -> Self:
        """Do nothing."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def transform(self, X: Any) -> list[tuple[_Array, _Array]]:
        """Return the filtered graphs."""
        sizes, edges = _read_graphs(X)
        starts = torch.tensor([0, *sizes], device="cpu").cumsum(0)
        batch = torch.repeat_interleave(starts.diff())
        joined = torch.cat([part + start for part, start in zip(edges, starts[:-1], strict=True)], 1)
        columns = []
        if self.times:
            columns.append(heat_kernel_signature(joined, self.times, batch=batch).double())
        if self.degree:
            columns.append(1 / degree_values(joined, batch=batch).double().clamp(min=1)[:, None])
        values = torch.cat(columns, 1).split(list(sizes))
        return [(part.numpy(), edge.numpy()) for part, edge in zip(values, edges, strict=True)]


def _read_graphs(X: Any) -> tuple[list[int], list[torch.Tensor]]:
    """Return the number of vertices and the edges (2, E) of each graph."""
    name = "graph_features"
    sizes, edges = [], []
    if not isinstance(X, list | tuple) or not X:
        came = "is empty" if isinstance(X, list | tuple) else f"is a {type(X).__name__}"
        raise fail(name, "X", came, "a list of (vertices, edge_index)")
    for i, item in enumerate(X):
        vertices, edge_index = _parts_of(item, name, i)
        n = vertices if isinstance(vertices, int | np.integer) else len(vertices)
        check_number(name, f"the number of vertices of X[{i}]", n, low=1, integer=True)
        table = torch.as_tensor(edge_index, device="cpu")
        if table.ndim != 2 or table.shape[0] != 2 or (table.numel() and table.is_floating_point()):
            raise fail(name, f"X[{i}]", f"has edges of shape {tuple(table.shape)}", "integers (2, E)")
        if table.numel() and not 0 <= int(table.min()) <= int(table.max()) < n:
            came = f"has edges between vertices {int(table.min())} and {int(table.max())}"
            raise fail(name, f"X[{i}]", came, f"vertices from 0 to {n - 1}")
        sizes.append(int(n))
        edges.append(table.long())
    return sizes, edges


def _parts_of(item: Any, name: str, i: int) -> tuple[Any, Any]:
    """Return the vertices and the edges of a pair, or of a graph of PyTorch Geometric."""
    if is_graph(item):
        return int(item.num_nodes), item.edge_index
    if not isinstance(item, list | tuple) or len(item) != 2:
        raise fail(name, f"X[{i}]", f"is a {type(item).__name__}", "(vertices, edge_index)")
    return item[0], item[1]
