"""Cross-entropy plus soft Dice: the loss that the topology losses are compared with.

Cost: the unit in which the cost of every other loss is given.
"""

from __future__ import annotations

from typing import Unpack

import torch

from topodl.losses._base import SegmentationLoss
from topodl.losses._base_terms import ce_dice
from topodl.losses._input import CommonOptions, SegmentationBatch, loss_function

__all__ = ["CEDiceLoss", "ce_dice_loss"]


@loss_function
def ce_dice_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ce_weight: float = 1.0,
    dice_weight: float = 1.0,
    include_background: bool = True,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    r"""Return the weighted sum of cross-entropy and the negative soft Dice score.

    .. math:: L = w_{CE}\, CE(p, y) - w_D \frac1C \sum_c w_c \frac{2 \sum p_c y_c + 10^{-5}}
              {\sum p_c + \sum y_c + 10^{-5}}

    It lies above ``-dice_weight`` and may be negative.

    Parameters
    ----------
    logits : Tensor of shape (B, C, H, W) or (B, C, D, H, W)
        One channel for the foreground alone (sigmoid), or one a class (softmax).
    target : Tensor of shape (B, 1, *S) or (B, *S), integers
        Labels in [0, C), in {0, 1} for one channel; soft ones, in [0, 1], for one channel, and of shape
        (B, C, *S) with activation="softmax".
    ce_weight, dice_weight : float, default=1
        Weights of the two terms.
    include_background : bool, default=True
        Whether class 0 counts in the Dice score.
    **common
        `activation`, `class_weights`, `reduction`, `ignore_index`, `mask`: see `CommonOptions`.

    Returns
    -------
    Tensor
        A scalar, or (B,) with reduction="none".

    Raises
    ------
    InputError
        If shapes do not fit, a logit is not finite, or a label is out of range.

    References
    ----------
    F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net: fully convolutional neural networks for volumetric medical
    image segmentation", 3DV 2016 (soft Dice). F. Isensee, P. F. Jaeger, S. A. A. Kohl, J. Petersen, K. H.
    Maier-Hein, "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation",
    Nature Methods 18, 2021 (the sum).

    Examples
    --------
    >>> import torch
    >>> target = torch.zeros(1, 1, 4, 4, dtype=torch.long)
    >>> target[..., 1:3] = 1
    >>> good = torch.cat([5.0 - 10 * target, 10.0 * target - 5], 1)
    >>> bool(ce_dice_loss(good, target) < ce_dice_loss(-good, target))
    True
    """
    batch = SegmentationBatch.read("ce_dice_loss", logits, target, takes_soft=True, **common)
    return batch.reduce(ce_dice(batch, ce_weight, dice_weight, include_background))


class CEDiceLoss(SegmentationLoss, name="ce_dice", function=ce_dice_loss):
    """Cross-entropy plus soft Dice, as a module; the options are those of `ce_dice_loss`.

    Examples
    --------
    >>> import torch
    >>> loss = CEDiceLoss(dice_weight=0.5)
    >>> loss(torch.randn(2, 3, 16, 16), torch.randint(3, (2, 16, 16))).shape
    torch.Size([])
    """
