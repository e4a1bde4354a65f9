"""One call of everything public that takes tensors: from the samples of a batch to what it returns.

`Samples.place` decides what kind of tensors they are: tagged, of another device, of another dtype.
"""

import copy
import functools
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import topodl
from topodl import (
    Diagrams,
    IntervalModules,
    SignedMeasures,
    attention,
    complexes,
    distances,
    filtrations,
    layers,
    losses,
    mapper,
    metrics,
    plotting,
    representations,
)
from topodl.complexes import CellComplexes, clique_complexes
from topodl.integrations import pyg
from topodl.representations import manifolds

__all__ = ["CALLS", "Samples", "drawn", "parts"]

_MOST = 6  # samples of a batch
_EDGES = torch.tensor([[0, 1, 2, 3, 0, 4], [1, 2, 3, 0, 2, 5]])  # of two graphs, of four vertices and of two


def drawn(*shape, seed=0):
    """Return numbers in [0, 1) that are always the same."""
    return torch.rand(*shape, generator=torch.Generator("cpu").manual_seed(seed), device="cpu")


class Samples:
    """A batch of each kind of input, of `n` samples (an even number), where `place` puts it."""

    def __init__(self, place: Callable[[Any], Any] = lambda value: value, n: int = 2) -> None:
        self.place, self.n = place, n

    def drawn(self, *shape, seed=0):
        return self.place(drawn(_MOST, *shape, seed=seed)[: self.n])

    def points(self, n, dim, seed=0):
        """Return points that are no batch, as many for every number of samples."""
        return self.place(drawn(n, dim, seed=seed))

    @property
    def images(self):
        return self.drawn(7, 8)

    @property
    def clouds(self):
        return self.drawn(9, 3)

    @property
    def series(self):
        return self.drawn(40, seed=5)

    @property
    def others(self):
        return self.drawn(9, 2, seed=3)

    @property
    def pairs(self):
        return self.drawn(2, 7, 8)

    @property
    def maps(self):
        return self.place(torch.softmax(drawn(_MOST, 1, 2, 6, 6)[: self.n], -1))

    def maps_of_layer(self, seed):
        return self.place(torch.softmax(drawn(_MOST, 2, 6, 6, seed=seed)[: self.n], -1))

    @property
    def logits(self):
        return self.place(4 * drawn(_MOST, 2, 12, 12)[: self.n] - 2)

    @property
    def labels(self):
        return self.place(drawn(_MOST, 12, 12, seed=1)[: self.n].round().long())

    @property
    def masks(self):
        return self.place(drawn(_MOST, 12, 12, seed=2)[: self.n].round().long())

    @property
    def edges(self):
        return self.place(torch.cat([_EDGES + 6 * i for i in range(self.n // 2)], 1))

    @property
    def graphs(self):
        sizes = torch.tensor([4, 2] * (self.n // 2), device="cpu")
        return self.place(torch.arange(self.n, device="cpu").repeat_interleave(sizes))

    def vertices(self, *channels, seed=0):
        return self.place(drawn(3 * _MOST, *channels, seed=seed)[: 3 * self.n])

    def at_edges(self, *channels, seed=4):
        return self.place(1 + drawn(3 * _MOST, *channels, seed=seed)[: 3 * self.n])

    @property
    def complexes(self):
        return clique_complexes(self.edges, self.graphs)

    def filtered(self, *channels):
        """Return complexes of the graphs, filtered by values that rise from cells to larger ones."""
        return self.complexes.with_values(self.vertices(*channels))

    def diagrams(self, scale=1.0):
        bars = scale * drawn(_MOST, 5, 2).cumsum(-1)[: self.n]
        return Diagrams.from_padded(
            self.place(bars), self.place(torch.ones(self.n, 5, dtype=torch.bool, device="cpu"))
        )

    def made(self, make, *args, **options):
        """Return a module, its parameters drawn from the same seed each time, in evaluation."""
        torch.manual_seed(0)
        return self.place(make(*args, **options).eval())


_PLANE = {"resolution": (3, 4), "value_ranges": (0.0, 1.0)}
_GRID = {"resolution": 6, "value_range": (0.0, 2.0)}
_PIXELS = {"resolution": 4, "birth_range": (0.0, 1.0), "persistence_range": (0.0, 1.0)}


def of_diagrams(make, *args, **options):
    return lambda s: s.made(make, *args, **options)(s.diagrams())


def of_fitted(make):
    return lambda s: s.made(lambda: make().fit(Samples().diagrams()))(s.diagrams())


def of_two_diagrams(distance):
    return lambda s: distance(s.diagrams(), s.diagrams(1.5))


def of_masks(function):
    return lambda s: (s.place(function()) if inspect.isclass(function) else function)(s.labels, s.masks)


def of_segmentations(function, **options):
    def run(s):
        logits = 4 * drawn(_MOST, 2, 12, 12)[: s.n] - 2
        labels = drawn(_MOST, 12, 12, seed=1)[: s.n].round().long()
        if function in (losses.cavity_loss, losses.CavityLoss):
            logits, labels = (x[..., None].repeat_interleave(4, -1) for x in (logits, labels))
        mask = torch.ones_like(labels)
        mask[0, :2] = 0
        given = {name: s.place(copy.deepcopy(value)) for name, value in options.items()}
        loss = (
            s.place(function(**given)) if inspect.isclass(function) else functools.partial(function, **given)
        )
        return loss(s.place(logits), s.place(labels), mask=s.place(mask))

    return run


def of_cells(make, *args):
    """Return a call of a layer of cells: the lift and the features from the same graphs."""

    def run(s):
        cells, layer = s.complexes, s.made(make, *args)
        features = [s.place(drawn(cells.n_cells(k), 4)) for k in range(3)]
        if make is layers.CycleCliqueEncoding:
            return layer(features[0], cells)
        if make is layers.SimplicialWalkConv:
            return layer(features, cells, [layers.simplicial_walks(cells, k) for k in range(3)])
        out = layer(features, cells)
        return out if isinstance(out, list) else [*out[0], out[1]]

    return run


def of_lift(function, **options):
    return lambda s: cells_of(function(s.edges, s.graphs, **options))


def cells_of(lift):
    """Return all tensors of complexes."""
    return [lift.vertices(k).table() if k < 2 else lift.vertices(k).members for k in range(lift.dim + 1)]


def of_graphs(function, **options):
    return lambda s: function(s.edges, batch=s.graphs, n_vertices=3 * s.n, **options)


def of_graphs_of_lengths(function):
    return lambda s: function(s.edges, s.at_edges(), batch=s.graphs, n_vertices=3 * s.n)


def of_measures(function, *args, **options):
    def run(s):
        measures = function(s)
        return [measures.points, measures.weights, measures.dims, measures.samples]

    return run


def attached(s):
    model = torch.nn.Sequential(torch.nn.Identity())
    with topodl.attach(model, "0", losses.TotalPersistenceLoss(dims=0)) as attachment:
        model(s.clouds)
        return attachment.total()


def stitched_layer(s):
    layer = topodl.StitchingLayer(3, 4).fit(s.points(9, 3), s.points(9, 4, seed=1))
    return s.place(layer)(s.points(9, 3))


def stitched_model(s):
    torch.manual_seed(0)
    first, second = (torch.nn.Sequential(torch.nn.Linear(4, n), torch.nn.Linear(n, 2)) for n in (3, 5))
    model = s.place(topodl.stitch(first, "0", second, "0"))
    return model.initialise(s.points(16, 4))(s.drawn(4))


def intervals(s):
    zero = torch.zeros(s.n, dtype=torch.long)
    ends = (s.place(x) for x in (torch.zeros(s.n, 2), torch.tensor([[1.0, 2.0]]).repeat(s.n, 1)))
    of = torch.arange(s.n)
    modules = IntervalModules(
        *ends, *(s.place(x) for x in (of, of, zero, of)), n_samples=s.n, homology_dims=(0,)
    )
    grid = s.place(torch.tensor([0.0, 0.5, 2.0]))
    return [modules.interleavings(), modules.image(grid, grid, bandwidth=0.5)]


def lines(s):
    return s.place(torch.zeros(2, 2)), s.place(torch.tensor([[1.0, 1.0], [1.0, 0.5]]))


def updated(metric, *values):
    metric.update(*values)
    return metric.compute()


class _OneHead(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x)[0]


def recorded(s):
    model = s.made(_OneHead)
    with attention.record(model, features=attention.AttentionTopology()) as recorder:
        model(s.drawn(5, 4))
    return recorder.features()


def of_manifold(manifold):
    def run(s):
        points = manifold.project(s.points(5, manifold.ambient_dim))
        return [points, manifold.distance(points[:2], points[2:4])]

    return run


def of_plot(plot):
    def run(s):
        figure = pytest.importorskip("matplotlib.figure").Figure()
        plot(s.diagrams(), ax=figure.subplots())
        return []

    return run


def score(points):
    return points.norm(dim=1) - 1


def graph_data(s):
    return SimpleNamespace(edge_index=s.edges, batch=s.graphs, num_nodes=3 * s.n)


_FEATURES = {"features": torch.nn.Conv2d(3, 4, 3)}
_TOPODL = {
    "Diagrams": lambda s: s.diagrams(),
    "SignedMeasures": lambda s: SignedMeasures(
        *(
            s.drawn(2),
            s.place(torch.ones(s.n, dtype=torch.long)),
            s.place(torch.zeros(s.n, dtype=torch.long)),
        ),
        s.place(torch.arange(s.n)),
        n_samples=s.n,
        homology_dims=(0,),
    ).total_mass(),
    "IntervalModules": intervals,
    "cubical_persistence": lambda s: topodl.cubical_persistence(s.images),
    "rips_persistence": lambda s: topodl.rips_persistence(s.clouds),
    "alpha_persistence": lambda s: topodl.alpha_persistence(s.clouds),
    "graph_persistence": lambda s: topodl.graph_persistence(s.vertices(), s.edges, s.at_edges(), s.graphs),
    "extended_parts": lambda s: (
        topodl.extended_parts(
            topodl.graph_persistence(s.vertices(), s.edges, batch=s.graphs, extended=True)
        ).extended_minus
    ),
    "complex_persistence": lambda s: topodl.complex_persistence(s.filtered()),
    "fibered_persistence": lambda s: topodl.fibered_persistence(s.pairs, lines(s)),
    "level_persistence": lambda s: topodl.level_persistence(s.pairs, s.place(torch.tensor([0.5, 1.0]))),
    "rtd": lambda s: topodl.rtd(s.clouds, s.others),
    "graph_signed_measure": of_measures(
        lambda s: topodl.graph_signed_measure(s.vertices(2), s.edges, batch=s.graphs)
    ),
    "image_signed_measure": of_measures(lambda s: topodl.image_signed_measure(s.pairs)),
    "rips_signed_measure": of_measures(lambda s: topodl.rips_signed_measure(s.clouds, s.drawn(9))),
    "alpha_signed_measure": of_measures(lambda s: topodl.alpha_signed_measure(s.clouds, s.drawn(9))),
    "degree_rips_signed_measure": of_measures(lambda s: topodl.degree_rips_signed_measure(s.clouds)),
    "euler_signed_measure": of_measures(lambda s: topodl.euler_signed_measure(s.filtered(2))),
    "attach": attached,
    "TopologicalFeatures": lambda s: topodl.TopologicalFeatures(
        torch.nn.Identity(),
        {"": torch.nn.Sequential(layers.CubicalPersistence(), layers.PersistenceStatistics())},
    ).fit_transform(s.images),
}
_LAYERS = {
    "CellMessagePassing": of_cells(layers.CellMessagePassing, 4, 3),
    "PersistentMessagePassing": of_cells(layers.PersistentMessagePassing, 4, 3),
    "CycleCliqueEncoding": of_cells(layers.CycleCliqueEncoding, 4),
    "SimplicialWalkConv": of_cells(layers.SimplicialWalkConv, 4),
    "HodgeEncoding": lambda s: s.made(layers.HodgeEncoding)(s.complexes),
    "cycle_cliques": lambda s: layers.cycle_cliques(s.complexes),
    "simplicial_walks": lambda s: layers.simplicial_walks(s.complexes, 1),
    "TOGL": lambda s: s.made(layers.TOGL, 4)(s.vertices(4), s.edges, s.graphs),
    "RePHINE": lambda s: s.made(layers.RePHINE, 4, 3)(s.vertices(4), s.edges, s.graphs),
    "AlphaPersistence": lambda s: layers.AlphaPersistence()(s.clouds),
    "CubicalPersistence": lambda s: layers.CubicalPersistence()(s.images),
    "RipsPersistence": lambda s: layers.RipsPersistence()(list(s.clouds)),
    "GraphPersistence": lambda s: layers.GraphPersistence()(s.vertices(), s.edges, batch=s.graphs),
    "BettiCurve": of_diagrams(layers.BettiCurve, **_GRID),
    "PersistenceEntropy": of_diagrams(layers.PersistenceEntropy),
    "PersistenceImage": of_diagrams(layers.PersistenceImage, **_PIXELS),
    "PersistenceLandscape": of_diagrams(layers.PersistenceLandscape, **_GRID),
    "PersistenceStatistics": of_diagrams(layers.PersistenceStatistics),
    "Silhouette": of_diagrams(layers.Silhouette, **_GRID),
    "PersistenceCurve": of_diagrams(layers.PersistenceCurve, **_GRID),
    "Amplitude": of_diagrams(layers.Amplitude),
    "Atol": of_fitted(lambda: layers.Atol(3)),
    "BarClamper": of_diagrams(layers.BarClamper, 0.5, 1.0),
    "BarSelector": of_diagrams(layers.BarSelector, 3),
    "DiagramScaler": of_fitted(layers.DiagramScaler),
    "ComplexPolynomial": of_diagrams(layers.ComplexPolynomial, n_coefficients=3),
    "LongestBars": of_diagrams(layers.LongestBars, 3),
    "NumberOfBars": of_diagrams(layers.NumberOfBars, 0.1),
    "PaddedBars": of_diagrams(layers.PaddedBars, 4),
    "TopologicalVector": of_diagrams(layers.TopologicalVector, 3),
    "Filtration": lambda s: s.made(lambda: layers.Filtration("height", directions=4))(s.images),
    "DelayEmbedding": lambda s: s.made(layers.DelayEmbedding, 2, 3)(s.series),
    "DiagramDistances": of_fitted(layers.DiagramDistances),
    "DiagramKernel": of_fitted(layers.DiagramKernel),
    "PersLay": of_diagrams(layers.PersLay, n_features=4, dims=0),
    "DiagramEncoder": of_diagrams(layers.DiagramEncoder, 8, 2, dims=0),
    "EulerCurve": lambda s: s.made(layers.EulerCurve, 6, (0, 1), width=0.1)(s.images),
    "EulerSurface": lambda s: s.made(layers.EulerSurface, **_PLANE)(s.pairs),
    "HilbertSurface": lambda s: s.made(layers.HilbertSurface, **_PLANE)(s.pairs),
    "SignedMeasureImage": lambda s: s.made(layers.SignedMeasureImage, **_PLANE)(s.pairs),
    "FiberedPersistence": lambda s: s.made(layers.FiberedPersistence, 3, value_ranges=(0, 1))(s.pairs),
    "LevelPersistence": lambda s: s.made(layers.LevelPersistence, [0.5, 1.0])(s.pairs),
    "MultiparameterLandscape": lambda s: s.made(
        layers.MultiparameterLandscape, 2, resolution=4, value_ranges=(0, 1)
    )(s.pairs),
    "SliceFeatures": lambda s: s.made(lambda: layers.SliceFeatures(layers.BettiCurve(**_GRID), n_slices=2))(
        s.diagrams()
    ),
    "EulerCharacteristicTransform": lambda s: s.made(layers.EulerCharacteristicTransform, 4, 5)(
        s.clouds,
        s.place(_EDGES),
        mask=s.place(torch.ones(s.n, 9, dtype=torch.bool)),
        weights=s.drawn(9),
    ),
}
_DISTANCES = {
    name: of_two_diagrams(getattr(distances, name))
    for name in distances.__all__
    if name not in ("Barycentre", "Matching", "barycentre")
}
_DISTANCES["barycentre"] = lambda s: [*parts(distances.barycentre(s.diagrams()).diagrams)]
_METRICS = {
    "component_matches": lambda s: [t for m in metrics.component_matches(s.labels, s.masks) for t in m],
    "betti_numbers": lambda s: metrics.betti_numbers(s.labels),
}
_METRICS |= {
    name: of_masks(getattr(metrics, name))
    for name in metrics.__all__
    if name not in {*_METRICS, "TopologyError", "ComponentMatches"}
}
_LOSSES = {
    "FadingLoss": of_segmentations(
        losses.FadingLoss, first=losses.CEDiceLoss(), second=losses.SCNP(losses.CEDiceLoss())
    ),
    "WeightedSumLoss": lambda s: s.made(
        losses.WeightedSumLoss, [losses.CEDiceLoss(), losses.SkeletonRecallLoss()]
    )(s.drawn(2, 12, 12), s.labels),
    "MosinLoss": of_segmentations(losses.MosinLoss, **_FEATURES),
    "mosin_loss": of_segmentations(losses.mosin_loss, **_FEATURES),
    "cka": lambda s: losses.cka(s.clouds, s.others, tokens=True),
    "cka_loss": lambda s: losses.cka_loss(s.points(5, 3), s.points(5, 2)),
    "CKALoss": lambda s: losses.CKALoss()(s.points(5, 3), s.points(5, 2)),
    "MinibatchCKA": lambda s: updated(losses.MinibatchCKA(), s.points(5, 3), s.points(5, 2)),
    "RTDLoss": lambda s: losses.RTDLoss()(s.clouds, s.others),
    "topological_autoencoder_loss": lambda s: losses.topological_autoencoder_loss(
        s.points(9, 3), s.points(9, 2, seed=1)
    ),
    "TopologicalAutoencoderLoss": lambda s: s.place(losses.TopologicalAutoencoderLoss())(
        s.points(9, 3), s.points(9, 2, seed=1)
    ),
    "scnp_logits": lambda s: losses.scnp_logits(s.logits, s.labels, mask=s.masks),
    "DeepSupervisionLoss": lambda s: losses.DeepSupervisionLoss(losses.CEDiceLoss())(
        [s.logits, s.drawn(2, 6, 6)], s.labels
    ),
    "TotalPersistenceLoss": lambda s: losses.TotalPersistenceLoss()(s.images[None]),
    "FeatureCountLoss": lambda s: losses.FeatureCountLoss(length=0.2)(s.clouds),
    "BettiTargetLoss": lambda s: losses.BettiTargetLoss({0: 1})(s.images[None]),
    "DiagramTargetLoss": lambda s: losses.DiagramTargetLoss(s.diagrams())(s.clouds),
}
_LOSSES |= {
    name: of_segmentations(getattr(losses, name))
    for name in losses.__all__
    if name not in {*_LOSSES, "PendingLoss", "SegmentationLoss", "registry", "topomortar_head_weights"}
}
_ATTENTION = {
    "AttentionTopology": lambda s: attention.AttentionTopology()(s.maps),
    "HiddenStateGeometry": lambda s: attention.HiddenStateGeometry()(s.drawn(3, 9, 4)),
    "intrinsic_dimension": lambda s: attention.intrinsic_dimension(s.points(20, 3)),
    "neighborhood_overlap": lambda s: attention.neighborhood_overlap(s.points(20, 3), s.points(20, 4)),
    "rtd": lambda s: attention.rtd(s.maps_of_layer(0), s.maps_of_layer(1)),
    "record": recorded,
}
_COMPLEXES = {
    "CellComplexes": lambda s: cells_of(CellComplexes([6] * (s.n // 2), [s.edges.T])),
    "Lists": lambda s: (
        complexes.Lists(s.place(torch.arange(2 * s.n)), s.place(torch.arange(0, 2 * s.n + 1, 2))).lengths
    ),
    "alpha_complexes": lambda s: cells_of(complexes.alpha_complexes(s.clouds)),
    "rips_complexes": lambda s: cells_of(complexes.rips_complexes(s.clouds, 0.5)),
    "clique_complexes": of_lift(complexes.clique_complexes),
    "graph_rips_complexes": of_lift(complexes.graph_rips_complexes),
    "neighbourhood_complexes": of_lift(complexes.neighbourhood_complexes),
    "ring_complexes": of_lift(complexes.ring_complexes),
    "directed_flag_complexes": of_lift(complexes.directed_flag_complexes),
    "mesh_complexes": lambda s: cells_of(
        complexes.mesh_complexes(
            s.place(torch.arange(3 * s.n, device="cpu").view(-1, 3).T), n_vertices=3 * s.n
        )
    ),
    "numbering_dependent_cycles": of_lift(complexes.numbering_dependent_cycles),
    "hop_sets": lambda s: complexes.hop_sets(s.edges, s.graphs).members,
    "lift_features": lambda s: complexes.lift_features(s.vertices(4), s.complexes),
}
_FILTRATIONS = {
    "codensity": lambda s: filtrations.codensity(s.clouds, k=2),
    "degree_rips_values": lambda s: filtrations.degree_rips_values(s.clouds, 1),
    "degree_values": lambda s: filtrations.degree_values(s.edges, s.at_edges(), n_vertices=3 * s.n),
    "forman_curvature": lambda s: filtrations.forman_curvature(s.edges, s.at_edges(), batch=s.graphs),
    "heat_kernel_signature": lambda s: filtrations.heat_kernel_signature(
        s.edges, 0.5, s.at_edges(), batch=s.graphs
    ),
    "ollivier_curvature": lambda s: filtrations.ollivier_curvature(
        s.edges, 0.5, s.at_edges(), batch=s.graphs
    ),
    "signed_distance": lambda s: filtrations.signed_distance(s.labels),
    "height": lambda s: filtrations.height(s.images, 4),
    "tilt": lambda s: filtrations.tilt(s.images, 4),
    "radial": lambda s: filtrations.radial(s.images, 2),
    "binarise": lambda s: filtrations.binarise(s.images, 0.5, width=0.1),
    "density": lambda s: filtrations.density(s.images, 2.0),
    "dilation": lambda s: filtrations.dilation(s.labels),
    "erosion": lambda s: filtrations.erosion(s.labels),
    "neighbour_graph": lambda s: [*filtrations.neighbour_graph(s.clouds, 3)],
    "geodesic_distances": lambda s: filtrations.geodesic_distances(s.clouds, 3),
    "graph_geodesics": of_graphs_of_lengths(filtrations.graph_geodesics),
    "closeness": of_graphs_of_lengths(filtrations.closeness),
    "eccentricity": of_graphs_of_lengths(filtrations.eccentricity),
    "return_probabilities": lambda s: filtrations.return_probabilities(
        s.edges, 3, s.at_edges(), batch=s.graphs, n_vertices=3 * s.n
    ),
    "delay_embedding": lambda s: filtrations.delay_embedding(s.series, 2, 3),
    "sliding_windows": lambda s: filtrations.sliding_windows(s.series, 8, 4),
    "mutual_information": lambda s: filtrations.mutual_information(s.series, 4),
    "false_neighbours": lambda s: filtrations.false_neighbours(s.series, 2, 3),
}
_REPRESENTATIONS = {
    "guide_codes": lambda s: representations.guide_codes(
        s.clouds, torch.square, lambda x: x.square().mean(), n_steps=2
    ),
    "decision_regions": lambda s: representations.decision_regions(score, [(-2, 2, 9), (-2, 2, 9)]),
    "GIN": lambda s: s.made(representations.GIN, 4, 2)(s.vertices(4), s.edges, s.graphs),
    "StitchingLayer": stitched_layer,
    "stitch": stitched_model,
    "StitchedModel": stitched_model,
}
_MANIFOLDS = {
    "Euclidean": of_manifold(manifolds.Euclidean(2)),
    "FlatTorus": of_manifold(manifolds.FlatTorus(1)),
    "ProjectiveSpace": of_manifold(manifolds.ProjectiveSpace(2)),
    "SpecialOrthogonal3": of_manifold(manifolds.SpecialOrthogonal3()),
    "Sphere": of_manifold(manifolds.Sphere(2)),
}
_MAPPER = {"mapper_graph": lambda s: mapper.mapper_graph(s.points(30, 2), n_intervals=3).node_index}
_PLOTTING = {
    name: of_plot(getattr(plotting, name)) for name in ("plot_barcode", "plot_betti_curve", "plot_diagram")
}
_PYG = {
    "clouds": lambda s: pyg.clouds(SimpleNamespace(pos=s.vertices(2), batch=s.graphs)),
    "degree_graph": lambda s: [t for g in pyg.degree_graph(graph_data(s)) for t in g],
    "cell_tensors": lambda s: list(pyg.cell_tensors(s.complexes[0]).values()),
}
CALLS = {
    f"{group}.{name}": call
    for group, calls in (
        ("topodl", _TOPODL),
        ("layers", _LAYERS),
        ("distances", _DISTANCES),
        ("metrics", _METRICS),
        ("losses", _LOSSES),
        ("attention", _ATTENTION),
        ("complexes", _COMPLEXES),
        ("filtrations", _FILTRATIONS),
        ("representations", _REPRESENTATIONS),
        ("representations.manifolds", _MANIFOLDS),
        ("mapper", _MAPPER),
        ("plotting", _PLOTTING),
        ("integrations.pyg", _PYG),
    )
    for name, call in calls.items()
}


def parts(value: Any) -> list[Any]:
    """Return all that a result holds and that has numbers."""
    if isinstance(value, Diagrams):
        return [value.births, value.deaths, value.dims, value.samples]
    return list(value) if isinstance(value, tuple | list) else [value]
