"""Losses as a study trains with them: on classes, regions, volumes, ignored pixels, with all heads."""

import numpy as np
import pytest
import torch

from tests.evaluation.given_images import study_data
from topodl import InputError
from topodl.evaluation.loss_setup import build_loss, check_losses, out_channels
from topodl.evaluation.loss_specs import ready_losses
from topodl.evaluation.settings import StudySettings
from topodl.losses import registry

PLANE, SPACE = np.zeros((1, 32, 32)), np.zeros((1, 16, 16, 16))
THREE = ("background", "artery", "vein")


def settings_of(loss, protocol="quick", **values):
    return StudySettings.of_protocol(protocol, losses=[loss], device="cpu", **values)


def crossing(*size):
    """Return a label with a line along each of the last two axes."""
    label = torch.zeros(1, 1, *size, dtype=torch.long)
    label[..., 10:14, :], label[..., 20:24] = 1, 1
    return label


@pytest.mark.parametrize("name", [n for n in ready_losses() if 2 in registry[n].spatial_dims])
@pytest.mark.parametrize("variant", ["paper", "topomortar"])
def test_every_loss_of_pictures_trains_two_classes(name, variant):
    settings, data = settings_of(name, loss_variant=variant), study_data(PLANE)
    check_losses([name], settings, data)
    logits = torch.randn(1, out_channels(name, settings, data), 32, 32,
                         generator=torch.Generator().manual_seed(0), requires_grad=True)  # fmt: skip
    loss = build_loss(name, settings, data)
    loss.loss.set_progress(0.9)
    (gradient,) = torch.autograd.grad(loss([logits], crossing(32, 32)), logits)
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("name", ready_losses())
def test_every_loss_takes_classes_regions_and_volumes_or_says_which_it_takes(name):
    dims = registry[name].spatial_dims
    for label, where in ((PLANE, 2), (SPACE, 3)):
        for regions in (False, True):
            data = study_data(np.repeat(label, 2 if regions else 1, 0), THREE, regions=regions)
            if where in dims:
                check_losses([name], settings_of(name), data)
            else:
                with pytest.raises(InputError, match=f"losses has '{name}', which is for .* alone"):
                    check_losses([name], settings_of(name), data)


def test_ignored_pixels_and_regions_reach_the_loss():
    label = PLANE.copy()
    label[0, 0, 0] = 255
    options = build_loss("cldice", settings_of("cldice"), study_data(label)).loss.options
    assert (options["ignore_index"], options["activation"]) == (255, "auto")
    regions = study_data(np.repeat(PLANE, 2, 0), THREE, regions=True)
    assert build_loss("cldice", settings_of("cldice"), regions).loss.options["activation"] == "sigmoid"
    padded = study_data(PLANE, patch_size=(48, 32))
    assert build_loss("cldice", settings_of("cldice"), padded).loss.options["ignore_index"] == 255


def test_options_of_the_word_come_before_those_of_the_study():
    settings = settings_of("warping:active_from=0.2,variant=paper", "topomortar")
    loss = build_loss(settings.losses[0], settings, study_data(PLANE)).loss
    assert loss.active_from == 0.2
    assert loss.options["variant"] == "paper"


def test_a_depth_is_for_two_classes():
    settings = settings_of("windowed_topo", "topomortar")
    assert out_channels("windowed_topo", settings, study_data(PLANE)) == 1
    with pytest.raises(InputError, match="losses has 'windowed_topo' in the variant 'topomortar'"):
        check_losses(["windowed_topo"], settings, study_data(PLANE, THREE))


def test_the_published_variant_delays_what_the_published_study_delayed():
    data = study_data(PLANE)
    for name, share in (("topo_loss", 0.7), ("warping", 0.7), ("cldice", 0.0), ("ce_dice", 0.0)):
        published = build_loss(name, settings_of(name, "topomortar"), data)
        assert published.loss.active_from == share
        assert published.topology_heads == ("first" if share else "all")
        assert len(published.weights) == 7
        assert build_loss(name, settings_of(name), data).loss.active_from == 0.0


def test_the_published_variant_trains_with_region_wise_alone():
    data = study_data(PLANE)
    assert (
        build_loss("region_wise", settings_of("region_wise", "topomortar"), data).loss.options["base_weight"]
        == 0
    )
    assert build_loss("region_wise", settings_of("region_wise"), data).loss.options["base_weight"] == 1


def test_thick_slices_reach_losses_of_distances_in_relative_units():
    data = study_data(SPACE)
    object.__setattr__(data.train, "spacings", ((5.0, 0.5, 1.0),))
    assert build_loss("skeleton_recall", settings_of("skeleton_recall"), data).loss.options["spacing"] == (
        10.0,
        1.0,
        2.0,
    )
