"""Mapper graphs as those of networkx, igraph, PyTorch Geometric and KeplerMapper, and back."""

from __future__ import annotations

import re
from typing import Any

import networkx as nx
import numpy as np
import torch

from topodl._checks import fail
from topodl.errors import MissingDependencyError

__all__ = ["from_kmapper", "from_networkx", "to_dict", "to_igraph", "to_networkx", "to_pyg"]

_NAME = "MapperGraph"
_CUBE = re.compile(r"cube(\d+)_cluster\d+")


def _node_attributes(graph: Any) -> list[dict[str, Any]]:
    """Return the attributes of each node."""
    nodes: list[dict[str, Any]] = [{"members": members.tolist()} for members in graph]
    for name, table in (("cover", graph.cover_index), ("x", graph.x)):
        for node, row in zip(nodes, [] if table is None else table.tolist(), strict=False):
            node[name] = row
    return nodes


def _weighted_edges(graph: Any) -> list[tuple[int, int, Any]]:
    once = graph.edge_index[0] < graph.edge_index[1]
    ends, weights = graph.edge_index[:, once].T.tolist(), graph.edge_weight[once].tolist()
    return [(u, v, weight) for (u, v), weight in zip(ends, weights, strict=True)]


def to_dict(graph: Any) -> dict[str, Any]:
    """Write lists and numbers."""
    edges = [{"source": u, "target": v, "weight": weight} for u, v, weight in _weighted_edges(graph)]
    return {"n_samples": graph.n_samples, "nodes": _node_attributes(graph), "edges": edges}


def to_networkx(graph: Any) -> Any:
    """Write a graph of networkx."""
    written = nx.Graph(n_samples=graph.n_samples)
    for k, attributes in enumerate(_node_attributes(graph)):
        written.add_node(k, **attributes, size=len(attributes["members"]))
    written.add_weighted_edges_from(_weighted_edges(graph))
    return written


def from_networkx(cls: Any, graph: Any, n_samples: int | None, members: str) -> Any:
    """Read a graph of networkx."""
    name = f"{_NAME}.from_networkx"
    if not isinstance(graph, nx.Graph):
        raise TypeError(f"{name}: graph is a {type(graph).__name__}; expected a networkx.Graph")
    n_samples = graph.graph.get("n_samples") if n_samples is None else n_samples
    if n_samples is None:
        raise fail(name, "n_samples", "is not given, and the graph does not tell it", "the number of samples")
    number = {node: k for k, node in enumerate(graph)}
    for node, attributes in graph.nodes(data=True):
        if members not in attributes:
            raise fail(name, "graph", f"has a node {node!r} without {members!r}", "the samples of each node")
    ends = np.array([[number[u], number[v]] for u, v in graph.edges], np.int64).reshape(-1, 2)
    weights = [weight for _, _, weight in graph.edges(data="weight")]
    return cls.from_nodes(
        [attributes[members] for _, attributes in graph.nodes(data=True)],
        n_samples,
        edge_index=torch.from_numpy(ends.T.copy()),
        edge_weight=None if None in weights else torch.as_tensor(weights, device="cpu"),
        cover_index=_table(graph, "cover"),
        x=_table(graph, "x"),
    )


def _table(graph: Any, attribute: str) -> torch.Tensor | None:
    rows = [row for _, row in graph.nodes(data=attribute)]
    return None if not rows or any(row is None for row in rows) else torch.as_tensor(rows, device="cpu")


def from_kmapper(cls: Any, graph: Any, n_samples: int) -> Any:
    """Read the dict of KeplerMapper."""
    if not isinstance(graph, dict) or not {"nodes", "links"} <= graph.keys():
        raise fail(f"{_NAME}.from_kmapper", "graph", "has no nodes and links", "the dict of KeplerMapper.map")
    number = {name: k for k, name in enumerate(graph["nodes"])}
    pairs = [(number[u], number[v]) for u, others in graph["links"].items() for v in others]
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    cubes = [_CUBE.fullmatch(str(name)) for name in number]
    known = [int(cube[1]) for cube in cubes if cube is not None]
    cover = torch.tensor(known, device="cpu")[:, None] if known and len(known) == len(cubes) else None
    nodes = list(graph["nodes"].values())
    return cls.from_nodes(nodes, n_samples, edge_index=torch.from_numpy(ends.T.copy()), cover_index=cover)


def to_igraph(graph: Any) -> Any:
    """Write a graph of igraph."""
    try:
        import igraph
    except ImportError as error:
        raise MissingDependencyError("igraph", extra="interop", purpose=f"{_NAME}.to_igraph") from error
    edges, nodes = _weighted_edges(graph), _node_attributes(graph)
    written = igraph.Graph(n=len(graph), edges=[(u, v) for u, v, _ in edges])
    written["n_samples"] = graph.n_samples
    written.es["weight"] = [weight for _, _, weight in edges]
    for attribute in nodes[0] if nodes else ():
        written.vs[attribute] = [node[attribute] for node in nodes]
    written.vs["size"] = graph.sizes.tolist()
    return written


def to_pyg(graph: Any) -> Any:
    """Write a `Data` of PyTorch Geometric."""
    try:
        from torch_geometric.data import Data
    except ImportError as error:
        raise MissingDependencyError("torch-geometric", extra="test", purpose=f"{_NAME}.to_pyg") from error
    return Data(
        x=graph.x,
        edge_index=graph.edge_index,
        edge_weight=graph.edge_weight,
        sizes=graph.sizes,
        num_nodes=len(graph),
    )
