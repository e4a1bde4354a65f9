import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import KernelDensity

from tests.naive.filtrations import distance_to_measure, mean_distance
from topodl import InputError, graph_persistence
from topodl.filtrations import codensity, degree_rips_values


def cloud(n, d=2, seed=0, ties=False):
    generator = torch.Generator().manual_seed(seed)
    if ties:
        return torch.randint(0, 3, (n, d), generator=generator).double()
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


clouds = st.builds(cloud, st.integers(1, 9), st.integers(1, 3), st.integers(0, 999), st.booleans())


@given(clouds, st.floats(0.1, 3.0))
def test_kernel_codensity_is_minus_the_log_density(points, h):
    ours = codensity(points[None], bandwidth=h)[0]
    theirs = KernelDensity(bandwidth=h).fit(points.numpy()).score_samples(points.numpy())
    np.testing.assert_allclose(ours.numpy(), -theirs, atol=1e-9)


@given(clouds, st.data())
def test_neighbours_by_definition(points, data):
    k = data.draw(st.integers(1, len(points)))
    mass = data.draw(st.floats(0.0, 0.99))
    x = points[None]
    np.testing.assert_allclose(codensity(x, k=k)[0], mean_distance(points.numpy(), k), atol=1e-12)
    expected = distance_to_measure(points.numpy(), mass)
    np.testing.assert_allclose(codensity(x, mass=mass)[0], expected, atol=1e-12)
    distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    torch.testing.assert_close(codensity(distances, k=k, metric="precomputed"), codensity(x, k=k))
    torch.testing.assert_close(codensity(distances, mass=mass, metric="precomputed")[0].numpy(), expected)


@given(st.lists(clouds.filter(lambda x: x.shape[1] == 2), min_size=1, max_size=3), st.integers(0, 99))
def test_lists_and_batch_vectors_are_each_cloud_alone(several, seed):
    alone = [codensity(x[None], mass=0.4)[0] for x in several]
    for ours, expected in zip(codensity(several, mass=0.4), alone, strict=True):
        torch.testing.assert_close(ours, expected)
    batch = torch.repeat_interleave(torch.tensor([len(x) for x in several]))
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))
    mixed = codensity(torch.cat(several)[order], mass=0.4, batch=batch[order])
    torch.testing.assert_close(mixed, torch.cat(alone)[order])


@pytest.mark.parametrize("options", [{"bandwidth": 0.7}, {"k": 3}, {"mass": 0.5}])
def test_gradients_of_codensity(options):
    x = torch.stack([cloud(5, seed=s) for s in range(2)]).requires_grad_()
    torch.autograd.gradcheck(lambda x: codensity(x, **options), x)
    torch.autograd.gradgradcheck(lambda x: codensity(x, **options), x)


def test_the_bandwidth_has_a_gradient():
    h = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda h: codensity(cloud(4)[None], bandwidth=h), h)


def test_coinciding_points_have_no_gradient_that_is_no_number():
    x = torch.zeros(1, 3, 2, requires_grad=True)
    for options in ({"k": 2}, {"mass": 0.5}, {"bandwidth": 1.0}):
        (slope,) = torch.autograd.grad(codensity(x, **options).sum(), x)
        assert torch.equal(slope, torch.zeros_like(x))


@given(clouds.filter(lambda x: len(x) > 1), st.data())
def test_degree_rips_by_definition(points, data):
    k = data.draw(st.integers(0, len(points)))
    values = degree_rips_values(points[None], [k])[0, 0]
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    n = len(points)
    for r in distances.unique().tolist():
        degrees = (distances <= r + 1e-9).sum(1) - 1
        for i in range(n):
            assert bool(values[i, i] <= r + 1e-9) == bool(degrees[i] >= k)
            for j in range(n):
                edge = distances[i, j] <= r + 1e-9 and degrees[i] >= k and degrees[j] >= k
                assert bool(values[i, j] <= r + 1e-9) == bool(edge)


def test_degree_rips_of_lists_of_matrices_and_beyond_the_number_of_points():
    x = torch.tensor([[0.0], [1.0], [3.0]])
    distances = (x - x.T).abs()
    first, second = degree_rips_values([x, x[:2]], (0, 2))
    torch.testing.assert_close(first[0], distances)
    assert first[1].diagonal().tolist() == [3.0, 2.0, 3.0]
    assert torch.isinf(second[1]).all()
    torch.testing.assert_close(degree_rips_values(distances[None], 2, "precomputed")[0, 0], first[1])
    ends = torch.tensor([[0, 0, 1], [1, 2, 2]])
    d = graph_persistence(first[1].diagonal(), ends, first[1][ends[0], ends[1]])
    assert d.births.tolist() == [2.0, 3.0]


def test_gradients_of_degree_rips():
    x = torch.stack([cloud(4, seed=s) for s in range(2)]).requires_grad_()
    torch.autograd.gradcheck(lambda x: degree_rips_values(x, (1, 2)), x)
    torch.autograd.gradgradcheck(lambda x: degree_rips_values(x, (1, 2)), x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes_are_kept(dtype):
    x = cloud(6)[None].to(dtype)
    for values in (codensity(x, k=2), codensity(x, bandwidth=1.0), degree_rips_values(x, 2)):
        assert values.dtype == dtype


def test_no_clouds_are_a_value():
    none = torch.zeros(0, 3, 2)
    assert codensity(none, k=2).shape == codensity(none, bandwidth=1.0).shape == (0, 3)
    assert degree_rips_values(none, (1, 2)).shape == (0, 2, 3, 3)
    assert codensity([], k=1) == []


@pytest.mark.parametrize("d", [2, 9])
def test_points_of_many_coordinates_and_coinciding_ones_have_their_neighbours(d):
    x = cloud(12, d)
    x[3:8] = x[0]
    for k in (1, 3, 7):
        np.testing.assert_allclose(codensity(x[None], k=k)[0], mean_distance(x.numpy(), k), atol=1e-12)


def test_batches_of_many_large_clouds_go_in_steps(monkeypatch):
    monkeypatch.setattr("topodl.filtrations._clouds._MOST_ENTRIES", 70)
    x = torch.stack([cloud(5, seed=s) for s in range(4)])
    expected = torch.stack([codensity(one[None], bandwidth=1.0)[0] for one in x])
    torch.testing.assert_close(codensity(x, bandwidth=1.0), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "bandwidth, k and mass are None, None and None; expected exactly one"),
        ({"k": 1, "mass": 0.5}, "exactly one"),
        ({"k": 4}, "k is 4; expected at most 3"),
        ({"k": 0}, "k is 0"),
        ({"mass": 1.0}, "mass is 1.0"),
        ({"bandwidth": 0.0}, "bandwidth is 0.0; expected a positive number"),
        ({"bandwidth": torch.ones(2)}, r"bandwidth has shape \(2,\)"),
        ({"bandwidth": 1.0, "metric": "precomputed"}, "expected k or mass, or points"),
        ({"k": 1, "metric": "cosine"}, "metric is 'cosine'"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        codensity(torch.zeros(1, 3, 3), **options)


def test_bad_clouds_are_named():
    x = torch.zeros(2, 3, 2)
    x[1, 2, 0] = math.nan
    with pytest.raises(InputError, match=r"codensity: x\[1\] has NaN at \(2, 0\)"):
        codensity(x, k=1)
    with pytest.raises(InputError, match=r"degree_rips_values: x\[0\] has 1.0 at \(0, 1\)"):
        degree_rips_values([torch.tensor([[0.0, 1.0], [2.0, 0.0]])], 1, "precomputed")
    with pytest.raises(InputError, match="ks is empty"):
        degree_rips_values(x, ())
    with pytest.raises(InputError, match="ks is -1"):
        degree_rips_values(x, -1)


@pytest.mark.parametrize("d", [2, 40])  # by a tree and by a matrix
@given(scale=st.sampled_from([1e-170, 1e-160, 1e160, 1e200]), seed=st.integers(0, 99))
def test_squares_that_leave_the_range_of_numbers_change_nothing(d, scale, seed):
    x = cloud(9, d, seed)[None]
    for options in ({"k": 4}, {"mass": 0.4}):
        expected = codensity(x, **options) * scale
        torch.testing.assert_close(codensity(x * scale, **options), expected, rtol=1e-9, atol=0)


def test_single_precision_holds_distances_whose_squares_it_does_not():
    x = cloud(9)[None].float()
    torch.testing.assert_close(codensity(x * 1e30, k=3), codensity(x, k=3) * 1e30)
    torch.testing.assert_close(codensity(x * 1e-30, mass=0.5), codensity(x, mass=0.5) * 1e-30)
