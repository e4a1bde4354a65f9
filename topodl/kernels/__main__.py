"""``python -m topodl.kernels`` compiles every kernel ahead of its first use, for containers and clusters.

A module whose kernels Python calls has a function ``warm_up()``: it runs them on tiny input of every type.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from types import ModuleType

from tqdm import tqdm

from topodl import kernels


def modules_to_warm_up() -> list[ModuleType]:
    """Return every module in the rooms of `topodl.kernels` that has a function ``warm_up()``."""
    found = pkgutil.walk_packages(kernels.__path__, f"{kernels.__name__}.")
    modules = [importlib.import_module(name) for _, name, is_room in found if not is_room]
    return [module for module in modules if hasattr(module, "warm_up")]


def main() -> None:
    """Call each ``warm_up()``, and say how long they took together."""
    start = time.perf_counter()
    modules = modules_to_warm_up()
    for module in tqdm(modules, desc="compiling", unit="module"):
        module.warm_up()
    print(f"{len(modules)} kernel modules ready after {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
