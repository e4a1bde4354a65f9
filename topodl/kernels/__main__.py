"""``python -m topodl.kernels`` compiles every kernel ahead of its first use, for containers and clusters.

A module whose kernels Python calls has a function ``warm_up()``: it runs them on tiny input of every type.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from types import ModuleType

from tqdm import tqdm

import topodl.kernels


def _rooms() -> list[ModuleType]:
    found = pkgutil.iter_modules(topodl.kernels.__path__)
    return [importlib.import_module(f"topodl.kernels.{name}") for _, name, is_package in found if is_package]


def main() -> None:
    """Call ``warm_up()`` of every module in the rooms of `topodl.kernels` that has one."""
    start = time.perf_counter()
    names = [
        name
        for _, name, is_room in pkgutil.walk_packages(topodl.kernels.__path__, "topodl.kernels.")
        if not is_room
    ]
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__")]
    warm = [module for module in modules if hasattr(module, "warm_up")]
    for module in tqdm(warm, desc="compiling", unit="module"):
        module.warm_up()
    print(f"{len(warm)} kernel modules ready after {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
