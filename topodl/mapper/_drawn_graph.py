"""Where a drawing puts nodes and edges of a Mapper graph, and how large it makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from topodl._checks import fail, plain_tensor
from topodl._precision import to_numpy

__all__ = ["DrawableGraph", "DrawnGraph", "as_array", "draw_graph"]

_WIDTH = 1000.0  # units of the drawing's longer side
_LARGEST, _SMALLEST = 45.0, 5.0  # limits of the largest node's radius, in those units
_SMALLEST_SHARE = 0.12  # of the largest radius: smaller nodes could not be told from points
_SHARE_OF_EDGE = 0.45  # of an edge that the largest node may cover: two of them then leave each other free


class DrawableGraph(Protocol):
    """What a drawing asks of a `MapperGraph`."""

    @property
    def n_samples(self) -> int:
        """Number N of samples that nodes are made of."""

    @property
    def node_ptr(self) -> torch.Tensor:
        """Start of each node's samples in `node_index`, (V + 1,)."""

    @property
    def node_index(self) -> torch.Tensor:
        """Samples of all nodes, (M,)."""

    @property
    def edge_index(self) -> torch.Tensor:
        """Both directions of each edge, (2, 2E)."""

    @property
    def edge_weight(self) -> torch.Tensor:
        """Shared samples of each edge, (2E,)."""

    def positions(self) -> torch.Tensor:
        """Return places of the nodes in the plane, (V, 2)."""


@dataclass(frozen=True)
class DrawnGraph:
    """Arrays of a drawing `width` by `height` units large, y downwards; `edges` (E, 2) has each edge once."""

    ptr: NDArray[np.int64]
    members: NDArray[np.int64]
    edges: NDArray[np.int64]
    weights: NDArray[np.float64]
    places: NDArray[np.float64]
    radii: NDArray[np.float64]
    width: float
    height: float

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Members of each node, (V,)."""
        return np.diff(self.ptr)

    @property
    def node_of_member(self) -> NDArray[np.int64]:
        """The node that each entry of `members` belongs to."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)


def as_array(values: Any) -> NDArray[Any]:
    """Return a tensor's values, or whatever else NumPy makes an array of, as an array."""
    return to_numpy(plain_tensor(values)) if isinstance(values, torch.Tensor) else np.asarray(values)


def draw_graph(function: str, graph: DrawableGraph, positions: Any = None) -> DrawnGraph:
    """Return the drawing of a graph at its own positions, or at those given, (V, 2) with y upwards."""
    ptr, members = (to_numpy(each).astype(np.int64) for each in (graph.node_ptr, graph.node_index))
    sizes = np.diff(ptr)
    places = _checked_positions(function, graph.positions() if positions is None else positions, len(sizes))
    pairs, weights = to_numpy(graph.edge_index).T.astype(np.int64), to_numpy(graph.edge_weight)
    once = pairs[:, 0] < pairs[:, 1]
    if not len(sizes):
        places, width, height = np.zeros((0, 2)), _WIDTH, _WIDTH / 2
        radii = np.zeros(0)
    else:
        places = _scaled(places)
        radii = _radii(places, sizes, pairs[once])
        places = places - (places - radii[:, None]).min(0)
        width, height = (places + radii[:, None]).max(0).tolist()
    return DrawnGraph(
        ptr, members, pairs[once], weights[once].astype(np.float64), places, radii, width, height
    )


def _checked_positions(function: str, positions: Any, n_nodes: int) -> NDArray[np.float64]:
    values = as_array(positions).astype(np.float64)
    if values.shape != (n_nodes, 2):
        came = f"has shape {values.shape}"
        raise fail(function, "positions", came, f"shape ({n_nodes}, 2), a place for each node")
    wrong = np.flatnonzero(~np.isfinite(values).all(1))
    if len(wrong):
        raise fail(function, f"positions[{wrong[0]}]", f"is {values[wrong[0]].tolist()}", "finite values")
    return values


def _scaled(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return places with y downwards, whose longer side is `_WIDTH`."""
    low, high = places.min(0), places.max(0)
    with np.errstate(over="ignore"):
        extent = float((high - low).max())
    if not np.isfinite(extent):  # the largest floats: their difference is beyond them
        return _scaled(places / 4)
    unit = extent or 1.0
    return np.stack([(places[:, 0] - low[0]) / unit, (high[1] - places[:, 1]) / unit], axis=1) * _WIDTH


def _radii(
    places: NDArray[np.float64], sizes: NDArray[np.int64], edges: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return radii whose squares grow with the sizes, and whose largest fits the lengths of the edges."""
    if len(edges):
        lengths = np.linalg.norm(places[edges[:, 0]] - places[edges[:, 1]], axis=1)
    elif len(places) > 1:
        lengths = cKDTree(places).query(places, k=2)[0][:, 1]
    else:
        lengths = np.array([_WIDTH])
    largest = float(np.clip(_SHARE_OF_EDGE * np.median(lengths), _SMALLEST, _LARGEST))
    shares = np.sqrt(sizes / max(int(sizes.max()), 1))
    return largest * np.maximum(shares, _SMALLEST_SHARE)
