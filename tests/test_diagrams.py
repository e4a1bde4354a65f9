import copy
import math
import multiprocessing
import pickle
import pydoc
import weakref

import gudhi
import gudhi.representations
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import topodl
from tests.strategies import diagrams, make_diagrams
from topodl import Diagrams, InputError
from topodl.layers import BettiCurve


def rows(d, i):
    """The bars of sample i as plain Python, read one by one."""
    mine = [j for j in range(d.n_bars) if int(d.samples[j]) == i]
    return [(int(d.dims[j]), float(d.births[j]), float(d.deaths[j]), int(d.birth_cells[j, 0])) for j in mine]


def assert_same(a, b):
    assert a.n_samples == b.n_samples
    assert a.homology_dims == b.homology_dims
    for name in ("births", "deaths", "dims", "samples"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=0, atol=0)


def example():
    return Diagrams(
        torch.tensor([0.5, 0.0, 0.2]),
        torch.tensor([0.9, torch.inf, 0.7]),
        torch.tensor([1, 0, 0]),
        torch.tensor([2, 0, 0]),
        n_samples=3,
        homology_dims=(0, 1),
        birth_cells=torch.tensor([7, 8, 9]),
    )


def test_bars_are_sorted_by_sample_and_dimension_and_cells_follow():
    d = example()
    assert d.samples.tolist() == [0, 0, 2]
    assert d.dims.tolist() == [0, 0, 1]
    assert d.birth_cells.tolist() == [[8], [9], [7]]
    assert d.death_cells is None


def test_offsets_count_every_sample_and_dimension():
    d = example()
    assert d.offsets.tolist() == [0, 2, 2, 2, 2, 2, 3]
    assert d.counts.tolist() == [[2, 0], [0, 0], [0, 1]]
    assert d.sample_offsets.tolist() == [0, 2, 2, 3]


@given(diagrams(), st.data())
def test_indexing_agrees_with_reading_bar_by_bar(d, data):
    n = len(d)
    which = data.draw(st.lists(st.integers(-n, n - 1), max_size=6)) if n else []
    mask = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    cut = data.draw(st.slices(n)) if n else slice(None)
    cases = [
        (d[which], [i % n for i in which]),
        (d[torch.tensor(which, dtype=torch.int64)], [i % n for i in which]),
        (d[torch.tensor(mask, dtype=torch.bool)], [i for i in range(n) if mask[i]]),
        (d[cut], list(range(n))[cut]),
    ]
    for taken, kept in cases:
        assert len(taken) == len(kept)
        assert [rows(taken, j) for j in range(len(kept))] == [rows(d, i) for i in kept]
        assert taken.samples.tolist() == sorted(taken.samples.tolist())
    assert [rows(one, 0) for one in d] == [rows(d, i) for i in range(n)]


@given(diagrams())
def test_choosing_bars_keeps_samples_and_dimensions(d):
    for k in d.homology_dims:
        assert d.dim(k).homology_dims == (k,)
        expected = [[r for r in rows(d, i) if r[0] == k] for i in range(len(d))]
        assert [rows(d.dim(k), i) for i in range(len(d))] == expected
    assert d.finite().n_bars + d.essential().n_bars == d.n_bars
    assert torch.isfinite(d.finite().deaths).all()
    assert torch.isinf(d.essential().deaths).all()
    assert (d.persistence() > 0).all()
    assert (d.filter(0.5).persistence() > 0.5).all()
    assert len(d.filter(torch.inf)) == len(d)
    assert d.filter(torch.inf).n_bars == 0


@given(diagrams())
def test_cat_undoes_splitting(d):
    if len(d):
        assert_same(Diagrams.cat([d[i] for i in range(len(d))]), d)
        assert_same(Diagrams.cat(list(d)), d)


def test_cat_pads_cells_of_unequal_width():
    a, b = example(), example()._with(birth_cells=None, death_cells=torch.ones(3, 2, dtype=torch.int64))
    d = Diagrams.cat([a, b])
    assert d.birth_cells.tolist() == [[8], [9], [7], [-1], [-1], [-1]]
    assert d.death_cells.tolist() == [[-1, -1]] * 3 + [[1, 1]] * 3


def test_cat_refuses_other_dimensions_and_nothing():
    with pytest.raises(InputError, match="homology_dims"):
        Diagrams.cat([example(), example().dim(0)])
    with pytest.raises(InputError, match="at least one"):
        Diagrams.cat([])


@given(diagrams())
def test_padding_shows_every_bar_once(d):
    for k in d.homology_dims:
        bars, _, mask = d.padded(k, fill=-7.0)
        assert bars.shape == (len(d), int(d.dim(k).counts.max()) if len(d) else 0, 2)
        assert (bars[~mask] == -7.0).all()
        torch.testing.assert_close(bars[mask], torch.stack([d.dim(k).births, d.dim(k).deaths], -1))
        assert_same(Diagrams.from_padded(bars, mask, dim=k), d.dim(k))


@given(diagrams())
def test_round_trips_through_other_forms(d):
    assert_same(Diagrams.from_persim(d.to_persim(), homology_dims=d.homology_dims), d)
    assert_same(Diagrams.from_gudhi(d.to_gudhi(), homology_dims=d.homology_dims), d)
    assert_same(Diagrams.from_gudhi(d.to_gudhi(dim=1), dim=1), d.dim(1))
    assert_same(Diagrams.from_giotto(d.to_giotto(), homology_dims=d.homology_dims), d.finite())


def test_gudhi_and_pandas_take_what_is_given():
    d = make_diagrams(0, [[3, 2], [0, 0], [1, 4]], essential=0.0)
    entropy = gudhi.representations.Entropy(mode="scalar")
    assert entropy.fit_transform([a for a in d.to_gudhi(1) if len(a)]).shape == (2, 1)
    table = pd.DataFrame(d.numpy())
    assert list(table.columns) == ["sample", "dim", "birth", "death"]
    assert len(table) == d.n_bars


def test_gudhi_persistence_is_read():
    tree = gudhi.SimplexTree()
    tree.insert([0, 1, 2], 1.0)
    tree.compute_persistence(persistence_dim_max=True)
    d = Diagrams.from_gudhi([tree.persistence(persistence_dim_max=True), []], homology_dims=(0, 1, 2))
    assert d[0].dim(0).deaths.tolist() == [torch.inf]
    assert d[1].n_bars == 0


def test_giotto_padding_lies_on_the_diagonal():
    table = make_diagrams(1, [[3, 0], [1, 2]], essential=0.0).to_giotto()
    assert table.shape == (2, 5, 3)
    assert (table[..., 2] == [0, 0, 0, 1, 1]).all()
    padding = table[table[..., 0] == table[..., 1]]
    assert len(padding) == 4


def test_superlevel_bars_have_positive_length():
    d = make_diagrams(0, [[5, 5]], superlevel=True)
    assert (d.births >= d.deaths).all()
    assert (d.persistence() > 0).all()
    assert (d.essential().deaths == -torch.inf).all()


def test_total_persistence_by_hand():
    inf = math.inf
    d = Diagrams(
        torch.tensor([0.0, 1.0, 5.0, 2.0]),
        torch.tensor([3.0, inf, 4.0, 2.0]),
        torch.tensor([0, 0, 2, 2]),
        torch.tensor([0, 0, 0, 2]),
        n_samples=3,
        homology_dims=(0, 2),
    )
    assert d.total_persistence().tolist() == [[3, 1], [0, 0], [0, 0]]
    assert d.total_persistence(2).tolist() == [[9, 1], [0, 0], [0, 0]]
    assert d.total_persistence(0).tolist() == [[1, 1], [0, 0], [0, 0]]
    assert d.total_persistence(essential="keep").tolist() == [[inf, 1], [0, 0], [0, 0]]
    assert d.total_persistence(0.5, essential="clamp")[0, 0] == pytest.approx(3**0.5 + 4**0.5)
    for order in (-1, math.nan, inf, "2"):
        with pytest.raises(InputError, match="total_persistence: order is"):
            d.total_persistence(order)
    with pytest.raises(InputError, match="policy is 'all'"):
        d.total_persistence(essential="all")
    assert d[:0].total_persistence().shape == (0, 2)
    assert d[1].total_persistence().tolist() == [[0, 0]]


def test_total_persistence_stands_in_a_compiled_graph():
    def total(x):
        d = topodl.rips_persistence(x, (0, 1))
        return d.total_persistence(2.0).sum() + d.finite().total_persistence().sum() + d.offsets.sum()

    x = torch.rand(2, 8, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    compiled = torch.compile(total, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), total(x))
    (expected,), (gradient,) = (torch.autograd.grad(f(x), x) for f in (total, compiled))
    torch.testing.assert_close(gradient, expected)


def test_total_persistence_has_gradients():
    births = torch.tensor([0.0, 1.0, 5.0], dtype=torch.float64, requires_grad=True)
    deaths = torch.tensor([3.0, 1.5, 4.0], dtype=torch.float64, requires_grad=True)

    def total(births, deaths, order):
        return example()._with(births=births, deaths=deaths).total_persistence(order)

    for order in (1.0, 2.0, 0.5):
        assert torch.autograd.gradcheck(total, (births, deaths, order))


def test_persistence_of_infinite_ends_is_never_nan():
    inf = torch.inf
    births = torch.tensor([inf, -inf, -inf, 0.0], requires_grad=True)
    deaths = torch.tensor([inf, -inf, 1.0, inf], requires_grad=True)
    zeros = torch.zeros(4, dtype=torch.int64)
    lengths = Diagrams(births, deaths, zeros, zeros, n_samples=1, homology_dims=(0,)).persistence()
    assert lengths.tolist() == [0.0, 0.0, inf, inf]
    lengths.sum().backward()
    assert births.grad.tolist() == [0.0, 0.0, -1.0, -1.0]
    assert deaths.grad.tolist() == [0.0, 0.0, 1.0, 1.0]


def test_essential_policies():
    d = example()
    assert d.with_essential("keep") is d
    assert d.with_essential("drop").n_bars == 2
    clamped = d.with_essential("clamp")
    torch.testing.assert_close(clamped.deaths, torch.tensor([0.7, 0.7, 0.9]))
    torch.testing.assert_close(d.with_essential("clamp", 2.0).deaths, torch.tensor([2.0, 0.7, 0.9]))
    with pytest.raises(InputError, match="policy is 'other'"):
        d.with_essential("other")


def test_clamped_bars_are_known_to_have_been_essential():
    d = example()
    clamped = d.with_essential("clamp")
    assert clamped.essential().n_bars == 0
    assert clamped.was_essential.tolist() == d.was_essential.tolist() == [True, False, False]
    chosen = clamped.with_essential("clamp", 9.0).to(torch.float64)[[2, 0]]
    assert chosen.was_essential.tolist() == [False, True, False]
    joined = Diagrams.cat([clamped, d, d.finite()])
    assert joined.was_essential.tolist() == [True, False, False] * 2 + [False] * 2
    assert pickle.loads(pickle.dumps(clamped)).was_essential.tolist() == [True, False, False]
    assert not topodl.rips_persistence(torch.rand(1, 5, 2)).finite().was_essential.any()


@given(diagrams(), st.floats(-2, 2))
def test_betti_numbers_are_those_of_the_curve(d, t):
    numbers = d.betti(t)
    assert numbers.dtype == torch.int64
    assert numbers.shape == (len(d), 2)
    curve = BettiCurve(1, (t, t))(d)
    torch.testing.assert_close(numbers.double(), curve[..., 0])


def test_betti_numbers_count_births_and_not_deaths():
    zeros = torch.zeros(2, dtype=torch.int64)
    up = Diagrams(
        torch.tensor([0.0, 1.0]), torch.tensor([2.0, 1.0]), zeros, zeros, n_samples=1, homology_dims=[0]
    )
    assert [up.betti(t).item() for t in (-0.1, 0.0, 1.0, 2.0)] == [0, 1, 1, 0]
    down = up._with(births=-up.births, deaths=-up.deaths)
    assert [down.betti(-t).item() for t in (-0.1, 0.0, 1.0, 2.0)] == [0, 1, 1, 0]
    with pytest.raises(InputError, match=r"Diagrams\.betti: t is nan; expected a number"):
        up.betti(math.nan)


@given(diagrams(), st.integers(1, 8))
def test_longest_bars_are_those_of_a_sort(d, k):
    table = d.longest(k)
    assert table.shape == (len(d), 2, k)
    for i in range(len(d)):
        for dim in d.homology_dims:
            lengths = sorted(d[i].dim(dim).finite().persistence().tolist(), reverse=True)[:k]
            assert table[i, dim].tolist() == lengths + [0.0] * (k - len(lengths))
    torch.testing.assert_close(d.longest(k, dim=1), table[:, 1])
    infinite = d.longest(k, dim=0, essential="keep").isinf().sum(1)
    torch.testing.assert_close(infinite, d.dim(0).essential().counts[:, 0].clamp(max=k))


def test_longest_bars_have_a_gradient_and_limits():
    d = make_diagrams(3, [[4, 1], [0, 2]], essential=0.0)
    ends = [d.births.clone().requires_grad_(), d.deaths.clone().requires_grad_()]
    assert torch.autograd.gradcheck(lambda b, e: d._with(births=b, deaths=e).longest(2), ends)
    with pytest.raises(InputError, match="k is 0; expected an integer of at least 1"):
        d.longest(0)
    with pytest.raises(InputError, match="longest: dim is 5; expected one of the computed"):
        d.longest(1, dim=5)
    with pytest.raises(InputError, match="t is inf; expected a number that is finite"):
        d.betti(float("inf"))


@given(diagrams())
def test_padding_shows_several_dimensions(d):
    bars, dims, mask = d.padded()
    assert mask.sum() == d.n_bars
    torch.testing.assert_close(dims[mask], d.dims)
    assert (dims[~mask] == -1).all()
    torch.testing.assert_close(bars[mask], torch.stack([d.births, d.deaths], -1))
    for mine, whole in zip(d.padded([1]), d.padded(1), strict=True):
        torch.testing.assert_close(mine, whole)
    with pytest.raises(
        InputError, match=r"Diagrams\.padded: dims ask for 2; expected dimensions of the diagrams"
    ):
        d.padded((0, 2))


def test_clamped_ends_do_not_depend_on_neighbours_or_sign():
    d = make_diagrams(3, [[4, 3], [1, 1], [0, 0], [2, 5]], essential=0.4)
    flipped = d._with(births=-d.births, deaths=-d.deaths)
    torch.testing.assert_close(d.with_essential("clamp").deaths, -flipped.with_essential("clamp").deaths)
    alone = Diagrams.cat([one.with_essential("clamp") for one in d])
    assert_same(alone, d.with_essential("clamp"))


def test_gradient_flows_through_every_choice():
    d = make_diagrams(0, [[4, 3], [2, 2]], essential=0.0)
    births = d.births.clone().requires_grad_()
    d = d._with(births=births)
    kept = Diagrams.cat([d[[1, 0]].dim(0), d.dim(0).finite()]).to(torch.float32)
    assert kept.requires_grad
    kept.padded(0)[0].sum().backward()
    torch.testing.assert_close(births.grad, 2.0 * (d.dims == 0).double())


def test_moving_keeps_everything():
    d = make_diagrams(0, [[2, 1]])
    half = d.to(dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert half.dims is d.dims
    assert "float" in str(half.numpy().dtype["birth"])
    assert_same(d.to("cpu", torch.float64).cpu(), d)
    with pytest.raises(InputError, match="floating"):
        d.to(torch.int64)


@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, lambda d: pickle.loads(pickle.dumps(d))])
def test_copies_leave_the_graph_behind(again):
    d = make_diagrams(0, [[2, 1], [0, 0]])
    d = d._with(births=d.births.clone().requires_grad_() * 1.0)
    copied = again(d)
    assert_same(copied, d.detach())
    assert not copied.requires_grad
    torch.testing.assert_close(copied.birth_cells, d.birth_cells)


def test_empty_diagrams_are_values():
    nothing = make_diagrams(0, [])
    assert len(nothing) == 0
    assert repr(nothing) == "Diagrams(0 samples; H0: 0 bars; H1: 0 bars; float64, cpu)"
    assert nothing.padded(0)[0].shape == (0, 0, 2)
    assert nothing.to_gudhi() == []
    assert nothing.to_persim() == []
    assert nothing.to_giotto().shape == (0, 0, 3)
    empty = make_diagrams(0, [[0, 0], [0, 0]])
    assert empty[1].padded(1)[0].shape == (1, 0, 2)
    assert [len(a) for a in empty.to_gudhi(dim=0)] == [0, 0]
    assert empty.with_essential("clamp").n_bars == 0


def test_repr_says_what_there_is():
    d = example()
    assert repr(d) == "Diagrams(3 samples; H0: 2 bars, 1 essential; H1: 1 bar; float32, cpu)"
    assert repr(d._with(births=d.births.clone().requires_grad_())).endswith(", grad)")


def test_dimensions_need_not_begin_at_zero_or_follow_each_other():
    d = make_diagrams(0, [[2, 1], [0, 3]], homology_dims=(1, 3))
    assert d.counts.tolist() == [[2, 1], [0, 3]]
    assert d.dim(3).n_bars == 4
    d = make_diagrams(0, [[2, 1], [0, 3]], homology_dims=(1, 2))
    assert d.counts.tolist() == [[2, 1], [0, 3]]


BAD = [
    ({"deaths": torch.zeros(2)}, r"deaths has shape \(2,\); expected \(P,\)"),
    ({"births": torch.zeros(3, dtype=torch.int64)}, "births has dtype torch.int64; expected one floating"),
    ({"deaths": torch.zeros(3, dtype=torch.float64)}, "deaths has dtype torch.float64"),
    ({"dims": torch.zeros(3)}, "dims has dtype torch.float32; expected torch.int64"),
    ({"dims": torch.tensor([0, 5, 0])}, r"dims have 5; expected only homology_dims = \(0, 1\)"),
    ({"samples": torch.tensor([0, 0, 3])}, r"samples lie in 0…3; expected indices below n_samples = 3"),
    ({"births": torch.tensor([0.0, torch.nan, 0.0])}, r"births\[1\] is NaN \(sample 1\)"),
    ({"n_samples": -1}, "n_samples is -1"),
    ({"homology_dims": (-1, 0, 1)}, "homology_dims"),
    ({"birth_cells": torch.zeros(3, 2)}, "birth_cells has dtype"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_parts_are_named(change, message):
    good = {
        "births": torch.zeros(3),
        "deaths": torch.ones(3),
        "dims": torch.zeros(3, dtype=torch.int64),
        "samples": torch.tensor([0, 1, 1]),
        "n_samples": 3,
        "homology_dims": (0, 1),
    }
    Diagrams(**good)
    with pytest.raises(InputError, match=message):
        Diagrams(**(good | change))


def test_a_gap_in_the_dimensions_is_noticed():
    zeros = torch.zeros(3)
    with pytest.raises(InputError, match="dims have 1"):
        Diagrams(zeros, zeros, torch.tensor([0, 1, 2]), zeros.long(), n_samples=1, homology_dims=(0, 2))


def test_lists_are_refused_as_tensors():
    with pytest.raises(TypeError, match="births is a list"):
        Diagrams([0.0], [1.0], [0], [0], n_samples=1, homology_dims=(0,))


def test_bad_indices_are_named():
    d = example()
    for index in (3, -4, [0, 3], torch.tensor([-4])):
        with pytest.raises(IndexError, match="out of range"):
            d[index]
    with pytest.raises(InputError, match="mask of samples has 2 entries"):
        d[torch.tensor([True, False])]
    with pytest.raises(TypeError, match="an index is"):
        d[torch.zeros(2, 2, dtype=torch.int64)]
    with pytest.raises(TypeError, match="an index is"):
        d[torch.tensor([0.5])]
    with pytest.raises(InputError, match="one of the computed dimensions"):
        d.dim(4)
    with pytest.raises(InputError, match="booleans of shape"):
        d.select(torch.ones(2, dtype=torch.bool))
    assert rows(d[np.int64(1)], 0) == []
    assert rows(d[torch.tensor(2)], 0) == rows(d, 2)


def test_indices_of_any_kind_of_integer_count_from_the_end():
    d = make_diagrams(0, [[2, 1], [0, 3], [1, 1], [4, 0]])
    for dtype in (torch.uint8, torch.int8, torch.int32):
        assert_same(d[torch.tensor([3, 0], dtype=dtype)], d[[3, 0]])
    assert_same(d[np.array([-1, 0], np.int16)], d[[3, 0]])
    assert_same(d[::-2], d[[3, 1]])
    for index in (None, ..., "a", True, torch.tensor(True), [[0], [1, 2]], 1.0):
        with pytest.raises(TypeError, match="an index is an int"):
            d[index]
    assert type(d.dim(np.int64(1)).homology_dims[0]) is int


class _Images(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        x = torch.rand(1, 6, 7, generator=torch.Generator().manual_seed(i), requires_grad=True)
        return topodl.cubical_persistence(x)


@pytest.mark.parametrize("context", sorted(set(multiprocessing.get_all_start_methods()) - {"forkserver"}))
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_workers_of_a_loader_send_diagrams(context):
    loader = torch.utils.data.DataLoader(
        _Images(),
        batch_size=3,
        num_workers=1,
        collate_fn=Diagrams.cat,
        multiprocessing_context=context,
        timeout=120,
    )
    first, last = loader
    assert (len(first), len(last)) == (3, 1)
    assert_same(first[2], _Images()[2].detach())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_pinned_memory_moves_without_blocking():
    pinned = example().pin_memory()
    assert all(v.is_pinned() for v in (pinned.births, pinned.deaths, pinned.samples, pinned.birth_cells))
    assert_same(pinned.to("cuda", non_blocking=True).cpu(), example())


def test_bad_forms_of_other_libraries_are_named():
    with pytest.raises(InputError, match=r"expected shape \(B, M, 2\)"):
        Diagrams.from_padded(torch.zeros(3, 2))
    with pytest.raises(InputError, match="mask"):
        Diagrams.from_padded(torch.zeros(3, 2, 2), torch.ones(3, 2))
    with pytest.raises(InputError, match=r"diagrams\[1\] has shape \(2, 3\)"):
        Diagrams.from_gudhi([np.zeros((1, 2)), np.zeros((2, 3))])
    with pytest.raises(InputError, match=r"expected shape \(B, M, 3\)"):
        Diagrams.from_giotto(np.zeros((2, 3)))
    with pytest.raises(InputError, match="up to 2 arrays"):
        Diagrams.from_persim([[np.zeros((1, 2)), np.zeros((1, 2))]], homology_dims=(0,))


def test_documentation_may_look_at_attributes_of_the_class():
    for name in ("dims", "samples", "birth_cells", "death_cells"):
        assert not isinstance(getattr(Diagrams, name), torch.Tensor)
    assert "homology_dims" in pydoc.render_doc(Diagrams)


def test_integers_of_selected_bars_are_made_once_when_they_are_asked_for():
    whole = topodl.rips_persistence(torch.rand(2, 9, 2, generator=torch.Generator().manual_seed(0)))
    finite = whole.finite().dim(0)
    assert "death_cells" not in finite.__dict__
    kept = torch.isfinite(whole.deaths) & (whole.dims == 0)
    torch.testing.assert_close(finite.death_cells, whole.death_cells[kept])
    assert finite.death_cells is finite.death_cells
    assert pickle.loads(pickle.dumps(whole.finite())).samples.tolist() == whole.finite().samples.tolist()


def test_detached_diagrams_let_go_of_the_graph():
    points = torch.rand(2, 9, 2, requires_grad=True) * 1.0  # saved for the backward pass
    kept = topodl.rips_persistence(points).finite().dim(0).detach()
    gone = weakref.ref(points)
    del points
    assert gone() is None
    assert len(kept.death_cells) == len(kept.deaths)
