"""Matrices of distances and kernels between diagrams, and pairs of large diagrams, against GUDHI and persim.

    OMP_NUM_THREADS=1 python benchmarks/diagram_distances.py

A matrix of topodl is that of 500 diagrams with 50 bars. The peers' are those of the first 40, as their time
grows with the number of pairs: both are compared in microseconds a pair.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import gudhi
import gudhi.hera
import gudhi.representations as representations
import gudhi.wasserstein
import numpy as np
import persim

import topodl
from topodl import Diagrams
from topodl.distances import bottleneck_distance, distance_matrix, kernel_matrix, wasserstein_distance

N_DIAGRAMS, N_BARS, N_OF_PEERS = 500, 50, 40
BANDWIDTH = 0.1


def random_bars(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    births = rng.random(n)
    return np.stack([births, births + rng.exponential(0.15, n)], 1)


def cpu_seconds(call: Callable[[], object], repeats: int = 3) -> float:
    """Return the least processor time of a call: wall time hangs on what else runs."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return min(taken)


def each_pair(distance: Callable[[np.ndarray, np.ndarray], object]) -> Callable[[list[np.ndarray]], object]:
    return lambda bars: [distance(x, y) for i, x in enumerate(bars) for y in bars[i + 1 :]]


def matrices() -> Iterator[
    tuple[str, Callable[[Diagrams], object], str, Callable[[list[np.ndarray]], object]]
]:
    """Yield what is timed: its name, topodl's call, the peer and its call."""
    for order, norm in ((2, 2), (1, 2), (1, np.inf)):
        name, hera_norm = f"Wasserstein, order {order}, norm {norm}", -1.0 if norm == np.inf else norm

        def ours(d: Diagrams, order: float = order, norm: float = norm) -> object:
            return distance_matrix(d, order=order, ground_norm=norm)

        def pot(x: np.ndarray, y: np.ndarray, order: float = order, norm: float = norm) -> object:
            return gudhi.wasserstein.wasserstein_distance(x, y, order=order, internal_p=norm)

        def hera(x: np.ndarray, y: np.ndarray, order: float = order, norm: float = hera_norm) -> object:
            return gudhi.hera.wasserstein_distance(x, y, order, norm)

        yield name, ours, "GUDHI with POT", each_pair(pot)
        yield name, ours, "Hera, to 1 %", each_pair(hera)

    def bottleneck(d: Diagrams) -> object:
        return distance_matrix(d, metric="bottleneck")

    yield "bottleneck", bottleneck, "GUDHI, errs among ties", each_pair(gudhi.bottleneck_distance)
    yield (
        "bottleneck",
        bottleneck,
        "Hera, to 1 %",
        each_pair(gudhi.hera.bottleneck_distance),
    )
    yield (
        "sliced Wasserstein, 50 directions",
        lambda d: distance_matrix(d, metric="sliced_wasserstein"),
        "GUDHI, 49 directions",
        representations.SlicedWassersteinDistance(num_directions=50).fit_transform,
    )
    yield (
        "persistence Fisher",
        lambda d: distance_matrix(d, metric="persistence_fisher", bandwidth=BANDWIDTH),
        "GUDHI",
        representations.PersistenceFisherDistance(bandwidth=BANDWIDTH).fit_transform,
    )
    yield (
        "landscapes, 5 layers, exact",
        lambda d: distance_matrix(d, metric="landscape"),
        "GUDHI, on 100 places",
        landscapes_on_a_grid,
    )
    yield (
        "heat",
        lambda d: distance_matrix(d, metric="heat", bandwidth=BANDWIDTH),
        "GUDHI, from its kernel",
        heat_from_kernel,
    )
    yield (
        "heat",
        lambda d: distance_matrix(d, metric="heat", bandwidth=BANDWIDTH),
        "persim",
        lambda bars: each_pair(lambda x, y: persim.heat(x, y, BANDWIDTH))(bars[:6]),
    )
    yield (
        "scale space kernel",
        lambda d: kernel_matrix(d, bandwidth=BANDWIDTH),
        "GUDHI",
        representations.PersistenceScaleSpaceKernel(bandwidth=BANDWIDTH).fit_transform,
    )
    yield (
        "weighted Gaussian kernel",
        lambda d: kernel_matrix(d, kernel="weighted_gaussian", bandwidth=BANDWIDTH),
        "GUDHI",
        representations.PersistenceWeightedGaussianKernel(bandwidth=BANDWIDTH).fit_transform,
    )
    yield (
        "sliced Wasserstein kernel",
        lambda d: kernel_matrix(d, kernel="sliced_wasserstein", bandwidth=BANDWIDTH),
        "GUDHI, 49 directions",
        representations.SlicedWassersteinKernel(num_directions=50, bandwidth=BANDWIDTH).fit_transform,
    )
    yield (
        "persistence Fisher kernel",
        lambda d: kernel_matrix(d, kernel="persistence_fisher", fisher_bandwidth=BANDWIDTH),
        "GUDHI",
        representations.PersistenceFisherKernel(bandwidth_fisher=BANDWIDTH).fit_transform,
    )


def landscapes_on_a_grid(bars: list[np.ndarray]) -> np.ndarray:
    values = representations.Landscape(num_landscapes=5, resolution=100).fit_transform(bars)
    return np.sqrt(((values[:, None] - values) ** 2).sum(2))


def heat_from_kernel(bars: list[np.ndarray]) -> np.ndarray:
    kernel = representations.PersistenceScaleSpaceKernel(bandwidth=BANDWIDTH).fit_transform(bars)
    own = np.diag(kernel)
    return np.sqrt(np.maximum(own[:, None] + own - 2 * kernel, 0))


def many_diagrams() -> None:
    bars = [random_bars(N_BARS, seed) for seed in range(N_DIAGRAMS)]
    every, few = Diagrams.from_gudhi(bars), Diagrams.from_gudhi(bars[:N_OF_PEERS])
    n_pairs = N_OF_PEERS * (N_OF_PEERS - 1) // 2
    print("| matrix | 500 diagrams, s | a pair, µs | peer | a pair, µs | ratio |\n|---|---|---|---|---|---|")
    known: dict[str, float] = {}
    for name, ours, peer, theirs in matrices():
        if name not in known:
            ours(few)  # compiles
            known[name] = cpu_seconds(lambda ours=ours: ours(every), 2)
        mine = known[name] / (N_DIAGRAMS * (N_DIAGRAMS - 1) // 2) * 1e6
        n_of_peer = 15 if peer == "persim" else n_pairs  # of six diagrams
        yours = cpu_seconds(lambda theirs=theirs: theirs(bars[:N_OF_PEERS]), 2) / n_of_peer * 1e6
        print(
            f"| {name} | {known[name]:.2f} | {mine:.1f} | {peer} | {yours:.0f} | {yours / mine:.1f} |",
            flush=True,
        )


def large_pairs() -> None:
    print("\n| pair of 1,800 bars | topodl, ms | peer | ms | ratio |\n|---|---|---|---|---|")
    x, y = random_bars(1800, 1), random_bars(1800, 2)
    a, b = Diagrams.from_gudhi([x]), Diagrams.from_gudhi([y])
    for order, norm in ((2, 2), (1, 2), (1, np.inf)):
        mine = cpu_seconds(lambda o=order, q=norm: wasserstein_distance(a, b, o, q))
        hera_norm = -1.0 if norm == np.inf else norm
        yours = cpu_seconds(lambda o=order, q=hera_norm: gudhi.hera.wasserstein_distance(x, y, o, q), 2)
        print_pair(f"Wasserstein, order {order}, norm {norm}", mine, "Hera, to 1 %", yours)
    mine = cpu_seconds(lambda: bottleneck_distance(a, b))
    print_pair("bottleneck", mine, "GUDHI", cpu_seconds(lambda: gudhi.bottleneck_distance(x, y)))
    print_pair(
        "bottleneck", mine, "Hera, exact", cpu_seconds(lambda: gudhi.hera.bottleneck_distance(x, y, 0))
    )


def print_pair(name: str, mine: float, peer: str, yours: float) -> None:
    print(f"| {name} | {mine * 1e3:.1f} | {peer} | {yours * 1e3:.0f} | {yours / mine:.1f} |", flush=True)


if __name__ == "__main__":
    topodl.set_num_threads(1)
    many_diagrams()
    large_pairs()
