import copy
import io
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from topodl import InputError
from topodl.complexes import CellComplexes, Lists, clique_complexes

from .graphs import graphs

EDGES = torch.tensor([[0, 1], [0, 2], [1, 2], [2, 3], [0, 3]])


def square_with_rings():
    """Return a square with a diagonal, whose rings are given backwards, beside a triangle."""
    edges = torch.cat((EDGES, torch.tensor([[4, 5], [5, 6], [4, 6]])))
    rings = Lists(torch.tensor([6, 5, 4, 3, 2, 0, 1, 2, 0, 2, 1, 0, 3]), torch.tensor([0, 3, 6, 9, 13]))
    return CellComplexes([4, 3], [edges], rings=rings)


def with_values(complexes, seed=0):
    g = torch.Generator().manual_seed(seed)
    values = [torch.rand(complexes.n_cells(k), generator=g) for k in range(complexes.dim + 1)]
    tables = [complexes.vertices(k).table() for k in range(1, complexes.dim + 1)]
    return CellComplexes(complexes.counts[:, 0], tables, values=values)


def assert_same(one, other):
    assert (one.dim, one.n_samples, one.has_rings) == (other.dim, other.n_samples, other.has_rings)
    assert one.has_values == other.has_values
    for k in range(one.dim + 1):
        assert torch.equal(one.offsets(k), other.offsets(k))
        pairs = [(one.vertices(k), other.vertices(k)), (one.cofaces(k), other.cofaces(k))]
        if k:
            pairs.append((one.faces(k), other.faces(k)))
            assert torch.equal(one.signs(k), other.signs(k))
        for a, b in pairs:
            assert torch.equal(a.members, b.members)
            assert torch.equal(a.offsets, b.offsets)
        if one.has_values:
            assert torch.equal(one.values(k), other.values(k))


def test_rings_begin_at_their_least_vertex_and_go_to_its_smaller_neighbour():
    complexes = square_with_rings()
    assert repr(complexes) == "CellComplexes(2 samples; 7 vertices, 8 edges, 4 rings; cpu)"
    rings = [ring.tolist() for ring in complexes.vertices(2).numpy()]
    assert rings == [[0, 1, 2], [0, 2, 3], [0, 1, 2, 3], [4, 5, 6]]
    assert complexes.offsets(2).tolist() == [0, 3, 4]
    edges = complexes.vertices(1).table().tolist()
    faces = [[edges[e] for e in ring.tolist()] for ring in complexes.faces(2).numpy()]
    assert faces[2] == [[0, 1], [1, 2], [2, 3], [0, 3]]
    assert complexes.signs(2).tolist() == [1, 1, -1] * 2 + [1, 1, 1, -1] + [1, 1, -1]


def test_cells_may_come_in_any_order_and_values_go_with_them():
    tables = [torch.tensor([[2, 1], [0, 1], [2, 0]]), torch.tensor([[2, 0, 1]])]
    values = [torch.tensor([0.0, 1.0, 2.0]), torch.tensor([12.0, 1.0, 2.0]), torch.tensor([12.0])]
    complexes = CellComplexes([3], tables, values=values)
    assert complexes.vertices(1).table().tolist() == [[0, 1], [0, 2], [1, 2]]
    assert complexes.values(1).tolist() == [1.0, 2.0, 12.0]
    assert "values float32" in repr(complexes)


def test_gradients_reach_given_values():
    values = [torch.zeros(3, requires_grad=True), torch.tensor([1.0, 2.0], requires_grad=True)]
    complexes = CellComplexes([3], [torch.tensor([[1, 2], [0, 1]])], values=values)
    complexes.values(1)[0].backward()
    assert complexes.requires_grad
    assert values[1].grad.tolist() == [0.0, 1.0]
    assert not complexes.detach().requires_grad
    assert not pickle.loads(pickle.dumps(complexes)).requires_grad


@given(graphs(), st.integers(0, 3))
def test_cofaces_are_the_faces_from_below(batch, max_dim):
    complexes = clique_complexes(*batch, max_dim=max_dim)
    assert complexes.cofaces(max_dim).lengths.sum() == len(complexes.coface_signs(max_dim)) == 0
    for k in range(max_dim):
        faces, cofaces = complexes.faces(k + 1), complexes.cofaces(k)
        down = zip(faces.owners, faces.members, complexes.signs(k + 1), strict=True)
        up = zip(cofaces.members, cofaces.owners, complexes.coface_signs(k), strict=True)
        assert sorted(tuple(map(int, each)) for each in down) == sorted(tuple(map(int, e)) for e in up)
        for each in cofaces.numpy():
            assert (np.diff(each) > 0).all()


@given(graphs(), st.integers(0, 3), st.data())
def test_samples_are_chosen_and_joined(batch, max_dim, data):
    complexes = with_values(clique_complexes(*batch, max_dim=max_dim))
    which = data.draw(st.lists(st.integers(0, max(batch.n_graphs - 1, 0)), max_size=5 * bool(len(complexes))))
    chosen = complexes[which]
    if which:
        assert_same(chosen, CellComplexes.cat([complexes[i] for i in which]))
    assert_same(complexes[::-1][::-1], complexes)
    mask = torch.tensor([g % 2 == 0 for g in range(batch.n_graphs)], dtype=torch.bool)
    assert_same(complexes[mask], complexes[::2])
    for k in range(max_dim + 1):
        assert torch.equal(chosen.samples(k), torch.repeat_interleave(chosen.counts[:, k]))


def test_samples_with_rings_are_chosen_and_joined():
    complexes = square_with_rings()
    assert complexes[1].vertices(2).table().tolist() == [[0, 1, 2]]
    assert complexes[-2].faces(2).lengths.tolist() == [3, 3, 4]
    assert_same(CellComplexes.cat([complexes[0], complexes[1]]), complexes)
    assert_same(complexes[[1, 0]][[1, 0]], complexes)


def test_copies_are_the_same():
    complexes = with_values(clique_complexes(EDGES.T))
    complexes.cofaces(0)
    assert_same(pickle.loads(pickle.dumps(complexes)), complexes)
    assert_same(copy.deepcopy(square_with_rings()), square_with_rings())
    assert_same(complexes.to("cpu"), complexes)
    file = io.BytesIO()
    torch.save(complexes, file)
    file.seek(0)
    assert_same(torch.load(file), complexes)


def test_values_take_another_dtype_and_all_moves_to_another_device():
    complexes = with_values(clique_complexes(EDGES.T))
    complexes.cofaces(1)
    assert complexes.to(torch.float64).values(1).dtype == torch.float64
    moved = complexes.to("meta")
    tensors = [moved.offsets(0), moved.vertices(1).members, moved.faces(2).offsets, moved.cofaces(1).members]
    assert {x.device.type for x in [*tensors, moved.values(2), moved.signs(2)]} == {"meta"}


def test_a_loader_joins_samples():
    complexes = clique_complexes(torch.cat((EDGES, EDGES + 4)).T, torch.tensor([0] * 4 + [1] * 4))
    (batch,) = DataLoader(list(complexes), batch_size=2)
    assert_same(batch, complexes)


def test_a_skeleton_lacks_what_is_above():
    complexes = with_values(clique_complexes(EDGES.T, max_dim=3))
    edges, values = complexes.vertices(1).table(), [complexes.values(0), complexes.values(1)]
    assert_same(complexes.skeleton(1), CellComplexes([4], [edges], values=values))
    assert complexes.skeleton(3) is complexes
    assert not square_with_rings().skeleton(1).has_rings


def test_default_device_is_not_asked():
    complexes = square_with_rings()
    try:
        torch.set_default_device("meta")
        assert complexes[1].cofaces(0).members.device.type == "cpu"
        assert complexes.skeleton(1).signs(1).device.type == "cpu"
        assert CellComplexes([3, 2], [EDGES[:3]]).offsets(0).device.type == "cpu"
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CellComplexes([2], [torch.tensor([[0, 2]])]), r"simplices\[0\] has vertices 0 … 2"),
        (lambda: CellComplexes([2], [torch.tensor([[1, 1]])]), r"has \(1, 1\); expected cells of different"),
        (lambda: CellComplexes([1, 1], [torch.tensor([[0, 1]])]), r"\(0, 1\) in samples 0 and 1"),
        (lambda: CellComplexes([2], [torch.tensor([[0, 1], [1, 0]])]), r"has \(0, 1\) twice"),
        (lambda: CellComplexes([2], [torch.tensor([[0, 1, 2]])]), r"expected shape \(S, 2\) for dimension 1"),
        (lambda: CellComplexes([3], [EDGES[:2], torch.tensor([[0, 1, 2]])]), r"without its face \(1, 2\)"),
        (lambda: CellComplexes([-1]), r"n_vertices is \[-1\]"),
        (lambda: CellComplexes([2.5]), r"n_vertices is \[2.5\]"),
        (lambda: ring_of([0, 1]), r"rings has \(0, 1\); expected cycles of at least 3"),
        (lambda: ring_of([0, 1, 3]), r"rings has \(0, 1, 3\) with vertices that no edge joins"),
        (lambda: ring_of([0, 1, 0, 2]), "expected cells of different vertices"),
        (lambda: CellComplexes([3], [], rings=Lists(*[torch.tensor([0])] * 2)), "offsets"),
        (lambda: CellComplexes([3], [], rings=empty_lists()), "rings are given beside 0 tables"),
        (lambda: CellComplexes([1], values=[torch.zeros(2)]), r"values\[0\] has shape \(2,\)"),
        (lambda: CellComplexes([1], values=[]), "values has 0 tensors; expected 1, one a dimension"),
    ],
)
def test_what_is_no_complex_is_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()


def ring_of(ring):
    return CellComplexes([4], [EDGES], rings=Lists(torch.tensor(ring), torch.tensor([0, len(ring)])))


def empty_lists():
    return Lists(torch.empty(0, dtype=torch.int64), torch.tensor([0]))


def test_the_same_ring_twice_is_refused_however_it_is_written():
    rings = Lists(torch.tensor([0, 1, 2, 1, 0, 2]), torch.tensor([0, 3, 6]))
    with pytest.raises(InputError, match=r"rings has \(0, 1, 2\) twice"):
        CellComplexes([4], [EDGES], rings=rings)


def test_a_graph_may_have_no_ring():
    complexes = CellComplexes([4], [EDGES], rings=empty_lists())
    assert complexes.has_rings
    assert complexes.n_cells(2) == 0
    assert complexes.cofaces(1).lengths.tolist() == [0] * 5


def test_what_is_not_there_is_named():
    complexes = clique_complexes(EDGES.T)
    for method in ("n_cells", "offsets", "vertices", "cofaces", "values"):
        with pytest.raises(
            InputError, match=f"CellComplexes.{method}: k is 3; expected a dimension from 0 to 2"
        ):
            getattr(complexes, method)(3)
    with pytest.raises(InputError, match="faces: k is 0; expected a dimension from 1 to 2"):
        complexes.faces(0)
    with pytest.raises(InputError, match="the cells have no values"):
        complexes.values(0)
    with pytest.raises(InputError, match="simplices are triangles; expected edges"):
        square_with_rings().index_of(torch.tensor([[0], [1], [2]]))
    with pytest.raises(InputError, match=r"simplices has shape \(4, 1\)"):
        complexes.index_of(torch.zeros(4, 1, dtype=torch.int64))
    with pytest.raises(InputError, match="batches is empty"):
        CellComplexes.cat([])
    with pytest.raises(InputError, match="expected the same in all"):
        CellComplexes.cat([complexes, complexes.skeleton(1)])
    with pytest.raises(InputError, match=r"dtype is torch\.int32"):
        complexes.to(torch.int32)
    with pytest.raises(IndexError, match="CellComplexes: sample 1 is out of range; there are 1 samples"):
        complexes[1]
    with pytest.raises(TypeError, match="CellComplexes: an index is an int"):
        complexes[0.5]
