"""Where a segmentation breaks, merges, misses or invents components: an error class for every pixel.

The wrong pixels are eaten away as long as that changes no topology; what resists is a topological error.
"""

from __future__ import annotations

from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from topodl._checks import check_connectivity, check_number, fail
from topodl._error_classes import TopologyError, classify_errors
from topodl.metrics._input import MaskPair, MaskPairs
from topodl.metrics._options import ReadingOptions, maps_masks, refuse_ignore_empty

__all__ = ["TopologyError", "topology_errors"]


@maps_masks
def topology_errors(
    preds: torch.Tensor,
    target: torch.Tensor,
    *,
    connectivity: int = 8,
    reach: int = 3,
    **common: Unpack[ReadingOptions],
) -> torch.Tensor:
    """Return the topological error that each pixel or voxel is part of.

    - ``MISSING`` (3): a component of the target that the prediction nowhere touches.
    - ``SPURIOUS`` (4): a component of the prediction that nowhere touches the target.
    - ``BROKEN`` (1): target that was not predicted and whose absence cuts a component or a loop, or tears a
      hole; in a volume also opens a cavity.
    - ``MERGED`` (2): prediction outside the target that joins two components, closes a loop or fills a hole;
      in a volume also closes or fills a cavity.
    - ``NONE`` (0): everything else, wrong pixels included whose correction changes no topology, such as those
      of a line that is drawn too thin, too thick or a little beside.

    The prediction is grown into the target it lacks (and the target into the excess of the prediction) by
    pixels that change neither components nor holes, tunnels nor cavities. The pixels at which this growth
    must stop, where two fronts meet, are the errors, marked with what lies within `reach` pixels of them in
    the same wrong region.

    Parameters
    ----------
    preds, target : Tensor or ndarray of shape (B, H, W), (B, 1, H, W) or (B, 1, D, H, W), or a list
        Of one size; masks or label maps; channels are read as `input_format` says.
    connectivity : {8, 4}
        Which foreground pixels are neighbours; 26 and 6 in a volume.
    reach : int
        How far the mark of a break or a merger extends around the pixels where it happens.

    Returns
    -------
    Tensor
        int64 (B, H, W) or (B, D, H, W), the values of `TopologyError`, or (B, K, *S) for K > 1 classes in the
        foreground, or regions.

    References
    ----------
    X. Hu. Structure-aware image segmentation with homotopy warping. NeurIPS 2022.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import TopologyError, topology_errors
    >>> target = torch.zeros(1, 7, 12, dtype=torch.long)
    >>> target[:, 2:5] = 1
    >>> preds = target.clone()
    >>> preds[..., 5:7] = 0  # a gap in the line
    >>> preds[:, 2, 9] = 0  # a notch in its side: no topological error
    >>> (topology_errors(preds, target) == TopologyError.BROKEN).sum().item()
    6
    """
    function = "topology_errors"
    corners = check_connectivity(function, connectivity)
    check_number(function, "reach", reach, low=0, integer=True)
    refuse_ignore_empty(function, common)
    masks = MaskPairs.read(function, preds, target, **common)
    sizes = {pair.target.shape for pair in masks.pairs} or {tuple(preds.shape[-masks.ndim :])}
    if len(sizes) > 1:
        raise fail(
            function, "preds", f"has images of sizes {sorted(sizes)}", "one size, as the maps are stacked"
        )

    def classify(pair: MaskPair) -> NDArray[np.int64]:
        return classify_errors(pair.preds, pair.target, corners, reach)

    return masks.measure(classify, sizes.pop(), np.int64)
