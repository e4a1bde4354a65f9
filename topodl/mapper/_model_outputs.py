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

from topodl._checks import check_choice, fail, reject_non_finite
from topodl._precision import at_least_single, to_numpy
from topodl._submodules import as_input, evaluation_mode, first_tensor, place_of
from topodl.hooks import attach

__all__ = ["ModelOutputs", "record_outputs", "reject_shuffling"]

Array = np.ndarray[Any, np.dtype[Any]]
_NAME = "PredictionMapper.explain"
_SUMS_TO_ONE = 1e-3
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
    *,
    activation: str | None,
    transform: Callable[[Any], Any] | None,
    verbose: bool,
) -> ModelOutputs:
    """Run a model over a loader; modes of its parts and gradients stay what they are."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"{_NAME}: model is a {type(model).__name__}; expected a torch.nn.Module")
    check_choice(_NAME, "activation", activation, ("softmax", None))
    embeddings, scores, labels = [], [], []
    with attach(model, layer, lambda x: x, transform) as attached, evaluation_mode(model), torch.no_grad():
        for output, given in tqdm(_outputs(model, loader), desc="samples", unit="batch", disable=not verbose):
            rows = _scores(output)
            embeddings.append(_embedding(layer, attached.value, len(rows)))
            attached.clear()
            scores.append(rows)
            labels.append(given)
    if not scores:
        raise fail(_NAME, "loader", "gives no batch", "at least one sample")
    sizes = sorted({rows.shape[1] for rows in embeddings})
    if len(sizes) > 1:
        came = f"has {sizes[0]} to {sizes[-1]} values a sample"
        raise fail(_NAME, f"the output of layer {layer!r}", came, "as many for each, or a transform")
    return ModelOutputs(
        np.concatenate(embeddings), _probabilities(torch.cat(scores), activation), _joined_labels(labels)
    )


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


def _joined_labels(labels: list[Any]) -> Array | None:
    """Return the labels of all batches, None where they have none."""
    without = sum(given is None for given in labels)
    if without == len(labels):
        return None
    if without:
        raise fail(_NAME, "loader", f"gives no labels with {without} of {len(labels)} batches", "all or none")
    return np.concatenate([to_numpy(torch.as_tensor(given, device="cpu")).reshape(-1) for given in labels])


def _scores(output: Any) -> torch.Tensor:
    """Return the scores (B, C) of a batch, or single ones (B, 1), in double precision."""
    scores = getattr(output, "logits", None)
    if scores is None:
        scores = first_tensor("", output)
    if scores.ndim not in (1, 2) or 0 in scores.shape[1:]:
        expected = "one score a class, (B, C), or one score, (B,)"
        raise fail(_NAME, "model", f"gives shape {tuple(scores.shape)}", expected)
    reject_non_finite(_NAME, "the model's output", at_least_single(scores))
    return scores.detach().cpu().double().reshape(len(scores), -1)


def _probabilities(scores: torch.Tensor, activation: str | None) -> Array:
    """Return the probabilities of the classes, (n, C), both of them where there is one score, (n, 1)."""
    if activation is None:
        return torch.cat([1.0 - scores, scores], 1).numpy() if scores.shape[1] == 1 else scores.numpy()
    if scores.shape[1] == 1:
        return torch.cat([torch.zeros_like(scores), scores], 1).softmax(1).numpy()
    if bool((scores >= 0).all()) and bool(((scores.sum(1) - 1.0).abs() < _SUMS_TO_ONE).all()):
        raise fail(_NAME, "model", "gives probabilities", "scores before the softmax, or activation=None")
    return scores.softmax(1).numpy()


def _embedding(layer: str, value: Any, n: int) -> Array:
    if not isinstance(value, torch.Tensor) or value.ndim == 0 or len(value) != n:
        came = (
            f"has shape {tuple(value.shape)}" if hasattr(value, "shape") else f"is a {type(value).__name__}"
        )
        raise fail(_NAME, f"the output of layer {layer!r}", came, f"a tensor of {n} samples, or a transform")
    return to_numpy(value.reshape(n, -1))
