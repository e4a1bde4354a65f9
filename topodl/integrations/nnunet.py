"""nnU-Net v2: any loss on its lists of targets, and where its command finds the trainers that use it.

The trainers themselves stand in `nnunet_trainers/topodl_trainers.py`, in a folder that nnU-Net reads by
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from topodl._checks import check_choice, fail
from topodl.evaluation.loss_specs import LossSpec, parse_loss
from topodl.integrations._progress import tell_progress
from topodl.losses import SegmentationLoss, registry

__all__ = ["NNUNetLoss", "trainer_folder"]

Parts = Any  # what a loss's `precompute` returns, or a list of it for regions


def trainer_folder() -> Path:
    """Return the folder that nnU-Net's variable ``nnUNet_extTrainer`` must name.

    Examples
    --------
    >>> (trainer_folder() / "topodl_trainers.py").is_file()
    True
    """
    return Path(__file__).parent / "nnunet_trainers"


class NNUNetLoss(nn.Module):
    """A loss of topodl on what nnU-Net hands to its losses.

    Targets are labels (B, 1, *S), or with regions (B, R, *S), whose last channel is the ignore label's if
    there is one; with deep supervision, lists of these, one a head.

    Parameters
    ----------
    loss : str
        The loss and its options, as in ``topodl evaluate --losses``: "cldice:iterations=10".
    weights : sequence of float, optional
        One a head of deep supervision, zero for heads without a loss; None without deep supervision.
    scales : sequence of sequence of float, optional
        Size of each head's output over that of the first, per axis: a head's voxels are as much larger.
    spacing : sequence of float, optional
        Of the voxels of the first head; used by the losses that measure distances, if the options name no
        other.
    regions : bool, default=False
        Whether the target has a channel for each region.
    ignore_label : int, optional
        Label to leave out; with regions, the last channel of the target.
    topology_heads : {"all", "first"}, default="all"
        Which heads get the topology term.

    Raises
    ------
    InputError
        If `topology_heads` is none of these, the loss refuses its options, or is not for as many axes as
        `spacing` has.

    References
    ----------
    F. Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image
    segmentation", Nature Methods 18, 2021.

    Examples
    --------
    >>> import torch
    >>> loss = NNUNetLoss("skeleton_recall", weights=[0.7, 0.3], scales=[(1, 1), (0.5, 0.5)])
    >>> heads = [torch.randn(2, 3, 16, 16), torch.randn(2, 3, 8, 8)]
    >>> targets = [torch.randint(3, (2, 1, 16, 16)), torch.randint(3, (2, 1, 8, 8))]
    >>> loss(heads, targets).shape
    torch.Size([])
    """

    def __init__(
        self,
        loss: str,
        *,
        weights: Sequence[float] | None = None,
        scales: Sequence[Sequence[float]] | None = None,
        spacing: Sequence[float] | None = None,
        regions: bool = False,
        ignore_label: int | None = None,
        topology_heads: str = "all",
    ) -> None:
        super().__init__()
        check_choice("NNUNetLoss", "topology_heads", topology_heads, ("all", "first"))
        self.deep = weights is not None
        self.weights = [1.0] if weights is None else [float(weight) for weight in weights]
        self.regions, self.ignore_label, self.topology_heads = regions, ignore_label, topology_heads
        own: dict[str, Any] = {"activation": "sigmoid" if regions else "auto"}
        if ignore_label is not None and not regions:
            own["ignore_index"] = ignore_label
        steps = [[1.0] * len(spacing or ())] * len(self.weights) if scales is None else scales
        spec = parse_loss(loss)
        _check_axes(spec, spacing)
        self.heads = nn.ModuleList(_with_spacing(spec, own, spacing, step) for step in steps)
        self.parts: Sequence[Parts | None] | None = None

    def set_progress(self, epoch: int, n_epochs: int) -> None:
        """Say that `epoch` of `n_epochs` epochs are done."""
        tell_progress(self._losses(), epoch, n_epochs)

    def precompute(self, target: torch.Tensor | Sequence[torch.Tensor]) -> list[Parts | None]:
        """Return what the losses need of the labels alone, one entry a head, for the loader's workers."""
        parts: list[Parts | None] = []
        for i, (loss, labels) in enumerate(zip(self._losses(), self._listed(target), strict=False)):
            if self.weights[i] == 0 or not self._has_topology(i) or type(loss).prepare is None:
                parts.append(None)
                continue
            values, mask = self._split(labels)
            if values.shape[1] == 1:
                parts.append(loss.precompute(values, mask=mask))
            else:
                parts.append([loss.precompute(region, mask=mask) for region in values.split(1, 1)])
        return parts

    def forward(
        self, output: torch.Tensor | Sequence[torch.Tensor], target: torch.Tensor | Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Return the weighted sum over the heads; `parts` are used if they were set, and forgotten."""
        outputs, targets = self._listed(output), self._listed(target)
        parts, self.parts = self.parts or [None] * len(self.weights), None
        if not len(self.weights) == len(outputs) == len(targets) == len(parts):
            came = f"has {len(targets)} for {len(outputs)} outputs"
            raise fail("NNUNetLoss", "target", came, f"{len(self.weights)} of both, one a head")
        total = outputs[0].new_zeros(())
        for i, (loss, weight) in enumerate(zip(self._losses(), self.weights, strict=True)):
            if weight == 0:
                continue
            labels, mask = self._split(targets[i])
            value = loss(outputs[i], labels, mask=mask, precomputed=parts[i], topology=self._has_topology(i))
            total = total + weight * value
        return total

    def _has_topology(self, head: int) -> bool:
        return head == 0 or self.topology_heads == "all"

    def _losses(self) -> list[SegmentationLoss]:
        return [head for head in self.heads if isinstance(head, SegmentationLoss)]

    def _listed(self, values: torch.Tensor | Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        return [values] if isinstance(values, torch.Tensor) else values

    def _split(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the labels, and which of them count."""
        if not self.regions:
            return target, None
        if self.ignore_label is None:
            return target.to(torch.uint8), None
        return target[:, :-1].to(torch.uint8), ~target[:, -1:].to(torch.bool)


def _check_axes(loss: LossSpec, spacing: Sequence[float] | None) -> None:
    """Raise for a loss of pictures alone where there are volumes, and the other way round."""
    if spacing is None or len(spacing) in registry[loss.name].spatial_dims:
        return
    others, own = ("pictures", "volumes") if len(spacing) == 3 else ("volumes", "pictures")
    raise fail("NNUNetLoss", "loss", f"is {loss.name!r}, which is for {others} alone", f"a loss of {own}")


def _with_spacing(
    loss: LossSpec, own: dict[str, Any], spacing: Sequence[float] | None, scale: Sequence[float]
) -> SegmentationLoss:
    """Return the loss of a head, whose voxels are larger the smaller its output is."""
    built = loss.build(**own)
    if spacing is None or "spacing" not in built.options or "spacing" in loss.options:
        return built
    lengths = tuple(length / share for length, share in zip(spacing, scale, strict=True))
    return loss.build(**own, spacing=lengths)
