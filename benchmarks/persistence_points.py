"""Speed of the persistence of points and graphs against the peers, side by side, single-threaded.

    OMP_NUM_THREADS=1 python benchmarks/persistence_points.py [--peers-python PATH] [--only NAME]

giotto-ph and torch-topological pin what topodl does not: give the interpreter of an environment that has them
with --peers-python (or TOPODL_PEERS_PYTHON), and they are timed in a process of their own. Times are CPU
milliseconds, medians over interleaved rounds, of which each is the mean of as many calls in a row as take
20 ms; a ratio is the median over rounds of the peer's time by topodl's. Each part (--only) takes less than 90
seconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peers import Worker, serve
from timing import cpu_ms, one_thread

INF = float("inf")


def cube(n, rng):
    return rng.random((n, 3))


def gauss(n, rng):
    return rng.normal(size=(n, 64))


def circle(n, rng):
    angle = rng.random(n) * 2 * np.pi
    return np.stack((np.cos(angle), np.sin(angle)), 1) + 0.1 * rng.normal(size=(n, 2))


CLOUDS = {"cube R3": cube, "gauss R64": gauss, "circle R2": circle}


def mean_ms(call: Callable[[], Any]) -> float:
    """Return the mean CPU milliseconds of calls in a row, which together take about 20.

    The clock is read twice: reading it around each call would slow down the shortest by a third.
    """
    calls = max(1, round(20 / max(cpu_ms(call), 0.02)))

    def all_calls() -> None:
        for _ in range(calls):
            call()

    return cpu_ms(all_calls) / calls


# What runs in the peers' own environment
# -------------------------------------------------------------------


def peer_call(name: str, points: np.ndarray, dim: int) -> Callable[[], Any]:
    import torch

    torch.set_num_threads(1)
    x = torch.tensor(points, dtype=torch.float32)
    if name == "giotto-ph":
        from gph import ripser_parallel

        matrix = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").numpy()
        options = {"metric": "precomputed", "maxdim": dim, "n_threads": 1, "return_generators": True}
        return lambda: ripser_parallel(matrix, **options)
    from torch_topological.nn import VietorisRipsComplex

    layer = VietorisRipsComplex(dim=dim)

    def run():
        leaf = x.clone().requires_grad_()
        out = layer(leaf)
        batches = out if leaf.ndim == 3 else [out]
        parts = [p.diagram for batch in batches for p in batch if len(p.diagram)]
        total = sum((diagram[:, 1] - diagram[:, 0]).sum() for diagram in parts)
        total.backward()

    return run


class Here:
    """The peers' calls in this process, each set up once."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, int, str], Callable[[], Any]] = {}

    def ms(self, name: str, dim: int, path: str) -> float:
        """Return the mean CPU milliseconds of a peer's call on the points in a file."""
        if (name, dim, path) not in self._calls:
            self._calls[name, dim, path] = peer_call(name, np.load(path), dim)
        return mean_ms(self._calls[name, dim, path])


class Peers:
    """The process in the peers' environment, or nothing where it is not given."""

    def __init__(self, python: str | None) -> None:
        self._worker = None if python is None else Worker(python, __file__, "--serve")
        if python is None:
            print("giotto-ph and torch-topological are left out: no --peers-python")

    def calls(self, dim: int, path: Path, *names: str) -> dict[str, Callable[[], float]]:
        """Return what times each of the peers `names` on the points in a file."""
        worker = self._worker
        if worker is None:
            return {}
        return {name: lambda name=name: worker.ask(name, dim, str(path)) for name in names}


# What runs here
# ----------------------------------------------------------------------------------------------


def distances(points):
    from scipy.spatial.distance import pdist, squareform

    return squareform(pdist(points)).astype(np.float32)


def local_peer(name: str, points: np.ndarray, dim: int) -> Callable[[], Any]:
    matrix = distances(points)
    if name == "ripser.py (no cells)":
        import ripser

        return lambda: ripser.ripser(matrix, maxdim=dim, distance_matrix=True)
    if name == "GUDHI":
        import gudhi

        def with_gudhi():
            tree = gudhi.SimplexTree.create_from_array(matrix, max_filtration=float(matrix.max(1).min()))
            tree.expansion(dim + 1)
            tree.compute_persistence(homology_coeff_field=2)
            return tree.flag_persistence_generators()

        return with_gudhi
    import oineus.diff
    import torch

    def with_oineus():
        filtration = oineus.diff.vr_filtration(
            torch.tensor(matrix), from_pwdists=True, max_dim=dim + 1, packed=True
        )
        return oineus.diff.persistence_diagram(filtration)

    return with_oineus


def topodl_pairs(points, dim):
    import torch

    import topodl

    x = torch.tensor(points, dtype=torch.float32)[None]
    return lambda: topodl.rips_persistence(x, dims=range(dim + 1))


def topodl_step(points, dim):
    import torch

    import topodl

    x = torch.tensor(points, dtype=torch.float32)
    x = x[None] if x.ndim == 2 else x

    def run():
        leaf = x.clone().requires_grad_()
        topodl.rips_persistence(leaf, dims=range(dim + 1)).total_persistence().sum().backward()

    return run


def report(
    title: str, ours: Callable[[], Any], peers: dict[str, Callable[[], float]], rounds: int = 7
) -> None:
    """Print medians over up to `rounds` interleaved rounds, fewer where they would take over 8 seconds."""
    ours()
    for name in list(peers):
        try:
            peers[name]()  # which imports it, too
        except Exception as error:
            print(f"{title:34s} {name}: {error}", flush=True)
            del peers[name]
    own: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in peers}
    start = time.perf_counter()
    while len(own) < rounds and (len(own) < 2 or time.perf_counter() - start < 8):
        own.append(mean_ms(ours))
        for name, call in peers.items():
            theirs[name].append(call())
    parts = [f"| {title} | {statistics.median(own):.2f}"]
    for name, times in theirs.items():
        ratio = statistics.median(t / o for t, o in zip(times, own, strict=True))
        parts.append(f"{name} {statistics.median(times):.1f} ({ratio:.1f}×)")
    print(" | ".join(parts) + f" | {len(own)} rounds", flush=True)


def timed(call: Callable[[], Any]) -> Callable[[], float]:
    return lambda: mean_ms(call)


def rips_pairs(peers: Peers, folder: Path, kind: str, dim: int, sizes: tuple[int, ...]) -> None:
    """Time dimensions 0 … dim with critical edges: from points here, from given matrices in the peers."""
    for n in sizes:
        points = CLOUDS[kind](n, np.random.default_rng(n))
        path = folder / f"{kind.split()[0]}-{n}.npy"
        np.save(path, points)
        calls = peers.calls(dim, path, "giotto-ph")
        local = ["ripser.py (no cells)"] if n <= (512 if dim else 1024) else []
        if n <= 128 and dim < 2:
            local += ["GUDHI"]
        if n <= 128 and dim == 1:
            local += ["oineus"]
        calls |= {name: timed(local_peer(name, points, dim)) for name in local}
        report(f"H0…H{dim} {kind} n={n}", topodl_pairs(points, dim), calls)


def h0(peers: Peers, folder: Path) -> None:
    """Dimension 0, without gradient."""
    for kind in CLOUDS:
        rips_pairs(peers, folder, kind, 0, (256, 1024))


def h1(peers: Peers, folder: Path) -> None:
    """Dimensions 0 and 1 of what has few long loops."""
    for kind in ("cube R3", "gauss R64"):
        rips_pairs(peers, folder, kind, 1, (128, 256, 512, 1024))


def h1_circle(peers: Peers, folder: Path) -> None:
    """Dimensions 0 and 1 of what has one long loop."""
    rips_pairs(peers, folder, "circle R2", 1, (128, 256, 512, 1024))


def h2(peers: Peers, folder: Path) -> None:
    """Dimensions 0, 1 and 2."""
    for kind in CLOUDS:
        rips_pairs(peers, folder, kind, 2, (64, 128))


def steps(peers: Peers, folder: Path) -> None:
    """Forward and backward of total persistence from points."""
    rng = np.random.default_rng(1)
    work = [
        (0, f"{kind} n={n}", CLOUDS[kind](n, rng))
        for kind in ("cube R3", "gauss R64")
        for n in (256, 512, 1024)
    ]
    batch = rng.normal(size=(32, 128, 64))
    work += [(dim, "32×128×R64", batch) for dim in (0, 1)]
    for number, (dim, title, points) in enumerate(work):
        path = folder / f"step-{number}.npy"
        np.save(path, points)
        calls = peers.calls(dim, path, "torch-topological")
        report(f"H0…H{dim} step {title}", topodl_step(points, dim), calls, 11)


def alpha(peers: Peers, folder: Path) -> None:
    """Time forward and backward of total persistence, against GUDHI's complex and persistence alone."""
    import gudhi
    import torch

    import topodl

    rng = np.random.default_rng(2)
    for n_dims in (2, 3):
        for n in (1000, 10000):
            points = rng.random((n, n_dims))
            x = torch.tensor(points)[None]

            def step(x=x, n_dims=n_dims):
                leaf = x.clone().requires_grad_()
                topodl.alpha_persistence(leaf, range(n_dims)).finite().persistence().sum().backward()

            def with_gudhi(precision, points=points):
                tree = gudhi.AlphaComplex(points=points, precision=precision).create_simplex_tree()
                tree.compute_persistence(homology_coeff_field=2)

            calls = {f"GUDHI {p}": timed(lambda p=p, f=with_gudhi: f(p)) for p in ("safe", "fast")}
            report(f"alpha step {n_dims}D n={n}", step, calls)


def graphs(peers: Peers, folder: Path) -> None:
    """Time extended persistence of 128 random graphs of 30 vertices, 8 filtrations at once, with gradient."""
    import gudhi
    import torch

    import topodl

    rng = np.random.default_rng(3)
    n_graphs, n, n_filtrations = 128, 30, 8
    pairs = [np.unique(np.sort(rng.integers(0, n, (45, 2)), 1), axis=0) for _ in range(n_graphs)]
    pairs = [p[p[:, 0] != p[:, 1]] for p in pairs]
    edge_index = torch.tensor(np.concatenate([p + n * g for g, p in enumerate(pairs)]).T)
    batch = torch.arange(n_graphs).repeat_interleave(n)
    values = torch.tensor(rng.random((n_graphs * n, n_filtrations)))

    def step():
        leaf = values.clone().requires_grad_()
        d = topodl.graph_persistence(leaf, edge_index, batch=batch, extended=True)
        (d.deaths - d.births).abs().sum().backward()

    def with_gudhi():
        for g, graph in enumerate(pairs):
            for f in range(n_filtrations):
                tree = gudhi.SimplexTree()
                column = values[g * n : (g + 1) * n, f].numpy()
                for v in range(n):
                    tree.insert([v], column[v])
                for u, v in graph:  # insert_batch would be faster, but extended_persistence crashes after it
                    tree.insert([u, v], max(column[u], column[v]))
                tree.extend_filtration()
                tree.extended_persistence(homology_coeff_field=2)

    report("graphs 128×30, 8 filtrations, step", step, {"GUDHI (no gradient)": timed(with_gudhi)})


PARTS = {
    "h0": h0,
    "h1": h1,
    "h1-circle": h1_circle,
    "h2": h2,
    "steps": steps,
    "alpha": alpha,
    "graphs": graphs,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers-python", default=os.environ.get("TOPODL_PEERS_PYTHON"))
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(Here().ms)
        return
    one_thread()
    peers = Peers(options.peers_python)
    print("| work | topodl, ms | peers, ms (ratio to topodl) |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, part in PARTS.items():
            if options.only in (None, name):
                part(peers, Path(folder))


if __name__ == "__main__":
    main()
