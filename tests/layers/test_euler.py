"""Euler characteristic transforms and curves: brute-force counts, gradients, invariances."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from torch import nn

import topodl
from topodl import InputError, complex_persistence
from topodl.complexes import CellComplexes, alpha_complexes, clique_complexes, ring_complexes
from topodl.kernels.vectors import euler as kernels
from topodl.layers import EulerCharacteristicTransform, EulerCurve


def random_complex(seed, n=12, n_edges=20, n_faces=8, dim=3):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(n, dim, generator=g, dtype=torch.float64) * 2 - 1
    edges = torch.randint(0, n, (2, n_edges), generator=g)
    faces = torch.randint(0, n, (3, n_faces), generator=g)
    return x, edges, faces


def distinct(simplices):
    return {tuple(sorted(set(s))) for s in simplices.T.tolist() if len(set(s)) == len(s)}


def brute_force(x, simplices, directions, thresholds, step, weights=None):
    """Sum the sign of each simplex whose highest vertex is below the threshold, one by one."""
    weights = [1.0] * len(x) if weights is None else weights.tolist()
    heights = x @ directions
    cells = [(i,) for i in range(len(x))] + [s for index in simplices for s in sorted(distinct(index))]
    out = torch.zeros(directions.shape[1], len(thresholds), dtype=x.dtype)
    for cell in cells:
        top = heights[list(cell)].amax(0)
        sign = (-1) ** (len(cell) - 1) * max(weights[i] for i in cell)
        out += sign * step(thresholds - top[:, None])
    return out


def hard_step(gap):
    return (gap >= 0).double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [1, 2, 3, 5])
@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_agreement_with_counting_one_by_one(dtype, dim, mode):
    x, edges, faces = random_complex(dim, dim=dim)
    layer = EulerCharacteristicTransform(7, 9, radius=1.3, mode=mode, scale=11.0).to(dtype)
    out = layer(x.to(dtype), [edges, faces])
    assert out.dtype == dtype
    step = hard_step if mode == "hard" else (lambda gap: torch.sigmoid(11.0 * gap))
    thresholds = torch.linspace(-1.3, 1.3, 9, dtype=torch.float64)
    expected = brute_force(x, [edges, faces], layer.directions.double(), thresholds, step)
    torch.testing.assert_close(out[0].double(), expected, atol=1e-5, rtol=1e-5)


def test_points_on_thresholds_count_there():
    x = torch.tensor([[-1.0], [-0.5], [0.0], [0.5], [1.0], [1.5], [-2.0]])
    layer = EulerCharacteristicTransform(1, 5, radius=1.0, mode="hard")
    assert layer(x).tolist() == [[[2.0, 3.0, 4.0, 5.0, 6.0]]]


@pytest.mark.parametrize("scale", [0.5, 5.0, 40.0, 300.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_windowed_sigmoids_equal_dense_ones(scale, dtype):
    g = torch.Generator().manual_seed(0)
    x = (torch.randn(2, 200, 3, generator=g, dtype=torch.float64)).to(dtype).requires_grad_()
    layer = EulerCharacteristicTransform(6, 33, radius=1.2, scale=scale, ambient_dim=3)
    out = layer(x)
    weights = torch.randn(out.shape, generator=g, dtype=torch.float64)
    (grad,) = torch.autograd.grad((out * weights).sum(), x)
    double = x.detach().double().requires_grad_()
    heights = double @ layer.directions.double()
    dense = torch.sigmoid(
        scale * (torch.linspace(-1.2, 1.2, 33, dtype=torch.float64) - heights[..., None])
    ).sum(1)
    (expected,) = torch.autograd.grad((dense * weights).sum(), double)
    torch.testing.assert_close(out.double(), dense, atol=1e-4, rtol=1e-5)
    assert (grad - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("scale", [None, 4.0])
def test_gradients_of_points_directions_and_weights(scale):
    x, edges, faces = random_complex(1, n=6, n_edges=5, n_faces=2)
    layer = EulerCharacteristicTransform(
        3, 5, radius=1.5, scale=scale, learnable=True, ambient_dim=3
    ).double()

    def transform(x, directions, weights):
        return torch.func.functional_call(
            layer, {"directions": directions}, (x, [edges, faces]), {"weights": weights}
        )

    weights = torch.rand(6, dtype=torch.float64, requires_grad=True)
    inputs = (x.requires_grad_(), layer.directions.detach().clone().requires_grad_())
    assert torch.autograd.gradcheck(lambda *args: transform(*args, None), inputs)
    assert torch.autograd.gradgradcheck(lambda *args: transform(*args, None), inputs, atol=1e-4)
    assert torch.autograd.gradcheck(transform, (*inputs, weights))
    hard = EulerCharacteristicTransform(3, 5, mode="hard", ambient_dim=3).double()
    assert torch.autograd.gradcheck(lambda w: hard(x.detach(), edges, weights=w), (weights,))


def test_directions_are_learnt_and_stay_on_the_sphere():
    layer = EulerCharacteristicTransform(4, 8, learnable=True)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    x = torch.rand(5, 20, 3)
    before = layer(x).detach()
    layer(x).square().sum().backward()
    optimizer.step()
    assert (layer(x) != before).any()
    other = EulerCharacteristicTransform(4, 8, learnable=True)
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(x), layer(x))
    with torch.no_grad():
        layer.directions *= 3.0
    torch.testing.assert_close(other(x), layer(x))


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_edges_given_twice_count_once(mode):
    x, edges, faces = random_complex(3)
    layer = EulerCharacteristicTransform(4, 8, mode=mode)
    expected = layer(x, [edges, faces])
    both = torch.cat([edges, edges.flip(0), torch.tensor([[2], [2]])], 1)
    torch.testing.assert_close(layer(x, [both, faces[[2, 0, 1]].repeat(1, 2)]), expected)


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_every_form_of_batch_is_the_same(mode):
    samples = [random_complex(seed, n=8 + seed) for seed in range(3)]
    layer = EulerCharacteristicTransform(4, 8, mode=mode, ambient_dim=3).double()
    expected = torch.cat([layer(x, [edges, faces]) for x, edges, faces in samples])
    torch.testing.assert_close(layer(samples), expected)
    starts = [0, 8, 17]
    flat = torch.cat([s[0] for s in samples])
    edges, faces = (
        torch.cat([s[k] + start for s, start in zip(samples, starts, strict=True)], 1) for k in (1, 2)
    )
    batch = torch.repeat_interleave(torch.tensor([8, 9, 10]))
    torch.testing.assert_close(layer(flat, [edges, faces], batch), expected)
    order = torch.randperm(27, generator=torch.Generator().manual_seed(0))
    place = order.argsort()
    torch.testing.assert_close(layer(flat[order], [place[edges], place[faces]], batch[order]), expected)
    padded = torch.full((3, 12, 3), 5.0, dtype=torch.float64)
    mask = torch.zeros(3, 12, dtype=torch.bool)
    wide = torch.full((3, 2, 25), -1), torch.full((3, 3, 9), -1)
    for i, sample in enumerate(samples):
        padded[i, : len(sample[0])], mask[i, : len(sample[0])] = sample[0], True
        for k in (0, 1):
            wide[k][i, :, : sample[k + 1].shape[1]] = sample[k + 1]
    torch.testing.assert_close(layer(padded, wide, mask=mask), expected)
    np.testing.assert_allclose(
        EulerCharacteristicTransform(4, 8, 1.1, mode).fit(samples).transform(samples),
        expected.flatten(1).numpy(), atol=1e-6,
    )  # fmt: skip


def test_threads_change_nothing():
    x = torch.rand(7, 50, 3, generator=torch.Generator().manual_seed(0))
    layers = [EulerCharacteristicTransform(8, 16, mode=mode) for mode in ("soft", "hard")]
    before = topodl.get_num_threads()
    results = []
    for n in (1, 8):
        topodl.set_num_threads(n)
        results.append([layer(x) for layer in layers])
    topodl.set_num_threads(before)
    for one, many in zip(*results, strict=True):
        torch.testing.assert_close(one, many, rtol=0, atol=0)


def test_weighted_and_smooth_variants():
    x, edges, _ = random_complex(5)
    weights = torch.arange(12, dtype=torch.float64)
    layer = EulerCharacteristicTransform(3, 9, radius=1.3, mode="hard", ambient_dim=3).double()
    thresholds = torch.linspace(-1.3, 1.3, 9, dtype=torch.float64)
    expected = brute_force(x, [edges], layer.directions, thresholds, hard_step, weights)
    torch.testing.assert_close(layer(x, edges, weights=weights)[0], expected)
    plain = layer(x, edges)[0].numpy()
    smooth = layer.set_params(smooth=True).double()(x, edges)[0].numpy()
    mean = trapezoid(plain, thresholds.numpy()) / 2.6
    expected = [trapezoid((plain - mean[:, None])[:, : k + 1], thresholds[: k + 1].numpy()) for k in range(9)]
    np.testing.assert_allclose(smooth, np.stack(expected, 1), atol=1e-6)
    np.testing.assert_allclose(smooth[:, -1], 0.0, atol=1e-6)


def test_euler_characteristic_of_whole_shapes():
    tetrahedron = torch.tensor([[0.0, 0.0, 0.0], [0.9, 0.0, 0.0], [0.0, 0.9, 0.0], [0.0, 0.0, 0.9]])
    edges = torch.combinations(torch.arange(4), 2).T
    faces = torch.combinations(torch.arange(4), 3).T
    layer = EulerCharacteristicTransform(5, 3, mode="hard")
    assert (layer(tetrahedron, [edges, faces])[..., -1] == 2).all()
    assert (layer(tetrahedron, edges)[..., -1] == 4 - 6).all()


def test_fit_takes_the_farthest_point():
    clouds = [np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[1.0, 0.0]])]
    layer = EulerCharacteristicTransform(2, 3).fit(clouds)
    assert layer.radius_.item() == 5.0
    assert EulerCharacteristicTransform(2, 3, radius=2.0).fit(clouds).transform(clouds).shape == (2, 6)


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_single_and_duplicate_points(n, mode):
    x = torch.zeros(2, n, 3, requires_grad=True)
    out = EulerCharacteristicTransform(4, 5, mode=mode)(x)
    assert (out[..., -1].round() == n).all()
    if mode == "soft":
        out.sum().backward()
        assert torch.isfinite(x.grad).all()


def test_half_types_and_strides():
    x = torch.rand(4, 10, 6)
    layer = EulerCharacteristicTransform(4, 5, ambient_dim=3)
    assert layer(x.bfloat16()[..., ::2]).dtype == torch.bfloat16
    torch.testing.assert_close(layer(x[..., ::2]), layer(x[..., ::2].contiguous()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(3, 2, dtype=torch.int64),), "x has dtype torch.int64"),
        ((torch.zeros(3),), r"x has shape \(3,\)"),
        ((torch.tensor([[[0.0, 1.0], [np.nan, 0.0]]]),), "has NaN"),
        (
            (torch.zeros(3, 2), torch.tensor([[0], [3]])),
            r"simplices\[0\] has vertices 0 … 3; expected indices from 0 to 2",
        ),
        ((torch.zeros(3, 2), torch.zeros(2, 1)), "vertex indices of shape"),
        ((torch.zeros(3, 2), torch.tensor([[0], [2]]), torch.tensor([0, 0, 1])), "of different samples"),
        ((torch.zeros(3, 2), (), torch.zeros(2, dtype=torch.int64)), "batch has shape"),
        (([],), "x is an empty list"),
        (([torch.zeros(3, 2), torch.zeros(3, 3)],), r"x\[1\] has shape \(3, 3\)"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        EulerCharacteristicTransform(2, 3)(*arguments)


def test_bad_settings_are_named():
    for settings_, message in [
        ({"mode": "other"}, "mode is 'other'"),
        ({"n_thresholds": 1}, "n_thresholds is 1"),
        ({"learnable": True, "mode": "hard"}, "learnable directions"),
        ({"radius": -1.0}, "radius is -1.0"),
    ]:
        with pytest.raises(InputError, match=message):
            EulerCharacteristicTransform(**settings_)(torch.zeros(1, 2, 2))
    with pytest.raises(InputError, match="x has 2 coordinates; expected 3"):
        EulerCharacteristicTransform(ambient_dim=3)(torch.zeros(1, 2, 2))


def test_kernels_without_the_compiler():
    x = np.array([[0.0], [0.5]])
    offsets, simplices, samples = np.array([0, 2]), np.array([[0], [1]]), np.array([0])
    out = np.zeros((1, 1, 3))
    one = np.ones((1, 1))
    kernels.hard_transform.py_func(
        x, one, offsets, simplices, offsets, np.ones(2), np.array([-1.0, 0.0, 1.0]), samples, out
    )
    assert out.tolist() == [[[0.0, 1.0, 2.0]]]


image = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10**6))


@given(image, st.sampled_from(["vertex", "cell"]), st.booleans(), st.booleans())
@settings(max_examples=30)
def test_euler_curve_of_images_is_that_of_their_diagrams(shape, construction, superlevel, volume):
    height, width, seed = shape
    size = (2, 3, height, width) if volume else (2, height, width)
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 5, size, generator=g).double()
    d = topodl.cubical_persistence(x, superlevel=superlevel, construction=construction)
    layer = EulerCurve(11, (-1, 5), superlevel=superlevel, construction=construction)
    torch.testing.assert_close(layer(x), layer(d))


def test_soft_euler_curve():
    x = torch.rand(2, 4, 5, dtype=torch.float64, requires_grad=True)
    for construction in ("vertex", "cell"):
        layer = EulerCurve(7, (0, 1), width=0.2, construction=construction)
        assert torch.autograd.gradcheck(layer, (x,))
        sharp = EulerCurve(7, (-0.01, 1.01), width=1e-7, construction=construction)
        exact = EulerCurve(7, (-0.01, 1.01), construction=construction)
        torch.testing.assert_close(sharp(x), exact(x), atol=1e-5, rtol=0)
    assert EulerCurve(7, (0, 1))(torch.ones(1, 1, 1)).tolist() == [[0.0] * 6 + [1.0]]


def test_euler_curve_refuses_nan_and_shapes():
    with pytest.raises(InputError, match=r"x\[1\] has NaN at \(0, 1\)"):
        EulerCurve(3, (0, 1))(torch.tensor([[[0.0, 1.0]], [[0.0, np.nan]]]))
    with pytest.raises(InputError, match="with at least one pixel"):
        EulerCurve(3, (0, 1))(torch.zeros(2, 3))


def test_a_network_learns_through_the_transform():
    model = nn.Sequential(EulerCharacteristicTransform(4, 8), nn.Flatten(), nn.Linear(32, 1))
    x = torch.rand(3, 10, 2, requires_grad=True)
    model(x).sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_thresholds", [2, 3, 5, 9])
def test_steep_sigmoids_at_few_thresholds(dtype, n_thresholds):
    x = torch.linspace(-3, 3, 121, dtype=dtype)[:, None]
    thresholds = torch.linspace(-2, 2, n_thresholds, dtype=torch.float64).to(dtype)
    for scale in (5.0, 17.0, 30.0, 50.0, 100.0, 1000.0):
        layer = EulerCharacteristicTransform(1, n_thresholds, 2.0, scale=scale, ambient_dim=1)
        each = layer(x, batch=torch.arange(121))[:, 0]
        torch.testing.assert_close(each, torch.sigmoid(scale * (thresholds - x)), rtol=1e-3, atol=1e-4)


def test_vertices_of_other_samples_are_out_of_range():
    cloud, beyond = torch.rand(4, 2), torch.tensor([[4], [5]])  # an edge of the next sample, if joined
    layer = EulerCharacteristicTransform(2, 3)
    with pytest.raises(InputError, match=r"x\[0\]\[1\] has vertices 4 … 5; expected indices from 0 to 3"):
        layer([(cloud, beyond), (cloud,)])
    with pytest.raises(InputError, match=r"simplices\[0\] has vertices 4 … 5; expected indices from -1 to 3"):
        layer(torch.stack([cloud, cloud]), beyond)


def test_arguments_that_do_not_belong_together_are_refused():
    layer, x = EulerCharacteristicTransform(2, 3), torch.rand(2, 4, 2)
    with pytest.raises(InputError, match=r"batch is given; expected it only beside x \(N, d\)"):
        layer(x, batch=torch.zeros(4, dtype=torch.int64))
    with pytest.raises(InputError, match="mask is given without padding"):
        layer(x[0], mask=torch.ones(4, dtype=torch.bool))
    with pytest.raises(InputError, match=r"weights has shape \(9,\); expected one weight for each of the 8"):
        layer(x, weights=torch.ones(9))
    torch.testing.assert_close(layer(x[0], batch=torch.zeros(4, dtype=torch.int32)), layer(x[:1]))


def test_infinite_values_are_refused_but_not_in_the_padding():
    layer, x = EulerCharacteristicTransform(2, 3), torch.rand(1, 4, 2)
    mask, weights = torch.tensor([[True, True, True, False]]), torch.ones(1, 4)
    expected = layer(x, mask=mask, weights=weights)
    weights[0, 3] = x[0, 3, 0] = torch.inf
    torch.testing.assert_close(layer(x, mask=mask, weights=weights), expected)
    with pytest.raises(InputError, match="has an infinite value"):
        layer(x)
    with pytest.raises(InputError, match=r"weights\[3\] has an infinite value"):
        layer(torch.rand(1, 4, 2), weights=weights)


def test_learnable_directions_without_data_have_a_state():
    layer = EulerCharacteristicTransform(2, 3, learnable=True)
    assert list(layer.state_dict()) == ["radius_"]
    layer.load_state_dict(EulerCharacteristicTransform(2, 3, learnable=True).state_dict())
    layer.load_state_dict(EulerCharacteristicTransform(2, 3, learnable=True, ambient_dim=2).state_dict())
    assert layer.directions.shape == (2, 2)
    sizes = EulerCharacteristicTransform(np.int64(2), np.int64(3), learnable=True, ambient_dim=np.int64(5))
    assert sizes.directions.shape == (5, 2)


def test_euler_curve_at_two_thresholds():
    x = torch.tensor([[[0.3, 0.9]]], dtype=torch.float64)
    for width in (1e-3, 1e-2):
        assert EulerCurve(2, (0, 1), width=width)(x)[0].tolist() == pytest.approx([0.0, 1.0])


def two_graphs(lifting=clique_complexes):
    """A square with a diagonal and a tail, and a hexagon; with vertices in the plane."""
    first = [(0, 1), (1, 2), (2, 3), (0, 3), (0, 2), (3, 4)]
    second = [(5, 6), (6, 7), (7, 8), (8, 9), (9, 10), (5, 10)]
    batch = torch.repeat_interleave(torch.tensor([5, 6]))
    x = torch.randn(11, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return x, lifting(torch.tensor(first + second).T, batch)


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_complexes_are_their_index_tensors(mode):
    x, complexes = two_graphs()
    layer = EulerCharacteristicTransform(4, 8, mode=mode, ambient_dim=2).double()
    x.requires_grad_(mode == "soft")
    tables = [complexes.vertices(k).table().T for k in (1, 2)]
    batch, weights = complexes.samples(0), torch.arange(1.0, 12.0, dtype=torch.float64)
    for options in ({}, {"weights": weights}):
        expected, out = layer(x, tables, batch, **options), layer(x, complexes, **options)
        torch.testing.assert_close(out, expected)
        torch.testing.assert_close(layer(list(x.split([5, 6])), complexes, **options), expected)
        if mode == "soft":
            grads = [torch.autograd.grad(each.square().sum(), x)[0] for each in (out, expected)]
            torch.testing.assert_close(*grads)
    padded, mask = torch.full((2, 6, 2), 9.0, dtype=torch.float64), torch.ones(2, 6, dtype=torch.bool)
    padded[0, :5], padded[1], mask[0, 5] = x[:5].detach(), x[5:].detach(), False
    torch.testing.assert_close(layer(padded, complexes, mask=mask), layer(x, complexes))


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_rings_of_any_length_are_cells_of_dimension_two(mode):
    x, complexes = two_graphs(ring_complexes)
    assert complexes.n_cells(2) == 3
    layer = EulerCharacteristicTransform(3, 6, mode=mode, scale=5.0, ambient_dim=2).double()
    step = hard_step if mode == "hard" else (lambda gap: torch.sigmoid(5.0 * gap))
    thresholds = torch.linspace(-1.1, 1.1, 6, dtype=torch.float64)
    tops = [(x @ layer.directions)[list(ring)].amax(0) for ring in [(0, 1, 2), (0, 2, 3), range(5, 11)]]
    filled = torch.stack([step(thresholds - top[:, None]) for top in tops])
    graphs = layer(x, complexes.skeleton(1))
    torch.testing.assert_close(layer(x, complexes) - graphs, torch.stack((filled[:2].sum(0), filled[2])))


def test_samples_without_vertices_have_a_transform_of_zeros():
    edges = torch.tensor([[0, 1]])
    complexes = CellComplexes([0, 2, 0], [edges])
    out = EulerCharacteristicTransform(2, 3, mode="hard")(torch.tensor([[0.0, 0.0], [0.5, 0.0]]), complexes)
    assert out[:, 0].tolist() == [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]


def test_vertices_that_are_not_those_of_the_complexes_are_refused():
    x, complexes = two_graphs()
    layer = EulerCharacteristicTransform(2, 3)
    with pytest.raises(InputError, match="batch is given beside CellComplexes"):
        layer(x, complexes, complexes.samples(0))
    with pytest.raises(InputError, match=r"x has samples of \[10\] vertices; expected .* \[5, 6\]"):
        layer(x[:10], complexes)
    with pytest.raises(InputError, match="x has simplices of its own beside CellComplexes"):
        layer([(x[:5], torch.tensor([[0], [1]])), x[5:]], complexes)


@pytest.mark.parametrize("superlevel", [False, True])
@pytest.mark.parametrize("width", [None, 0.1])
def test_curves_of_complexes_are_those_of_their_diagrams(superlevel, width):
    x, complexes = two_graphs()
    values = x[:, 0].clone().requires_grad_()
    filtered = complexes.with_values(values, rule="min" if superlevel else "max")
    layer = EulerCurve(9, (-2.0, 2.0), width=width, superlevel=superlevel)
    curve = layer(filtered)
    bars = complex_persistence(filtered, dims=(0, 1, 2), superlevel=superlevel)
    torch.testing.assert_close(curve, layer(bars))
    if width is not None:
        losses = [layer(filtered).square().sum(), layer(bars).square().sum()]
        grads = [torch.autograd.grad(loss, values, retain_graph=True)[0] for loss in losses]
        torch.testing.assert_close(*grads)
        assert torch.autograd.gradcheck(lambda v: layer(complexes.with_values(v)), values)


def test_the_curve_of_a_path_by_hand():
    path = clique_complexes(torch.tensor([[0, 1], [1, 2]]), max_dim=1)
    filtered = path.with_values([torch.tensor([0.0, 1.0, 0.0]), torch.tensor([2.0, torch.inf])])
    layer = EulerCurve(4, (0, 3))
    assert layer(filtered).tolist() == [[2.0, 3.0, 2.0, 2.0]]
    np.testing.assert_array_equal(layer.transform(filtered), layer(filtered).numpy())
    assert EulerCurve(3).fit(filtered).range_.tolist() == [0.0, 2.0]


def test_complexes_without_one_value_a_cell_have_no_curve():
    _, complexes = two_graphs()
    layer = EulerCurve(3, (0, 1))
    with pytest.raises(InputError, match="x has no values; expected one value a cell"):
        layer(complexes)
    with pytest.raises(InputError, match="x has 2 filtrations; expected one value a cell"):
        layer(complexes.with_values(torch.zeros(11, 2)))
    with pytest.raises(InputError, match=r"x.values\(0\)\[0\] has NaN"):
        layer(complexes.with_values([torch.full((11,), torch.nan)]))


def test_the_curve_of_alpha_complexes_ends_at_that_of_a_ball():
    clouds = torch.rand(3, 20, 2, generator=torch.Generator().manual_seed(0))
    curve = EulerCurve(5, (0.0, 1e6))(alpha_complexes(clouds))
    assert curve[:, 0].tolist() == [20.0] * 3
    assert curve[:, -1].tolist() == [1.0] * 3
