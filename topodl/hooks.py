"""Topological features and penalties of any submodule of any model, by forward hooks and its name."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn
from tqdm import tqdm

from topodl._checks import check_dense, check_number, fail
from topodl._columns import cells_of
from topodl._precision import to_numpy
from topodl._submodules import as_input, evaluation_mode, first_tensor, place_of, submodule_of
from topodl.diagrams import Diagrams
from topodl.errors import InputError

__all__ = ["Attachment", "TopologicalFeatures", "attach"]

# A submodule of another model, or what gives the second argument of a loss.
Target = tuple[nn.Module, str] | Callable[[], Any]

_lock = threading.Lock()
_attached: set[int] = set()
_skipped_before = True


def _watch_hooks(attachment: Attachment) -> None:
    """Let `torch.compile` see hooks: by default its graphs outlive such changes, and serve many modules."""
    import torch._dynamo

    global _skipped_before
    with _lock:
        if not _attached:
            _skipped_before = torch._dynamo.config.skip_nnmodule_hook_guards
            torch._dynamo.config.skip_nnmodule_hook_guards = False
            torch.compiler.reset()
        _attached.add(id(attachment))


def _stop_watching(attachment: Attachment) -> None:
    """Leave `torch.compile` as it was before the first attachment."""
    with _lock:
        _attached.discard(id(attachment))
        if not _attached:
            torch._dynamo.config.skip_nnmodule_hook_guards = _skipped_before
            torch.compiler.reset()


class _Pass(NamedTuple):
    """The output of a model, and how it ran."""

    output: Any
    with_gradient: bool
    in_inference: bool


class Attachment:
    """What `attach` returns: a handle on the hook, and a context manager that removes it at its end.

    Attributes
    ----------
    values : list
        What the layer or penalty gave at each forward pass since the last `clear`, with its gradient.

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> from topodl.losses import TotalPersistenceLoss
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 2), torch.nn.Linear(2, 3))
    >>> attachment = topodl.attach(model, "0", TotalPersistenceLoss(dims=0))
    >>> attachment
    Attachment('0', TotalPersistenceLoss, 0 values)
    >>> outputs = model(torch.rand(16, 8)), model(torch.rand(16, 8))
    >>> attachment.total().backward()
    >>> attachment.remove()
    """

    def __init__(
        self,
        model: nn.Module,
        name: str,
        layer_or_loss: Callable[..., Any],
        transform: Callable[..., Any] | None,
        target: Target | None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"attach: model is a {type(model).__name__}; expected a torch.nn.Module")
        if not callable(layer_or_loss):
            came = f"is a {type(layer_or_loss).__name__}"
            raise TypeError(f"attach: layer_or_loss {came}; expected a layer, a penalty or another callable")
        _check_arguments(layer_or_loss, target)
        self.name = name
        self._compute = layer_or_loss
        self._transform = transform
        self._target = target
        self._lock = threading.Lock()
        self.values: list[Any] = []
        self._waiting: dict[str, _Pass] = {}  # of two models, that of the one that has run first
        submodule = submodule_of("attach", model, name)
        teacher = submodule_of("attach", *target, "target[1]") if isinstance(target, tuple) else None
        _watch_hooks(self)
        self._handle: Any = submodule.register_forward_hook(self._hook)
        self._teacher_handle = None if teacher is None else teacher.register_forward_hook(self._teacher_hook)

    def _hook(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._handle is None:  # in a copy that was made of the model meanwhile, the hook stays behind
            return
        x = first_tensor(self.name, output) if self._transform is None else self._transform(output)
        if isinstance(self._target, tuple):
            self._meet("model", x)
        else:
            self._record(*([x] if self._target is None else [x, _detached(self._target())]))

    def _teacher_hook(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._handle is not None and isinstance(self._target, tuple):
            self._meet("target", _detached(first_tensor(self._target[1], output)))

    def _meet(self, side: str, x: Any) -> None:
        """Keep the output of one of two models until the other one has run."""
        this = _Pass(x, torch.is_grad_enabled(), torch.is_inference_mode_enabled())
        with self._lock:
            other = self._waiting.pop("target" if side == "model" else "model", None)
            again = side in self._waiting
            if other is None:  # copied, as layers that follow may change it in place
                copied = x.clone() if isinstance(x, torch.Tensor) else x
                self._waiting[side] = this._replace(output=copied)
        if again:
            raise InputError(
                f"attach: the {side} of {self.name!r} has run twice; expected passes of the model and of its "
                "target in turn, in either order; clear() forgets the pass that is alone"
            )
        if other is not None:
            model, target = (this, other) if side == "model" else (other, this)
            # the target may run last, and without gradient
            with torch.inference_mode(model.in_inference), torch.set_grad_enabled(model.with_gradient):
                self._record(model.output, _detached(target.output))

    def _record(self, *arguments: Any) -> None:
        # Nested: an encoder without its padded tokens.
        plain = (list(x.unbind()) if isinstance(x, torch.Tensor) and x.is_nested else x for x in arguments)
        value = self._compute(*plain)
        with self._lock:
            self.values.append(value)

    @property
    def value(self) -> Any:
        """The latest value: features, diagrams, or a penalty to add to the loss.

        Raises
        ------
        InputError
            If the submodule has not run since the last `clear`.
        """
        if not self.values:
            both = " and one of its target" if isinstance(self._target, tuple) else ""
            raise InputError(
                f"attach: {self.name!r} has no value; expected a forward pass of the model{both} before it"
            )
        return self.values[-1]

    def total(self) -> torch.Tensor:
        """Return the sum of the penalties of all passes since the last `clear`, and clear them."""
        if not self.values:
            return self.value
        with self._lock:
            values, self.values = self.values, []
        return torch.stack([value.sum().to(values[0].device) for value in values]).sum()

    def clear(self) -> None:
        """Forget the values, and with them their graphs."""
        with self._lock:
            self.values = []
            self._waiting = {}

    def remove(self) -> None:
        """Remove the hook; the model is as it was. Values stay readable."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
            if self._teacher_handle is not None:
                self._teacher_handle.remove()
            self._waiting = {}
            _stop_watching(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def __deepcopy__(self, memo: dict[int, Any]) -> Attachment:
        """Return this attachment itself: replicas of a model report to the one handle that is held."""
        return self

    def __repr__(self) -> str:
        return f"Attachment({self.name!r}, {type(self._compute).__name__}, {len(self.values)} values)"


def _check_arguments(layer_or_loss: Callable[..., Any], target: Any) -> None:
    """Raise unless what is attached takes as many arguments as it will be given."""
    pair = isinstance(target, tuple) and len(target) == 2 and isinstance(target[0], nn.Module)
    if not (pair or target is None or callable(target)):
        came = f"is a {type(target).__name__}"
        raise TypeError(f"attach: target {came}; expected (model, name), or a function without arguments")
    if callable(target):
        try:
            inspect.signature(target).bind()
        except TypeError:
            came = f"takes {inspect.signature(target)}"
            raise TypeError(f"attach: target {came}; expected a function without arguments") from None
        except ValueError:  # of builtins nothing is known
            pass
    called = layer_or_loss.forward if isinstance(layer_or_loss, nn.Module) else layer_or_loss
    try:
        parameters = inspect.signature(called).parameters.values()
    except (TypeError, ValueError):  # of builtins nothing is known
        return
    name = getattr(layer_or_loss, "__name__", type(layer_or_loss).__name__)
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p.name for p in places if p.default is p.empty]
    given = 1 if target is None else 2
    if len(needed) > given:
        fix = "a function of the output alone" if given > 1 else "target=(model, name), or target=a function"
        raise InputError(f"attach: layer_or_loss {name} needs {', '.join(needed)}; expected {fix}")
    if len(places) < given and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise InputError(f"attach: target is given, but {name} takes one argument; expected a loss of two")


def _detached(x: Any) -> Any:
    """Return `x` without gradient, such that a gradient may flow through what is computed of it."""
    if isinstance(x, torch.Tensor):
        return x.clone() if x.is_inference() and not torch.is_inference_mode_enabled() else x.detach()
    return x.detach() if isinstance(x, Diagrams) else x


def attach(
    model: nn.Module,
    name: str,
    layer_or_loss: Callable[..., Any],
    transform: Callable[[Any], Any] | None = None,
    target: Target | None = None,
) -> Attachment:
    """Compute features or a penalty from the output of a submodule at each forward pass of a model.

    Parameters
    ----------
    model : Module
        Any model; it is not changed but for the hook.
    name : str
        Name of a submodule as in `model.named_modules()`, as "layer3.1.conv2"; "" is the model itself.
    layer_or_loss : callable
        A layer, whose features are recorded, or a penalty, whose value is to be added to the loss; anything
        that takes a tensor.
    transform : callable, optional
        Makes of the submodule's output what `layer_or_loss` takes. None: the output itself, or its first
        tensor where it is a tuple or a mapping, as in Hugging Face models. Nested tensors, which PyTorch's
        encoder makes of padded ones in evaluation mode, come as lists of tensors.
    target : (Module, str) or callable, optional
        For a loss of two arguments, the second, without gradient: the output of a submodule of another model,
        by its name, or what a function without arguments returns. The two models run in turn, in either
        order; the value is there after the second.

    Returns
    -------
    Attachment
        With `value`, `values`, `total()`, `clear()` and `remove()`; as a context manager it removes itself.

    Raises
    ------
    InputError
        If there is no submodule of that name (the message lists similar ones), or what is attached takes
        another number of arguments; in a forward pass, if one of two models runs twice without the other.

    Notes
    -----
    The hook runs outside the graphs of `torch.compile`; they are compiled anew when it comes or goes. An
    exception in the forward pass leaves the hook in place and no value.

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> from topodl.layers import CubicalPersistence
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten())
    >>> persistence = CubicalPersistence(channels=True)
    >>> with topodl.attach(model, "1", lambda x: persistence(x).finite().persistence().sum()) as penalty:
    ...     loss = model(torch.rand(4, 1, 12, 12)).square().mean() + 0.1 * penalty.value
    >>> loss.backward()

    The tokens of one model, aligned with those of another:

    >>> from topodl.losses import CKALoss
    >>> student, teacher = torch.nn.Linear(4, 3), torch.nn.Linear(4, 5)
    >>> tokens = torch.rand(8, 16, 4)
    >>> with topodl.attach(student, "", CKALoss(tokens=True), target=(teacher, "")) as alignment:
    ...     outputs = student(tokens), teacher(tokens)
    >>> alignment.total().backward()
    """
    return Attachment(model, name, layer_or_loss, transform, target)


class TopologicalFeatures(TransformerMixin, BaseEstimator):
    """Features of the submodules of a trained model, as a scikit-learn transformer.

    Parameters
    ----------
    model : Module
        A trained model. It runs in evaluation mode and without gradient, and is left in the mode it was in.
    layers : dict of str to layer
        For each name of a submodule, the layer that makes features (B, …) of its output, or (B · C, …) where
        each of C channels is a sample: their features stand side by side in the row of their sample.
    transforms : dict of str to callable, optional
        What makes of a submodule's output what its layer takes; see `attach`.
    batch_size : int
        Samples that run through the model at a time. Floating ones are brought to the dtype of its weights.
    device : str or torch.device, optional
        Where the model and the data are moved. None: where the model is.
    verbose : bool
        Whether to show a progress bar.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> import topodl
    >>> from topodl.layers import BettiCurve, CubicalPersistence
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3), torch.nn.ReLU())
    >>> layer = torch.nn.Sequential(CubicalPersistence(), BettiCurve(resolution=5, value_range=(0, 1)))
    >>> features = topodl.TopologicalFeatures(model, {"0": layer}, transforms={"0": lambda x: x[:, 0]})
    >>> features.fit_transform(np.random.rand(10, 1, 8, 8).astype("float32")).shape
    (10, 10)
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, Callable[..., Any]],
        transforms: Mapping[str, Callable[..., Any]] | None = None,
        *,
        batch_size: int = 64,
        device: Any = None,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.layers = layers
        self.transforms = transforms
        self.batch_size = batch_size
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the layers that can be fitted to the model's activations, and count the features.

        Parameters
        ----------
        X : array or Tensor of shape (B, …), list of B samples, or dict of such
            Samples, the first axis being that of the batch; a dict has the model's keyword arguments.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        InputError
            If there is no sample, or no submodule of a name.
        """
        X = _opened(X)
        recorded = self._record(X, raw=True)
        with torch.no_grad():
            for name, layer in self.layers.items():
                _fit_in_turn(layer, _joined(recorded[name]))
        first = self._record(_part(X, 0, 1))
        self.feature_sizes_ = {name: values[0].shape[1] for name, values in first.items()}
        return self

    def transform(self, X: Any) -> np.ndarray[Any, np.dtype[Any]]:
        """Return the features of all submodules side by side, (n_samples, n_features).

        Parameters
        ----------
        X : array or Tensor of shape (B, …), list of B samples, or dict of such
            Samples, the first axis being that of the batch; a dict has the model's keyword arguments.

        Returns
        -------
        ndarray of shape (n_samples, n_features)

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        InputError
            If there is no sample, no submodule of a name, or a layer does not give features (B, …).
        """
        check_is_fitted(self)
        recorded = self._record(_opened(X))
        return np.concatenate([to_numpy(torch.cat(recorded[name])) for name in self.layers], axis=1)

    def _record(self, X: Any, raw: bool = False) -> dict[str, list[torch.Tensor]]:
        """Return for each submodule what each batch gave: features (B, F), or its output if `raw`."""
        check_number("TopologicalFeatures", "batch_size", self.batch_size, low=1, integer=True)
        if not self.layers:
            raise fail("TopologicalFeatures", "layers", "is empty", "a layer for at least one submodule")
        device, dtype = place_of(self.model)
        device = device if self.device is None else torch.device(self.device)
        for values in X.values() if isinstance(X, Mapping) else [X]:
            if isinstance(values, torch.Tensor):
                check_dense("TopologicalFeatures", "X", values)
        n_samples = _length(X)
        if n_samples == 0:
            raise fail("TopologicalFeatures", "X", "has no samples", "at least one")
        transforms = self.transforms or {}
        compute = {name: (lambda x: x) if raw else layer for name, layer in self.layers.items()}
        attached = {
            name: attach(self.model, name, compute[name], transforms.get(name)) for name in self.layers
        }
        starts = range(0, n_samples, self.batch_size)
        out: dict[str, list[torch.Tensor]] = {name: [] for name in self.layers}
        self.model.to(device)
        try:
            with evaluation_mode(self.model), torch.no_grad():
                for start in tqdm(starts, desc="features", unit="batch", disable=not self.verbose):
                    part = _part(X, start, start + self.batch_size)
                    self._run(part, device, dtype)
                    for name, attachment in attached.items():
                        value = attachment.value
                        out[name].append(value if raw else _as_features(name, value, _length(part)))
                        attachment.clear()
        finally:
            for attachment in attached.values():
                attachment.remove()
        return out

    def _run(self, batch: Any, device: torch.device, dtype: torch.dtype | None) -> None:
        if isinstance(batch, Mapping):
            self.model(**{key: as_input(value, device, dtype) for key, value in batch.items()})
        else:
            self.model(as_input(batch, device, dtype))

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
        names = [f"{name}_{i}" for name, size in self.feature_sizes_.items() for i in range(size)]
        return np.array(names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


def _joined(batches: list[Any]) -> Any:
    """Return the samples of several batches in one tensor, or one list where they differ in size."""
    if isinstance(batches[0], list):
        return [sample for batch in batches for sample in batch]
    return torch.cat(batches)


def _fit_in_turn(layer: Any, x: Any) -> Any:
    """Fit a layer, or those of a sequence in turn, and return what comes out."""
    if isinstance(layer, nn.Sequential):
        for part in layer:
            x = _fit_in_turn(part, x)
        return x
    if hasattr(layer, "fit"):
        layer.fit(x)
    return layer(x)


def _opened(X: Any) -> Any:
    """Return the cells of data frames' columns in their place."""
    if isinstance(X, Mapping):
        return {key: cells_of("TopologicalFeatures", value) for key, value in X.items()}
    return cells_of("TopologicalFeatures", X)


def _length(X: Any) -> int:
    return len(next(iter(X.values()))) if isinstance(X, Mapping) else len(X)


def _part(X: Any, start: int, stop: int) -> Any:
    """Return a slice of the samples, of each entry where they are a mapping."""
    return {key: value[start:stop] for key, value in X.items()} if isinstance(X, Mapping) else X[start:stop]


def _as_features(name: str, value: Any, n_samples: int) -> torch.Tensor:
    """Return one row a sample; rows of its channels, which follow each other, stand side by side."""
    if not isinstance(value, torch.Tensor) or value.ndim == 0:
        came = "gives Diagrams" if isinstance(value, Diagrams) else f"gives a {type(value).__name__}"
        raise fail(
            "TopologicalFeatures", f"layers[{name!r}]", came, "a layer whose result is (B, …) features"
        )
    if len(value) == 0 or len(value) % n_samples:
        came = f"gives {len(value)} rows for {n_samples} samples"
        raise fail("TopologicalFeatures", f"layers[{name!r}]", came, "as many rows for each sample")
    return value.reshape(n_samples, -1)
