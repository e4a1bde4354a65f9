"""What is read from the `Data` and `Batch` of PyTorch Geometric, by the names of their attributes alone."""

from __future__ import annotations

import itertools
from typing import Any

import torch

from topodl._checks import check_dense, fail, plain_tensor, sizes_of_clouds

__all__ = ["has_points", "is_graph", "points_of", "with_complexes", "with_graphs", "with_points"]


def has_points(item: Any) -> bool:
    """Return whether `item` is a `Data` or `Batch` with points."""
    return isinstance(getattr(item, "pos", None), torch.Tensor)


def is_graph(item: Any) -> bool:
    """Return whether `item` is a `Data` or `Batch` with edges."""
    return isinstance(getattr(item, "edge_index", None), torch.Tensor)


def points_of(data: Any) -> list[torch.Tensor]:
    """Return the points of a `Data`, or of each graph of a `Batch`, in the order of its graphs."""
    points, ptr, batch = data.pos, getattr(data, "ptr", None), getattr(data, "batch", None)
    if check_dense("clouds", "data.pos", points).ndim == 0:
        raise fail("clouds", "data.pos", "has shape ()", "points of shape (N, d)")
    if ptr is not None:
        return list(points.split(_sizes_between(check_dense("clouds", "data.ptr", ptr), len(points))))
    if batch is None:
        return [points]
    batch, sizes = sizes_of_clouds("clouds", "data.batch", batch, len(points))
    return list(points[torch.argsort(batch, stable=True)].split(sizes))


def _sizes_between(ptr: torch.Tensor, n: int) -> list[int]:
    """Return how many of `n` points lie between the places of `ptr`."""
    places = ptr.tolist() if ptr.ndim == 1 else []
    if places[:1] != [0] or places[-1] != n or sorted(places) != places or ptr.is_floating_point():
        came = f"is {places}" if places else f"has shape {tuple(ptr.shape)}"
        raise fail("clouds", "data.ptr", came, f"integers that rise from 0 to {n}, the number of points")
    return [end - start for start, end in itertools.pairwise(places)]


def with_points(x: Any) -> Any:
    """Return `x` with the points of each `Data` or `Batch` in its place."""
    if has_points(x):
        return points_of(x)
    if not isinstance(x, list | tuple) or not any(map(has_points, x)):
        return x
    return [cloud for item in x for cloud in (points_of(item) if has_points(item) else [item])]


def with_complexes(x: Any) -> Any:
    """Return a list with the tuple (points, edges, triangles) of each `Data` in its place."""
    if not isinstance(x, list | tuple) or not any(map(has_points, x)):
        return x
    return [_complex_of(item) if has_points(item) else item for item in x]


def _complex_of(data: Any) -> tuple[torch.Tensor, ...]:
    edges, faces = (plain_tensor(getattr(data, name, None)) for name in ("edge_index", "face"))
    if faces is None:
        return (data.pos,) if edges is None else (data.pos, edges)
    sides = torch.cat((faces[:2], faces[1:], faces[::2]), 1)  # meshes come without them
    return data.pos, sides if edges is None else torch.cat((edges, sides), 1), faces


def with_graphs(function: str, graphs: Any) -> Any:
    """Return a list with the pair (x, edge_index) of each `Data` in its place, whose x is one column."""
    if not isinstance(graphs, list | tuple) or not any(map(is_graph, graphs)):
        return graphs
    pairs = []
    for i, graph in enumerate(graphs):
        if not is_graph(graph):
            pairs.append(graph)
            continue
        values = getattr(graph, "x", None)
        if values is None or values.ndim > 2 or (values.ndim == 2 and values.shape[1] != 1):
            came = "has no 'x'" if values is None else f"has 'x' of shape {tuple(values.shape)}"
            wanted = "one value a vertex, (N,) or (N, 1), or (vertex_values, edge_index) in its place"
            raise fail(function, f"x[{i}]", came, wanted)
        pairs.append((values.reshape(-1), graph.edge_index))
    return pairs
