"""The networks of a study: any channels, classes and sizes, pictures and volumes, and networks of others."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from topodl import InputError
from topodl.evaluation.networks import (
    SmallUNet,
    _gather_cells,
    _spread_cells,
    build_network,
    find_network,
    side_rule,
)


def make_convolution(in_channels, out_channels, spatial_dims):
    return (nn.Conv2d if spatial_dims == 2 else nn.Conv3d)(in_channels, out_channels, 1)


NOT_CALLABLE = 3


@given(st.integers(1, 3), st.integers(1, 4), st.lists(st.integers(1, 40), min_size=2, max_size=2))
def test_the_small_network_takes_pictures_of_any_size(n_in, n_out, size):
    output = SmallUNet(n_in, n_out)(torch.randn(1, n_in, *size))
    assert output.shape == (1, n_out, *size)
    assert bool(output.isfinite().all())


def test_the_small_network_takes_volumes_and_learns_from_every_parameter():
    network = SmallUNet(2, 3, spatial_dims=3)
    output = network(torch.randn(1, 2, 16, 33, 20, generator=torch.Generator().manual_seed(0)))
    assert output.shape == (1, 3, 16, 33, 20)
    output.square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in network.parameters())


def test_pixels_beyond_the_image_are_zeros():
    network = SmallUNet().eval()
    image = torch.randn(1, 3, 20, 32, generator=torch.Generator().manual_seed(0))
    filled = nn.functional.pad(image, (0, 0, 0, 12))
    with torch.no_grad():
        assert torch.allclose(network(image), network(filled)[:, :, :20], atol=1e-5)


def test_cells_are_channels_and_back():
    volume = torch.arange(2 * 3 * 4 * 6 * 2.0).reshape(2, 3, 4, 6, 2)
    cells = _gather_cells(volume)
    assert cells.shape == (2, 24, 2, 3, 1)
    assert cells[0, :8, 0, 0, 0].tolist() == volume[0, 0, :2, :2, :2].flatten().tolist()
    assert torch.equal(_spread_cells(cells), volume)
    picture = volume[..., 0]
    assert torch.equal(_spread_cells(_gather_cells(picture)), picture)


def test_the_published_network_takes_other_data():
    pytest.importorskip("monai")
    with torch.device("meta"):  # shapes alone
        network, volumes = find_network("dynunet")(2, 4, 3), torch.zeros(1, 2, 64, 64, 64)
    assert network(volumes).shape == (1, 5, 4, 64, 64, 64)
    assert network.eval()(volumes).shape == (1, 4, 64, 64, 64)
    assert (side_rule("dynunet", 2), side_rule("dynunet", 3)) == ((128, 256), (32, 64))


def test_a_network_of_ones_own_is_found_by_its_name():
    network = build_network(find_network(f"{__name__}:make_convolution"), 4, 3, 3)
    assert network.weight.shape == (3, 4, 1, 1, 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_package.x:make", "network is 'no_such_package.x:make', which cannot be imported"),
        (f"{__name__}:absent", r"which cannot be imported .*absent"),
        (
            f"{__name__}:NOT_CALLABLE",
            "which is a int; expected 'unet', 'dynunet' or 'package.module:function'",
        ),
        (":make", "network is ':make'; expected 'unet'"),
    ],
)
def test_a_network_that_is_none_is_named(name, message):
    with pytest.raises(InputError, match=message):
        find_network(name)


def test_a_function_that_makes_no_network_is_named():
    with pytest.raises(InputError, match=r"network returned a int; expected a torch\.nn\.Module"):
        build_network(lambda *_: 3)
