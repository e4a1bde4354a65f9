"""Graphs with labels from public text formats: the folders of TUDataset, and the one file of GIN and DGCNN.

Morris et al., "TUDataset: a collection of benchmark datasets for learning with graphs", 2020; Xu et al., ICLR
2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from topodl._checks import fail

__all__ = ["GraphCollection", "load_graphs"]

Array = np.ndarray[Any, np.dtype[Any]]
_NAME = "load_graphs"


class GraphCollection(NamedTuple):
    """Many labelled graphs, as one graph that is their disjoint union: nodes (N, F) and edges (2, E).

    Examples
    --------
    >>> from topodl.datasets import collect_blind_pairs
    >>> graphs = collect_blind_pairs(2)["rings"]
    >>> graphs.n_graphs, graphs.x.shape, graphs.edge_index.shape
    (4, (28, 1), (2, 28))
    >>> graphs.take([0, 1]).batch.max().item()
    1
    """

    x: Array
    """(N, F) float32 features of nodes: labels as indicators, then attributes; ones without either."""
    edge_index: Array
    """(2, E) end points, int64, as the files list them: usually each edge in both directions."""
    batch: Array
    """(N,) the graph of each node, int64."""
    y: Array
    """(G,) the class of each graph, 0 … C − 1, int64; float32 where the files have graph attributes only."""
    classes: Array
    """(C,) the labels in the files that the classes stand for, rising."""
    feature_names: tuple[str, ...]
    """Names of the F features, such as "label_3" and "attribute_0"."""
    edge_labels: Array | None
    """(E,) int64 as in the files, None where they have none."""

    @property
    def n_graphs(self) -> int:
        """Number of graphs, empty ones included."""
        return len(self.y)

    def take(self, indices: Any) -> GraphCollection:
        """Return the collection of the graphs `indices`, in that order.

        Parameters
        ----------
        indices : sequence of int, or bool array of shape (G,)
            Which graphs; each at most once.

        Returns
        -------
        GraphCollection
            Nodes and edges in the order that they have here.

        Raises
        ------
        InputError
            If an index is out of range or comes twice.
        """
        try:
            wanted = np.arange(self.n_graphs)[np.asarray(indices)] if len(indices) else np.empty(0, np.int64)
        except IndexError:
            came, expected = f"is {indices!r}", f"graphs from 0 to {self.n_graphs - 1}"
            raise fail("GraphCollection.take", "indices", came, expected) from None
        if len(np.unique(wanted)) < len(wanted):
            raise fail("GraphCollection.take", "indices", "has a graph twice", "each at most once")
        place = np.full(self.n_graphs, -1)
        place[wanted] = np.arange(len(wanted))
        nodes = np.flatnonzero(place[self.batch] >= 0)
        new = np.full(len(self.batch), -1)
        new[nodes] = np.arange(len(nodes))
        edges = new[self.edge_index]
        kept = edges[0] >= 0
        return self._replace(
            x=self.x[nodes],
            edge_index=edges[:, kept],
            batch=place[self.batch[nodes]],
            y=self.y[wanted],
            edge_labels=None if self.edge_labels is None else self.edge_labels[kept],
        )

    def pairs(self) -> list[tuple[Array, Array]]:
        """Return the graphs one by one, as transformers of graphs take them.

        Returns
        -------
        list of (x, edge_index)
            Features (n, F) of the nodes of each graph, and its edges (2, e) among these.
        """
        nodes, ends = np.argsort(self.batch, kind="stable"), self.batch[self.edge_index[0]]
        place = np.empty_like(nodes)
        place[nodes] = np.arange(len(nodes))
        counts = np.bincount(self.batch, minlength=self.n_graphs)
        starts = np.cumsum(counts) - counts
        order = np.argsort(ends, kind="stable")
        edges = (place[self.edge_index] - starts[ends])[:, order]
        cuts = np.cumsum(np.bincount(ends, minlength=self.n_graphs))[:-1]
        parts = np.split(self.x[nodes], np.cumsum(counts)[:-1])
        return list(zip(parts, np.split(edges, cuts, axis=1), strict=True))

    def tensors(self, device: Any = None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return `x`, `edge_index`, `batch` and `y` as tensors.

        Parameters
        ----------
        device : str or torch.device, optional
            Where they are to be. None: the CPU.

        Returns
        -------
        Tensors of shape (N, F), (2, E), (N,) and (G,)
            As PyTorch Geometric's `Batch` holds them.
        """
        arrays = (self.x, self.edge_index, self.batch, self.y)
        x, edge_index, batch, y = (torch.as_tensor(array, device=device or "cpu") for array in arrays)
        return x, edge_index, batch, y


def load_graphs(path: Any, name: str | None = None) -> GraphCollection:
    r"""Read a data set of labelled graphs, such as MUTAG or PROTEINS, from a text format that they come in.

    Parameters
    ----------
    path : str or Path
        A folder of TUDataset with ``DS_A.txt``, ``DS_graph_indicator.txt`` and ``DS_graph_labels.txt`` or
        ``DS_graph_attributes.txt``, and any of ``DS_node_labels.txt``, ``DS_node_attributes.txt``,
        ``DS_edge_labels.txt``. Or one file as GIN and DGCNN use it: the number of graphs; for each graph a
        line ``n label`` and for each of its n nodes ``tag degree neighbours…``, with attributes after that.
    name : str, optional
        Name DS of the data set, where a folder has several.

    Returns
    -------
    GraphCollection
        Its arrays `x`, `edge_index`, `batch` and `y` are in NumPy, ``tensors()`` gives them to PyTorch.

    Raises
    ------
    InputError
        If a file is missing, or a line cannot be read or contradicts another; the message names file and
        line.

    References
    ----------
    C. Morris, N. Kriege, F. Bause, K. Kersting, P. Mutzel, M. Neumann, "TUDataset: a collection of benchmark
    datasets for learning with graphs", 2020. K. Xu, W. Hu, J. Leskovec, S. Jegelka, "How powerful are graph
    neural networks?", ICLR 2019. M. Zhang, Z. Cui, M. Neumann, Y. Chen, "An end-to-end deep learning
    architecture for graph classification", AAAI 2018.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from topodl.datasets import load_graphs
    >>> file = Path(tempfile.mkdtemp()) / "pair.txt"  # a triangle of class 1 and an edge of class 0
    >>> _ = file.write_text("2\n3 1\n0 2 1 2\n0 2 0 2\n0 2 0 1\n2 0\n0 1 1\n4 1 0\n")
    >>> graphs = load_graphs(file)
    >>> graphs.x.shape, graphs.edge_index.shape, graphs.batch, graphs.y
    ((5, 2), (2, 8), array([0, 0, 0, 1, 1]), array([1, 0]))
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, name)
    if not path.is_file():
        raise fail(_NAME, "path", f"is {str(path)!r}, which does not exist", "a folder or a file of graphs")
    return _read_file(path)


def _read_folder(folder: Path, name: str | None) -> GraphCollection:
    """Read the files of TUDataset, whose numbers of nodes and graphs begin at 1."""
    names = sorted(file.name.removesuffix("_A.txt") for file in folder.glob("*_A.txt"))
    name = names[0] if name is None and len(names) == 1 else name
    if name not in names:
        came = f"{str(folder)!r} has {', '.join(f'{each}_A.txt' for each in names) or 'no file DS_A.txt'}"
        raise fail(_NAME, "path", came, "one of them" if name is None else f"{name}_A.txt")

    def read(part: str, parse: Callable[[str], Any], width: int | None, length: int | None) -> Array | None:
        file = folder / f"{name}_{part}.txt"
        return _table(file, parse, width, length) if file.is_file() else None

    indicator, pairs = read("graph_indicator", int, 1, None), read("A", int, 2, None)
    labels, targets = read("graph_labels", int, 1, None), read("graph_attributes", float, None, None)
    outcome = targets if labels is None else labels
    if indicator is None or pairs is None or outcome is None:
        missing = "graph_indicator" if indicator is None else "graph_labels"
        raise fail(_NAME, "path", f"{str(folder)!r} has no {name}_{missing}.txt", "one")
    n, m, n_graphs = len(indicator), len(pairs), len(outcome)
    _check_range(folder / f"{name}_graph_indicator.txt", indicator, n_graphs, "a graph")
    _check_range(folder / f"{name}_A.txt", pairs, n, "a node")
    batch, edges = indicator[:, 0] - 1, np.ascontiguousarray(pairs.T) - 1
    across = np.flatnonzero(batch[edges[0]] != batch[edges[1]])
    if len(across):
        raise _bad_line(folder / f"{name}_A.txt", int(across[0]), "joins two graphs", "nodes of one graph")
    x, names_of_x = _features(n, read("node_labels", int, None, n), read("node_attributes", _finite, None, n))
    edge_labels = read("edge_labels", int, None, m)
    y, classes = _outcome(outcome, labels is not None)
    first = None if edge_labels is None else edge_labels[:, 0]
    return GraphCollection(x, edges, batch, y, classes, names_of_x, first)


def _read_file(path: Path) -> GraphCollection:
    """Read the one-file format, graph after graph."""
    lines = enumerate(path.read_text(encoding="utf-8").splitlines())
    n_graphs = _head(path, lines, 1)[0]
    sizes, labels, tags, edges, attributes = [], [], [], [], []
    start = 0
    for _ in range(n_graphs):
        size, label = _head(path, lines, 2)
        for node in range(start, start + size):
            number, words = _next(path, lines)
            try:
                tag, degree = int(words[0]), int(words[1])
                ends = [int(word) for word in words[2 : 2 + degree]]
                attributes.append([_finite(word) for word in words[2 + degree :]])
            except (ValueError, IndexError):
                raise _bad_line(path, number, f"is {_short(words)!r}", "tag degree neighbours…") from None
            if len(ends) != degree or degree < 0 or not all(0 <= end < size for end in ends):
                came = f"has the neighbours {_short(map(str, ends))}"
                raise _bad_line(path, number, came, f"{degree} from 0 to {size - 1}")
            if len(attributes[-1]) != len(attributes[0]):
                came, expected = f"has {len(attributes[-1])} attributes", f"{len(attributes[0])} as the first"
                raise _bad_line(path, number, came, expected)
            tags.append(tag)
            edges += [(node, start + end) for end in ends]
        sizes.append(size)
        labels.append(label)
        start += size
    for number, line in lines:
        if line.strip():
            raise _bad_line(path, number, "comes after the last graph", f"{n_graphs} graphs")
    batch = np.repeat(np.arange(n_graphs), sizes)
    rows = np.array(attributes, np.float32).reshape(start, -1)
    x, names = _features(start, np.array(tags, np.int64)[:, None], rows if rows.size else None)
    y, classes = _outcome(np.array(labels, np.int64)[:, None], True)
    edge_index = np.ascontiguousarray(np.array(edges, np.int64).reshape(-1, 2).T)
    return GraphCollection(x, edge_index, batch, y, classes, names, None)


def _features(n: int, labels: Array | None, attributes: Array | None) -> tuple[Array, tuple[str, ...]]:
    """Return indicators of the labels, column by column, and attributes; ones where there is neither."""
    blocks, names = [], []
    for k in range(0 if labels is None else labels.shape[1]):
        assert labels is not None
        values, place = np.unique(labels[:, k], return_inverse=True)
        blocks.append(np.eye(len(values))[place])
        column = "" if labels.shape[1] == 1 else f"{k}_"
        names += [f"label_{column}{value}" for value in values]
    if attributes is not None:
        blocks.append(attributes)
        names += [f"attribute_{k}" for k in range(attributes.shape[1])]
    if not blocks:
        blocks, names = [np.ones((n, 1))], ["one"]
    return np.concatenate(blocks, 1).astype(np.float32).reshape(n, len(names)), tuple(names)


def _outcome(values: Array, are_labels: bool) -> tuple[Array, Array]:
    """Return the classes of the graphs and the labels that they stand for; or their attributes and none."""
    if not are_labels:
        return values.astype(np.float32).squeeze(1) if values.shape[1] == 1 else values, values[:0, 0]
    classes, y = np.unique(values[:, 0], return_inverse=True)
    return y.astype(np.int64), classes


def _table(path: Path, parse: Callable[[str], Any], width: int | None, length: int | None) -> Array:
    """Return the numbers between the commas of each line, (lines, columns)."""
    rows: list[list[Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").rstrip().splitlines()):
        words = line.replace(",", " ").split()
        width = len(words) if width is None else width
        try:
            row = [parse(word) for word in words]
        except ValueError:
            row = []
        if len(row) != width or not row:
            kind = "integers" if parse is int else "finite numbers"
            raise _bad_line(path, number, f"is {_short(words)!r}", f"{max(width, 1)} {kind}")
        rows.append(row)
    if length is not None and len(rows) != length:
        raise fail(_NAME, str(path), f"has {len(rows)} lines", f"{length}, as many as nodes or edges")
    return np.array(rows, np.int64 if parse is int else np.float64).reshape(len(rows), width or 1)


def _check_range(path: Path, table: Array, most: int, what: str) -> None:
    wrong = np.flatnonzero(((table < 1) | (table > most)).any(1))
    if len(wrong):
        came = f"has {', '.join(map(str, table[wrong[0]]))}"
        raise _bad_line(path, int(wrong[0]), came, f"{what} from 1 to {most}")


def _head(path: Path, lines: Iterator[tuple[int, str]], width: int) -> list[int]:
    """Return the integers of the next line, the first of which is not negative."""
    number, words = _next(path, lines)
    try:
        values = [int(word) for word in words]
    except ValueError:
        values = []
    if len(values) != width or values[0] < 0:
        expected = "the number of graphs" if width == 1 else "the number of nodes and the label of a graph"
        raise _bad_line(path, number, f"is {_short(words)!r}", expected)
    return values


def _next(path: Path, lines: Iterator[tuple[int, str]]) -> tuple[int, list[str]]:
    for number, line in lines:
        return number, line.split()
    raise fail(_NAME, str(path), "ends too early", "as many graphs and nodes as it says")


def _finite(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(word)
    return value


def _short(words: Any) -> str:
    text = " ".join(words)
    return text if len(text) < 60 else text[:57] + "…"


def _bad_line(path: Path, number: int, came: str, expected: str) -> Exception:
    return fail(_NAME, f"{path}, line {number + 1},", came, expected)
