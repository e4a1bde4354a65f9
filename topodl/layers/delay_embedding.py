"""Time series as point clouds, before a layer of persistence; the delay and the dimension come from data."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from topodl._checks import check_number
from topodl._docs import shares_documentation
from topodl.filtrations.series import delay_embedding, embedding_parameters
from topodl.layers import _inputs
from topodl.layers._base import ArrayLayer

__all__ = ["DelayEmbedding"]


@shares_documentation(delay_embedding, sections=["References"])
class DelayEmbedding(ArrayLayer):
    """Delay embeddings of time series; see `topodl.filtrations.delay_embedding`.

    As a transformer: a table whose rows are series, arrays (B, L, C) of C values at a time, or a list of
    (L_i,) or (L_i, C); clouds come out.

    Parameters
    ----------
    dimension : int, optional
        Number of times that a point is made of. None: `fit` takes that of `embedding_parameters`.
    delay : int, optional
        Steps between them. None: `fit` takes that of `embedding_parameters`.
    max_delay, max_dimension : int
        The largest ones that `fit` looks at.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from topodl.layers import DelayEmbedding, PersistenceStatistics, RipsPersistence
    >>> waves = np.sin(np.linspace(0, 20, 120) + np.arange(5)[:, None])
    >>> steps = make_pipeline(DelayEmbedding(stride=4), RipsPersistence(), PersistenceStatistics())
    >>> steps.fit_transform(waves).shape
    (5, 92)
    >>> steps[0].parameters_[1]  # times of a point
    tensor(2)
    """

    parameters_: torch.Tensor | None

    def __init__(
        self,
        dimension: int | None = None,
        delay: int | None = None,
        stride: int = 1,
        *,
        max_delay: int = 20,
        max_dimension: int = 8,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.delay = delay
        self.stride = stride
        self.max_delay = max_delay
        self.max_dimension = max_dimension
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.register_buffer("parameters_", None)

    def reset_parameters(self) -> None:
        """Forget the delay and the dimension that `fit` has found."""
        self.parameters_ = None

    def __sklearn_is_fitted__(self) -> bool:
        return None not in (self.dimension, self.delay) or self.parameters_ is not None

    def forward(self, x: Any) -> Any:
        """Return the cloud of each time series.

        Parameters
        ----------
        x : Tensor of shape (B, L) or (B, L, C), or list of (L_i,) or (L_i, C)
            Time series of one value or of C values at a time.

        Returns
        -------
        Tensor of shape (B, N, dimension · C), or list of (N_i, dimension · C)

        Raises
        ------
        NotFittedError
            If `dimension` or `delay` was neither given nor found.
        InputError
            If a setting is unusable, or a series is too short, not finite or of another shape.
        """
        if not self.__sklearn_is_fitted__():
            raise self._not_fitted("dimension" if self.dimension is None else "delay")
        given: list[Any] = [self.delay, self.dimension]
        delay, dimension = given if self.parameters_ is None else self.parameters_.tolist()
        return delay_embedding(x, dimension, delay, stride=self.stride)

    def _as_samples(self, X: Any, reset: bool) -> Any:
        return _inputs.as_series(self, X, reset)

    def _fit(self, samples: Any) -> None:
        for argument in ("dimension", "delay"):
            value = getattr(self, argument)
            if value is not None:
                check_number("DelayEmbedding", argument, value, low=1, integer=True)
        delay, dimension = self.delay, self.dimension
        if delay is None or dimension is None:
            series = _inputs.to_tensors(samples)
            found = embedding_parameters(series, self.max_delay, self.max_dimension, delay=delay)
            delay, dimension = found.delay, dimension or found.dimension
        self.parameters_ = torch.tensor([delay, dimension], device=self._place()[0])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray[Any, np.dtype[Any]]:
        """Return one name, of the clouds.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of shape (1,), str
        """
        return np.array(["delayembedding"], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = None in (self.dimension, self.delay)
        tags.input_tags.two_d_array = tags.input_tags.three_d_array = True
        return tags
