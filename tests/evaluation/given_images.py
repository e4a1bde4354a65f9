"""Small images with labels for studies from Python: lines on noise, in the plane and in space."""

import types

import numpy as np
import torch

from topodl.evaluation.data import Images, Sample, StudyData
from topodl.evaluation.intensities import Intensities


def lines(size, n_classes=2, seed=0):
    """Return an image (1, *S) and a label (*S) with one bright bar of each class that is not background."""
    rng = np.random.default_rng(seed)
    label = np.zeros(size, dtype=np.uint8)
    for k in range(1, n_classes):
        start = int(rng.integers(0, size[-1] - 4))
        label[..., start : start + 3] = k
    image = rng.normal(0, 0.1, size) + label
    return image[None].astype(np.float32), label


def splits(sizes=((40, 56), (64, 48), (33, 70)), n_classes=2, **attributes):
    """Return an object as `run_study` takes it: three images to train with, one of each other kind."""
    pairs = [lines(size, n_classes, seed) for seed, size in enumerate(sizes)]
    return types.SimpleNamespace(train=pairs, val=pairs[:1], test=pairs[1:2], **attributes)


def study_data(label, classes=("background", "line"), *, regions=False, patch_size=None, image=None):
    """Return data of one image with this label (K, *S) in all splits."""
    label = torch.as_tensor(label).to(torch.uint8)
    image = torch.rand(1, *label.shape[1:]) if image is None else image
    several = Images.of([Sample(image, label, "a", "indistr", (1.0,) * (label.ndim - 1))])
    return StudyData(
        several, several, several, classes, Intensities(), regions=regions,
        has_ignored=bool((label == 255).any()), patch_size=patch_size,
    )  # fmt: skip
