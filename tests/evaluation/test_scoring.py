"""Predictions of whole images and their measurements: classes, regions, volumes, ignored pixels."""

import numpy as np
import pytest
import torch

from tests.evaluation.given_images import study_data
from topodl.evaluation.intensities import ChannelScale, Intensities
from topodl.evaluation.run_folder import METRIC_COLUMNS
from topodl.evaluation.scoring import (
    Predictor,
    _measure,
    mean_by_metric,
    measure_masks,
    metric_columns,
    metric_names,
)

THREE = ("background", "artery", "vein")
CPU = torch.device("cpu")


def by_name(rows, data):
    return [dict(zip(metric_columns(data), row, strict=True)) for row in rows.tolist()]


def test_columns_are_those_of_the_published_results_and_one_set_a_class():
    data = study_data(np.zeros((1, 8, 8)), ("background", "mortar"))
    assert metric_columns(data) == METRIC_COLUMNS
    columns = metric_columns(study_data(np.zeros((1, 4, 8, 8)), THREE))
    assert len(columns) == 18
    assert {"Betti2Error_artery", "Betti2ErrorLocal_vein", "HD95_vein"} < set(columns)


def test_each_class_is_measured_by_itself_and_absent_ones_are_left_out():
    label, prediction = torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
    label[0, 2:4], label[0, 8:10] = 1, 2
    prediction[0, 2:4, :8], prediction[0, 8:10] = 1, 2
    empty = torch.zeros_like(label)
    data = study_data(label, THREE)
    rows = _measure([prediction, empty], [label, empty], [(1.0, 1.0)] * 2, data)
    first, second = by_name(rows, data)
    assert first["Dice_artery"] == pytest.approx(2 / 3)
    assert first["Dice_vein"] == first["clDice_vein"] == 1
    assert first["HD95_vein"] == first["Betti0Error_artery"] == 0
    assert all(np.isnan(second[f"{m}_{c}"]) for m in ("Dice", "HD95", "clDice") for c in ("artery", "vein"))
    assert second["Betti0Error_vein"] == second["Betti1ErrorLocal_artery"] == 0
    means = mean_by_metric(rows, data)
    assert means["Dice"] == pytest.approx((2 / 3 + 1) / 2)
    assert tuple(means) == metric_names(2)


def test_ignored_pixels_count_in_no_metric():
    label, prediction = torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
    label[0, 2:4], label[0, 10:] = 1, 255
    prediction[0, 2:4], prediction[0, 12:14] = 1, 1
    data = study_data(label)
    row = by_name(_measure([prediction], [label], [(1.0, 1.0)], data), data)[0]
    assert row["Dice_line"] == row["clDice_line"] == 1
    assert row["HD95_line"] == row["Betti0Error_line"] == 0


def test_regions_overlap_and_each_has_its_own_ignored_pixels():
    label = torch.zeros(2, 16, 16, dtype=torch.uint8)
    label[0, 2:10], label[1, 4:6], label[1, 12] = 1, 1, 255
    prediction = (label == 1).to(torch.uint8)
    prediction[:, 12] = 1
    data = study_data(label, THREE, regions=True)
    row = by_name(_measure([prediction], [label], [(1.0, 1.0)], data), data)[0]
    assert row["Betti0Error_artery"] == 1
    assert row["Dice_vein"] == 1


def test_distances_are_in_units_of_the_spacing():
    label, prediction = torch.zeros(2, 1, 8, 16, 16, dtype=torch.uint8)
    label[0, 2], prediction[0, 4] = 1, 1
    data = study_data(label)
    rows = _measure([prediction, prediction], [label, label], [(1.0, 1.0, 1.0), (3.0, 0.5, 0.5)], data)
    assert [row["HD95_line"] for row in by_name(rows, data)] == [2, 6]


def test_images_of_one_size_and_of_several_are_measured_alike():
    rng = np.random.default_rng(0)
    labels = [torch.from_numpy((rng.random((1, h, 24)) < 0.5).astype(np.uint8)) for h in (16, 24, 16)]
    predictions = [torch.flip(label, (-1,)) for label in labels]
    data = study_data(labels[0])
    together = _measure(predictions, labels, [(1.0, 1.0)] * 3, data)
    for row, p, t in zip(together, predictions, labels, strict=True):
        assert row.tolist() == measure_masks(p[None], t[None], convention="standard")[0].tolist()


class Threshold(torch.nn.Module):
    """Two classes, the second where an image is above 0; remembers the sizes of its windows."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, images):
        self.sizes.append(tuple(images.shape[2:]))
        high = (images > 0).float() * 8 - 4
        return torch.cat([-high, high], 1)


@pytest.mark.parametrize("size", [(50, 70), (9, 70), (20, 24, 30)])
def test_windows_cover_the_whole_image(size):
    image = torch.randn(1, *size, generator=torch.Generator().manual_seed(0))
    patch = (16,) * len(size)
    data = study_data(torch.ones(1, *size), patch_size=patch, image=image)
    object.__setattr__(data, "intensities", Intensities((ChannelScale("", 0.0, 1.0),)))
    network = Threshold()
    label = Predictor(CPU, network, data).label(image)
    assert torch.equal(label, (image > 0).to(torch.uint8))
    assert set(network.sizes) == {patch}


def test_regions_are_thresholded_and_classes_compared():
    image = torch.zeros(1, 1, 2)
    logits = torch.tensor([[[[1.0, -1.0]], [[2.0, -2.0]]]])
    regions = Predictor(CPU, torch.nn.Module(), study_data(torch.ones(2, 1, 2), THREE, regions=True))
    classes = Predictor(CPU, torch.nn.Module(), study_data(torch.ones(1, 1, 2)))
    for predictor, expected in ((regions, [[[1, 0]], [[1, 0]]]), (classes, [[[1, 0]]])):
        predictor.network.forward = lambda images: logits
        assert predictor.label(image).tolist() == expected
        assert float(predictor.probabilities(image).max()) == pytest.approx(
            1 / (1 + np.exp(-2 if predictor is regions else -1))
        )
