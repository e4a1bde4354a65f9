import csv

import gudhi
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.naive import mask_metrics as naive
from topodl.errors import InputError
from topodl.metrics import BettiError, betti_error, betti_numbers

masks_2d = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
masks_3d = arrays(np.bool_, array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=5))


def numbers(mask: np.ndarray, connectivity: int = 8) -> list[int]:
    return betti_numbers(torch.from_numpy(mask)[None, None], connectivity=connectivity)[0].tolist()


@given(masks_2d, st.booleans())
def test_2d_numbers_equal_a_flood_fill(mask, corners):
    assert numbers(mask, 8 if corners else 4) == naive.betti_numbers(mask, corners)


@given(masks_3d, st.booleans())
def test_3d_numbers_equal_a_flood_fill_and_a_list_of_cells(mask, corners):
    assert numbers(mask, 26 if corners else 6) == naive.betti_numbers(mask, corners)
    assert numbers(mask, 8 if corners else 4) == naive.betti_numbers(mask, corners)


@given(masks_2d | masks_3d)
def test_default_numbers_equal_those_of_gudhi(mask):
    complex_ = gudhi.CubicalComplex(top_dimensional_cells=np.where(mask, 0.0, 1.0))
    complex_.compute_persistence()
    expected = complex_.persistent_betti_numbers(0, 0)
    assert numbers(mask) == expected[: mask.ndim]


@pytest.mark.parametrize("kind", ["cell", "vertex"])
def test_random_volumes_of_some_size_equal_gudhi(kind):
    mask = np.random.default_rng(0).random((17, 14, 15)) < (0.25 if kind == "cell" else 0.6)
    values = np.where(mask, 0.0, 1.0)
    complex_ = gudhi.CubicalComplex(**{"top_dimensional_cells" if kind == "cell" else "vertices": values})
    complex_.compute_persistence()
    assert numbers(mask, 26 if kind == "cell" else 6) == complex_.persistent_betti_numbers(0, 0)[:3]


def test_two_diagonal_pixels():
    mask = np.eye(2, dtype=bool)
    assert numbers(mask, 8) == [1, 0]
    assert numbers(mask, 4) == [2, 0]


def test_a_ring_that_lacks_a_corner():
    mask = np.ones((3, 3), dtype=bool)
    mask[1, 1] = mask[0, 0] = False
    assert numbers(mask, 8) == [1, 1]
    assert numbers(mask, 4) == [1, 0]


def test_a_hollow_cube_a_solid_torus_and_a_full_volume():
    cube = np.ones((3, 3, 3), dtype=bool)
    assert numbers(cube) == [1, 0, 0]
    cube[1, 1, 1] = False
    assert numbers(cube) == [1, 0, 1]
    assert numbers(cube, 6) == [1, 0, 1]
    torus = np.ones((1, 3, 3), dtype=bool)
    torus[0, 1, 1] = False
    assert numbers(np.pad(torus, 1)) == [1, 1, 0]


def test_background_that_reaches_the_edge_is_no_hole():
    mask = np.ones((3, 3), dtype=bool)
    mask[0, 1] = False
    assert numbers(mask) == [1, 0]


def test_empty_masks_have_zeros_and_an_empty_batch_no_rows():
    assert numbers(np.zeros((4, 4), dtype=bool)) == [0, 0]
    assert betti_numbers(torch.zeros(0, 4, 4)).shape == (0, 2)


def test_an_empty_prediction_costs_a_component_but_not_by_topomortars_convention():
    target, empty = torch.ones(1, 5, 5, dtype=torch.bool), torch.zeros(1, 5, 5, dtype=torch.bool)
    for preds, true in ((empty, target), (target, empty)):
        assert betti_error(preds, true).tolist() == [[1, 0]]
        assert betti_error(preds, true, convention="topomortar").tolist() == [[0, 0]]
    for convention in ("standard", "topomortar"):
        assert betti_error(empty, empty, convention=convention).tolist() == [[0, 0]]


def test_the_local_error_is_the_mean_over_windows_smaller_ones_included():
    preds, target = torch.zeros(1, 5, 7, dtype=torch.bool), torch.zeros(1, 5, 7, dtype=torch.bool)
    target[0, 0, 0] = target[0, 0, 6] = target[0, 4, 6] = True
    # Windows of 3: rows 0-2 and 3-4, columns 0-2, 3-5 and 6; three of six hold a pixel.
    assert betti_error(preds, target, window=3).tolist() == [[0.5, 0]]
    assert betti_error(preds, target, window=9).tolist() == betti_error(preds, target).tolist() == [[3, 0]]


def test_windows_of_volumes_and_chosen_dimensions():
    target = torch.zeros(1, 1, 4, 4, 4, dtype=torch.bool)
    target[..., :3, :3, :3] = True
    target[..., 1, 1, 1] = False
    preds = torch.zeros_like(target)
    assert betti_error(preds, target, dims=(2, 0)).tolist() == [[1, 1]]
    assert betti_error(preds, target, window=4).tolist() == [[1, 0, 1]]
    assert betti_error(preds, target, window=2, dims=[2]).tolist() == [[0]]


def test_every_class_counts_by_itself():
    target = torch.tensor([[[1, 2, 0, 2, 0, 1]]])
    preds = torch.tensor([[[1, 2, 0, 0, 0, 2]]])
    assert betti_error(preds, target, num_classes=3).tolist() == [[[1, 0], [0, 0]]]
    assert betti_error(preds, target, num_classes=3).shape == (1, 2, 2)


def test_the_test_labels_have_the_published_numbers(shared):
    folder = shared / "data" / "topomortar"
    from topodl.datasets import TopoMortar

    with pytest.warns(UserWarning, match="are skipped"):
        data = TopoMortar(folder, split="test")
    with (folder / "betti_numbers.csv").open(encoding="utf-8") as file:
        published = {row["ID"]: [int(row["Betti0"]), int(row["Betti1"])] for row in csv.DictReader(file)}
    assert len(data) >= 110
    for item in data:
        assert betti_numbers(item["label"])[0].tolist() == published[item["id"]], item["id"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"connectivity": 5}, "betti_error: connectivity is 5; expected one of 8, 26, 4, 6"),
        ({"dims": (2,)}, r"dims is \(2,\); expected some of \[0, 1\]"),
        ({"dims": ()}, r"dims is \(\); expected some of"),
        ({"dims": (0, 0)}, "each once"),
        ({"window": 0}, "window is 0; expected an integer of at least 1"),
        ({"convention": "strict"}, "convention is 'strict'; expected one of 'standard', 'topomortar'"),
    ],
)
def test_unusable_options_are_named(options, message):
    image = torch.zeros(1, 4, 4)
    with pytest.raises(InputError, match=message):
        betti_error(image, image, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"connectivity": 5}, "BettiError: connectivity is 5"),
        ({"dims": (3,)}, "BettiError: dims is"),
        ({"window": -1}, "BettiError: window is -1"),
        ({"reduction": "sum"}, "BettiError: reduction is 'sum'; expected one of 'mean', 'per_class', 'none'"),
        ({"num_classes": 1}, "BettiError: num_classes is 1"),
    ],
)
def test_unusable_options_of_the_metric_are_named(options, message):
    with pytest.raises(InputError, match=message):
        BettiError(**options)


def test_the_metric_means_over_images_in_2d_and_3d():
    target = torch.zeros(2, 6, 6, dtype=torch.bool)
    target[0, 2, 2] = target[1, 0, 0] = target[1, 4, 4] = True
    metric = BettiError()
    metric.update(torch.zeros_like(target), target)
    assert metric.compute().tolist() == [1.5, 0]
    metric = BettiError(dims=(1,), window=3)
    metric.update(torch.zeros_like(target), target)
    assert metric.compute().tolist() == 0  # torchmetrics makes one value a scalar
    volume = torch.ones(1, 1, 3, 3, 3)
    metric = BettiError()
    metric.update(torch.zeros_like(volume), volume)
    assert metric.compute().tolist() == [1, 0, 0]
