"""Peak memory of a training: what torch allocated on a GPU, or what the process held on a CPU."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

__all__ = ["peak_memory", "reset_peak_memory"]

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def reset_peak_memory(device: torch.device) -> None:
    """Start a new measurement; where the system cannot, the process's peak goes on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        _CLEAR.write_text("5", encoding="ascii")  # resets the peak resident set size on Linux
    except OSError:
        return


def peak_memory(device: torch.device) -> int:
    """Return the peak in bytes since the last reset; 0 where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return _peak_of_process()


def _peak_of_process() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit
