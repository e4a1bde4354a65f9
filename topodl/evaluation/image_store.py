"""Images in memory up to a size, and beyond it in a file that the system maps, page by page as they are used.

A mapped tensor is one as any other: what reads it costs a read of the disk, unless the system still has it.
"""

from __future__ import annotations

import math
import tempfile
import weakref
from typing import IO

import numpy as np
import torch

from topodl.errors import InputError

__all__ = ["ImageStore"]

_ALIGNMENT = 64  # bytes


class ImageStore:
    """Keeps tensors: the first ones in memory, those beyond `gibibytes` in a file without a name.

    The file is in the temporary folder (`TMPDIR`), and goes when the last tensor in it does, or the process.

    Parameters
    ----------
    gibibytes : float
        How much stays in memory, in units of 2^30 bytes.
    """

    def __init__(self, gibibytes: float) -> None:
        self._left = gibibytes * 2**30
        self._file: IO[bytes] | None = None

    def keep(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor with the same values, on the CPU: the same one where there is room for it.

        Raises
        ------
        InputError
            If the disk has no room.
        """
        size = tensor.numel() * tensor.element_size()
        if size <= self._left:
            self._left -= size
            return tensor
        values = tensor.contiguous().numpy()
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="topodl-")  # noqa: SIM115 (as long as the store)
                weakref.finalize(self, self._file.close)
            offset = _ALIGNMENT * math.ceil(self._file.seek(0, 2) / _ALIGNMENT)
            self._file.seek(offset)
            self._file.write(values.data)
            self._file.flush()
        except OSError as error:
            raise InputError(
                f"topodl evaluate: images do not fit into the temporary folder {tempfile.gettempdir()} "
                f"({error.strerror}); expected TMPDIR on a larger disk, or a larger image_memory"
            ) from error
        # Copied on write, so that nothing gets back into the file.
        mapped = np.memmap(self._file, dtype=values.dtype, mode="c", offset=offset, shape=values.shape)
        return torch.from_numpy(mapped)
