"""The topological autoencoder loss as the paper defines it: all edges sorted, one at a time."""

import torch


def spanning_tree(distances):
    """Return the edges of the minimum spanning tree by Kruskal, in the order (length, i, j)."""
    n, lengths = len(distances), distances.tolist()
    edges = sorted((lengths[i][j], i, j) for i in range(n) for j in range(i + 1, n))
    component = list(range(n))
    tree = []
    for _, i, j in edges:
        if component[i] != component[j]:
            tree.append((i, j))
            old, new = component[j], component[i]
            component = [new if c == old else c for c in component]
    return tree


def distance_matrix(points):
    rows = []
    for p in points:
        differences = [p - q for q in points]
        rows.append(torch.stack([d.norm() if bool(d.any()) else 0 * d.sum() for d in differences]))
    return torch.stack(rows)


def topological_autoencoder_loss(x, z, latent_norm=1.0, image=False):
    scale = 2.0 * x[0].numel() ** 0.5 if image else None
    a = distance_matrix(x.flatten(1))
    a = a / (a.max() if scale is None else scale)
    b = distance_matrix(z.flatten(1)) / latent_norm
    total = 0.0
    for tree in (spanning_tree(a), spanning_tree(b)):
        for i, j in tree:
            total = total + (a[i, j] - b[i, j]) ** 2
    return total / len(x)
