"""Sorting by digits, or by insertion where there are few keys: NumPy's stable order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topodl.kernels.shared.radix import _FEW, argsort_floats, radix_argsort

SIZES = [0, 1, 2, _FEW - 1, _FEW, _FEW + 1, 5 * _FEW]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("span", [1, 4, 2**20, 2**62])
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_is_that_of_a_stable_sort(n, span, seed):
    keys = np.random.default_rng(seed).integers(-span, span, n)
    np.testing.assert_array_equal(radix_argsort(keys), np.argsort(keys, kind="stable"))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_of_both_signs_and_infinities(n, dtype):
    values = np.resize(np.array([0.5, -0.0, np.inf, 0.0, -2.0, -np.inf, 0.5], dtype), n)
    np.testing.assert_array_equal(argsort_floats(values), np.argsort(values, kind="stable"))
