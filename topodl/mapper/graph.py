"""`MapperGraph`: nodes that are sets of samples, and edges between them, as tensors.

G. Singh, F. Mémoli, G. Carlsson, "Topological methods for the analysis of high dimensional data sets and 3D
object recognition", SPBG 2007.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NoReturn

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from topodl._checks import as_tensor, check_choice, check_number, fail, reject_non_finite
from topodl._host import host_array
from topodl._sample_indices import sample_indices
from topodl._segments import take_segments
from topodl.complexes._input import check_integers
from topodl.complexes._matrices import sparse_matrix
from topodl.complexes.cell_complexes import CellComplexes
from topodl.mapper import _interchange
from topodl.mapper._graph_input import (
    both_directions,
    check_members,
    checked_edges,
    given_weights,
    rows_of_nodes,
    with_edges_of,
)
from topodl.mapper._layout import graph_positions
from topodl.mapper._nerve import nerve_edges, nerve_simplices
from topodl.mapper._statistics import STATISTICS, Segments
from topodl.mapper.plot import plot_graph
from topodl.mapper.view import graph_picture, write_view

__all__ = ["MapperGraph"]

_NAME = "MapperGraph"
_TENSORS = ("node_ptr", "node_index", "edge_index", "edge_weight", "cover_index", "x")


class MapperGraph:
    """A graph whose nodes are sets of samples, as Mapper makes it; it never changes.

    Parameters
    ----------
    node_ptr : Tensor of shape (V + 1,), int64
        Node k holds the samples ``node_index[node_ptr[k] : node_ptr[k + 1]]``, at least one.
    node_index : Tensor of shape (M,), int64
        The samples of one node after the other, rising within each.
    n_samples : int
        Number N of samples; some may be in no node.
    edge_index : Tensor of shape (2, E), int64, optional
        Edges in any order, in one direction or both. None: an edge joins nodes with common samples.
    edge_weight : Tensor of shape (E,), optional
        A weight of each given edge, in place of the number of samples that its ends share, which may be 0.
    cover_index : Tensor of shape (V, q), int64, optional
        The element of the cover that each node comes from, along each of its axes.
    x : Tensor of shape (V, F), optional
        Features of the nodes; the one part that may carry a gradient.
    min_shared : int
        Common samples that nodes of a simplex have at least.
    max_dim : int
        The largest dimension of the simplices that `simplices` and `betti` know.

    Attributes
    ----------
    edge_index : Tensor of shape (2, 2E), int64
        Every edge in both directions, sorted, as PyTorch Geometric wants it.
    edge_weight : Tensor of shape (2E,)
        Shared samples of the ends, int64, or the weights that were given.

    Raises
    ------
    InputError
        If shapes disagree, a node is empty, holds a sample twice or out of order, or an edge is a loop, leads
        to no node or has two weights.
    TypeError
        If what has to be integers is none.

    Notes
    -----
    ``graph[k]`` are the samples of node k, ``len(graph)`` is the number of nodes.

    References
    ----------
    G. Singh, F. Mémoli, G. Carlsson. Topological methods for the analysis of high dimensional data sets and
    3D object recognition. Eurographics Symposium on Point-Based Graphics, 2007.

    Examples
    --------
    >>> import torch
    >>> from topodl.mapper import MapperGraph
    >>> graph = MapperGraph.from_nodes([[0, 1], [1, 2, 3], [3, 4], [5]], n_samples=7)
    >>> graph
    MapperGraph(4 nodes, 2 edges, 2 components; 6 of 7 samples; cpu)
    >>> graph.edge_index, graph.edge_weight
    (tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), tensor([1, 1, 1, 1]))
    >>> graph.aggregate(torch.tensor([0.0, 2.0, 4.0, 6.0, 8.0, 1.0, 9.0]))
    tensor([1., 4., 7., 1.])
    """

    node_ptr: torch.Tensor
    node_index: torch.Tensor
    n_samples: int
    edge_index: torch.Tensor
    edge_weight: torch.Tensor
    cover_index: torch.Tensor | None
    x: torch.Tensor | None
    min_shared: int
    max_dim: int
    has_given_edges: bool

    def __init__(
        self,
        node_ptr: torch.Tensor,
        node_index: torch.Tensor,
        n_samples: int,
        edge_index: torch.Tensor | None = None,
        edge_weight: torch.Tensor | None = None,
        *,
        cover_index: torch.Tensor | None = None,
        x: torch.Tensor | None = None,
        min_shared: int = 1,
        max_dim: int = 1,
    ) -> None:
        for name, number, low in (
            ("n_samples", n_samples, 0),
            ("min_shared", min_shared, 1),
            ("max_dim", max_dim, 1),
        ):
            check_number(_NAME, name, number, low=low, integer=True)
        node_ptr = check_integers(_NAME, "node_ptr", node_ptr)
        node_index = check_integers(_NAME, "node_index", node_index)
        ptr, members = host_array(_NAME, node_ptr), host_array(_NAME, node_index)
        check_members(ptr, members, int(n_samples))
        device = node_index.device
        if edge_index is None:
            if edge_weight is not None:
                raise fail(_NAME, "edge_weight", "is given without edge_index", "both, or neither")
            pairs, shared = nerve_edges(ptr, members, int(n_samples), int(min_shared))
        else:
            pairs, shared = checked_edges(ptr, members, edge_index)
        edges, weights = both_directions(pairs, torch.from_numpy(shared))
        if edge_index is not None and edge_weight is not None:
            weights = given_weights(edge_index, edge_weight, edges)
        vars(self).update(
            node_ptr=node_ptr.to(device),
            node_index=node_index,
            n_samples=int(n_samples),
            edge_index=torch.from_numpy(edges).to(device),
            edge_weight=weights.to(device),
            cover_index=rows_of_nodes("cover_index", cover_index, len(ptr) - 1, device),
            x=rows_of_nodes("x", x, len(ptr) - 1, device),
            min_shared=int(min_shared),
            max_dim=int(max_dim),
            has_given_edges=edge_index is not None,
        )

    @classmethod
    def from_nodes(cls, nodes: Sequence[Any], n_samples: int, **options: Any) -> MapperGraph:
        """Return the graph of some sets of samples.

        Parameters
        ----------
        nodes : sequence of sets or sequences of int
            The samples of each node, in any order.
        n_samples : int
            Number of samples.
        **options
            What the constructor takes besides: `edge_index`, `cover_index`, `x`, ….

        Returns
        -------
        MapperGraph

        Raises
        ------
        InputError
            As the constructor.
        """
        lists = [np.sort(np.fromiter(map(int, node), np.int64)) for node in nodes]
        ptr = np.concatenate([[0], np.cumsum([len(node) for node in lists], dtype=np.int64)]).astype(np.int64)
        members = np.concatenate([np.empty(0, np.int64), *lists])
        return cls(torch.from_numpy(ptr), torch.from_numpy(members), n_samples, **options)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{_NAME} never changes; {name} cannot be set")

    # Nodes

    def __len__(self) -> int:
        """Return the number of nodes."""
        return len(self.node_ptr) - 1

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self)

    @property
    def n_edges(self) -> int:
        """Number of edges, each counted once."""
        return self.edge_index.shape[1] // 2

    @property
    def device(self) -> torch.device:
        """Device of all tensors."""
        return self.node_index.device

    def __getitem__(self, k: int) -> torch.Tensor:
        """Return the samples (m,) of node `k`, rising."""
        if isinstance(k, bool) or not isinstance(k, int | np.integer):
            raise TypeError(f"{_NAME}: an index is a {type(k).__name__}; expected the number of a node")
        if not -len(self) <= k < len(self):
            raise IndexError(f"{_NAME}: node {k} is out of range; there are {len(self)} nodes")
        k = int(k) % len(self)
        return self.node_index[self.node_ptr[k] : self.node_ptr[k + 1]]

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(self.node_index.split(self.sizes.tolist()))

    @functools.cached_property
    def sizes(self) -> torch.Tensor:
        """(V,) numbers of samples of the nodes."""
        return self.node_ptr.diff()

    @functools.cached_property
    def component(self) -> torch.Tensor:
        """(V,) the component of each node; components are numbered by their first nodes."""
        source, target = host_array(_NAME, self.edge_index)
        ones = np.ones(len(source), np.int8)
        _, labels = connected_components(
            coo_array((ones, (source, target)), shape=(len(self), len(self))), directed=False
        )
        _, first, number = np.unique(labels, return_index=True, return_inverse=True)
        rank = np.empty(len(first), np.int64)
        rank[np.argsort(first)] = np.arange(len(first))
        return torch.from_numpy(rank[number]).to(self.device)

    @property
    def n_components(self) -> int:
        """Number of connected components."""
        return int(self.component.max()) + 1 if len(self) else 0

    @functools.cached_property
    def _segments(self) -> Segments:
        return Segments(self.node_ptr)

    def membership(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return the sparse matrix (V, N) that is 1 where a node holds a sample."""
        ones = torch.ones(len(self.node_index), dtype=torch.int8, device=self.device)
        return sparse_matrix(self.node_ptr, self.node_index, ones, self.n_samples, dtype)

    def select(self, nodes: int | slice | Sequence[int] | Sequence[bool] | torch.Tensor) -> torch.Tensor:
        """Return the samples that at least one of some nodes holds.

        Parameters
        ----------
        nodes : int, slice, sequence of int, or booleans (V,)
            The nodes.

        Returns
        -------
        Tensor of shape (m,), int64
            Samples, rising, each once.
        """
        places, _ = take_segments(self.node_ptr, self._chosen(nodes))
        return self.node_index[places].unique()

    def clouds(self, values: Any) -> tuple[torch.Tensor, ...]:
        """Return the rows of `values` that belong to the samples of each node; gradients pass.

        Parameters
        ----------
        values : Tensor or array of shape (N, …)
            A row for each sample, as its coordinates.

        Returns
        -------
        tuple of V Tensors of shape (m, …)
            What `topodl.rips_persistence` and the layers take as a batch of clouds.

        Raises
        ------
        InputError
            If there is not one row for each sample.
        """
        rows = self._of_samples("clouds", values)
        return rows.index_select(0, self.node_index).split(self.sizes.tolist())

    def aggregate(
        self,
        values: Any,
        statistic: Literal["mean", "median", "std", "min", "max", "count", "mode"] = "mean",
    ) -> torch.Tensor:
        """Return a statistic of the values of the samples of each node; gradients pass.

        Parameters
        ----------
        values : Tensor or array of shape (N, …)
            Values of the samples, on any device.
        statistic : {"mean", "median", "std", "min", "max", "count", "mode"}
            The median of an even number of values is the mean of the two in the middle, the standard
            deviation that of the population; "count" is the number of samples whose value is not 0, as int64;
            "mode" is the most frequent value, of several the least.

        Returns
        -------
        Tensor of shape (V, …)

        Raises
        ------
        InputError
            If there is not one row for each sample, or a value is NaN or infinite.
        """
        name = f"{_NAME}.aggregate"
        check_choice(name, "statistic", statistic, tuple(STATISTICS))
        rows = self._of_samples("aggregate", values)
        if rows.is_floating_point():
            reject_non_finite(name, "values", rows)
        is_mask = rows.dtype == torch.bool
        rows = rows.to(torch.uint8) if is_mask else rows
        flat = rows.index_select(0, self.node_index).reshape(len(self.node_index), -1)
        found = STATISTICS[statistic](flat, self._segments)
        if is_mask and statistic in ("min", "max", "mode"):
            found = found.bool()
        return found.to(
            rows.dtype if rows.is_floating_point() and statistic != "count" else found.dtype
        ).view(len(self), *rows.shape[1:])

    def _of_samples(self, method: str, values: Any) -> torch.Tensor:
        rows = as_tensor(values).to(self.device)
        if rows.ndim == 0 or len(rows) != self.n_samples:
            came = f"has shape {tuple(rows.shape)}"
            raise fail(f"{_NAME}.{method}", "values", came, f"a row for each of {self.n_samples} samples")
        return rows

    def _chosen(self, nodes: Any) -> torch.Tensor:
        which = sample_indices(_NAME, nodes, len(self), self.device)
        return torch.arange(len(self), device=self.device)[which] if isinstance(which, slice) else which

    # Simplices

    def simplices(self, dim: int) -> torch.Tensor:
        """Return the simplices of dimension `dim`: sets of nodes with common samples.

        Parameters
        ----------
        dim : int
            From 0 to `max_dim`.

        Returns
        -------
        Tensor of shape (S, dim + 1), int64
            Nodes, rising; rows in lexicographic order. Those of dimension 1 are the edges, and all edges of a
            larger simplex are edges of the graph.

        Raises
        ------
        InputError
            If there is no such dimension.
        MemoryLimitError
            If samples lie in so many nodes that their sets cannot be listed.
        """
        if isinstance(dim, bool) or not isinstance(dim, int | np.integer) or not 0 <= dim <= self.max_dim:
            expected = f"a dimension from 0 to max_dim = {self.max_dim}"
            raise fail(f"{_NAME}.simplices", "dim", f"is {dim!r}", expected)
        if dim == 0:
            return torch.arange(len(self), device=self.device)[:, None]
        if dim == 1:
            return self.edge_index[:, self.edge_index[0] < self.edge_index[1]].T.contiguous()
        ptr, members = host_array(_NAME, self.node_ptr), host_array(_NAME, self.node_index)
        rows = nerve_simplices(f"{_NAME}.simplices", ptr, members, self.n_samples, int(dim), self.min_shared)
        if self.has_given_edges:
            rows = with_edges_of(rows, host_array(_NAME, self.edge_index), len(self))
        return torch.from_numpy(rows).to(self.device)

    def to_complexes(self) -> CellComplexes:
        """Return the simplices up to `max_dim` as a batch of one complex, for its layers and matrices."""
        tables = [self.simplices(k) for k in range(1, self.max_dim + 1)]
        return CellComplexes([len(self)], tables)

    def betti(self) -> tuple[int, ...]:
        """Return the numbers of components, cycles, … of the simplices up to `max_dim`, one a dimension.

        With ``max_dim=1`` they are those of the graph. In the dimension `max_dim` every cycle counts, as
        larger simplices that would fill it are not there.

        Returns
        -------
        tuple of `max_dim` + 1 int
        """
        if not len(self):
            return (0,) * (self.max_dim + 1)
        if self.max_dim == 1:
            return self.n_components, self.n_edges - len(self) + self.n_components
        return tuple(self.to_complexes().betti_numbers()[0].tolist())

    # Parts, places

    def subgraph(self, nodes: Any = None, *, min_size: int = 1) -> MapperGraph:
        """Return the graph of some of the nodes, in their order, with the edges between them.

        Parameters
        ----------
        nodes : int, slice, sequence of int, or booleans (V,), optional
            The nodes that stay. None: all.
        min_size : int
            Samples that a node has at least.

        Returns
        -------
        MapperGraph
            Of the same samples.

        Raises
        ------
        InputError
            If `min_size` is no integer of at least 1.
        """
        check_number(f"{_NAME}.subgraph", "min_size", min_size, low=1, integer=True)
        stays = self.sizes >= min_size
        if nodes is not None:
            chosen = torch.zeros_like(stays)
            chosen[self._chosen(nodes)] = True
            stays = stays & chosen
        kept = stays.nonzero()[:, 0]
        places, _ = take_segments(self.node_ptr, kept)
        number = stays.long().cumsum(0) - 1
        between = stays[self.edge_index].all(0)
        return self._with(
            node_ptr=torch.nn.functional.pad(self.sizes[kept].cumsum(0), (1, 0)),
            node_index=self.node_index[places],
            edge_index=number[self.edge_index[:, between]],
            edge_weight=self.edge_weight[between],
            cover_index=None if self.cover_index is None else self.cover_index[kept],
            x=None if self.x is None else self.x[kept],
        )

    def with_x(self, x: torch.Tensor | None) -> MapperGraph:
        """Return the graph with other features of its nodes.

        Parameters
        ----------
        x : Tensor of shape (V, F), or None
            The features.

        Returns
        -------
        MapperGraph

        Raises
        ------
        InputError
            If `x` has not one row for each node.
        """
        return self._with(x=rows_of_nodes("x", x, len(self), self.device))

    def positions(self) -> torch.Tensor:
        """Return where the nodes stand in a drawing, (V, 2), float64, in lengths of an edge.

        Each component is laid out so that distances are about the numbers of steps between its nodes, and
        lies along its longer axis; components are packed side by side. The result is always the same.
        """
        edges, component = host_array(_NAME, self.edge_index), host_array(_NAME, self.component)
        return torch.from_numpy(graph_positions(edges, component)).to(self.device)

    plot = plot_graph
    view = write_view
    _repr_html_ = graph_picture

    def to(self, device: Any) -> MapperGraph:
        """Return the graph on `device`; as `torch.Tensor.to`."""
        tensors = {name: getattr(self, name) for name in _TENSORS}
        return self._with(**{name: t if t is None else t.to(device) for name, t in tensors.items()})

    def _with(self, **fields: Any) -> MapperGraph:
        """Return the graph with other fields, unchecked, and nothing of what is derived from them."""
        new = object.__new__(type(self))
        vars(new).update(self._fields() | fields)
        return new

    def _fields(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name in (*_TENSORS, "n_samples", "min_shared", "max_dim", "has_given_edges")
        }

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickles and copies, without the graph of the gradient and what is derived."""
        return self._fields() | {"x": None if self.x is None else self.x.detach()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    # Other libraries

    def to_dict(self) -> dict[str, Any]:
        """Return the graph as lists and numbers, as JSON writes them.

        Returns
        -------
        dict
            ``n_samples``; ``nodes``, each with its ``members`` and, where there are any, ``cover`` and ``x``;
            ``edges``, each with its ``source``, ``target`` and ``weight``.
        """
        return _interchange.to_dict(self)

    def to_networkx(self) -> Any:
        """Return a `networkx.Graph`: nodes have ``members``, ``size``, ``cover``, ``x``, edges ``weight``."""
        return _interchange.to_networkx(self)

    @classmethod
    def from_networkx(cls, graph: Any, n_samples: int | None = None, members: str = "members") -> MapperGraph:
        """Return the graph of a `networkx.Graph` whose nodes have lists of samples.

        Parameters
        ----------
        graph : networkx.Graph
            With `members` at each node; ``cover``, ``x`` and the ``weight`` of edges are read where all have
            them. Nodes are numbered in the graph's order.
        n_samples : int, optional
            Number of samples; None: what ``graph.graph["n_samples"]`` says, as `to_networkx` writes it.
        members : str
            The attribute that holds the samples of a node: "ids" in graphs of tda-mapper.

        Returns
        -------
        MapperGraph

        Raises
        ------
        InputError
            If a node has no members, or the number of samples is not known.
        """
        return _interchange.from_networkx(cls, graph, n_samples, members)

    @classmethod
    def from_kmapper(cls, graph: dict[str, Any], n_samples: int) -> MapperGraph:
        """Return the graph that KeplerMapper's `map` gives; its links become the edges.

        Parameters
        ----------
        graph : dict
            With ``nodes``, the samples of each by its name, and ``links``.
        n_samples : int
            Number of samples, which the dict does not tell.

        Returns
        -------
        MapperGraph
            With the number of the cube in `cover_index`, where all names tell it.

        Raises
        ------
        InputError
            If `graph` is no such dict.
        """
        return _interchange.from_kmapper(cls, graph, n_samples)

    def to_igraph(self) -> Any:
        """Return an `igraph.Graph`: nodes have ``members``, ``size``, ``cover``, ``x``, edges ``weight``."""
        return _interchange.to_igraph(self)

    def to_pyg(self) -> Any:
        """Return a `torch_geometric.data.Data` with ``x``, ``edge_index``, ``edge_weight`` and ``sizes``."""
        return _interchange.to_pyg(self)

    def __repr__(self) -> str:
        covered = len(self.node_index.unique())
        features = "" if self.x is None else f", {self.x.shape[1]} features"
        return (
            f"{_NAME}({_count(len(self), 'node')}, {_count(self.n_edges, 'edge')}, "
            f"{_count(self.n_components, 'component')}{features}; "
            f"{covered} of {self.n_samples} samples; {self.device})"
        )


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
