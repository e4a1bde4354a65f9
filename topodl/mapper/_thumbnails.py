"""Small pictures of the samples nearest to the centres of nodes, on few sheets that a page can hold."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl._checks import fail
from topodl.mapper._drawn_graph import DrawnGraph, as_array

__all__ = ["Thumbnails", "draw_thumbnails", "nearest_members", "pixels_of", "png_bytes"]

_SIDE = 48  # pixels of a thumbnail's longer side at most
_SHEET = 2048  # pixels of a sheet's sides at most, which every browser can draw
_COLOR_TYPES = {1: 0, 3: 2, 4: 6}  # channels -> number of the colour type in a PNG file

Array = NDArray[Any]


@dataclass(frozen=True)
class Thumbnails:
    """Sheets as addresses of data; of each sample with a picture: sheet, left, top, width, height."""

    sheets: list[str]
    places: dict[int, tuple[int, int, int, int, int]]


def nearest_members(points: Array, drawn: DrawnGraph, count: int) -> list[list[int]]:
    """Return for each node the `count` members nearest to the mean of its points (N, d), nearest first."""
    nearest = []
    for start, stop in zip(drawn.ptr[:-1], drawn.ptr[1:], strict=True):
        members = drawn.members[start:stop]
        own = points[members].reshape(len(members), -1).astype(np.float64)
        with np.errstate(over="ignore"):
            distances = ((own - own.mean(0)) ** 2).sum(1)
        nearest.append(members[np.argsort(distances, kind="stable")[:count]].tolist())
    return nearest


def pixels_of(images: Any) -> Array:
    """Return images of one shape as points (N, pixels), by which the nearest to a centre are found."""
    if isinstance(images, Sequence):
        return np.stack([as_array(image).ravel() for image in images])
    values = as_array(images)
    return values.reshape(len(values), -1)


def draw_thumbnails(function: str, images: Any, samples: Sequence[int]) -> Thumbnails:
    """Return the thumbnails of some samples; `images[i]` is (H, W), (H, W, C) or (C, H, W), C = 1, 3, 4.

    Bytes are shown as they are; other values are scaled from the smallest to the largest of all of these.
    """
    tiles = {sample: _tile(function, images[sample], sample) for sample in samples}
    scaled = dict(zip(tiles, _as_bytes(list(tiles.values())), strict=True))
    side = max((max(tile.shape[:2]) for tile in scaled.values()), default=1)
    channels = max((tile.shape[2] for tile in scaled.values()), default=1)
    sheets, places = [], {}
    per_row = _SHEET // side
    for sheet, first in enumerate(range(0, len(samples), per_row * per_row)):
        chosen = list(samples[first : first + per_row * per_row])
        columns = min(len(chosen), per_row)
        canvas = np.zeros((-(-len(chosen) // columns) * side, columns * side, channels), np.uint8)
        for place, sample in enumerate(chosen):
            top, left = place // columns * side, place % columns * side
            tile = _with_channels(scaled[sample], channels)
            height, width = tile.shape[:2]
            canvas[top : top + height, left : left + width] = tile
            places[sample] = (sheet, left, top, width, height)
        sheets.append(f"data:image/png;base64,{base64.b64encode(png_bytes(canvas)).decode()}")
    return Thumbnails(sheets, places)


def _tile(function: str, image: Any, sample: int) -> Array:
    """Return an image as (H, W, C), no side longer than a thumbnail's."""
    values = as_array(image)
    if values.ndim == 2:
        values = values[..., None]
    elif values.ndim == 3 and values.shape[-1] not in _COLOR_TYPES and values.shape[0] in _COLOR_TYPES:
        values = np.moveaxis(values, 0, -1)
    if values.ndim != 3 or values.shape[-1] not in _COLOR_TYPES or not values.size:
        came, expected = f"has shape {np.shape(image)}", "(H, W), or 1, 3 or 4 channels first or last"
        raise fail(function, f"images[{sample}]", came, expected)
    if values.dtype.kind not in "biuf":
        raise fail(function, f"images[{sample}]", f"has dtype {values.dtype}", "numbers")
    if not np.isfinite(values).all():
        raise fail(function, f"images[{sample}]", "has a value that is not finite", "finite values")
    return _reduced(values)


def _reduced(values: Array) -> Array:
    """Return the means of squares of pixels, as many as it takes to fit a thumbnail."""
    step = -(-max(values.shape[:2]) // _SIDE)
    if step == 1:
        return values
    sums: Array = values.astype(np.float64)
    for axis in (0, 1):
        starts = np.arange(0, values.shape[axis], step)
        lengths = np.diff(np.append(starts, values.shape[axis]))
        shape = [-1 if k == axis else 1 for k in range(3)]
        sums = np.add.reduceat(sums, starts, axis=axis) / lengths.reshape(shape)
    return sums.round().astype(np.uint8) if values.dtype == np.uint8 else sums


def _as_bytes(tiles: Sequence[Array]) -> Iterator[Array]:
    others = [tile for tile in tiles if tile.dtype != np.uint8]
    low = min((float(tile.min()) for tile in others), default=0.0)
    high = max((float(tile.max()) for tile in others), default=1.0)
    for tile in tiles:
        if tile.dtype == np.uint8:
            yield tile
        else:
            shares = (tile.astype(np.float64) - low) / ((high - low) or 1.0)
            yield (255 * shares).round().astype(np.uint8)


def _with_channels(tile: Array, channels: int) -> Array:
    """Return a tile with as many channels as the others: grey as three colours, opaque."""
    missing = channels - tile.shape[2]
    if missing == 0:
        return tile
    colors = tile.repeat(3, axis=2) if tile.shape[2] == 1 else tile
    opaque = np.full((*tile.shape[:2], 1), 255, np.uint8)
    return np.concatenate([colors, opaque], axis=2) if channels == 4 else colors


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """Return a PNG file of an image (H, W, C) of bytes: C = 1 grey, 3 red, green, blue, 4 with opacity.

    Source: PNG specification, third edition, sections 11.2 (chunks) and 9.2 (filters).
    """
    height, width, channels = image.shape
    before = np.zeros_like(image)
    before[:, 1:] = image[:, :-1]
    rows = []
    for number, filtered in enumerate((image, image - before)):  # filters "none" and "sub", wrapping round
        marks = np.full((height, 1), number, np.uint8)
        rows.append(zlib.compress(np.hstack([marks, filtered.reshape(height, -1)]).tobytes(), 9))
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOR_TYPES[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", min(rows, key=len)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
