"""Point clouds, graphs and meshes in all the forms that the Euler layer takes, made into one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from topodl._checks import check_dense, fail, plain_tensor, reject_non_finite, reject_tracing
from topodl._host import reject_mapped, whole_values
from topodl._pyg import with_complexes
from topodl._segments import offsets_of
from topodl.complexes.cell_complexes import CellComplexes
from topodl.layers._euler import Cells

__all__ = ["Complexes", "read_complexes"]


class Complexes:
    """Vertices (N, d) of a batch, sample after sample, and the cells of each dimension that lie on them."""

    def __init__(self, x: torch.Tensor, batch: torch.Tensor, n_samples: int) -> None:
        self.x, self.batch, self.n_samples = x, batch, n_samples
        self.offsets = offsets_of(batch, n_samples)
        self.tables: list[tuple[int, torch.Tensor]] = []  # dimension, and vertices of the cells

    def add(self, name: str, argument: str, simplices: torch.Tensor) -> None:
        """Take simplices (k + 1, S), each once whatever the order of its vertices, none degenerate."""
        if simplices.ndim != 2 or simplices.is_floating_point() or len(simplices) < 2:
            came = f"has shape {tuple(simplices.shape)} and dtype {simplices.dtype}"
            raise fail(name, argument, came, "vertex indices of shape (k + 1, S) with k ≥ 1")
        vertices = simplices.to(torch.int64).sort(0).values
        n = len(self.x)
        _check_indices(name, argument, vertices, 0, n)
        proper = (vertices[1:] != vertices[:-1]).all(0)
        vertices = vertices if bool(proper.all()) else vertices[:, proper]
        across = self.batch[vertices[0]] != self.batch[vertices[-1]]
        if bool(across.any()):
            came = f"joins vertices {vertices[:, across][:, 0].tolist()} of different samples"
            raise fail(name, argument, came, "simplices within samples")
        self.tables.append((len(vertices) - 1, _unique_columns(vertices, n).T.contiguous()))

    def cells(self, weights: torch.Tensor | None) -> list[Cells]:
        """Return the cells, vertices first; a cell weighs as much as its heaviest vertex."""
        everything = [(0, torch.arange(self.x.shape[0], device=self.x.device)[:, None]), *self.tables]
        out = []
        for dimension, vertices in everything:
            sign = -1.0 if dimension % 2 else 1.0
            if weights is None:
                weight = self.x.new_full((vertices.shape[0],), sign)
            else:
                weight = sign * weights[vertices].amax(1)
            offsets = offsets_of(self.batch[vertices[:, 0]], self.n_samples)
            out.append(Cells(vertices, offsets, weight))
        return out


def _check_indices(
    name: str, argument: str, indices: torch.Tensor, low: int, n: int, n_samples: int | None = None
) -> None:
    """Raise unless `indices` (k + 1, S) are vertices; of `n_samples` they may be (n_samples, k + 1, S)."""
    if torch.compiler.is_compiling():  # there are no values to look at
        return
    check_dense(name, argument, indices)
    padded = n_samples is not None and indices.ndim == 3 and len(indices) == n_samples
    if indices.ndim != 2 and not padded:
        expected = "(k + 1, S)" if n_samples is None else f"(k + 1, S) or ({n_samples}, k + 1, S)"
        raise fail(name, argument, f"has shape {tuple(indices.shape)}", f"vertices of simplices, {expected}")
    if indices.numel() and (int(indices.min()) < low or int(indices.max()) >= n):
        came = f"has vertices {int(indices.min())} … {int(indices.max())}"
        raise fail(name, argument, came, f"indices from {low} to {n - 1}")


def _unique_columns(vertices: torch.Tensor, n: int) -> torch.Tensor:
    """Return each column of sorted vertices once, ordered by its vertices and hence by its sample."""
    if n ** len(vertices) < 2**62:
        key = vertices[0]
        for row in vertices[1:]:
            key = key * n + row
        key = torch.unique(key)
        rows = []
        for _ in range(len(vertices)):
            rows.append(key % n)
            key = torch.div(key, n, rounding_mode="floor")
        return torch.stack(rows[::-1])
    return torch.unique(vertices, dim=1)


def read_complexes(
    name: str,
    x: Any,
    simplices: Sequence[torch.Tensor] | torch.Tensor | CellComplexes,
    batch: torch.Tensor | None,
    mask: torch.Tensor | None,
) -> tuple[Complexes, torch.Tensor | None]:
    """Return the complexes, and the index (N,) of each of their vertices among those given; None: its own."""
    reject_tracing(name)
    if isinstance(simplices, CellComplexes):
        return _read_vertices(name, x, simplices, batch, mask)
    given: list[Any] = _plain([simplices] if isinstance(simplices, torch.Tensor) else list(simplices))
    x, batch, mask = _plain(with_complexes(x)), plain_tensor(batch), plain_tensor(mask)
    for argument, value in {"batch": batch, "mask": mask}.items():
        reject_mapped(name, argument, value)
    for k, item in enumerate(given):
        reject_mapped(name, f"simplices[{k}]", item)
    if mask is not None and getattr(x, "ndim", 0) != 3:
        raise fail(name, "mask", "is given without padding", "it only beside a padded x (B, N, d)")
    if batch is not None and getattr(x, "ndim", 0) != 2:
        raise fail(name, "batch", "is given", "it only beside x (N, d)")
    if isinstance(x, list | tuple):
        return _read_list(name, x, given)
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name}: x is a {type(x).__name__}; expected a tensor or a list of tensors")
    x = check_dense(name, "x", x)
    if not x.is_floating_point():
        raise fail(name, "x", f"has dtype {x.dtype}", "a floating dtype")
    if x.ndim not in (2, 3) or x.shape[-1] == 0:
        came = f"has shape {tuple(x.shape)}"
        raise fail(name, "x", came, "(B, N, d), (N, d) with a batch vector, or a list of (N_i, d)")
    if x.ndim == 3:
        return _read_padded(name, x, given, mask)
    if batch is None:
        batch = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    integers = not batch.is_floating_point() and not batch.is_complex() and batch.dtype != torch.bool
    if batch.shape != x.shape[:1] or not integers or (len(batch) and int(batch.min()) < 0):
        came = f"has shape {tuple(batch.shape)} and dtype {batch.dtype}"
        raise fail(name, "batch", came, f"indices of samples, from 0 on, of shape ({len(x)},)")
    batch = batch.to(torch.int64)
    n_samples = int(batch.max()) + 1 if len(batch) else 1
    order = torch.sort(batch, stable=True).indices
    return _gathered(name, x, order, batch[order], n_samples, given), order


def _read_vertices(
    name: str, x: Any, cells: CellComplexes, batch: torch.Tensor | None, mask: torch.Tensor | None
) -> tuple[Complexes, torch.Tensor | None]:
    """Return the vertices of `cells`, in whatever form they come, with the cells on them."""
    if batch is not None:
        raise fail(name, "batch", "is given beside CellComplexes", "none: they know their samples")
    sizes = cells.offsets(0).diff().tolist()
    if isinstance(x, torch.Tensor) and x.ndim == 2 and len(x) == sum(sizes):
        x = list(x.split(sizes))
    complexes, order = read_complexes(name, x, (), None, mask)
    if complexes.tables:
        raise fail(name, "x", "has simplices of its own beside CellComplexes", "the vertices alone")
    came = complexes.offsets.diff().tolist()
    if came != sizes:
        raise fail(name, "x", f"has samples of {came} vertices", f"those of the complexes, {sizes}")
    if complexes.x.device != cells.device:
        raise fail(name, "x", f"is on {complexes.x.device}", f"{cells.device}, as the complexes")
    for k in range(1, cells.dim + 1):
        table = cells.vertices(k).table(fill=-1)
        # some rings are shorter than others: a vertex may be there twice
        complexes.tables.append((k, torch.where(table < 0, table[:, :1], table)))
    return complexes, order


def _plain(value: Any) -> Any:
    """Return a tensor, or what lists and tuples of them hold, without what subclasses add."""
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value)
    return plain_tensor(value)


def _gathered(
    name: str,
    x: torch.Tensor,
    order: torch.Tensor | None,
    batch: torch.Tensor,
    n_samples: int,
    simplices: list[Any],
) -> Complexes:
    """Return the complexes on the vertices x[order]; simplices still count the vertices of x."""
    taken = x if order is None else x[order]
    if not torch.compiler.is_compiling() and not math.isfinite(float(whole_values(taken).sum())):
        for sample in range(n_samples):  # only to name the sample in the message
            reject_non_finite(name, f"x of sample {sample}", taken[batch == sample])
    complexes = Complexes(taken, batch, n_samples)
    place = None
    if order is not None and simplices:
        place = order.new_full((len(x) + 1,), -1)
        place[order] = torch.arange(len(order), device=order.device)
    for k, item in enumerate(simplices, 1):
        if not item.is_floating_point():
            _check_indices(name, f"simplices[{k - 1}]", item, 0, len(x))
        moved = item if item.is_floating_point() or place is None else place[item.to(torch.int64)]
        complexes.add(name, f"simplices[{k - 1}]", moved)
    return complexes


def _read_padded(
    name: str, x: torch.Tensor, simplices: list[Any], mask: torch.Tensor | None
) -> tuple[Complexes, torch.Tensor | None]:
    n_samples, n, _ = x.shape
    if mask is not None and (
        check_dense(name, "mask", mask).shape != x.shape[:2] or mask.dtype != torch.bool
    ):
        came = f"has shape {tuple(mask.shape)} and dtype {mask.dtype}"
        raise fail(name, "mask", came, f"booleans of shape {tuple(x.shape[:2])}")
    start = torch.arange(n_samples, device=x.device) * n
    flat = []
    for k, item in enumerate(simplices):
        _check_indices(name, f"simplices[{k}]", item, -1, n, n_samples)
        if item.ndim == 2:  # the same complex for every sample
            item = item.expand(n_samples, *item.shape)
        real = (item >= 0).all(1)
        moved = (item + start.view(-1, 1, 1)).transpose(1, 2)[real]
        flat.append(moved.T)
    if mask is None:
        order, batch = None, torch.arange(n_samples, device=x.device).repeat_interleave(n)
    else:
        order = mask.flatten().nonzero()[:, 0]
        batch = torch.div(order, n, rounding_mode="floor")
    return _gathered(name, x.flatten(0, 1), order, batch, n_samples, flat), order


def _read_list(name: str, x: Sequence[Any], simplices: list[Any]) -> tuple[Complexes, torch.Tensor | None]:
    """Read a list of clouds, or of (cloud, edges, faces, …)."""
    if simplices:
        raise fail(name, "simplices", "is given beside a list", "them in the list: (cloud, edges, faces, …)")
    items = [item if isinstance(item, list | tuple) else (item,) for item in x]
    if not items:
        raise fail(name, "x", "is an empty list", "at least one cloud")
    clouds = [item[0] for item in items]
    for i, cloud in enumerate(clouds):
        if not isinstance(cloud, torch.Tensor) or cloud.ndim != 2 or cloud.shape[1] != clouds[0].shape[-1]:
            came = (
                f"has shape {tuple(cloud.shape)}"
                if hasattr(cloud, "shape")
                else f"is a {type(cloud).__name__}"
            )
            raise fail(name, f"x[{i}]", came, "a tensor (N_i, d) with the same d in all samples")
        check_dense(name, f"x[{i}]", cloud)
    lengths = torch.tensor([len(cloud) for cloud in clouds], device=clouds[0].device)
    starts = lengths.cumsum(0) - lengths
    joined = []
    for i, (cloud, *own) in enumerate(items):
        for k, part in enumerate(own, 1):  # what is out of range would be a vertex of the next sample
            _check_indices(name, f"x[{i}][{k}]", part, 0, len(cloud))
    for k in range(1, max(map(len, items))):
        shifted = [
            item[k] + start for item, start in zip(items, starts.tolist(), strict=True) if len(item) > k
        ]
        joined.append(torch.cat(shifted, 1))
    flat = torch.cat(clouds)
    return _gathered(name, flat, None, torch.repeat_interleave(lengths), len(items), joined), None
