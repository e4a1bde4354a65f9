"""The data of `topodl features benchmark`: each with its samples, classes and folds."""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import ConvexHull, Delaunay
from sklearn.datasets import load_digits
from sklearn.model_selection import GroupKFold, StratifiedKFold

from topodl._checks import fail
from topodl.datasets import (
    load_graphs,
    make_annulus,
    make_linked_circles,
    make_nested_spheres,
    make_sphere,
    make_torus,
)

__all__ = ["DATA", "Samples", "load_samples"]

Array = np.ndarray[Any, np.dtype[Any]]
_NAME = "topodl features benchmark"
_GRAPHS = ("MUTAG", "PROTEINS", "IMDB-BINARY")
_SERIES = ("GunPoint", "ItalyPowerDemand")
DATA = ("digits", "MNIST", *_GRAPHS, *_SERIES, "shapes", "meshes", "text")
"""Names of the data."""

_PER_SHAPE, _POINTS = 40, 100


class Samples(NamedTuple):
    """Labelled samples of one kind, and how their folds are drawn."""

    name: str
    kind: str
    """ "images", "clouds" and "series" (arrays), "graphs" (pairs), "meshes" (triples) or "texts"."""
    X: Any
    y: Array
    groups: Array | None = None

    def folds(self) -> Iterator[tuple[Array, Array]]:
        """Return the samples to train on and to test on: 10 folds of graphs, 5 of all else."""
        if self.groups is not None:
            return GroupKFold(5).split(self.y, self.y, self.groups)
        if self.kind == "images":
            return StratifiedKFold(5).split(self.y, self.y)
        n = 10 if self.kind == "graphs" else 5
        return StratifiedKFold(n, shuffle=True, random_state=0).split(self.y, self.y)


def load_samples(name: str, folders: list[Path]) -> Samples | None:
    """Return the data of a name; None where they are files, and none of the folders has them."""
    if name == "digits":
        images, y = load_digits(return_X_y=True)
        return Samples(name, "images", images.reshape(-1, 8, 8), y)
    if name == "shapes":
        return _draw_shapes()
    if name == "meshes":
        return _draw_meshes()
    if name == "MNIST":
        return _read_mnist(folders)
    if name in _GRAPHS:
        return _read_graphs(name, folders)
    return _read_series(name, folders) if name in _SERIES else _read_texts(folders)


def _draw_shapes() -> Samples:
    """Return clouds of five shapes in space, turned and scaled to unit deviation."""
    clouds, y = [], []
    for seed in range(_PER_SHAPE):
        shared: dict[str, Any] = {"noise": 0.1, "random_state": seed}
        flat = make_annulus(_POINTS, **shared).points
        shapes = [
            make_sphere(_POINTS, **shared).points,
            make_torus(_POINTS, **shared).points,
            make_linked_circles(_POINTS, **shared).points,
            make_nested_spheres(_POINTS, **shared).points,
            np.concatenate([flat, np.zeros((len(flat), 1))], 1),
        ]
        random = np.random.default_rng(seed)
        for label, points in enumerate(shapes):
            clouds.append(_turned(points, random))
            y.append(label)
    return Samples("shapes", "clouds", np.stack(clouds), np.array(y))


def _turned(points: Array, random: np.random.Generator) -> Array:
    """Return points (N, 3) turned at random, around 0 and at a mean squared distance of 1 from there."""
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    centred = points - points.mean(0)
    turned: Array = (centred / np.sqrt(np.square(centred).sum(1).mean())) @ turn
    return turned


def _draw_meshes() -> Samples:
    """Return (points, edges, triangles) of spheres, discs, tori, cylinders, stretched, noisy, turned."""
    meshes, y = [], []
    for seed in range(_PER_SHAPE):
        random = np.random.default_rng(seed)
        for label, (points, triangles) in enumerate(_surfaces(random)):
            stretched = points @ (np.eye(3) + 0.2 * random.normal(size=(3, 3)))
            noisy = stretched + 0.03 * random.normal(size=stretched.shape)
            sides = np.concatenate([triangles[:2], triangles[1:], triangles[::2]], 1)
            meshes.append((_turned(noisy, random), np.unique(np.sort(sides, 0), axis=1), triangles))
            y.append(label)
    return Samples("meshes", "meshes", meshes, np.array(y))


def _surfaces(random: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """Return points (N, 3) and triangles (3, F) of a sphere, a disc, a torus and a cylinder."""
    points = random.normal(size=(_POINTS, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    yield points, ConvexHull(points).simplices.T.astype(np.int64)
    flat = random.uniform(-1, 1, size=(_POINTS, 2))
    yield np.c_[flat, np.zeros(_POINTS)], Delaunay(flat).simplices.T.astype(np.int64)
    around, along = np.divmod(np.arange(_POINTS), 10)
    u, v = 2 * np.pi * around / 10, 2 * np.pi * along / 10
    radii = 1 + 0.4 * np.cos(v)
    yield np.c_[radii * np.cos(u), radii * np.sin(u), 0.4 * np.sin(v)], _grid_triangles(True)
    yield np.c_[np.cos(u), np.sin(u), v / np.pi - 1], _grid_triangles(False)


def _grid_triangles(closed: bool) -> Array:
    """Return the triangles of a grid of 10 by 10 points, closed along the first axis or along both."""
    along = np.arange(10 if closed else 9)
    first, second = np.arange(10)[:, None], along[None]
    right, up = (first + 1) % 10, (second + 1) % 10
    a, b, c, d = (10 * i + j for i, j in ((first, second), (right, second), (first, up), (right, up)))
    corners = [(a, b, c), (b, d, c)]
    return np.concatenate([np.stack([part.ravel() for part in corner]) for corner in corners], 1)


def _read_mnist(folders: list[Path]) -> Samples | None:
    """Return the test half of MNIST from its IDX files, packed or not."""
    images, labels = (_find(folders, f"t10k-{part}*") for part in ("images-idx3", "labels-idx1"))
    if images is None or labels is None:
        return None
    pixels = np.frombuffer(_unpacked(images)[16:], np.uint8).reshape(-1, 28, 28)
    return Samples(
        "MNIST", "images", pixels.astype(np.float32), np.frombuffer(_unpacked(labels)[8:], np.uint8)
    )


def _read_graphs(name: str, folders: list[Path]) -> Samples | None:
    file = _find(folders, f"{name}_A.txt")
    if file is None:
        return None
    graphs = load_graphs(file.parent, name)
    return Samples(name, "graphs", graphs.pairs(), graphs.y)


def _read_series(name: str, folders: list[Path]) -> Samples | None:
    """Return a set of the UCR archive, both halves, from aeon's files or a folder of them."""
    found = importlib.util.find_spec("aeon")
    shipped = (
        [Path(place) / "datasets" / "data" for place in (found.submodule_search_locations or [])]
        if found
        else []
    )
    files = [_find([*folders, *shipped], f"{name}_{half}.ts") for half in ("TRAIN", "TEST")]
    rows = [row for file in files if file is not None for row in _rows_of(file)]
    if None in files:
        return None
    labels, series = zip(*rows, strict=True)
    return Samples(name, "series", np.array(series), np.unique(labels, return_inverse=True)[1])


def _rows_of(file: Path) -> list[tuple[str, list[float]]]:
    """Return label and values of each line ``1.0,2.0,…:label`` behind ``@data``."""
    lines = file.read_text(encoding="utf-8").splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip().lower() == "@data"), len(lines))
    rows = []
    for number, line in enumerate(lines[start + 1 :], start + 2):
        values, colon, label = line.strip().rpartition(":")
        try:
            rows.append((label, [float(value) for value in values.split(",")]))
        except ValueError:
            colon = ""
        if not colon:
            raise fail(_NAME, f"{file}, line {number},", f"is {line[:40]!r}", "values,…:label")
    if not rows:
        raise fail(_NAME, str(file), "has no series behind @data", "one a line")
    return rows


def _read_texts(folders: list[Path]) -> Samples | None:
    """Return human and machine-written texts, whose pairs stay in one fold."""
    from topodl.attention.corpora import read_artificial_text

    file = _find(folders, "*.raw_data.json")
    if file is None:
        return None
    data = min(read_artificial_text(file.parent), key=lambda texts: len(texts.texts))
    return Samples("text", "texts", data.texts, np.array(data.labels), np.array(data.groups))


def _find(folders: list[Path], pattern: str) -> Path | None:
    """Return the first file of that name in one of the folders, or in a folder there."""
    for folder in folders:
        for match in (*sorted(folder.glob(pattern)), *sorted(folder.glob(f"*/{pattern}"))):
            return match
    return None


def _unpacked(file: Path) -> bytes:
    content = file.read_bytes()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
