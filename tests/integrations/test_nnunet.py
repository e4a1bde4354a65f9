"""What nnU-Net hands to its losses: lists of heads, regions, an ignore label, voxels of each size."""

import pickle
import subprocess
import sys

import pytest
import torch

from topodl.cli import main
from topodl.integrations._nnunet_loader import LoaderWithParts
from topodl.integrations.nnunet import NNUNetLoss, trainer_folder
from topodl.losses import CEDiceLoss, ClDiceLoss, RegionWiseLoss, SkeletonRecallLoss

torch.manual_seed(0)
HEADS = [torch.randn(2, 3, 16, 16), torch.randn(2, 3, 8, 8), torch.randn(2, 3, 4, 4)]
LABELS = [torch.randint(3, (2, 1, n, n), dtype=torch.int16) for n in (16, 8, 4)]
SCALES = [(1.0, 1.0), (0.5, 0.5), (0.25, 0.25)]


def test_heads_are_summed_with_their_weights():
    loss = NNUNetLoss("cldice:iterations=2", weights=[0.6, 0.4, 0.0], scales=SCALES)
    plain = ClDiceLoss(iterations=2)
    expected = 0.6 * plain(HEADS[0], LABELS[0]) + 0.4 * plain(HEADS[1], LABELS[1])
    torch.testing.assert_close(loss(HEADS, LABELS), expected)


def test_without_deep_supervision_a_tensor_goes_in():
    loss = NNUNetLoss("cldice:iterations=2")
    torch.testing.assert_close(loss(HEADS[0], LABELS[0]), ClDiceLoss(iterations=2)(HEADS[0], LABELS[0]))


def test_topology_may_be_left_to_the_first_head():
    loss = NNUNetLoss("cldice:iterations=2", weights=[0.6, 0.4, 0.0], scales=SCALES, topology_heads="first")
    plain = ClDiceLoss(iterations=2)
    expected = 0.6 * plain(HEADS[0], LABELS[0]) + 0.4 * plain(HEADS[1], LABELS[1], topology=False)
    torch.testing.assert_close(loss(HEADS, LABELS), expected)


def test_the_ignore_label_counts_nowhere():
    loss = NNUNetLoss("skeleton_recall", ignore_label=3)
    labels = LABELS[0].clone()
    labels[:, :, :5] = 3
    other = HEADS[0].clone()
    other[:, :, :5] = 100.0
    torch.testing.assert_close(loss(HEADS[0], labels), loss(other, labels))


@pytest.mark.parametrize("name", ["cldice", "skeleton_recall", "betti_matching", "scnp_ce_dice"])
def test_regions_with_an_ignore_channel(name):
    regions = (torch.rand(2, 4, 16, 16) > 0.5).to(torch.int16)  # three regions, and what is ignored
    loss = NNUNetLoss(name, regions=True, ignore_label=3)
    value = loss(HEADS[0], regions)
    hidden = regions[:, -1:].bool()
    changed = torch.where(hidden, 50.0, HEADS[0])
    torch.testing.assert_close(loss(changed, regions), value)
    plain = NNUNetLoss(name, regions=True)
    assert plain(HEADS[0], regions[:, :3]).isfinite()


@pytest.mark.parametrize("regions", [False, True])
def test_parts_of_the_loader_change_nothing(regions):
    loss = NNUNetLoss("skeleton_recall", weights=[0.6, 0.4, 0.0], scales=SCALES, regions=regions)
    targets = [(torch.rand(2, 3, n, n) > 0.5).to(torch.int16) for n in (16, 8, 4)] if regions else LABELS
    expected = loss(HEADS, targets)
    parts = loss.precompute(targets)
    assert parts[0] is not None
    assert parts[2] is None  # its head has no weight
    loss.parts = parts
    torch.testing.assert_close(loss(HEADS, targets), expected)
    assert loss.parts is None


def test_smaller_heads_have_larger_voxels():
    scales = [(1.0, 1.0), (1.0, 0.5)]
    spec = "region_wise"
    loss = NNUNetLoss(spec, weights=[0.5, 0.5], scales=scales, spacing=(2.0, 1.0))
    heads = [torch.randn(1, 2, 8, 16), torch.randn(1, 2, 8, 8)]
    labels = [torch.randint(2, (1, 1, 8, 16)), torch.randint(2, (1, 1, 8, 8))]
    first, second = RegionWiseLoss(spacing=(2.0, 1.0)), RegionWiseLoss(spacing=(2.0, 2.0))
    expected = 0.5 * first(heads[0], labels[0]) + 0.5 * second(heads[1], labels[1])
    torch.testing.assert_close(loss(heads, labels), expected)
    fixed = NNUNetLoss("region_wise:spacing=[1.0,1.0]", weights=[1.0], spacing=(2.0, 1.0))
    torch.testing.assert_close(
        fixed(heads[:1], labels[:1]), RegionWiseLoss(spacing=(1.0, 1.0))(heads[0], labels[0])
    )


def test_progress_comes_by_epochs():
    loss = NNUNetLoss("skeleton_recall:active_from=0.5")
    loss.set_progress(1, 4)
    torch.testing.assert_close(
        loss(HEADS[0], LABELS[0]), SkeletonRecallLoss()(HEADS[0], LABELS[0], topology=False)
    )
    loss.set_progress(3, 4)
    torch.testing.assert_close(loss(HEADS[0], LABELS[0]), SkeletonRecallLoss()(HEADS[0], LABELS[0]))


def test_heads_and_targets_of_unequal_number_are_named():
    loss = NNUNetLoss("ce_dice", weights=[0.5, 0.5])
    with pytest.raises(ValueError, match="target has 3 for 2 outputs"):
        loss(HEADS[:2], LABELS)


def test_heads_without_topology_need_no_parts():
    loss = NNUNetLoss("cldice", weights=[0.6, 0.4, 0.0], scales=SCALES, topology_heads="first")
    assert [part is not None for part in loss.precompute(LABELS)] == [True, False, False]


def test_a_loss_of_pictures_is_refused_for_volumes():
    with pytest.raises(ValueError, match="loss is 'topograph', which is for pictures alone"):
        NNUNetLoss("topograph", spacing=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="loss is 'cavity', which is for volumes alone"):
        NNUNetLoss("cavity", spacing=(1.0, 1.0))


class Batches:
    """Stands for a loader of nnU-Net."""

    def __init__(self):
        self.thread = None

    def __next__(self):
        return {"target": LABELS}

    def set_thread_id(self, thread_id):
        self.thread = thread_id


def test_the_loader_brings_parts_and_can_be_sent_to_a_process():
    loss = NNUNetLoss("skeleton_recall", weights=[0.6, 0.4, 0.0], scales=SCALES)
    loader = pickle.loads(pickle.dumps(LoaderWithParts(Batches(), loss)))
    loader.set_thread_id(3)
    assert loader._loader.thread == 3
    batch = next(iter(loader))
    expected = loss(HEADS, LABELS)
    loss.parts = batch["parts"]
    torch.testing.assert_close(loss(HEADS, batch["target"]), expected)


def test_the_command_names_the_folder_and_the_trainers(capsys):
    assert main(["nnunet"]) == 0
    assert str(trainer_folder()) in capsys.readouterr().out
    assert main(["nnunet", "--list"]) == 0
    listed = capsys.readouterr().out
    assert "nnUNetTrainerTopodlClDice" in listed
    assert "_Loader" not in listed


def test_names_of_monai_lead_to_ours():
    with pytest.raises(TypeError, match='activation="softmax" says it here'):
        CEDiceLoss(softmax=True)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of its own")
def test_the_trainers_are_found_by_nnunet():
    pytest.importorskip("nnunetv2")
    code = (
        "from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name as find\n"
        "print(find('nnUNetTrainerTopodlClDice').topodl_loss)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"nnUNet_extTrainer": str(trainer_folder()), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines()[-1] == "cldice"
