"""Model stitching: whether the upper part of one network understands what a layer of another one says.

Lenc & Vedaldi, CVPR 2015; Bansal, Nakkiran, Barak, NeurIPS 2021. Cost of a pass: that of both models.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import nn

from topodl._checks import as_real, check_choice, check_dense, check_number, fail, reject_non_finite
from topodl._submodules import evaluation_mode, first_tensor, submodule_of

__all__ = ["StitchedModel", "StitchingLayer", "stitch"]

Method = Literal["affine", "orthogonal"]


class StitchingLayer(nn.Module):
    """An affine map of the features at each place: a 1 × 1 convolution of maps, a linear layer of tokens.

    Parameters
    ----------
    in_features, out_features : int
        Features (channels) before and after.
    bias : bool, default=True
        Whether there is a constant term.
    channel_dim : int, optional
        The axis of the features. None: 1 of maps (B, C, H, W) and volumes, the last of vectors (B, C) and
        tokens (B, L, C).

    Raises
    ------
    InputError
        If a number of features is below 1.

    References
    ----------
    K. Lenc, A. Vedaldi, "Understanding image representations by measuring their equivariance and
    equivalence", CVPR 2015. Y. Bansal, P. Nakkiran, B. Barak, "Revisiting Model Stitching to Compare Neural
    Representations", NeurIPS 2021.

    Examples
    --------
    >>> import torch
    >>> from topodl.representations import StitchingLayer
    >>> StitchingLayer(3, 5)(torch.randn(2, 3, 8, 8), size=(4, 4)).shape
    torch.Size([2, 5, 4, 4])
    """

    def __init__(
        self, in_features: int, out_features: int, *, bias: bool = True, channel_dim: int | None = None
    ) -> None:
        super().__init__()
        check_number("StitchingLayer", "in_features", in_features, low=1, integer=True)
        check_number("StitchingLayer", "out_features", out_features, low=1, integer=True)
        self.in_features, self.out_features, self.channel_dim = in_features, out_features, channel_dim
        start = nn.Linear(in_features, out_features, bias=bias)
        self.weight, self.bias = start.weight, start.bias

    def forward(self, x: torch.Tensor, size: tuple[int, ...] | None = None) -> torch.Tensor:
        """Return the mapped features.

        Parameters
        ----------
        x : Tensor of shape (B, C), (B, L, C) or (B, C, H, W), …
            Features.
        size : tuple of int, optional
            Height and width to which maps are interpolated (linearly) before. None: as they are.

        Returns
        -------
        Tensor of shape (B, D), (B, L, D) or (B, D, H, W), …
            With the features and the size of the second model's layer.
        """
        x = check_dense("StitchingLayer", "x", x)
        reject_non_finite("StitchingLayer", "x", x)
        if x.dtype != self.weight.dtype and not torch.is_autocast_enabled(x.device.type):
            raise fail("StitchingLayer", "x", f"has dtype {x.dtype}", f"{self.weight.dtype}, as its weight")
        axis = self._axis(x)
        x = _resized(x, axis, size).movedim(axis, -1)
        return nn.functional.linear(x, self.weight, self.bias).movedim(-1, axis)

    @torch.no_grad()
    def fit(self, x: torch.Tensor, y: torch.Tensor, method: Method = "affine") -> StitchingLayer:
        """Set the weights in closed form, such that `x` is mapped to `y` with the least squared error.

        Parameters
        ----------
        x, y : Tensor of shapes (B, C, …) and (B, D, …), or (B, …, C) and (B, …, D)
            Features of the same samples at both layers; maps `x` are interpolated to the size of `y`.
        method : {"affine", "orthogonal"}, default="affine"
            "affine": any map, of all best ones that of the least norm. "orthogonal": a rotation or reflection
            (of C ≠ D, with orthonormal rows or columns), the solution of Procrustes' problem.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If the shapes do not agree with the layer or with each other, a value is NaN or infinite, or the
            weights would be.
        """
        check_choice("StitchingLayer.fit", "method", method, ("affine", "orthogonal"))
        x, y = as_real("StitchingLayer.fit", "x", x), as_real("StitchingLayer.fit", "y", y)
        axis = self._axis(x)
        if y.ndim != x.ndim:
            came = f"has shape {tuple(y.shape)}"
            raise fail("StitchingLayer.fit", "y", came, f"{x.ndim} axes, as x of shape {tuple(x.shape)}")
        reject_non_finite("StitchingLayer.fit", "x", x)
        reject_non_finite("StitchingLayer.fit", "y", y)
        x = _resized(x, axis, _places(y, axis))
        rows_x, rows_y = (t.detach().movedim(axis, -1).flatten(0, -2).double().cpu() for t in (x, y))
        if rows_y.shape != (len(rows_x), self.out_features):
            came, like = f"has shape {tuple(y.shape)}", f"{self.out_features} features at the places of x"
            raise fail("StitchingLayer.fit", "y", came, f"{like}, which has shape {tuple(x.shape)}")
        means = rows_x.mean(0), rows_y.mean(0)
        if self.bias is not None:
            rows_x, rows_y = rows_x - means[0], rows_y - means[1]
        if method == "affine":
            weight = torch.linalg.lstsq(rows_x, rows_y, driver="gelsd").solution.T
        else:
            u, _, vh = torch.linalg.svd(rows_y.T @ rows_x, full_matrices=False)
            weight = u @ vh
        bias = means[1] - weight @ means[0]
        largest = max(float(values.abs().max()) for values in (weight, bias))
        if not largest <= torch.finfo(self.weight.dtype).max:
            came = f"and y need weights or a bias too large for {self.weight.dtype}"
            raise fail("StitchingLayer.fit", "x", came, "features of another unit")
        self.weight.copy_(weight)
        if self.bias is not None:
            self.bias.copy_(bias)
        return self

    def _axis(self, x: torch.Tensor) -> int:
        axis = _feature_axis(x, self.channel_dim)
        if x.shape[axis] != self.in_features:
            came = f"has shape {tuple(x.shape)}"
            raise fail("StitchingLayer", "x", came, f"{self.in_features} features along axis {axis}")
        return axis

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class StitchedModel(nn.Module):
    """What `stitch` returns: its only parameters, and its only state, are those of the stitching layer.

    Attributes
    ----------
    stitching : StitchingLayer or None
        The layer; None before the first pass if nothing said its size.

    References
    ----------
    Y. Bansal, P. Nakkiran, B. Barak, "Revisiting Model Stitching to Compare Neural Representations", NeurIPS
    2021.

    Examples
    --------
    >>> import torch
    >>> from topodl.representations import stitch
    >>> first, second = (torch.nn.Sequential(torch.nn.Linear(4, n), torch.nn.Linear(n, 2)) for n in (3, 5))
    >>> stitched = stitch(first, "0", second, "0")
    >>> stitched.initialise(torch.randn(16, 4))(torch.randn(7, 4)).shape
    torch.Size([7, 2])
    >>> [tuple(weight.shape) for weight in stitched.parameters()]
    [(5, 3), (5,)]
    """

    def __init__(
        self,
        models: tuple[nn.Module, nn.Module],
        names: tuple[str, str],
        layer: StitchingLayer | None,
        transform_b: Callable[[Any], Any] | None,
        channel_dim: int | None,
    ) -> None:
        super().__init__()
        # In a tuple, so that they are no submodules: neither trained nor saved. Compiled models would not see
        # the hooks of a pass.
        self._models = tuple(getattr(model, "_orig_mod", model) for model in models)
        self._names, self._transform_b, self._channel_dim = names, transform_b, channel_dim
        self.stitching = layer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the second model does with the first model's features.

        Parameters
        ----------
        *args, **kwargs
            The input of the first model, and of the second one.

        Returns
        -------
        Whatever the second model returns
        """
        lower = self._lower(0, args, kwargs)
        replaced = False

        def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
            nonlocal replaced
            replaced = True
            own = first_tensor(self._names[1], output)
            return _with_tensor(output, self._stitched(lower, own))

        model = self._models[1]
        with _frozen(model), _hooked(submodule_of("stitch", model, self._names[1], "layer_b"), hook):
            args, kwargs = self._inputs_of_b(args, kwargs)
            output = model(*args, **kwargs)
        if not replaced:
            raise _never_ran("layer_b", self._names[1])
        return output

    def initialise(self, *args: Any, method: Method = "affine", **kwargs: Any) -> StitchedModel:
        """Set the stitching layer in closed form: the features of the first model to those of the second one.

        Parameters
        ----------
        *args, **kwargs
            Input of the models, a batch that is large enough to tell.
        method : {"affine", "orthogonal"}, default="affine"
            As in `StitchingLayer.fit`.

        Returns
        -------
        self
        """
        lower = self._lower(0, args, kwargs)
        own = self._lower(1, *self._inputs_of_b(args, kwargs))
        self._build(lower, own).fit(lower, own, method)
        return self

    def _lower(self, which: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
        """Return the first output of the named layer of a model, without gradient, and run it no further."""
        found: list[torch.Tensor] = []
        name, model = self._names[which], self._models[which]

        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            found.append(first_tensor(name, output).detach())
            raise _ReachedError

        argument = ("layer_a", "layer_b")[which]
        hooked = _hooked(submodule_of("stitch", model, name, argument), hook)
        with _frozen(model), hooked, torch.no_grad(), contextlib.suppress(_ReachedError):
            model(*args, **kwargs)
        if not found:
            raise _never_ran(argument, name)
        return found[0]

    def _inputs_of_b(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return (args, kwargs) if self._transform_b is None else ((self._transform_b(*args, **kwargs),), {})

    def _stitched(self, lower: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        layer = self._build(lower, own)
        axis = _feature_axis(own, self._channel_dim)
        out: torch.Tensor = layer(lower, _places(own, axis))
        if out.shape != own.shape:
            came = f"gives {tuple(own.shape)} and layer_a {self._names[0]!r} {tuple(lower.shape)}"
            raise fail("stitch", f"layer_b {self._names[1]!r}", came, "features of as many places")
        return out

    def _build(self, lower: torch.Tensor, own: torch.Tensor) -> StitchingLayer:
        """Return the layer, made to measure at the first call."""
        if lower.ndim != own.ndim:
            came = f"gives {tuple(lower.shape)} and layer_b {self._names[1]!r} {tuple(own.shape)}"
            raise fail("stitch", f"layer_a {self._names[0]!r}", came, "both vectors, tokens or maps")
        sizes = [t.shape[_feature_axis(t, self._channel_dim)] for t in (lower, own)]
        if self.stitching is None:
            layer = StitchingLayer(sizes[0], sizes[1], channel_dim=self._channel_dim)
            self.stitching = layer.to(own.device, own.dtype)
        elif sizes != [self.stitching.in_features, self.stitching.out_features]:
            came = f"is {self.stitching}"
            raise fail("stitch", "layer", came, f"one from {sizes[0]} to {sizes[1]} features")
        return self.stitching

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Build the layer that was saved, where the first pass has not built one."""
        weight = state_dict.get(f"{prefix}stitching.weight")
        if self.stitching is None and weight is not None:
            bias = f"{prefix}stitching.bias" in state_dict
            layer = StitchingLayer(weight.shape[1], weight.shape[0], bias=bias, channel_dim=self._channel_dim)
            self.stitching = layer.to(weight.device, weight.dtype)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        """Move the models along."""
        for model in self._models:
            model._apply(*args, **kwargs)
        return super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]

    def extra_repr(self) -> str:
        """Return what is stitched."""
        (first, second), (a, b) = self._models, self._names
        return f"{type(first).__name__} up to {a!r}, {type(second).__name__} after {b!r}"


def stitch(
    model_a: nn.Module,
    layer_a: str,
    model_b: nn.Module,
    layer_b: str,
    *,
    layer: StitchingLayer | None = None,
    transform_b: Callable[..., Any] | None = None,
    channel_dim: int | None = None,
    example: Any = None,
) -> StitchedModel:
    """Put a trainable affine layer between the lower part of one model and the upper part of another.

    The output of `layer_a` in `model_a`, mapped by the layer, replaces that of `layer_b` in `model_b`. Both
    models are frozen: they run in evaluation mode, their parameters get no gradient, and they are left as
    they were. If the stitched model can be trained to the accuracy of `model_b`, the two representations
    differ by an affine map only, as far as the task is concerned.

    Parameters
    ----------
    model_a, model_b : Module
        Any models. What bypasses `layer_b`, as a skip connection may, comes from `model_b`'s own lower part.
    layer_a, layer_b : str
        Names of submodules as in `named_modules()`; of one that runs several times, the first output of
        `layer_a` replaces all of `layer_b`.
    layer : StitchingLayer, optional
        The layer to use. None: one of the right sizes, which the first pass tells.
    transform_b : callable, optional
        Makes of the input what `model_b` takes. None: both models take the same.
    channel_dim : int, optional
        The axis of the features, as in `StitchingLayer`.
    example : Tensor of shape (B, …), optional
        An input that tells the sizes now, so that an optimiser can be given the parameters before a pass.

    Returns
    -------
    StitchedModel
        A module whose only parameters are those of its `stitching` layer, and which ``initialise(x)`` sets in
        closed form. Maps of different height and width are interpolated.

    Raises
    ------
    InputError
        If there is no submodule of that name, it does not run, or the shapes cannot be stitched.

    References
    ----------
    K. Lenc, A. Vedaldi, "Understanding image representations by measuring their equivariance and
    equivalence", CVPR 2015. Y. Bansal, P. Nakkiran, B. Barak, "Revisiting Model Stitching to Compare Neural
    Representations", NeurIPS 2021.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from topodl.representations import stitch
    >>> a = nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3))
    >>> b = nn.Sequential(nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 3))
    >>> x = torch.randn(20, 8)
    >>> model = stitch(a, "1", b, "1", example=x)
    >>> model(x).shape, [tuple(p.shape) for p in model.parameters()]
    (torch.Size([20, 3]), [(7, 5), (7,)])
    """
    submodule_of("stitch", model_a, layer_a, "layer_a")
    submodule_of("stitch", model_b, layer_b, "layer_b")
    dim = layer.channel_dim if channel_dim is None and layer is not None else channel_dim
    stitched = StitchedModel((model_a, model_b), (layer_a, layer_b), layer, transform_b, dim)
    if example is not None:
        with torch.no_grad():
            stitched(example)
    return stitched


class _ReachedError(Exception):
    """The layer that was asked for has run."""


@contextlib.contextmanager
def _hooked(module: nn.Module, hook: Callable[..., Any]) -> Iterator[None]:
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Run a model in evaluation mode and build no graph of its parameters; then leave it as it was."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        with evaluation_mode(model):
            yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _feature_axis(x: torch.Tensor, channel_dim: int | None) -> int:
    if x.ndim < 2:
        raise fail("stitch", "the output of a layer", f"has shape {tuple(x.shape)}", "(B, C) or more axes")
    axis = channel_dim if channel_dim is not None else 1 if x.ndim > 3 else -1
    if axis % x.ndim == 0:
        raise fail("stitch", "channel_dim", f"is {channel_dim}", "an axis other than that of the batch")
    return axis % x.ndim


def _places(x: torch.Tensor, axis: int) -> tuple[int, ...] | None:
    """Return the size of maps, None of vectors and tokens."""
    return tuple(x.shape[2:]) if axis == 1 and x.ndim > 2 else None


def _resized(x: torch.Tensor, axis: int, size: tuple[int, ...] | None) -> torch.Tensor:
    if size is None or _places(x, axis) in (None, tuple(size)):
        return x
    mode = {3: "linear", 4: "bilinear", 5: "trilinear"}[x.ndim]
    return nn.functional.interpolate(x, size=size, mode=mode, align_corners=False)


def _with_tensor(output: Any, tensor: torch.Tensor) -> Any:
    """Return the output of a module with its first tensor replaced."""
    if isinstance(output, torch.Tensor):
        return tensor
    if isinstance(output, Mapping):
        key = next(k for k, value in output.items() if isinstance(value, torch.Tensor))
        changed: Any = copy.copy(output)
        changed[key] = tensor
        return changed
    items = list(output)
    items[next(k for k, item in enumerate(items) if isinstance(item, torch.Tensor))] = tensor
    return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)


def _never_ran(argument: str, name: str) -> Exception:
    return fail("stitch", argument, f"is {name!r}, which the model does not run", "one that it runs")
