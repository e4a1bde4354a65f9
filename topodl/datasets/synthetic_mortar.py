"""`SyntheticMortar`: procedurally drawn brick walls whose mortar has exactly known Betti numbers.

Everything is integer arithmetic on PCG64's raw stream: the same seed gives the same bytes on every machine.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset

from topodl._checks import check_choice, check_number
from topodl.datasets._common import GROUPS, LABELS, SPLITS, Item, Transform
from topodl.datasets._draws import Draws
from topodl.datasets._labels import noisy_label, pseudo_label
from topodl.datasets._paint import paint_wall, photograph
from topodl.datasets._scenes import add_graffiti, add_object, add_occlusion, cast_shadow
from topodl.datasets._wall import Mask, betti_of_mortar, build_wall, remove_specks

__all__ = ["SyntheticMortar"]

# What a stream of draws is for, so that changing one part of a picture leaves the others as they were.
_LAYOUT, _COLOR, _SCENE, _CAMERA, _PEN = range(5)


class SyntheticMortar(Dataset[Item]):
    """Drawn pictures of brick walls with labels of their mortar, after TopoMortar.

    Parameters
    ----------
    n : int
        Number of samples. Sample `i` depends on `seed`, `split`, `size` and `i` alone.
    size : int
        Height and width in pixels, at least 32. Bricks grow with it.
    labels : {"accurate", "noisy", "pseudo"}
        ``"accurate"``: the mortar as it was laid out. ``"noisy"``: strokes of one width, drawn by an unsteady
        hand, with slips and gaps. ``"pseudo"``: what a weak threshold of the picture's colours finds.
    group : str or None
        ``"indistr"``, or an out-of-distribution group: ``"angles"`` (seen from the side), ``"colors"``
        (no red bricks), ``"graffiti"``, ``"objects"`` (they hide part of the wall, where the label has no
        mortar), ``"shadows"``, ``"occlusion"`` (small things before a wall; the label goes on behind them).
        None takes the seven groups in turn.
    seed : int
        Non-negative.
    split : {"train", "val", "test"}
        Splits of one seed have no sample in common.
    transform : callable or None
        Gets the item and returns the item to use.

    Raises
    ------
    InputError
        If an argument has an unusable value.

    Notes
    -----
    An item is a dict of ``"image"`` (float32 (3, H, W) in [0, 1]), ``"label"`` (int64 (1, H, W), 1 for
    mortar), ``"id"``, ``"group"`` and ``"betti"`` (int64 (2,)): the number of pieces of mortar (8-connected)
    and of bricks that it encloses. These are the wall's own, whatever the kind of label.

    References
    ----------
    J. M. Valverde, M. Koga, N. Otsuka, A. B. Dahl. TopoMortar: A dataset to evaluate image
    segmentation methods focused on topology accuracy. BMVC 2025.

    Examples
    --------
    >>> from topodl.datasets import SyntheticMortar
    >>> item = SyntheticMortar(10, size=128, seed=0)[3]
    >>> item["image"].shape, item["label"].shape, item["group"]
    (torch.Size([3, 128, 128]), torch.Size([1, 128, 128]), 'indistr')
    """

    def __init__(
        self,
        n: int,
        size: int = 128,
        labels: str = "accurate",
        group: str | None = "indistr",
        seed: int = 0,
        *,
        split: str = "train",
        transform: Transform | None = None,
    ) -> None:
        name = type(self).__name__
        for argument, value, least in (("n", n, 1), ("size", size, 32), ("seed", seed, 0)):
            check_number(name, argument, value, low=least, integer=True)
        check_choice(name, "labels", labels, LABELS)
        check_choice(name, "split", split, SPLITS)
        if group is not None:
            check_choice(name, "group", group, GROUPS)
        self.n, self.size, self.seed = int(n), int(size), int(seed)
        self.labels, self.group, self.split, self.transform = labels, group, split, transform

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Item:
        if not -self.n <= index < self.n:
            raise IndexError(f"SyntheticMortar: index is {index}; expected one in [{-self.n}, {self.n})")
        index = int(index) % self.n
        group = self.group if self.group is not None else GROUPS[index % len(GROUPS)]
        picture, label, betti = self._draw(index, group)
        item: Item = {
            "image": torch.from_numpy(picture).to(torch.float32) / 255,
            "label": torch.from_numpy(label[None].astype(np.int64)),
            "id": f"{index:03d}",
            "group": group,
            "betti": torch.tensor(betti, dtype=torch.int64, device="cpu"),
        }
        return item if self.transform is None else self.transform(item)

    def _draw(self, index: int, group: str) -> tuple[np.ndarray, Mask, tuple[int, int]]:
        def draws(purpose: int) -> Draws:
            return Draws(self.seed, SPLITS.index(self.split), index, self.size, purpose)

        wall = build_wall(draws(_LAYOUT), self.size, tilted=group == "angles")
        color = paint_wall(draws(_COLOR), wall, unusual_colors=group == "colors")
        visible, shadow = np.ones_like(wall.mortar), None
        if group == "graffiti":
            color = add_graffiti(draws(_SCENE), color)
        elif group == "objects":
            color, visible = add_object(draws(_SCENE), color)
        elif group == "occlusion":
            color = add_occlusion(draws(_SCENE), color)
        elif group == "shadows":
            shadow = cast_shadow(draws(_SCENE), self.size)
        picture = photograph(draws(_CAMERA), color, shadow=shadow)

        mortar = wall.mortar if visible.all() else remove_specks(wall.mortar & visible)
        if self.labels == "noisy":
            label = noisy_label(draws(_PEN), wall, visible)
        elif self.labels == "pseudo":
            label = pseudo_label(picture, mortar, visible)
        else:
            label = mortar
        return picture, label, betti_of_mortar(mortar)
