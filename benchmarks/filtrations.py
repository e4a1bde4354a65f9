"""Time what stands before persistence beside its peers: GUDHI, and pyflagser where it is installed.

Processor time of one thread, candidates that take turns.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from gudhi import PeriodicCubicalComplex
from gudhi.weighted_rips_complex import WeightedRipsComplex
from scipy.spatial.distance import cdist

import topodl
from benchmarks.timing import Candidate, least, one_thread
from topodl.complexes import directed_flag_complexes
from topodl.layers import EulerCharacteristicTransform

ROUNDS = 10


def report(name: str, candidates: dict[str, Candidate]) -> None:
    """Print the least times of candidates, the first of which is topodl's, and their ratios to it."""
    times = least(candidates, ROUNDS, seconds=30.0)
    own = next(iter(times.values()))
    print(name, ", ".join(f"{key} {ms:.1f} ms ({ms / own:.1f}×)" for key, ms in times.items()))


def periodic(shape: tuple[int, ...]) -> dict[str, Candidate]:
    """Pair random images on a torus."""
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def peer() -> None:
        for image in images.numpy():
            cells = PeriodicCubicalComplex(vertices=image, periodic_dimensions=[True] * image.ndim)
            cells.compute_persistence(2, 0.0)

    return {"topodl": lambda: topodl.cubical_persistence(images, periodic=True), "GUDHI": peer}


def weighted(n: int) -> dict[str, Candidate]:
    """Pair weighted Rips filtrations of eight clouds in the plane, dimensions 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    clouds = torch.rand(8, n, 2, generator=generator, dtype=torch.float64)
    weights = torch.rand(8, n, generator=generator, dtype=torch.float64) / 10

    def peer() -> None:
        for cloud, own in zip(clouds.numpy(), weights.tolist(), strict=True):
            distances = cdist(cloud, cloud)
            tree = WeightedRipsComplex(distance_matrix=distances, weights=own).create_simplex_tree(2)
            tree.compute_persistence()

    return {"topodl": lambda: topodl.rips_persistence(clouds, weights=weights), "GUDHI": peer}


def directed(n: int, density: float) -> dict[str, Candidate]:
    """Build and pair the directed flag complex of a random graph with weights, dimensions 0 and 1."""
    rng = np.random.default_rng(0)
    edges = rng.random((n, n)) < density
    np.fill_diagonal(edges, False)
    index, weights = np.argwhere(edges).T.copy(), rng.random(int(edges.sum()))
    ends, values = torch.from_numpy(index), torch.from_numpy(weights)

    def own() -> None:
        complexes = directed_flag_complexes(ends, n_vertices=n)
        of_edges = torch.zeros(complexes.n_cells(1), dtype=values.dtype)
        of_edges[complexes.index_of(ends)] = values
        start = torch.zeros(n, dtype=values.dtype)
        topodl.complex_persistence(complexes.with_values([start, of_edges]), (0, 1))

    candidates: dict[str, Callable[[], object]] = {"topodl": own}
    try:
        from pyflagser import flagser_weighted
    except ImportError:
        return candidates
    matrix = np.full((n, n), np.inf)
    matrix[tuple(index)] = weights
    np.fill_diagonal(matrix, 0.0)
    candidates["pyflagser"] = lambda: flagser_weighted(matrix, max_dimension=1, filtration="max")
    return candidates


def transforms() -> dict[str, Candidate]:
    """Transform 64 images of 28 × 28 pixels by 32 directions and thresholds."""
    images = torch.rand(64, 28, 28, generator=torch.Generator().manual_seed(0))
    soft, hard = (EulerCharacteristicTransform(32, 32, mode=mode, images=True) for mode in ("soft", "hard"))
    return {"soft": lambda: soft(images), "hard": lambda: hard(images)}


if __name__ == "__main__":
    one_thread()
    report("periodic 16 × 64 × 64:", periodic((16, 64, 64)))
    report("periodic 4 × 16 × 16 × 16:", periodic((4, 16, 16, 16)))
    report("weighted Rips, 8 clouds of 100 points:", weighted(100))
    report("directed, 120 vertices, 1,700 edges:", directed(120, 0.12))
    report("directed, 300 vertices, 9,000 edges:", directed(300, 0.1))
    report("Euler transform of images:", transforms())
