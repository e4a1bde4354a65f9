"""`torch.func` and forward mode give the gradients of `torch.autograd`, of everything differentiable."""

import pytest
import torch

import topodl
from topodl import Diagrams, distances, filtrations, layers, losses
from topodl.attention import intrinsic_dimension
from topodl.complexes import clique_complexes
from topodl.errors import InputError
from topodl.losses import registry
from topodl.representations import GIN

# PyTorch's own forward mode compiles with what it has deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit:DeprecationWarning", "ignore:.torch.jit:FutureWarning"
)

GRID = {"resolution": 7, "value_range": (0.0, 2.0)}
PIXELS = {"resolution": 4, "birth_range": (0.0, 1.0), "persistence_range": (0.0, 1.0)}
EDGES, GRAPHS = torch.tensor([[0, 1, 2, 3, 0, 4], [1, 2, 3, 0, 2, 5]]), torch.tensor([0, 0, 0, 0, 1, 1])


def drawn(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


IMAGES, CLOUDS, BARS = drawn(2, 5, 6), drawn(2, 7, 3), drawn(3, 4, 2).cumsum(-1)
LABELS = drawn(2, 12, 12, seed=1).round().long()
OTHER = Diagrams.from_padded(1.5 * BARS)


def of_bars(layer):
    return BARS, lambda bars: layer(Diagrams.from_padded(bars))


def of_distance(distance, **options):
    return BARS, lambda bars: distance(Diagrams.from_padded(bars), OTHER, **options)


def of_segmentation(name, **options):
    labels = LABELS
    if name == "mosin":
        torch.manual_seed(0)
        options["features"] = torch.nn.Conv2d(3, 4, 3).double()
    if name == "cavity":
        labels = labels[..., None].repeat_interleave(4, -1)
    logits = 4 * drawn(2, 2, *labels.shape[1:], seed=2) - 2
    loss = registry[name](**options)
    return logits, lambda z: loss(z, labels)


def of_graphs(make, *args):
    torch.manual_seed(0)
    layer = make(*args).double().eval()
    return drawn(6, 4), lambda x: layer(x, EDGES, GRAPHS)


def of_cells(make, *args):
    """Return a case whose features are those of the vertices."""
    torch.manual_seed(0)
    layer, complexes = make(*args).double().eval(), clique_complexes(EDGES, GRAPHS)
    rest = [drawn(complexes.n_cells(k), 4, seed=k) for k in (1, 2)]
    if make is layers.CycleCliqueEncoding:
        return drawn(6, 4), lambda x: layer(x, complexes)
    if make is layers.SimplicialWalkConv:
        walks = [layers.simplicial_walks(complexes, k) for k in range(3)]
        return drawn(6, 4), lambda x: torch.cat(layer([x, *rest], complexes, walks))
    if make is layers.PersistentMessagePassing:
        return drawn(6, 4), lambda x: layer([x, *rest], complexes)[1]
    return drawn(6, 4), lambda x: torch.cat(layer([x, *rest], complexes))


def directed(mode):
    ect = layers.EulerCharacteristicTransform(3, 5, mode=mode)
    return drawn(2, 7, seed=3), lambda weights: ect(CLOUDS, EDGES, weights=weights)


PERSLAY = {"n_features": 3, "dims": 0}
CASES = {
    "BettiCurve": of_bars(layers.BettiCurve(width=0.1, **GRID)),
    "PersistenceImage": of_bars(layers.PersistenceImage(**PIXELS)),
    "PersistenceImage integral": of_bars(layers.PersistenceImage(pixels="integral", **PIXELS)),
    "PersistenceLandscape": of_bars(layers.PersistenceLandscape(**GRID)),
    "Silhouette": of_bars(layers.Silhouette(**GRID)),
    "PersistenceEntropy": of_bars(layers.PersistenceEntropy()),
    "PersistenceEntropy vector": of_bars(layers.PersistenceEntropy("vector", **GRID)),
    "PersistenceCurve": of_bars(layers.PersistenceCurve("ratio", "entropy", **GRID)),
    "LongestBars": of_bars(layers.LongestBars(3)),
    "TopologicalVector": of_bars(layers.TopologicalVector(4)),
    "ComplexPolynomial": of_bars(layers.ComplexPolynomial("S", 3)),
    "Atol": of_bars(layers.Atol(centres=[[0.2, 0.5], [0.4, 1.1]])),
    "Amplitude": of_bars(layers.Amplitude()),
    "PersistenceStatistics": of_bars(layers.PersistenceStatistics()),
    "PersLay": of_bars(layers.PersLay(**PERSLAY).double()),
    "PersLay top_k": of_bars(layers.PersLay("triangle", operation="top_k", **PERSLAY).double()),
    "DiagramEncoder": of_bars(layers.DiagramEncoder(4, 2, dims=0).double()),
    "EulerCurve of diagrams": of_bars(layers.EulerCurve(6, (0, 2), width=0.1)),
    "EulerCurve": (IMAGES, layers.EulerCurve(6, (0, 1), width=0.1)),
    "EulerCurve of volumes": (
        drawn(1, 3, 4, 3),
        layers.EulerCurve(6, (0, 1), width=0.1, superlevel=True, construction="cell"),
    ),
    "EulerCurve with weights": (IMAGES, lambda w: layers.EulerCurve(6, (0, 1))(IMAGES, w)),
    "EulerCharacteristicTransform of images": (
        IMAGES,
        lambda x: layers.EulerCharacteristicTransform(3, 5, images=True)(0.9 * x),
    ),
    "height": (IMAGES, lambda x: filtrations.height(x, 3)),
    "height by directions": (drawn(3, 2, seed=2) - 0.4, lambda v: filtrations.height(IMAGES, v)),
    "radial by centres": (4 * drawn(3, 2, seed=2), lambda v: filtrations.radial(IMAGES, v)),
    "density": (IMAGES, filtrations.density),
    "closeness": (drawn(6, seed=2) + 0.5, lambda w: filtrations.closeness(EDGES, w)),
    "return_probabilities": (
        drawn(6, seed=2) + 0.5,
        lambda w: filtrations.return_probabilities(EDGES, [2, 3], w),
    ),
    "geodesic_distances": (CLOUDS, lambda x: filtrations.geodesic_distances(x, 4).nan_to_num(posinf=0.0)),
    "delay_embedding": (drawn(2, 9), lambda x: filtrations.delay_embedding(x, 3, 2)),
    "EulerCharacteristicTransform": (CLOUDS, layers.EulerCharacteristicTransform(3, 5)),
    "EulerCharacteristicTransform with edges": (
        CLOUDS,
        lambda x: layers.EulerCharacteristicTransform(3, 5, smooth=True)(x, EDGES),
    ),
    "EulerCharacteristicTransform of weights": directed("soft"),
    "EulerCharacteristicTransform of weights, hard": directed("hard"),
    "TOGL": of_graphs(layers.TOGL, 4),
    "CellMessagePassing": of_cells(layers.CellMessagePassing, 4, 3),
    "PersistentMessagePassing": of_cells(layers.PersistentMessagePassing, 4, 3),
    "CycleCliqueEncoding": of_cells(layers.CycleCliqueEncoding, 4),
    "SimplicialWalkConv": of_cells(layers.SimplicialWalkConv, 4),
    "RePHINE": of_graphs(layers.RePHINE, 4, 3),
    "GIN": of_graphs(GIN, 4, 2),
    "wasserstein_distance": of_distance(distances.wasserstein_distance),
    "wasserstein_distance of order 1": of_distance(
        distances.wasserstein_distance, order=1, ground_norm=torch.inf
    ),
    "sliced_wasserstein_distance": of_distance(distances.sliced_wasserstein_distance),
    "cubical_persistence": (IMAGES, lambda x: topodl.cubical_persistence(x).total_persistence(2)),
    "rips_persistence": (CLOUDS, lambda x: topodl.rips_persistence(x).total_persistence(2)),
    "cubical_persistence on a torus": (
        IMAGES,
        lambda x: topodl.cubical_persistence(x, periodic=True).total_persistence(2),
    ),
    "rips_persistence with weights": (
        CLOUDS,
        lambda x: topodl.rips_persistence(x, weights=drawn(2, 7) / 9).total_persistence(2),
    ),
    "rips_persistence of weights": (
        drawn(2, 7) / 9,
        lambda w: topodl.rips_persistence(CLOUDS, weights=w, p=2).total_persistence(2),
    ),
    "alpha_persistence": (CLOUDS, lambda x: topodl.alpha_persistence(x).total_persistence(2)),
    "rtd": (CLOUDS, lambda x: topodl.rtd(x, CLOUDS.square())),
    "intrinsic_dimension": (drawn(1, 9, 2), intrinsic_dimension),
    "RTDLoss": (CLOUDS, lambda x: losses.RTDLoss()(x, CLOUDS.square())),
    "CKALoss": (CLOUDS[0], lambda x: losses.CKALoss()(x, CLOUDS[1])),
    "TopologicalAutoencoderLoss of codes": (
        CLOUDS[0],
        lambda z: losses.TopologicalAutoencoderLoss(dims=1)(CLOUDS[1], z),
    ),
    "TopologicalAutoencoderLoss of inputs": (
        CLOUDS[0],
        lambda x: losses.TopologicalAutoencoderLoss()(x, CLOUDS[1]),
    ),
    "TotalPersistenceLoss": (CLOUDS, losses.TotalPersistenceLoss()),
    "FeatureCountLoss": (CLOUDS, losses.FeatureCountLoss(length=0.2)),
    "BettiTargetLoss": (CLOUDS, losses.BettiTargetLoss({0: 1})),
    "DiagramTargetLoss": (CLOUDS, losses.DiagramTargetLoss(OTHER[:2])),
    "DeepSupervisionLoss": (
        4 * drawn(2, 2, 12, 12, seed=2) - 2,
        lambda z: losses.DeepSupervisionLoss(losses.ClDiceLoss(), shrink="skeleton")(
            [z, z[..., ::2, ::2]], LABELS
        ),
    ),
    **{name: of_segmentation(name) for name in registry},
    **{
        f"{name} of the study": of_segmentation(name, variant="topomortar")
        for name in ("topo_loss", "cldice", "cbdice", "warping", "skeleton_recall")
    },
    "cbdice, morphological": of_segmentation("cbdice", skeleton="morphological"),
    "regions": (
        4 * drawn(2, 2, 9, 9, seed=2) - 2,
        lambda z: losses.TopoLoss(activation="sigmoid")(z, drawn(2, 2, 9, 9, seed=4).round()),
    ),
}


def scalar(function):
    """Return a function whose value is the sum of all that `function` gives, in different weights."""

    def weighted(x):
        value = function(x)
        return (value * torch.linspace(1, 2, value.numel(), dtype=value.dtype).view_as(value)).sum()

    return weighted


@pytest.fixture(params=CASES)
def case(request):
    """A value, a scalar function of it, and its gradient by `torch.autograd`."""
    x, function = CASES[request.param]
    function = scalar(function)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(leaf), leaf)
    assert gradient.abs().sum() > 0
    return x, function, gradient


def test_reverse_mode(case):
    x, function, gradient = case
    found, value = torch.func.grad_and_value(function)(x)
    torch.testing.assert_close(found, gradient)
    torch.testing.assert_close(value, function(x))
    _, pull = torch.func.vjp(function, x)
    torch.testing.assert_close(pull(value.new_tensor(2.0))[0], 2 * gradient)


def test_forward_mode(case):
    x, function, gradient = case
    direction = drawn(*x.shape, seed=5)
    _, slope = torch.func.jvp(function, (x,), (direction,))
    torch.testing.assert_close(slope, (gradient * direction).sum())


def test_gradients_in_batches(case):
    x, function, gradient = case
    found = torch.func.jacrev(lambda x: torch.stack([function(x), -2 * function(x)]))(x)
    torch.testing.assert_close(found, torch.stack([gradient, -2 * gradient]))
    leaf = x.clone().requires_grad_()
    (batch,) = torch.autograd.grad(
        function(leaf), leaf, torch.tensor([1.0, 3.0]).to(x), is_grads_batched=True
    )
    torch.testing.assert_close(batch, torch.stack([gradient, 3 * gradient]))


SECOND = [
    "PersistenceImage",
    "EulerCurve",
    "EulerCharacteristicTransform",
    "cldice",
    "topo_loss",
    "betti_matching",
]


@pytest.mark.parametrize("name", SECOND)
def test_second_derivatives(name):
    x, function = CASES[name]
    function = scalar(function)
    direction = drawn(*x.shape, seed=6)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(leaf), leaf, create_graph=True)
    (expected,) = torch.autograd.grad((gradient * direction).sum(), leaf)
    _, found = torch.func.jvp(torch.func.grad(function), (x,), (direction,))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["ce_dice", "cldice", "topo_loss", "skeleton_recall", "warping"])
def test_gradients_of_each_sample_by_functional_call(name):
    torch.manual_seed(0)
    network = torch.nn.Conv2d(1, 2, 3, padding=1).double()
    images, loss = drawn(2, 1, 12, 12), registry[name](reduction="none")

    def values(parameters):
        return loss(torch.func.functional_call(network, parameters, images), LABELS)

    each = torch.func.jacrev(values)(dict(network.named_parameters()))
    for sample in range(2):
        one = slice(sample, sample + 1)
        value = loss(network(images[one]), LABELS[one]).sum()
        expected = torch.autograd.grad(value, list(network.parameters()))
        for (parameter, found), gradient in zip(each.items(), expected, strict=True):
            torch.testing.assert_close(found[sample], gradient, msg=lambda text, p=parameter: f"{p}: {text}")


def test_a_cache_keeps_nothing_of_a_transform():
    logits, labels = 4 * drawn(2, 2, 12, 12) - 2, LABELS
    loss = losses.TopoLoss()
    inside = torch.func.grad(lambda z: loss(z, labels))(logits)
    assert len(loss._cache) == 2
    torch.testing.assert_close(torch.func.grad(lambda z: loss(z, labels))(logits), inside)
    torch.testing.assert_close(loss(logits, labels), losses.TopoLoss()(logits, labels))


@pytest.mark.parametrize("name", sorted(registry))
def test_losses_say_what_to_do_where_samples_are_mapped(name):
    logits, loss = CASES[name]
    message = r"(logits|target) is mapped by torch\.vmap; expected one batch; reduction=.none."
    with pytest.raises(InputError, match=message):
        torch.vmap(loss)(torch.stack([logits, logits]))


MAPPED = [
    name for name in CASES if name in layers.__all__ or name.split()[0] in ("EulerCurve", "PersistenceImage")
]
MAPPED = [*MAPPED, "PersLay top_k", "EulerCharacteristicTransform with edges", "sliced_wasserstein_distance"]
OF_GRAPHS = {
    *("TOGL", "RePHINE", "CellMessagePassing", "PersistentMessagePassing", "CycleCliqueEncoding"),
    "SimplicialWalkConv",
}
MAPPED = [name for name in CASES if name in layers.__all__ and name not in OF_GRAPHS]
MAPPED += [name for name in CASES if " " in name and name.split()[0] in MAPPED]
MAPPED += ["sliced_wasserstein_distance", "CKALoss"]


@pytest.mark.parametrize("name", MAPPED)
def test_samples_are_mapped_where_sizes_do_not_depend_on_values(name):
    x, function = CASES[name]
    several = torch.stack([x, 1.1 * x.flip(0)])
    torch.testing.assert_close(torch.vmap(function)(several), torch.stack([function(x) for x in several]))
    slope = torch.func.grad(scalar(function))
    torch.testing.assert_close(torch.vmap(slope)(several), torch.stack([slope(x) for x in several]))


@pytest.mark.parametrize(
    "name",
    [
        "wasserstein_distance",
        "TOGL",
        "CellMessagePassing",
        "CycleCliqueEncoding",
        "SimplicialWalkConv",
        "GIN",
        "rtd",
        "intrinsic_dimension",
        "TopologicalAutoencoderLoss of codes",
    ],
)
def test_what_depends_on_values_says_so_where_samples_are_mapped(name):
    x, function = CASES[name]
    with pytest.raises(InputError, match=r"is mapped by torch\.vmap; expected one batch"):
        torch.vmap(function)(torch.stack([x, x]))


def test_mapped_diagrams_with_bars_to_drop_are_an_error():
    bars = torch.stack([BARS, BARS])
    bars[1, 2, 3, 1] = torch.inf
    layer = layers.PersistenceStatistics()
    with pytest.raises(InputError, match=r"the choice of rows is mapped by torch\.vmap; expected rows that"):
        torch.vmap(lambda bars: layer(Diagrams.from_padded(bars)))(bars)
    kept = layers.BettiCurve(**GRID)
    found = torch.vmap(lambda bars: kept(Diagrams.from_padded(bars)))(bars)
    torch.testing.assert_close(found, torch.stack([kept(Diagrams.from_padded(each)) for each in bars]))
    with pytest.raises(InputError, match=r"Diagrams\.from_padded: mask is mapped by torch\.vmap"):
        torch.vmap(Diagrams.from_padded)(bars, bars[..., 0] > 0.5)


def test_nan_is_found_where_samples_are_mapped():
    images = torch.stack([IMAGES, IMAGES])
    images[1, 0, 2, 2] = torch.nan
    with pytest.raises(InputError, match=r"EulerCurve: x\[1\] has NaN at \(0, 2, 2\)"):
        torch.vmap(layers.EulerCurve(6, (0, 1)))(images)
    bars = torch.stack([BARS, BARS])
    bars[1, 0, 2, 1] = torch.nan
    with pytest.raises(InputError, match=r"Diagrams: deaths\[1\] is NaN"):
        torch.vmap(lambda bars: Diagrams.from_padded(bars).births)(bars)


def test_exact_curves_are_mapped():
    curve = layers.EulerCurve(6, (0, 1), superlevel=True)
    several = torch.stack([IMAGES, 1 - IMAGES])
    torch.testing.assert_close(torch.vmap(curve)(several), torch.stack([curve(x) for x in several]))
