"""Whole studies on data of one's own: folders and objects, pictures and volumes, classes, regions, folds."""

import json
import types

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.evaluation.case_folders import nnunet, pairs
from tests.evaluation.given_images import lines, splits
from tests.evaluation.test_study import results
from topodl import InputError
from topodl._claims import Claims
from topodl.evaluation.run_folder import RunFolder, read_rows
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.study import run_study
from topodl.evaluation.tasks import Task, trainings_of, unfinished, work_name
from topodl.losses import SegmentationLoss, registry

TINY = {
    "iterations": 2,
    "batch_size": 3,
    "validation_interval": 2,
    "device": "cpu",
    "seeds": [3],
    "losses": ["ce_dice"],
    "patch_size": 32,
}


def tiny(**values):
    return StudySettings.of_protocol("quick", **(TINY | values))


def own_loss(logits, target, *, shift=0.0):
    labels = target.reshape(len(target), *logits.shape[2:])
    return (nn.functional.cross_entropy(logits, labels) - shift).sqrt()


def test_a_loss_of_ones_own_that_has_none_of_the_common_options_is_trained_with(tmp_path):
    class OwnLoss(SegmentationLoss, name="own_loss", function=own_loss):
        """The root of the cross-entropy."""

    try:
        words = ["ce_dice", "own_loss", "own_loss:shift=-1.0"]
        folder = run_study(tiny(losses=words), tmp_path / "run", data=splits())
        assert all(len(result(folder, word)) == 1 for word in words)
        with pytest.raises(InputError, match="failed in iteration 1: the mean of the loss is nan"):
            run_study(tiny(losses=["own_loss:shift=100.0"]), tmp_path / "nan", data=splits())
    finally:
        registry.pop("own_loss")


def result(folder, loss="ce_dice", seed=3):
    return read_rows(folder.result_csv("supervised", "accurate", "large", loss, seed))


def make_heads(in_channels, out_channels, spatial_dims):
    return Heads(in_channels, out_channels)


class Heads(nn.Module):
    """A convolution that gives two heads in training, the second of half the size."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.layer = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, images):
        output = self.layer(images)
        return [output, nn.functional.avg_pool2d(output, 2)] if self.training else output


def test_data_and_network_of_ones_own_are_trained_and_tested_at_full_resolution(tmp_path):
    data = splits(classes=("background", "vessel"))
    folder = run_study(tiny(losses=["ce_dice", "cldice:iterations=2"]), tmp_path / "run", data=data,
                       network=make_heads)  # fmt: skip
    (row,) = result(folder, "cldice:iterations=2")
    assert {"Dice_vessel", "Betti0Error_vessel"} < set(row)
    label = np.asarray(Image.open(folder.label_image("000")))
    assert label.shape == data.test[0][1].shape == (64, 48)
    assert (label == 255 * data.test[0][1]).all()
    prediction = np.asarray(Image.open(folder.prediction("cldice:iterations=2", 3, "000"))) == 255
    overlap = 2 * (prediction & (label > 0)).sum() / (prediction.sum() + (label > 0).sum())
    assert float(row["Dice_vessel"]) == pytest.approx(overlap)
    assert np.load(folder.input_image("000").with_suffix(".npy")).tolist() == data.test[0][0].tolist()
    stored = json.loads(folder.settings.read_text(encoding="utf-8"))
    assert stored["settings"]["network"] == f"{__name__}:make_heads"
    assert stored["intensities"]["scaled_by"] == "the training images"
    assert (stored["images"]["smallest"], stored["images"]["largest"]) == ([33, 48], [64, 70])
    assert stored["patch_size"] == [32, 32]


def test_other_data_from_python_is_another_study(tmp_path):
    run_study(tiny(), tmp_path / "run", data=splits())
    run_study(tiny(), tmp_path / "run", data=splits())
    with pytest.raises(InputError, match=r"another study|other settings: data is 'python-"):
        run_study(tiny(), tmp_path / "run", data=splits(((40, 40),) * 3))
    with pytest.raises(InputError, match="run_study: data is given beside settings with data="):
        run_study(tiny(data=tmp_path), tmp_path / "other", data=splits())
    with pytest.raises(InputError, match="run_study: network is a str; expected a callable"):
        run_study(tiny(), tmp_path / "other", data=splits(), network="unet")


def test_classes_in_volumes_of_a_prepared_folder(tmp_path):
    data = nnunet(tmp_path / "data", n=4, tests=1, size=(5, 12, 18))
    folder = run_study(tiny(data=data, patch_size=16), tmp_path / "run")
    (row,) = result(folder)
    assert {"Dice_liver", "HD95_tumour", "Betti2Error_liver", "Betti1ErrorLocal_tumour"} < set(row)
    prediction = np.load(folder.prediction("ce_dice", 3, row["ID"]).with_suffix(".npy"))
    assert (prediction.shape, prediction.dtype) == ((5, 12, 18), np.uint8)
    stored = json.loads(folder.settings.read_text(encoding="utf-8"))
    (channel,) = stored["intensities"]["channels"]
    assert channel["name"] == "CT"
    assert channel["low"] < channel["high"]
    assert stored["classes"]["names"] == ["background", "liver", "tumour"]


def test_pictures_of_several_classes_are_kept_as_indices(tmp_path):
    data = pairs(tmp_path / "data", 5, values=(0, 1, 2))
    folder = run_study(tiny(data=data, classes="0=background,1=artery,2=vein"), tmp_path / "run")
    (row,) = result(folder)
    assert {"Dice_artery", "Dice_vein"} < set(row)
    label = np.asarray(Image.open(folder.label_image(row["ID"])))
    assert sorted(np.unique(label)) == [0, 1, 2]


@pytest.mark.parametrize("framework", ["supervised", "selfdistillation"])
def test_regions_with_ignored_pixels_are_trained_in_every_framework(tmp_path, framework):
    image, label = lines((40, 40))
    whole = label.copy()
    whole[:, -1], whole[0] = 1, 9
    pairs = [(image, np.stack([whole, label]))] * 2
    data = types.SimpleNamespace(train=pairs, val=[], test=pairs[:1], regions=True, ignore_index=9,
                                 classes=("background", "whole", "core"))  # fmt: skip
    settings = tiny(framework=framework, iterations=3, losses=["cldice"], augmentation="topomortar")
    folder = run_study(settings, tmp_path / "run", data=data)
    (row,) = read_rows(folder.result_csv(framework, "accurate", "large", "cldice", 3))
    assert {"Dice_whole", "Dice_core"} < set(row)
    assert np.load(folder.prediction("cldice", 3, "000").with_suffix(".npy")).shape == (2, 40, 40)


def test_self_distillation_of_classes_with_small_images(tmp_path):
    data = splits(((20, 50), (40, 40), (33, 36)), n_classes=3, classes=("background", "artery", "vein"))
    settings = tiny(framework="selfdistillation", iterations=3, patch_size=24)
    folder = run_study(settings, tmp_path / "run", data=data)
    (row,) = read_rows(folder.result_csv("selfdistillation", "accurate", "large", "ce_dice", 3))
    assert 0 <= float(row["Dice_artery"]) <= 1


def test_folds_test_every_image_once_and_go_on_where_they_stopped(tmp_path):
    data = pairs(tmp_path / "data", 6)
    settings = tiny(data=data, folds=3, patch_size=16)
    folder = run_study(settings, tmp_path / "run")
    rows = result(folder)
    assert sorted(row["ID"] for row in rows) == [f"case{i}" for i in range(6)]
    assert sorted(row["fold"] for row in read_rows(folder.groups)) == list("001122")
    assert folder.curve_csv("ce_dice", 3, 2).is_file()
    (cost,) = read_rows(folder.costs)
    assert cost["iterations"] == "2"
    assert len(json.loads(folder.settings.read_text(encoding="utf-8"))["folds"]) == 3
    # A run that was stopped in the last fold does not repeat the first ones.
    whole, last = (folder.result_csv("supervised", "accurate", "large", "ce_dice", 3, k) for k in (None, 2))
    kept = whole.read_bytes()
    for path in (whole, last, folder.checkpoint("ce_dice", 3, 2)):
        path.unlink()
    before = [folder.checkpoint("ce_dice", 3, k).stat().st_mtime_ns for k in (0, 1)]
    run_study(settings, folder.root)
    assert whole.read_bytes() == kept
    assert [folder.checkpoint("ce_dice", 3, k).stat().st_mtime_ns for k in (0, 1)] == before


def test_each_fold_is_a_training_that_another_process_may_have(tmp_path):
    data = pairs(tmp_path / "data", 4)
    settings = tiny(data=data, folds=2, patch_size=16)
    alone = run_study(settings, tmp_path / "alone")
    folder = RunFolder(tmp_path / "run")
    first = Task("ce_dice", 3, 0)
    elsewhere = Claims(folder.claims, machine="another machine", renew_every=1e9)
    with elsewhere.take(work_name(first)):
        run_study(settings, folder.root, wait=False)
        assert unfinished(trainings_of(settings), settings, folder) == [first]
        assert not folder.result_csv("supervised", "accurate", "large", "ce_dice", 3).exists()
        # What the other process writes at the moment is left alone.
        theirs, ours = [
            folder.prediction("ce_dice", 3, row["ID"]).with_name(f".{row['ID']}.png.00ff.part")
            for fold in "01"
            for row in read_rows(folder.groups)[::3]
            if row["fold"] == fold
        ]
        for path in (theirs, ours):
            path.touch()
        folder.result_csv("supervised", "accurate", "large", "ce_dice", 3, 1).unlink()
        run_study(settings, folder.root, wait=False)
        assert (theirs.exists(), ours.exists()) == (True, False)
    run_study(settings, folder.root)
    assert not theirs.exists()
    assert results(folder) == results(alone)
    # A process that was killed between its last fold and the table of all leaves that to the next one.
    folder.result_csv("supervised", "accurate", "large", "ce_dice", 3).unlink()
    run_study(settings, folder.root)
    assert results(folder) == results(alone)
    each = [float(read_rows(folder.cost_csv("ce_dice", 3, k))[0]["seconds_per_iteration"]) for k in (0, 1)]
    (cost,) = read_rows(folder.costs)
    assert float(cost["seconds_per_iteration"]) == pytest.approx(sum(each) / 2, abs=1e-5)


def test_a_loss_that_cannot_be_trained_with_is_named_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="losses has 'cavity', which is for volumes alone"):
        run_study(tiny(losses=["ce_dice", "cavity"]), tmp_path / "run", data=splits())
    assert not (tmp_path / "run").exists()


def test_an_unusable_folder_is_named_before_anything_is_written(tmp_path):
    data = pairs(tmp_path / "data", 4)
    (data / "masks" / "case1.png").unlink()
    with pytest.raises(InputError, match="case1"):
        run_study(tiny(data=data), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_weights_that_are_kept_are_those_of_the_network(tmp_path):
    folder = run_study(tiny(), tmp_path / "run", data=splits(), network=make_heads)
    weights = torch.load(RunFolder(tmp_path / "run").checkpoint("ce_dice", 3), weights_only=True)["network"]
    assert set(weights) == {"layer.weight", "layer.bias"}
    assert weights["layer.weight"].shape == (2, 1, 3, 3)
    assert folder.root == tmp_path / "run"
