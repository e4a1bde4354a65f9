"""The base of all layers: a `torch.nn.Module` and a scikit-learn transformer at once.

As a module: tensors or `Diagrams` in, differentiable tensors or `Diagrams` out. As a transformer: arrays in,
arrays out, in chunks, on joblib's backend, without gradient. A subclass writes `forward` and what it learns.
"""

from __future__ import annotations

import contextlib
import copyreg
import itertools
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from joblib import Parallel, delayed
from joblib.parallel import get_active_backend
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.nn.parameter import UninitializedParameter, is_lazy
from tqdm import tqdm

from topodl._checks import as_dims, fail, reject_scripting
from topodl._columns import cells_of, labelled, row_labels
from topodl._docs import shares_documentation
from topodl._precision import to_numpy
from topodl.diagrams import Diagrams
from topodl.errors import InputError
from topodl.layers import _inputs
from topodl.layers._state import with_arrays, with_tensors

__all__ = ["ArrayLayer", "DiagramLayer", "FeatureLayer", "Layer", "PersistenceLayer"]

# Settings of how the work is done, not of what comes out: changing them leaves learnt values alone.
_HOW = {"chunk_size", "n_jobs", "verbose"}


class Layer(TransformerMixin, BaseEstimator, nn.Module):
    """A torch module and a scikit-learn transformer at once.

    The constructor stores its arguments and nothing else. What `fit` finds in the data are buffers, what
    training finds are parameters; both travel in `state_dict`, and `sklearn.base.clone` leaves both behind.
    Parameters that a subclass does not describe are described in its docstring as here.

    Parameters
    ----------
    chunk_size : int
        Samples that `transform` works on at a time.
    n_jobs : int, optional
        Chunks that `transform` works on at once, by joblib's current backend.
    verbose : bool
        Whether `transform` shows a progress bar.
    """

    dims: Any
    chunk_size: int
    n_jobs: int | None
    verbose: bool
    homology_dims_: tuple[int, ...]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        bases = [base for base in cls.__mro__[1:] if issubclass(base, Layer)]
        if "__init__" in vars(cls):
            shares_documentation(*bases)(cls)

    __prepare_scriptable__ = reject_scripting

    def __sklearn_is_fitted__(self) -> bool:
        held = itertools.chain(self._parameters.values(), self._buffers.values())
        return not any(value is None or is_lazy(value) for value in held)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # Copies and pickles keep tensors; what asks for the state itself, as skops does, has arrays.
        return copyreg.__newobj__, (type(self),), super().__getstate__()  # type: ignore[attr-defined, no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        return with_arrays(super().__getstate__())  # type: ignore[no-untyped-call]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(with_tensors(state))  # type: ignore[no-untyped-call]

    def reset_parameters(self) -> None:
        """Forget what was learnt; parameters start anew from `random_state`."""

    def set_params(self, **params: Any) -> Self:
        """Change settings; what was learnt starts anew, unless only the pace of the work changes."""
        super().set_params(**params)
        if params.keys() - _HOW:
            self.reset_parameters()
        return self

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from data what was not given: grid ranges, the number of features.

        Parameters
        ----------
        X : array of shape (B, …), list of B arrays, Diagrams, or a data frame's column of arrays
            The samples.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        InputError
            If the samples are not what the layer takes, or a setting is unusable.
        """
        self.reset_parameters()
        samples = self._as_samples(cells_of(type(self).__name__, X), reset=True)
        with torch.no_grad():
            self._fit(samples)
        return self

    def _fit(self, samples: Any) -> None:
        """Learn buffers from checked samples."""

    def transform(self, X: Any) -> Any:
        """Return the features of each sample without gradient, (n_samples, n_features), computed in chunks.

        Parameters
        ----------
        X : array of shape (B, …), list of B arrays, Diagrams, or a data frame's column of arrays
            The samples.

        Returns
        -------
        ndarray of shape (n_samples, n_features), or Diagrams for a layer that returns diagrams

        Raises
        ------
        NotFittedError
            If `fit` was not called and something is to be learnt from data.
        InputError
            If the samples are not what the layer takes, or a setting is unusable.
        """
        check_is_fitted(self)
        samples = self._as_samples(cells_of(type(self).__name__, X), reset=False)
        features, labels = self._in_chunks(samples), row_labels(X)
        if labels is not None and len(labels) != len(features):  # several channels of each image
            labels = None
        return self._with_labels(features, labels)

    def _with_labels(self, features: Any, labels: Any) -> Any:
        """Return what `transform` gives, with the labels of the rows where it can have any."""
        if isinstance(features, Diagrams):
            features._row_labels = labels
            return features
        return labelled(features, labels, self)

    def _in_chunks(self, samples: Any) -> Any:
        size = self.chunk_size
        if not isinstance(size, int | np.integer) or size < 1:
            raise fail(type(self).__name__, "chunk_size", f"is {size!r}", "an integer of at least 1")
        step = int(size) * self._items_per_sample()
        starts = range(0, max(len(samples), 1), step)
        jobs = (delayed(_apply)(self, samples[start : start + step], start) for start in starts)
        backend, _ = get_active_backend()
        generates = getattr(backend, "supports_return_generator", False)  # or the progress is seen at the end
        parts = Parallel(n_jobs=self.n_jobs, return_as="generator" if generates else "list")(jobs)
        name = type(self).__name__
        return _join(list(tqdm(parts, desc=name, total=len(starts), unit="chunk", disable=not self.verbose)))

    def _items_per_sample(self) -> int:
        """Return how many items that can be sliced one sample of `transform` is."""
        return 1

    def _as_samples(self, X: Any, reset: bool) -> Any:
        """Return what `transform` was given as something checked that has a length and can be sliced."""
        raise NotImplementedError

    def _as_input(self, chunk: Any) -> Any:
        """Return a slice of the samples as what `forward` takes."""
        return _inputs.to_tensors(chunk)

    def _as_output(self, out: Any) -> Any:
        """Return what `forward` gave as a part of what `transform` gives."""
        return out.cpu() if isinstance(out, Diagrams) else to_numpy(out.flatten(1))

    def _place(self) -> tuple[torch.device, torch.dtype | None]:
        """Return the device of the layer and, where it has learnable weights, their dtype."""
        modules = list(self.modules()) if self._modules else [self]  # which takes longer than the rest
        weights = (p for module in modules for p in module._parameters.values())
        buffers = (b for module in modules for b in module._buffers.values())
        weight = next((p for p in weights if p is not None and not is_lazy(p)), None)
        buffer = next((b for b in buffers if b is not None and not is_lazy(b)), None)
        if weight is not None:
            return weight.device, weight.dtype
        return (torch.device("cpu") if buffer is None else buffer.device), None

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # Buffers have the shape that the data gave them: they take the checkpoint's.
        for name in list(self._buffers):
            value = state_dict.get(prefix + name)
            if value is not None:
                self._buffers[name] = torch.empty_like(value)
        for name, weight in self._parameters.items():
            value = state_dict.get(prefix + name)
            if value is not None and isinstance(weight, UninitializedParameter):
                weight.materialize(value.shape, dtype=value.dtype)
        with self._known_parameters():
            super()._load_from_state_dict(state_dict, prefix, *args)

    def _save_to_state_dict(self, *args: Any) -> None:
        with self._known_parameters():
            super()._save_to_state_dict(*args)

    @contextlib.contextmanager
    def _known_parameters(self) -> Iterator[None]:
        """Hide parameters that have no shape yet: like empty buffers, they are not part of the state."""
        every = self._parameters
        self._parameters = {k: weight for k, weight in every.items() if weight is None or not is_lazy(weight)}
        try:
            yield
        finally:
            self._parameters = every

    def _not_fitted(self, missing: str) -> NotFittedError:
        name = type(self).__name__
        return NotFittedError(f"{name}: {missing} is not known; give it to the constructor or call fit first")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        # Learnt weights have a dtype of their own, which the arrays are cast to.
        tags.transformer_tags.preserves_dtype = [] if self._parameters else ["float64", "float32"]
        return tags


class FeatureLayer(Layer):
    """A layer whose result is a tensor of features, (B, …); as a transformer, a table (B, features)."""

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray[Any, np.dtype[Any]]:
        """Return one name for each column of `transform`.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of shape (n_features,), str
        """
        check_is_fitted(self)
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}_{name}" for name in self._feature_names()], dtype=object)

    def _feature_names(self) -> list[str]:
        raise NotImplementedError


class DiagramLayer(FeatureLayer):
    """A layer that turns `Diagrams` into features; a list of arrays (n, 2) holds diagrams of dimension 0.

    Parameters
    ----------
    dims : int or sequence of int, optional
        Homology dimensions to look at. None: all of the diagrams.
    essential : {"drop", "clamp"}
        What becomes of essential bars; see `Diagrams.with_essential`.
    """

    def _as_samples(self, X: Any, reset: bool) -> Diagrams:
        d = _inputs.as_diagrams(type(self).__name__, X)
        if reset:
            self.homology_dims_ = self._dims(d)
            return d
        d = self._with_fitted_dims(d)
        if self._dims(d) != getattr(self, "homology_dims_", self._dims(d)):
            came = f"has dimensions {self._dims(d)}"
            raise fail(type(self).__name__, "X", came, f"{self.homology_dims_}, as in fit")
        return d

    def _as_input(self, chunk: Diagrams) -> Diagrams:
        return chunk

    def _with_fitted_dims(self, d: Diagrams) -> Diagrams:
        """Return the diagrams with a dimension that `fit` saw and they lack as one without bars.

        A fold or a single sample need not have a bar in every dimension that the training data had.
        """
        dims = {*d.homology_dims, *getattr(self, "homology_dims_", ())}
        return d if len(dims) == len(d.homology_dims) else d._with(homology_dims=tuple(sorted(dims)))

    def _dims(self, d: Diagrams) -> tuple[int, ...]:
        """Return the homology dimensions that the layer looks at."""
        if self.dims is None:
            return d.homology_dims
        wanted = as_dims(self.dims)
        missing = [k for k in wanted if k not in d.homology_dims]
        if missing:
            came = f"ask for {missing[0]}"
            raise fail(type(self).__name__, "dims", came, f"dimensions of the diagrams, {d.homology_dims}")
        return wanted

    def _dims_out(self) -> tuple[int, ...]:
        """Return the homology dimensions that the columns of `transform` belong to."""
        if self.dims is not None:
            return as_dims(self.dims)
        if not hasattr(self, "homology_dims_"):
            raise self._not_fitted("dims")
        return self.homology_dims_


class _UntabledLayer(Layer, auto_wrap_output_keys=None):
    """A layer whose result is no table, for another layer to make one."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Else scikit-learn's global setting would make tables of it: it is not inherited.
        super().__init_subclass__(**{"auto_wrap_output_keys": None} | kwargs)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Do nothing: the result is not a table; the layer that vectorises it makes one."""
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


class ArrayLayer(_UntabledLayer):
    """A layer whose result is arrays of any shape, or lists of them, for another layer to work on."""

    def _with_labels(self, features: Any, labels: Any) -> Any:
        return features

    def _as_output(self, out: Any) -> Any:
        if isinstance(out, list | tuple):
            return type(out)(map(self._as_output, out))
        return to_numpy(out)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # masks, distances of masks, … have one of their own
        return tags


class PersistenceLayer(_UntabledLayer):
    """A layer whose result is `Diagrams`, for another layer to vectorise."""

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray[Any, np.dtype[Any]]:
        """Return one name for each homology dimension."""
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}_h{k}" for k in self._homology_dims()], dtype=object)

    def _homology_dims(self) -> tuple[int, ...]:
        """Return the dimensions of the diagrams."""
        return as_dims(self.dims)


def _apply(layer: Layer, chunk: Any, start: int) -> Any:
    """Run the module on the chunk of samples from `start` on, without gradient."""
    device, dtype = layer._place()
    try:
        with torch.no_grad():
            out = layer(_inputs.move(layer._as_input(chunk), device, dtype))
    except InputError as error:
        if start:
            error.add_note(f"The first sample of this chunk, x[0] above, is X[{start}].")
        raise
    return layer._as_output(out)


def _join(parts: list[Any]) -> Any:
    if isinstance(parts[0], list):
        return list(itertools.chain(*parts))
    return Diagrams.cat(parts) if isinstance(parts[0], Diagrams) else np.concatenate(parts)
