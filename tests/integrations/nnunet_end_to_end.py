"""Plans, preprocesses, trains, validates and predicts with the real nnU-Net on tiny pictures and volumes.

python tests/integrations/nnunet_end_to_end.py [FOLDER] [--only TEXT …]

First the way of the guide, in a shell with the trainer as it is: one epoch of 250 iterations. Then two epochs
of a few iterations with every trainer, in 2D with classes and with an ignore label, in 3D with overlapping
regions, an ignore label and voxels that are twice as long along one axis; a training that is stopped and gone
on with; workers that are started anew instead of forked. These call nnU-Net's commands in this process, which
saves their start. `--only` runs what has one of the texts in its name. The first failure ends the script.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
from PIL import Image

from topodl.integrations.nnunet import trainer_folder

IN_2D = ("ClDice", "SkeletonRecall", "CbDice", "BettiMatching", "TopoLoss", "Topograph", "Warping", "SCNP")
IN_3D = tuple(name for name in IN_2D if name != "Topograph")
# A trainer that stops early where it is told to, and writes down what its loss saw.
TRAINER = """\
import json
import os

from topodl.integrations.nnunet_trainers.topodl_trainers import nnUNetTrainerTopodl{name} as Base


class nnUNetTrainerTiny{name}(Base):
    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_iterations_per_epoch, self.num_val_iterations_per_epoch, self.save_every = 2, 1, 1

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
        found = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        self.inference_allowed_mirroring_axes = None  # one pass instead of four or eight
        return found

    def on_epoch_start(self):
        super().on_epoch_start()
        if self.current_epoch == int(os.environ.get("TINY_STOP", "-1")):
            raise InterruptedError("stopped as a queue's time limit would")

    def train_step(self, batch):
        first, heads = self.loss.heads[0], self.loss.heads
        seen = {{
            "epoch": self.current_epoch,
            "topology": first.topology_scale,
            "parts": [part is not None for part in batch["parts"]],
            "heads": len(heads),
            "spacing": [list(head.options["spacing"]) for head in heads if "spacing" in head.options],
            "loader": type(self.dataloader_train.generator).__name__,
            "workers": [process.is_alive() for process in self.dataloader_train._processes],
        }}
        result = super().train_step(batch)
        with open(os.path.join(self.output_folder, "seen.jsonl"), "a") as file:
            file.write(json.dumps(seen | {{"loss": float(result["loss"])}}) + "\\n")
        return result
"""


@dataclass(frozen=True)
class DataSet:
    """A set of nnU-Net's: its number, its name, the configuration to train, and the labels of predictions."""

    number: str
    name: str
    configuration: str
    ending: str
    labels: tuple[int, ...]


CLASSES = DataSet("1", "Dataset001_Rings", "2d", ".png", (0, 1, 2))
IGNORING = DataSet("2", "Dataset002_IgnoredRings", "2d", ".png", (0, 1, 2))
REGIONS = DataSet("3", "Dataset003_Shells", "3d_fullres", ".nii.gz", (0, 1, 2))


@dataclass(frozen=True)
class Training:
    """One trainer on one set, with the variables that it reads."""

    data: DataSet
    trainer: str
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What `--only` looks into."""
        return f"{self.data.name} {self.trainer or 'Any'} {' '.join(self.variables.values())}".strip()


TRAININGS = (
    *(Training(CLASSES, name) for name in IN_2D),
    Training(CLASSES, "", {"TOPODL_LOSS": "region_wise:base_weight=1.0"}),
    Training(IGNORING, "ClDice", {"TOPODL_TOPOLOGY_HEADS": "first"}),
    *(Training(REGIONS, name) for name in IN_3D),
    Training(REGIONS, "", {"TOPODL_LOSS": "skeleton_recall:active_from=0.4"}),
)


def ring(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return labels 0, 1 (a shell) and 2 (its inside) at a random place."""
    centre = np.array([rng.uniform(0.4, 0.6) * n for n in shape])
    distance = np.sqrt(sum((x - c) ** 2 for x, c in zip(np.indices(shape), centre, strict=True)))
    radius = rng.uniform(0.15, 0.25) * min(shape)
    labels = np.zeros(shape, np.uint8)
    labels[distance < radius + 3] = 1
    labels[distance < radius] = 2
    return labels


def write_pictures(raw: Path, data: DataSet) -> None:
    """Write ten pictures of three classes, in `IGNORING` with a part that nobody labelled."""
    folder = prepared(raw, data)
    rng = np.random.default_rng(0)
    for i in range(10):
        labels = ring(rng, (32, 32))
        image = (labels * 80 + rng.normal(40, 10, labels.shape)).clip(0, 255).astype(np.uint8)
        if data is IGNORING:
            labels[:, :6] = 3
        Image.fromarray(labels).save(folder / f"labelsTr/case_{i:03}.png")
        for part in ("imagesTr", "imagesTs")[: 2 if i < 2 else 1]:
            Image.fromarray(image).save(folder / f"{part}/case_{i:03}_0000.png")
    names = {"background": 0, "shell": 1, "inside": 2} | ({"ignore": 3} if data is IGNORING else {})
    describe(folder, data, {"labels": names})


def write_volumes(raw: Path, data: DataSet) -> None:
    """Write ten volumes of anisotropic voxels with two overlapping regions and an ignore label."""
    import SimpleITK as sitk

    folder = prepared(raw, data)
    rng = np.random.default_rng(1)
    for i in range(10):
        labels = ring(rng, (16, 32, 32))
        image = (labels * 80 + rng.normal(40, 10, labels.shape)).astype(np.float32)
        labels[:, :4] = 3
        files = {f"labelsTr/case_{i:03}": labels, f"imagesTr/case_{i:03}_0000": image}
        if i < 2:
            files[f"imagesTs/case_{i:03}_0000"] = image
        for name, values in files.items():
            picture = sitk.GetImageFromArray(values)
            picture.SetSpacing((1.0, 1.0, 2.0))
            sitk.WriteImage(picture, folder / f"{name}.nii.gz")
    names = {"background": 0, "whole": [1, 2], "inside": 2, "ignore": 3}
    describe(folder, data, {"labels": names, "regions_class_order": [1, 2]})


def prepared(raw: Path, data: DataSet) -> Path:
    """Return the folder of a set, with the folders that nnU-Net looks for."""
    for part in ("imagesTr", "labelsTr", "imagesTs"):
        (raw / data.name / part).mkdir(parents=True, exist_ok=True)
    return raw / data.name


def describe(folder: Path, data: DataSet, labels: dict[str, object]) -> None:
    """Write the set's description."""
    description = {"channel_names": {"0": "x"}, "numTraining": 10, "file_ending": data.ending, **labels}
    (folder / "dataset.json").write_text(json.dumps(description))


@contextlib.contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Set variables for a while."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def call(command: str, *arguments: str, **variables: str) -> None:
    """Run a command of nnU-Net in this process."""
    print("+", *(f"{name}={value}" for name, value in variables.items()), command, *arguments, flush=True)
    (entry,) = entry_points(group="console_scripts", name=command)
    given, sys.argv = sys.argv, [command, *arguments]
    try:
        with environment(variables):
            entry.load()()
    finally:
        sys.argv = given


def train(training: Training, *options: str, **variables: str) -> None:
    """Run `nnUNetv2_train` with the tiny trainer."""
    data, trainer = training.data, f"nnUNetTrainerTiny{training.trainer}"
    chosen = (data.number, data.configuration, "0", "-tr", trainer, "-device", "cpu")
    call("nnUNetv2_train", *chosen, *options, **training.variables, **variables)


def predict(folder: Path, data: DataSet, trainer: str) -> Path:
    """Run `nnUNetv2_predict` without further processes, and return the folder of what it wrote."""
    target = folder / "predicted" / f"{data.name}-{trainer}"
    call(
        *("nnUNetv2_predict", "-i", str(folder / "raw" / data.name / "imagesTs"), "-o", str(target)),
        *("-d", data.number, "-c", data.configuration, "-f", "0", "-tr", trainer, "-device", "cpu"),
        *("-npp", "0", "-nps", "0", "-chk", "checkpoint_final.pth", "--disable_progress_bar"),
    )
    return target


def results(folder: Path, data: DataSet, trainer: str) -> Path:
    """Return where nnU-Net put the results of a training."""
    return folder / "results" / data.name / f"{trainer}__nnUNetPlans__{data.configuration}" / "fold_0"


def check_training(folder: Path, data: DataSet, trainer: str, epochs: int) -> None:
    """Raise unless the losses are finite and the validation has scores of both of its cases."""
    import torch

    kept = torch.load(results(folder, data, trainer) / "checkpoint_final.pth", weights_only=False)
    losses = kept["logging"]["train_losses"] + kept["logging"]["val_losses"]
    assert len(losses) == 2 * epochs, losses
    assert all(math.isfinite(loss) for loss in losses), losses
    summary = json.loads((results(folder, data, trainer) / "validation" / "summary.json").read_text())
    assert len(summary["metric_per_case"]) == 2, summary
    assert 0 <= summary["foreground_mean"]["Dice"] <= 1, summary["foreground_mean"]


def seen_by_loss(folder: Path, training: Training) -> list[dict[str, object]]:
    """Return what the loss of the tiny trainer saw, one entry an iteration."""
    path = results(folder, training.data, f"nnUNetTrainerTiny{training.trainer}") / "seen.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_what_the_loss_saw(seen: list[dict[str, object]], training: Training) -> None:
    """Raise unless heads, parts of the labels and voxels of each head are as they should be."""
    assert [step["epoch"] for step in seen] == [0, 0, 1, 1], seen
    for step in seen:
        assert math.isfinite(step["loss"]), step
        assert step["loader"] == "LoaderWithParts", step
        assert step["workers"] == [True], step
        assert step["heads"] > 1, step
        assert len(step["parts"]) == step["heads"], step
    if training.trainer in (
        "ClDice",
        "SkeletonRecall",
    ):  # the last head has no loss, so that none needs parts
        first_only = training.variables.get("TOPODL_TOPOLOGY_HEADS") == "first"
        heads = seen[0]["heads"]
        wanted = [i == 0 if first_only else i < heads - 1 for i in range(heads)]
        assert seen[0]["parts"] == wanted, seen[0]
    spacing = seen[0]["spacing"]
    if training.data is REGIONS and spacing:
        assert spacing[0] == [2.0, 1.0, 1.0], spacing
        assert spacing[1][1:] == [2.0, 2.0], spacing  # half as many voxels along these axes


def check_predictions(written: Path, folder: Path, data: DataSet) -> None:
    """Raise unless there is a prediction of each test image, of its shape and with labels that exist."""
    images = sorted((folder / "raw" / data.name / "imagesTs").iterdir())
    assert len(images) == 2
    for image in images:
        labels = read(written / image.name.replace("_0000", ""))
        assert labels.shape == read(image).shape, (image, labels.shape)
        assert set(np.unique(labels)) <= set(data.labels), (image, np.unique(labels))


def read(path: Path) -> np.ndarray:
    """Return the values of a picture or a volume."""
    if path.suffix == ".png":
        return np.asarray(Image.open(path))
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(sitk.ReadImage(path))


def as_the_guide_says(folder: Path) -> None:
    """Type what the guide says into a shell; one epoch, as long as nnU-Net's."""
    trainer = "nnUNetTrainerTopodlClDice"
    target = folder / "predicted" / "guide"
    lines = f"""
        set -e
        topodl nnunet --list
        eval "$(topodl nnunet)"
        nnUNetv2_train 1 2d 0 -tr {trainer} -device cpu
        nnUNetv2_predict -i {folder}/raw/{CLASSES.name}/imagesTs -o {target} -d 1 -c 2d -f 0 -tr {trainer} \
            -device cpu -npp 1 -nps 1 --disable_progress_bar
    """
    print(lines, flush=True)
    subprocess.run(["bash", "-c", lines], check=True, env=os.environ | {"TOPODL_EPOCHS": "1"})
    check_training(folder, CLASSES, trainer, epochs=1)
    check_predictions(target, folder, CLASSES)
    path = results(folder, CLASSES, trainer) / "validation" / "summary.json"
    dice = json.loads(path.read_text())["foreground_mean"]["Dice"]
    assert dice > 0.5, (
        f"Dice is {dice} after 250 iterations on rings that are brighter than what is around them"
    )


def goes_all_the_way(folder: Path, training: Training) -> None:
    """Train two epochs, validate and predict."""
    train(training)
    trainer = f"nnUNetTrainerTiny{training.trainer}"
    check_training(folder, training.data, trainer, epochs=2)
    seen = seen_by_loss(folder, training)
    check_what_the_loss_saw(seen, training)
    if "active_from=0.4" in training.name:
        assert [step["topology"] for step in seen] == [0, 0, 1, 1], seen
    check_predictions(predict(folder, training.data, trainer), folder, training.data)


def goes_on_after_a_stop(folder: Path) -> None:
    """Stop a training before its second epoch, and go on with `--c`: the warm-up goes on, too."""
    training = Training(IGNORING, "CbDice", {"TOPODL_LOSS": "active_from=0.4"})
    with contextlib.suppress(InterruptedError):
        train(training, TINY_STOP="1")
    assert [step["epoch"] for step in seen_by_loss(folder, training)] == [0, 0]
    train(training, "--c")
    check_training(folder, training.data, "nnUNetTrainerTinyCbDice", epochs=2)
    seen = seen_by_loss(folder, training)
    check_what_the_loss_saw(seen, training)
    assert [step["topology"] for step in seen] == [0, 0, 1, 1], seen


def goes_with_workers_started_anew(folder: Path) -> None:
    """Train where workers are not forked, as on macOS, on Windows and with Python 3.14."""
    training = Training(IGNORING, "SkeletonRecall")
    usual = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        train(training)
    finally:
        multiprocessing.set_start_method(usual, force=True)
    check_training(folder, training.data, "nnUNetTrainerTinySkeletonRecall", epochs=2)
    check_what_the_loss_saw(seen_by_loss(folder, training), training)


def refuses_volumes_by_name() -> None:
    """Topograph is for pictures alone: the training ends at once, and says why."""
    message = ""
    try:
        train(Training(REGIONS, "Topograph"))
    except ValueError as error:
        message = str(error)
    assert "is 'topograph', which is for pictures alone" in message, message


def prepare(folder: Path) -> None:
    """Write trainers and sets, and have nnU-Net plan and preprocess; an earlier run leaves no more."""
    for name in ("results", "predicted"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("raw", "preprocessed", "results", "trainers"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        os.environ[f"nnUNet_{name}"] = str(folder / name)
    os.environ |= {
        "nnUNet_extTrainer": os.pathsep.join([str(folder / "trainers"), str(trainer_folder())]),
        "nnUNet_n_proc_DA": "1",
        "nnUNet_def_n_proc": "1",
        "TOPODL_EPOCHS": "2",
    }
    for name in ("", *IN_2D):
        (folder / f"trainers/tiny_{name.lower() or 'any'}.py").write_text(TRAINER.format(name=name))
    for data in (CLASSES, IGNORING, REGIONS):
        planned = folder / f"planned-{data.number}"
        if planned.exists():
            continue
        (write_volumes if data is REGIONS else write_pictures)(folder / "raw", data)
        chosen = ("-d", data.number, "-c", data.configuration, "-np", "1", "-npfp", "1")
        call("nnUNetv2_plan_and_preprocess", *chosen, "--verify_dataset_integrity")
        make_network_small(folder / "preprocessed" / data.name / "nnUNetPlans.json", data)
        planned.touch()


def make_network_small(path: Path, data: DataSet) -> None:
    """Give the planned network an eighth of its channels, which is as good here and faster."""
    plans = json.loads(path.read_text())
    network = plans["configurations"][data.configuration]["architecture"]["arch_kwargs"]
    network["features_per_stage"] = [n // 8 for n in network["features_per_stage"]]
    path.write_text(json.dumps(plans))


def main() -> None:
    """Run everything, or what `--only` names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = (arguments.folder or Path(made)).resolve()
        prepare(folder)
        steps = {
            "guide": lambda: as_the_guide_says(folder),
            "stopped": lambda: goes_on_after_a_stop(folder),
            "anew": lambda: goes_with_workers_started_anew(folder),
            "refused": refuses_volumes_by_name,
            **{t.name: lambda t=t: goes_all_the_way(folder, t) for t in TRAININGS},
        }
        chosen = {name: step for name, step in steps.items() if any(text in name for text in arguments.only)}
        for name, step in chosen.items():
            start = time.perf_counter(), time.process_time()
            step()
            wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
            print(f"PASSED {name}: {wall:.0f} s, {cpu:.0f} s of this process's CPU", flush=True)
    print(f"{len(chosen)} passed")


if __name__ == "__main__":
    main()
