"""The net of predictions against its slow twin and the original program."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mapper.graphs import adjacency_of, as_lists, neighbours_of, random_graph
from tests.naive import prediction_net as naive
from topodl.mapper._prediction_net import (
    NetSettings,
    _usable_edges,
    build_net,
    edge_lengths,
    projected_edges,
    split_samples,
)

SETTINGS = NetSettings(
    max_size=4,
    overlap=(0.0, 0.2),
    by_deviation=False,
    min_range=0.0,
    min_size=3,
    min_component=3,
    merge=True,
    max_distance=1.0,
    max_levels=200,
    max_rounds=10,
)


def sets_of(net):
    return [frozenset(net.sample[net.node == k].tolist()) for k in range(net.shown.size)]


def assert_same_net(n, edges, lens, settings):
    adjacency, neighbours = adjacency_of(n, edges), neighbours_of(n, edges)
    members, offsets = split_samples(adjacency, lens, settings)
    assert as_lists(members, offsets) == [
        sorted(part) for part in naive.split(neighbours, lens.tolist(), settings)
    ]
    net = build_net(adjacency, lens, settings)
    nodes, net_edges, shown, extra, projected = naive.net(neighbours, lens.tolist(), settings)
    assert sets_of(net) == nodes
    assert dict(zip(map(tuple, net.edges.T.tolist()), net.weights.tolist(), strict=True)) == net_edges
    assert net.shown.tolist() == shown
    assert list(map(tuple, net.extra_edges.T.tolist())) == extra
    assert list(map(tuple, projected_edges(adjacency, net).T.tolist())) == sorted(projected)


@given(
    st.integers(1, 40),
    st.floats(0.02, 0.25),
    st.integers(0, 10_000),
    st.integers(1, 3),
    st.sampled_from([(0.0, 0.2), (0.0, 0.0), (0.1, 0.3), (0.5, 0.5)]),
    st.booleans(),
)
def test_agrees_with_the_twin(n, density, seed, columns, overlap, by_deviation):
    edges, lens = random_graph(n, density, seed, columns)
    assert_same_net(n, edges, lens, replace(SETTINGS, overlap=overlap, by_deviation=by_deviation))


@pytest.mark.parametrize(
    "changes",
    [
        {"merge": False},
        {"min_range": 0.4},
        {"max_distance": 0.25},
        {"max_rounds": 1},
        {"max_size": 1},
        {"min_size": 1, "min_component": 1},
        {"min_component": 10},
    ],
    ids=str,
)
def test_every_setting_is_that_of_the_twin(changes):
    for seed in range(10):
        edges, lens = random_graph(40, 0.08, seed, 2)
        assert_same_net(40, edges, lens, replace(SETTINGS, **changes))


def test_levels_that_run_out_are_said():
    edges, lens = random_graph(40, 0.2, 0, 2)
    with pytest.warns(UserWarning, match="max_levels = 1"):
        members, offsets = split_samples(adjacency_of(40, edges), lens, replace(SETTINGS, max_levels=1))
    found = as_lists(members, offsets)
    settings = replace(SETTINGS, max_levels=1)
    assert found == [sorted(part) for part in naive.split(neighbours_of(40, edges), lens.tolist(), settings)]


def test_constant_lens_ends_at_once():
    n = 300
    ring = np.stack([np.arange(n), (np.arange(n) + 1) % n])
    members, offsets = split_samples(adjacency_of(n, ring), np.zeros((n, 2)), SETTINGS)
    assert members.tolist() == list(range(n))
    assert offsets.tolist() == [0, n]


def test_lengths_that_differ_by_rounding_are_equal():
    # From sample 0 two edges lead away; the second is shorter by a few units of rounding.
    adjacency = adjacency_of(3, np.array([[0, 0], [1, 2]]))
    lens = np.array([[0.0], [0.5], [0.5 - 1e-15]])
    own = np.zeros(1, dtype=np.int64)
    assert _usable_edges(adjacency, lens, 1.0).exits(own, own, own).tolist() == [[0, 1]]
    lens[2] = 0.5 - 1e-9
    assert _usable_edges(adjacency, lens, 1.0).exits(own, own, own).tolist() == [[0, 2]]


def test_lengths_are_the_largest_difference_of_a_column():
    lens = np.array([[0.0, 0.5], [0.25, 0.0], [1.0, 0.0]])
    adjacency = adjacency_of(3, np.array([[0, 1], [1, 2]]))
    assert edge_lengths(adjacency, lens).tolist() == [0.5, 0.5, 0.75, 0.75]
