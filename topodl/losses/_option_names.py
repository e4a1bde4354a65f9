"""The error that names the option of a loss which another library calls otherwise."""

from __future__ import annotations

from collections.abc import Iterable

from topodl._checks import unknown_option

__all__ = ["unknown_loss_option"]

# What options are called in MONAI, segmentation_models_pytorch and torch, and what says the same here.
_NAMES_ELSEWHERE = {
    "softmax": 'activation="softmax" says it here (the default for several channels)',
    "sigmoid": 'activation="sigmoid" says it here (the default for one channel)',
    "other_act": 'apply it before, and say activation="none"',
    "to_onehot_y": "integer labels are taken as they are, one-hot ones with an activation that is named",
    "from_logits": 'activation="none" says that probabilities come in',
    "weight": "class_weights says it here",
    "ignore_label": "ignore_index says it here",
    "lambda_dice": "dice_weight or base_weight says it here",
    "lambda_ce": "ce_weight or base_weight says it here",
    "iter": "iterations says it here",
    "iter_": "iterations says it here",
    "alpha": "base_weight and topology_weight say it here",
    "batch": 'sums are per sample; variant="topomortar" of cldice and cbdice has those over the batch',
    "base_loss": "base_weight=0 leaves the base out; add a base loss of your own to the result",
}


def unknown_loss_option(loss: str, option: str, known: Iterable[str]) -> TypeError:
    """Return the error that says which options `loss` has in the place of `option`."""
    return unknown_option(loss, option, f"its options are {', '.join(sorted(known))}", _NAMES_ELSEWHERE)
