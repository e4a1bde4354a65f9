"""``python -m topodl.kernels`` compiles every kernel ahead of its first use, for containers and clusters.

Each kernel module has a function ``warm_up()`` that calls its kernels once on tiny input of every type.
"""

from __future__ import annotations

import importlib
import pkgutil
import time

from tqdm import tqdm

import topodl.kernels


def main() -> None:
    """Call ``warm_up()`` of every public module in `topodl.kernels`."""
    start = time.perf_counter()
    names = [m.name for m in pkgutil.iter_modules(topodl.kernels.__path__) if not m.name.startswith("_")]
    for name in tqdm(names, desc="compiling", unit="module"):
        importlib.import_module(f"topodl.kernels.{name}").warm_up()
    print(f"{len(names)} kernel modules ready after {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
