"""Vectorisations, Euler transforms and distances against their peers, one core, in one run.

    OMP_NUM_THREADS=1 python benchmarks/layers.py [--dect FOLDER] [--peers PYTHON] [--topological PYTHON]

Each line has the CPU time of topodl and of the peer in milliseconds (least of several runs) and their ratio.
Needs gudhi, persim, POT and eagerpy; a clone of github.com/aidos-lab/dect for `--dect` (else its formula is
evaluated in plain torch). `--peers` is a Python with giotto-tda, `--topological` one with torch-topological:
their pins need environments of their own.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import types
from pathlib import Path

import gudhi
import gudhi.representations as gr
import gudhi.wasserstein
import numpy as np
import torch
from peers import times_of
from persim import PersistenceImager
from scipy.spatial import Delaunay
from sklearn.cluster import KMeans
from timing import least, least_ms, one_thread

from topodl import Diagrams
from topodl.distances import sliced_wasserstein_distance, wasserstein_distance
from topodl.layers import (
    Amplitude,
    Atol,
    BettiCurve,
    ComplexPolynomial,
    DiagramEncoder,
    DiagramScaler,
    EulerCharacteristicTransform,
    LongestBars,
    PersistenceEntropy,
    PersistenceImage,
    PersistenceLandscape,
    PersLay,
    Silhouette,
    TopologicalVector,
)

RADIUS = 1.1
GIOTTO = """
import time, sys, numpy as np
from gtda.diagrams import Amplitude, BettiCurve, PersistenceImage, PersistenceLandscape, Scaler, Silhouette
X = np.load(sys.argv[1])
layers = [
    ("images", PersistenceImage(sigma=0.05, n_bins=50)),
    ("landscapes", PersistenceLandscape(5, 100)),
    ("silhouettes", Silhouette(n_bins=100)),
    ("Betti curves", BettiCurve(100)),
    ("bottleneck amplitudes", Amplitude("bottleneck")),
    ("Wasserstein amplitudes", Amplitude("wasserstein")),
    ("landscape amplitudes", Amplitude("landscape", metric_params={"n_layers": 5, "n_bins": 100})),
    ("scaling", Scaler("bottleneck")),
]
for name, layer in layers:
    layer.fit(X)
    times = []
    for _ in range(3):
        start = time.process_time()
        layer.transform(X)
        times.append(time.process_time() - start)
    print(name, min(times) * 1e3, sep="|")
"""


TOPOLOGICAL = """
import time, sys, numpy as np, torch
from types import SimpleNamespace as Bars
from torch_topological.nn import SlicedWassersteinDistance
torch.set_num_threads(1)
first, second = torch.from_numpy(np.load(sys.argv[1]))
layer = SlicedWassersteinDistance(10)
first.requires_grad_()
start = time.process_time()
layer([Bars(diagram=d) for d in first], [Bars(diagram=d) for d in second]).backward()
print("sliced", (time.process_time() - start) * 1e3, sep="|")
"""


def row(work: str, ours: float, peer: str, theirs: float) -> None:
    print(f"| {work} | {ours:.2f} | {peer} {theirs:.2f} | {theirs / ours:.1f} |", flush=True)


def random_diagrams(n: int, bars: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        births = rng.random(bars)
        out.append(np.stack([births, births + rng.exponential(0.1, bars) + 0.001], 1))
    return out


def with_gradient(d: Diagrams) -> Diagrams:
    return Diagrams(
        d.births.clone().requires_grad_(), d.deaths.clone().requires_grad_(), d.dims, d.samples,
        n_samples=d.n_samples, homology_dims=d.homology_dims,
    )  # fmt: skip


def vectorisations(giotto: dict[str, float]) -> None:
    arrays = random_diagrams(256, 200, 0)
    double = Diagrams.from_gudhi(arrays)
    d = double.to(torch.float32)
    ends = [0.0, 1.5]
    pairs = [
        ("images", PersistenceImage(50, (0, 1.2), (0, 1), 0.05, 0.0),
         gr.PersistenceImage(0.05, resolution=[50, 50], im_range=[0, 1.2, 0, 1])),
        ("Betti curves", BettiCurve(100, ends), gr.BettiCurve(100, ends)),
        ("entropy", PersistenceEntropy(), gr.Entropy()),
        ("entropy summary functions", PersistenceEntropy("vector", True, 100, ends),
         gr.Entropy("vector", True, 100, ends)),
        ("landscapes", PersistenceLandscape(5, 100, ends), gr.Landscape(5, 100, ends)),
        ("silhouettes", Silhouette(100, ends, 0.0), gr.Silhouette(resolution=100, sample_range=ends)),
    ]  # fmt: skip
    for name, layer, peer in pairs:
        peer.fit(arrays)
        theirs = least_ms(lambda peer=peer: peer.transform(arrays), 1 if name == "images" else 2)
        ours = least_ms(lambda layer=layer: layer(d))
        row(f"{name}, float32", ours, "GUDHI", theirs)
        row(f"{name}, float64", least_ms(lambda layer=layer: layer(double)), "GUDHI", theirs)
        if name in giotto:
            row(f"{name}, float32", ours, "giotto-tda", giotto[name])
        if name != "Betti curves":
            both = least_ms(lambda layer=layer: layer(with_gradient(d)).sum().backward())
            row(f"{name}, float32, forward and backward", both, "GUDHI (forward)", theirs)
    imager = PersistenceImager(
        (0, 1.2), (0, 1.2), 0.024, kernel_params={"sigma": [[0.0025, 0.0], [0.0, 0.0025]]}
    )
    layer = PersistenceImage(50, (0, 1.2), (0, 1.2), 0.05, pixels="integral")
    row(
        "integrated images, float32",
        least_ms(lambda: layer(d)),
        "persim",
        least_ms(lambda: imager.transform(arrays), 1),
    )


def bar_vectors(giotto: dict[str, float]) -> None:
    """Time the vectors of bars, amplitudes and scaling, in float64 as the peers."""
    arrays = random_diagrams(256, 200, 0)
    d = Diagrams.from_gudhi(arrays)
    pairs = [
        ("ATOL, 10 centres", Atol(10), gr.Atol(KMeans(10, n_init=10, random_state=0))),
        ("complex polynomials", ComplexPolynomial(), gr.ComplexPolynomial(threshold=10)),
        ("longest bars", LongestBars(10), gr.PersistenceLengths(10)),
        ("topological vectors", TopologicalVector(10), gr.TopologicalVector(10)),
    ]
    for name, layer, peer in pairs:
        layer.fit(d)
        peer.fit(arrays)
        row(
            name,
            least_ms(lambda layer=layer: layer(d)),
            "GUDHI",
            least_ms(lambda p=peer: p.transform(arrays), 1),
        )
    landscapes = {"n_layers": 5, "resolution": 100}
    layers = {
        "bottleneck amplitudes": Amplitude("bottleneck"),
        "Wasserstein amplitudes": Amplitude("wasserstein"),
        "landscape amplitudes": Amplitude("landscape", landscapes),
        "scaling": DiagramScaler("bottleneck"),
    }
    for name, layer in layers.items():
        if name in giotto:
            layer.fit(d)
            row(name, least_ms(lambda layer=layer: layer(d)), "giotto-tda", giotto[name])


def encoders() -> None:
    """Time the encoder of diagrams beside PersLay with as many features, 256 diagrams of 50 bars in turns."""
    d = Diagrams.from_gudhi(random_diagrams(256, 50, 0)).to(torch.float32)
    layers = {
        "PersLay": PersLay(n_features=64, dims=0),
        "`DiagramEncoder` as a DeepSet": DiagramEncoder(n_blocks=0, pool="sum", dims=0),
        "`DiagramEncoder`": DiagramEncoder(dims=0),
    }
    times = least(
        {
            name: lambda layer=layer: layer(with_gradient(d)).square().sum().backward()
            for name, layer in layers.items()
        },
        5,
    )
    theirs = times.pop("PersLay")
    for name, ours in times.items():
        row(f"{name}, forward and backward", ours, "topodl's `PersLay`", theirs)


def dense_formula(x, directions, thresholds, scale):
    heights = x @ directions
    return torch.sigmoid(scale * (thresholds.view(1, 1, 1, -1) - heights[..., None])).sum(1)


def dect_module(folder: Path) -> types.ModuleType:
    package = types.ModuleType("dect")
    package.__path__ = [str(folder / "dect")]  # without its __init__, which imports a package for training
    sys.modules["dect"] = package
    return importlib.import_module("dect.ect")


def euler(folder: Path | None) -> None:
    name, peer = "dense formula", dense_formula
    if folder is not None:
        name, module = "dect", dect_module(folder)

        def peer(x, directions, thresholds, scale):
            return module.compute_ect_point_cloud(x, directions, RADIUS, len(thresholds), scale)

    x = torch.randn(32, 1000, 3, generator=torch.Generator().manual_seed(0))
    x /= x.norm(dim=-1).max()
    hard = EulerCharacteristicTransform(64, 64, radius=RADIUS, mode="hard", ambient_dim=3)
    soft = EulerCharacteristicTransform(64, 64, radius=RADIUS, scale=100.0, ambient_dim=3)
    thresholds = torch.linspace(-RADIUS, RADIUS, 64)
    forward = least_ms(lambda: peer(x, soft.directions, thresholds, 100.0), 2)
    row("hard Euler transform, forward", least_ms(lambda: hard(x)), name, forward)
    row("soft Euler transform, forward", least_ms(lambda: soft(x)), name, forward)
    backward_row("soft Euler transform", x, soft, name, lambda x: peer(x, soft.directions, thresholds, 100.0))
    if folder is not None:
        euler_of_complexes(soft, module)


def euler_of_complexes(soft: EulerCharacteristicTransform, dect: types.ModuleType) -> None:
    """Time triangulated surfaces: 8 samples of 1000 vertices, as graphs and with their triangles."""
    rng = np.random.default_rng(0)
    faces = []
    for sample in range(8):
        faces.append(Delaunay(rng.random((1000, 2))).simplices.T + 1000 * sample)
    triangles = torch.from_numpy(np.concatenate(faces, 1)).long()
    edges = (
        torch.cat([triangles[[0, 1]], triangles[[1, 2]], triangles[[0, 2]]], 1).sort(0).values.unique(dim=1)
    )
    x = torch.from_numpy(rng.normal(size=(8000, 3))).float()
    x /= x.norm(dim=-1).max()
    batch = torch.arange(8).repeat_interleave(1000)
    fixed = (soft.directions, RADIUS, 64, 100.0, batch)
    backward_row(
        f"soft Euler transform of graphs, {edges.shape[1]} edges",
        x, lambda x: soft(x, edges, batch), "dect", lambda x: dect.compute_ect_edges(x, edges, *fixed),
    )  # fmt: skip
    backward_row(
        f"soft Euler transform of meshes, {triangles.shape[1]} triangles",
        x, lambda x: soft(x, [edges, triangles], batch),
        "dect", lambda x: dect.compute_ect_mesh(x, edges, triangles, *fixed),
    )  # fmt: skip


def backward_row(work: str, x: torch.Tensor, ours, name: str, theirs) -> None:
    def step(layer):
        points = x.clone().requires_grad_()
        layer(points).square().sum().backward()

    row(
        f"{work}, forward and backward",
        least_ms(lambda: step(ours)),
        name,
        least_ms(lambda: step(theirs), 2),
    )


def print_memory() -> None:
    """Print the growth of the resident memory, on a hundred times as many clouds so that it can be seen."""
    if sys.platform == "win32":
        return
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    hard = EulerCharacteristicTransform(64, 64, radius=RADIUS, mode="hard", ambient_dim=3)
    x = torch.randn(3200, 1000, 3)
    hard(x[:1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    out = hard(x)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before
    both = x.nbytes + out.nbytes
    print(f"hard Euler transform of 3200 clouds: {(x.nbytes + grown) / both:.2f} times input and output\n")


def distances(topological: str | None) -> None:
    first, second = random_diagrams(64, 200, 1), random_diagrams(64, 200, 2)
    a, b = Diagrams.from_gudhi(first), Diagrams.from_gudhi(second)
    for order, norm in ((2, 2), (1, np.inf)):

        def theirs(order=order, norm=norm):
            for x, y in zip(first, second, strict=True):
                points = torch.tensor(x, requires_grad=True)
                gudhi.wasserstein.wasserstein_distance(
                    points, torch.tensor(y), order=order, internal_p=norm, enable_autodiff=True,
                    keep_essential_parts=False,
                ).backward()  # fmt: skip

        ours = least_ms(
            lambda o=order, q=norm: wasserstein_distance(with_gradient(a), b, o, q).sum().backward()
        )
        row(
            f"Wasserstein, order {order}, norm {norm}, forward and backward",
            ours,
            "GUDHI with POT",
            least_ms(theirs, 1),
        )
    ours = least_ms(lambda: sliced_wasserstein_distance(with_gradient(a), b, 50).sum().backward())
    for value in times_of(topological, TOPOLOGICAL, np.array([first, second])).values():
        row("sliced Wasserstein, 50 directions", ours, "torch-topological with 10 directions", value)
    try:
        import oineus.diff
    except ImportError:
        print("oineus is not installed")
        return

    def oineus_sliced():
        for x, y in zip(first, second, strict=True):
            points = torch.tensor(x, requires_grad=True)
            oineus.diff.sliced_wasserstein_distance(points, torch.tensor(y), n_directions=50).backward()

    row(
        "sliced Wasserstein, 50 directions, forward and backward",
        ours,
        "oineus",
        least_ms(oineus_sliced, 1),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dect", type=Path, help="a clone of aidos-lab/dect")
    parser.add_argument("--peers", help="a Python that has giotto-tda")
    parser.add_argument("--topological", help="a Python that has torch-topological")
    arguments = parser.parse_args()
    one_thread()
    print_memory()  # first: it looks at the most memory that the process has ever held
    print("| work | topodl, ms | peer, ms | ratio |\n|---|---|---|---|")
    table = Diagrams.from_gudhi(random_diagrams(256, 200, 0)).to_giotto()
    giotto = times_of(arguments.peers, GIOTTO, table)
    vectorisations(giotto)
    bar_vectors(giotto)
    vectorisations(times_of(arguments.peers, GIOTTO, table))
    encoders()
    euler(arguments.dect)
    distances(arguments.topological)


if __name__ == "__main__":
    main()
