import gudhi
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import topodl
from tests.complexes.graphs import GOLDEN, graphs
from topodl import InputError, complex_persistence
from topodl.complexes import clique_complexes, ring_complexes

SQUARE = clique_complexes(torch.tensor([[0, 1, 2, 0, 0], [1, 2, 3, 3, 2]]))


def levels(complexes, seed, n_columns=0, n_levels=4):
    """Return values of vertices with many ties."""
    g = torch.Generator().manual_seed(seed)
    shape = (complexes.n_cells(0), *[n_columns] * (n_columns > 0))
    return torch.randint(n_levels, shape, generator=g).double()


def bars_of(d, k):
    part = d.dim(k)
    return sorted(zip(part.births.tolist(), part.deaths.tolist(), strict=True))


def reduced(complexes, top):
    """Return the bars of one complex by reducing its whole boundary matrix from left to right."""
    cells = [
        (float(value), k, i) for k in range(complexes.dim + 1) for i, value in enumerate(complexes.values(k))
    ]
    cells.sort()
    place = {(k, i): at for at, (_, k, i) in enumerate(cells)}
    lows, bars, dead = {}, {k: [] for k in range(top + 1)}, set()
    for at, (value, k, i) in enumerate(cells):
        column = {place[k - 1, int(face)] for face in complexes.faces(k)[i]} if k else set()
        while column and max(column) in lows:
            column ^= lows[max(column)]
        if column:
            low = max(column)
            lows[low] = column
            dead |= {low, at}
            if k - 1 <= top and cells[low][0] < value:
                bars[k - 1].append((cells[low][0], value))
    for at, (value, k, _) in enumerate(cells):
        if at not in dead and k <= top:
            bars[k].append((value, float("inf")))
    return {k: sorted(bars[k]) for k in bars}


@given(graphs(max_vertices=7), st.integers(1, 4), st.booleans(), st.integers(0, 9))
def test_bars_are_those_of_a_plain_reduction(batch, max_dim, rings, seed):
    lifted = ring_complexes(*batch) if rings else clique_complexes(*batch, max_dim=max_dim)
    filtered = lifted.with_values(levels(lifted, seed))
    d = complex_persistence(filtered, dims=range(lifted.dim + 1))
    assert d.n_samples == batch.n_graphs
    for i, each in enumerate(filtered):
        expected = reduced(each, lifted.dim)
        for k in range(lifted.dim + 1):
            assert bars_of(d[i], k) == expected[k]


@given(st.integers(0, 2**32 - 1))
def test_bars_of_any_order_of_cells_are_those_of_gudhi(seed):
    rng = np.random.default_rng(seed)
    edge_index = (
        torch.tensor([(i, j) for i in range(9) for j in range(i) if rng.random() < 0.7]).reshape(-1, 2).T
    )
    lifted = clique_complexes(edge_index, n_vertices=9, max_dim=4)
    values = [torch.from_numpy(np.round(rng.random(lifted.n_cells(0)), 1))]
    for k in range(1, 5):
        own = torch.from_numpy(np.round(rng.random(lifted.n_cells(k)), 1))
        faces = lifted.faces(k).table()
        values.append(torch.maximum(own, values[-1][faces].amax(1)) if len(faces) else own)
    filtered = lifted.with_values(values)
    tree = gudhi.SimplexTree()
    for k in range(5):
        for simplex, value in zip(lifted.vertices(k).table().tolist(), values[k].tolist(), strict=True):
            tree.insert(simplex, value)
    tree.compute_persistence(homology_coeff_field=2, persistence_dim_max=True)
    d = complex_persistence(filtered)
    assert d.homology_dims == (0, 1, 2, 3)
    for k in range(4):
        expected = [tuple(bar) for bar in tree.persistence_intervals_in_dimension(k).tolist()]
        assert bars_of(d, k) == sorted(bar for bar in expected if bar[0] < bar[1])


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_diagrams(shared, name):
    golden = np.load(shared / "golden" / "complexes" / f"{name}.npz")
    edges = torch.from_numpy(golden["edges"].T.astype(np.int64))
    lifted = clique_complexes(edges, n_vertices=int(golden["n_vertices"]), max_dim=3)
    d = complex_persistence(lifted.with_values(torch.from_numpy(golden["filtration"])))
    for k in range(3):
        assert bars_of(d, k) == [tuple(bar) for bar in golden[f"diagram_{k}"].tolist()]


@given(graphs(max_vertices=7), st.integers(0, 9))
def test_filtrations_are_computed_one_by_one(batch, seed):
    lifted = clique_complexes(*batch)
    values = levels(lifted, seed, n_columns=3)
    d = complex_persistence(lifted.with_values(values))
    assert d.n_samples == 3 * batch.n_graphs
    for f in range(3):
        single = complex_persistence(lifted.with_values(values[:, f]))
        for i in range(batch.n_graphs):
            for k in (0, 1):
                assert bars_of(d[3 * i + f], k) == bars_of(single[i], k)


@given(graphs(max_vertices=7), st.integers(0, 9))
def test_superlevel_sets_are_sublevel_sets_of_the_negative(batch, seed):
    lifted = clique_complexes(*batch)
    values = levels(lifted, seed)
    down = complex_persistence(lifted.with_values(values, "min"), superlevel=True)
    up = complex_persistence(lifted.with_values(-values))
    assert torch.equal(down.births, -up.births)
    assert torch.equal(down.deaths, -up.deaths)
    assert torch.equal(down.birth_cells, up.birth_cells)


def test_graphs_agree_with_their_own_function():
    g = torch.Generator().manual_seed(3)
    edge_index = torch.randint(30, (2, 60), generator=g)
    batch = torch.arange(30) // 30
    values = torch.rand(30, generator=g)
    lifted = clique_complexes(edge_index, batch, max_dim=1)
    d = complex_persistence(lifted.with_values(values), dims=(0, 1))
    other = topodl.graph_persistence(values, edge_index, batch=batch)
    for k in (0, 1):
        assert bars_of(d, k) == bars_of(other, k)


def test_a_square_that_is_filled_late():
    values = [torch.zeros(4), torch.tensor([1.0, 3.0, 1.0, 1.0, 1.0]), torch.tensor([4.0, 5.0])]
    d = complex_persistence(SQUARE.with_values(values), dims=1)
    assert bars_of(d, 1) == [(1.0, 5.0), (3.0, 4.0)]
    long = complex_persistence(SQUARE.with_values(values), dims=1, min_persistence=1.0)
    assert bars_of(long, 1) == [(1.0, 5.0)]
    edge, triangle = int(long.birth_cells[0, 0]), int(long.death_cells[0, 0])
    assert (float(values[1][edge]), float(values[2][triangle])) == (1.0, 5.0)


def test_dimensions_may_be_asked_for_alone():
    filtered = SQUARE.with_values(torch.tensor([0.0, 1.0, 2.0, 3.0]))
    assert complex_persistence(filtered).homology_dims == (0, 1)
    assert complex_persistence(filtered, dims=2).homology_dims == (2,)
    assert complex_persistence(filtered.skeleton(0)).n_bars == 4
    both = complex_persistence(filtered.skeleton(1), dims=(1,))
    assert bars_of(both, 1) == [(2.0, float("inf")), (3.0, float("inf"))]


def test_what_is_at_infinity_never_enters():
    filtered = SQUARE.with_values(torch.tensor([0.0, 1.0, 2.0, torch.inf]))
    d = complex_persistence(filtered, dims=(0, 1, 2))
    assert [bars_of(d, k) for k in range(3)] == [[(0.0, float("inf"))], [], []]


def total(values, n_powers=2):
    d = complex_persistence(
        clique_complexes(torch.tensor([[0, 1, 2, 3, 4, 4, 4], [1, 2, 3, 0, 0, 1, 2]])).with_values(values)
    )
    finite = d.finite()
    return (finite.deaths**3 - finite.births**2).sum() + (d.essential().births ** 2).sum()


def test_gradients_are_those_of_finite_differences():
    x = torch.tensor([0.1, 0.9, 0.3, 0.7, 0.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(total, x)
    assert torch.autograd.gradgradcheck(total, x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_results_have_the_dtype_of_the_values(dtype):
    d = complex_persistence(SQUARE.with_values(torch.tensor([0.0, 1.0, 2.0, 4.0], dtype=dtype)))
    assert d.dtype == dtype
    assert bars_of(d, 0) == [(0.0, float("inf"))]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: complex_persistence(SQUARE), "complexes have no values; expected some"),
        (
            lambda: complex_persistence(SQUARE.with_values(torch.zeros(4)), dims=3),
            "dims has 3; expected dimensions",
        ),
        (
            lambda: complex_persistence(SQUARE.with_values(torch.tensor([0.0, 1.0, torch.nan, 1.0]))),
            "NaN at vertex 2",
        ),
        (
            lambda: complex_persistence(SQUARE.with_values([torch.zeros(4), torch.full((5,), -1.0)])),
            r"have \(0, 1\) of the edges of sample 0 enter before its faces",
        ),
        (
            lambda: complex_persistence(SQUARE.with_values([torch.zeros(4), torch.full((5,), torch.nan)])),
            r"have NaN at \(0, 1\) of the edges of sample 0",
        ),
        (
            lambda: complex_persistence(SQUARE.with_values(torch.arange(4.0)), superlevel=True),
            "enter before its faces",
        ),
        (
            lambda: complex_persistence(SQUARE.with_values(torch.zeros(4)), min_persistence=-1),
            "min_persistence is -1",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=f"complex_persistence: .*{message}"):
        call()


def test_only_complexes_are_taken():
    with pytest.raises(TypeError, match="complexes is a Tensor; expected CellComplexes"):
        complex_persistence(torch.zeros(3))
