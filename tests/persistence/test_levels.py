import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.naive.multiparameter import bars_on_line, flag_filtration, king_graph_cliques, lower_star
from tests.persistence.test_fibered import EDGES, bars_of, check_gradients, drawn, ends, rounded
from topodl import InputError, cubical_persistence, graph_persistence, level_persistence, rips_persistence
from topodl.complexes import clique_complexes

LEVELS = torch.tensor([0.5, 0.1, math.inf, 0.8], dtype=torch.float64)


def bars_at(cells, level, parameter):
    """Return the bars by the other parameter of the cells at or below a level."""
    below = {s: (v[1 - parameter],) * 2 for s, v in cells.items() if v[parameter] <= level}
    return rounded(bars_on_line(below, (0.0, 0.0), (1.0, 1.0), top=1))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 999), st.booleans(), st.integers(0, 1))
def test_images_are_cut_pixel_by_pixel(height, width, seed, ties, parameter):
    image = drawn((2, height, width), seed, ties)
    d = level_persistence(image[None], LEVELS, parameter=parameter, construction="cell")
    cells = lower_star(image.flatten(1).T.tolist(), king_graph_cliques(height, width))
    for i, level in enumerate(LEVELS.tolist()):
        assert bars_of(d[i]) == bars_at(cells, level, parameter)


@given(st.integers(1, 6), st.integers(0, 999), st.booleans(), st.integers(0, 1))
def test_graphs_and_complexes_are_cut_cell_by_cell(n, seed, ties, parameter):
    values = drawn((n, 2), seed, ties)
    edges = torch.combinations(torch.arange(n)).T
    edges = edges[:, drawn((edges.shape[1],), seed) < 0.6]
    heights = values[edges].amax(0) + drawn((edges.shape[1], 2), seed + 1, ties)
    cells = {(v,): tuple(value) for v, value in enumerate(values.tolist())}
    cells |= {tuple(e): tuple(value) for e, value in zip(edges.T.tolist(), heights.tolist(), strict=True)}
    d = level_persistence(values, LEVELS, parameter=parameter, edge_index=edges, edge_values=heights)
    for i, level in enumerate(LEVELS.tolist()):
        assert bars_of(d[i]) == bars_at(cells, level, parameter)
    complexes = clique_complexes(edges, n_vertices=n).with_values([values, heights])
    if complexes.dim:
        same = level_persistence(complexes, LEVELS, 0, parameter=parameter)
        assert bars_of(same) == bars_of(d.dim(0))


@given(st.integers(1, 6), st.integers(0, 999), st.booleans())
def test_clouds_are_cut_point_by_point(n, seed, ties):
    points, function = drawn((n, 2), seed, ties), drawn((n,), seed + 1, ties)
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    cells = flag_filtration(distances.numpy(), function.tolist())
    d = level_persistence(points[None], LEVELS, function=function[None])
    same = level_persistence([distances], LEVELS, function=[function], metric="precomputed")
    for i, level in enumerate(LEVELS.tolist()):
        assert bars_of(d[i]) == bars_of(same[i]) == bars_at(cells, level, 1)
    for i, j in d.death_cells[d.death_cells[:, 0] >= 0].tolist():
        assert (distances[i, j] - d.deaths).abs().min() < 1e-12


def test_at_the_highest_level_there_is_all():
    top = torch.tensor([math.inf])
    image, values, points = drawn((2, 2, 4, 5)), drawn((4, 2)), drawn((2, 6, 2))
    assert bars_of(level_persistence(image, top)) == bars_of(cubical_persistence(image[:, 1]))
    d = level_persistence(values, top, edge_index=EDGES)
    assert bars_of(d) == bars_of(graph_persistence(values[:, 1], EDGES))
    d = level_persistence(points, top, function=drawn((2, 6), 1))
    assert bars_of(d) == bars_of(rips_persistence(points))


def test_batches_and_empty_levels():
    clouds, functions = [drawn((n, 2), n) for n in (3, 1, 4)], [drawn((n,), n + 9) for n in (3, 1, 4)]
    d = level_persistence(clouds, LEVELS, function=functions)
    assert len(d) == 12
    for b in range(3):
        alone = level_persistence(clouds[b][None], LEVELS, function=functions[b][None])
        assert bars_of(d[4 * b : 4 * b + 4]) == bars_of(alone)
    nothing = level_persistence(clouds, LEVELS[:1] - 9, function=functions)
    assert (len(nothing), nothing.n_bars, nothing.homology_dims) == (3, 0, (0, 1))
    batch = torch.tensor([0, 1, 0, 1])
    d = level_persistence(drawn((4, 2)), LEVELS, edge_index=EDGES[:, :0], batch=batch, dims=1)
    assert (len(d), d.n_bars, d.homology_dims) == (8, 0, (1,))
    assert level_persistence(drawn((2, 2, 3, 3, 2)), LEVELS).homology_dims == (0, 1, 2)


def test_gradients_reach_what_is_not_cut():
    image, values, points, function = drawn((1, 2, 3, 4)), drawn((4, 2)), drawn((1, 6, 2)), drawn((1, 6), 1)
    check_gradients(lambda x: ends(level_persistence(x, LEVELS)), image)
    check_gradients(lambda v: ends(level_persistence(v, LEVELS, edge_index=EDGES)), values)
    check_gradients(lambda x: ends(level_persistence(x, LEVELS, function=function)), points)
    complexes = clique_complexes(EDGES)
    check_gradients(lambda v: ends(level_persistence(complexes.with_values(v), LEVELS)), values)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes_are_kept(dtype):
    image, points = drawn((1, 2, 4, 4)).to(dtype), drawn((1, 5, 2)).to(dtype)
    assert level_persistence(image, LEVELS).dtype == dtype
    assert level_persistence(points, LEVELS, function=points[..., 0]).dtype == dtype
    assert level_persistence(points[0, :4], LEVELS, edge_index=EDGES).dtype == dtype


IMAGE, CLOUD = torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: level_persistence(IMAGE[:, :1], LEVELS),
            r"\(1, 1, 3, 3\); expected images \(B, 2",
        ),
        (lambda: level_persistence(IMAGE, LEVELS[:0]), "levels is tensor"),
        (lambda: level_persistence(IMAGE, LEVELS * math.nan), "none NaN"),
        (lambda: level_persistence(IMAGE, LEVELS, parameter=2), "parameter is 2"),
        (lambda: level_persistence(torch.zeros(4, 3), LEVELS, edge_index=EDGES), r"x has shape \(4, 3\)"),
        (lambda: level_persistence(CLOUD, LEVELS, function=CLOUD[0, 0]), r"function has shape \(2,\)"),
        (lambda: level_persistence(clique_complexes(EDGES), LEVELS), "have not two values a cell"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
