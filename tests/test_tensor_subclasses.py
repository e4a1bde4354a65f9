"""Tensors that carry more than numbers, as those of MONAI and torchvision do, count as plain ones."""

import functools
import inspect

import pytest
import torch

import topodl
from topodl import Diagrams, attention, distances, layers, losses, metrics
from topodl._checks import check_tensor
from topodl.attention import AttentionTopology, HiddenStateGeometry
from topodl.complexes import clique_complexes
from topodl.losses import registry
from topodl.representations import GIN


class TaggedTensor(torch.Tensor):
    """Stays what it is through every operation, and redefines a method, as the subclasses of users do."""

    def new_empty(self, size: tuple[int, ...], dtype=None, device=None, requires_grad=False):
        if not isinstance(size, tuple):
            raise TypeError("new_empty(): argument 'size' must be tuple of ints")
        return super().new_empty(size, dtype=dtype, device=device, requires_grad=requires_grad)


def tagged(value):
    return value.as_subclass(TaggedTensor)


def meta_tensor(value):
    return pytest.importorskip("monai.data").MetaTensor(value)


def drawn(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def diagrams_of(wrap, scale=1.0):
    bars = scale * drawn(3, 5, 2).cumsum(-1)
    return Diagrams.from_padded(wrap(bars), wrap(torch.ones(3, 5, dtype=torch.bool)))


IMAGES, CLOUDS = drawn(2, 7, 8), drawn(2, 9, 3)
LOGITS, LABELS = 4 * drawn(2, 2, 12, 12) - 2, drawn(2, 12, 12, seed=1).round().long()
MASKS = drawn(2, 12, 12, seed=2).round()
EDGES = torch.tensor([[0, 1, 2, 3, 0, 4], [1, 2, 3, 0, 2, 5]])
VERTICES, GRAPHS = drawn(6, 4), torch.tensor([0, 0, 0, 0, 1, 1])
MAPS = torch.softmax(drawn(2, 1, 2, 6, 6), -1)
PAIRS, PLANE = drawn(2, 2, 7, 8), {"resolution": (3, 4), "value_ranges": (0.0, 1.0)}
GRID = {"resolution": 6, "value_range": (0.0, 2.0)}
PIXELS = {"resolution": 4, "birth_range": (0.0, 1.0), "persistence_range": (0.0, 1.0)}


def of_diagrams(layer):
    return lambda wrap: layer(diagrams_of(wrap))


def of_two_diagrams(distance):
    return lambda wrap: distance(diagrams_of(wrap), diagrams_of(wrap, 1.5))


def of_masks(function):
    return lambda wrap: function(wrap(LABELS), wrap(MASKS))


def of_segmentations(function, **options):
    def run(wrap, logits=LOGITS, labels=LABELS):
        if function in (losses.cavity_loss, losses.CavityLoss):
            logits, labels = (x[..., None].repeat_interleave(4, -1) for x in (logits, labels))
        loss = functools.partial(function, **options)
        if inspect.isclass(function):
            loss = function(**options)
        mask = torch.ones_like(labels)
        mask[0, :2] = 0
        return loss(wrap(logits), wrap(labels), mask=wrap(mask))

    return run


def attached(wrap):
    model = torch.nn.Sequential(torch.nn.Identity())
    with topodl.attach(model, "0", losses.TotalPersistenceLoss(dims=0)) as attachment:
        model(wrap(CLOUDS))
        return attachment.total()


def stitched(wrap):
    layer = topodl.StitchingLayer(3, 4).fit(wrap(drawn(9, 3)), wrap(drawn(9, 4, seed=1)))
    return layer(wrap(drawn(9, 3)))


FEATURES = {"features": torch.nn.Conv2d(3, 4, 3)}
OF_FUNCTIONS = {
    "cubical_persistence": lambda wrap: topodl.cubical_persistence(wrap(IMAGES)),
    "rips_persistence": lambda wrap: topodl.rips_persistence(wrap(CLOUDS)),
    "alpha_persistence": lambda wrap: topodl.alpha_persistence(wrap(CLOUDS)),
    "graph_persistence": lambda wrap: topodl.graph_persistence(
        wrap(VERTICES[:, 0]), wrap(EDGES), wrap(drawn(6) + 1), wrap(GRAPHS)
    ),
    "extended_parts": lambda wrap: (
        topodl.extended_parts(
            topodl.graph_persistence(wrap(VERTICES[:, 0]), wrap(EDGES), batch=wrap(GRAPHS), extended=True)
        ).extended_minus
    ),
    "rtd": lambda wrap: topodl.rtd(wrap(CLOUDS), wrap(drawn(2, 9, 2))),
    "attach": attached,
    "stitch": None,  # of modules
    "decision_region_betti": None,  # of models
    "StitchingLayer": stitched,
    "TopologicalFeatures": lambda wrap: topodl.TopologicalFeatures(
        torch.nn.Identity(),
        {"": torch.nn.Sequential(layers.CubicalPersistence(), layers.PersistenceStatistics())},
    ).fit_transform(wrap(IMAGES)),
    "Diagrams": diagrams_of,
}


def of_cells(make, *args):
    """Return a case of a layer of cells: the lift and the features from wrapped tensors."""

    def case(wrap):
        complexes = clique_complexes(wrap(EDGES), wrap(GRAPHS))
        features = [wrap(drawn(complexes.n_cells(k), 4)) for k in range(3)]
        if make is layers.CycleCliqueEncoding:
            return _seeded(make, *args)(features[0], complexes)
        if make is layers.SimplicialWalkConv:
            return _seeded(make, *args)(
                features, complexes, [layers.simplicial_walks(complexes, k) for k in range(3)]
            )
        out = _seeded(make, *args)(features, complexes)
        return out if isinstance(out, list) else [*out[0], out[1]]

    return case


def of_lift(function, *args):
    """Return a case of what takes complexes alone."""
    return lambda wrap: function(clique_complexes(wrap(EDGES), wrap(GRAPHS)), *args)


OF_LAYERS = {
    "CellMessagePassing": of_cells(layers.CellMessagePassing, 4, 3),
    "PersistentMessagePassing": of_cells(layers.PersistentMessagePassing, 4, 3),
    "CycleCliqueEncoding": of_cells(layers.CycleCliqueEncoding, 4),
    "SimplicialWalkConv": of_cells(layers.SimplicialWalkConv, 4),
    "HodgeEncoding": of_lift(layers.HodgeEncoding()),
    "cycle_cliques": of_lift(layers.cycle_cliques),
    "simplicial_walks": of_lift(layers.simplicial_walks, 1),
    "SimplicialWalks": None,  # what the function returns
    "TOGL": lambda wrap: _seeded(layers.TOGL, 4)(wrap(VERTICES), wrap(EDGES), wrap(GRAPHS)),
    "RePHINE": lambda wrap: _seeded(layers.RePHINE, 4, 3)(wrap(VERTICES), wrap(EDGES), wrap(GRAPHS)),
    "AlphaPersistence": lambda wrap: layers.AlphaPersistence()(wrap(CLOUDS)),
    "CubicalPersistence": lambda wrap: layers.CubicalPersistence()(wrap(IMAGES)),
    "RipsPersistence": lambda wrap: layers.RipsPersistence()([wrap(cloud) for cloud in CLOUDS]),
    "GraphPersistence": lambda wrap: layers.GraphPersistence()(wrap(VERTICES[:, 0]), wrap(EDGES)),
    "BettiCurve": of_diagrams(layers.BettiCurve(**GRID)),
    "PersistenceEntropy": of_diagrams(layers.PersistenceEntropy()),
    "PersistenceImage": of_diagrams(layers.PersistenceImage(**PIXELS)),
    "PersistenceLandscape": of_diagrams(layers.PersistenceLandscape(**GRID)),
    "PersistenceStatistics": of_diagrams(layers.PersistenceStatistics()),
    "Silhouette": of_diagrams(layers.Silhouette(**GRID)),
    "DiagramDistances": of_diagrams(layers.DiagramDistances().fit(diagrams_of(torch.clone))),
    "DiagramKernel": of_diagrams(layers.DiagramKernel().fit(diagrams_of(torch.clone))),
    "PersLay": of_diagrams(layers.PersLay(n_features=4, dims=0)),
    "DiagramEncoder": of_diagrams(layers.DiagramEncoder(8, 2, dims=0)),
    "EulerCurve": lambda wrap: layers.EulerCurve(6, (0, 1), width=0.1)(wrap(IMAGES)),
    "EulerSurface": lambda wrap: layers.EulerSurface(**PLANE)(wrap(PAIRS)),
    "HilbertSurface": lambda wrap: layers.HilbertSurface(**PLANE)(wrap(PAIRS)),
    "SignedMeasureImage": lambda wrap: layers.SignedMeasureImage(**PLANE)(wrap(PAIRS)),
    "FiberedPersistence": lambda wrap: layers.FiberedPersistence(3, value_ranges=(0, 1))(wrap(PAIRS)),
    "LevelPersistence": lambda wrap: layers.LevelPersistence([0.5, 1.0])(wrap(PAIRS)),
    "MultiparameterLandscape": lambda wrap: layers.MultiparameterLandscape(
        2, resolution=4, value_ranges=(0, 1)
    )(wrap(PAIRS)),
    "SliceFeatures": of_diagrams(layers.SliceFeatures(layers.BettiCurve(**GRID), 3)),
    "EulerCharacteristicTransform": lambda wrap: layers.EulerCharacteristicTransform(4, 5)(
        wrap(CLOUDS), wrap(EDGES), mask=wrap(torch.ones(2, 9, dtype=torch.bool)), weights=wrap(drawn(2, 9))
    ),
}
OF_DISTANCES = {name: of_two_diagrams(getattr(distances, name)) for name in distances.__all__}
OF_DISTANCES["Matching"] = None  # what `optimal_matching` returns
OF_METRICS = {
    "TopologyError": None,  # an enumeration
    "ComponentMatches": None,  # a tuple of results
    "component_matches": lambda wrap: [
        t for m in metrics.component_matches(wrap(LABELS), wrap(MASKS)) for t in m
    ],
    "betti_numbers": lambda wrap: metrics.betti_numbers(wrap(LABELS)),
}
OF_METRICS |= {
    name: of_masks(value() if inspect.isclass(value) else value)
    for name, value in vars(metrics).items()
    if name in metrics.__all__ and name not in OF_METRICS
}
OF_LOSSES = {
    "MosinLoss": of_segmentations(losses.MosinLoss, **FEATURES),
    "mosin_loss": of_segmentations(losses.mosin_loss, **FEATURES),
    "SegmentationLoss": None,  # a base class
    "registry": None,
    "topomortar_head_weights": None,  # of numbers
    "cka": lambda wrap: losses.cka(wrap(CLOUDS), wrap(CLOUDS + 1), tokens=True),
    "cka_loss": lambda wrap: losses.cka_loss(wrap(drawn(5, 3)), wrap(drawn(5, 2))),
    "CKALoss": lambda wrap: losses.CKALoss()(wrap(drawn(5, 3)), wrap(drawn(5, 2))),
    "MinibatchCKA": lambda wrap: _updated(losses.MinibatchCKA(), wrap(drawn(5, 3)), wrap(drawn(5, 2))),
    "RTDLoss": lambda wrap: losses.RTDLoss()(wrap(CLOUDS), wrap(drawn(2, 9, 2))),
    "topological_autoencoder_loss": lambda wrap: losses.topological_autoencoder_loss(
        wrap(CLOUDS[0]), wrap(CLOUDS[1])
    ),
    "TopologicalAutoencoderLoss": lambda wrap: losses.TopologicalAutoencoderLoss()(
        wrap(CLOUDS[0]), wrap(CLOUDS[1])
    ),
    "scnp_logits": lambda wrap: losses.scnp_logits(wrap(LOGITS), wrap(LABELS), mask=wrap(MASKS)),
    "DeepSupervisionLoss": lambda wrap: losses.DeepSupervisionLoss(losses.CEDiceLoss())(
        [wrap(LOGITS), wrap(LOGITS[..., ::2, ::2])], wrap(LABELS)
    ),
    "TotalPersistenceLoss": lambda wrap: losses.TotalPersistenceLoss()(wrap(IMAGES[None])),
    "FeatureCountLoss": lambda wrap: losses.FeatureCountLoss(length=0.2)(wrap(CLOUDS)),
    "BettiTargetLoss": lambda wrap: losses.BettiTargetLoss({0: 1})(wrap(IMAGES[None])),
    "DiagramTargetLoss": lambda wrap: losses.DiagramTargetLoss(diagrams_of(wrap)[:2])(wrap(CLOUDS)),
}
OF_LOSSES |= {
    name: of_segmentations(value)
    for name, value in vars(losses).items()
    if name in losses.__all__ and name not in OF_LOSSES
}
OF_ATTENTION = {
    "AttentionTopology": lambda wrap: AttentionTopology()(wrap(MAPS)),
    "HiddenStateGeometry": lambda wrap: HiddenStateGeometry()(wrap(drawn(2, 3, 9, 4))),
    "intrinsic_dimension": lambda wrap: attention.intrinsic_dimension(wrap(drawn(20, 3))),
    "neighborhood_overlap": lambda wrap: attention.neighborhood_overlap(
        wrap(drawn(20, 3)), wrap(drawn(20, 4))
    ),
    "rtd": lambda wrap: attention.rtd(wrap(MAPS[0]), wrap(MAPS[1])),
}
CASES = {
    f"{group}.{name}": case
    for group, cases in (
        ("topodl", OF_FUNCTIONS),
        ("layers", OF_LAYERS),
        ("distances", OF_DISTANCES),
        ("metrics", OF_METRICS),
        ("losses", OF_LOSSES),
        ("attention", OF_ATTENTION),
        (
            "representations",
            {"GIN": lambda wrap: _seeded(GIN, 4, 2)(wrap(VERTICES), wrap(EDGES), wrap(GRAPHS))},
        ),
    )
    for name, case in cases.items()
    if case is not None
}


def _seeded(make, *args):
    torch.manual_seed(0)
    return make(*args).eval()


def _updated(metric, *values):
    metric.update(*values)
    return metric.compute()


def parts(value):
    """Return all that a result holds and that has numbers."""
    if isinstance(value, Diagrams):
        return [value.births, value.deaths, value.dims, value.samples]
    return list(value) if isinstance(value, tuple | list) else [value]


@pytest.mark.parametrize("wrap", [tagged, meta_tensor])
@pytest.mark.parametrize("name", CASES)
def test_a_subclass_gives_what_its_plain_tensor_gives(name, wrap):
    expected, found = parts(CASES[name](lambda x: x)), parts(CASES[name](wrap))
    assert [type(x) for x in found] == [type(x) for x in expected]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("package", "cases"),
    [
        (layers, OF_LAYERS),
        (distances, OF_DISTANCES),
        (metrics, OF_METRICS),
        (losses, OF_LOSSES),
    ],
)
def test_every_public_name_is_tried(package, cases):
    assert set(package.__all__) == set(cases)


@pytest.mark.parametrize("wrap", [tagged, meta_tensor])
@pytest.mark.parametrize("name", sorted(registry))
def test_gradients_reach_a_network_whose_activations_are_a_subclass(name, wrap):
    loss = registry[name](**(FEATURES if name == "mosin" else {}))
    logits, labels = LOGITS, LABELS
    if name == "cavity":
        logits, labels = (x[..., None].repeat_interleave(4, -1) for x in (LOGITS, LABELS))
    scale = torch.ones((), requires_grad=True)
    (found,) = torch.autograd.grad(loss(wrap(logits) * scale, wrap(labels)), scale)
    (expected,) = torch.autograd.grad(loss(logits * scale, labels), scale)
    torch.testing.assert_close(found.as_subclass(torch.Tensor), expected)


def test_parameters_and_tensors_of_the_compiler_stay_themselves():
    parameter = torch.nn.Parameter(torch.ones(3))
    assert check_tensor("f", "x", parameter) is parameter
    with torch._subclasses.FakeTensorMode():
        fake = torch.ones(3)
    assert check_tensor("f", "x", fake) is fake
