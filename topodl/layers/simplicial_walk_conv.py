"""SCRaWl: convolutions along random walks on simplices, which see what message passing does not.

Frantzen and Schaub, ICLR 2024. Cost: linear in the positions of all walks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from topodl._checks import check_number, fail
from topodl._segments import Bags, bag_sum
from topodl.complexes.cell_complexes import CellComplexes
from topodl.layers._cell_input import check_cells
from topodl.layers._graph_layer import normalise
from topodl.layers.random_walks import LARGEST_WINDOW, SimplicialWalks

__all__ = ["SimplicialWalkConv"]


class SimplicialWalkConv(nn.Module):
    """Convolution along walks on the cells of each dimension, averaged at the cells that it is centred at.

    A position of a walk has the features of its cell, those of the face or coface that led to it, and what
    its windows see of the positions before. A cell gets h + MLP(m) with m the mean over all windows centred
    at it, 0 where there are none.

    Parameters
    ----------
    in_features : int
        Features of a cell, d, in all dimensions.
    max_dim : int, default=2
        The largest dimension of a cell that takes part.
    window : int, default=8
        Positions before that walks look at, as in `simplicial_walks`, at most 63; the kernel is one longer.
    hidden : int, optional
        Channels of the convolution, `in_features` by default.

    Raises
    ------
    InputError
        If a size is not positive, or `window` above 63.

    Notes
    -----
    Walks are given, so that all layers of a network share those of a pass; training takes others in each.
    Cells of dimension k + 1 beyond `max_dim` may be ways of a walk, and have no features then.

    References
    ----------
    F. Frantzen, M. T. Schaub, "Learning from simplicial data based on random walks and 1D convolutions", ICLR
    2024. J. Tönshoff, M. Ritzert, H. Wolf, M. Grohe, "Walking out of the Weisfeiler Leman hierarchy: graph
    learning beyond message passing", TMLR 2023 (the block).

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import clique_complexes
    >>> from topodl.layers import SimplicialWalkConv, simplicial_walks
    >>> complexes = clique_complexes(torch.tensor([[0, 0, 1, 2, 2, 3], [1, 2, 2, 3, 4, 4]]))
    >>> walks = [simplicial_walks(complexes, k, length=20, seed=1) for k in range(3)]
    >>> features = [torch.randn(complexes.n_cells(k), 6) for k in range(3)]
    >>> [x.shape for x in SimplicialWalkConv(6)(features, complexes, walks)]
    [torch.Size([5, 6]), torch.Size([6, 6]), torch.Size([2, 6])]
    """

    def __init__(
        self, in_features: int, max_dim: int = 2, *, window: int = 8, hidden: int | None = None
    ) -> None:
        super().__init__()
        hidden = in_features if hidden is None else hidden
        for argument, value in {"in_features": in_features, "hidden": hidden}.items():
            check_number("SimplicialWalkConv", argument, value, low=1, integer=True)
        check_number("SimplicialWalkConv", "window", window, low=1, high=LARGEST_WINDOW, integer=True)
        check_number("SimplicialWalkConv", "max_dim", max_dim, low=0, integer=True)
        self.in_features, self.max_dim, self.window = in_features, max_dim, window
        self.blocks = nn.ModuleList(
            _Block(in_features, hidden, window, below=k > 0, above=k < max_dim) for k in range(max_dim + 1)
        )

    def forward(
        self, features: Sequence[torch.Tensor], complexes: CellComplexes, walks: Sequence[SimplicialWalks]
    ) -> list[torch.Tensor]:
        """Return new features (n_cells(k), d) of the cells of each dimension.

        Parameters
        ----------
        features : sequence of Tensor of shape (S_k, d)
            Features of the cells of dimension 0, …, `max_dim`.
        complexes : CellComplexes
            With tables up to `max_dim`.
        walks : sequence of SimplicialWalks
            For each dimension those of `simplicial_walks` with the same `window`, and at least as many steps.

        Returns
        -------
        list of Tensor of shape (S_k, d)

        Raises
        ------
        InputError
            If there are other numbers of tables, rows, features or walks, a feature is not finite, or walks
            have another window, are shorter, or are on other cells.
        TypeError
            If `complexes` are none.
        """
        name = "SimplicialWalkConv"
        tables, complexes = check_cells(self, features, complexes, self.in_features, self.max_dim)
        if len(walks) != self.max_dim + 1:
            raise fail(name, "walks", f"are of {len(walks)} dimensions", f"walks of {self.max_dim + 1}")
        out = []
        for k, block in enumerate(self.blocks):
            self._check_walks(k, walks[k], complexes.n_cells(k))
            below = tables[k - 1] if k > 0 else None
            above = tables[k + 1] if k < self.max_dim else None
            out.append(block(tables[k], below, above, walks[k]))
        return out

    def _check_walks(self, k: int, walks: SimplicialWalks, n: int) -> None:
        name, argument = "SimplicialWalkConv", f"walks[{k}]"
        rows, steps = walks.windows.shape[1], walks.faces.shape[1]
        if rows != 3 * self.window - 2:
            came = f"has {rows} rows of windows"
            raise fail(name, argument, came, f"{3 * self.window - 2}, of window={self.window}")
        if steps < self.window:
            raise fail(name, argument, f"has {steps} steps", f"at least window={self.window}")
        if walks.cells.numel() and int(walks.cells.max()) >= n:
            came = f"is on cell {int(walks.cells.max())}"
            raise fail(name, argument, came, f"walks on the {n} cells of dimension {k}")


class _Block(nn.Module):
    """What walks on the cells of one dimension say of them."""

    def __init__(self, size: int, hidden: int, window: int, *, below: bool, above: bool) -> None:
        super().__init__()
        self.of_cells = nn.Linear(size, hidden, bias=False)
        self.of_faces = nn.Linear(size, hidden, bias=False) if below else None
        self.of_cofaces = nn.Linear(size, hidden, bias=False) if above else None
        self.of_windows = nn.Linear(3 * window - 2, hidden, bias=False)
        self.along = nn.Conv1d(hidden, hidden, window + 1, groups=hidden, bias=False)
        self.norm = nn.BatchNorm1d(hidden)
        self.across = nn.Linear(hidden, hidden, bias=False)
        self.widen, self.narrow = (
            nn.Linear(hidden, 2 * size, bias=False),
            nn.Linear(2 * size, size, bias=False),
        )
        self.wide_norm = nn.BatchNorm1d(2 * size)

    def forward(
        self,
        x: torch.Tensor,
        below: torch.Tensor | None,
        above: torch.Tensor | None,
        walks: SimplicialWalks,
    ) -> torch.Tensor:
        """Return the new features from those of the same dimension and of the ones beside it."""
        n_walks, n_positions = walks.cells.shape
        # A linear map comes before the gather: once a cell, not once a position.
        seen = bag_sum(self.of_cells(x), Bags.gathering(walks.cells.flatten(), len(x)))
        if self.of_faces is not None and below is not None:
            seen = seen + bag_sum(self.of_faces(below), _ways(walks.faces, len(below)))
        if self.of_cofaces is not None and above is not None:
            seen = seen + bag_sum(self.of_cofaces(above), _ways(walks.cofaces, len(above)))
        seen = seen.view(n_walks, n_positions, seen.shape[1])
        seen = seen + self.of_windows(walks.windows.transpose(1, 2).to(x.dtype))
        size = self.along.kernel_size[0]
        n_windows = n_positions - size + 1
        centres = walks.cells[:, size // 2 : size // 2 + n_windows].flatten()
        of_windows = self.along(seen.transpose(1, 2)).transpose(1, 2).flatten(0, 1)
        of_windows = torch.relu(self.across(torch.relu(normalise(self.norm, of_windows))))
        bags = Bags.gathering(centres, len(x)).transposed
        counts = bags.offsets.diff().clamp(min=1).to(x.dtype)
        means = bag_sum(of_windows, bags) / counts[:, None]
        return x + self.narrow(torch.relu(normalise(self.wide_norm, self.widen(means))))


def _ways(ways: torch.Tensor, n: int) -> Bags:
    """Return a bag for each position of walks: the way that led to it, nothing where none did."""
    led = torch.nn.functional.pad(ways, (1, 0), value=-1).flatten()
    there = led >= 0
    return Bags(led[there], torch.nn.functional.pad(there.cumsum(0), (1, 0)), n)
