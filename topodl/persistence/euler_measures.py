"""Signed measures of the Euler characteristic of whatever has cells with two values: no pairing is needed."""

from __future__ import annotations

import numpy as np
import torch

from topodl._checks import fail
from topodl._host import host_arrays
from topodl._precision import at_least_single
from topodl.complexes._pairing import reject_early_cells
from topodl.complexes.cell_complexes import CellComplexes
from topodl.kernels.graphs.signed_points import EULER
from topodl.persistence.graph_measures import measure_graphs
from topodl.persistence.image_measures import Construction, measure_images
from topodl.signed_measures import SignedMeasures

__all__ = ["euler_signed_measure"]

_NAME = "euler_signed_measure"


def euler_signed_measure(
    x: torch.Tensor | CellComplexes,
    edge_index: torch.Tensor | None = None,
    edge_values: torch.Tensor | None = None,
    batch: torch.Tensor | None = None,
    n_graphs: int | None = None,
    construction: Construction = "vertex",
) -> SignedMeasures:
    """Compute the signed measure of the Euler characteristic of each image, graph or complex of a batch.

    Each cell counts 1 or −1, by its dimension, from its two values on: the weights of all points p ≤ (s, t)
    add up to the Euler characteristic of the cells with values ≤ (s, t). It takes no pairing, whatever the
    dimension of the cells.

    Parameters
    ----------
    x : Tensor (B, 2, H, W) or (B, 2, D, H, W), CellComplexes, or Tensor (N, 2) beside `edge_index`
        Images or volumes of two channels; complexes with two values a cell, where no cell comes before its
        faces; or values of the vertices of graphs. Both parameters rise; what is +inf in one is never there.
    edge_index : Tensor of shape (2, E), integers, optional
        Edges of the graphs, as `graph_signed_measure` takes them.
    edge_values : Tensor of shape (E, 2), optional
        Values of these edges; by default the larger ones of their ends.
    batch : Tensor of shape (N,), integers, optional
        The graph of each vertex. One graph by default.
    n_graphs : int, optional
        Number of graphs, where the last ones may have no vertex.
    construction : {"vertex", "cell"}
        Of images, as `image_signed_measure` has it.

    Returns
    -------
    SignedMeasures
        With the dimension −1. The cells of images are pixels, those of graphs vertices (v, -1) and edges
        (u, v), as in the measures of homology; those of complexes are (dimension, index), one for both.

    Raises
    ------
    InputError
        If a value is NaN, shapes do not agree, or a cell enters before a face of its own.
    TypeError
        If `x` is neither a real tensor nor `CellComplexes`.

    References
    ----------
    O. Hacquard, V. Lebovici, "Euler characteristic tools for topological data analysis", Journal of Machine
    Learning Research 25, 2024 (profiles).

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> triangle = topodl.complexes.clique_complexes(torch.tensor([[0, 0, 1], [1, 2, 2]]))
    >>> filtered = triangle.with_values(torch.tensor([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]))
    >>> m = topodl.euler_signed_measure(filtered)
    >>> m.weights.tolist(), m.total_mass().tolist()
    ([1, 1, 1, -1, -1, -1, 1], [[1]])
    """
    if isinstance(x, CellComplexes):
        return _of_complexes(x)
    if edge_index is None:
        given = {"edge_values": edge_values, "batch": batch, "n_graphs": n_graphs}
        for argument in (name for name, value in given.items() if value is not None):
            raise fail(_NAME, argument, "is given", "edge_index beside it, for graphs alone")
        return measure_images(_NAME, x, [EULER], construction)
    return measure_graphs(_NAME, x, edge_index, edge_values, batch, n_graphs, [EULER])


def _of_complexes(complexes: CellComplexes) -> SignedMeasures:
    values = _values_of(complexes)
    samples = [complexes.samples(k) for k in range(complexes.dim + 1)]
    signs = [torch.full_like(part, (-1) ** k) for k, part in enumerate(samples)]
    names = [
        torch.stack((torch.full_like(part, k), torch.arange(len(part), device=part.device)), 1)
        for k, part in enumerate(samples)
    ]
    points, sample = torch.cat(values), torch.cat(samples)
    order = torch.argsort(sample, stable=True)
    order = order[(points.detach()[order] < torch.inf).all(1)]
    cells = torch.cat(names)[order]
    integers = {
        "weights": torch.cat(signs)[order],
        "dims": torch.full_like(order, EULER),
        "samples": sample[order],
        "cells": torch.stack((cells, cells), 1),
    }
    return SignedMeasures._from((points[order],), complexes.n_samples, (EULER,), integers.__getitem__)


def _values_of(complexes: CellComplexes) -> list[torch.Tensor]:
    """Return the values (S_k, 2) of the cells of each dimension, or say what is there in their place."""
    if not complexes.has_values or complexes.values(0).shape[1:] != (2,):
        shape = tuple(complexes.values(0).shape) if complexes.has_values else None
        came = "have no values" if shape is None else f"have values of shape {shape}"
        raise fail(_NAME, "x", came, "two values a cell, by CellComplexes.with_values")
    values = [complexes.values(k) for k in range(complexes.dim + 1)]
    pairs = host_arrays(_NAME, [at_least_single(part) for part in values])
    columns = [[np.ascontiguousarray(part[:, parameter]) for part in pairs] for parameter in (0, 1)]
    reject_early_cells(_NAME, complexes, *columns)
    return values
