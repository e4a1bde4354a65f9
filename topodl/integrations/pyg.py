"""PyTorch Geometric: clouds of a batch, and transforms that add topological features or cells to each `Data`.

Nothing of PyTorch Geometric is imported: attributes by its names are all that is looked at.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch

from topodl._checks import check_dense, fail
from topodl._docs import shares_documentation
from topodl._graph_input import read_graphs
from topodl._pyg import points_of
from topodl.complexes.cell_complexes import CellComplexes
from topodl.complexes.cliques import MAX_CELLS, clique_complexes
from topodl.complexes.features import lift_features
from topodl.complexes.rings import ring_complexes
from topodl.errors import MissingDependencyError

__all__ = [
    "AddFeatures",
    "CliqueLift",
    "RingLift",
    "cell_tensors",
    "clouds",
    "complexes_of",
    "degree_graph",
]


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
    edges = _attribute("degree_graph", data, "edge_index").long()
    read_graphs("degree_graph", edges, getattr(data, "batch", None), int(data.num_nodes))
    degrees = torch.bincount(edges[0], minlength=int(data.num_nodes)).to(torch.float32)
    graph_of = getattr(data, "batch", None)
    if graph_of is None:
        return [(degrees, edges)]
    graph_of = graph_of.long()
    n_graphs = getattr(data, "num_graphs", int(graph_of.max()) + 1 if len(graph_of) else 0)
    order = torch.argsort(graph_of, stable=True)
    sizes = torch.bincount(graph_of, minlength=n_graphs)
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order), device=order.device) - (sizes.cumsum(0) - sizes)[graph_of[order]]
    values = degrees[order].split(sizes.tolist())
    of_edges = graph_of[edges[0]]
    by_graph = places[edges[:, torch.argsort(of_edges, stable=True)]]
    counts = torch.bincount(of_edges, minlength=n_graphs).tolist()
    return list(zip(values, by_graph.split(counts, dim=1), strict=True))


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


class CliqueLift:
    """A transform of PyTorch Geometric: the clique complex of each graph becomes an attribute of its `Data`.

    Parameters
    ----------
    max_dim : int
        The largest dimension of a simplex.
    features : {"sum", "mean", "concatenate", "projection"}, optional
        How features of cells are made of ``x``, as `topodl.complexes.lift_features` says; they become
        attributes ``x_1``, ``x_2``, …. By default there are none.
    max_cells : int
        The most cells of a graph.

    Raises
    ------
    InputError
        When called, if there is no ``edge_index``, or no ``x`` for features, or there are too many cells.

    Notes
    -----
    The complex is the attribute ``complexes``, a batch of one. A loader makes a list of those of a batch,
    which `complexes_of` joins. PyTorch Geometric itself joins ``x_1``, … along the cells.

    References
    ----------
    C. Bodnar et al., "Weisfeiler and Lehman go topological: message passing simplicial networks", ICML 2021.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from topodl.integrations.pyg import CliqueLift
    >>> data = SimpleNamespace(edge_index=torch.tensor([[0, 0, 1], [1, 2, 2]]), num_nodes=3)
    >>> CliqueLift()(data).complexes
    CellComplexes(1 sample; 3 vertices, 3 edges, 1 triangle; cpu)
    """

    def __init__(
        self,
        max_dim: int = 2,
        features: Literal["sum", "mean", "concatenate", "projection"] | None = None,
        max_cells: int = MAX_CELLS,
    ) -> None:
        self.max_dim, self.features, self.max_cells = max_dim, features, max_cells

    def __call__(self, data: Any) -> Any:
        """Return a copy of `data` with the complex."""
        edges, n = _attribute("CliqueLift", data, "edge_index"), int(data.num_nodes)
        complexes = clique_complexes(edges, n_vertices=n, max_dim=self.max_dim, max_cells=self.max_cells)
        return _with_complexes("CliqueLift", data, complexes, self.features)

    def __repr__(self) -> str:
        """Return it as PyTorch Geometric prints its transforms."""
        return f"{type(self).__name__}(max_dim={self.max_dim}, features={self.features!r})"


@shares_documentation(CliqueLift, sections=("Raises", "Notes"))
class RingLift:
    """A transform of PyTorch Geometric: each graph with its rings becomes an attribute of its `Data`.

    Parameters
    ----------
    max_length : int
        The most vertices of a ring.
    kind : {"chordless", "relevant"}
        Which cycles are rings, as `topodl.complexes.ring_complexes` says.
    features : {"sum", "mean", "projection"}, optional
        How features of cells are made of ``x``, as `topodl.complexes.lift_features` says; they become
        attributes ``x_1`` and ``x_2``. By default there are none.

    References
    ----------
    C. Bodnar et al., "Weisfeiler and Lehman go cellular: CW networks", NeurIPS 2021.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from topodl.integrations.pyg import RingLift
    >>> square = torch.tensor([[0, 1, 2, 0], [1, 2, 3, 3]])
    >>> RingLift()(SimpleNamespace(edge_index=square, num_nodes=4)).complexes
    CellComplexes(1 sample; 4 vertices, 4 edges, 1 ring; cpu)
    """

    def __init__(
        self,
        max_length: int = 6,
        kind: Literal["chordless", "relevant"] = "chordless",
        features: Literal["sum", "mean", "projection"] | None = None,
        max_cells: int = MAX_CELLS,
    ) -> None:
        self.max_length, self.kind, self.features, self.max_cells = max_length, kind, features, max_cells

    def __call__(self, data: Any) -> Any:
        """Return a copy of `data` with the complex."""
        edges, n = _attribute("RingLift", data, "edge_index"), int(data.num_nodes)
        complexes = ring_complexes(
            edges, n_vertices=n, max_length=self.max_length, kind=self.kind, max_cells=self.max_cells
        )
        return _with_complexes("RingLift", data, complexes, self.features)

    def __repr__(self) -> str:
        """Return it as PyTorch Geometric prints its transforms."""
        options = f"max_length={self.max_length}, kind={self.kind!r}, features={self.features!r}"
        return f"{type(self).__name__}({options})"


def complexes_of(data: Any) -> CellComplexes:
    """Return the complexes that `CliqueLift` or `RingLift` gave to a `Data`, or to a `Batch`, as a batch.

    Parameters
    ----------
    data : Data or Batch

    Returns
    -------
    CellComplexes
        On the device of ``edge_index``, whose vertices they count as the batch does.

    Raises
    ------
    InputError
        If there are no complexes.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from topodl.integrations.pyg import CliqueLift, complexes_of
    >>> edges = torch.tensor([[0, 0, 1], [1, 2, 2]])
    >>> data = CliqueLift()(SimpleNamespace(edge_index=edges, num_nodes=3))
    >>> complexes_of(SimpleNamespace(edge_index=edges, complexes=[data.complexes, data.complexes]))
    CellComplexes(2 samples; 6 vertices, 6 edges, 2 triangles; cpu)
    """
    found = getattr(data, "complexes", None)
    several = found if isinstance(found, list) else [found]
    if not several or not all(isinstance(each, CellComplexes) for each in several):
        expected = "those of CliqueLift or RingLift"
        raise fail("complexes_of", "data", f"is a {type(data).__name__} without complexes", expected)
    return CellComplexes.cat(several).to(_attribute("complexes_of", data, "edge_index").device)


def cell_tensors(complexes: CellComplexes) -> dict[str, torch.Tensor]:
    """Return the tables of one complex as tensors that may be attributes of a `Data` of class `CellData`.

    Parameters
    ----------
    complexes : CellComplexes
        Of one sample.

    Returns
    -------
    dict of str to Tensor
        For each dimension k from 1 on ``cell_index_k`` of shape (2, M), the pairs of a vertex and the cell
        that it is a vertex of, and ``face_index_k`` of shape (2, M), those of a face and the cell, with
        their signs ``face_sign_k`` of shape (M,); and ``num_cells_k`` of shape (1,).

    Raises
    ------
    InputError
        If it is not one sample.

    Examples
    --------
    >>> from topodl.complexes import clique_complexes
    >>> from topodl.integrations.pyg import cell_tensors
    >>> cell_tensors(clique_complexes(torch.tensor([[0], [1]]), max_dim=1))["face_index_1"]
    tensor([[1, 0],
            [0, 0]])
    """
    if complexes.n_samples != 1:
        raise fail("cell_tensors", "complexes", f"are {complexes.n_samples} samples", "one")
    tensors = {}
    for k in range(1, complexes.dim + 1):
        for name, lists in {"cell": complexes.vertices(k), "face": complexes.faces(k)}.items():
            tensors[f"{name}_index_{k}"] = torch.stack((lists.members, lists.owners))
        tensors[f"face_sign_{k}"] = complexes.signs(k)
        tensors[f"num_cells_{k}"] = complexes.counts[:, k]
    return tensors


def _with_complexes(function: str, data: Any, complexes: CellComplexes, features: Any) -> Any:
    """Return a copy of `data` with its complexes, and with features of their cells where these are wanted."""
    changed = copy.copy(data)
    changed.complexes = complexes
    if features is not None:
        lifted = lift_features(_attribute(function, data, "x"), complexes, features)
        for k, x in enumerate(lifted[1:], 1):
            setattr(changed, f"x_{k}", x)
    return changed


def __getattr__(name: str) -> Any:
    """Return `CellData`, a `Data` of PyTorch Geometric that counts the cells of `cell_tensors` on in a batch.

    It is made when it is asked for first: nothing else here needs PyTorch Geometric.
    """
    if name != "CellData":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from torch_geometric.data import Data
    except ImportError as error:
        raise MissingDependencyError("torch-geometric", extra="test", purpose="CellData") from error

    class CellData(Data):
        """A graph with the tables of its cells, whose pairs a batch counts on by cells, not by vertices."""

        def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
            kind, _, dim = key.partition("_index_")
            if kind not in ("cell", "face") or not dim.isdecimal():
                return super().__inc__(key, value, *args, **kwargs)
            k = int(dim)
            of_vertices = kind == "cell" or k == 1
            below = self.num_nodes if of_vertices else int(self[f"num_cells_{k - 1}"])
            return torch.tensor([[below], [int(self[f"num_cells_{k}"])]], device=value.device)

    CellData.__module__, CellData.__qualname__ = __name__, "CellData"
    globals()["CellData"] = CellData  # pickles of batches find it here
    return CellData


def _attribute(function: str, data: Any, name: str) -> torch.Tensor:
    value = getattr(data, name, None)
    if value is None:
        raise fail(function, "data", f"is a {type(data).__name__} without {name!r}", f"a tensor in {name!r}")
    return check_dense(function, f"data.{name}", value)
