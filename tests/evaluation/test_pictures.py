"""Pictures of any kind: what is stored is read as it was written, and volumes are shown from all sides."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from topodl.errors import InputError
from topodl.evaluation.error_pictures import draw_masks, draw_overlay, enlarged, find_errors
from topodl.evaluation.overlays import draw_example
from topodl.evaluation.pictures import find_stored, presentable, read_image, read_masks, stored_names
from topodl.evaluation.stored_pictures import write_label
from topodl.evaluation.views import views_of


def save(path, array):
    """Write an array as the suffix says."""
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)
    return path


def test_the_names_of_a_folder_are_those_that_are_found_one_by_one(tmp_path):
    assert stored_names(tmp_path / "nowhere") == set()
    for name in ("a.png", "case.1.npy", "clinic/a.png", "notes.txt", "b.csv", ".hidden.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    names = stored_names(tmp_path)
    assert names == {"a", "case.1", "clinic/a", ".hidden"}
    assert all(find_stored(tmp_path / f"{name}.png") for name in names)
    assert find_stored(tmp_path / "dangling.png") is None


def test_a_picture_is_found_under_the_suffix_that_it_has(tmp_path):
    asked = tmp_path / "case.1.png"
    assert find_stored(asked) is None
    np.save(tmp_path / "case.1.npy", np.zeros(3))
    assert find_stored(asked) == tmp_path / "case.1.npy"


@pytest.mark.parametrize(
    ("stored", "n_classes", "expected"),
    [
        ([[0, 255]], 1, [[[0, 1]]]),
        ([[0, 1]], 1, [[[0, 1]]]),
        ([[0, 1, 255]], 1, [[[0, 1, 255]]]),
        ([[0, 1, 2]], 2, [[[0, 1, 0]], [[0, 0, 1]]]),
        ([[0, 2, 255]], 2, [[[0, 0, 255]], [[0, 1, 255]]]),
        ([[0, 0]], 2, [[[0, 0]], [[0, 0]]]),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_masks_are_read_class_by_class(tmp_path, stored, n_classes, expected, suffix):
    path = save(tmp_path / f"a{suffix}", np.array(stored, np.uint8))
    np.testing.assert_array_equal(read_masks(path, n_classes, 2), expected)


def test_a_palette_is_read_by_its_indices(tmp_path):
    image = Image.fromarray(np.array([[0, 2, 1]], np.uint8), mode="P")
    image.putpalette([0, 0, 0, 9, 9, 9, 200, 0, 0])
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_masks(tmp_path / "a.png", 2, 2), [[[0, 0, 1]], [[0, 1, 0]]])


def test_regions_may_overlap_and_a_volume_is_no_set_of_regions(tmp_path):
    stored = np.array([[[1, 1, 0]], [[0, 1, 255]]], np.uint8)  # (2, 1, 3)
    path = save(tmp_path / "a.npy", stored)
    np.testing.assert_array_equal(read_masks(path, 2, 2), stored)
    as_volume = read_masks(path, 2, 3)
    assert as_volume.shape == (2, 2, 1, 3)
    assert as_volume[0, 0, 0].tolist() == [1, 1, 0]
    with pytest.raises(InputError, match=r"a.npy has shape \(2, 1, 3\); expected 2 axes"):
        read_masks(path, 3, 2)


@pytest.mark.parametrize(("n_classes", "expected"), [(1, "0, 1, or 255"), (2, "0, 1, 2, or 255")])
def test_other_values_are_named(tmp_path, n_classes, expected):
    path = save(tmp_path / "a.png", np.array([[0, 7]], np.uint8))
    with pytest.raises(InputError, match=rf"a.png has the value 7; expected {expected} where a pixel"):
        read_masks(path, n_classes, 2)


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_a_file_that_is_none_is_named(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"nothing of use")
    with pytest.raises(InputError, match="is not a readable picture"):
        read_masks(path, 1, 2)


def test_channels_come_first_or_last(tmp_path):
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    np.testing.assert_array_equal(
        read_image(save(tmp_path / "a.png", image), (4, 5)), np.moveaxis(image, -1, 0)
    )
    first = np.moveaxis(image, -1, 0).astype(np.float32)
    np.testing.assert_array_equal(read_image(save(tmp_path / "b.npy", first), (4, 5)), first)
    assert read_image(save(tmp_path / "c.png", image[..., 0]), (4, 5)).shape == (1, 4, 5)
    with pytest.raises(InputError, match=r"a.png has 4 × 5 pixels; expected 5 × 4 as its label has"):
        read_image(tmp_path / "a.png", (5, 4))


@given(
    hnp.arrays(
        st.sampled_from([np.int16, np.uint16, np.float32, np.bool_, np.uint8]),
        st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)),
    )
)
def test_any_image_is_presentable(image):
    shown = presentable(image)
    assert shown.dtype == np.uint8
    assert shown.shape == (*image.shape[1:], 3)
    if len(image) != 3:
        np.testing.assert_array_equal(shown[..., 0], shown[..., 2])  # grey


def test_bytes_stay_and_other_values_are_stretched():
    bytes_ = np.array([[[10, 20]], [[0, 5]], [[7, 8]]], np.uint8)
    np.testing.assert_array_equal(presentable(bytes_), np.moveaxis(bytes_, 0, -1))
    hounsfield = np.linspace(-1000, 1000, 101)[None, None]
    shown = presentable(hounsfield)[0, :, 0]
    assert shown[0] == 0
    assert shown[50] in (127, 128)
    assert shown[-1] == 255
    assert (np.diff(shown.astype(int)) >= 0).all()
    flat = presentable(np.full((1, 2, 2), 3.5))
    assert (flat == flat[0, 0]).all()


def volume_with_a_rod() -> np.ndarray:
    """Return a volume (6, 20, 30) whose foreground is a rod along the last axis."""
    volume = np.zeros((6, 20, 30), bool)
    volume[2:4, 10:14, 5:25] = True
    return volume


def test_slices_go_through_the_middle_of_the_foreground():
    views = views_of(volume_with_a_rod())
    assert [view.title for view in views] == [
        "slice 2 along axis 0", "slice 11 along axis 1", "slice 14 along axis 2", "maximum along axis 0",
    ]  # fmt: skip
    assert all(view.of(volume_with_a_rod()).any() for view in views)
    assert [view.of(volume_with_a_rod()[None]).shape for view in views] == [
        (1, 20, 30), (1, 6, 30), (1, 6, 20), (1, 20, 30),
    ]  # fmt: skip
    empty = views_of(np.zeros((6, 20, 30), bool))
    assert [view.title for view in empty[:3]] == [
        f"slice {n} along axis {a}" for a, n in enumerate((3, 10, 15))
    ]


def test_a_projection_has_all_that_any_slice_has():
    volume = volume_with_a_rod()
    volume[0, 0, 0] = True
    projection = views_of(volume)[-1].of(volume)
    np.testing.assert_array_equal(projection, volume.any(axis=0))


def test_errors_of_volumes_are_breaks_and_components_that_are_missing_or_spurious():
    label = np.stack([volume_with_a_rod()]).astype(np.uint8)
    label[0, 5, 0:2, 0:2] = 1  # missing below
    prediction = np.stack([volume_with_a_rod()]).astype(np.uint8)
    prediction[0, 2:4, 10:14, 12:14] = 0  # a break
    prediction[0, 0, 18, 27] = prediction[0, 1, 19, 28] = 1  # one spurious component, over a corner
    errors, (counts,) = find_errors(prediction, label)
    assert counts == {"broken": 1, "merged": 0, "missing": 1, "spurious": 1}
    assert (errors.topology == 1).sum() == 16
    assert (errors.topology == 3).sum() == 4
    assert (errors.topology == 4).sum() == 2
    assert errors.wrong.sum() == 4 + 2 + 16
    assert errors.right.sum() == 160 - 16


def test_errors_are_counted_class_by_class_and_not_where_the_label_is_ignored():
    label = np.zeros((2, 32, 32), np.uint8)
    label[0, 4:8] = label[1, 20:24] = 1
    label[:, :, 28:] = 255
    prediction = np.where(label == 255, 1, label).astype(np.uint8)
    prediction[0, :, 10:14] = 0
    errors, counts = find_errors(prediction, label)
    assert counts[0]["broken"] == 1
    assert counts[1] == {"broken": 0, "merged": 0, "missing": 0, "spurious": 0}
    assert not errors.wrong[:, 28:].any()
    assert errors.wrong.sum() == 16


def test_masks_of_classes_have_colours_and_one_class_is_white():
    masks = np.array([[[0, 1, 0, 255]], [[0, 0, 1, 255]]], np.uint8)
    colors = np.asarray(draw_masks(masks).convert("RGB"))[0]
    assert len({tuple(color) for color in colors}) == 4
    assert tuple(colors[0]) == (0, 0, 0)
    alone = np.asarray(draw_masks(masks[:1, :, :3]))
    assert alone.tolist() == [[False, True, False]]


def test_pictures_have_a_size_that_a_page_can_show():
    assert enlarged(np.zeros((64, 32, 3), np.uint8)).size == (256, 512)
    assert enlarged(np.zeros((3000, 1500, 3), np.uint8)).size == (700, 1400)
    label = np.zeros((1, 2000, 100), np.uint8)
    label[0, 990:1010] = 1
    errors, _ = find_errors(np.zeros_like(label), label)
    assert draw_overlay(np.zeros((2000, 100, 3), np.uint8), errors).size == (70, 1400)


@pytest.mark.parametrize(
    ("shape", "channels", "dtype"),
    [
        ((24, 20), 1, np.uint8),
        ((24, 20), 3, np.float32),
        ((9, 16, 12), 1, np.int16),
        ((5, 8, 30), 4, np.uint16),
    ],
)
def test_an_example_of_any_kind_is_drawn(shape, channels, dtype):
    generator = np.random.default_rng(0)
    picture = (generator.random((channels, *shape)) * 200).astype(dtype)
    label = np.zeros((2, *shape), np.uint8)
    label[0, ..., 2:5] = label[1, ..., 6:8] = 1
    predictions = {"clDice": label, "Paint": np.ones_like(label)}
    pairs, panels = draw_example(
        picture, label, predictions, ("artery", "vein"), dict.fromkeys(predictions, "words"), {"Paint"}
    )
    n_views = 1 if len(shape) == 2 else 4
    assert [len(of.pairs) for of in panels] == [len(pairs)] * 2 == [n_views] * 2
    assert [panel.collapsed for panel in panels] == [False, True]
    assert panels[0].description == "no errors of topology"
    assert panels[0].pairs[0].left == pairs[0].right  # the prediction is the label
    assert all(uri.startswith("data:image/") for pair in pairs for uri in (pair.left, pair.right))


@pytest.mark.parametrize("size", [(3, 4), (2, 3, 2)])
@pytest.mark.parametrize("n_classes", [2, 3])
@given(data=st.data())
def test_a_label_is_read_as_it_was_stored(size, n_classes, data, tmp_path_factory):
    drawn = st.sampled_from([*range(n_classes), 255])
    label = data.draw(
        hnp.arrays(np.uint8, size, elements=drawn) | drawn.map(lambda v: np.full(size, v, np.uint8))
    )
    path = tmp_path_factory.mktemp("label") / "case.png"
    write_label(path, torch.from_numpy(label[None].astype(np.int64)), n_classes)
    masks = read_masks(find_stored(path), n_classes - 1, len(size))
    for n, mask in enumerate(masks, 1):
        np.testing.assert_array_equal(mask, np.where(label == 255, 255, label == n))
