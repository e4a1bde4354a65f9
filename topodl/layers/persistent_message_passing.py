"""TopNets: message passing on the cells of complexes, and what the persistence of learnt filtrations says.

Verma, Souza, Garg, ICML 2024. Cost: that of both parts, of which the pairing is the larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from topodl._checks import check_choice, check_number, fail
from topodl._docs import shares_documentation
from topodl.complexes.cell_complexes import CellComplexes
from topodl.complexes.cliques import clique_complexes
from topodl.layers.cell_message_passing import CellMessagePassing
from topodl.layers.rephine import RePHINE
from topodl.layers.togl import TOGL

__all__ = ["PersistentMessagePassing"]

_DESCRIPTORS = {"togl": TOGL, "rephine": RePHINE}


@shares_documentation(CellMessagePassing)
class PersistentMessagePassing(nn.Module):
    """A step of message passing between cells, whose result filters the complex: TopNets.

    `CellMessagePassing` gives vertices their colours; a descriptor makes values of these, which filter the
    complex, and its bars of dimensions 0 and 1 add to the features of vertices and to an embedding of each
    complex. Triangles of the complex fill cycles.

    Parameters
    ----------
    max_dim : int, default=2
        The largest dimension of a cell that takes part. With 1, no cycle is filled.
    descriptor : {"togl", "rephine"}, default="togl"
        `TOGL` filters by values of vertices, `RePHINE` by those of vertices and edges.
    n_filtrations : int, default=8
        Of the descriptor.

    Raises
    ------
    InputError
        If a size is not positive, or an option is none of those above.

    Notes
    -----
    The triangles of the complexes have to be all those of their edges, as in `clique_complexes`. The released
    code takes the diagrams of the bare graph, `TOGL(triangles=False)`; its differential equation is left out.

    References
    ----------
    Y. Verma, A. H. Souza, V. Garg, "Topological neural networks go persistent, equivariant, and continuous",
    ICML 2024.

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import clique_complexes
    >>> from topodl.layers import PersistentMessagePassing
    >>> complexes = clique_complexes(torch.tensor([[0, 0, 1, 2], [1, 2, 2, 3]]))
    >>> features = [torch.randn(complexes.n_cells(k), 5) for k in range(3)]
    >>> cells, of_complexes = PersistentMessagePassing(5, 8)(features, complexes)
    >>> [x.shape for x in cells], of_complexes.shape
    ([torch.Size([4, 8]), torch.Size([4, 8]), torch.Size([1, 8])], torch.Size([1, 8]))
    """

    def __init__(
        self,
        in_features: int,
        channels: int,
        max_dim: int = 2,
        descriptor: Literal["togl", "rephine"] = "togl",
        *,
        n_filtrations: int = 8,
        boundary: bool = True,
        upper: bool = True,
        lower: bool = False,
        shared: bool = True,
        norm: Literal["batch", "layer"] | None = "batch",
    ) -> None:
        super().__init__()
        name = "PersistentMessagePassing"
        check_choice(name, "descriptor", descriptor, tuple(_DESCRIPTORS))
        check_number(name, "max_dim", max_dim, low=1, integer=True)
        self.messages = CellMessagePassing(
            in_features,
            channels,
            max_dim,
            boundary=boundary,
            upper=upper,
            lower=lower,
            shared=shared,
            norm=norm,
        )
        self.descriptor = _DESCRIPTORS[descriptor](
            channels, n_filtrations, triangles=max_dim > 1, readout="graph"
        )

    def forward(
        self, features: Sequence[torch.Tensor], complexes: CellComplexes
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return new features of the cells of each dimension, and an embedding of each complex.

        Parameters
        ----------
        features : sequence of Tensor of shape (S_k, F)
            Features of the cells of dimension 0, …, `max_dim`.
        complexes : CellComplexes
            With tables up to `max_dim`, or further, which are not looked at.

        Returns
        -------
        features : list of Tensor of shape (S_k, C)
        embeddings : Tensor of shape (n_samples, C)

        Raises
        ------
        InputError
            If there are other numbers of tables, rows or features, a feature is not finite, 2-cells are
            rings, or there are triangles of edges that are not among the cells.
        TypeError
            If `complexes` are none.
        """
        out = self.messages(features, complexes)
        edges = complexes.vertices(1).table().T
        if self.messages.max_dim > 1:
            _check_triangles(complexes, edges)
        out[0], embeddings = self.descriptor(out[0], edges, complexes.samples(0), complexes.n_samples)
        return out, embeddings


def _check_triangles(complexes: CellComplexes, edges: torch.Tensor) -> None:
    """Raise an `InputError` unless what fills cycles in the descriptors are the 2-cells of the complexes."""
    name, expected = "PersistentMessagePassing", "all triangles of the graph, as of clique_complexes"
    if complexes.has_rings:
        raise fail(name, "complexes", "have rings as cells of dimension 2", expected)
    there = clique_complexes(edges, n_vertices=complexes.n_cells(0)).n_cells(2)
    if there != complexes.n_cells(2):
        came = f"have {complexes.n_cells(2)} of the {there} triangles of their edges"
        raise fail(name, "complexes", came, expected)
