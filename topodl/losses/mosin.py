"""The perceptual loss of Mosinska et al. (CVPR 2018): features of the prediction against those of the label.

Cost: the feature network forward twice and backward once a class; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import torch

from topodl._checks import check_number, fail
from topodl._precision import at_least_single
from topodl.losses._base import SegmentationLoss
from topodl.losses._base_terms import cross_entropy
from topodl.losses._input import CommonOptions, SegmentationBatch, loss_function

__all__ = ["MosinLoss", "mosin_loss"]

Features = Callable[[torch.Tensor], torch.Tensor | Sequence[torch.Tensor]]


@loss_function
def mosin_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    features: Features,
    input_channels: int = 3,
    base_weight: float = 1.0,
    topology_weight: float = 0.1,
    include_background: bool = False,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    r"""Return ``base_weight`` times cross-entropy plus ``topology_weight`` times the feature distance.

    .. math:: L_{top} = \frac1C \sum_c \sum_n \frac{1}{M_n N_n} \lVert l_n(y_c) - l_n(p_c) \rVert^2

    over the feature maps :math:`l_n` with :math:`M_n` channels and :math:`N_n` pixels. Probabilities are
    compared with the one-hot label of the same class, and features are what the network returns.

    Parameters
    ----------
    logits : Tensor of shape (B, C, H, W) or (B, C, D, H, W)
        One channel for the foreground alone (sigmoid), or one a class (softmax).
    target : Tensor of shape (B, 1, *S) or (B, *S), integers
        Labels in [0, C), in {0, 1} for one channel; soft ones, in [0, 1], for one channel, and of shape
        (B, C, *S) with activation="softmax".
    features : callable or torch.nn.Module
        Images (B, input_channels, *S) in [0, 1] to one or more feature maps (B, M_n, …). The paper takes
        conv1_2, conv2_2 and conv3_4 of a VGG19 trained on ImageNet. Its parameters are left alone.
    input_channels : int, default=3
        How often the map of a class is repeated to make the network's input.
    base_weight : float, default=1
        Weight of the cross-entropy.
    topology_weight : float, default=0.1
        Weight of the feature distance.
    include_background : bool, default=False
        Whether class 0 counts in the feature distance.
    **common
        `activation`, `class_weights`, `reduction`, `ignore_index`, `mask`: see `CommonOptions`.

    Returns
    -------
    Tensor
        A scalar, or (B,) with reduction="none".

    Raises
    ------
    InputError
        If shapes do not fit, a logit is not finite, a label is out of range, or `features` returns
        something else than feature maps.

    References
    ----------
    Mosinska et al., "Beyond the Pixel-Wise Loss for Topology-Aware Delineation", CVPR 2018.

    Examples
    --------
    >>> import torch
    >>> edges = torch.nn.Conv2d(3, 8, 3)
    >>> mosin_loss(torch.randn(2, 2, 9, 9), torch.randint(2, (2, 9, 9)), features=edges).shape
    torch.Size([])
    """
    name = "mosin_loss"
    check_number(name, "input_channels", input_channels, low=1, integer=True)
    if not callable(features):
        raise fail(name, "features", f"is {features!r}", "a network or another callable")
    batch = SegmentationBatch.read(name, logits, target, takes_soft=True, **common)
    total = base_weight * cross_entropy(batch)
    if topology_weight == 0:
        return batch.reduce(total)
    channels = batch.channels(include_background)
    y = batch.one_hot(channels)
    p = batch.probabilities[:, channels.start : channels.stop]
    if batch.valid is not None:
        p = p * batch.valid[:, None]
    distances = torch.stack(
        [_feature_distance(features, p[:, i], y[:, i], input_channels) for i in range(len(channels))], 1
    )
    return batch.reduce(total + topology_weight * batch.weigh_classes(distances, channels))


def _feature_distance(
    features: Features, p: torch.Tensor, y: torch.Tensor, input_channels: int
) -> torch.Tensor:
    """Return the mean squared difference of each feature map, summed over the maps, (B,)."""
    repeats = (1, input_channels, *[1] * (p.ndim - 1))
    predicted = _as_maps(features(p[:, None].repeat(repeats)))
    with torch.no_grad():
        labelled = _as_maps(features(y[:, None].repeat(repeats)))
    squares = [(a - b).square().flatten(1).mean(1) for a, b in zip(predicted, labelled, strict=True)]
    return torch.stack(squares).sum(0)


def _as_maps(output: Any) -> list[torch.Tensor]:
    maps = [output] if isinstance(output, torch.Tensor) else list(output)
    if not maps or not all(isinstance(m, torch.Tensor) for m in maps):
        raise fail("mosin_loss", "features", f"returns {type(output).__name__}", "one or more feature maps")
    return [at_least_single(m) for m in maps]


class MosinLoss(SegmentationLoss, name="mosin", function=mosin_loss):
    """Cross-entropy and feature distance, as a module; the options are those of `mosin_loss`.

    A `features` that is a module becomes a submodule, in evaluation mode and without gradients of its own.

    Examples
    --------
    >>> import torch
    >>> loss = MosinLoss(features=torch.nn.Conv2d(3, 8, 3))
    >>> loss(torch.randn(2, 2, 16, 16), torch.randint(2, (2, 1, 16, 16))).shape
    torch.Size([])
    """

    def __init__(self, *, features: Features, **options: Any) -> None:
        super().__init__(features=features, **options)
        if isinstance(features, torch.nn.Module):
            self.features = features.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> MosinLoss:
        """Set the mode of the loss; the feature network stays in evaluation mode."""
        super().train(mode)
        if isinstance(self.options["features"], torch.nn.Module):
            self.features.eval()
        return self
