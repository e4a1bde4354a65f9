import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import topodl
from tests.naive.multiparameter import image_surfaces, measure_of
from topodl import InputError, cubical_persistence, euler_signed_measure, image_signed_measure

GOLDEN = ["noise_5x5", "smooth_8x8", "ties_6x4"]
CONSTRUCTIONS = ["vertex", "cell"]


@st.composite
def images(draw, max_side=5):
    """Images (2, H, W) with few values (ties) or many, seldom square, some pixels never there."""
    height, width = draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
    g = np.random.default_rng(draw(st.integers(0, 2**31)))
    x = (
        g.integers(0, 3, (2, height, width)).astype(float)
        if draw(st.booleans())
        else g.random((2, height, width))
    )
    x[g.random(x.shape) < draw(st.sampled_from([0.0, 0.2]))] = math.inf
    return x


def points_of(m):
    m = m.merged()
    return [(tuple(p), w) for p, w in zip(m.points.tolist(), m.weights.tolist(), strict=True)]


def grids_of(x):
    return [np.unique(channel[np.isfinite(channel)]) for channel in x]


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
@given(images())
def test_measures_equal_flooding_every_sublevel_set(construction, x):
    grids = grids_of(x)
    expected = image_surfaces(x, *grids, construction == "cell")
    m = image_signed_measure(torch.from_numpy(x)[None], construction=construction)
    euler = euler_signed_measure(torch.from_numpy(x)[None], construction=construction)
    for k in (0, 1):
        assert points_of(m.dim(k)) == measure_of(expected[k], *grids)
    assert points_of(euler) == measure_of(expected[0] - expected[1], *grids)
    if min(map(len, grids)) > 0:
        found = m.surface(*map(torch.from_numpy, grids))[0]
        np.testing.assert_array_equal(found.numpy(), expected)
    flat = x.reshape(2, -1)
    for both in (m, euler):
        for c in (0, 1):
            assert both.points[:, c].tolist() == flat[c, both.cells[:, c, 0].numpy()].tolist()


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
@given(st.tuples(*[st.integers(1, 3)] * 3), st.booleans(), st.integers(0, 10**6))
def test_measures_of_volumes_count_what_is_there(construction, sides, ties, seed):
    g = np.random.default_rng(seed)
    x = torch.from_numpy(g.integers(0, 3, (1, 2, *sides)).astype(float) if ties else g.random((1, 2, *sides)))
    measures = [f(x, construction=construction) for f in (image_signed_measure, euler_signed_measure)]
    assert measures[0].homology_dims == (0,)
    for s, t in g.choice(x.flatten(2)[0].T.numpy(), 3):
        there = ((x[:, 0] <= s) & (x[:, 1] <= t)).double()
        d = cubical_persistence(torch.where(there > 0, 0.0, torch.inf), construction=construction)
        betti = [int((d.dim(k).births < torch.inf).sum()) for k in range(3)]
        found = [int(m.surface(torch.tensor([s]), torch.tensor([t]))) for m in measures]
        assert found == [betti[0], betti[0] - betti[1] + betti[2]]


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
@pytest.mark.parametrize("name", GOLDEN)
def test_golden_measures(shared, name, construction):
    with np.load(shared / "golden" / "multiparameter" / f"image_{name}.npz") as golden:
        arrays = {key: torch.from_numpy(golden[key]) for key in golden.files}
    x, grids = arrays["image"][None], (arrays["grid0"], arrays["grid1"])
    m = image_signed_measure(x, construction=construction)
    for k in (0, 1):
        key, merged = f"{construction}_hilbert{k}", m.dim(k).merged()
        torch.testing.assert_close(merged.points, arrays[f"{key}_points"], atol=1e-9, rtol=0)
        assert torch.equal(merged.weights, arrays[f"{key}_weights"])
        assert torch.equal(m.dim(k).surface(*grids)[0, 0].long(), arrays[key])
    euler = euler_signed_measure(x, construction=construction).surface(*grids)[0, 0]
    assert torch.equal(euler.long(), arrays[f"{construction}_euler"])


def test_a_ring_by_hand_that_its_second_channel_closes_and_fills():
    first = torch.zeros(3, 3)
    second = torch.tensor([[0.0, 0.0, 0.0], [1.0, 9.0, 0.0], [0.0, 0.0, 0.0]])
    m = image_signed_measure(torch.stack([first, second])[None], dims=1)
    assert points_of(m) == [((0.0, 1.0), 1), ((0.0, 9.0), -1)]


def test_a_square_is_there_with_its_first_pixel_and_no_earlier():
    # in each channel one of the two pixels is low: the edge between them is in neither's sublevel set alone
    x = torch.tensor([[[[0.0, 1.0]], [[1.0, 0.0]]]])
    euler = euler_signed_measure(x, construction="cell")
    assert points_of(euler) == [((0.0, 1.0), 1), ((1.0, 0.0), 1), ((1.0, 1.0), -1)]


@given(st.lists(images(4), min_size=1, max_size=3, unique_by=lambda x: x.tobytes()))
def test_a_batch_is_each_image_alone_and_swapping_channels_swaps_coordinates(batch):
    height, width = (max(x.shape[axis] for x in batch) for axis in (1, 2))
    padded = [
        np.pad(x, ((0, 0), (0, height - x.shape[1]), (0, width - x.shape[2])), constant_values=9)
        for x in batch
    ]
    x = torch.from_numpy(np.stack(padded))
    together, swapped = image_signed_measure(x), image_signed_measure(x.flip(1))
    for i, one in enumerate(together):
        alone = image_signed_measure(x[i : i + 1])
        assert torch.equal(one.points, alone.points)
        assert torch.equal(one.weights, alone.weights)
        assert torch.equal(one.cells, alone.cells)
        for k in (0, 1):
            mirrored = one.dim(k)._with(points=one.dim(k).points.flip(1))
            assert points_of(mirrored) == points_of(swapped[i].dim(k))


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
@given(images())
def test_a_row_of_the_surface_is_the_betti_curve_of_its_level(construction, x):
    x = torch.from_numpy(x)[None]
    m = image_signed_measure(x, construction=construction)
    grid = torch.linspace(-0.5, 2.5, 7, dtype=torch.float64)
    level = 1.0
    masked = x[:, 1].masked_fill(x[:, 0] > level, math.inf)
    d = cubical_persistence(masked, construction=construction)
    for k in (0, 1):
        bars = d.dim(k)
        alive = (bars.births[:, None] <= grid) & (bars.deaths[:, None] > grid)
        found = m.dim(k).surface(torch.tensor([level]), grid)[0, 0, 0]
        assert torch.equal(found, alive.sum(0).double())


@given(images(), st.integers(0, 10**6))
def test_surfaces_move_no_more_than_the_pixels_do(x, seed):
    """Where f ≤ s − ε implies g ≤ s implies f ≤ s + ε, masses of points differ by what the shift uncovers."""
    x = torch.from_numpy(np.where(np.isinf(x), 5.0, x))[None]
    eps = 0.1
    noise = eps * (2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(seed), dtype=x.dtype) - 1)
    m, moved = euler_signed_measure(x), euler_signed_measure(x + noise)
    grid = torch.linspace(-1, 6, 15, dtype=torch.float64)
    sigma = 0.5
    distance = (m.convolve(grid, grid, sigma) - moved.convolve(grid, grid, sigma)).abs().max()
    n_cells = 4 * x[0, 0].numel()
    steepest = 1 / (2 * math.pi * sigma**3) * math.exp(-0.5)
    assert distance <= n_cells * 2 * eps * steepest


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
def test_gradients_of_first_and_second_order(construction):
    x = torch.rand(
        2, 2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()

    def functional(x):
        m = image_signed_measure(x, construction=construction)
        euler = euler_signed_measure(x, construction=construction)
        return torch.stack(
            [(each.weights[:, None] * each.points**3).sum(0) for each in (m.dim(0), m.dim(1), euler)]
        )

    torch.autograd.gradcheck(functional, x)
    torch.autograd.gradgradcheck(functional, x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_ordered_in_single(dtype):
    x = torch.randint(0, 9, (2, 2, 5, 6), generator=torch.Generator().manual_seed(0))
    m = image_signed_measure(x.to(dtype))
    assert m.dtype == dtype
    assert points_of(m) == points_of(image_signed_measure(x.double()))
    assert image_signed_measure(x).dtype == torch.float32


def test_threads_empty_batches_and_empty_images_are_values():
    x = torch.rand(5, 2, 6, 7, generator=torch.Generator().manual_seed(1))
    before, results = topodl.get_num_threads(), []
    try:
        for n in (1, 8):
            topodl.set_num_threads(n)
            results.append(image_signed_measure(x))
    finally:
        topodl.set_num_threads(before)
    assert torch.equal(results[0].points, results[1].points)
    assert torch.equal(results[0].cells, results[1].cells)
    assert len(image_signed_measure(x[:0])) == 0
    never = torch.full((1, 2, 3, 3), math.inf, requires_grad=True)
    m = image_signed_measure(never)
    assert m.n_points == 0
    m.surface(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0]), width=1).sum().backward()


@pytest.mark.parametrize("function", [image_signed_measure, euler_signed_measure])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 3, 4), r"x has shape \(2, 3, 4\); expected images of two channels"),
        (torch.zeros(2, 3, 4, 4), r"x has shape \(2, 3, 4, 4\)"),
        (torch.zeros(2, 2, 0, 4), r"x has shape \(2, 2, 0, 4\)"),
        (torch.full((2, 2, 3, 3), math.nan), r"x\[0\] has NaN at \(0, 0, 0\)"),
    ],
)
def test_bad_images_are_named(function, x, message):
    with pytest.raises(InputError, match=f"{function.__name__}: {message}"):
        function(x)


def test_bad_options_are_named():
    x = torch.zeros(1, 2, 3, 3)
    with pytest.raises(InputError, match="construction is 'union'"):
        image_signed_measure(x, construction="union")
    with pytest.raises(InputError, match="dims has 2; expected integers from 0 to 1 for images, and 0 for"):
        image_signed_measure(x, dims=2)
    with pytest.raises(InputError, match=r"dims has 1; expected .* for images, and 0 for volumes"):
        image_signed_measure(torch.zeros(1, 2, 3, 3, 3), dims=(0, 1))
    with pytest.raises(TypeError, match="x is a ndarray"):
        image_signed_measure(x.numpy())


@pytest.mark.usefixtures("dynamic_shapes")
def test_the_operator_traces_as_one_graph():
    from topodl.persistence.image_measures import _image_measures

    x = torch.rand(2, 2, 3, 4, generator=torch.Generator().manual_seed(2))
    torch.library.opcheck(_image_measures.op, (x, [-1, 0, 1], True))
    grid = torch.tensor([0.0, 0.5, 1.0])

    @torch.compile(fullgraph=True, backend="eager")
    def image(x):
        return image_signed_measure(x).convolve(grid, grid, 0.3)

    y = x.clone().requires_grad_()
    image(y).sum().backward()
    assert y.grad.abs().sum() > 0
    torch.testing.assert_close(image(y), image_signed_measure(y).convolve(grid, grid, 0.3))
