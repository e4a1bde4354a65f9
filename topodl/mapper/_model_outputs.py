"""What a model makes of the samples of a loader: an embedding from one of its layers, and probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import RandomSampler
from tqdm import tqdm

from topodl._checks import fail, reject_non_finite
from topodl._precision import at_least_single, to_numpy
from topodl._submodules import as_input, evaluation_mode, first_tensor, place_of
from topodl.hooks import attach

__all__ = ["ModelOutputs", "record_outputs", "reject_shuffling"]

Array = np.ndarray[Any, np.dtype[Any]]
_NAME = "PredictionMapper.explain"
_LABEL_KEYS = ("labels", "label", "targets", "target", "y")


@dataclass(frozen=True)
class ModelOutputs:
    """Embeddings (n, d), probabilities (n, C), and the labels (n,) that the loader gave, or None."""

    embeddings: Array
    probabilities: Array
    labels: Array | None


def reject_shuffling(loader: Any, argument: str) -> None:
    """Raise an `InputError` if a loader draws its samples in random order, which an `argument` is not in."""
    samplers = [getattr(drawn, "sampler", None) for drawn in (loader, getattr(loader, "batch_sampler", None))]
    if any(isinstance(sampler, RandomSampler) for sampler in samplers):
        expected = f"one without shuffle=True where {argument} is given in the order of the samples"
        raise fail(_NAME, "loader", "shuffles its samples", expected)


def record_outputs(
    model: nn.Module,
    loader: Iterable[Any],
    layer: str,
    transform: Callable[[Any], Any] | None,
    verbose: bool,
) -> ModelOutputs:
    """Run a model over a loader; modes of its parts and gradients stay what they are."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"{_NAME}: model is a {type(model).__name__}; expected a torch.nn.Module")
    embeddings, probabilities, labels = [], [], []
    with attach(model, layer, lambda x: x, transform) as attached, evaluation_mode(model), torch.no_grad():
        for output, given in tqdm(_outputs(model, loader), desc="samples", unit="batch", disable=not verbose):
            rows = _probabilities(output)
            embeddings.append(_embedding(layer, attached.value, len(rows)))
            attached.clear()
            probabilities.append(rows)
            labels.append(given)
    if not probabilities:
        raise fail(_NAME, "loader", "gives no batch", "at least one sample")
    has_labels = all(given is not None for given in labels)
    found = np.concatenate([_labels(given) for given in labels]) if has_labels else None
    return ModelOutputs(np.concatenate(embeddings), np.concatenate(probabilities), found)


def _outputs(model: nn.Module, loader: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Run the model on one batch after the other; give its output and the labels of the batch, or None."""
    device, dtype = place_of(model)
    for batch in loader:
        inputs, labels = _inputs_and_labels(batch)
        if isinstance(inputs, Mapping):
            yield model(**{key: _moved(value, device, dtype) for key, value in inputs.items()}), labels
        else:
            yield model(_moved(inputs, device, dtype)), labels


def _inputs_and_labels(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, Mapping):
        key = next((key for key in _LABEL_KEYS if key in batch), None)
        return {name: value for name, value in batch.items() if name != key}, batch.get(key)
    if isinstance(batch, list | tuple):
        if len(batch) not in (1, 2):
            came = f"gives {len(batch)} things a batch"
            raise fail(_NAME, "loader", came, "x, (x, y) or a dict of the model's arguments and labels")
        return batch[0], batch[1] if len(batch) == 2 else None
    return batch, getattr(batch, "y", None)  # a batch of PyTorch Geometric


def _moved(value: Any, device: torch.device, dtype: torch.dtype | None) -> Any:
    if isinstance(value, torch.Tensor | np.ndarray):
        return as_input(value, device, dtype)
    return value.to(device) if hasattr(value, "to") else value


def _labels(given: Any) -> Array:
    return to_numpy(torch.as_tensor(given, device="cpu")).reshape(-1)


def _probabilities(output: Any) -> Array:
    """Return the softmax of scores (B, C), or both probabilities of single ones (B,), in double precision."""
    logits = getattr(output, "logits", None)
    if logits is None:
        logits = first_tensor("model", output)
    if logits.ndim not in (1, 2) or 0 in logits.shape[1:]:
        expected = "one score a class, (B, C), or one score, (B,)"
        raise fail(_NAME, "model", f"gives shape {tuple(logits.shape)}", expected)
    reject_non_finite(_NAME, "the model's output", at_least_single(logits))
    scores = logits.detach().cpu().double()
    if scores.ndim == 1 or scores.shape[1] == 1:
        scores = torch.stack([torch.zeros_like(scores.reshape(-1)), scores.reshape(-1)], 1)
    return scores.softmax(1).numpy()


def _embedding(layer: str, value: Any, n: int) -> Array:
    if not isinstance(value, torch.Tensor) or value.ndim == 0 or len(value) != n:
        came = (
            f"has shape {tuple(value.shape)}" if hasattr(value, "shape") else f"is a {type(value).__name__}"
        )
        raise fail(_NAME, f"the output of layer {layer!r}", came, f"a tensor of {n} samples, or a transform")
    return to_numpy(value.reshape(n, -1))
