"""Rips persistence of few edges, in dimensions 0 and 1, beside ripser's and GUDHI's sparse modes; one thread.

python benchmarks/sparse_rips.py [--sizes N …] [--peers-up-to N]

Uniform points of the plane and of space whose edges are as long as leaves about 10 to a point; ripser gets
them as a sparse matrix, GUDHI as points with a limit. Processor seconds, and the peak of memory of topodl.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import gudhi
import numpy as np
import ripser
import torch
from scipy import sparse
from timing import cpu_ms, least, one_thread

import topodl

VOLUMES = {2: math.pi, 3: 4 / 3 * math.pi}


def cloud(n: int, n_dims: int) -> tuple[np.ndarray[Any, Any], float]:
    """Return points in the unit cube, and the length below which each has about 20 neighbours."""
    points = np.random.default_rng(0).random((n, n_dims))
    return points, (20 / (VOLUMES[n_dims] * n)) ** (1 / n_dims)


def sparse_distances(points: np.ndarray[Any, Any], longest: float) -> sparse.coo_array:
    from scipy.spatial import cKDTree

    edges = cKDTree(points).query_pairs(longest, output_type="ndarray")
    lengths = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    upper = sparse.coo_array((lengths, tuple(edges.T)), shape=(len(points), len(points)))
    return sparse.coo_array(upper + upper.T)


def by_gudhi(points: np.ndarray[Any, Any], longest: float) -> Any:
    tree = gudhi.RipsComplex(points=points, max_edge_length=longest).create_simplex_tree(max_dimension=2)
    return tree.compute_persistence(homology_coeff_field=2)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[5_000, 20_000, 160_000])
    parser.add_argument("--peers-up-to", type=int, default=20_000, help="beyond, topodl runs alone")
    chosen = parser.parse_args()
    one_thread()
    print("| points | edges | topodl, sparse | topodl, points | ripser | GUDHI |\n|---|---|---|---|---|---|")
    for n_dims in VOLUMES:
        for n in chosen.sizes:
            points, longest = cloud(n, n_dims)
            matrix, batch = sparse_distances(points, longest), torch.from_numpy(points)[None]
            own: dict[str, Callable[[], Any]] = {
                "sparse": lambda m=matrix: topodl.rips_persistence(m, metric="precomputed"),
                "points": lambda b=batch, r=longest: topodl.rips_persistence(b, max_edge_length=r),
            }
            times = least(own, 3)
            cells = [f"{times['sparse'] / 1e3:.2f} s", f"{times['points'] / 1e3:.2f} s"]
            if n <= chosen.peers_up_to:
                rip = cpu_ms(lambda m=matrix: ripser.ripser(m, distance_matrix=True, maxdim=1))
                gud = cpu_ms(lambda p=points, r=longest: by_gudhi(p, r))
                cells += [
                    f"{rip / 1e3:.2f} s ({rip / times['sparse']:.1f})",
                    f"{gud / 1e3:.2f} s ({gud / times['points']:.1f})",
                ]
            else:
                cells += ["", ""]
            print(f"| {n:,} in R^{n_dims} | {matrix.nnz // 2:,} | " + " | ".join(cells) + " |", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak memory of all: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
