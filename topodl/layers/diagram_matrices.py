"""Distances and kernels to the diagrams of a training set, as features and for classifiers with a kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from topodl._checks import fail
from topodl.diagrams import Diagrams
from topodl.distances import distance_matrix, kernel_matrix
from topodl.layers import _inputs
from topodl.layers._base import DiagramLayer

__all__ = ["DiagramDistances", "DiagramKernel"]


class _AmongDiagrams(DiagramLayer):
    """A layer that compares diagrams with others: those of `fit`, or a second batch.

    Parameters
    ----------
    dims : int or sequence of int, optional
        Homology dimensions to compare. None: all of the diagrams.
    """

    training_diagrams_: Diagrams | None = None

    def reset_parameters(self) -> None:
        self.training_diagrams_ = None

    def __sklearn_is_fitted__(self) -> bool:
        return self.training_diagrams_ is not None

    def _fit(self, d: Diagrams) -> None:
        self._among(d[:0], d)  # unusable settings are errors now
        self.training_diagrams_ = d.cpu()

    def forward(self, d: Any, others: Any = None) -> torch.Tensor:
        """Return the matrix between two batches, without gradient.

        Parameters
        ----------
        d : Diagrams, or a list of arrays (n, 2)
            Batch of B samples.
        others : Diagrams, or a list of arrays (n, 2), optional
            Batch of C samples. None: those that `fit` was given.

        Returns
        -------
        Tensor of shape (B, C)

        Raises
        ------
        NotFittedError
            If there is no second batch and `fit` was not called.
        InputError
            If a setting is unusable, or the batches differ in their dimensions.
        """
        name = type(self).__name__
        if others is None:
            if self.training_diagrams_ is None:
                raise self._not_fitted("the second batch")
            others = self.training_diagrams_
        first = self._with_fitted_dims(_inputs.as_diagrams(name, d))
        if others is d:
            return self._among(first, None)
        second = self._with_fitted_dims(_inputs.as_diagrams(name, others))
        dims = {*first.homology_dims, *second.homology_dims}  # a fold may lack bars of a dimension
        first, second = (each._with(homology_dims=tuple(sorted(dims))) for each in (first, second))
        return self._among(first, second)

    def _among(self, d: Diagrams, others: Diagrams | None) -> torch.Tensor:
        raise NotImplementedError

    def _options(self, given: Any, name: str) -> dict[str, Any]:
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            raise fail(type(self).__name__, name, f"is {given!r}", "a dictionary, or None")
        return dict(given)

    def _feature_names(self) -> list[str]:
        return [str(i) for i in range(len(self.training_diagrams_ or ()))]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags


class DiagramDistances(_AmongDiagrams):
    """Distances to each diagram of the training set, for `KNeighborsClassifier(metric="precomputed")`.

    As a module: two batches of `Diagrams` to a matrix (B, C), or one and the diagrams of `fit`; without
    gradient. Distances of several homology dimensions are joined by a norm.

    Parameters
    ----------
    metric : str
        As of `topodl.distances.distance_matrix`, which says what becomes of essential bars.
    metric_params : dict, optional
        Options of the metric.
    norm : float
        Norm over the homology dimensions, at least 1; inf is the largest distance.

    See Also
    --------
    topodl.distances.distance_matrix : the distances in each dimension.

    References
    ----------
    D. Cohen-Steiner, H. Edelsbrunner, J. Harer. Stability of persistence diagrams. Discrete & Computational
    Geometry 37, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from topodl.layers import DiagramDistances
    >>> X = [np.array([[0.0, n]]) for n in (1.0, 1.5, 6.0, 7.0)]
    >>> model = make_pipeline(DiagramDistances("bottleneck"), KNeighborsClassifier(1, metric="precomputed"))
    >>> model.fit(X, [0, 0, 1, 1]).predict([np.array([[0.0, 5.5]])])
    array([1])
    """

    def __init__(
        self,
        metric: str = "wasserstein",
        metric_params: dict[str, Any] | None = None,
        norm: float = 2,
        dims: Any = None,
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.metric = metric
        self.metric_params = metric_params
        self.norm = norm
        self.dims = dims
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _among(self, d: Diagrams, others: Diagrams | None) -> torch.Tensor:
        name = type(self).__name__
        if not isinstance(self.norm, int | float) or not self.norm >= 1:
            raise fail(name, "norm", f"is {self.norm!r}", "a number of at least 1, or inf")
        options = self._options(self.metric_params, "metric_params")
        table = distance_matrix(d, others, self.metric, dims=self.dims, **options)
        return torch.linalg.vector_norm(table.double(), float(self.norm), dim=0).to(table.dtype)


class DiagramKernel(_AmongDiagrams):
    """A positive definite kernel between diagrams, as a transformer and as ``SVC(kernel=DiagramKernel(…))``.

    As a module: two batches of `Diagrams` to a matrix (B, C), or one and the diagrams of `fit`; without
    gradient. Kernels of several homology dimensions are summed up. Essential bars are left out.

    Parameters
    ----------
    kernel : {"scale_space", "weighted_gaussian", "sliced_wasserstein", "persistence_fisher"}
        As of `topodl.distances.kernel_matrix`.
    bandwidth : float
        Positive, in the unit of the diagrams ("persistence_fisher": of an angle).
    kernel_params : dict, optional
        Further options of the kernel.

    See Also
    --------
    topodl.distances.kernel_matrix : the kernel in each dimension.

    References
    ----------
    J. Reininghaus et al. A stable multi-scale kernel for topological machine learning. CVPR 2015.

    M. Carrière, M. Cuturi, S. Oudot. Sliced Wasserstein kernel for persistence diagrams. ICML 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.svm import SVC
    >>> from topodl.layers import DiagramKernel
    >>> X = [np.array([[0.0, n]]) for n in (1.0, 1.5, 6.0, 7.0)]
    >>> model = SVC(kernel=DiagramKernel("sliced_wasserstein"))
    >>> model.fit(X, [0, 0, 1, 1]).predict([np.array([[0.0, 5.5]])])
    array([1])
    """

    def __init__(
        self,
        kernel: str = "scale_space",
        bandwidth: float = 1.0,
        kernel_params: dict[str, Any] | None = None,
        dims: Any = None,
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.bandwidth = bandwidth
        self.kernel_params = kernel_params
        self.dims = dims
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _among(self, d: Diagrams, others: Diagrams | None) -> torch.Tensor:
        options = {"bandwidth": self.bandwidth} | self._options(self.kernel_params, "kernel_params")
        return kernel_matrix(d, others, self.kernel, dims=self.dims, **options).sum(0)
