import numpy as np
import pytest

from topodl.mapper._prediction_graph import _whitened


def drawn(n=200, d=6, spread=1.0, seed=0):
    """Return points (n, d) whose standard deviations fall from 1 to `spread`."""
    scales = np.geomspace(1.0, spread, d)
    return np.random.default_rng(seed).normal(size=(n, d)) * scales


def whitened_by_hand(points):
    centred = points - points.mean(axis=0)
    left, _, _ = np.linalg.svd(centred, full_matrices=False)
    return left @ left.T  # whatever the signs and the order of components


@pytest.mark.parametrize("spread", [1.0, 0.1, 1e-3])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_single_precision_whitens_as_double_does(spread, offset):
    points = (drawn(spread=spread) + offset).astype(np.float32)
    found = _whitened(points, 6, 0).astype(np.float64)
    np.testing.assert_allclose(found @ found.T, whitened_by_hand(points.astype(np.float64)), atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("exponent", [-120, -30, 30, 120])
def test_units_change_nothing(dtype, exponent):
    points = drawn().astype(dtype)
    found = _whitened(np.ldexp(points, exponent), 6, 0)
    np.testing.assert_allclose(found @ found.T, whitened_by_hand(points.astype(np.float64)), atol=1e-4)


def test_what_does_not_vary_is_no_component():
    points = drawn(d=3)
    points[:, 1] = 7.0
    assert _whitened(points, 3, 0).shape == (200, 2)
    assert _whitened(points.astype(np.float32), 3, 0).shape == (200, 2)
    assert not _whitened(np.full((5, 3), 1e200), 2, 0).any()
