"""Time the metrics on two 512 x 512 masks beside other implementations: python benchmarks/metrics.py.

CPU milliseconds of one thread, the least of nine rounds in which both take turns; the ratio is that of the
other to topodl.
"""

import gudhi
import numpy as np
import torch
from scipy import ndimage
from skimage.morphology import skeletonize
from timing import least, one_thread

from topodl.datasets import SyntheticMortar
from topodl.kernels.masks.thinning import thin
from topodl.metrics import betti_error, betti_numbers, cldice_score, dice_score, hausdorff_distance_95


def gudhi_betti(mask: np.ndarray) -> list[int]:
    complex_ = gudhi.CubicalComplex(top_dimensional_cells=np.where(mask, 0.0, 1.0))
    complex_.compute_persistence()
    return complex_.persistent_betti_numbers(0, 0)[:2]


def main() -> None:
    one_thread()
    target = torch.stack([SyntheticMortar(2, size=512)[i]["label"][0] for i in range(2)])
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=target.shape), (0, 3, 3))
    blurred = ndimage.gaussian_filter(target.numpy().astype(float), (0, 2, 2))
    preds = torch.from_numpy(blurred + 2 * noise > 0.5)
    print(f"Dice {dice_score(preds, target).tolist()}, Betti {betti_numbers(preds).tolist()}")

    from monai.metrics import compute_hausdorff_distance

    as_masks = preds.numpy()
    blobs = ndimage.gaussian_filter(rng.normal(size=(2, 512, 512)), (0, 6, 6)) > 0
    rows = {
        "dice_score": (lambda: dice_score(preds, target), None, ""),
        "cldice_score": (lambda: cldice_score(preds, target), None, ""),
        "skeletons of walls": (
            lambda: [thin(mask) for mask in as_masks],
            lambda: [skeletonize(mask) for mask in as_masks],
            "scikit-image",
        ),
        "skeletons of blobs": (
            lambda: [thin(mask) for mask in blobs],
            lambda: [skeletonize(mask) for mask in blobs],
            "scikit-image",
        ),
        "betti_numbers": (
            lambda: betti_numbers(preds),
            lambda: [gudhi_betti(mask) for mask in as_masks],
            "gudhi",
        ),
        "betti_error, window 128": (lambda: betti_error(preds, target, window=128), None, ""),
        "hausdorff_distance_95": (
            lambda: hausdorff_distance_95(preds, target),
            lambda: compute_hausdorff_distance(preds[:, None], target[:, None], percentile=95),
            "MONAI (larger of the two directions)",
        ),
    }
    for name, (ours, other, label) in rows.items():
        times = least({"topodl": ours} | ({label: other} if other else {}), rounds=9, seconds=20)
        line = f"{name:26s} {times['topodl']:8.1f} ms"
        if other is not None:
            line += f"   {label} {times[label]:8.1f} ms   ratio {times[label] / times['topodl']:6.1f}"
        print(line)


if __name__ == "__main__":
    main()
