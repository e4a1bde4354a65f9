"""What a study is run with: every value, the two protocols that preset them, and the checks of all of them.

The published protocol: Valverde et al., TopoMortar, BMVC 2025.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from topodl._checks import check_number, fail
from topodl.datasets._common import LABELS, is_topomortar
from topodl.errors import InputError
from topodl.evaluation.loss_recipes import AUGMENTATIONS, parse_recipe
from topodl.evaluation.loss_specs import LossSpec

__all__ = [
    "FRAMEWORKS",
    "LOSS_VARIANTS",
    "NETWORKS",
    "OPTIMIZERS",
    "PRECISIONS",
    "PROTOCOLS",
    "RECOMMENDED_LOSSES",
    "SCHEDULES",
    "StudySettings",
    "regresses_depth",
]

FRAMEWORKS = ("supervised", "randhue", "selfdistillation")
TRAINING_SETS = ("large", "small")
LOSS_VARIANTS = ("paper", "topomortar")
NETWORKS = ("unet", "dynunet")
OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("poly", "constant")
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")

_QUICK: dict[str, Any] = {
    "loss_variant": "paper",
    "network": "unet",
    "optimizer": "adamw",
    "learning_rate": 0.006,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "schedule": "poly",
    "clip_norm": 5.0,
    "augmentation": "light",
    "iterations": 160,
    "batch_size": 4,
    "precision": "32-true",
    "compile": False,
    "validation_interval": 50,
    "seeds": (1, 2, 3),
    "workers": 0,
}
_TOPOMORTAR: dict[str, Any] = {
    "loss_variant": "topomortar",
    "network": "dynunet",
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "momentum": 0.99,
    "weight_decay": 3e-5,
    "schedule": "poly",
    "clip_norm": 12.0,
    "augmentation": "topomortar",
    "iterations": 12_000,
    "batch_size": 10,
    "precision": "16-mixed",
    "compile": True,
    "validation_interval": 1_200,
    "seeds": tuple(range(1, 11)),
    "workers": 4,
}
_TUNED = _QUICK | {"iterations": 400}
PROTOCOLS: dict[str, dict[str, Any]] = {"quick": _QUICK, "topomortar": _TOPOMORTAR, "tuned": _TUNED}
SPLITS = ("test", "val")

# What `recommended` stands for: the baseline, and what docs/losses.md says to begin with.
RECOMMENDED_LOSSES = (
    "ce_dice",
    "skeleton_recall",
    "cldice",
    "betti_matching",
    "scnp(skeleton_recall):plain_weight=0.0",
)

# Values that change neither what is trained nor how it is measured.
_WITHOUT_EFFECT = frozenset({"workers", "image_memory", "checkpoint_seconds"})
_NAME = "topodl evaluate"
# What studies did whose settings.json is older than the setting.
_BEFORE_THERE_WAS = {"measured_split": "test", "remove_small": False}
_FIELDS_OF_LOSSES = ("augmentation", "learning_rate")
_DEPTH_LOSS = ("windowed_topo", "topomortar")  # loss and variant


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """Every value that a study is run with.

    `StudySettings.of_protocol` fills in what is not given; the constructor takes all values as they are.

    Parameters
    ----------
    protocol : {"quick", "topomortar", "tuned"}
        The preset that the values were taken from.
    data : str or None
        Folder of images and labels in any of the layouts of the guide; None draws walls (`SyntheticMortar`).
    classes : str or None
        What the values in label files mean, as "0=background,1=artery,2=vein", or for regions that overlap
        "0=background,1+2=whole,2=core"; None finds it out.
    ignore_label : int or None
        Value in label files of pixels that count nowhere.
    folds : int
        Number of folds of a cross-validation, in which each image is tested once; 0 makes one split.
    losses : tuple of str
        Names in `topodl.losses.registry`, with options after a colon: "cldice:iterations=10"; combinations
        of them, "0.5*ce_dice+0.5*scnp(ce_dice)"; and settings of the training with one loss alone,
        "ce_dice@learning_rate=0.003".
    loss_variant : {"paper", "topomortar"}
        Losses as in their papers, or as in the published study's code where that differs: some of them have
        defects there, and two add their topology term only after 70 % of the iterations.
    labels : {"accurate", "noisy", "pseudo"}
        Kind of labels to train with. Tests use accurate ones.
    training_set : {"large", "small"}
        50 or 10 pictures of TopoMortar; 32 or 10 drawn ones.
    framework : {"supervised", "randhue", "selfdistillation"}
        `randhue` adds a random hue to the augmentation; `selfdistillation` trains in three rounds, each with
        new weights on what the one before predicts.
    seeds : tuple of int
        One training for each loss and seed.
    iterations : int
        Optimiser steps of one training. Self-distillation splits them into three rounds.
    batch_size : int
        Images in one step, over all devices.
    image_size : int
        Side that images and labels are resized to; 0 leaves them as they are, and draws walls of 128 pixels
        (of 512 with the published protocol).
    patch_size : tuple of int
        Sides of the pieces of images that are trained with, or one for all; without any they follow from
        images and network, and drawn walls and TopoMortar are trained with whole.
    test_images : int
        Drawn test pictures in each of the seven groups; without effect on other data.
    network : str
        "unet", a small U-Net; "dynunet", the one of the published study; or "package.module:function" for
        one's own, see `run_study`.
    optimizer : {"adamw", "sgd"}
        `sgd` has Nesterov momentum.
    learning_rate, momentum, weight_decay : float
        Of the optimiser; `momentum` is the first beta of `adamw`.
    schedule : {"poly", "constant"}
        `poly` lets the learning rate fall as (1 - t)^0.9.
    clip_norm : float
        Largest norm of the gradient; 0 clips nothing.
    augmentation : {"none", "light", "topomortar"}
        `light` flips, turns and changes brightness; `topomortar` is that of the published study.
    validation_interval : int
        Iterations between two measurements on the validation images; 0 makes none.
    device : str
        "auto", "cpu", "mps", "cuda" or "cuda:1", …
    devices, nodes : int
        Number of GPUs (or CPU processes) on each machine, and of machines.
    precision : {"32-true", "16-mixed", "bf16-mixed"}
        Of the network. Losses and metrics are computed in float32.
    compile : bool
        Whether `torch.compile` compiles the network.
    workers : int
        Processes that load and augment images. The results do not depend on them.
    image_memory : float
        Gibibytes of images and labels that a process holds in memory; others are mapped from a file in the
        temporary folder. The results do not depend on it.
    checkpoint_seconds : float
        Time between two checkpoints. The results do not depend on it.
    remove_small : bool
        Whether small components and holes are removed from predictions; the validation images say how small.
    measured_split : {"test", "val"}
        The images that a training is measured on at its end: with "val", as in a search for settings, nothing
        is predicted for the test images.

    References
    ----------
    J. M. Valverde, M. Koga, N. Otsuka, A. B. Dahl, "TopoMortar: A dataset to evaluate image segmentation
    methods focused on topology accuracy", BMVC 2025.

    Examples
    --------
    >>> settings = StudySettings.of_protocol("quick", iterations=50)
    >>> settings.iterations, settings.network, settings.seeds
    (50, 'unet', (1, 2, 3))
    """

    protocol: str
    data: str | None
    classes: str | None
    ignore_label: int | None
    folds: int
    losses: tuple[str, ...]
    loss_variant: str
    labels: str
    training_set: str
    framework: str
    seeds: tuple[int, ...]
    iterations: int
    batch_size: int
    image_size: int
    patch_size: tuple[int, ...]
    test_images: int
    network: str
    optimizer: str
    learning_rate: float
    momentum: float
    weight_decay: float
    schedule: str
    clip_norm: float
    augmentation: str
    validation_interval: int
    device: str
    devices: int
    nodes: int
    precision: str
    compile: bool
    workers: int
    image_memory: float
    checkpoint_seconds: float
    remove_small: bool
    measured_split: str

    @classmethod
    def of_protocol(cls, protocol: str = "quick", **overrides: Any) -> StudySettings:
        """Return the settings of `protocol` with the values in `overrides` that are not None, all checked.

        Raises
        ------
        InputError
            If a value is unusable here: an unknown loss, a folder or a device that is not there, ….
        """
        _check_choice("protocol", protocol, tuple(PROTOCOLS))
        given = {name: value for name, value in overrides.items() if value is not None}
        values = _common_defaults(protocol, given) | PROTOCOLS[protocol] | given
        values["losses"] = _recipes(values["losses"])
        values["seeds"], values["patch_size"] = tuple(values["seeds"]), _several(values["patch_size"])
        if values["data"] is not None:
            values["data"] = os.fspath(Path(values["data"]).expanduser().resolve())
        _check_choices(values)
        _check_numbers(values)
        values["device"] = _resolve_device(values["device"], values["devices"])
        if not values["device"].startswith("cuda"):
            # No gradient scaler there; and on a CPU, compilation would need a C++ compiler.
            values |= {k: v for k, v in (("precision", "32-true"), ("compile", False)) if k not in given}
        _check_combinations(values)
        return cls(protocol=protocol, **values)

    def of_loss(self, loss: str) -> StudySettings:
        """Return what `loss` is trained with: these settings, but for those that stand behind its @."""
        own = parse_recipe(loss).training
        return replace(self, **{name: value for name, value in own.items() if name in _FIELDS_OF_LOSSES})

    def as_dict(self) -> dict[str, Any]:
        """Return the values as plain types, as they are stored."""
        return json.loads(json.dumps(asdict(self)))

    def difference(self, stored: Mapping[str, Any]) -> str | None:
        """Say in which setting this study differs from the one of `stored`, or None if it goes on with it.

        More losses or seeds than before go on with it; fewer do not.
        """
        mine = self.as_dict()
        for name in (f.name for f in fields(self) if f.name not in _WITHOUT_EFFECT):
            before, now = stored.get(name, _BEFORE_THERE_WAS.get(name)), mine[name]
            grown = name in ("losses", "seeds") and isinstance(before, list) and set(before) <= set(now)
            if before != now and not grown:
                return f"{name} is {_shown(now)} now and was {_shown(before)}"
        return None

    def short_name(self) -> str:
        """Return a folder name that is the same for the same study and differs between different ones."""
        given = self.as_dict().items()
        mine = {k: v for k, v in given if k not in _WITHOUT_EFFECT and _BEFORE_THERE_WAS.get(k) != v}
        digest = hashlib.sha256(json.dumps(mine, sort_keys=True).encode()).hexdigest()[:8]
        data = "synthetic" if self.data is None else Path(self.data).name
        return f"{data}-{self.framework}-{self.labels}-{self.training_set}-{digest}"


def regresses_depth(loss: str, settings: StudySettings) -> bool:
    """Return whether `loss` wants a network of one channel, a depth, as the published windowed TOPO does."""
    return _is_depth(loss, settings.loss_variant)


def _is_depth(loss: str, study_variant: str) -> bool:
    recipe = parse_recipe(loss)
    return not recipe.is_combined and _wants_depth(recipe.singles[0], study_variant)


def _wants_depth(spec: LossSpec, study_variant: str) -> bool:
    return (spec.name, spec.options.get("variant", study_variant)) == _DEPTH_LOSS


def _check_combination(loss: str, study_variant: str) -> None:
    """Raise for a combination that has no meaning: of the published losses, or of a class and a depth."""
    recipe = parse_recipe(loss)
    if not recipe.is_combined:
        return
    if study_variant != "paper":
        came = f"has {loss!r}, a combination of losses, with the variant {study_variant!r}"
        raise fail(_NAME, "losses", came, "loss_variant 'paper', or single losses")
    if any(_wants_depth(spec, study_variant) for spec in recipe.singles):
        came = f"has {loss!r} with 'windowed_topo' in the variant 'topomortar', which regresses a depth"
        raise fail(_NAME, "losses", came, "that loss alone")


def _recipes(losses: Sequence[str]) -> tuple[str, ...]:
    """Return the losses in the one way to write them, `recommended` replaced by what it stands for."""
    named = [loss for text in losses for loss in (RECOMMENDED_LOSSES if text == "recommended" else (text,))]
    return tuple(str(parse_recipe(text)) for text in named)


def _several(sides: int | Sequence[int]) -> tuple[int, ...]:
    return (sides,) if isinstance(sides, int) else tuple(sides)


def _common_defaults(protocol: str, given: Mapping[str, Any]) -> dict[str, Any]:
    data = given.get("data")
    resizes = protocol != "topomortar" and data is not None and is_topomortar(data)
    return {
        "data": None,
        "classes": None,
        "ignore_label": None,
        "folds": 0,
        "losses": ("ce_dice", "cldice", "skeleton_recall"),
        "labels": "accurate",
        "training_set": "large",
        "framework": "supervised",
        "image_size": 256 if resizes else 0,
        "patch_size": (),
        "test_images": 10,
        "device": "auto",
        "devices": 1,
        "nodes": 1,
        "image_memory": 4.0,
        "checkpoint_seconds": 30.0,
        "remove_small": False,
        "measured_split": "test",
    }


def _check_choice(argument: str, value: Any, choices: Sequence[str]) -> None:
    if value not in choices:
        close = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.5)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise fail(_NAME, argument, f"is {value!r}{hint}", f"one of {', '.join(map(repr, choices))}")


def _check_choices(values: Mapping[str, Any]) -> None:
    for argument, choices in (
        ("labels", LABELS),
        ("training_set", TRAINING_SETS),
        ("framework", FRAMEWORKS),
        ("loss_variant", LOSS_VARIANTS),
        ("optimizer", OPTIMIZERS),
        ("schedule", SCHEDULES),
        ("augmentation", AUGMENTATIONS),
        ("precision", PRECISIONS),
        ("measured_split", SPLITS),
    ):
        _check_choice(argument, values[argument], choices)
    if ":" not in values["network"]:
        _check_choice("network", values["network"], NETWORKS)
    for loss in values["losses"]:
        _check_combination(loss, values["loss_variant"])
        depth = _is_depth(loss, values["loss_variant"])
        if depth and values["framework"] == "selfdistillation":
            came = "has 'windowed_topo' in the variant 'topomortar', which regresses a depth"
            raise fail(_NAME, "losses", came, "another loss or variant for selfdistillation")
    for argument in ("losses", "seeds"):
        chosen = values[argument]
        if not chosen or len(set(chosen)) < len(chosen):
            came = " ".join(map(str, chosen)) or "empty"
            raise fail(_NAME, argument, f"is {came}", "at least one, each once")


def _check_numbers(values: Mapping[str, Any]) -> None:
    for argument, least in (
        ("iterations", 1),
        ("batch_size", 1),
        ("test_images", 1),
        ("validation_interval", 0),
        ("folds", 0),
        ("devices", 1),
        ("nodes", 1),
        ("workers", 0),
    ):
        check_number(_NAME, argument, values[argument], low=least, integer=True)
    for side in values["patch_size"]:
        check_number(_NAME, "patch_size", side, low=1, integer=True)
    if values["ignore_label"] is not None:
        check_number(_NAME, "ignore_label", values["ignore_label"], integer=True)
    for seed in values["seeds"]:
        check_number(_NAME, "seeds", seed, low=0, integer=True)
    for argument, high in (("momentum", 1.0), ("weight_decay", float("inf")), ("clip_norm", float("inf"))):
        check_number(_NAME, argument, values[argument], low=0.0, high=high)
    check_number(_NAME, "learning_rate", values["learning_rate"], low=1e-12)
    for argument in ("image_memory", "checkpoint_seconds"):
        check_number(_NAME, argument, values[argument], low=0.0)


def _resolve_device(device: str, devices: int) -> str:
    """Return the device's name with "auto" decided, and raise if it is not there."""
    import torch

    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (index and (kind != "cuda" or not index.isdecimal())):
        raise fail(_NAME, "device", f"is {device!r}", "'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "auto":
        kind = "cuda" if n_gpus else "cpu"
    if kind == "mps" and not torch.backends.mps.is_available():
        raise fail(_NAME, "device", "is 'mps', which this machine does not have", "'cpu' or 'auto'")
    if kind == "cuda" and not n_gpus:
        raise fail(_NAME, "device", f"is {device!r}, but no CUDA GPU is there", "'cpu' or 'auto'")
    if kind == "cuda" and (int(index or 0) >= n_gpus or devices > n_gpus):
        wanted = f"{device!r} with devices={devices}"
        raise fail(_NAME, "device", f"is {wanted}", f"at most the {n_gpus} CUDA GPUs of this machine")
    if index and devices > 1:
        raise fail(_NAME, "devices", f"is {devices} with device={device!r}", "1 for a device with a number")
    return f"{kind}:{index}" if index else kind


def _check_combinations(values: Mapping[str, Any]) -> None:
    from topodl.evaluation.networks import check_image_size

    if values["precision"] == "16-mixed" and values["device"] in ("cpu", "mps"):
        raise fail(_NAME, "precision", "is '16-mixed' without a CUDA GPU", "'32-true' or 'bf16-mixed'")
    workers = values["devices"] * values["nodes"]
    if values["batch_size"] % workers:
        raise fail(_NAME, "batch_size", f"is {values['batch_size']}", f"a multiple of the {workers} devices")
    if values["framework"] == "selfdistillation" and values["iterations"] < 3:
        raise fail(_NAME, "iterations", f"is {values['iterations']}", "at least 3 for selfdistillation")
    check_number(_NAME, "image_size", values["image_size"], low=0, integer=True)
    if values["folds"] == 1:
        raise fail(_NAME, "folds", "is 1", "0, or at least 2")
    data = values["data"]
    if values["image_size"] and not values["patch_size"] and (data is None or is_topomortar(data)):
        check_image_size(values["network"], (values["image_size"],) * 2, "image_size")
    if data is not None and not Path(data).exists():
        raise InputError(
            f"{_NAME}: data is {data!r}, which is not there; expected a folder, or a list of images"
        )


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else repr(value)
