"""Pairs and sets of nodes by the node lists of samples, against comparing all nodes with all."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.naive import mapper as naive
from topodl.kernels.mapper.links import common_members, node_subsets, shared_pairs

N = 8
NODES = st.lists(st.sets(st.integers(0, N - 1), min_size=1), max_size=7)


def as_arrays(nodes):
    """Return the members of nodes and the nodes of samples, each with offsets."""
    lists = [sorted(node) for node in nodes]
    of_samples = [[k for k, node in enumerate(nodes) if sample in node] for sample in range(N)]
    arrays = []
    for each in (lists, of_samples):
        arrays += [np.cumsum([0, *map(len, each)]), np.array([i for own in each for i in own], np.int64)]
    return arrays


@given(NODES, st.integers(1, 3))
def test_pairs_and_shared_sizes_are_those_of_comparing_all(nodes, least):
    pairs, shared = shared_pairs(*as_arrays(nodes), least)
    found = {tuple(pair): size for pair, size in zip(pairs.T.tolist(), shared.tolist(), strict=True)}
    expected = {pair: size for pair, size in naive.shared_sizes(nodes).items() if size >= least}
    assert found == expected
    assert len(found) == pairs.shape[1]
    node_ptr, members, _, _ = as_arrays(nodes)
    assert common_members(pairs, node_ptr, members).tolist() == shared.tolist()


@given(NODES, st.integers(1, 4))
def test_subsets_are_those_of_every_sample(nodes, size):
    _, _, sample_ptr, of_samples = as_arrays(nodes)
    lengths = np.diff(sample_ptr).tolist()
    total = sum(math.comb(n, size) for n in lengths)
    subsets = node_subsets(sample_ptr, of_samples, size, total)
    assert sorted({tuple(row) for row in subsets.tolist()}) == [
        tuple(simplex) for simplex in naive.simplices(nodes, size - 1)
    ]


def test_no_nodes_and_nodes_without_common_samples():
    assert shared_pairs(*as_arrays([]), 1)[0].shape == (2, 0)
    apart = as_arrays([{0}, {1}])
    assert common_members(np.array([[0], [1]]), *apart[:2]).tolist() == [0]
