"""No loss merges classes: each is compared with its own label, and weighs what it is told to."""

import numpy as np
import pytest
import torch

from tests.losses.test_contract import NAMES, make
from topodl.losses import registry


def rings(name, first=1, second=2):
    """Two classes of the same shape, rings or in volumes for cavities shells, (1, *S)."""
    dims = min(registry[name].spatial_dims)
    sides = (24, 46) if dims == 2 else (12, 12, 22)
    labels = torch.zeros(1, *sides, dtype=torch.long)
    side = 20 if dims == 2 else 9
    for label, start in ((first, 1), (second, sides[-1] // 2 + 1)):
        labels[(0, *[slice(1, 1 + side)] * (dims - 1), slice(start, start + side))] = label
        labels[(0, *[slice(3, side - 1)] * (dims - 1), slice(start + 2, start + side - 2))] = 0
    return labels


def confident(labels):
    return torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).double() * 20


def topology_term(name, **options):
    return make(name, **options, **{"base_weight": 0.0} if "base_weight" in make(name).options else {})


@pytest.mark.parametrize("name", NAMES)
def test_a_class_that_is_taken_for_another_costs(name):
    labels = rings(name)
    loss = topology_term(name)
    right, wrong = (float(loss(confident(rings(name, 1, c)), labels)) for c in (2, 1))
    assert wrong > right + 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_linear_in_the_weights_of_classes(name):
    labels = rings(name)
    generator = torch.Generator().manual_seed(0)
    logits = confident(labels) / 20 + torch.randn(1, 3, *labels.shape[1:], generator=generator).double()

    def value(*weights):
        return float(topology_term(name, class_weights=weights)(logits, labels))

    nothing = value(0, 0, 0)  # the loss may be 1 minus a weighted mean
    parts = [value(*row) - nothing for row in np.eye(3)]
    assert value(2, 3, 5) - nothing == pytest.approx(np.dot([2, 3, 5], parts), rel=1e-6)
    assert parts[1] != parts[2]
