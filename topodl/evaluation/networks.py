"""The networks of a study: a small U-Net for CPUs, the published study's DynUNet, and those of others."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from topodl._checks import fail

__all__ = [
    "DYNUNET_LEVELS",
    "NetworkFactory",
    "SmallUNet",
    "build_network",
    "check_image_size",
    "find_network",
    "side_rule",
]

NetworkFactory = Callable[[int, int, int], nn.Module]
_NAME = "topodl evaluate"
_CONVOLUTIONS: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
DYNUNET_LEVELS = {2: 8, 3: 6}


def side_rule(network: str, spatial_dims: int) -> tuple[int, int]:
    """Return what a side of the input of `network` should be a multiple of, and at least.

    The small U-Net takes any size and others are not known; for these it is a size that wastes nothing.
    """
    if network == "dynunet":
        multiple = int(2 ** (DYNUNET_LEVELS[spatial_dims] - 1))
        return multiple, 2 * multiple
    return 16, 32


def check_image_size(network: str, size: tuple[int, ...], argument: str) -> None:
    """Raise an `InputError` that names `argument` if `network` cannot work on images of this size."""
    if network != "dynunet":
        return
    multiple, least = side_rule(network, len(size))
    if any(side % multiple or side < least for side in size):
        came = f"{size[0]}" if len(set(size)) == 1 else "x".join(map(str, size))
        expected = f"a multiple of {multiple} of at least {least}"
        raise fail(_NAME, argument, f"is {came} with network={network!r}", expected)


def find_network(name: str) -> NetworkFactory:
    """Return what makes the network `name`: "unet", "dynunet", or "package.module:function".

    A function of one's own is called with the numbers of channels in, of channels out and of spatial axes,
    and returns a module that takes images (B, channels in, *S) to logits (B, channels out, *S). In training
    it may also return several heads, a list of which the finest is first, or one tensor (B, heads, C, *S).

    Raises
    ------
    InputError
        If there is no such function.
    """
    if name == "unet":
        return SmallUNet
    if name == "dynunet":
        return _dynunet
    module, _, attribute = name.partition(":")
    expected = "'unet', 'dynunet' or 'package.module:function'"
    if not module or not attribute:
        raise fail(_NAME, "network", f"is {name!r}", expected)
    try:
        factory: Any = importlib.import_module(module)
        for part in attribute.split("."):
            factory = getattr(factory, part)
    except (ImportError, AttributeError) as error:
        raise fail(_NAME, "network", f"is {name!r}, which cannot be imported ({error})", expected) from error
    if not callable(factory):
        raise fail(_NAME, "network", f"is {name!r}, which is a {type(factory).__name__}", expected)
    return factory


def build_network(
    factory: NetworkFactory, in_channels: int = 3, out_channels: int = 2, spatial_dims: int = 2
) -> nn.Module:
    """Return the network that `factory` makes, and raise if that is none."""
    network = factory(in_channels, out_channels, spatial_dims)
    if not isinstance(network, nn.Module):
        came = f"returned a {type(network).__name__}"
        raise fail(_NAME, "network", came, "a torch.nn.Module")
    return network


class SmallUNet(nn.Module):
    """A U-Net that is quick on a CPU: it works at half the resolution, with a cell of pixels as channels.

    It takes images of any size, which it fills up with zeros to a multiple of 16.

    Parameters
    ----------
    in_channels, out_channels : int
        Of the images, and of the logits.
    spatial_dims : {2, 3}
        Axes of an image.
    widths : tuple of int
        Channels at each level, each half the resolution of the one before. Multiples of 8.

    Examples
    --------
    >>> SmallUNet()(torch.zeros(1, 3, 64, 32)).shape
    torch.Size([1, 2, 64, 32])
    >>> SmallUNet(1, 4, spatial_dims=3)(torch.zeros(1, 1, 20, 33, 16)).shape
    torch.Size([1, 4, 20, 33, 16])
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 2,
        spatial_dims: int = 2,
        widths: tuple[int, ...] = (16, 32, 48, 64),
    ) -> None:
        super().__init__()
        self.spatial_dims, self.multiple = spatial_dims, int(2 ** len(widths))
        cell = 2**spatial_dims
        inputs = (cell * in_channels, *widths)
        self.down = nn.ModuleList(_block(i, o, spatial_dims) for i, o in pairwise(inputs))
        up = list(reversed(widths))
        self.up = nn.ModuleList(_block(below + skip, skip, spatial_dims) for below, skip in pairwise(up))
        self.head = _CONVOLUTIONS[spatial_dims](widths[0], cell * out_channels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (B, channels, *S)."""
        size = images.shape[2:]
        missing = [-side % self.multiple for side in size]
        if any(missing):
            images = F.pad(images, [n for m in reversed(missing) for n in (0, m)])
        logits = self._of_whole_cells(images)
        for axis, side in enumerate(size, start=2):
            logits = logits.narrow(axis, 0, side)
        return logits

    def _of_whole_cells(self, images: torch.Tensor) -> torch.Tensor:
        pool = F.avg_pool2d if self.spatial_dims == 2 else F.avg_pool3d
        x = _gather_cells(images)
        skips: list[torch.Tensor] = []
        for level, block in enumerate(self.down):
            x = block(pool(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skips.pop()], 1))
        return _spread_cells(self.head(x))


def _gather_cells(images: torch.Tensor) -> torch.Tensor:
    """Return (B, C 2^d, *S/2) of images (B, C, *S): the pixels of each cell of 2 x 2 (x 2) as channels."""
    if images.ndim == 4:
        return F.pixel_unshuffle(images, 2).contiguous(memory_format=torch.channels_last)
    b, c, *size = images.shape
    d, h, w = (side // 2 for side in size)
    cells = images.reshape(b, c, d, 2, h, 2, w, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return cells.reshape(b, 8 * c, d, h, w)


def _spread_cells(x: torch.Tensor) -> torch.Tensor:
    """Undo `_gather_cells`."""
    if x.ndim == 4:
        return F.pixel_shuffle(x, 2)
    b, c, d, h, w = x.shape
    cells = x.reshape(b, c // 8, 2, 2, 2, d, h, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return cells.reshape(b, c // 8, 2 * d, 2 * h, 2 * w)


def _block(n_in: int, n_out: int, spatial_dims: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (n_in, n_out):
        layers += [
            _CONVOLUTIONS[spatial_dims](channels, n_out, 3, padding=1, bias=False),
            nn.GroupNorm(n_out // 4, n_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _dynunet(in_channels: int, out_channels: int, spatial_dims: int) -> nn.Module:
    from monai.networks.nets import DynUNet

    levels = DYNUNET_LEVELS[spatial_dims]
    return DynUNet(
        spatial_dims=spatial_dims,
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=[3] * levels,
        strides=[1] + [2] * (levels - 1),
        upsample_kernel_size=[2] * (levels - 1),
        deep_supervision=True,
        deep_supr_num=levels - 2,
    )
