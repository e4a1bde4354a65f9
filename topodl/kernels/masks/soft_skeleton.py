"""The soft skeleton of one image and its gradient, fused (Shit et al., CVPR 2021).

Images are padded by one pixel and flat, so that every step is a plain loop that vectorises. Cost: a dozen
passes over the image an iteration and direction; 10 bytes a pixel and iteration stay for the gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl.kernels.shared.compile import kernel

__all__ = ["skeleton_backward", "skeleton_forward", "warm_up"]

Floats = NDArray[Any]
Codes = NDArray[np.uint8]

_ONE = np.uintp(1)  # unsigned indices spare the test for a negative one, which would stop vectorisation


def skeleton_forward(
    image: Floats, shape: tuple[int, int, int], iterations: int
) -> tuple[Floats, Floats, Codes]:
    """Return the skeletons after 0, …, `iterations`, what each step may add, and where extrema were taken.

    Parameters
    ----------
    image : array (N,)
        Flat, padded on every side of each axis (of depth only if there is more than one plane).
    shape : (D, H, W)
        Shape with the padding.
    iterations : int

    Returns
    -------
    skeletons, deltas : arrays (iterations + 1, N)
        ``skeletons[-1]`` is the result; the padding holds 0.
    codes : array (iterations + 1, 4, N) of uint8
        Which neighbour each erosion took, and each dilation along x, y and z.
    """
    n = len(image)
    skeletons, deltas = np.zeros((iterations + 1, n), image.dtype), np.zeros((iterations + 1, n), image.dtype)
    codes = np.zeros((iterations + 1, 3 if shape[0] == 1 else 4, n), np.uint8)
    current, eroded = image.copy(), image.copy()
    opened, scratch = image.copy(), image.copy()
    lowest, highest = image.dtype.type(-np.inf), image.dtype.type(np.inf)
    row, plane = shape[2], shape[1] * shape[2]
    for step in range(iterations + 1):
        _fill_padding(current, shape, highest)
        _erode_plane(current, eroded, codes[step, 0], row)
        if shape[0] > 1:
            _erode_depth(current, eroded, codes[step, 0], plane)
        _fill_padding(eroded, shape, lowest)
        _dilate(eroded, opened, codes[step, 1], 1)
        _fill_padding(opened, shape, lowest)
        _dilate(opened, scratch, codes[step, 2], row)
        if shape[0] > 1:
            _fill_padding(scratch, shape, lowest)
            _dilate(scratch, opened, codes[step, 3], plane)
            scratch, opened = opened, scratch
        _positive_difference(current, scratch, deltas[step])
        _fill_padding(deltas[step], shape, image.dtype.type(0))
        _grow(skeletons[max(step - 1, 0)], deltas[step], skeletons[step])
        current, eroded = eroded, current
    return skeletons, deltas, codes


def skeleton_backward(
    grad: Floats, shape: tuple[int, int, int], skeletons: Floats, deltas: Floats, codes: Codes
) -> Floats:
    """Return the gradient by the image, (N,), from `grad` by the skeleton, 0 in the padding."""
    by_skeleton = grad.copy()
    by_eroded = np.zeros_like(grad)  # by the image that the later steps started from
    by_image, by_delta, scratch = np.zeros_like(grad), np.zeros_like(grad), np.zeros_like(grad)
    row, plane = shape[2], shape[1] * shape[2]
    for step in range(len(deltas) - 1, -1, -1):
        before = skeletons[step - 1] if step > 0 else np.zeros_like(grad)
        _grow_backward(by_skeleton, before, deltas[step], by_delta)
        by_image[:] = by_delta
        if shape[0] > 1:
            _dilate_backward(by_delta, scratch, codes[step, 3], plane)
            by_delta, scratch = scratch, by_delta
        _dilate_backward(by_delta, scratch, codes[step, 2], row)
        _dilate_backward(scratch, by_delta, codes[step, 1], 1)
        by_eroded -= by_delta
        _erode_plane_backward(by_eroded, by_image, codes[step, 0], row)
        if shape[0] > 1:
            _erode_depth_backward(by_eroded, by_image, codes[step, 0], plane)
        by_eroded, by_image = by_image, by_eroded
    return by_eroded


def _fill_padding(image: Floats, shape: tuple[int, int, int], value: float) -> None:
    box = image.reshape(shape)
    if shape[0] > 1:
        box[[0, -1]] = value
    box[:, [0, -1]] = value
    box[:, :, [0, -1]] = value


@kernel
def _erode_plane(image: Floats, out: Floats, code: Codes, row: int) -> None:
    """Minimum over each pixel and its four sides; `code`: 0 itself, 1 and 2 along x, 3 and 4 along y."""
    down = np.uintp(row)
    for i in range(down, np.uintp(len(image)) - down):
        low, c = image[i], np.uint8(0)
        for_x, back_x = image[i + _ONE], image[i - _ONE]
        c = np.uint8(1) if back_x < low else c
        low = back_x if back_x < low else low
        c = np.uint8(2) if for_x < low else c
        low = for_x if for_x < low else low
        for_y, back_y = image[i + down], image[i - down]
        c = np.uint8(3) if back_y < low else c
        low = back_y if back_y < low else low
        c = np.uint8(4) if for_y < low else c
        low = for_y if for_y < low else low
        out[i] = low
        code[i] = c


@kernel
def _erode_depth(image: Floats, out: Floats, code: Codes, plane: int) -> None:
    """Lower `out` to the neighbours along z; `code`: 5 and 6."""
    step = np.uintp(plane)
    for i in range(step, np.uintp(len(image)) - step):
        low, c = out[i], code[i]
        ahead, back = image[i + step], image[i - step]
        c = np.uint8(5) if back < low else c
        low = back if back < low else low
        c = np.uint8(6) if ahead < low else c
        low = ahead if ahead < low else low
        out[i] = low
        code[i] = c


@kernel
def _erode_plane_backward(grad: Floats, out: Floats, code: Codes, row: int) -> None:
    """Add `grad` at the pixel that each minimum was taken from."""
    down, zero = np.uintp(row), grad.dtype.type(0)
    for i in range(down, np.uintp(len(grad)) - down):
        g = grad[i] if code[i] == 0 else zero
        g += grad[i + _ONE] if code[i + _ONE] == 1 else zero
        g += grad[i - _ONE] if code[i - _ONE] == 2 else zero
        g += grad[i + down] if code[i + down] == 3 else zero
        g += grad[i - down] if code[i - down] == 4 else zero
        out[i] += g


@kernel
def _erode_depth_backward(grad: Floats, out: Floats, code: Codes, plane: int) -> None:
    step, zero = np.uintp(plane), grad.dtype.type(0)
    for i in range(step, np.uintp(len(grad)) - step):
        g = grad[i + step] if code[i + step] == 5 else zero
        g += grad[i - step] if code[i - step] == 6 else zero
        out[i] += g


@kernel
def _dilate(image: Floats, out: Floats, code: Codes, stride: int) -> None:
    """Maximum over each pixel and its two neighbours along one axis; `code`: 0 itself, 1 before, 2 after."""
    step = np.uintp(stride)
    for i in range(step, np.uintp(len(image)) - step):
        high, c = image[i], np.uint8(0)
        before, after = image[i - step], image[i + step]
        c = np.uint8(1) if before > high else c
        high = before if before > high else high
        c = np.uint8(2) if after > high else c
        high = after if after > high else high
        out[i] = high
        code[i] = c


@kernel
def _dilate_backward(grad: Floats, out: Floats, code: Codes, stride: int) -> None:
    step, zero = np.uintp(stride), grad.dtype.type(0)
    for i in range(step, np.uintp(len(grad)) - step):
        g = grad[i] if code[i] == 0 else zero
        g += grad[i + step] if code[i + step] == 1 else zero
        g += grad[i - step] if code[i - step] == 2 else zero
        out[i] = g


@kernel
def _positive_difference(a: Floats, b: Floats, out: Floats) -> None:
    zero = a.dtype.type(0)
    for i in range(len(out)):
        out[i] = a[i] - b[i] if a[i] > b[i] else zero


@kernel
def _grow(skeleton: Floats, delta: Floats, out: Floats) -> None:
    zero = skeleton.dtype.type(0)
    for i in range(len(out)):
        gain = delta[i] - skeleton[i] * delta[i]
        out[i] = skeleton[i] + (gain if gain > zero else zero)


@kernel
def _grow_backward(by_skeleton: Floats, skeleton: Floats, delta: Floats, by_delta: Floats) -> None:
    """Turn the gradient by the grown skeleton into that by the one before it, and write that by delta."""
    zero = skeleton.dtype.type(0)
    for i in range(len(skeleton)):
        gain = delta[i] - skeleton[i] * delta[i]
        g = by_skeleton[i] if gain > zero else zero
        by_delta[i] = g - g * skeleton[i] if delta[i] > zero else zero
        by_skeleton[i] -= g * delta[i]


def warm_up() -> None:
    """Compile the kernels for float32 and float64."""
    for dtype in (np.float32, np.float64):
        image = np.zeros(27, dtype)
        saved = skeleton_forward(image, (3, 3, 3), 1)
        skeleton_backward(image, (3, 3, 3), *saved)
