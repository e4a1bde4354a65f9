"""Plans, preprocesses, trains, validates and predicts with the real nnU-Net, in 2D and with regions in 3D.

python tests/integrations/nnunet_end_to_end.py [FOLDER]

Two epochs of a few iterations with each of the trainers, in 3D with three of them. A failure ends the script.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from topodl.integrations.nnunet import trainer_folder

ALL = ("ClDice", "SkeletonRecall", "CbDice", "BettiMatching", "TopoLoss", "Topograph", "Warping", "SCNP")
TRAINER = """\
from topodl.integrations.nnunet_trainers.topodl_trainers import nnUNetTrainerTopodl{name} as Base


class nnUNetTrainerTiny{name}(Base):
    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 2, 1
"""


def ring(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return labels 0, 1 (a shell) and 2 (its inside) at a random place."""
    centre = np.array([rng.uniform(0.4, 0.6) * n for n in shape])
    distance = np.sqrt(sum((x - c) ** 2 for x, c in zip(np.indices(shape), centre, strict=True)))
    radius = rng.uniform(0.15, 0.25) * min(shape)
    labels = np.zeros(shape, np.uint8)
    labels[distance < radius + 3] = 1
    labels[distance < radius] = 2
    return labels


def write_2d(raw: Path) -> None:
    """Write ten pictures of three classes."""
    folder = raw / "Dataset001_Rings"
    rng = np.random.default_rng(0)
    for part in ("imagesTr", "labelsTr", "imagesTs"):
        (folder / part).mkdir(parents=True)
    for i in range(10):
        labels = ring(rng, (64, 64))
        image = (labels * 80 + rng.normal(40, 10, labels.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / f"imagesTr/ring_{i:03}_0000.png")
        Image.fromarray(labels).save(folder / f"labelsTr/ring_{i:03}.png")
        if i < 2:
            Image.fromarray(image).save(folder / f"imagesTs/ring_{i:03}_0000.png")
    describe(folder, {"background": 0, "shell": 1, "inside": 2}, ".png", None)


def write_3d(raw: Path) -> None:
    """Write ten volumes of anisotropic voxels with two overlapping regions and an ignore label."""
    import SimpleITK as sitk

    folder = raw / "Dataset002_Shells"
    rng = np.random.default_rng(1)
    for part in ("imagesTr", "labelsTr", "imagesTs"):
        (folder / part).mkdir(parents=True)
    for i in range(10):
        labels = ring(rng, (16, 32, 32))
        image = (labels * 80 + rng.normal(40, 10, labels.shape)).astype(np.float32)
        labels[:, :4] = 3
        for name, values in ((f"imagesTr/shell_{i:03}_0000", image), (f"labelsTr/shell_{i:03}", labels)):
            picture = sitk.GetImageFromArray(values)
            picture.SetSpacing((1.0, 1.0, 2.0))
            sitk.WriteImage(picture, folder / f"{name}.nii.gz")
        if i < 2:
            (folder / f"imagesTs/shell_{i:03}_0000.nii.gz").write_bytes(
                (folder / f"imagesTr/shell_{i:03}_0000.nii.gz").read_bytes()
            )
    labels = {"background": 0, "whole": [1, 2], "inside": 2, "ignore": 3}
    describe(folder, labels, ".nii.gz", [1, 2])


def describe(folder: Path, labels: dict[str, object], ending: str, order: list[int] | None) -> None:
    """Write the set's description."""
    description = {"channel_names": {"0": "x"}, "labels": labels, "numTraining": 10, "file_ending": ending}
    if order is not None:
        description["regions_class_order"] = order
    (folder / "dataset.json").write_text(json.dumps(description))


def call(*command: str, **variables: str) -> None:
    """Run a command of nnU-Net."""
    print("+", " ".join(command), variables, flush=True)
    subprocess.run(command, check=True, env=os.environ | variables)


def main(folder: Path) -> None:
    """Run everything in `folder`."""
    for name in ("raw", "preprocessed", "results", "trainers"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        os.environ[f"nnUNet_{name}"] = str(folder / name)
    os.environ |= {
        "nnUNet_extTrainer": os.pathsep.join([str(folder / "trainers"), str(trainer_folder())]),
        "nnUNet_n_proc_DA": "2",
        "TOPODL_EPOCHS": "2",
    }
    for name in ("", *ALL):
        (folder / f"trainers/tiny_{name.lower() or 'any'}.py").write_text(TRAINER.format(name=name))
    write_2d(folder / "raw")
    write_3d(folder / "raw")
    call("nnUNetv2_plan_and_preprocess", "-d", "1", "-c", "2d", "-np", "1", "--verify_dataset_integrity")
    call("nnUNetv2_plan_and_preprocess", "-d", "2", "-c", "3d_fullres", "-np", "1")
    runs = [("1", "2d", name, {}) for name in ALL]
    runs += [("2", "3d_fullres", name, {}) for name in ("SkeletonRecall", "BettiMatching")]
    runs += [("2", "3d_fullres", "", {"TOPODL_LOSS": "cldice:iterations=3,active_from=0.4"})]
    for data, configuration, name, variables in runs:
        trainer = f"nnUNetTrainerTiny{name}"
        chosen = (data, configuration, "0", "-tr", trainer, "-device", "cpu")
        call("nnUNetv2_train", *chosen, **variables)
        source = next(
            (folder / f"raw/Dataset00{data}_{'Rings' if data == '1' else 'Shells'}").glob("imagesTs")
        )
        call(
            *("nnUNetv2_predict", "-i", str(source), "-o", str(folder / "predicted" / f"{data}{name}")),
            *("-d", data, "-c", configuration, "-f", "0", "-tr", trainer, "-device", "cpu"),
            *("-npp", "1", "-nps", "1", "-chk", "checkpoint_final.pth"),
            **variables,
        )
        written = [p for p in (folder / "predicted" / f"{data}{name}").iterdir() if p.suffix != ".json"]
        assert len(written) == 2, written
    print(f"{len(runs)} trainings went from plan to prediction")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
