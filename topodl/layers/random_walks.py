"""Random walks on the simplices, or other cells, of a batch of complexes, with what is seen of their past.

Frantzen and Schaub, ICLR 2024, after CRaWl (Tönshoff et al., TMLR 2023). One kernel a dimension, linear cost.
"""

from __future__ import annotations

import itertools
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from topodl._checks import check_choice, check_number
from topodl._host import host_arrays
from topodl.complexes.cell_complexes import CellComplexes
from topodl.kernels.complexes.walks import walk_cells, walk_keys, windows_of
from topodl.kernels.shared.pool import get_num_threads, map_batch
from topodl.layers._cell_input import check_complexes

__all__ = ["SimplicialWalks", "simplicial_walks"]

Array = np.ndarray[Any, np.dtype[Any]]
_ListArrays = tuple[Array, Array]

LARGEST_WINDOW = 63  # what is seen of it fits a word
_MOST_WALKS = 2**32  # from one cell, so that the name of a walk fits its cell and its number


class SimplicialWalks(NamedTuple):
    """W walks of L steps on the cells of one dimension; what is seen of their past is of s positions.

    Attributes
    ----------
    cells : Tensor of shape (W, L + 1), int64
        The cell at each position.
    faces, cofaces : Tensor of shape (W, L), int64
        The face, or the coface, that each step went over; −1 where it was none.
    moves : Tensor of shape (W,), bool
        Whether the walk moves. One from a cell without a neighbour stays put.
    windows : Tensor of shape (W, 3 s − 2, L + 1), uint8
        Whether each position is the cell that was there s, …, 2, 1 steps before, then whether both share a
        face, and whether they share a coface, s, …, 2 steps before. 0 before the start.

    References
    ----------
    F. Frantzen, M. T. Schaub, "Learning from simplicial data based on random walks and 1D convolutions", ICLR
    2024.

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import clique_complexes
    >>> from topodl.layers import simplicial_walks
    >>> one_edge = clique_complexes(torch.tensor([[0], [1]]))
    >>> walks = simplicial_walks(one_edge, 0, length=3, window=2)
    >>> walks.cells
    tensor([[0, 1, 0, 1],
            [1, 0, 1, 0]])
    >>> walks.windows[0]  # two steps before it was there, one step before it was not
    tensor([[0, 0, 1, 1],
            [0, 0, 0, 0],
            [0, 0, 0, 0],
            [0, 0, 0, 0]], dtype=torch.uint8)
    """

    cells: torch.Tensor
    faces: torch.Tensor
    cofaces: torch.Tensor
    moves: torch.Tensor
    windows: torch.Tensor


def simplicial_walks(
    complexes: CellComplexes,
    k: int,
    length: int = 50,
    *,
    window: int = 8,
    sampling: Literal["connection", "neighbour"] = "connection",
    walks_per_cell: int = 1,
    seed: int = 0,
) -> SimplicialWalks:
    """Return walks from each cell of dimension `k`, over common faces and cofaces.

    A walk is a function of the complex, the place of its first cell in it and the seed: the same in any
    batch, at any place in it, and with any number of threads.

    Parameters
    ----------
    complexes : CellComplexes
        Simplices or graphs with rings.
    k : int
        The dimension of the cells.
    length : int
        Number of steps L.
    window : int
        Number of positions s before each that are looked at, at most 63.
    sampling : {"connection", "neighbour"}
        "connection": each face and coface that leads to another cell is as likely, then each of its cells.
        "neighbour": each lower or upper neighbour is as likely, then each face and coface that joins both.
    walks_per_cell : int
        Number of walks that begin at each cell.
    seed : int
        Another seed gives other walks: take a new one for each pass of a training.

    Returns
    -------
    SimplicialWalks
        With W = n_cells(k) · walks_per_cell, the walks of a cell one after the other.

    Raises
    ------
    InputError
        If there is no dimension `k`, a number is out of range, or `sampling` is none of these.
    TypeError
        If `complexes` are none.

    References
    ----------
    F. Frantzen, M. T. Schaub, "Learning from simplicial data based on random walks and 1D convolutions", ICLR
    2024. J. Tönshoff, M. Ritzert, H. Wolf, M. Grohe, "Walking out of the Weisfeiler Leman hierarchy: graph
    learning beyond message passing", TMLR 2023 (windows).

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import clique_complexes
    >>> from topodl.layers import simplicial_walks
    >>> bowtie = clique_complexes(torch.tensor([[0, 0, 1, 2, 2, 3], [1, 2, 2, 3, 4, 4]]))
    >>> simplicial_walks(bowtie, 1, length=20, walks_per_cell=2).cells.shape
    torch.Size([12, 21])
    """
    name = "simplicial_walks"
    check_number(name, "k", k, low=0, integer=True)
    complexes = check_complexes(name, complexes, k)
    check_number(name, "length", length, low=1, integer=True)
    check_number(name, "window", window, low=1, high=LARGEST_WINDOW, integer=True)
    check_number(name, "walks_per_cell", walks_per_cell, low=1, high=_MOST_WALKS, integer=True)
    check_number(name, "seed", seed, low=0, high=2**63 - 1, integer=True)
    check_choice(name, "sampling", sampling, ("connection", "neighbour"))
    n_walks = complexes.n_cells(k) * walks_per_cell
    starts = np.repeat(np.arange(complexes.n_cells(k)), walks_per_cell)
    first, (down, over) = connections(complexes, k)
    names = (starts - np.repeat(first, walks_per_cell)) * _MOST_WALKS + np.tile(
        np.arange(walks_per_cell), complexes.n_cells(k)
    )
    walks, ways = np.empty((n_walks, length + 1), np.int64), np.empty((n_walks, length), np.int64)
    walks[:, 0] = starts
    windows = np.empty((n_walks, 3 * window - 2, length + 1), np.uint8)

    def walk(part: slice) -> None:
        keys = walk_keys(seed, names[part])
        with np.errstate(over="ignore"):  # words wrap around, also where nothing is compiled
            walk_cells(keys, down, over, sampling == "neighbour", walks[part], ways[part])
        windows_of(walks[part], down, over, windows[part])

    n_parts = min(get_num_threads(), max(n_walks, 1))
    bounds = [n_walks * i // n_parts for i in range(n_parts + 1)]
    map_batch(walk, [slice(a, b) for a, b in itertools.pairwise(bounds)])
    moves = walks[:, 1] != walks[:, 0]
    ways[~moves] = 0
    faces = np.where((ways >= 0) & moves[:, None], ways, -1)
    cofaces = np.where(ways < 0, -1 - ways, -1)
    arrays = (walks, faces, cofaces, moves, windows)
    return SimplicialWalks(*(torch.from_numpy(each).to(complexes.device) for each in arrays))


def connections(
    complexes: CellComplexes, k: int
) -> tuple[Array, tuple[tuple[_ListArrays, _ListArrays], tuple[_ListArrays, _ListArrays]]]:
    """Return the first cell of the sample of each cell of dimension `k`, and what connects the cells.

    That is the faces of each cell and the cells of each face; the same of cofaces.
    """
    lists = [complexes.faces(k), complexes.cofaces(k - 1)] if k > 0 else []
    lists += [complexes.cofaces(k), complexes.faces(k + 1)] if k < complexes.dim else []
    first = complexes.offsets(k)[complexes.samples(k)]
    parts = [part for each in lists for part in (each.offsets, each.members)]
    arrays = host_arrays("simplicial_walks", [first, *parts])
    pairs = list(zip(arrays[1::2], arrays[2::2], strict=True))
    n, none = complexes.n_cells(k), np.zeros(0, np.int64)
    nothing = (np.zeros(n + 1, np.int64), none), (np.zeros(1, np.int64), none)
    down = (pairs[0], pairs[1]) if k > 0 else nothing
    over = (pairs[-2], pairs[-1]) if k < complexes.dim else nothing
    return arrays[0], (down, over)
