"""Sets of shapes: their topology found again by persistence, seeds, errors."""

import numpy as np
import pytest
import torch

import topodl
from topodl.datasets import make_shapes
from topodl.errors import InputError
from topodl.metrics import betti_numbers

PLANAR = [(1, 0), (1, 2), (2, 1), (3, 0)]
SOLID = [(1, 0, 0), (1, 1, 0), (1, 0, 1), (2, 1, 0)]


@pytest.mark.parametrize(("betti", "size", "n"), [(PLANAR, 32, 40), (SOLID, 20, 8)])
def test_the_diagram_at_0_has_the_betti_numbers(betti, size, n):
    shapes = make_shapes(n, size, betti)
    assert shapes.masks.shape == (n, *[size] * len(betti[0]))
    assert shapes.betti.tolist() == [list(betti[i % len(betti)]) for i in range(n)]
    assert (np.array(betti)[shapes.labels] == shapes.betti).all()
    assert ((shapes.signed_distances < 0) == shapes.masks).all()
    bars = topodl.cubical_persistence(torch.from_numpy(shapes.signed_distances))
    assert bars.betti(0.0).tolist() == shapes.betti.tolist()
    assert betti_numbers(torch.from_numpy(shapes.masks)[:, None].long()).tolist() == shapes.betti.tolist()


def test_a_larger_set_begins_with_a_smaller_one():
    small, large = make_shapes(3, 16, clip=2.0), make_shapes(5, 16, clip=2.0)
    assert (large.masks[:3] == small.masks).all()
    assert abs(large.signed_distances).max() == 2.0
    assert (make_shapes(3, 16, random_state=1).masks != small.masks).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"betti": []}, "betti is"),
        ({"betti": [(1, 0), (1, 0, 0)]}, "betti is .* expected tuples that are all of two numbers"),
        ({"betti": [(1, -1)]}, r"betti\[0\] is -1"),
        ({"betti": [(1, 0), (0, 2)]}, r"betti\[1\] is \(0, 2\); expected at least one component"),
        ({"betti": [(20, 20)], "size": 8}, r"size is 8 with betti\[0\] = \(20, 20\); expected more pixels"),
        ({"n_samples": 0}, "n_samples is 0"),
    ],
)
def test_unusable_arguments_are_named(options, message):
    with pytest.raises(InputError, match=message):
        make_shapes(**({"n_samples": 2} | options))
