"""Recipes that giotto-tda and GUDHI publish, as a script: it runs where they are installed, without topodl.

`python feature_peers.py RECIPE IN.npz OUT.npz` reads samples and writes a table and the seconds it took; it
ends with status 3 where a library is missing.
"""

from __future__ import annotations

import itertools
import sys
import time
from typing import Any

import numpy as np

__all__ = ["MISSING", "PEERS"]

MISSING = 3
PEERS = {
    "images": ("giotto-tda", "GUDHI"),
    "clouds": ("giotto-tda", "GUDHI"),
    "graphs": ("giotto-tda", "GUDHI"),
    "series": ("giotto-tda", "GUDHI"),
}
"""Libraries with a recipe for each kind of data."""

Array = Any
_METRICS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("bottleneck", {}),
    ("wasserstein", {"p": 1}),
    ("wasserstein", {"p": 2}),
    ("landscape", {"p": 1, "n_layers": 1, "n_bins": 100}),
    ("landscape", {"p": 2, "n_layers": 2, "n_bins": 100}),
    ("betti", {"p": 1, "n_bins": 100}),
    ("betti", {"p": 2, "n_bins": 100}),
    ("heat", {"p": 1, "sigma": 1.6, "n_bins": 100}),
    ("heat", {"p": 2, "sigma": 3.2, "n_bins": 100}),
)


def _giotto_images(X: Array) -> Array:
    """Return amplitudes and entropies of eight height and nine radial filtrations of binarised images."""
    from gtda.homology import CubicalPersistence
    from gtda.images import Binarizer, HeightFiltration, RadialFiltration

    side = X.shape[1]
    centres = [round(side * share) for share in (0.21, 0.46, 0.71)]
    steps = [(a, b) for a, b in itertools.product((-1, 0, 1), repeat=2) if (a, b) != (0, 0)]
    filtrations = [HeightFiltration(direction=np.array(step)) for step in steps]
    filtrations += [RadialFiltration(center=np.array(c)) for c in itertools.product(centres, repeat=2)]
    masks = Binarizer(threshold=0.4).fit_transform(X)
    parts = [CubicalPersistence().fit_transform(f.fit_transform(masks)) for f in filtrations]
    return np.concatenate([_giotto_vectors(part) for part in parts], 1)


def _giotto_vectors(diagrams: Array) -> Array:
    from gtda.diagrams import Amplitude, PersistenceEntropy, Scaler

    scaled = Scaler(metric="bottleneck").fit_transform(diagrams)
    amplitudes = [Amplitude(metric=m, metric_params=p).fit_transform(scaled) for m, p in _METRICS]
    return np.concatenate([PersistenceEntropy(nan_fill_value=-1).fit_transform(scaled), *amplitudes], 1)


def _giotto_clouds(X: Array) -> Array:
    from gtda.homology import VietorisRipsPersistence

    return _giotto_vectors(VietorisRipsPersistence(homology_dimensions=(0, 1)).fit_transform(X))


def _giotto_series(X: Array) -> Array:
    from gtda.time_series import TakensEmbedding

    return _giotto_clouds(TakensEmbedding(time_delay=1, dimension=3).fit_transform(X))


def _giotto_graphs(X: list[tuple[int, Array]]) -> Array:
    from gtda.graphs import GraphGeodesicDistance
    from gtda.homology import VietorisRipsPersistence
    from scipy.sparse import csr_matrix

    matrices = []
    for n, edges in X:
        ends = np.concatenate([edges, edges[::-1]], 1)
        matrix = csr_matrix((np.ones(ends.shape[1]), tuple(ends)), (n, n))
        matrix.data[:] = 1
        matrices.append(matrix)
    distances = GraphGeodesicDistance(directed=False, unweighted=True).fit_transform(matrices)
    # Components that never meet: their infinite bars would make all amplitudes NaN.
    end = 1 + max(matrix[np.isfinite(matrix)].max() for matrix in distances)
    persistence = VietorisRipsPersistence(
        metric="precomputed", homology_dimensions=(0, 1), infinity_values=float(end)
    )
    return _giotto_vectors(persistence.fit_transform(distances))


def _gudhi_images(X: Array) -> Array:
    """Return persistence images of the finite bars of dimension 0, the example of GUDHI's pipeline."""
    from gudhi.representations import DiagramSelector, PersistenceImage
    from gudhi.sklearn.cubical_persistence import CubicalPersistence

    grey = 255 * (1 - X / X.max())
    bars = CubicalPersistence(homology_dimensions=0).fit_transform(list(grey))
    finite = DiagramSelector(use=True, limit=np.inf, point_type="finite").fit_transform(bars)
    image = PersistenceImage(
        bandwidth=50, weight=lambda x: x[1] ** 2, im_range=[0, 256, 0, 256], resolution=[20, 20]
    )
    return image.fit_transform(finite)


def _gudhi_clouds(X: Any) -> Array:
    from gudhi.sklearn.rips_persistence import RipsPersistence

    bars = RipsPersistence(homology_dimensions=[0, 1]).fit_transform(list(X))
    return np.concatenate([_gudhi_landscape([each[k] for each in bars]) for k in (0, 1)], 1)


def _gudhi_landscape(bars: list[Array]) -> Array:
    from gudhi.representations import DiagramSelector, Landscape

    finite = DiagramSelector(use=True, limit=np.inf, point_type="finite").fit_transform(bars)
    return Landscape(num_landscapes=5, resolution=100).fit_transform(finite)


def _gudhi_series(X: Array) -> Array:
    from gudhi.point_cloud.timedelay import TimeDelayEmbedding

    return _gudhi_clouds(TimeDelayEmbedding(dim=3, delay=1, skip=1).transform(X))


def _gudhi_graphs(X: list[tuple[int, Array]]) -> Array:
    """Return persistence images of the four extended diagrams of heat kernel signatures, as PersLay's."""
    from gudhi import SimplexTree
    from gudhi.representations import PersistenceImage

    parts: list[list[Array]] = [[], [], [], []]
    for n, edges in X:
        heat = _heat(n, edges)
        tree = SimplexTree()
        for v in range(n):
            tree.insert([v], heat[v])
        for u, v in edges.T:
            tree.insert([u, v], max(heat[u], heat[v]))
        tree.extend_filtration()
        for part, bars in zip(parts, tree.extended_persistence(min_persistence=1e-9), strict=True):
            ends = np.array([sorted(bar) for _, bar in bars]).reshape(-1, 2)
            part.append(ends)
    image = {"bandwidth": 0.05, "im_range": [0, 1, 0, 1], "resolution": [10, 10], "weight": lambda x: x[1]}
    return np.concatenate([PersistenceImage(**image).fit_transform(part) for part in parts], 1)


def _heat(n: int, edges: Array) -> Array:
    """Return the diagonal of exp(−10 L) for the normalised Laplacian."""
    adjacency = np.zeros((n, n))
    adjacency[tuple(edges)] = adjacency[tuple(edges[::-1])] = 1
    degrees = adjacency.sum(1)
    scales = 1 / np.sqrt(np.maximum(degrees, 1))
    values, vectors = np.linalg.eigh(np.diag(degrees > 0) - scales[:, None] * adjacency * scales)
    return np.square(vectors) @ np.exp(-10 * values)


_RECIPES = {
    ("giotto-tda", "images"): _giotto_images,
    ("giotto-tda", "clouds"): _giotto_clouds,
    ("giotto-tda", "graphs"): _giotto_graphs,
    ("giotto-tda", "series"): _giotto_series,
    ("GUDHI", "images"): _gudhi_images,
    ("GUDHI", "clouds"): _gudhi_clouds,
    ("GUDHI", "graphs"): _gudhi_graphs,
    ("GUDHI", "series"): _gudhi_series,
}


def main(recipe: str, kind: str, source: str, target: str) -> int:
    """Run a recipe on a first few samples, then timed on all; return the exit status."""
    with np.load(source) as arrays:
        X = _samples(kind, arrays)
    run = _RECIPES[recipe, kind]
    try:
        run(X[:4])
    except ImportError as error:
        print(error, file=sys.stderr)
        return MISSING
    start = time.process_time()
    table = run(X)
    np.savez(target, table=table, seconds=time.process_time() - start)
    return 0


def _samples(kind: str, arrays: Any) -> Any:
    if kind != "graphs":
        return arrays["X"]
    edges = np.split(arrays["edges"], np.cumsum(arrays["lengths"])[:-1], axis=1)
    return list(zip(arrays["sizes"].tolist(), edges, strict=True))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
