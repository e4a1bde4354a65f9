import numpy as np
import pytest

from topodl.kernels.graphs.signed_points import is_sound, signed_points

NEVER = 99
TRIANGLE = np.array([[0, 1, 0], [1, 2, 2]])
KEYS = np.array([[0, 2], [1, 1], [2, 0]])
NO_KEYS = np.empty((0, 2), np.int64)
ONE_GRAPH = np.zeros(3, np.int64)


def test_a_triangle_by_hand():
    dims = np.array([-1, 0, 1])
    table, places, conflict = signed_points(KEYS, NO_KEYS, TRIANGLE, ONE_GRAPH, 1, dims, False, NEVER)
    # (0, 1) is at (1, 2), (0, 2) at (2, 2), (1, 2) at (2, 1): it comes first, and stays when (0, 2) closes.
    assert table.T.tolist() == [
        *([0, k, 1, v, -1, v, -1] for k in (-1,) for v in range(3)),
        *([0, -1, -1, u, v, u, v] for u, v in ((0, 1), (0, 2), (1, 2))),
        *([0, 0, 1, v, -1, v, -1] for v in range(3)),
        *([0, 0, -1, u, v, u, v] for u, v in ((0, 1), (1, 2))),
        [0, 1, 1, 0, 2, 0, 2],
    ]
    assert places.reshape(-1, 2)[-1].tolist() == [2 * 2, 2 * 0 + 1]
    assert conflict == (-1, -1)


def test_what_is_never_there_has_no_points():
    keys = np.array([[0, 0], [0, NEVER], [0, 0]])
    table, _, _ = signed_points(keys, NO_KEYS, TRIANGLE, ONE_GRAPH, 1, np.array([0]), False, NEVER)
    assert table[2:5].T.tolist() == [[1, 0, -1], [1, 2, -1], [-1, 0, 2]]


def test_copies_without_a_least_one_are_named():
    pairs, keys = np.array([[0, 1, 0], [1, 0, 1]]), np.array([[3, 5], [3, 4], [2, 7]])
    *_, conflict = signed_points(KEYS[:2] * 0, keys, pairs, ONE_GRAPH[:2], 1, np.array([0]), True, NEVER)
    assert conflict == (2, 0)


@pytest.mark.parametrize(
    ("changes", "sound"),
    [
        ({}, True),
        ({"vertex_keys": KEYS + 98}, False),
        ({"vertex_keys": KEYS - 100}, False),
        ({"graph_of": ONE_GRAPH + 1}, False),
        ({"graph_of": ONE_GRAPH - 1}, False),
        ({"graph_of": np.array([0, 0, 1]), "n_graphs": 2}, False),
        ({"pairs": TRIANGLE + 1}, False),
        ({"pairs": TRIANGLE - 1}, False),
        ({"edge_keys": np.full((3, 2), 2), "own_values": True}, True),
        ({"edge_keys": np.full((3, 2), 1), "own_values": True}, False),
        ({"edge_keys": np.full((3, 2), 100), "own_values": True}, False),
    ],
)
def test_what_is_unusable_is_noticed(changes, sound):
    arguments = {
        "vertex_keys": KEYS,
        "edge_keys": NO_KEYS,
        "pairs": TRIANGLE,
        "graph_of": ONE_GRAPH,
        "n_graphs": 1,
        "own_values": False,
        "never": NEVER,
    }
    assert is_sound(*(arguments | changes).values()) == sound
