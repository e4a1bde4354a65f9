"""Delay embeddings and windows by indices, the search for their parameters by definition."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.metrics import mutual_info_score

import topodl
from topodl import InputError
from topodl.filtrations import (
    delay_embedding,
    embedding_parameters,
    false_neighbours,
    mutual_information,
    sliding_windows,
)


def drawn(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(0, 100), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_points_by_their_indices(seed, dimension, delay, stride, multivariate):
    x = drawn(seed, 2, 14, 3) if multivariate else drawn(seed, 2, 14)
    found = delay_embedding(x, dimension, delay, stride=stride)
    starts = range(0, 14 - (dimension - 1) * delay, stride)
    for series, cloud in zip(x.numpy(), found, strict=True):
        expected = [np.ravel([series[t + j * delay] for j in range(dimension)]) for t in starts]
        np.testing.assert_array_equal(cloud, expected)
    listed = delay_embedding([x[0], x[1, :12]], dimension, delay, stride=stride)
    assert torch.equal(listed[0], found[0])
    assert torch.equal(listed[1], found[1, : len(listed[1])])
    windows = sliding_windows(x, dimension, stride)
    points = delay_embedding(x, dimension, stride=stride)
    assert torch.equal(windows.flatten(2), points)
    assert windows.shape[3:] == x.shape[2:]


def test_gradients_reach_series():
    x = drawn(0, 2, 9).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: delay_embedding(x, 3, 2), (x,))
    d = topodl.rips_persistence(delay_embedding(x, 2))
    d.finite().deaths.sum().backward()
    assert x.grad.abs().sum() > 0


@given(st.integers(0, 1000), st.integers(2, 6))
@settings(max_examples=20)
def test_information_of_bins(seed, n_bins):
    x = drawn(seed, 2, 30, 2)
    found = mutual_information(x, 3, n_bins=n_bins)
    for series, row in zip(x.numpy(), found, strict=True):
        bins = [np.digitize(c, np.linspace(c.min(), c.max(), n_bins + 1)[1:-1]) for c in series.T]
        for k, value in enumerate(row.tolist(), 1):
            expected = np.mean([mutual_info_score(b[:-k], b[k:]) for b in bins])
            assert value == pytest.approx(expected, abs=1e-9)
    assert mutual_information(torch.ones(1, 5), 2).tolist() == [[0.0, 0.0]]
    assert mutual_information(torch.zeros(0, 5), 2).shape == (0, 2)


@given(st.integers(0, 1000), st.integers(1, 3), st.sampled_from([2.0, 10.0]))
@settings(max_examples=20)
def test_false_neighbours_of_all_pairs(seed, delay, tolerance):
    x = drawn(seed, 2, 25)
    found = false_neighbours(x, delay, 3, tolerance=tolerance)
    for series, row in zip(x.numpy(), found, strict=True):
        for dimension, share in enumerate(row.tolist(), 1):
            n = 25 - dimension * delay
            points = np.stack([series[j * delay : j * delay + n] for j in range(dimension)], 1)
            apart = cdist(points, points)
            np.fill_diagonal(apart, np.inf)
            nearest = apart.argmin(1)
            added = series[dimension * delay :]
            moved = np.abs(added - added[nearest]) > tolerance * apart.min(1)
            assert share == pytest.approx(moved.mean())
    same = torch.ones(1, 9)
    assert false_neighbours(same, 1, 2).tolist() == [[0.0, 0.0]]


def test_parameters_unfold_known_dynamics():
    t = torch.arange(600, dtype=torch.float64)
    wave = torch.sin(2 * torch.pi * t / 40)
    found = embedding_parameters(wave[None])
    assert found.dimension == 2
    assert 5 <= found.delay <= 15  # a quarter of the period is 10
    cloud = delay_embedding(wave[None, :80], found.dimension, found.delay)
    loops = topodl.rips_persistence(cloud, 1)
    assert float(loops.persistence().max()) > 1.0
    values, series = (0.1, 0.1), []
    for _ in range(600):  # Hénon's map, which two times unfold
        values = (1 - 1.4 * values[0] ** 2 + 0.3 * values[1], values[0])
        series.append(values[0])
    henon = torch.tensor(series, dtype=torch.float64)[None]
    shares = false_neighbours(henon, 1, 4)[0]
    assert shares[0] > 0.3
    assert shares[1] < 0.05
    noise = false_neighbours(drawn(0, 1, 600), 1, 2)[0]
    assert noise[1] > 0.2
    assert embedding_parameters([wave, wave[:300]]).dimension == 2
    assert embedding_parameters(henon, threshold=0.0, max_dimension=1).dimension == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: delay_embedding(torch.zeros(2)),
            r"x has shape \(2,\); expected finite values of shape \(B, L\)",
        ),
        (lambda: delay_embedding(torch.zeros(1, 4), 3, 2), "x has a series of 4 values; expected at least 5"),
        (lambda: delay_embedding([torch.zeros(4) / 0]), r"x\[0\]"),
        (lambda: delay_embedding(torch.zeros(1, 4), 0), "dimension is 0"),
        (lambda: delay_embedding(torch.zeros(1, 4), 2, 0), "delay is 0"),
        (lambda: delay_embedding(torch.zeros(1, 4), stride=0), "stride is 0"),
        (lambda: sliding_windows(torch.zeros(1, 4), 0), "size is 0"),
        (lambda: mutual_information(torch.zeros(1, 4), 4), r"x\[0\] has 4 values; expected at least 5"),
        (lambda: mutual_information(torch.zeros(1, 4), 2, n_bins=1), "n_bins is 1"),
        (lambda: false_neighbours(torch.zeros(1, 9), 1, 8), r"x\[0\] has 9 values; expected at least 10"),
        (lambda: false_neighbours(torch.zeros(1, 9), 1, 2, tolerance=-1), "tolerance is -1"),
        (lambda: embedding_parameters(torch.zeros(0, 9)), "x has no series"),
        (lambda: embedding_parameters(torch.zeros(1, 99), threshold=2.0), "threshold is 2.0"),
    ],
)
def test_unusable_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_what_is_no_series_is_a_type_error():
    with pytest.raises(TypeError, match=r"delay_embedding: x is a float; expected a torch\.Tensor or a"):
        delay_embedding(1.0)


@given(st.sampled_from([1e-200, 1e-160, 1e160, 1e200]), st.integers(0, 99))
def test_false_neighbours_do_not_depend_on_the_unit(scale, seed):
    series = torch.randn(1, 60, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    torch.testing.assert_close(false_neighbours(series * scale, 2, 3), false_neighbours(series, 2, 3))
