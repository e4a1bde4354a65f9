"""Folders of images and labels as people have them, for the tests of their reading."""

import json
import zlib

import nibabel
import numpy as np
import SimpleITK
import tifffile
from PIL import Image

SIZE = (12, 18)
VOLUME = (5, 12, 18)
SPACING = (3.0, 0.75, 0.5)  # of the axes (Z, Y, X), where a format keeps it


def picture(*key, size=SIZE, channels=3, dtype=np.uint8):
    """Return noise (H, W, channels), or (H, W) for no channels, that is another one for each key."""
    shape = (*size, channels) if channels else size
    rng = np.random.default_rng(zlib.crc32(repr(key).encode()))
    return rng.integers(0, 200, shape).astype(dtype)


def mask(values=(0, 255), size=SIZE, dtype=np.uint8):
    """Return labels of the first value, with five pixels of each other one in a row of its own."""
    label = np.full(size, values[0], dtype)
    for row, value in enumerate(values[1:]):
        label[..., row, :5] = value
    return label


def save(path, array, palette=None):
    """Write an array as the format that the name ends in; volumes are (Z, Y, X)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith((".nii", ".nii.gz")):
        affine = np.diag([-SPACING[2], -SPACING[1], SPACING[0], 1])  # the directions of ITK's identity
        nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(array.T), affine), path)
    elif path.suffix in (".mha", ".mhd", ".nhdr", ".nrrd"):
        image = SimpleITK.GetImageFromArray(array)
        image.SetSpacing(SPACING[::-1][: array.ndim])
        SimpleITK.WriteImage(image, str(path))
    elif path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, array)
    elif path.suffix == ".npy":
        np.save(path, array)
    elif palette is not None:
        image = Image.frombytes("P", array.shape[::-1], array.tobytes())
        image.putpalette(palette)
        image.save(path)
    else:
        Image.fromarray(array).save(path)
    return path


def pairs(root, n=4, *, images="images", masks="masks", suffix="", ending=".png", values=(0, 255)):
    """Write n pictures and their masks into two folders."""
    for i in range(n):
        save(root / images / f"case{i}{ending}", picture(images, i))
        save(root / masks / f"case{i}{suffix}.png", mask(values))
    return root


def nnunet(
    root, *, n=3, tests=0, channels=("CT",), ending=".nii.gz", size=VOLUME, values=(0, 1, 2), **entries
):
    """Write raw data of nnU-Net; `entries` replace those of dataset.json."""
    for kind, count in (("Tr", n), ("Ts", tests)):
        for i in range(count):
            for c in range(len(channels)):
                image = picture(kind, i, c, size=size, channels=0, dtype=np.int16)
                save(root / f"images{kind}" / f"{kind}{i}_{c:04d}{ending}", image)
            save(root / f"labels{kind}" / f"{kind}{i}{ending}", mask(values, size))
    content = {
        "channel_names": {str(i): name for i, name in enumerate(channels)},
        "labels": {"background": 0, "liver": 1, "tumour": 2},
        "numTraining": n,
        "file_ending": ending,
    }
    (root / "dataset.json").write_text(json.dumps(content | entries))
    return root


def decathlon(root, n=3, **entries):
    """Write the Decathlon's folders, with two channels in each image; `entries` replace those of its JSON."""
    for i in range(n):
        image = picture("decathlon", i, size=(2, *VOLUME), channels=0, dtype=np.int16)
        save(root / "imagesTr" / f"bras_{i}.nii.gz", image)
        save(root / "labelsTr" / f"bras_{i}.nii.gz", mask((0, 1), VOLUME))
    names = [f"bras_{i}.nii.gz" for i in range(n)]
    content = {
        "modality": {"0": "FLAIR", "1": "T1w"},
        "labels": {"0": "background", "1": "edema"},
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "test": ["./imagesTs/bras_9.nii.gz"],
    }
    (root / "dataset.json").write_text(json.dumps(content | entries))
    return root


def csv_list(root, header="image,mask,split,group", rows=None):
    """Write five pictures with masks and a list of them."""
    for i in range(5):
        save(root / "files" / f"p{i}.png", picture("csv", i))
        save(root / "files" / f"m{i}.png", mask())
    if rows is None:
        splits = ("train", "training", "val", "test", "test")
        rows = [f"files/p{i}.png,files/m{i}.png,{split},g{i % 2}" for i, split in enumerate(splits)]
    (root / "cases.csv").write_text("\n".join([header, *rows]) + "\n")
    return root
