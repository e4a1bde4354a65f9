import hashlib

import gudhi
import numpy as np
import pytest
import torch
from scipy import ndimage

from topodl.datasets import SyntheticMortar
from topodl.datasets._draws import NOISE_MAX, Draws
from topodl.errors import InputError
from topodl.metrics import betti_numbers

GROUPS = ["indistr", "angles", "colors", "graffiti", "objects", "shadows", "occlusion"]


def digest(item: dict) -> str:
    picture = (item["image"] * 255).round().to(torch.uint8).numpy()
    return hashlib.sha256(picture.tobytes() + item["label"].to(torch.uint8).numpy().tobytes()).hexdigest()[
        :16
    ]


def gudhi_numbers(mask: np.ndarray) -> list[int]:
    complex_ = gudhi.CubicalComplex(top_dimensional_cells=np.where(mask, 0.0, 1.0))
    complex_.compute_persistence()
    return complex_.persistent_betti_numbers(0, 0)[:2]


# (size, labels, group, seed, index): a hash of picture and label.
PINNED = {
    (128, "accurate", "indistr", 0, 0): "3ef29c7e9f9ab7f1",
    (128, "accurate", "angles", 0, 1): "627001fe6c728b59",
    (128, "accurate", "colors", 0, 2): "b54fefa66106d4e7",
    (128, "accurate", "graffiti", 0, 3): "8344de1567dbb801",
    (128, "accurate", "objects", 0, 4): "dba738dc75868708",
    (128, "accurate", "shadows", 0, 5): "2b199847677aa5de",
    (128, "accurate", "occlusion", 0, 6): "08a28a1d9a8fcb98",
    (128, "noisy", "indistr", 0, 1): "9936e379da0b0021",
    (128, "pseudo", "indistr", 0, 1): "cafd2b4020903a92",
    (32, "accurate", "indistr", 7, 8): "519e405f2cee303a",
    (75, "pseudo", "occlusion", 123456789012, 3): "b7e95e48672f12fd",
    (512, "noisy", "angles", 3, 0): "ce31d095468524b6",
}
PINNED_DRAWS = [[2, -4, 0, -2, 2, 0], [[207, 173, 43], [240, 17, 231]], 380, "d27b672db2122c15"]


@pytest.mark.parametrize(("options", "expected"), PINNED.items())
def test_the_same_seed_gives_the_same_bytes_everywhere(options, expected):
    size, labels, group, seed, index = options
    assert digest(SyntheticMortar(9, size, labels, group, seed)[index]) == expected


def test_the_draws_are_pinned():
    draws = Draws(1, 2, 3)
    assert draws.integers(-5, 6, (6,)).tolist() == PINNED_DRAWS[0]
    assert draws.octets((2, 3)).tolist() == PINNED_DRAWS[1]
    assert draws.integer(0, 1000) == PINNED_DRAWS[2]
    noise = Draws(4).noise(40, 7)
    assert hashlib.sha256(noise.astype("<i4").tobytes()).hexdigest()[:16] == PINNED_DRAWS[3]
    assert noise.min() < -NOISE_MAX // 2
    assert noise.max() > NOISE_MAX // 2
    assert np.abs(noise).max() <= NOISE_MAX


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("size", [32, 77, 128])
def test_the_betti_numbers_are_exact(group, size):
    data = SyntheticMortar(6, size=size, group=group, seed=size)
    for item in data:
        label = item["label"][0].numpy().astype(bool)
        assert item["betti"].tolist() == gudhi_numbers(label)
        _, pieces = ndimage.label(label, np.ones((3, 3)))
        _, with_outside = ndimage.label(np.pad(~label, 1, constant_values=True))
        assert item["betti"].tolist() == [pieces, with_outside - 1]


def test_a_large_wall_has_exact_betti_numbers_too():
    item = SyntheticMortar(1, size=512, group="angles")[0]
    assert item["betti"].tolist() == gudhi_numbers(item["label"][0].numpy().astype(bool))


@pytest.mark.parametrize("labels", ["accurate", "noisy", "pseudo"])
def test_an_item_has_the_form_of_a_topomortar_item(labels):
    item = SyntheticMortar(3, size=64, labels=labels, group="angles", seed=1)[2]
    assert list(item) == ["image", "label", "id", "group", "betti"]
    assert item["image"].shape == (3, 64, 64)
    assert item["image"].dtype == torch.float32
    assert 0 <= item["image"].min() < item["image"].max() <= 1
    assert item["label"].shape == (1, 64, 64)
    assert item["label"].dtype == item["betti"].dtype == torch.int64
    assert set(item["label"].unique().tolist()) == {0, 1}
    assert (item["id"], item["group"]) == ("002", "angles")


def test_a_sample_depends_on_seed_split_and_index_alone():
    few, many = SyntheticMortar(2, size=48), SyntheticMortar(20, size=48)
    assert digest(few[1]) == digest(many[1])
    seen = {
        digest(SyntheticMortar(3, size=48, seed=seed, split=split)[index])
        for seed in (0, 1)
        for split in ("train", "val", "test")
        for index in range(3)
    }
    assert len(seen) == 18


def test_the_kind_of_label_changes_neither_picture_nor_betti_numbers():
    items = [SyntheticMortar(1, labels=labels)[0] for labels in ("accurate", "noisy", "pseudo")]
    for item in items[1:]:
        assert torch.equal(item["image"], items[0]["image"])
        assert torch.equal(item["betti"], items[0]["betti"])
        assert not torch.equal(item["label"], items[0]["label"])


def test_noisy_labels_are_thin_broken_and_beside_pseudo_labels_too_much():
    share, betti = {}, {}
    for labels in ("accurate", "noisy", "pseudo"):
        data = SyntheticMortar(12, labels=labels)
        share[labels] = np.mean([item["label"].float().mean() for item in data])
        betti[labels] = np.mean([betti_numbers(item["label"])[0].numpy() for item in data], axis=0)
    # TopoMortar's training labels cover 30, 13 and 36 % of the pictures.
    assert 0.3 < share["noisy"] / share["accurate"] < 0.6
    assert 1.1 < share["pseudo"] / share["accurate"] < 1.7
    assert betti["noisy"][0] > 3 * betti["accurate"][0]
    assert betti["noisy"][1] < 0.8 * betti["accurate"][1]
    assert betti["pseudo"][0] > 3 * betti["accurate"][0]


def test_mortar_can_be_told_from_brick_but_not_by_a_threshold():
    contrasts, errors = [], []
    for item in SyntheticMortar(15):
        luma, mortar = item["image"].mean(0), item["label"][0].bool()
        contrasts.append((luma[mortar].mean() - luma[~mortar].mean()).item())
        middle = (luma[mortar].mean() + luma[~mortar].mean()) / 2
        errors.append(((luma > middle) != mortar).float().mean().item())
    assert np.mean(np.array(contrasts) > 0.03) > 0.9
    assert 0.05 < np.mean(errors) < 0.35


def test_groups_differ_from_the_plain_wall_as_they_say():
    plain = SyntheticMortar(6)
    for group in ("graffiti", "objects", "shadows", "occlusion"):
        for item, base in zip(SyntheticMortar(6, group=group), plain, strict=True):
            assert not torch.equal(item["image"], base["image"])
            if group != "objects":
                assert torch.equal(item["label"], base["label"])
    hidden = [
        base["label"].sum() - i["label"].sum()
        for base, i in zip(plain, SyntheticMortar(6, group="objects"), strict=True)
    ]
    assert min(hidden) > 0
    redness = {
        g: np.mean([(i["image"][0] - i["image"][2]).mean() for i in SyntheticMortar(8, group=g)])
        for g in ("indistr", "colors")
    }
    assert redness["indistr"] > 0.15 > redness["colors"]


def test_no_group_takes_all_in_turn():
    assert [item["group"] for item in SyntheticMortar(8, size=32, group=None)] == [*GROUPS, "indistr"]
    mixed, angles = SyntheticMortar(2, size=32, group=None)[1], SyntheticMortar(2, size=32, group="angles")[1]
    assert digest(mixed) == digest(angles)


def test_transform_indices_and_loader():
    data = SyntheticMortar(4, size=32, transform=lambda item: item | {"id": "x"})
    assert data[0]["id"] == "x"
    assert torch.equal(data[-1]["image"], data[3]["image"])
    with pytest.raises(IndexError, match=r"index is 4; expected one in \[-4, 4\)"):
        data[4]
    batch = next(iter(torch.utils.data.DataLoader(data, batch_size=4)))
    assert batch["betti"].shape == (4, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n is 0; expected an integer of at least 1"),
        ({"n": 2.0}, "n is 2.0; expected an integer"),
        ({"size": 31}, "size is 31; expected an integer of at least 32"),
        ({"seed": -1}, "seed is -1; expected an integer of at least 0"),
        ({"seed": True}, "seed is True"),
        ({"labels": "gold"}, "labels is 'gold'; expected one of 'accurate', 'noisy', 'pseudo'"),
        ({"group": "rain"}, "group is 'rain'; expected one of 'indistr'"),
        ({"split": "all"}, "split is 'all'; expected one of 'train', 'val', 'test'"),
    ],
)
def test_unusable_options_are_named(options, message):
    with pytest.raises(InputError, match=f"SyntheticMortar: {message}"):
        SyntheticMortar(**({"n": 1} | options))
