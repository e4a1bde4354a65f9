import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.naive.multiparameter import convolved
from topodl import Diagrams, InputError, SignedMeasures

GRID = torch.linspace(-1.0, 2.0, 7, dtype=torch.float64)


def measures(seed, counts, homology_dims=(-1, 1), ties=False, dtype=torch.float64):
    """Return random measures with `counts[i][j]` points in sample i and dimension homology_dims[j]."""
    g = torch.Generator().manual_seed(seed)
    table = torch.tensor(counts, dtype=torch.int64).reshape(-1, len(homology_dims))
    segments = torch.repeat_interleave(table.flatten())
    p = len(segments)
    points = torch.randint(0, 3, (p, 2), generator=g).to(dtype) if ties else torch.rand(p, 2, generator=g)
    return SignedMeasures(
        points.to(dtype),
        torch.randint(-2, 3, (p,), generator=g),
        torch.tensor(homology_dims)[segments % len(homology_dims)],
        segments // len(homology_dims),
        n_samples=len(table),
        homology_dims=homology_dims,
        cells=torch.arange(2 * p).view(p, 2, 1),
    )


@st.composite
def batches(draw):
    counts = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=4))
    return measures(draw(st.integers(0, 2**31)), counts, ties=draw(st.booleans()))


def rows_of(m):
    return list(zip(m.samples.tolist(), m.dims.tolist(), m.points.tolist(), m.weights.tolist(), strict=True))


def counted(m, grid0, grid1):
    """Return the surface, point by point."""
    table = np.zeros((len(m), len(m.homology_dims), len(grid0), len(grid1)))
    for sample, dim, (x, y), weight in rows_of(m):
        above = np.outer(np.asarray(grid0) >= x, np.asarray(grid1) >= y)
        table[sample, m.homology_dims.index(dim)] += weight * above
    return table


def test_points_are_sorted_by_sample_and_dimension_and_cells_follow():
    m = SignedMeasures(
        torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]),
        torch.tensor([1, -2, 3]),
        torch.tensor([0, -1, 1]),
        torch.tensor([1, 1, 0]),
        n_samples=3,
        homology_dims=(1, 0, -1),
        cells=torch.tensor([[[0], [1]], [[2], [3]], [[4], [5]]]),
    )
    assert m.homology_dims == (-1, 0, 1)
    assert rows_of(m) == [(0, 1, [4.0, 5.0], 3), (1, -1, [2.0, 3.0], -2), (1, 0, [0.0, 1.0], 1)]
    assert m.cells[:, :, 0].tolist() == [[4, 5], [2, 3], [0, 1]]
    assert m.total_mass().tolist() == [[0, 0, 3], [-2, 1, 0], [0, 0, 0]]
    assert repr(m) == "SignedMeasures(3 samples; Euler: 1 point; H0: 1 point; H1: 1 point; float32, cpu)"
    assert repr(m._with(points=m.points.clone().requires_grad_())).endswith(", grad)")


@given(batches(), st.data())
def test_indexing_and_joining_agree_with_reading_point_by_point(m, data):
    which = data.draw(st.lists(st.integers(0, len(m) - 1), max_size=5))
    chosen = m[which]
    parts = [m[i] for i in which]
    assert len(chosen) == len(which)
    for i, part in enumerate(parts):
        assert (
            rows_of(chosen[i]) == rows_of(part) == [(0, *row[1:]) for row in rows_of(m) if row[0] == which[i]]
        )
    joined = SignedMeasures.cat(list(m))
    assert rows_of(joined) == rows_of(m)
    assert torch.equal(joined.cells, m.cells)
    assert [m.dim(k).n_points for k in (-1, 1)] == m.counts.sum(0).tolist()


@given(batches())
def test_surfaces_count_the_points_below(m):
    grid1 = GRID[:4]
    found = m.surface(GRID, grid1)
    assert found.shape == (len(m), 2, 7, 4)
    np.testing.assert_array_equal(found.numpy(), counted(m, GRID, grid1))


@given(batches())
def test_merging_changes_the_list_and_not_the_measure(m):
    merged = m.merged()
    np.testing.assert_array_equal(merged.surface(GRID, GRID).numpy(), m.surface(GRID, GRID).numpy())
    assert (merged.weights != 0).all()
    keys = [(sample, dim, *point) for sample, dim, point, _ in rows_of(merged)]
    assert keys == sorted(set(keys))
    of_point = {
        tuple(cell): point for cell, point in zip(m.cells.flatten(1).tolist(), m.points.tolist(), strict=True)
    }
    assert [of_point[tuple(cell)] for cell in merged.cells.flatten(1).tolist()] == merged.points.tolist()


def test_merging_by_hand_keeps_the_first_of_equal_points():
    zeros = torch.zeros(4, dtype=torch.int64)
    points = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0], [0.0, 2.0]], requires_grad=True)
    m = SignedMeasures(
        points, torch.tensor([2, 1, 3, -1]), zeros, zeros, n_samples=1, homology_dims=[0]
    ).merged()
    assert rows_of(m) == [(0, 0, [1.0, 0.0], 5)]
    m.points.sum().backward()
    assert points.grad.tolist() == [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]


@given(batches(), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_clipped_measures_have_no_mass_and_count_as_before_below_the_corner(m, c0, c1):
    clipped = m.clipped((c0, c1))
    assert (clipped.total_mass() == 0).all()
    inside = GRID[c0 > GRID], GRID[c1 > GRID]
    if len(inside[0]) and len(inside[1]):
        np.testing.assert_array_equal(clipped.surface(*inside).numpy(), m.surface(*inside).numpy())
    beyond = GRID.clamp(min=c0)
    assert (clipped.surface(beyond, GRID) == 0).all()
    assert (clipped.surface(GRID, GRID.clamp(min=c1)) == 0).all()
    assert torch.equal(clipped.cells.view(-1, 4, 2, 1)[:, 0], m.cells)
    assert (clipped.cells.view(-1, 4, 2)[:, 3] == -1).all()


@given(batches(), st.sampled_from([0.25, 1.0, 1.5, 4.0]), st.integers(0, 100))
def test_a_ramp_is_the_mean_of_the_surface_over_its_width(m, width, seed):
    grid0, grid1 = GRID, torch.linspace(-0.5, 1.5, 5, dtype=torch.float64)
    found = m.surface(grid0, grid1, width=width)
    expected = np.zeros(found.shape)
    for sample, dim, (x, y), weight in rows_of(m):
        ramps = [
            np.clip((grid.numpy() - value) / (width * (grid[1] - grid[0]).item()) + 0.5, 0, 1)
            for grid, value in ((grid0, x), (grid1, y))
        ]
        expected[sample, m.homology_dims.index(dim)] += weight * np.outer(*ramps)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_a_ramp_on_an_uneven_grid_goes_over_bins():
    zero = torch.tensor([0])
    m = SignedMeasures(torch.tensor([[0.5, -9.0]]), zero + 1, zero, zero, n_samples=1, homology_dims=[0])
    grid = torch.tensor([0.0, 1.0, 5.0])
    # half a bin behind the first value: 0 there, and 1 at the next
    assert m.surface(grid, torch.tensor([0.0, 1.0]), width=1)[0, 0].tolist() == [
        [0.0, 0.0],
        [1.0, 1.0],
        [1.0, 1.0],
    ]
    m = m._with(points=torch.tensor([[3.0, -9.0]]))
    assert m.surface(grid, torch.tensor([0.0, 1.0]), width=2)[0, 0, :, 0].tolist() == [0.0, 0.25, 0.75]


@given(batches(), st.floats(0.05, 3.0), st.floats(0.05, 3.0))
def test_convolutions_are_sums_of_densities(m, sigma0, sigma1):
    found = m.convolve(GRID, GRID[:3], (sigma0, sigma1))
    for i, k in np.ndindex(len(m), 2):
        one = m[i].dim((-1, 1)[k])
        expected = convolved(
            one.points.tolist(), one.weights.tolist(), GRID.tolist(), GRID[:3].tolist(), sigma0, sigma1
        )
        np.testing.assert_allclose(found[i, k].numpy(), expected, atol=1e-12)


@given(batches())
def test_a_pair_that_cancels_changes_nothing(m):
    points = torch.tensor([[0.3, 0.4]] * 2, dtype=torch.float64)
    which = torch.tensor([0, 0]), torch.tensor([-1, -1])
    pair = SignedMeasures(
        torch.cat([m.points, points]),
        torch.cat([m.weights, torch.tensor([1, -1])]),
        torch.cat([m.dims, which[1]]),
        torch.cat([m.samples, which[0]]),
        n_samples=len(m),
        homology_dims=m.homology_dims,
    )
    for image in (
        lambda d: d.surface(GRID, GRID),
        lambda d: d.surface(GRID, GRID, 1.0),
        lambda d: d.convolve(GRID, GRID, 0.5),
    ):
        torch.testing.assert_close(image(pair), image(m), atol=1e-12, rtol=0)


def test_golden_convolutions(shared):
    with np.load(shared / "golden" / "multiparameter" / "measures_a.npz") as golden:
        points, weights = torch.from_numpy(golden["points"]), torch.from_numpy(golden["weights"])
        n, width = weights.shape
        m = SignedMeasures(
            points.flatten(0, 1),
            weights.flatten(),
            torch.zeros(n * width, dtype=torch.int64),
            torch.arange(n).repeat_interleave(width),
            n_samples=n,
            homology_dims=[0],
        )
        grid = torch.from_numpy(golden["grid"])
        found = m.convolve(grid, grid, float(golden["bandwidth"]))
        np.testing.assert_allclose(found[:, 0].numpy(), golden["gaussian"], atol=1e-9)


@pytest.mark.parametrize("image", ["ramp", "wide ramp", "convolution", "clipped"])
def test_gradients_of_first_and_second_order(image):
    m = measures(3, [[4, 0], [2, 5]])
    sigma = torch.tensor([0.4, 0.7], dtype=torch.float64, requires_grad=True)

    def of(points, sigma):
        moved = m._with(points=points)
        if image == "convolution":
            return moved.convolve(GRID, GRID[:3], sigma)
        if image == "clipped":
            return moved.clipped(sigma).points ** 2
        return moved.surface(GRID, GRID[:3], 1.0 if image == "ramp" else 2.7) ** 2

    points = m.points.clone().requires_grad_()
    torch.autograd.gradcheck(of, (points, sigma))
    torch.autograd.gradgradcheck(of, (points, sigma))


def test_the_gradient_of_a_ramp_by_hand():
    zero = torch.tensor([0])
    points = torch.tensor([[0.25, -9.0]], requires_grad=True)
    m = SignedMeasures(points, zero + 3, zero, zero, n_samples=1, homology_dims=[0])
    m.surface(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 0.5]), width=2).sum().backward()
    # the values at 0 and 0.5 rise with a slope of 1 per unit, in both columns, three times
    assert points.grad.tolist() == [[-12.0, 0.0]]


def test_padding_shows_every_point_once():
    m = measures(5, [[2, 1], [0, 3], [1, 0]])
    points, weights = m.padded(1)
    assert points.shape == (3, 3, 2)
    for i in range(3):
        one = m[i].dim(1)
        assert torch.equal(points[i, : one.n_points], one.points)
        assert torch.equal(weights[i, : one.n_points], one.weights)
        assert (weights[i, one.n_points :] == 0).all()
    assert m[:0].padded(1)[0].shape == (0, 0, 2)


@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_leave_the_graph_behind(again):
    m = measures(0, [[2, 1], [0, 0]])
    m = m._with(points=m.points.clone().requires_grad_() * 1.0)
    copied = again(m)
    assert rows_of(copied) == rows_of(m)
    assert torch.equal(copied.cells, m.cells)
    assert not copied.requires_grad
    assert m.requires_grad


def test_a_loader_joins_measures_and_checkpoints_hold_them(tmp_path):
    m = measures(0, [[2, 1], [0, 0], [1, 4]])
    loaded = next(iter(torch.utils.data.DataLoader(list(m), batch_size=3)))
    assert rows_of(loaded) == rows_of(m)
    torch.save(m, tmp_path / "m.pt")
    assert rows_of(torch.load(tmp_path / "m.pt", weights_only=True)) == rows_of(m)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_single_and_rounded_once(dtype):
    m = measures(1, [[5, 3]]).to(dtype)
    single = m.to(torch.float32)
    grid = GRID.float()
    for image in (
        lambda d: d.surface(grid, grid),
        lambda d: d.surface(grid, grid, 1.0),
        lambda d: d.convolve(grid, grid, 0.5),
    ):
        assert image(m).dtype == dtype
        torch.testing.assert_close(image(m), image(single).to(dtype), rtol=0, atol=0)
    assert m.cpu().dtype == dtype


def test_no_points_are_a_value_with_its_graph():
    points = torch.zeros(0, 2, requires_grad=True)
    none = torch.zeros(0, dtype=torch.int64)
    m = SignedMeasures(points, none, none, none, n_samples=2, homology_dims=(0, 1))
    grid = torch.tensor([0.0, 1.0])
    assert m.surface(grid, grid).tolist() == torch.zeros(2, 2, 2, 2).tolist()
    for image in (m.surface(grid, grid, 1.0), m.convolve(grid, grid, 1.0), m.clipped((0.0, 0.0)).points):
        assert (image == 0).all()
        image.sum().backward()
    assert m.merged().n_points == 0
    assert m[:0].surface(grid, grid).shape == (0, 2, 2, 2)
    assert m[:0].total_mass().shape == (0, 2)


def test_points_at_minus_infinity_are_always_there_and_never_near():
    zero = torch.tensor([0])
    points = torch.tensor([[-math.inf, 0.5]], requires_grad=True)
    m = SignedMeasures(points, zero + 1, zero, zero, n_samples=1, homology_dims=[0])
    grid = torch.tensor([0.0, 1.0])
    assert m.surface(grid, grid)[0, 0].tolist() == [[0.0, 1.0], [0.0, 1.0]]
    ramp = m.surface(grid, grid, 0.5)
    assert ramp[0, 0].tolist() == [[0.0, 1.0], [0.0, 1.0]]
    image = m.convolve(grid, grid, 1.0)
    assert (image == 0).all()
    (ramp.sum() + image.sum()).backward()
    assert torch.isfinite(points.grad).all()


def example(**changes):
    arguments = {
        "points": torch.zeros(2, 2),
        "weights": torch.ones(2, dtype=torch.int64),
        "dims": torch.zeros(2, dtype=torch.int64),
        "samples": torch.zeros(2, dtype=torch.int64),
        "n_samples": 1,
        "homology_dims": (0,),
        **changes,
    }
    return SignedMeasures(**arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": torch.zeros(2)}, r"points has shape \(2,\); expected \(P, 2\)"),
        ({"points": torch.zeros(2, 3)}, r"points has shape \(2, 3\); expected \(P, 2\)"),
        (
            {"points": torch.zeros(2, 2, dtype=torch.int64)},
            "points has dtype torch.int64; expected one floating",
        ),
        ({"points": torch.tensor([[0.0, math.nan], [0, 0]])}, r"points\[0\] is NaN \(sample 0\)"),
        ({"points": torch.tensor([[0.0, math.inf], [0, 0]])}, r"points have \+inf"),
        ({"weights": torch.ones(2)}, "weights has dtype torch.float32; expected torch.int64"),
        (
            {"weights": torch.ones(3, dtype=torch.int64)},
            r"weights has shape \(3,\); expected \(P,\) with P = len\(points\)",
        ),
        ({"samples": torch.tensor([0, 1])}, "samples lie in 0…1; expected indices below n_samples = 1"),
        ({"dims": torch.tensor([0, -1])}, r"dims have -1; expected only homology_dims = \(0,\)"),
        ({"homology_dims": (-2, 0)}, r"homology_dims is \(-2, 0\); expected dimensions of at least -1"),
        (
            {"cells": torch.zeros(2, 3, 1, dtype=torch.int64)},
            r"cells has shape \(2, 3, 1\); expected \(P, 2, k\)",
        ),
    ],
)
def test_bad_parts_are_named(change, message):
    with pytest.raises(InputError, match=f"SignedMeasures: {message}"):
        example(**change)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, g: m.surface(g.flip(0), g), "surface: grid0 falls"),
        (lambda m, g: m.surface(g, g[:0]), r"surface: grid1 has shape \(0,\)"),
        (lambda m, g: m.surface(g, g * math.nan), "surface: grid1 has a value that is not finite"),
        (lambda m, g: m.surface(g[:1], g, width=1), "surface: grid0 has bins of no width"),
        (lambda m, g: m.surface(g, g, width=0), "surface: width is 0"),
        (lambda m, g: m.surface(g, g, width=math.nan), "surface: width is nan"),
        (lambda m, g: m.convolve(g, g, 0.0), "convolve: bandwidth is 0.0"),
        (lambda m, g: m.convolve(g, g, [1.0, 2.0, 3.0]), r"convolve: bandwidth has shape \(3,\)"),
        (lambda m, g: m.clipped((0.0, math.inf)), "clipped: corner is"),
        (lambda m, g: m.clipped((0.0,)), "clipped: corner is"),
        (
            lambda m, g: m.dim(3),
            r"SignedMeasures.dim: k is 3; expected one of the computed dimensions \(0,\)",
        ),
        (
            lambda m, g: m.select(torch.ones(3, dtype=torch.bool)),
            r"SignedMeasures.select: mask has shape \(3,\)",
        ),
        (lambda m, g: m.to(torch.int64), "SignedMeasures.to: dtype is torch.int64"),
    ],
)
def test_bad_requests_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call(example(), torch.tensor([0.0, 1.0]))


def test_lists_and_other_kinds_are_type_errors():
    with pytest.raises(TypeError, match="SignedMeasures: points is a list"):
        example(points=[[0.0, 1.0]])
    with pytest.raises(TypeError, match="surface: grid0 is a list"):
        example().surface([0.0], torch.zeros(1))
    with pytest.raises(IndexError, match="SignedMeasures: sample 4 is out of range"):
        example()[4]
    assert not isinstance(example(), Diagrams)


def test_too_large_for_the_dtype_is_an_error():
    m = example(points=torch.zeros(2, 2, dtype=torch.float16), weights=torch.tensor([60000, 60000]))
    grid = torch.tensor([0.0, 1.0])
    with pytest.raises(InputError, match=r"surface: the batch has values up to 0.* float64"):
        m.surface(grid, grid)
