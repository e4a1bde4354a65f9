import networkx as nx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.naive.filtrations import graph_of, ollivier
from topodl.kernels.graphs.transport import transport_potentials
from topodl.kernels.shared.adjacency import adjacency


@given(st.integers(2, 7), st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 0.5]))
def test_potentials_are_feasible_and_prove_the_cost_of_a_linear_programme(n, seed, stay):
    random = np.random.default_rng(seed)
    pairs = np.argwhere(np.triu(random.random((n, n)) < 0.5, 1))
    starts, neighbours, links = adjacency(n, pairs)
    weights = random.integers(1, 4, len(pairs)).astype(float)
    owner = np.repeat(np.arange(n), np.diff(starts))
    strength = np.bincount(owner, weights[links], n)
    shares = (1 - stay) * weights[links] / strength[owner]
    ends, at_from, at_to = transport_potentials(pairs, starts, neighbours, shares, stay)
    graph = graph_of(n, pairs.tolist(), weights)
    i = j = 0
    for e, (u, v) in enumerate(pairs):
        sources = [u, *neighbours[starts[u] : starts[u + 1]]]
        targets = [v, *neighbours[starts[v] : starts[v + 1]]]
        f = np.append(ends[e, 0], at_from[i : i + len(sources) - 1])
        g = np.append(ends[e, 1], at_to[j : j + len(targets) - 1])
        i, j = i + len(sources) - 1, j + len(targets) - 1
        for x, fx in zip(sources, f, strict=True):
            for y, gy in zip(targets, g, strict=True):
                assert fx - gy <= nx.shortest_path_length(graph, x, y)
        masses = [np.append(stay, shares[starts[end] : starts[end + 1]]) for end in (u, v)]
        cost = f @ masses[0] - g @ masses[1]
        np.testing.assert_allclose(1 - cost, ollivier(graph, u, v, stay), atol=1e-9)
    assert (i, j) == (len(at_from), len(at_to))
