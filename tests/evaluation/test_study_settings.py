"""Values of the protocols, their checks, and when two studies are the same."""

import dataclasses

import pytest
import torch

from topodl import InputError
from topodl.evaluation.loss_recipes import parse_recipe
from topodl.evaluation.settings import RECOMMENDED_LOSSES, StudySettings
from topodl.losses import registry

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")


def test_the_published_protocol_is_the_published_one():
    settings = StudySettings.of_protocol("topomortar", data=".")
    published = {
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
        "image_size": 0,
        "validation_interval": 1_200,
        "loss_variant": "topomortar",
        "seeds": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
    }
    assert {name: getattr(settings, name) for name in published} == published


@no_gpu
def test_half_precision_and_compilation_are_for_gpus():
    settings = StudySettings.of_protocol("topomortar")
    assert (settings.device, settings.precision, settings.compile) == ("cpu", "32-true", False)
    assert StudySettings.of_protocol("topomortar", precision="bf16-mixed").precision == "bf16-mixed"
    with pytest.raises(InputError, match=r"precision is '16-mixed' without a CUDA GPU; expected '32-true'"):
        StudySettings.of_protocol("topomortar", precision="16-mixed")


def test_every_value_can_be_overridden():
    settings = StudySettings.of_protocol(
        "topomortar", iterations=7, optimizer="adamw", seeds=[5], image_size=256
    )
    assert (settings.iterations, settings.optimizer, settings.seeds) == (7, "adamw", (5,))
    assert settings.momentum == 0.99


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"losses": ["ce_dise"]},
            r"losses is 'ce_dise' \(did you mean 'ce_dice'\?\); expected one of .*'cldice'",
        ),
        ({"losses": []}, "losses is empty; expected at least one"),
        ({"losses": ["ce_dice", "ce_dice"]}, "losses is ce_dice ce_dice; expected at least one, each once"),
        ({"losses": ["mosin"]}, "losses has 'mosin', which needs an option that only Python can give it"),
        ({"labels": "acurate"}, r"labels is 'acurate' \(did you mean 'accurate'\?\)"),
        ({"framework": "x"}, "framework is 'x'; expected one of 'supervised', 'randhue', 'selfdistillation'"),
        ({"iterations": 0}, "iterations is 0; expected an integer of at least 1"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; expected a number"),
        ({"momentum": 2.0}, r"momentum is 2.0; expected a number in \[0, 1\]"),
        ({"seeds": [1, -1]}, "seeds is -1; expected an integer of at least 0"),
        ({"network": "dynunet", "image_size": 128}, "expected a multiple of 128 of at least 256"),
        ({"data": "/no/such/folder"}, "data is '/no/such/folder', which is not there"),
        ({"device": "gpu"}, "device is 'gpu'; expected 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'"),
        ({"device": "cpu", "devices": 3}, "batch_size is 4; expected a multiple of the 3 devices"),
        ({"framework": "selfdistillation", "iterations": 2}, "iterations is 2; expected at least 3"),
    ],
)
def test_an_unusable_value_is_named(values, message):
    with pytest.raises(InputError, match=message):
        StudySettings.of_protocol("quick", **values)


@no_gpu
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_missing_gpu_is_named(device):
    with pytest.raises(InputError, match=f"device is '{device}', but no CUDA GPU is there; expected 'cpu'"):
        StudySettings.of_protocol("quick", device=device)


def test_an_unknown_protocol_is_named():
    with pytest.raises(InputError, match=r"protocol is 'topomorta' \(did you mean 'topomortar'\?\)"):
        StudySettings.of_protocol("topomorta")


def test_a_study_goes_on_with_itself_and_with_more_losses_and_seeds():
    small = StudySettings.of_protocol("quick", losses=["ce_dice"], seeds=[1])
    large = StudySettings.of_protocol("quick", losses=["cldice", "ce_dice"], seeds=[2, 1], workers=3)
    assert small.difference(small.as_dict()) is None
    assert large.difference(small.as_dict()) is None
    assert small.difference(large.as_dict()) == "losses is ce_dice now and was cldice ce_dice"


def test_every_value_with_an_effect_makes_another_study():
    settings = StudySettings.of_protocol("quick")
    stored = settings.as_dict()
    for field in dataclasses.fields(settings):
        changed = dataclasses.replace(settings, **{field.name: "another"})
        if field.name in ("workers", "image_memory", "checkpoint_seconds"):
            assert changed.difference(stored) is None
            assert changed.short_name() == settings.short_name()
        else:
            assert changed.difference(stored).startswith(f"{field.name} is ")
            assert changed.short_name() != settings.short_name()


def test_a_depth_has_no_soft_labels():
    with pytest.raises(ValueError, match="losses has 'windowed_topo' in the variant 'topomortar'"):
        StudySettings.of_protocol(
            "quick", losses=["windowed_topo"], loss_variant="topomortar", framework="selfdistillation"
        )


@pytest.mark.parametrize("loss", RECOMMENDED_LOSSES)
def test_recommended_losses_take_pictures_and_volumes(loss):
    for single in parse_recipe(loss).singles:
        assert {2, 3} <= set(registry[single.name].spatial_dims)
