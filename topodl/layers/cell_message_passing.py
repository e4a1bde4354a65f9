"""Message passing on the cells of complexes: MPSN on simplices, CIN on graphs with rings.

Bodnar et al., ICML and NeurIPS 2021. Cost: linear in the entries of the boundaries; pairs are never listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from topodl._checks import check_choice, check_number
from topodl._precision import at_least_single
from topodl._segments import Bags, bag_sum
from topodl.complexes.cell_complexes import CellComplexes
from topodl.layers._cell_input import check_cells
from topodl.layers._graph_layer import normalise

__all__ = ["CellMessagePassing"]


class CellMessagePassing(nn.Module):
    """One step of message passing between cells: from their boundary, and from upper and lower neighbours.

    Upper neighbours of a cell are the other faces of its cofaces, lower ones the other cofaces of its faces.
    Each kind of message is added to the features of the cell and passes through a perceptron of its own; a
    last linear map joins them. Each dimension has its own weights.

    Parameters
    ----------
    in_features : int
        Features of a cell, F, in all dimensions.
    channels : int
        Features of a cell afterwards, C.
    max_dim : int, default=2
        The largest dimension of a cell that takes part.
    boundary, upper, lower : bool, default=True, True, False
        Which messages there are. With boundary and upper ones it tells apart what all three do.
    shared : bool, default=True
        Whether the message of a neighbour sees the coface or face that both share:
        relu(W x_τ + V x_δ). False: it is x_τ.
    norm : {"batch", "layer", None}, default="batch"
        Normalisation in the perceptrons.

    Raises
    ------
    InputError
        If a size is not positive, or `norm` is none of these.

    Notes
    -----
    A neighbour counts once for each cell that it shares, as two edges of two rings. Sums over pairs are sums
    over shared cells, less the own message.

    References
    ----------
    C. Bodnar, F. Frasca, Y. Wang et al., "Weisfeiler and Lehman go topological: message passing simplicial
    networks", ICML 2021. C. Bodnar, F. Frasca, N. Otter et al., "Weisfeiler and Lehman go cellular: CW
    networks", NeurIPS 2021. L. Giusti et al., "CIN++: enhancing topological message passing", 2023 (lower).

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import clique_complexes
    >>> from topodl.layers import CellMessagePassing
    >>> complexes = clique_complexes(torch.tensor([[0, 0, 1, 2], [1, 2, 2, 3]]))
    >>> features = [torch.randn(complexes.n_cells(k), 5) for k in range(3)]
    >>> [x.shape for x in CellMessagePassing(5, 8)(features, complexes)]
    [torch.Size([4, 8]), torch.Size([4, 8]), torch.Size([1, 8])]
    """

    def __init__(
        self,
        in_features: int,
        channels: int,
        max_dim: int = 2,
        *,
        boundary: bool = True,
        upper: bool = True,
        lower: bool = False,
        shared: bool = True,
        norm: Literal["batch", "layer"] | None = "batch",
    ) -> None:
        super().__init__()
        for name, value in {"in_features": in_features, "channels": channels}.items():
            check_number("CellMessagePassing", name, value, low=1, integer=True)
        check_number("CellMessagePassing", "max_dim", max_dim, low=0, integer=True)
        check_choice("CellMessagePassing", "norm", norm, ("batch", "layer", None))
        self.in_features, self.max_dim = in_features, max_dim
        self.cells = nn.ModuleList(
            _Cells(
                in_features,
                channels,
                boundary=boundary and k > 0,
                upper=upper and k < max_dim,
                lower=lower and k > 0,
                shared=shared,
                norm=norm,
            )
            for k in range(max_dim + 1)
        )

    def forward(self, features: Sequence[torch.Tensor], complexes: CellComplexes) -> list[torch.Tensor]:
        """Return new features (S_k, C) of the cells of each dimension.

        Parameters
        ----------
        features : sequence of Tensor of shape (S_k, F)
            Features of the cells of dimension 0, …, `max_dim`.
        complexes : CellComplexes
            With tables up to `max_dim`, or further, which are not looked at.

        Returns
        -------
        list of Tensor of shape (S_k, C)

        Raises
        ------
        InputError
            If there are other numbers of tables, rows or features, or a feature is not finite.
        TypeError
            If `complexes` are none.
        """
        tables, complexes = check_cells(self, features, complexes, self.in_features, self.max_dim)
        out = []
        for k, cells in enumerate(self.cells):
            faces = complexes.faces(k).bags(complexes.n_cells(k - 1)) if k > 0 else None
            cofaces = complexes.faces(k + 1).bags(complexes.n_cells(k)) if k < self.max_dim else None
            above = tables[k + 1] if k < self.max_dim else None
            out.append(cells(tables[k], tables[k - 1] if k > 0 else None, above, faces, cofaces))
        return out


class _Cells(nn.Module):
    """The update of the cells of one dimension."""

    def __init__(
        self,
        size_in: int,
        size_out: int,
        *,
        boundary: bool,
        upper: bool,
        lower: bool,
        shared: bool,
        norm: str | None,
    ) -> None:
        super().__init__()
        self.of_boundary = _perceptron(size_in, size_out, norm) if boundary else None
        self.of_upper = _perceptron(size_in, size_out, norm) if upper else None
        self.of_lower = _perceptron(size_in, size_out, norm) if lower else None
        self.alone = None if boundary or upper or lower else _perceptron(size_in, size_out, norm)
        self.upper_messages = _Neighbours(size_in, shared) if upper else None
        self.lower_messages = _Neighbours(size_in, shared) if lower else None
        kinds = max(boundary + upper + lower, 1)
        self.join = nn.Sequential(*_level(kinds * size_out, size_out, norm))

    def forward(
        self,
        x: torch.Tensor,
        below: torch.Tensor | None,
        above: torch.Tensor | None,
        faces: Bags | None,
        cofaces: Bags | None,
    ) -> torch.Tensor:
        """Return the new features from those of the same dimension and of the ones beside it."""
        parts = [] if self.alone is None else [_run(self.alone, x)]
        if self.of_boundary is not None and faces is not None and below is not None:
            parts.append(_run(self.of_boundary, x + bag_sum(below, faces)))
        if self.of_upper is not None and self.upper_messages is not None and cofaces is not None:
            parts.append(_run(self.of_upper, x + self.upper_messages(x, above, cofaces)))
        if self.of_lower is not None and self.lower_messages is not None and faces is not None:
            parts.append(_run(self.of_lower, x + self.lower_messages(x, below, faces.transposed)))
        return _run(self.join, torch.cat(parts, 1))


class _Neighbours(nn.Module):
    """The sum of the messages of all cells that share a coface, or a face, with each cell."""

    def __init__(self, size: int, shared: bool) -> None:
        super().__init__()
        self.own = nn.Linear(size, size) if shared else None
        self.between = nn.Linear(size, size, bias=False) if shared else None

    def forward(self, x: torch.Tensor, shared: torch.Tensor, bags: Bags) -> torch.Tensor:
        """Return the sums from features `x` of cells and those of the shared cells, whose bags they are."""
        if self.own is None or self.between is None:
            wide = at_least_single(x)  # what is taken off again is not rounded in between
            counts = bags.transposed.offsets.diff().to(wide.dtype)
            return (bag_sum(bag_sum(wide, bags), bags.transposed) - counts[:, None] * wide).to(x.dtype)
        messages = bag_sum(self.own(x), bags.at_rows) + bag_sum(self.between(shared), bags.at_keys)
        messages = at_least_single(torch.relu(messages))
        all_of_shared = bag_sum(messages, bags.at_keys.transposed)
        others = bag_sum(all_of_shared, bags.at_keys) - messages
        return bag_sum(others, bags.at_rows.transposed).to(x.dtype)


def _level(size_in: int, size_out: int, norm: str | None) -> list[nn.Module]:
    kinds = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
    return [nn.Linear(size_in, size_out), *([kinds[norm](size_out)] if norm else []), nn.ReLU()]


def _perceptron(size_in: int, size_out: int, norm: str | None) -> nn.Sequential:
    return nn.Sequential(*_level(size_in, size_out, norm), *_level(size_out, size_out, norm))


def _run(layers: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    """Return what the layers make of `x`, of which there may be too few rows for a batch norm's variance."""
    for layer in layers:
        x = normalise(layer, x)
    return x
