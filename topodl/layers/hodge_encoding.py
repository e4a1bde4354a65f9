"""Structural encodings of cells by the spectrum of Hodge Laplacians: no network, no signs, no numbering.

Heat kernels and walks of Lim, SIAM Review 2020. Cost: O(n³) for the n cells of a dimension of a sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import nn

from topodl._checks import as_dims, check_choice, check_number, fail
from topodl._host import host_arrays, send
from topodl._precision import in_double
from topodl.complexes._input import Array
from topodl.complexes.cell_complexes import CellComplexes
from topodl.errors import MemoryLimitError
from topodl.filtrations.heat import heat_diagonals
from topodl.layers._cell_input import check_complexes

__all__ = ["HodgeEncoding"]

_MOST_ENTRIES = 2**28  # of the dense blocks of a batch: 2 GiB
_SHORTEST, _LONGEST = 0.1, 10.0


class HodgeEncoding(nn.Module):
    """Encoding of each cell, or of each complex, by the Hodge Laplacians L_0, L_1, … of a batch of complexes.

    It depends on the complex alone: neither the numbering of vertices nor the orientation of cells, and with
    it the signs of boundaries or eigenvectors, enter. Nothing is learnt, and nothing has a gradient.

    Parameters
    ----------
    size : int, default=16
        Number of features of a cell or of a complex, n.
    dims : int or sequence of int, default=(0, 1)
        Dimensions k of the Laplacians.
    kind : {"heat", "return", "spectrum"}, default="heat"
        "heat": the diagonal of exp(−t L_k) at the `times`. "return": the diagonals of the powers 1, …, n of
        I − S^(−1/2) L_k S^(−1/2) with S the diagonal of L_k; those of L_0 are the probabilities that a
        random walk is back at its vertex. A cell that nothing is beside stays: all are 1. "spectrum": of
        each complex the n least eigenvalues, rising, and −1 where it has no more cells.
    times : sequence of float, optional
        Of the heat kernel; by default `size` ones from 0.1 to 10, with equal ratios. They replace `size`.
    dtype : torch.dtype, optional
        Of the result; PyTorch's default dtype by default. It is computed in float64.

    Raises
    ------
    InputError
        If a size or a time is not positive, a dimension is negative, or `kind` is none of these.

    Notes
    -----
    In the largest dimension of complexes that were cut there, L_k lacks its upper part: lift one dimension
    further than `dims`.

    References
    ----------
    L.-H. Lim, "Hodge Laplacians on graphs", SIAM Review 62, 2020. J. Sun, M. Ovsjanikov, L. Guibas, "A
    concise and provably informative multi-scale signature based on heat diffusion", SGP 2009. V. P. Dwivedi
    et al., "Graph neural networks with learnable structural and positional representations", ICLR 2022.

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import clique_complexes
    >>> from topodl.layers import HodgeEncoding
    >>> square = clique_complexes(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]))
    >>> [x.shape for x in HodgeEncoding(8)(square)]
    [torch.Size([4, 8]), torch.Size([4, 8])]
    >>> vertices, edges = HodgeEncoding(5, kind="spectrum")(square)
    >>> vertices.round(decimals=3) + 0.0
    tensor([[ 0.,  2.,  2.,  4., -1.]])
    >>> HodgeEncoding(4, dims=0, kind="return")(square)[0][0].round(decimals=3).abs()
    tensor([0.0000, 0.5000, 0.0000, 0.5000])
    """

    def __init__(
        self,
        size: int = 16,
        dims: int | Sequence[int] = (0, 1),
        kind: Literal["heat", "return", "spectrum"] = "heat",
        *,
        times: Sequence[float] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        name = "HodgeEncoding"
        check_number(name, "size", size, low=1, integer=True)
        check_choice(name, "kind", kind, ("heat", "return", "spectrum"))
        self.size, self.dims, self.kind, self.dtype = size, as_dims(dims), kind, dtype
        for k in self.dims:
            check_number(name, "dims", k, low=0, integer=True)
        if times is not None and kind != "heat":
            raise fail(name, "times", f"are given with kind={kind!r}", 'them with kind="heat"')
        if times is None:
            ratio = (_LONGEST / _SHORTEST) ** (1 / max(size - 1, 1))
            times = [_SHORTEST * ratio**i for i in range(size)]
        for time in times:
            check_number(name, "times", time)
            if time <= 0:
                raise fail(name, "times", f"has {time!r}", "positive numbers")
        self.times = tuple(float(time) for time in times)

    def forward(self, complexes: CellComplexes) -> list[torch.Tensor]:
        """Return a table for each of `dims`.

        Parameters
        ----------
        complexes : CellComplexes
            Simplices or graphs with rings.

        Returns
        -------
        list of Tensor of shape (S_k, n)
            With ``kind="spectrum"`` of shape (n_samples, n).

        Raises
        ------
        InputError
            If there is no such dimension.
        MemoryLimitError
            If the dense Laplacians of all complexes would take more than 2 GiB.
        TypeError
            If `complexes` are none.
        """
        complexes = check_complexes("HodgeEncoding", complexes, max(self.dims, default=0))
        dtype = torch.get_default_dtype() if self.dtype is None else self.dtype
        offsets = host_arrays("HodgeEncoding", [complexes.offsets(k) for k in self.dims])
        sizes = [np.diff(each) for each in offsets]
        return [self._encoded(complexes, k, n).to(dtype) for k, n in zip(self.dims, sizes, strict=True)]

    def _encoded(self, complexes: CellComplexes, k: int, sizes: Array) -> torch.Tensor:
        width = len(self.times) if self.kind == "heat" else self.size
        offsets = complexes.offsets(k)
        blocks, starts = _dense_blocks(complexes, k, sizes)
        n_rows = complexes.n_samples if self.kind == "spectrum" else complexes.n_cells(k)
        out = blocks.new_full((n_rows, width), -1.0)
        different = np.unique(sizes[sizes > 0]).tolist()
        groups = [torch.from_numpy(np.flatnonzero(sizes == n)) for n in different]
        for n, which in zip(different, send(groups, offsets.device), strict=True):
            entries = starts[which, None] + torch.arange(n * n, device=starts.device)
            laplacians = blocks[entries].view(-1, n, n)
            if self.kind == "spectrum":
                least = torch.linalg.eigvalsh(laplacians)[:, :width].clamp(min=0.0)
                out[which, : least.shape[1]] = least
            else:
                cells = offsets[which, None] + torch.arange(n, device=starts.device)
                out[cells] = self._diagonals(laplacians)
        return out

    def _diagonals(self, laplacians: torch.Tensor) -> torch.Tensor:
        """Return the diagonals (g, n, width) of functions of the Laplacians (g, n, n)."""
        if self.kind == "heat":
            times = torch.tensor(self.times, dtype=laplacians.dtype, device=laplacians.device)
            return heat_diagonals(laplacians, times)
        weights = laplacians.diagonal(dim1=1, dim2=2)
        scales = torch.where(weights > 0, weights, 1.0).rsqrt()
        eigenvalues, vectors = torch.linalg.eigh(scales[:, :, None] * laplacians * scales[:, None, :])
        powers = torch.arange(1, self.size + 1, device=eigenvalues.device)
        return vectors.square() @ (1 - eigenvalues)[:, :, None] ** powers


def _dense_blocks(
    complexes: CellComplexes, k: int, sizes_on_host: Array
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the entries of the Laplacians of all samples, and where each begins, in float64."""
    offsets = complexes.offsets(k)
    sizes = offsets.diff()
    total = int(np.square(sizes_on_host).sum())
    if total > _MOST_ENTRIES:
        largest = int(sizes_on_host.argmax())
        raise MemoryLimitError(
            f"HodgeEncoding: complexes have {total} entries of dense Laplacians in dimension {k}, and sample "
            f"{largest} has {sizes_on_host[largest]} cells; expected at most {_MOST_ENTRIES} entries"
        )
    starts = sizes.square().cumsum(0) - sizes.square()
    laplacian = complexes.hodge_laplacian(k)
    rows, columns = laplacian.indices()
    samples = complexes.samples(k)[rows]
    places = starts[samples] + (rows - offsets[samples]) * sizes[samples] + columns - offsets[samples]
    blocks = in_double(torch.zeros(total, device=complexes.device))
    blocks[places] = laplacian.values().to(blocks.dtype)
    return blocks, starts
