"""PyTorch Geometric: clouds of a batch, and a transform that adds topological features to each `Data`.

Nothing of PyTorch Geometric is imported: attributes by its names are all that is looked at.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch

from topodl._checks import check_tensor, fail
from topodl._pyg import points_of

__all__ = ["AddFeatures", "clouds", "degree_graph"]


def clouds(data: Any) -> list[torch.Tensor]:
    """Return the points of a `Data`, of each graph of a `Batch`, or of each of a list of `Data`.

    Parameters
    ----------
    data : Data, Batch, or sequence of Data
        With the points in ``pos``.

    Returns
    -------
    list of Tensor of shape (N_i, d)
        What `topodl.rips_persistence` and `topodl.alpha_persistence` take; gradients reach ``pos``.

    Raises
    ------
    InputError
        If there is no ``pos``.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> batch = SimpleNamespace(pos=torch.rand(5, 2), ptr=torch.tensor([0, 2, 5]))
    >>> [len(points) for points in clouds(batch)]
    [2, 3]
    """
    if isinstance(data, Sequence) and not isinstance(data, str):
        return [points for each in data for points in clouds(each)]
    _attribute("clouds", data, "pos")
    return points_of(data)


def degree_graph(data: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return graphs with their vertices' degrees as values, as `topodl.layers.GraphPersistence` takes them.

    Parameters
    ----------
    data : Data, Batch, or sequence of Data
        With ``edge_index``, in both directions.

    Returns
    -------
    list of (Tensor of shape (N_i,), Tensor of shape (2, E_i))
        One pair for each graph.

    Raises
    ------
    InputError
        If there is no ``edge_index``.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> path = SimpleNamespace(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
    >>> degree_graph(path)[0][0]
    tensor([1., 2., 1.])
    """
    if isinstance(data, Sequence) and not isinstance(data, str):
        return [graph for each in data for graph in degree_graph(each)]
    edges = _attribute("degree_graph", data, "edge_index")
    degrees = torch.bincount(edges[0], minlength=int(data.num_nodes)).to(torch.float32)
    graph_of = getattr(data, "batch", None)
    if graph_of is None:
        return [(degrees, edges)]
    n_graphs = getattr(data, "num_graphs", int(graph_of.max()) + 1 if len(graph_of) else 0)
    order = torch.argsort(graph_of, stable=True)
    sizes = torch.bincount(graph_of, minlength=n_graphs)
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order), device=order.device) - (sizes.cumsum(0) - sizes)[graph_of[order]]
    values = degrees[order].split(sizes.tolist())
    return [(own, places[edges[:, graph_of[edges[0]] == k]]) for k, own in enumerate(values)]


class AddFeatures:
    """A transform of PyTorch Geometric: the features of each `Data` become one row of an attribute.

    A loader stacks the rows, so that a batch has a table (B, F) beside its graphs.

    Parameters
    ----------
    layer : callable
        From a list of one sample to a tensor (1, …), such as a `torch.nn.Sequential` of a persistence layer
        and a vectorisation whose ranges are given or fitted.
    reads : callable, default=clouds
        From a `Data` to that list: `clouds`, `degree_graph`, or a function of your own.
    name : str, default="topology"
        The attribute.

    Raises
    ------
    InputError
        When called, if the layer gives anything but one row.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from topodl.layers import PersistenceStatistics, RipsPersistence
    >>> layer = torch.nn.Sequential(RipsPersistence(dims=0), PersistenceStatistics())
    >>> data = SimpleNamespace(pos=torch.rand(6, 2))
    >>> AddFeatures(layer)(data).topology.shape[0]
    1
    """

    def __init__(
        self,
        layer: Callable[[Any], torch.Tensor],
        reads: Callable[[Any], list[Any]] = clouds,
        name: str = "topology",
    ) -> None:
        self.layer, self.reads, self.name = layer, reads, name

    def __call__(self, data: Any) -> Any:
        """Return a copy of `data` with the row."""
        row = self.layer(self.reads(data))
        if not isinstance(row, torch.Tensor) or row.ndim < 2 or len(row) != 1:
            shape = tuple(row.shape) if isinstance(row, torch.Tensor) else type(row).__name__
            raise fail("AddFeatures", "layer", f"gave {shape} for one sample", "a tensor (1, …)")
        changed = copy.copy(data)
        setattr(changed, self.name, row.detach().flatten(1))
        return changed

    def __repr__(self) -> str:
        """Return it as PyTorch Geometric prints its transforms."""
        return f"{type(self).__name__}({self.name!r})"


def _attribute(function: str, data: Any, name: str) -> torch.Tensor:
    value = getattr(data, name, None)
    if value is None:
        raise fail(function, "data", f"is a {type(data).__name__} without {name!r}", f"a tensor in {name!r}")
    return check_tensor(function, f"data.{name}", value)
