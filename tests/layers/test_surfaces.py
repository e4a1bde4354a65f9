import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from topodl import (
    InputError,
    euler_signed_measure,
    graph_signed_measure,
    image_signed_measure,
    rips_signed_measure,
)
from topodl.complexes import clique_complexes
from topodl.layers import EulerSurface, HilbertSurface, SignedMeasureImage

EDGES = torch.tensor([[0, 0, 1, 3], [1, 2, 2, 4]])
LAYERS = [EulerSurface, HilbertSurface, SignedMeasureImage]


def images(seed, batch=2, height=5, width=7, ties=False):
    g = torch.Generator().manual_seed(seed)
    if ties:
        return torch.randint(0, 4, (batch, 2, height, width), generator=g).double() / 3
    return torch.rand(batch, 2, height, width, generator=g, dtype=torch.float64)


@given(
    st.integers(0, 10**6),
    st.integers(1, 6),
    st.integers(1, 6),
    st.booleans(),
    st.sampled_from(["vertex", "cell"]),
    st.tuples(st.booleans(), st.booleans()),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_counted_surfaces_are_those_of_the_measures(
    seed, height, width, ties, construction, superlevel, dtype
):
    x = images(seed, 2, height, width, ties).to(dtype)
    x[0, 0, 0, 0] = torch.inf
    layer = EulerSurface((4, 3), [(0, 1), (-0.5, 2)], construction=construction, superlevel=superlevel)
    signs = torch.tensor([-1.0 if down else 1.0 for down in superlevel], dtype=dtype).view(1, 2, 1, 1)
    grids = [torch.from_numpy(np.linspace(*ends)) for ends in ((0, 1, 4), (-0.5, 2, 3))]
    turned = [-grid.flip(0) if down else grid for grid, down in zip(grids, superlevel, strict=True)]
    expected = euler_signed_measure(x * signs, construction=construction).surface(*turned)
    expected = expected.flip([axis for axis, down in ((2, superlevel[0]), (3, superlevel[1])) if down])
    assert torch.equal(layer(x), expected)
    assert layer(x).dtype == dtype


@given(
    st.integers(0, 10**6),
    st.integers(1, 5),
    st.integers(1, 5),
    st.booleans(),
    st.sampled_from(["vertex", "cell"]),
    st.sampled_from([0.3, 1.0, 2.5, 6.0, 11.0]),
    st.sampled_from([(torch.float32, 2e-4), (torch.float64, 1e-11)]),
)
def test_ramps_and_their_gradients_are_those_of_the_measures(
    seed, height, width, ties, construction, wide, dtype
):
    x = images(seed, 2, height, width, ties).to(dtype[0])
    x[0, 0, 0, 0], x[1, 1, -1, -1] = torch.inf, -torch.inf
    layer = EulerSurface((4, 3), [(0, 1), (0, 1)], wide, construction)
    layer.grid0_ = torch.tensor([0.013, 0.211, 0.523, 0.877], dtype=torch.float64)
    layer.grid1_ = torch.tensor([-0.317, 0.439, 0.791], dtype=torch.float64)
    found, expected = x.clone().requires_grad_(), x.clone().requires_grad_()
    m = euler_signed_measure(expected, construction=construction)
    surfaces = [layer(found), m.surface(layer.grid0_, layer.grid1_, wide)]
    torch.testing.assert_close(*surfaces, atol=dtype[1], rtol=0)
    weights = torch.rand(surfaces[0].shape, generator=torch.Generator().manual_seed(seed), dtype=dtype[0])
    for surface in surfaces:
        (surface * weights).sum().backward()
    torch.testing.assert_close(found.grad, expected.grad, atol=20 * dtype[1], rtol=0)


@pytest.mark.parametrize("width", [None, 1.0])
def test_volumes_have_surfaces_too(width):
    x = torch.rand(2, 2, 3, 2, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    grid = torch.linspace(0, 1, 4, dtype=torch.float64)
    expected = euler_signed_measure(x).surface(grid, grid, width)
    torch.testing.assert_close(EulerSurface(4, (0, 1), width)(x), expected)
    layer = HilbertSurface(0, 4, (0, 1), width)
    torch.testing.assert_close(layer(x), image_signed_measure(x).surface(grid, grid, width))
    assert layer.fit_transform(x.numpy()).shape == (2, 16)
    with pytest.raises(InputError, match="dims has 1"):
        HilbertSurface(1, 4, (0, 1))(x)


def test_ramps_of_bad_settings_are_refused():
    x = images(0)
    with pytest.raises(InputError, match="grid1 has bins of no width"):
        EulerSurface((4, 1), (0, 1), width=1.0)(x)
    with pytest.raises(InputError, match="width is 0"):
        EulerSurface(4, (0, 1), width=0)(x)
    with pytest.raises(InputError, match="NaN"):
        EulerSurface(4, (0, 1), width=1.0)(x.log() * torch.nan)


@given(st.integers(0, 10**6))
def test_grids_of_any_spacing_are_searched_rightly(seed):
    g = np.random.default_rng(seed)
    x = torch.from_numpy(g.integers(0, 9, (3, 2, 4, 5)).astype(float) ** 3)
    layer = EulerSurface(5, spacing="quantiles").fit(x.numpy())
    grids = [np.quantile(x[:, c].numpy(), np.linspace(0, 1, 5)) for c in (0, 1)]
    assert torch.equal(layer(x), euler_signed_measure(x).surface(*map(torch.from_numpy, grids)))
    hilbert = HilbertSurface(resolution=5, spacing="quantiles").fit(x.numpy())
    assert torch.equal(hilbert(x), image_signed_measure(x).surface(*map(torch.from_numpy, grids)))


@pytest.mark.parametrize("layer", LAYERS)
def test_images_graphs_and_clouds_give_what_the_measures_do(layer):
    g = torch.Generator().manual_seed(1)
    grid = torch.linspace(0, 1, 4, dtype=torch.float64)
    x, values = images(0), torch.rand(5, 2, generator=g).double()
    cloud, function = torch.rand(2, 6, 2, generator=g).double(), torch.rand(2, 6, generator=g).double()

    def of(m):
        return m.convolve(grid, grid, 0.1) if layer is SignedMeasureImage else m.surface(grid, grid)

    module = layer(resolution=4, value_ranges=(0, 1))
    if layer is EulerSurface:
        torch.testing.assert_close(module(x), of(euler_signed_measure(x)))
        torch.testing.assert_close(module(values, EDGES), of(euler_signed_measure(values, EDGES)))
        complexes = clique_complexes(EDGES).with_values(values)
        torch.testing.assert_close(module(complexes), of(euler_signed_measure(complexes)))
        with pytest.raises(InputError, match="EulerSurface: x are clouds"):
            module(cloud, function=function)
        return
    torch.testing.assert_close(module(x), of(image_signed_measure(x)))
    torch.testing.assert_close(module(values, EDGES), of(graph_signed_measure(values, EDGES)))
    torch.testing.assert_close(
        module(cloud, function=function), of(rips_signed_measure(cloud, function, (0, 1)))
    )
    with pytest.raises(InputError, match="are CellComplexes"):
        module(clique_complexes(EDGES).with_values(values))


@pytest.mark.parametrize("layer", LAYERS)
def test_modules_and_transformers_agree_on_images_and_lists(layer):
    x = images(3, 4)
    transformer = layer(resolution=(3, 2), chunk_size=3)
    with pytest.raises(NotFittedError):
        transformer(x)
    features = transformer.fit_transform(x.numpy())
    assert features.shape == (4, len(transformer.get_feature_names_out()))
    torch.testing.assert_close(torch.from_numpy(features), transformer(x).flatten(1))
    ranges = [(float(x[:, c].min()), float(x[:, c].max())) for c in (0, 1)]
    torch.testing.assert_close(layer(resolution=(3, 2), value_ranges=ranges)(x), transformer(x))
    graphs = [(torch.rand(3, 2).double(), EDGES[:, :3]), (torch.rand(5, 2).double(), EDGES)]
    alone = torch.cat([transformer(values, edges) for values, edges in graphs])
    torch.testing.assert_close(transformer(graphs), alone)
    table = transformer.transform([(values.numpy(), edges.numpy()) for values, edges in graphs])
    torch.testing.assert_close(torch.from_numpy(table), alone.flatten(1))
    other_shapes = [x[0], x[1, :, :3]]
    assert transformer(other_shapes).shape[0] == 2
    assert not clone(transformer).__sklearn_is_fitted__()
    state = transformer.state_dict()
    loaded = layer(resolution=(3, 2))
    loaded.load_state_dict(state)
    torch.testing.assert_close(loaded(x), transformer(x))


@pytest.mark.parametrize("case", ["euler", "euler cell", "hilbert", "image", "superlevel"])
def test_gradients_of_first_and_second_order(case):
    x = images(5, 1, 3, 3).requires_grad_()
    options = {"resolution": (4, 3), "value_ranges": (0, 1)}
    layer = {
        "euler": lambda: EulerSurface(width=1.3, **options),
        "euler cell": lambda: EulerSurface(width=1.3, construction="cell", **options),
        "hilbert": lambda: HilbertSurface(width=2.2, **options),
        "image": lambda: SignedMeasureImage(**options),
        "superlevel": lambda: HilbertSurface(width=1.3, superlevel=(True, False), **options),
    }[case]()
    torch.autograd.gradcheck(lambda x: layer(x) ** 2, x)
    torch.autograd.gradgradcheck(lambda x: layer(x) ** 2, x)


def test_a_bandwidth_is_learnt_and_starts_anew():
    layer = SignedMeasureImage(resolution=4, value_ranges=(0, 1), learnable=True)
    layer(images(0).float()).square().sum().backward()
    assert (layer.log_factors.grad != 0).all()
    with torch.no_grad():
        layer.log_factors.fill_(1.0)
    layer.reset_parameters()
    assert (layer.log_factors == 0).all()
    scaled = SignedMeasureImage(resolution=4, value_ranges=(0, 100), bandwidth=(10.0, 10.0))
    torch.testing.assert_close(
        scaled(100 * images(0)), SignedMeasureImage(resolution=4, value_ranges=(0, 1))(images(0))
    )


def test_bytes_are_not_negated_as_bytes():
    x = torch.randint(0, 255, (1, 2, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    layer = EulerSurface(5, (0, 255), superlevel=True)
    assert torch.equal(layer(x), layer(x.float()))
    hilbert = HilbertSurface(resolution=5, value_ranges=(0, 255), superlevel=(True, False))
    assert torch.equal(hilbert(x), hilbert(x.float()))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": 0}, "resolution is 0"),
        ({"resolution": (1, 2, 3)}, r"resolution is \(1, 2, 3\)"),
        ({"superlevel": (True,)}, "superlevel is"),
        ({"superlevel": "down"}, "superlevel is 'down'"),
        ({"spacing": "log"}, "spacing is 'log'"),
        ({"spacing": "quantiles", "value_ranges": (0, 1)}, "spacing is 'quantiles'"),
        ({"value_ranges": (1, 0)}, r"value_ranges is \(1, 0\)"),
    ],
)
def test_bad_settings_are_named(layer, options, message):
    with pytest.raises(InputError, match=f"{layer.__name__}: {message}"):
        layer(**{"resolution": 3, "value_ranges": (0, 1), **options})(images(0))


def test_bad_input_is_named():
    x = images(0)
    with pytest.raises(InputError, match="SignedMeasureImage: bandwidth is 'wide'"):
        SignedMeasureImage(value_ranges=(0, 1), bandwidth="wide")(x)
    with pytest.raises(InputError, match="bandwidth is"):
        SignedMeasureImage(value_ranges=(0, 1), bandwidth=-1.0)(x)
    with pytest.raises(InputError, match="learnable is 2"):
        SignedMeasureImage(value_ranges=(0, 1), learnable=2)(x)
    with pytest.raises(InputError, match=r"EulerSurface: x\[0\] has NaN"):
        EulerSurface(value_ranges=(0, 1))(x * torch.nan)
    with pytest.raises(InputError, match=r"x has shape \(2, 3, 5, 7\)"):
        EulerSurface(value_ranges=(0, 1))(torch.cat([x, x[:, :1]], 1))
    with pytest.raises(InputError, match="superlevel is True for distances"):
        HilbertSurface(value_ranges=(0, 1), superlevel=True)(torch.rand(1, 4, 2), function=torch.rand(1, 4))
    with pytest.raises(InputError, match="grid0 has bins of no width"):
        EulerSurface(1, (0, 1), width=1.0)(x)
    board = (
        torch.arange(521)[:, None] + torch.arange(521)
    ) % 2  # squares of one colour meet in corners alone
    with pytest.raises(InputError, match=r"too large for torch\.float16"):
        EulerSurface(2, (0, 1))(board.expand(1, 2, -1, -1).half())
    with pytest.raises(TypeError, match=r"EulerSurface: x\[0\] is a list; expected a torch\.Tensor"):
        EulerSurface(2, (0, 1))(x.tolist())
