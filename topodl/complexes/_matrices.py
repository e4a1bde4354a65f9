"""Sparse matrices of complexes, block-diagonal over samples: boundaries, adjacencies, Hodge Laplacians."""

from __future__ import annotations

from typing import NamedTuple

import torch

from topodl._host import host_arrays
from topodl.complexes.lists import Lists
from topodl.kernels.complexes.laplacians import sum_of_products

__all__ = ["SignedLists", "adjacency_matrix", "product_matrix", "sparse_matrix"]


class SignedLists(NamedTuple):
    """A sparse matrix of signs, by rows and by columns: lists with their signs (M,), and the transpose."""

    rows: Lists
    signs: torch.Tensor
    columns: Lists
    column_signs: torch.Tensor

    @staticmethod
    def none(n: int, device: torch.device) -> SignedLists:
        """Return that of `n` rows without an entry."""
        nothing = torch.zeros(n + 1, dtype=torch.int64, device=device)
        empty, signs = Lists._of(nothing[:0], nothing), nothing[:0].to(torch.int8)
        return SignedLists(empty, signs, empty, signs)

    def unsigned(self) -> SignedLists:
        """Return the matrix of absolute values."""
        return SignedLists(self.rows, self.signs.abs(), self.columns, self.column_signs.abs())

    def tensors(self) -> list[torch.Tensor]:
        """Return all tensors, in the order in which the kernels take them."""
        rows, columns = self.rows, self.columns
        return [rows.members, rows.offsets, self.signs, columns.members, columns.offsets, self.column_signs]


def sparse_matrix(
    offsets: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, n_columns: int, dtype: torch.dtype
) -> torch.Tensor:
    """Return the coalesced matrix (n, n_columns) whose rows lie between `offsets`, with rising columns."""
    rows = torch.repeat_interleave(offsets.diff(), output_size=len(columns))
    return torch.sparse_coo_tensor(
        torch.stack((rows, columns)),
        values.to(dtype),
        (len(offsets) - 1, n_columns),
        is_coalesced=True,
        check_invariants=False,
        device=values.device,
    )


def product_matrix(
    function: str,
    one: SignedLists,
    other: SignedLists,
    dtype: torch.dtype,
    diagonal: bool = True,
) -> torch.Tensor:
    """Return A·Aᵀ + B·Bᵀ (n, n) without stored zeros, and without its diagonal where that is not wanted."""
    n, device = len(one.rows), one.rows.device
    arrays = host_arrays(function, [*one.tensors(), *other.tensors()])
    rows = sum_of_products(tuple(arrays[:6]), tuple(arrays[6:]), n, not diagonal)
    offsets, columns, values = (torch.from_numpy(each).to(device) for each in rows)
    return sparse_matrix(offsets, columns, values, n, dtype)


def adjacency_matrix(function: str, lists: SignedLists, dtype: torch.dtype) -> torch.Tensor:
    """Return 1 for each two different rows that share a member."""
    none = SignedLists.none(len(lists.rows), lists.rows.device)
    counts = product_matrix(function, lists.unsigned(), none, dtype, diagonal=False)
    return torch.sparse_coo_tensor(
        counts.indices(),
        torch.ones_like(counts.values()),
        counts.shape,
        is_coalesced=True,
        check_invariants=False,
        device=counts.device,
    )
