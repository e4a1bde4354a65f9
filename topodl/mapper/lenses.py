"""Lenses: the values by which Mapper cuts samples apart; by name, as transformers that know new samples.

G. Singh, F. Mémoli, G. Carlsson, "Topological methods for the analysis of high dimensional data sets and 3D
object recognition", SPBG 2007. Cost: O(n d), of other exponents and metrics than the usual ones O(n² d).
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_is_fitted, validate_data

from topodl._checks import check_choice, check_number, fail
from topodl._precision import to_numpy

__all__ = ["Eccentricity", "NeighbourDensity", "as_lens_values", "read_lens", "reject_unusable_values"]

Array = npt.NDArray[Any]
_LARGEST = 1e150
_NAMED = ("pca", "eccentricity", "density")
_BLOCK = 2**22  # distances at a time


class _DistanceLens(TransformerMixin, BaseEstimator):
    """A lens by distances to the samples that it was fitted to; given ones with ``metric="precomputed"``."""

    metric: str

    def fit(self, X: Any, y: Any = None) -> Self:
        """Keep the samples, or look at their distances.

        Parameters
        ----------
        X : array of shape (n, d), or (n, n) of distances
            The samples.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        InputError
            If a setting is unusable.
        """
        check_choice(type(self).__name__, "metric", self.metric, ("euclidean", "precomputed"))
        self._check_settings()
        samples = validate_data(self, X, dtype=np.float64)
        reject_unusable_values(type(self).__name__, "X", samples)
        if self.metric == "precomputed" and samples.shape[0] != samples.shape[1]:
            raise fail(type(self).__name__, "X", f"has shape {samples.shape}", "distances (n, n)")
        self._samples = samples
        return self

    def transform(self, X: Any) -> Array:
        """Return the lens value of each sample.

        Parameters
        ----------
        X : array of shape (m, d), or (m, n) of distances to the samples that it was fitted to
            The samples.

        Returns
        -------
        ndarray of shape (m, 1)
        """
        check_is_fitted(self)
        samples = validate_data(self, X, dtype=np.float64, reset=False)
        reject_unusable_values(type(self).__name__, "X", samples)
        return self._values(samples)[:, None]

    def _check_settings(self) -> None:
        raise NotImplementedError

    def _values(self, x: Array) -> Array:
        raise NotImplementedError

    def _blocks(self, x: Array) -> Iterator[Array]:
        """Return the distances of some rows of `x` after the other to all fitted samples."""
        size = max(1, _BLOCK // len(self._samples))
        for start in range(0, len(x), size):
            rows = x[start : start + size]
            yield rows if self.metric == "precomputed" else cdist(rows, self._samples)

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Return the name of the one column of `transform`."""
        return np.array([type(self).__name__.lower()], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_samples")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.metric == "precomputed"
        tags.transformer_tags.preserves_dtype = []
        return tags


class Eccentricity(_DistanceLens):
    """How far away the samples are: the mean of their distances, raised to a power.

    Parameters
    ----------
    exponent : float
        Distances are raised to it, and the root is taken of their mean; infinity is the largest distance.
    metric : {"euclidean", "precomputed"}
        Of ``"precomputed"`` samples, distances to all fitted ones are given.

    References
    ----------
    G. Singh, F. Mémoli, G. Carlsson. Topological methods for the analysis of high dimensional data sets and
    3D object recognition. Eurographics Symposium on Point-Based Graphics, 2007, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from topodl.mapper import Eccentricity
    >>> Eccentricity(exponent=1).fit_transform(np.array([[0.0], [1.0], [2.0]])).round(2).ravel().tolist()
    [1.0, 0.67, 1.0]
    """

    def __init__(self, exponent: float = 2.0, metric: str = "euclidean") -> None:
        self.exponent = exponent
        self.metric = metric

    def _check_settings(self) -> None:
        if self.exponent != math.inf:
            check_number("Eccentricity", "exponent", self.exponent, low=1)

    def _values(self, x: Array) -> Array:
        if self.exponent == 2 and self.metric == "euclidean":
            centre = self._samples.mean(0)
            spread = np.square(self._samples - centre).sum(1).mean()
            return np.sqrt(np.square(x - centre).sum(1) + spread)
        return np.concatenate([self._means(block) for block in self._blocks(x)])

    def _means(self, distances: Array) -> Array:
        largest = distances.max(1)
        if self.exponent == math.inf:
            return largest
        unit = np.where(largest > 0, largest, 1.0)  # powers of other units may overflow
        means: Array = (
            np.power(distances / unit[:, None], self.exponent).mean(1) ** (1 / self.exponent) * unit
        )
        return means


class NeighbourDensity(_DistanceLens):
    """How dense the samples lie: minus the root mean square of the distances to the nearest ones.

    This is minus the distance to the measure of the fitted samples: in units of the distance, 0 at most, and
    smooth where a single neighbour would not be.

    Parameters
    ----------
    n_neighbors : int
        Fitted samples that count, the sample itself among them; fewer where there are not as many.
    metric : {"euclidean", "precomputed"}
        Of ``"precomputed"`` samples, distances to all fitted ones are given.

    References
    ----------
    F. Chazal, D. Cohen-Steiner, Q. Mérigot. Geometric inference for probability measures. Foundations of
    Computational Mathematics 11, 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from topodl.mapper import NeighbourDensity
    >>> NeighbourDensity(2).fit_transform(np.array([[0.0], [1.0], [5.0]])).round(2).ravel().tolist()
    [-0.71, -0.71, -2.83]
    """

    def __init__(self, n_neighbors: int = 15, metric: str = "euclidean") -> None:
        self.n_neighbors = n_neighbors
        self.metric = metric

    def _check_settings(self) -> None:
        check_number("NeighbourDensity", "n_neighbors", self.n_neighbors, low=1, integer=True)

    def _values(self, x: Array) -> Array:
        k = min(self.n_neighbors, len(self._samples))
        if self.metric == "euclidean":
            distances, _ = cKDTree(self._samples).query(x, k=range(1, k + 1))
        else:
            distances = np.concatenate(
                [np.partition(block, k - 1, axis=1)[:, :k] for block in self._blocks(x)]
            )
        return -np.sqrt(np.square(distances).mean(1))


class _Columns(TransformerMixin, BaseEstimator):
    """Some columns of the samples as they are; None: all of them."""

    def __init__(self, columns: list[int] | None) -> None:
        self.columns = columns

    def fit(self, X: Array, y: Any = None) -> Self:
        n = X.shape[1]
        for column in self.columns or ():
            if not -n <= column < n:
                raise fail("Mapper", "lens", f"is column {column}", f"one of the {n} columns of X")
        return self

    def transform(self, X: Array) -> Array:
        return X if self.columns is None else X[:, self.columns]


class _Function(TransformerMixin, BaseEstimator):
    """What a function, or a module of PyTorch, makes of the samples."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def fit(self, X: Array, y: Any = None) -> Self:
        return self

    def transform(self, X: Array) -> Any:
        if not isinstance(self.function, torch.nn.Module):
            return self.function(X)
        weight = next(self.function.parameters(), None)
        x = torch.from_numpy(X)
        x = x.to(torch.get_default_dtype()) if weight is None else x.to(weight.device, weight.dtype)
        with torch.no_grad():
            return self.function(x)


def read_lens(lens: Any, n_components: int, precomputed: bool, random_state: Any, names: list[str]) -> Any:
    """Return the transformer, not fitted, that a setting of `Mapper` means for columns with these `names`."""
    metric = "precomputed" if precomputed else "euclidean"
    lens = _numbered(lens, names)
    if isinstance(lens, str):
        check_choice("Mapper", "lens", lens, (*_NAMED, *names))
        if lens == "eccentricity":
            return Eccentricity(metric=metric)
        if lens == "density":
            return NeighbourDensity(metric=metric)
        if precomputed:
            raise fail("Mapper", "lens", "is 'pca' with metric='precomputed'", "'eccentricity' or 'density'")
        check_number("Mapper", "n_components", n_components, low=1, integer=True)
        return PCA(n_components, random_state=random_state)
    if lens is None:
        return _Columns(None)
    if isinstance(lens, numbers.Integral) and not isinstance(lens, bool):
        return _Columns([int(lens)])
    if (
        isinstance(lens, list | tuple)
        and lens
        and all(isinstance(column, numbers.Integral) for column in lens)
    ):
        return _Columns([int(column) for column in lens])
    if hasattr(lens, "fit_transform") and not isinstance(lens, type):
        return clone(lens)
    if callable(lens):
        return _Function(lens)
    expected = "a name, columns, a function of X, a transformer, a torch.nn.Module, or None for X itself"
    raise fail("Mapper", "lens", f"is {lens!r}", expected)


def _numbered(lens: Any, names: list[str]) -> Any:
    """Return a lens of named columns as that of their numbers; the names of lenses come first."""
    if isinstance(lens, str):
        return names.index(lens) if lens not in _NAMED and lens in names else lens
    if isinstance(lens, list | tuple) and lens and all(isinstance(name, str) for name in lens):
        unknown = [name for name in lens if name not in names]
        if unknown:
            raise fail(
                "Mapper", "lens", f"has {unknown[0]!r}", f"columns of X: {', '.join(names) or 'no names'}"
            )
        return [names.index(name) for name in lens]
    return lens


def as_lens_values(function: str, values: Any, n: int) -> Array:
    """Return lens values as an array (n, q) of float64, or the error that names the first that is wrong."""
    found = to_numpy(values) if isinstance(values, torch.Tensor) else np.asarray(values)
    table = found[:, None] if found.ndim == 1 else found
    if table.ndim != 2 or len(table) != n or table.shape[1] == 0 or table.dtype.kind not in "biuf":
        came = f"has shape {found.shape} and dtype {found.dtype}"
        raise fail(function, "lens", came, f"numbers of shape ({n},) or ({n}, q), one row for each sample")
    table = np.ascontiguousarray(table, np.float64)
    reject_unusable_values(function, "lens", table)
    return table


def reject_unusable_values(function: str, argument: str, table: Array) -> None:
    """Raise the error that names the first value (n, d) that is not finite, or whose square would not be."""
    wrong = np.argwhere(~(np.abs(table) <= _LARGEST))
    if len(wrong):
        row, column = wrong[0]
        came = f"has {table[row, column]} at row {row}, column {column}".replace("nan", "NaN")
        raise fail(function, argument, came, f"finite values of at most {_LARGEST:g}")
