"""What representation losses cost, one thread, beside floors and peers, in one run.

python benchmarks/representations.py     torch-topological and giotto-ph are optional.
The least processor time of several rounds counts, in milliseconds; the candidates take turns.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from timing import Candidate, least, one_thread

from topodl.kernels.points.spanning_tree import spanning_tree_of_matrix
from topodl.losses import TopologicalAutoencoderLoss


def autoencoder_loss(size: int = 256, features: int = 784) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(size, features, generator=generator)
    z = torch.randn(size, 2, generator=generator, requires_grad=True)

    def step(loss: torch.nn.Module) -> None:
        z.grad = None
        loss(x, z).backward()

    def floor() -> None:
        with torch.no_grad():
            for points in (x, z):
                spanning_tree_of_matrix(torch.cdist(points, points).numpy())

    fresh, repeated = TopologicalAutoencoderLoss(cache_bytes=0), TopologicalAutoencoderLoss()
    candidates: dict[str, Candidate] = {
        "floor: two distance matrices, two trees": floor,
        "topodl": lambda: step(fresh),
        "topodl, the batch comes again": lambda: step(repeated),
        "the definition, Kruskal in Python": lambda: released(x, z),
    }
    try:
        from torch_topological.nn import SignatureLoss, VietorisRipsComplex
    except ImportError:
        print("torch-topological: not installed")
    else:
        rips, signature = VietorisRipsComplex(dim=0), SignatureLoss(p=2)

        def peer() -> None:
            z.grad = None
            signature([x, rips(x)], [z, rips(z)]).backward()

        candidates["torch-topological"] = peer
    print(f"\nTopologicalAutoencoderLoss, forward and backward, batch {size}, {features} -> 2")
    report(least(candidates, 15), "floor: two distance matrices, two trees")


def released(x: torch.Tensor, z: torch.Tensor) -> None:
    """Do what the released code does: norms of all differences, Kruskal over all edges in Python."""
    z.grad = None
    far = torch.norm(x[:, None] - x, dim=2)
    near = torch.norm(z[:, None] - z, dim=2)
    far = far / far.max()
    total = torch.zeros(())
    for distances in (far, near):
        tree = kruskal(distances.detach().numpy())
        total = total + (far[tree[:, 0], tree[:, 1]] - near[tree[:, 0], tree[:, 1]]).square().sum()
    (total / len(x)).backward()


def kruskal(distances: np.ndarray) -> np.ndarray:
    rows, columns = np.triu_indices(len(distances), 1)
    parent = list(range(len(distances)))

    def find(v: int) -> int:
        while parent[v] != v:
            parent[v] = parent[parent[v]]
            v = parent[v]
        return v

    tree = []
    for k in np.argsort(distances[rows, columns], kind="stable"):
        u, v = find(rows[k]), find(columns[k])
        if u != v:
            parent[u] = v
            tree.append((rows[k], columns[k]))
    return np.array(tree)


def report(times: dict[str, float], unit: str) -> None:
    for name, value in times.items():
        print(f"  {name:50s} {value:10.2f} ms {value / times[unit]:10.2f} times the first reference")


if __name__ == "__main__":
    one_thread()
    autoencoder_loss()
