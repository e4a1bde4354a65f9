"""Lists of integers of unequal length as two flat tensors: the cells' vertices, faces and cofaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from topodl._checks import check_dense, fail
from topodl._host import on_host
from topodl._segments import Bags, take_segments
from topodl.kernels.complexes.tables import transpose

__all__ = ["Lists"]


class Lists:
    """Lists of integers, one after the other, as `torch.nn.functional.embedding_bag` takes bags.

    Parameters
    ----------
    members : Tensor of shape (M,), int64
        The lists, one after the other.
    offsets : Tensor of shape (n + 1,), int64
        List i has the members from ``offsets[i]`` to ``offsets[i + 1]``.

    Raises
    ------
    InputError
        If the offsets do not rise from 0 to M, or a tensor has another shape or dtype.
    TypeError
        If one of both is no tensor.

    Notes
    -----
    This is the form of the rows of a compressed sparse matrix.

    References
    ----------
    Y. Saad, "Iterative Methods for Sparse Linear Systems", 2nd edition, SIAM 2003, section 3.4.

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import Lists
    >>> bags = Lists(torch.tensor([4, 2, 0, 1, 3]), torch.tensor([0, 2, 2, 5]))
    >>> bags
    Lists(3 lists, 5 members; cpu)
    >>> bags.lengths
    tensor([2, 0, 3])
    >>> bags[2]
    tensor([0, 1, 3])
    """

    members: torch.Tensor
    _offsets: torch.Tensor | None
    _width: int | None = None  # where all have the same length, as in an empty table, too
    _bags: Bags | None = None

    def __init__(self, members: torch.Tensor, offsets: torch.Tensor) -> None:
        members, offsets = check_dense("Lists", "members", members), check_dense("Lists", "offsets", offsets)
        for name, value in {"members": members, "offsets": offsets}.items():
            if value.ndim != 1 or value.dtype != torch.int64:
                came = f"has shape {tuple(value.shape)} and dtype {value.dtype}"
                raise fail("Lists", name, came, "one axis, torch.int64")
        rises = len(offsets) > 0 and bool((offsets.diff() >= 0).all())
        if not rises or int(offsets[0]) != 0 or int(offsets[-1]) != len(members):
            came = f"has {len(offsets)} entries"
            raise fail("Lists", "offsets", came, f"them to rise from 0 to the {len(members)} members")
        self.members, self._offsets = members, offsets

    @classmethod
    def _of(cls, members: torch.Tensor, offsets: torch.Tensor | None, width: int | None = None) -> Lists:
        new = cls.__new__(cls)
        new.members, new._offsets, new._width = members, offsets, width
        return new

    @classmethod
    def from_table(cls, table: torch.Tensor) -> Lists:
        """Return the rows of a table (n, k) as lists."""
        if check_dense("Lists.from_table", "table", table).ndim != 2 or table.dtype != torch.int64:
            came = f"has shape {tuple(table.shape)} and dtype {table.dtype}"
            raise fail("Lists.from_table", "table", came, "shape (n, k), torch.int64")
        if table.shape[1] == 0:
            return cls._of(table.reshape(-1), table.new_zeros(len(table) + 1), 0)
        return cls._of(table.reshape(-1), None, table.shape[1])

    @property
    def offsets(self) -> torch.Tensor:
        """(n + 1,) positions between which the lists lie among the members."""
        if self._offsets is None:  # of a table, of which few ask for them
            width = self._width or 1
            self._offsets = torch.arange(0, len(self.members) + 1, width, device=self.device)
        return self._offsets

    def __len__(self) -> int:
        return len(self.members) // self._width if self._width else len(self.offsets) - 1

    def __getitem__(self, i: int) -> torch.Tensor:
        """Return the members of one list, (length,)."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"Lists: list {i} is out of range; there are {len(self)} lists")
        first, last = self.offsets[i % len(self)], self.offsets[i % len(self) + 1]
        return self.members[int(first) : int(last)]

    @property
    def device(self) -> torch.device:
        """Device of both tensors."""
        return self.members.device

    @property
    def lengths(self) -> torch.Tensor:
        """(n,) length of each list."""
        return self.offsets.diff()

    @property
    def owners(self) -> torch.Tensor:
        """(M,) index of the list that each member stands in."""
        return torch.repeat_interleave(self.lengths, output_size=len(self.members))

    def table(self, fill: int | None = None) -> torch.Tensor:
        """Return the lists as rows (n, k) of a table.

        Parameters
        ----------
        fill : int, optional
            What stands behind the shorter ones. By default all have to be of the same length.

        Returns
        -------
        Tensor of shape (n, k)
            k is the largest length.

        Raises
        ------
        InputError
            If lengths differ, and there is no `fill`.
        """
        if self._width is not None:
            return self.members.view(len(self), self._width)
        width = len(self.members) // max(len(self), 1)
        if bool((self.lengths == width).all()):
            return self.members.view(len(self), width)
        if fill is None:
            low, high = torch.aminmax(self.lengths)
            came = f"have {int(low)} to {int(high)} members"
            raise fail("Lists.table", "the lists", came, "one length, or fill=… for what stands behind them")
        columns = torch.arange(int(self.lengths.max()), device=self.device)
        places = (self.offsets[:-1, None] + columns).clamp(max=len(self.members) - 1)
        return torch.where(columns < self.lengths[:, None], self.members[places], fill)

    def take(self, which: torch.Tensor) -> Lists:
        """Return the lists at `which` (m,), in that order."""
        places, _ = take_segments(self.offsets, which)
        ends = self.lengths[which].cumsum(0)
        return Lists._of(self.members[places], torch.nn.functional.pad(ends, (1, 0)), self._width)

    def transposed(self, n: int) -> tuple[Lists, torch.Tensor]:
        """Return for each of `n` members the lists that it is in, and the places (M,) they are read from."""
        if on_host(self.members):
            arrays = transpose(self.members.numpy(), self.offsets.numpy(), n)
            offsets, lists, places = map(torch.from_numpy, arrays)
            return Lists._of(lists, offsets), places
        places = torch.sort(self.members, stable=True).indices
        counts = torch.bincount(self.members, minlength=n)
        offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
        return Lists._of(self.owners[places], offsets), places

    def bags(self, n: int) -> Bags:
        """Return the lists as bags of rows of a table of `n` rows; they and their transpose are kept."""
        if self._bags is None:
            self._bags = Bags(self.members, self.offsets, n)
        return self._bags

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickles and copies, without what is derived."""
        return self.__dict__ | {"_bags": None, "_offsets": None if self._width else self.offsets}

    def to(self, device: Any) -> Lists:
        """Return the lists on `device`."""
        offsets = None if self._offsets is None else self._offsets.to(device)
        return Lists._of(self.members.to(device), offsets, self._width)

    def numpy(self) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
        """Return one array (length,) a list."""
        return np.split(self.members.cpu().numpy(), self.offsets[1:-1].cpu().numpy()) if len(self) else []

    def __repr__(self) -> str:
        return f"Lists({len(self)} lists, {len(self.members)} members; {self.device})"
