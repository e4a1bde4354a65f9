"""What `CellComplexes` stand on: tables of a jagged batch of cells, and how samples are chosen and joined.

Every operation is a tensor operation over offsets; none loops over samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self, TypeVar, overload

import numpy as np
import torch

from topodl._checks import check_number, fail
from topodl._sample_indices import sample_indices
from topodl._segments import take_segments
from topodl.complexes._input import Array
from topodl.complexes.lists import Lists
from topodl.errors import InputError

__all__ = ["JaggedCells"]

Cells = TypeVar("Cells", bound="JaggedCells")
_NAME = "CellComplexes"


class JaggedCells:
    """Cells of a batch, dimension by dimension, each sorted by sample; `CellComplexes` says what is what."""

    _offsets: list[torch.Tensor]
    _vertices: list[Lists]
    _faces: list[Lists]
    _ring_signs: torch.Tensor | None
    _values: list[torch.Tensor] | None
    _cofaces: dict[int, tuple[Lists, torch.Tensor]]
    _directed: bool = False

    def _set(
        self,
        offsets: Sequence[Array],
        vertices: Sequence[Array | tuple[Array, Array]],
        faces: Sequence[Array | tuple[Array, Array]],
        ring_signs: Array | None,
        device: torch.device,
    ) -> None:
        self._offsets = [torch.from_numpy(each).to(device) for each in offsets]
        points = torch.arange(int(offsets[0][-1]), device=device)
        self._vertices = [Lists.from_table(points[:, None]), *(_as_lists(each, device) for each in vertices)]
        self._faces = [_as_lists(each, device) for each in faces]
        self._ring_signs = None if ring_signs is None else torch.from_numpy(ring_signs).to(device)
        self._values, self._cofaces = None, {}

    @classmethod
    def _from_tables(
        cls,
        vertex_offsets: Array,
        vertices: Sequence[Array | tuple[Array, Array]],
        faces: Sequence[Array | tuple[Array, Array]],
        offsets: Sequence[Array],
        device: torch.device,
        ring_signs: Array | None = None,
        directed: bool = False,
    ) -> Self:
        """Return the complexes of tables, unchecked, of dimension 1, 2, …; the last may be of rings."""
        new = cls.__new__(cls)
        new._set([vertex_offsets, *offsets], vertices, faces, ring_signs, device)
        new._directed = directed
        return new

    # Tables

    @property
    def n_samples(self) -> int:
        """Number of complexes."""
        return len(self._offsets[0]) - 1

    @property
    def dim(self) -> int:
        """The largest dimension that there is a table for."""
        return len(self._offsets) - 1

    @property
    def has_rings(self) -> bool:
        """Whether the cells of dimension 2 are rings, in place of triangles."""
        return self._ring_signs is not None

    @property
    def is_directed(self) -> bool:
        """Whether simplices are ordered, so that several of them may have the same vertices."""
        return self._directed

    @property
    def device(self) -> torch.device:
        """Device of all tables."""
        return self._offsets[0].device

    def n_cells(self, k: int) -> int:
        """Return the number of cells of dimension `k` of all samples."""
        return len(self._vertices[self._known(k, "n_cells")])

    def offsets(self, k: int) -> torch.Tensor:
        """Return the offsets (n_samples + 1,) of the cells of dimension `k` of each sample."""
        return self._offsets[self._known(k, "offsets")]

    def samples(self, k: int) -> torch.Tensor:
        """Return the sample (S,) that each cell of dimension `k` belongs to."""
        return torch.repeat_interleave(self.offsets(k).diff(), output_size=self.n_cells(k))

    @property
    def counts(self) -> torch.Tensor:
        """(n_samples, dim + 1) numbers of cells."""
        return torch.stack([offsets.diff() for offsets in self._offsets], 1)

    def vertices(self, k: int) -> Lists:
        """Return the vertices of each cell of dimension `k`: rising, or along its edges; in rings around."""
        return self._vertices[self._known(k, "vertices")]

    def faces(self, k: int) -> Lists:
        """Return the cells of dimension `k` − 1 in the boundary of each cell of dimension `k`.

        Face j of a simplex lacks its j-th vertex; those of a ring are its edges, from its first vertex on.
        """
        return self._faces[self._known(k, "faces", low=1) - 1]

    def signs(self, k: int) -> torch.Tensor:
        """Return the sign (M,), int8, with which each member of ``faces(k)`` stands in the boundary."""
        n = len(self.faces(k).members)
        if k == 2 and self._ring_signs is not None:
            return self._ring_signs
        signs = torch.tensor([1, -1] * (k // 2 + 1), dtype=torch.int8, device=self.device)[: k + 1]
        return signs.repeat(n // (k + 1))

    def cofaces(self, k: int) -> Lists:
        """Return the cells of dimension `k` + 1 that each cell of dimension `k` is a face of, rising.

        In the largest dimension, of whose cofaces nothing is known, all lists are empty.
        """
        return self._transposed(self._known(k, "cofaces"))[0]

    def coface_signs(self, k: int) -> torch.Tensor:
        """Return the sign (M,), int8, of the cell in the boundary of each member of ``cofaces(k)``."""
        places = self._transposed(self._known(k, "coface_signs"))[1]
        return self.signs(k + 1)[places] if k < self.dim else places.to(torch.int8)

    def _transposed(self, k: int) -> tuple[Lists, torch.Tensor]:
        if k not in self._cofaces:
            if k < self.dim:
                self._cofaces[k] = self._faces[k].transposed(self.n_cells(k))
            else:
                nothing = self._offsets[0].new_empty(0)
                none = self._offsets[0].new_zeros(self.n_cells(k) + 1)
                self._cofaces[k] = Lists._of(nothing, none), nothing
        return self._cofaces[k]

    def _known(self, k: int, method: str, low: int = 0) -> int:
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or not low <= k <= self.dim:
            raise fail(f"{_NAME}.{method}", "k", f"is {k!r}", f"a dimension from {low} to {self.dim}")
        return int(k)

    @property
    def has_values(self) -> bool:
        """Whether the cells have values."""
        return self._values is not None

    def values(self, k: int) -> torch.Tensor:
        """Return the values (S,) or (S, F) of the cells of dimension `k`; an error if they have none."""
        k = self._known(k, "values")
        if self._values is None:
            raise InputError(f"{_NAME}.values: the cells have no values; expected some of `with_values`")
        return self._values[k]

    @property
    def requires_grad(self) -> bool:
        """Whether values carry a gradient."""
        return any(x.requires_grad for x in self._values or ())

    # Samples

    def __len__(self) -> int:
        return self.n_samples

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(self.n_samples))

    @overload
    def __getitem__(self, index: int) -> Self: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | Sequence[bool] | torch.Tensor) -> Self: ...
    def __getitem__(self, index: Any) -> Self:
        """Return the complexes of one sample (a batch of one), a slice, a mask (B,) or a list of samples."""
        which = sample_indices(_NAME, index, self.n_samples, self.device)
        if isinstance(which, slice):
            which = torch.arange(which.start, which.stop, device=self.device)
        return self._take(which)

    def _take(self, which: torch.Tensor) -> Self:
        places, keys = zip(*(take_segments(offsets, which) for offsets in self._offsets), strict=True)
        offsets = [
            torch.nn.functional.pad(offsets.diff()[which].cumsum(0), (1, 0)) for offsets in self._offsets
        ]
        # how far the cells of each taken sample move, by dimension
        shifts = [new[:-1] - old[which] for new, old in zip(offsets, self._offsets, strict=True)]
        new = object.__new__(type(self))
        new._offsets = offsets
        new._vertices, new._faces = [], []
        for k in range(self.dim + 1):
            new._vertices.append(_moved(self._vertices[k].take(places[k]), keys[k], shifts[0]))
            if k > 0:
                new._faces.append(_moved(self._faces[k - 1].take(places[k]), keys[k], shifts[k - 1]))
        new._ring_signs = None
        if self._ring_signs is not None:
            kept, _ = take_segments(self._faces[1].offsets, places[2])
            new._ring_signs = self._ring_signs[kept]
        values = self._values
        new._values = None if values is None else [x[at] for x, at in zip(values, places, strict=True)]
        new._cofaces, new._directed = {}, self._directed
        return new

    @staticmethod
    def cat(batches: Iterable[Cells]) -> Cells:
        """Return the samples of several batches, one after the other, as a `DataLoader` does by default.

        Raises
        ------
        InputError
            If `batches` is empty, or they differ in dimension, in the kind of their cells, in having values
            or in having directions.
        """
        batches = list(batches)
        if not batches:
            raise InputError(f"{_NAME}.cat: batches is empty; expected at least one CellComplexes")
        first = batches[0]
        forms = {(b.dim, b.has_rings, b.has_values, b.is_directed) for b in batches}
        if len(forms) > 1:
            named = ("dim", "rings", "values", "directed")
            kinds = ", ".join(
                f"({', '.join(f'{name} {value}' for name, value in zip(named, form, strict=True))})"
                for form in sorted(forms)
            )
            raise fail(f"{_NAME}.cat", "batches", f"have {kinds}", "the same in all")
        new = object.__new__(type(first))
        new._offsets = [_cat_offsets([b._offsets[k] for b in batches]) for k in range(first.dim + 1)]
        sizes = [[b.n_cells(k) for b in batches] for k in range(first.dim + 1)]
        new._vertices = [
            _cat_lists([b._vertices[k] for b in batches], sizes[0]) for k in range(first.dim + 1)
        ]
        new._faces = [_cat_lists([b._faces[k] for b in batches], sizes[k]) for k in range(first.dim)]
        rings = [b._ring_signs for b in batches if b._ring_signs is not None]
        new._ring_signs = torch.cat(rings) if rings else None
        new._values = (
            [torch.cat([b.values(k) for b in batches]) for k in range(first.dim + 1)]
            if (first.has_values)
            else None
        )
        new._cofaces, new._directed = {}, first._directed
        return new

    def skeleton(self, k: int) -> Self:
        """Return the complexes without the cells of dimension above `k`; of what is there, all stays."""
        check_number(f"{_NAME}.skeleton", "k", k, low=0, integer=True)
        if k >= self.dim:
            return self
        new = self._with(None if self._values is None else self._values[: k + 1])
        new._offsets, new._vertices = self._offsets[: k + 1], self._vertices[: k + 1]
        new._faces = self._faces[:k]
        new._ring_signs = self._ring_signs if k >= 2 else None
        new._cofaces = {j: both for j, both in self._cofaces.items() if j < k}
        return new

    def _with(self, values: list[torch.Tensor] | None) -> Self:
        """Return the same complexes with other values."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._values = values
        return new

    # Moving

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """Return the complexes on `device`, with values of `dtype`; as `torch.Tensor.to`."""
        if isinstance(device, torch.dtype):
            device, dtype = None, device
        if dtype is not None and not dtype.is_floating_point:
            raise fail(f"{_NAME}.to", "dtype", f"is {dtype}", "a floating dtype")
        new = self._with(None)
        if self._values is not None:
            new._values = [x.to(device=device, dtype=dtype or x.dtype) for x in self._values]
        if device is None:
            return new
        new._offsets = [offsets.to(device) for offsets in self._offsets]
        new._vertices = [lists.to(device) for lists in self._vertices]
        new._faces = [lists.to(device) for lists in self._faces]
        new._ring_signs = None if self._ring_signs is None else self._ring_signs.to(device)
        new._cofaces = {k: (lists.to(device), at.to(device)) for k, (lists, at) in self._cofaces.items()}
        return new

    def cpu(self) -> Self:
        """Return the complexes on the CPU."""
        return self.to("cpu")

    def detach(self) -> Self:
        """Return the complexes with values without gradient."""
        return self._with(None if self._values is None else [x.detach() for x in self._values])

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickles and copies, without the graph of the gradient and what is derived."""
        return self.__dict__ | {"_values": self.detach()._values, "_cofaces": {}}


def _as_lists(cells: Array | tuple[Array, Array], device: torch.device) -> Lists:
    if isinstance(cells, tuple):
        members, offsets = (torch.from_numpy(part).to(device) for part in cells)
        return Lists._of(members, offsets)
    return Lists.from_table(torch.from_numpy(cells).to(device))


def _moved(lists: Lists, keys: torch.Tensor, shifts: torch.Tensor) -> Lists:
    """Return lists whose members, those of the samples `keys` (n,), are shifted by what the sample is."""
    return Lists._of(lists.members + shifts[keys][lists.owners], lists._offsets, lists._width)


def _cat_offsets(several: Sequence[torch.Tensor]) -> torch.Tensor:
    lengths = torch.cat([offsets.diff() for offsets in several])
    return torch.nn.functional.pad(lengths.cumsum(0), (1, 0))


def _cat_lists(several: Sequence[Lists], sizes: Sequence[int]) -> Lists:
    """Return lists one after the other, their members counted on from the `sizes` of what they count."""
    starts = np.cumsum([0, *sizes]).tolist()
    members = torch.cat([each.members + start for each, start in zip(several, starts, strict=False)])
    return Lists._of(members, _cat_offsets([each.offsets for each in several]), several[0]._width)
