"""Features of nodes: a layer, a pipeline of layers or a function on the preimages of all nodes in one call.

J. Curry, W. Mio, T. Needham, O. B. Okutan, F. Russold, "Topologically attributed graphs for shape
discrimination", TAG-ML at ICML 2023.
"""

from __future__ import annotations

from typing import Any

import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from topodl._checks import as_tensor, fail
from topodl._precision import to_numpy
from topodl.diagrams import Diagrams

__all__ = ["fitted_attributes", "node_features"]

_NAME = "Mapper"


def _steps(attributes: Any) -> list[Any]:
    """Return the layers and functions that run one after the other."""
    if isinstance(attributes, Pipeline):
        return [step for _, step in attributes.steps if step not in (None, "passthrough")]
    return [*attributes] if isinstance(attributes, torch.nn.Sequential) else [attributes]


def fitted_attributes(attributes: Any, clouds: tuple[torch.Tensor, ...]) -> list[Any]:
    """Return the steps, with copies of those that have to learn from the preimages and have not yet."""
    steps: list[Any] = []
    for step in _steps(attributes):
        if _learns(step):
            with torch.no_grad():
                learnt_from = _applied(steps, tuple(cloud.detach() for cloud in clouds))
            step = clone(step).fit(_as_table(learnt_from, step))
        elif not callable(step) and not hasattr(step, "transform"):
            expected = "a layer, a pipeline of layers, or a function of a list of clouds"
            raise fail(_NAME, "attributes", f"have {step!r}", expected)
        steps.append(step)
    return steps


def _learns(step: Any) -> bool:
    """Return whether a step has to be fitted, and is not; weights are for training."""
    has_weights = isinstance(step, torch.nn.Module) and any(True for _ in step.parameters())
    if has_weights or not hasattr(step, "fit"):
        return False
    try:
        check_is_fitted(step)
    except NotFittedError:
        return True
    return False


def node_features(steps: list[Any], clouds: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Return the features (V, F) of the preimages of all nodes; gradients reach them through layers."""
    found = _applied(steps, clouds)
    if isinstance(found, Diagrams):
        expected = "features, as of a pipeline that ends with a layer that vectorises diagrams"
        raise fail(_NAME, "attributes", "gives diagrams", expected)
    x = as_tensor(found)
    if x.ndim == 0 or len(x) != len(clouds):
        came = f"gives shape {tuple(x.shape)}"
        raise fail(_NAME, "attributes", came, f"a row for each of the {len(clouds)} nodes")
    return x.flatten(1) if x.ndim > 1 else x[:, None]


def _applied(steps: list[Any], clouds: tuple[torch.Tensor, ...]) -> Any:
    weights = [w for step in steps if isinstance(step, torch.nn.Module) for w in step.parameters()]
    value: Any = [cloud.to(weights[0].dtype) for cloud in clouds] if weights else list(clouds)
    for step in steps:
        value = step(value) if callable(step) else step.transform(_as_table(value, step))
    return value


def _as_table(value: Any, step: Any) -> Any:
    """Return features as an array (V, F) for a transformer that is no module, anything else as it is."""
    is_table = isinstance(value, torch.Tensor) and not isinstance(step, torch.nn.Module)
    return to_numpy(value.flatten(1)) if is_table else value
