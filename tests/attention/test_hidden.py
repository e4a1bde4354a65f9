import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from topodl.attention import HiddenStateGeometry, intrinsic_dimension, neighborhood_overlap
from topodl.errors import InputError


@pytest.mark.parametrize("estimator", ["linear", "likelihood"])
@pytest.mark.parametrize("dimension", [1, 3, 6])
def test_dimension_of_a_linear_subspace(dimension, estimator):
    generator = torch.Generator().manual_seed(dimension)
    points = torch.rand(1500, dimension, generator=generator) @ torch.randn(
        dimension, 20, generator=generator
    )
    assert intrinsic_dimension(points, estimator=estimator).item() == pytest.approx(dimension, rel=0.15)


def test_likelihood_by_hand():
    points = torch.tensor([[0.0], [1.0], [3.0]])
    # ratios 3, 2, 3/2
    expected = 3 / (np.log(3) + np.log(2) + np.log(1.5))
    assert intrinsic_dimension(points, estimator="likelihood").item() == pytest.approx(expected, rel=1e-6)


def test_mask_and_degenerate_clouds():
    x = torch.randn(2, 30, 4)
    mask = torch.ones(2, 30)
    mask[1, 20:] = 0
    torch.testing.assert_close(intrinsic_dimension(x, mask)[1], intrinsic_dimension(x[1, :20]))
    assert intrinsic_dimension(torch.zeros(5, 3)).item() == 0
    assert intrinsic_dimension(torch.randn(2, 3)).item() == 0


def test_dimension_has_a_gradient():
    x = torch.randn(12, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(intrinsic_dimension, x)


def test_overlap():
    x = torch.randn(40, 5)
    assert neighborhood_overlap(x, 2 * x + 1, k=7) == 1
    line = torch.arange(4.0)[:, None]
    # nearest neighbours 1, 0, 1, 2 against 2, 3, 0, 2: of equal distances the first
    other = torch.tensor([[0.0], [10.0], [3.0], [6.0]])
    assert neighborhood_overlap(line, other, k=1).item() == 0.25
    assert neighborhood_overlap(line[:1], line[:1]).item() == 0


def test_layer_names_and_values():
    states = torch.randn(3, 4, 15, 6)
    layer = HiddenStateGeometry(k=4).fit(states)
    table = layer.transform(states)
    names = list(layer.get_feature_names_out())
    assert table.shape == (3, 7)
    assert len(names) == 7
    assert table[1, 2] == pytest.approx(intrinsic_dimension(states[1, 2]).item(), rel=1e-6)
    assert table[2, names.index("layer1.neighborhood_overlap")] == pytest.approx(
        neighborhood_overlap(states[2, 1], states[2, 2], k=4).item()
    )


def test_transform_is_of_what_was_fitted():
    layer = HiddenStateGeometry(k=2)
    with pytest.raises(NotFittedError):
        layer.get_feature_names_out()
    with pytest.raises(InputError, match="has 4 layers; expected 3 layers"):
        layer.fit(torch.randn(2, 3, 6, 2)).transform(torch.randn(2, 4, 6, 2))


def test_an_empty_batch_is_a_value():
    nothing = torch.zeros(0, 5, 3)
    assert intrinsic_dimension(nothing).shape == neighborhood_overlap(nothing, nothing).shape == (0,)
    assert HiddenStateGeometry()(nothing[:, None]).shape == (0, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: intrinsic_dimension(torch.full((3, 2), torch.inf)), "has an infinite value"),
        (lambda: intrinsic_dimension(1e30 * torch.randn(5, 2)), "overflow"),
        (lambda: intrinsic_dimension(torch.randn(3)), "x has shape"),
        (lambda: intrinsic_dimension(torch.full((3, 2), torch.nan)), "has NaN"),
        (lambda: intrinsic_dimension(torch.randn(3, 2), torch.ones(4)), "mask has shape"),
        (lambda: intrinsic_dimension(torch.randn(3, 2), estimator="mean"), "estimator is 'mean'"),
        (lambda: neighborhood_overlap(torch.randn(3, 2), torch.randn(4, 2)), "y has shape"),
        (lambda: neighborhood_overlap(torch.randn(3, 2), torch.randn(3, 2), k=0), "k is 0"),
        (lambda: HiddenStateGeometry()(torch.randn(3, 4, 5)), r"states has shape \(3, 4, 5\)"),
    ],
)
def test_errors(call, message):
    with pytest.raises(InputError, match=message):
        call()
