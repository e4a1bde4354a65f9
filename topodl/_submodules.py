"""Running models that others wrote: submodules by name, tensors in and out, evaluation mode for a time."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from topodl._checks import fail
from topodl.diagrams import Diagrams

__all__ = ["as_input", "evaluation_mode", "first_tensor", "place_of", "submodule_of"]


def submodule_of(function: str, model: nn.Module, name: str, argument: str = "name") -> nn.Module:
    """Return the submodule of that name, also of a compiled or wrapped model."""
    if not isinstance(name, str):
        came = f"is a {type(name).__name__}"
        raise TypeError(f"{function}: {argument} {came}; expected the name of a submodule")
    modules = dict(model.named_modules())
    for prefix in ("", "_orig_mod.", "module."):
        if prefix + name in modules:
            return modules[prefix + name]
    similar = difflib.get_close_matches(name, list(modules), n=3, cutoff=0.3) or list(modules)[1:4]
    raise fail(
        function, argument, f"is {name!r}", f"a submodule of the model, as {', '.join(map(repr, similar))}"
    )


def first_tensor(name: str, output: Any) -> Any:
    """Return the output itself, or the first tensor of a tuple, list or mapping."""
    if isinstance(output, torch.Tensor | Diagrams):
        return output
    items = output.values() if isinstance(output, Mapping) else output
    for item in items if hasattr(items, "__iter__") else ():
        if isinstance(item, torch.Tensor):
            return item
    raise fail(
        "attach", f"the output of {name!r}", f"is a {type(output).__name__}", "a tensor, or a transform"
    )


def place_of(model: nn.Module) -> tuple[torch.device, torch.dtype | None]:
    """Return where a model runs, and the dtype of its weights."""
    first = next((weight for weight in model.parameters() if weight.is_floating_point()), None)
    return (torch.device("cpu"), None) if first is None else (first.device, first.dtype)


def as_input(values: Any, device: torch.device, dtype: torch.dtype | None) -> torch.Tensor:
    """Return samples as a model takes them: numbers of its precision, integers as they are."""
    if not isinstance(values, torch.Tensor):
        values = torch.from_numpy(np.require(values, requirements=["C", "W"]))
    return values.to(device, dtype if values.is_floating_point() else None)


@contextlib.contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model and all its parts into evaluation mode, and then each part back into the mode it had."""
    modes = [(part, part.training) for part in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for part, mode in modes:
            part.training = mode
