"""Several diagrams of each sample, of lines or levels, as one row of features."""

from __future__ import annotations

from typing import Any

import torch

from topodl._checks import check_number, fail
from topodl.diagrams import Diagrams
from topodl.layers import _inputs
from topodl.layers._base import DiagramLayer

__all__ = ["SliceFeatures"]


class SliceFeatures(DiagramLayer):
    """The features of all lines or levels of a sample side by side, by any layer that vectorises diagrams.

    Stands behind `FiberedPersistence` or `LevelPersistence`, which give several diagrams of each sample.

    Parameters
    ----------
    vectoriser : DiagramLayer
        As `PersistenceImage()`; `fit` fits it to the diagrams of all slices. How `transform` works on these,
        in chunks of samples with all their slices, is up to this layer's own settings.
    n_slices : int
        Number of diagrams of each sample: `n_lines`, or the number of levels.

    References
    ----------
    I. Segovia-Dominguez et al., "EMP: effective multidimensional persistence for graph representation
    learning", LoG 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from topodl.layers import BettiCurve, LevelPersistence, SliceFeatures
    >>> pipeline = make_pipeline(LevelPersistence(levels=4), SliceFeatures(BettiCurve(resolution=8), 4))
    >>> pipeline.fit_transform(np.random.rand(5, 2, 12, 12)).shape
    (5, 64)
    """

    def __init__(
        self,
        vectoriser: DiagramLayer,
        n_slices: int,
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.vectoriser = vectoriser
        self.n_slices = n_slices
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    dims = None

    def __sklearn_is_fitted__(self) -> bool:
        return bool(self.vectoriser.__sklearn_is_fitted__())

    def reset_parameters(self) -> None:
        """Let the vectoriser forget what it has learnt."""
        self.vectoriser.reset_parameters()

    def _check(self, d: Diagrams) -> int:
        """Return the number of samples that have `n_slices` diagrams each."""
        name = "SliceFeatures"
        check_number(name, "n_slices", self.n_slices, low=1, integer=True)
        if d.n_samples % int(self.n_slices):
            raise fail(name, "d", f"has {d.n_samples} diagrams", f"{self.n_slices} of each sample")
        return d.n_samples // int(self.n_slices)

    def forward(self, d: Diagrams) -> torch.Tensor:
        """Return the features of each sample, slice by slice.

        Parameters
        ----------
        d : Diagrams
            Sample ``b * n_slices + l`` is slice l of sample b.

        Returns
        -------
        Tensor of shape (B, n_slices, …)
            The rest is the vectoriser's own.

        Raises
        ------
        InputError
            If the number of diagrams is no multiple of `n_slices`, or the vectoriser refuses them.
        """
        n = self._check(d)
        features: torch.Tensor = self.vectoriser(d)
        return features.view(n, int(self.n_slices), *features.shape[1:])

    def _as_samples(self, X: Any, reset: bool) -> Diagrams:
        d = _inputs.as_diagrams("SliceFeatures", X)
        self._check(d)
        return self.vectoriser._as_samples(d, reset)

    def _fit(self, samples: Any) -> None:
        self.vectoriser._fit(samples)

    def _items_per_sample(self) -> int:
        return int(self.n_slices)

    def _feature_names(self) -> list[str]:
        names = self.vectoriser.get_feature_names_out()
        return [f"{i}_{name}" for i in range(int(self.n_slices)) for name in names]
