"""Networks, batches, augmentations, measurements and random numbers of a study."""

import colorsys
import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import ndimage

from topodl import InputError
from topodl._files import atomic_path, partial_files
from topodl.evaluation.augmentation import _published_transforms, build_augmentation, rand_hue
from topodl.evaluation.data import Images, Sample, StudyData, training_batches
from topodl.evaluation.intensities import Intensities, standardised
from topodl.evaluation.networks import SmallUNet, build_network, check_image_size, find_network
from topodl.evaluation.progress import StudyProgress
from topodl.evaluation.randomness import generator, private_randomness, seed_all
from topodl.evaluation.run_folder import METRIC_COLUMNS, read_rows, write_rows
from topodl.evaluation.scoring import measure_masks
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.tasks import Task


def pictures(n=7, size=32):
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (n, 3, size, size), dtype=np.uint8))
    labels = torch.from_numpy((rng.random((n, 1, size, size)) < 0.5).astype(np.uint8))
    several = zip(images, labels, strict=True)
    train = Images.of([Sample(x, y, f"{i:03d}", "indistr", (1.0, 1.0)) for i, (x, y) in enumerate(several)])
    return StudyData(train, train, train, ("background", "mortar"), Intensities())


def batches_of(data, *, first=0, end=6, rank=0, world_size=1, seed=1, **values):
    settings = StudySettings.of_protocol("quick", batch_size=4, **values)
    augmentation = build_augmentation(settings.augmentation, settings.framework)
    place = {"seed": seed, "first": first, "end": end, "rank": rank, "world_size": world_size}
    return list(training_batches(data, data.train.labels, augmentation, settings, **place))


def assert_equal_batches(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1])


def test_the_published_network_has_its_parameters_and_seven_heads():
    pytest.importorskip("monai")
    with torch.device("meta"):  # shapes alone
        network, images = build_network(find_network("dynunet")), torch.zeros(10, 3, 512, 512)
    assert sum(p.numel() for p in network.parameters()) == 46_314_030
    assert network(images).shape == (10, 7, 2, 512, 512)
    assert network.eval()(images).shape == (10, 2, 512, 512)


def test_the_small_network_learns_from_every_parameter():
    network = SmallUNet()
    output = network(torch.randn(2, 3, 48, 32))
    assert output.shape == (2, 2, 48, 32)
    output.square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in network.parameters())


def test_image_sizes_that_a_network_cannot_take_are_named():
    check_image_size("unet", (48, 33), "image_size")
    check_image_size("dynunet", (256, 512), "image_size")
    message = "patch_size is 256x300 with network='dynunet'; expected a multiple of 128 of at least 256"
    with pytest.raises(InputError, match=message):
        check_image_size("dynunet", (256, 300), "patch_size")
    with pytest.raises(InputError, match=r"is 48 with .*; expected a multiple of 32 of at least 64"):
        check_image_size("dynunet", (48, 48, 48), "patch_size")


def test_batches_do_not_depend_on_where_a_training_starts():
    images = pictures()
    assert_equal_batches(batches_of(images)[3:], batches_of(images, first=3))


@pytest.mark.filterwarnings("ignore")  # later Pythons warn of a fork beside the threads of other tests
def test_batches_do_not_depend_on_workers():
    images = pictures()
    assert_equal_batches(batches_of(images), batches_of(images, workers=2))


def test_processes_share_the_batches_out():
    images = pictures()
    whole = batches_of(images)
    halves = [batches_of(images, rank=rank, world_size=2) for rank in (0, 1)]
    for i, (pictures_of_batch, _) in enumerate(whole):
        assert torch.equal(halves[0][i][0], pictures_of_batch[0::2])
        assert torch.equal(halves[1][i][0], pictures_of_batch[1::2])


def test_every_epoch_has_every_image_once():
    images = pictures(n=8)
    expected = standardised(torch.stack(images.train.images))
    batches = batches_of(images, end=4, augmentation="none")
    for epoch in (batches[:2], batches[2:]):
        served = torch.cat([images for images, _ in epoch])
        found = [[bool(torch.equal(image, other)) for other in expected].index(True) for image in served]
        assert sorted(found) == list(range(8))


def test_seeds_differ_in_order_and_augmentation():
    images = pictures()
    assert not torch.equal(batches_of(images, seed=1)[0][0], batches_of(images, seed=2)[0][0])


def test_standardised_channels_and_a_constant_one():
    images = torch.stack(pictures().train.images)
    images[:, 1] = 7
    values = standardised(images)
    assert torch.allclose(values.mean((-2, -1)), torch.zeros(7, 3), atol=1e-5)
    assert torch.allclose(values[:, 0].std((-2, -1), correction=0), torch.ones(7), atol=1e-5)
    assert bool((values[:, 1] == 0).all())


def test_the_light_augmentation_moves_image_and_label_together():
    label = torch.rand(1, 16, 16) < 0.5
    image = label.float().expand(3, 16, 16)
    augment = build_augmentation("light", "supervised")
    seen = set()
    for i in range(40):
        moved, moved_label = augment(image, label, generator(i))
        seen.add(moved_label.numpy().tobytes())
        assert torch.equal(moved[0] > (moved.min() + moved.max()) / 2, moved_label[0])
    assert len(seen) == 8  # the symmetries of the square


def test_a_random_hue_is_one_hue_for_the_whole_image():
    image = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0))
    low, high = image.min(), image.max()
    colored = rand_hue(image, generator(3))
    assert colored.min() >= low - 1e-6
    assert colored.max() <= high + 1e-6
    pixels = ((colored - low) / (high - low)).reshape(3, -1).T.tolist()
    before = ((image - low) / (high - low)).reshape(3, -1).T.tolist()
    hue, more_saturation, more_value = generator(3).random(3)
    for old, new in zip(before, pixels, strict=True):
        _, saturation, value = colorsys.rgb_to_hsv(*old)
        expected = min(saturation + more_saturation / 2, 1.0), min(value + more_value / 2, 1.0)
        assert colorsys.hsv_to_rgb(hue, *expected) == pytest.approx(new, abs=1e-5)


def test_randhue_colors_half_of_the_images():
    augment = build_augmentation("none", "randhue")
    image, label = torch.rand(3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool)
    changed = sum(not torch.equal(augment(image, label, generator(i))[0], image) for i in range(200))
    assert 70 < changed < 130


def test_the_published_augmentation_has_the_published_probabilities():
    pytest.importorskip("monai")
    transforms = _published_transforms(soft=False, spatial_dims=2).transforms
    probabilities = {}
    for transform in transforms:
        inner = next(
            (v for k, v in vars(transform).items() if k.startswith("rand_") or k == "adjust_contrast"), None
        )
        prob = transform.prob if transform.prob < 1 or inner is None else inner.prob
        probabilities.setdefault(type(transform).__name__, []).append(prob)
    assert probabilities == {
        "RandRotated": [0.2],
        "RandZoomd": [0.2],
        "RandGaussianNoised": [0.1],
        "RandGaussianSmoothd": [0.2],
        "RandScaleIntensityd": [0.15],
        "RandScaleIntensityFixedMeand": [0.15],
        "RandSimulateLowResolutiond": [0.25],
        "RandAdjustContrastd": [0.1, 0.1],
        "RandAxisFlipd": [0.5],
    }


def test_the_published_augmentation_is_keyed_and_keeps_labels_labels():
    pytest.importorskip("monai")
    augment = build_augmentation("topomortar", "supervised")
    image = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0))
    label = torch.zeros(1, 32, 32, dtype=torch.bool)
    label[:, 8:24, 8:24] = True
    soft = label.float() * 0.8 + 0.1
    changed = 0
    for i in range(12):
        moved, moved_label = augment(image, label, generator(i))
        again, label_again = build_augmentation("topomortar", "supervised")(image, label, generator(i))
        assert torch.equal(moved, again)
        assert torch.equal(moved_label, label_again)
        assert moved_label.dtype == torch.bool
        assert moved.shape == image.shape
        _, moved_soft = augment(image, soft, generator(i))
        assert moved_soft.dtype == torch.float32
        assert 0.1 - 1e-5 <= float(moved_soft.min()) <= float(moved_soft.max()) <= 0.9 + 1e-5
        changed += not torch.equal(moved, image)
    assert changed > 6


@pytest.mark.parametrize("name", ["light", "topomortar"])
@pytest.mark.parametrize("size", [(12, 20, 16), (24, 16)])
def test_augmentations_keep_classes_regions_and_ignored_pixels(name, size):
    pytest.importorskip("monai")
    augment = build_augmentation(name, "supervised")
    image = torch.randn(2, *size, generator=torch.Generator().manual_seed(0))
    label = torch.zeros(2, *size, dtype=torch.uint8)
    label[0, 2:8], label[1, ..., 4:9], label[1, ..., -4:] = 2, 1, 255
    soft = torch.where(label == 255, -1.0, label / 2)
    changed = 0
    for i in range(12):
        moved, moved_label = augment(image, label, generator(i))
        assert moved.shape == image.shape
        assert moved_label.dtype == torch.uint8
        assert set(moved_label.unique().tolist()) <= {0, 1, 2, 255}
        _, moved_soft = augment(image, soft, generator(i))
        assert moved_soft.dtype == torch.float32
        assert set(moved_soft.unique().tolist()) <= {-1.0, 0.0, 0.5, 1.0}
        changed += not torch.equal(moved_label, label)
    assert changed > 2


def test_measurements_have_the_published_columns():
    rng = np.random.default_rng(1)
    smooth = ndimage.gaussian_filter(rng.standard_normal((4, 64, 64)), (0, 2, 2)) > 0
    masks = torch.from_numpy(smooth)[:, None]
    predictions, labels = masks[:2], masks[2:]
    table = measure_masks(predictions, labels)
    assert table.shape == (2, len(METRIC_COLUMNS))
    for row, p, t in zip(table, predictions[:, 0].numpy(), labels[:, 0].numpy(), strict=True):
        by_name = dict(zip(METRIC_COLUMNS, row, strict=True))
        components = [ndimage.label(m, np.ones((3, 3)))[1] for m in (p, t)]
        windows = [
            [ndimage.label(m[y : y + 16, x : x + 16], np.ones((3, 3)))[1] for m in (p, t)]
            for y in range(0, 64, 16)
            for x in range(0, 64, 16)
        ]
        local = np.mean([abs(max(a, 1) - max(b, 1)) for a, b in windows])
        assert by_name["Betti0Error_mortar"] == abs(components[0] - components[1])
        assert by_name["Betti0ErrorLocal_mortar"] == local
        assert by_name["Dice_mortar"] == pytest.approx(2 * (p & t).sum() / (p.sum() + t.sum()))


def test_an_empty_prediction_is_measured_as_in_the_published_study():
    label = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    label[..., 20:30, :] = True
    row = dict(zip(METRIC_COLUMNS, measure_masks(torch.zeros_like(label), label)[0], strict=True))
    assert row["HD95_mortar"] == pytest.approx(63 * 2**0.5)
    assert row["Betti0Error_mortar"] == row["Dice_mortar"] == row["clDice_mortar"] == 0


def test_keyed_seeds_repeat_and_leave_no_trace():
    def draws():
        return random.random(), np.random.random(), float(torch.rand(()))  # noqa: NPY002

    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    with private_randomness():
        seed_all(1, 2)
        first = draws()
        seed_all(1, 3)
        assert draws() != first
        seed_all(1, 2)
        assert draws() == first
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_files_appear_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "file.csv"
    write_rows(path, ("a", "b"), [{"a": 1, "b": 0.1}])
    with pytest.raises(TypeError), atomic_path(path) as partial:
        partial.write_bytes("half")
    assert read_rows(path) == [{"a": "1", "b": "0.1"}]
    assert [p.name for p in path.parent.iterdir()] == ["file.csv"]
    assert read_rows(tmp_path / "none.csv") == []


def test_two_writers_of_one_file_are_not_in_each_other_s_way(tmp_path):
    path = tmp_path / "file.csv"
    with atomic_path(path) as first, atomic_path(path) as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
        assert partial_files(path) == sorted([first, second])
    assert path.read_bytes() == b"first"  # whose block ended last
    assert [p.name for p in tmp_path.iterdir()] == ["file.csv"]


def test_only_a_file_s_own_partial_files_are_found(tmp_path):
    with atomic_path(tmp_path / "1.csv.gz") as other, atomic_path(tmp_path / "1.csv") as own:
        for path in (other, own, tmp_path / ".1.csv", tmp_path / ".1.csv.part", tmp_path / "1.csv.a.part"):
            path.touch()
        assert partial_files(tmp_path / "1.csv") == [own]
    assert partial_files(tmp_path / "none" / "1.csv") == []


def test_the_content_reaches_the_disk_before_the_name(tmp_path, monkeypatch):
    path, seen = tmp_path / "file", []
    monkeypatch.setattr("os.fsync", lambda number: seen.append((os.fstat(number).st_size, path.exists())))
    with atomic_path(path) as partial:
        partial.write_bytes(b"whole")
    assert seen == [(5, False)]


def test_peak_memory_sees_an_allocation():
    # In a process of its own: where the system cannot reset the peak, an earlier test's may be higher.
    script = """
import numpy, torch
from topodl.evaluation.memory import peak_memory, reset_peak_memory
cpu = torch.device("cpu")
reset_peak_memory(cpu)
before = peak_memory(cpu)
block = numpy.ones(200_000_000, dtype=numpy.uint8)
print(before, peak_memory(cpu))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    if before == 0:
        pytest.skip("the system does not say")
    assert after >= before + 100_000_000


def test_the_estimate_counts_everything_that_is_left():
    pending = [Task("a", 1), Task("b", 1), Task("a", 2)]
    progress = StudyProgress(pending, 3, iterations=10, test_images=[4], known={}, shown=False)
    assert progress.seconds_left() is None
    progress.begin(Task("a", 1), done=0)
    for _ in range(5):
        progress.trained(2.0)
    assert progress.seconds_left() == pytest.approx(25 * 2.0 + 12 * 2.0)
    for _ in range(5):
        progress.trained(2.0)
    progress.tested(4, 2.0)
    assert progress.seconds_left() == pytest.approx(20 * 2.0 + 8 * 0.5)
    progress.end()
    progress.begin(Task("b", 1), done=9)
    progress.trained(4.0)
    assert progress.seconds_left() == pytest.approx(10 * 2.0 + 8 * 0.5)
