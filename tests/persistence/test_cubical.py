"""`cubical_persistence`: agreement with GUDHI, gradients, dtypes, batches, threads, compilation."""

import concurrent.futures
import math
import multiprocessing

import gudhi
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import topodl
from tests.naive.cubical import cubical_pairs, euler_characteristic
from topodl.persistence.cubical import _cubical_bars, _ends, _EndsOnHost, cubical_persistence

CASES = [(c, s) for c in ("vertex", "cell") for s in (False, True)]
SHAPES = st.one_of(
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6),
)
FAMILIES = {
    "random": st.floats(-1, 1, width=32),
    "tied": st.sampled_from([0.0, -0.0, 1.0, 2.0]),
    "constant": st.just(3.0),
    "8-bit": st.integers(0, 255).map(float),
    "huge": st.sampled_from([-(2.0**127), -1024.0, 0.0, 2.0**100, 2.0**127]),
    "infinite": st.sampled_from([-math.inf, -1.0, 0.0, 1.0, math.inf]),
}


def bars_of(diagrams):
    triples = (t.detach().double().tolist() for t in (diagrams.dims, diagrams.births, diagrams.deaths))
    return sorted(zip(*triples, strict=True))


def gudhi_bars(image, construction, superlevel):
    image = image.astype(np.float64)
    key = "top_dimensional_cells" if construction == "cell" else "vertices"
    found = gudhi.CubicalComplex(**{key: -image if superlevel else image}).persistence(2, 0)
    sign = -1.0 if superlevel else 1.0
    return sorted((float(k), sign * b, sign * d) for k, (b, d) in found if b != d or b == math.inf)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=15)
@given(data=st.data())
def test_bars_are_those_of_gudhi_and_cells_have_their_values(family, data):
    image = data.draw(arrays(np.float32, SHAPES, elements=FAMILIES[family]))
    for construction, superlevel in CASES:
        d = cubical_persistence(
            torch.from_numpy(image)[None], construction=construction, superlevel=superlevel
        )
        ours = bars_of(d)
        theirs = gudhi_bars(image, construction, superlevel)
        essential = [
            bar for bar in theirs if bar[1] == bar[2]
        ]  # all pixels at infinity: one bar, of length 0
        assert ours == (essential[:1] if essential else theirs)
        _check_cells(d, image)


def _check_cells(d, image):
    values = torch.from_numpy(image).reshape(-1)
    births, deaths = d.birth_cells[:, 0], d.death_cells[:, 0]
    assert torch.equal(values[births], d.births)
    finite = deaths >= 0
    assert torch.equal(values[deaths[finite]], d.deaths[finite])
    assert int((~finite).sum()) == 1
    assert bool(torch.isinf(d.deaths[~finite]).all())


@pytest.mark.parametrize(("construction", "superlevel"), CASES)
@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 3)])
def test_cells_are_those_of_matrix_reduction(construction, superlevel, shape):
    generator = np.random.default_rng(4)
    for image in (generator.integers(0, 4, shape).astype(np.float64), generator.random(shape)):
        d = cubical_persistence(
            torch.from_numpy(image)[None], construction=construction, superlevel=superlevel
        )
        columns = (d.dims, d.birth_cells[:, 0], d.death_cells[:, 0])
        cells = sorted(zip(*(c.tolist() for c in columns), strict=True))
        assert cells == cubical_pairs(-image if superlevel else image, construction == "cell")


@pytest.mark.parametrize("construction", ["vertex", "cell"])
@given(arrays(np.float64, SHAPES, elements=st.integers(0, 5).map(float)), st.integers(-1, 6))
@settings(max_examples=25)
def test_alternating_betti_numbers_are_the_euler_characteristic(construction, image, threshold):
    d = cubical_persistence(torch.from_numpy(image)[None], construction=construction)
    alive = (d.births <= threshold) & (d.deaths > threshold)
    betti = [int((alive & (d.dims == k)).sum()) for k in range(image.ndim)]
    signed = sum((-1) ** k * b for k, b in enumerate(betti))
    assert signed == euler_characteristic(image, threshold, construction == "cell")


@pytest.mark.parametrize("shape", [(9, 7), (6, 5, 4)])
def test_constructions_are_dual(shape):
    # With a border above all values, dimension k of one is n − 1 − k of the other, reversed.
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    padded = torch.nn.functional.pad(image, (1, 1) * len(shape), value=2.0)
    for one, other in (("vertex", "cell"), ("cell", "vertex")):
        bars = [
            bar for bar in bars_of(cubical_persistence(image[None], construction=one)) if bar[2] < math.inf
        ]
        dual = bars_of(cubical_persistence(-padded[None], construction=other))
        mirrored = sorted((len(shape) - 1 - k, -d, -b) for k, b, d in dual if b > -2.0 and d < math.inf)
        assert bars == mirrored


@pytest.mark.parametrize("shape", [(2, 4, 5), (1, 3, 3, 4)])
@pytest.mark.parametrize(("construction", "superlevel"), CASES)
def test_gradients_of_first_and_second_order(shape, construction, superlevel):
    generator = torch.Generator().manual_seed(1)
    x = torch.randperm(math.prod(shape), generator=generator).double().view(shape).requires_grad_()

    def total(values):
        d = cubical_persistence(values, construction=construction, superlevel=superlevel)
        return torch.cat([d.births**3, d.finite().persistence() ** 2])

    assert torch.autograd.gradcheck(total, x)
    assert torch.autograd.gradgradcheck(total, x)


def test_gradient_reaches_the_critical_pixels_alone():
    x = torch.tensor([[[0.0, 0.1, 0.2], [0.7, 0.9, 0.3], [0.6, 0.5, 0.4]]], requires_grad=True)
    cubical_persistence(x).dim(1).persistence().sum().backward()
    assert x.grad.tolist() == [[[0, 0, 0], [-1, 1, 0], [0, 0, 0]]]


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_gathering_on_the_host_is_that_by_tensor_operations(dtype, create_graph):
    x = torch.randint(0, 50, (3, 11, 12), generator=torch.Generator().manual_seed(9)).to(dtype)
    bars = _cubical_bars(x, 2, [0, 1], True, False, 0.0)
    flat = x.reshape(-1).requires_grad_()
    found = []
    for gather in (_EndsOnHost.apply, _ends):
        births, deaths = gather(flat, bars, 11 * 12, -math.inf)
        total = (births * 3).sum() + deaths[bars[3] >= 0].sum()
        found.append((births, deaths, *torch.autograd.grad(total, flat, create_graph=create_graph)))
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == dtype
        assert torch.equal(ours, theirs)


def test_the_image_may_change_before_its_gradient_is_taken():
    x = torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(10), requires_grad=True)
    y = x * 2
    loss = cubical_persistence(y).finite().persistence().sum()
    with torch.no_grad():
        y.zero_()
    loss.backward()
    assert bool((x.grad != 0).any())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_of_the_input_is_kept(dtype):
    x = torch.rand(2, 6, 7, generator=torch.Generator().manual_seed(2)).to(dtype).requires_grad_()
    d = cubical_persistence(x)
    assert d.dtype == dtype
    assert bars_of(d) == bars_of(cubical_persistence(x.double()))
    d.births.sum().backward()
    assert x.grad.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64, torch.bool])
def test_integers_are_cast_before_any_negation(dtype):
    x = torch.randint(0, 200, (1, 8, 9), generator=torch.Generator().manual_seed(3)).to(dtype)
    d = cubical_persistence(x, superlevel=True)
    assert d.dtype == torch.get_default_dtype()
    assert bars_of(d) == gudhi_bars(x[0].numpy(), "vertex", True)


def test_memory_layout_does_not_matter():
    x = torch.rand(4, 10, 12, generator=torch.Generator().manual_seed(5))
    expected = bars_of(cubical_persistence(x))
    for view in (x.transpose(1, 2).contiguous().transpose(1, 2), torch.stack([x, x], -1)[..., 0]):
        assert not view.is_contiguous()
        assert bars_of(cubical_persistence(view)) == expected


@pytest.mark.parametrize("shape", [(6, 17, 9), (5, 6, 7, 5)])
def test_batch_equals_loop_and_threads_do_not_matter(shape):
    x = torch.randint(0, 9, shape, generator=torch.Generator().manual_seed(6)).float()
    before = topodl.get_num_threads()
    try:
        topodl.set_num_threads(1)
        serial = cubical_persistence(x)
        topodl.set_num_threads(8)
        threaded = cubical_persistence(x)
    finally:
        topodl.set_num_threads(before)
    for name in ("births", "deaths", "dims", "samples", "birth_cells", "death_cells"):
        assert torch.equal(getattr(serial, name), getattr(threaded, name))
    for i in range(len(x)):
        alone = cubical_persistence(x[i : i + 1])
        assert torch.equal(alone.birth_cells, serial[i].birth_cells)
        assert torch.equal(alone.death_cells, serial[i].death_cells)


def test_channels_are_samples_of_their_own():
    x = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(7))
    d = cubical_persistence(x, channels=True)
    assert len(d) == 6
    assert bars_of(d[4]) == bars_of(cubical_persistence(x[1, 1][None]))
    volumes = torch.rand(1, 2, 3, 4, 5)
    assert len(cubical_persistence(volumes, channels=True)) == 2


@pytest.mark.parametrize("superlevel", [False, True])
def test_many_small_images_keep_their_own_short_and_long_bars(superlevel):
    images = torch.rand(700, 3, 4, generator=torch.Generator().manual_seed(0)).double()
    joined = cubical_persistence(images, superlevel=superlevel, min_persistence=0.3)
    alone = [cubical_persistence(x[None], superlevel=superlevel, min_persistence=0.3) for x in images]
    assert 0 < joined.finite().n_bars < cubical_persistence(images, superlevel=superlevel).finite().n_bars
    expected = topodl.Diagrams.cat(alone)
    for name in ("births", "deaths", "samples", "dims", "birth_cells", "death_cells"):
        torch.testing.assert_close(getattr(joined, name), getattr(expected, name), rtol=0, atol=0)
    images[600, 1, 2] = torch.nan
    with pytest.raises(topodl.InputError, match=r"x\[600\] has NaN at \(1, 2\)"):
        cubical_persistence(images)


@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_both_sides_of_a_signal_are_its_extended_persistence(seed, n):
    signal = torch.from_numpy(np.random.default_rng(seed).permutation(n).astype(np.float64))
    path = torch.stack([torch.arange(n - 1), torch.arange(1, n)])
    parts = topodl.extended_parts(topodl.graph_persistence(signal, path, extended=True))
    sides = {"ordinary": False, "relative": True}
    for part, superlevel in sides.items():
        of_graph, of_image = getattr(parts, part), cubical_persistence(signal[None], 0, superlevel).finite()
        bars = [sorted(zip(d.births.tolist(), d.deaths.tolist(), strict=True)) for d in (of_graph, of_image)]
        assert bars[0] == bars[1]
    assert [parts.extended_plus.births.tolist(), parts.extended_plus.deaths.tolist()] == [[0.0], [n - 1.0]]
    assert parts.extended_minus.n_bars == 0


def test_dims_and_min_persistence_select_bars():
    x = torch.rand(3, 9, 9, generator=torch.Generator().manual_seed(8))
    everything = cubical_persistence(x)
    holes = cubical_persistence(x, dims=1)
    assert holes.homology_dims == (1,)
    assert bars_of(holes) == bars_of(everything.dim(1))
    long = cubical_persistence(x, min_persistence=0.4)
    assert bars_of(long) == bars_of(everything.filter(0.4))
    exactly = torch.tensor([[[0.0, 1.0, 0.5]]])
    assert len(cubical_persistence(exactly, min_persistence=0.5).finite().births) == 0
    downwards = cubical_persistence(x, superlevel=True, min_persistence=0.4)
    assert bars_of(downwards) == bars_of(cubical_persistence(x, superlevel=True).filter(0.4))


@pytest.mark.parametrize("shape", [(1, 3, 4), (1, 2, 2, 3)])
def test_least_persistence_of_infinite_and_huge_values(shape):
    for value in (-math.inf, math.inf):
        d = cubical_persistence(torch.full(shape, value), superlevel=True, min_persistence=1.0)
        assert bars_of(d) == [(0, value, -math.inf)]
    x = torch.tensor([[[-1.7e308, 1.7e308, -1.0, math.inf, 0.0]]], dtype=torch.float64)
    assert cubical_persistence(x, min_persistence=1e308).n_bars == 3


def test_empty_batch_is_a_value():
    x = torch.zeros(0, 4, 5, requires_grad=True)
    d = cubical_persistence(x)
    assert (len(d), d.n_bars, d.homology_dims) == (0, 0, (0, 1))
    (d.births.sum() + d.deaths.sum()).backward()
    assert x.grad.shape == x.shape


def test_nan_is_an_error_that_names_sample_and_position():
    x = torch.zeros(4, 13, 8)
    x[3, 12, 7] = math.nan
    with pytest.raises(
        topodl.InputError, match=r"^cubical_persistence: x\[3\] has NaN at \(12, 7\); expected"
    ):
        cubical_persistence(x)
    with pytest.raises(ValueError, match=r"x\[0\] has NaN at \(3, 12, 7\)"):
        cubical_persistence(x[None], channels=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"x": torch.zeros(3)},
            r"x has shape \(3,\); expected shape \(B, H, W\) or .*, or signals",
        ),
        ({"x": torch.zeros(2, 0)}, r"x has shape \(2, 0\)"),
        (
            {"x": torch.zeros(2, 9, 9, 3, dtype=torch.uint8)},
            r"x has bytes of shape \(2, 9, 9, 3\)",
        ),
        ({"x": torch.zeros(1, 0, 4)}, r"x has shape \(1, 0, 4\); expected .* at least one pixel"),
        ({"x": torch.zeros(1, 4, 4), "channels": True}, r"expected shape \(B, C, H, W\)"),
        ({"dims": (0, 2)}, "dims has 2; expected integers from 0 to 1 for 2D samples"),
        ({"dims": 1.0}, r"dims has 1\.0; expected"),
        ({"construction": "pixel"}, "construction is 'pixel'; expected one of 'vertex', 'cell'"),
        ({"min_persistence": -1.0}, "min_persistence is -1.0; expected a number of at least 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(topodl.InputError, match=f"^cubical_persistence: .*{message}"):
        cubical_persistence(**{"x": torch.zeros(1, 4, 4), **arguments})


@pytest.mark.parametrize("x", [np.zeros((1, 3, 3)), torch.zeros(1, 3, 3, dtype=torch.complex64)])
def test_wrong_types_are_type_errors(x):
    with pytest.raises(TypeError, match=r"^cubical_persistence: x (is a ndarray|has dtype torch\.complex64)"):
        cubical_persistence(x)


def test_operator_obeys_the_contract_of_custom_operators():
    for shape in ((2, 5, 6), (1, 3, 4, 5)):
        x = torch.rand(shape)
        torch.library.opcheck(_cubical_bars.op, (x, len(shape) - 1, [0, 1], False, False, 0.0))


@pytest.mark.usefixtures("dynamic_shapes")
def test_compiled_graph_is_whole_and_does_not_recompile():
    def loss(x):
        d = cubical_persistence(x, superlevel=True)
        return d.finite().persistence().square().sum()

    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    generator = torch.Generator().manual_seed(9)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for _ in range(3):  # another number of bars each time
            x = torch.rand(2, 8, 8, generator=generator, requires_grad=True)
            (gradient,) = torch.autograd.grad(compiled(x), x)
            (expected,) = torch.autograd.grad(loss(x), x)
            torch.testing.assert_close(gradient, expected)


def test_several_python_threads_at_once():
    x = torch.rand(4, 20, 20, generator=torch.Generator().manual_seed(10))
    expected = bars_of(cubical_persistence(x))
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(cubical_persistence, x) for _ in range(24)]:
            assert bars_of(future.result()) == expected


class _Bars(torch.utils.data.Dataset):
    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return cubical_persistence(self.x[[i, i]]).n_bars


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_data_loader_workers():
    x = torch.rand(4, 12, 12, generator=torch.Generator().manual_seed(11))
    expected = [cubical_persistence(x[[i, i]]).n_bars for i in range(4)]  # the parent's pool has run before
    loader = torch.utils.data.DataLoader(
        _Bars(x), batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=120
    )
    assert list(loader) == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("shape", [(3, 30, 20), (2, 8, 9, 10)])
def test_cuda_result_is_that_of_the_cpu(shape):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(12))
    here, there = cubical_persistence(x), cubical_persistence(x.cuda())
    assert there.births.device.type == "cuda"
    assert torch.equal(here.birth_cells, there.birth_cells.cpu())
    assert torch.equal(here.deaths, there.deaths.cpu())


@pytest.mark.parametrize("superlevel", [False, True])
def test_signals_are_images_of_one_row(superlevel):
    x = torch.randn(3, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    d, rows = (cubical_persistence(y, superlevel=superlevel) for y in (x, x[:, None]))
    assert (len(d), d.homology_dims) == (3, (0, 1))
    for name in ("births", "deaths", "birth_cells", "death_cells", "samples"):
        assert torch.equal(getattr(d, name), getattr(rows, name))


def test_the_valleys_of_a_signal_by_hand():
    d = cubical_persistence(torch.tensor([[0.0, 3.0, 1.0, 2.0, 0.5]]))
    bars = sorted(zip(d.births.tolist(), d.deaths.tolist(), strict=True))
    assert bars == [(0.0, math.inf), (0.5, 3.0), (1.0, 2.0)]
